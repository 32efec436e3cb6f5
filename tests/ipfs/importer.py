"""Reference CIDs and blocks, from the JavaScript implementation of IPFS."""

from __future__ import annotations

import json
import subprocess
from base64 import b64decode, b64encode
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Imported:
    """The CID of some content, its text in several bases, and all blocks by CID."""

    cid: str
    texts: list[str]
    blocks: dict[str, bytes]


def add(
    content: bytes,
    *,
    chunk: int = 262_144,
    children: int = 174,
    layout: str = "balanced",
    version: int = 1,
    raw_leaves: bool = True,
    path: str = "",
    **options: Any,
) -> Imported:
    """Import a file. Further options are those of ipfs-unixfs-importer."""
    case = {
        "content": b64encode(content).decode(),
        "chunkSize": chunk,
        "children": children,
        "layout": layout,
        "cidVersion": version,
        "rawLeaves": raw_leaves,
        "path": path,
        **options,
    }
    process = _process()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(case) + "\n")
    process.stdin.flush()
    found = json.loads(process.stdout.readline())
    blocks = {cid: b64decode(block) for cid, block in found["blocks"].items()}
    return Imported(found["cid"], found["texts"], blocks)


@cache
def _process() -> subprocess.Popen[str]:
    """Start the importer, shared by all tests. It exits when the test process closes its input."""
    script = Path(__file__).with_name("importer.mjs")
    return subprocess.Popen(
        ["node", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
