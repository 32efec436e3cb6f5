"""Blocks on disk."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from random import Random

import pytest

from ape_dtn.ipfs import unixfs
from ape_dtn.ipfs.blocks import Blocks, Missing

CONTENT = Random(1).randbytes(3 * unixfs.CHUNK)


def read(blocks: Blocks, cid: str) -> bytes:
    return b"".join(blocks.content(blocks.node(unixfs.decode(cid))))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Simulate a full disk: larger files cannot be written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_content_round_trips(tmp_path: Path) -> None:
    cid, size = Blocks(tmp_path).add(BytesIO(CONTENT))

    assert read(Blocks(tmp_path), str(cid)) == CONTENT
    assert size == sum(path.stat().st_size for path in files(tmp_path))


def test_adding_content_twice_writes_it_once(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path)
    blocks.add(BytesIO(CONTENT))
    before = {path: path.stat().st_ino for path in files(tmp_path)}

    blocks.add(BytesIO(CONTENT))

    assert {path: path.stat().st_ino for path in files(tmp_path)} == before


def test_a_block_is_found_by_its_cid_in_any_version_and_base(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path)
    cid, _ = blocks.add(BytesIO(CONTENT))

    assert cid.codec.name == "dag-pb"  # only dag-pb blocks have a CIDv0
    assert blocks.get(cid.set(version=0, base="base58btc")) == blocks.get(cid)
    assert blocks.get(cid.set(base="base36")) == blocks.get(cid)


def test_a_corrupt_block_is_rejected_and_repaired_when_added_again(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path)
    cid, _ = blocks.add(BytesIO(b"content"))
    (path,) = files(tmp_path)
    path.write_bytes(b"contend")

    with pytest.raises(Missing):
        blocks.get(cid)
    blocks.add(BytesIO(b"content"))

    assert blocks.get(cid) == b"content"


def test_a_full_disk_leaves_no_partial_files(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path)

    with file_size_limit(unixfs.CHUNK - 1), pytest.raises(OSError, match="File too large"):
        blocks.add(BytesIO(CONTENT))

    assert files(tmp_path) == []


ADDING = """
import sys
import time
from io import BytesIO
from pathlib import Path
from random import Random
from ape_dtn.ipfs.blocks import Blocks

sys.stdin.readline()
for seed in range(20):
    print(Blocks(Path(sys.argv[1])).add(BytesIO(Random(seed).randbytes(600_000)))[0])
"""


def test_processes_can_add_the_same_content_concurrently(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADDING, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]

    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]

    assert outputs[0] == outputs[1] == outputs[2]
    for seed, cid in enumerate(outputs[0]):
        assert read(Blocks(tmp_path), cid) == Random(seed).randbytes(600_000)
    assert not [path for path in files(tmp_path) if path.name.startswith(".")]


def test_a_killed_process_leaves_no_partial_blocks(tmp_path: Path) -> None:
    for after in range(1, 4):
        adding = subprocess.Popen(
            [sys.executable, "-uc", ADDING, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert adding.stdin is not None
        assert adding.stdout is not None
        adding.stdin.write(b"\n")
        adding.stdin.flush()
        for _ in range(2 * after):
            adding.stdout.readline()
        time.sleep(after / 1000)  # kill it while it adds the next one
        adding.kill()
        adding.communicate(timeout=10)

    kept = [path for path in files(tmp_path) if not path.name.startswith(".")]
    assert kept
    for path in kept:
        cid = unixfs.decode(path.name)
        assert cid.hashfun.digest(path.read_bytes()) == cid.digest
