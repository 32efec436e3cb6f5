"""Output of the compiler for ``contracts/`` without code, which takes seconds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOLC_VERSION: str = json.loads((ROOT / "package.json").read_text())["devDependencies"]["solc"]
SOLC = ROOT / ".tools" / "solcx" / f"solc-v{SOLC_VERSION}"
# As in ape-config.yaml.
SETTINGS = {
    "remappings": ["@openzeppelin/=node_modules/@openzeppelin/"],
    "evmVersion": "cancun",
    "viaIR": True,
    "optimizer": {"enabled": True, "runs": 200},
}
CODELESS = {"*": {"": ["ast"], "*": ["abi", "storageLayout", "devdoc", "userdoc"]}}


def contracts() -> dict[str, str]:
    """Returns the sources of ``contracts/`` by path, without Ape's cache in that folder."""
    found = sorted((ROOT / "contracts").rglob("*.sol"))
    names = [path.relative_to(ROOT) for path in found]
    visible = [name for name in names if not any(part.startswith(".") for part in name.parts)]
    return {str(name): (ROOT / name).read_text() for name in visible}


def compiled(sources: Mapping[str, str], output: Any = CODELESS, **settings: Any) -> Any:
    """Compiles sources, which may import from ``contracts/`` and OpenZeppelin."""
    wanted = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in sources.items()},
        "settings": {**SETTINGS, **settings, "outputSelection": output},
    }
    command = [str(SOLC), "--standard-json", "--base-path", str(ROOT), "--allow-paths", str(ROOT)]
    solc = subprocess.run(command, input=json.dumps(wanted), capture_output=True, text=True)
    if solc.returncode:
        raise RuntimeError(solc.stderr)
    found = json.loads(solc.stdout)
    errors = [e["formattedMessage"] for e in found.get("errors", ()) if e["severity"] == "error"]
    if errors:
        raise ValueError("\n".join(errors))
    return found


@cache
def described() -> Any:
    """Compiles ``contracts/``, once in a process."""
    return compiled(contracts())


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yields the nodes of a syntax tree, parents first."""
    if isinstance(tree, list):
        for item in tree:
            yield from nodes(item)
    elif isinstance(tree, dict):
        if "nodeType" in tree:
            yield tree
        for item in tree.values():
            if isinstance(item, (dict, list)):
                yield from nodes(item)
