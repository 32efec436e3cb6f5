"""What proves which sources a contract was compiled from: the compiler's whole input.

``scripts/sources.py`` writes ``sources.json`` of the sources of the shipped artifacts. Explorers,
Sourcify and the compiler itself take the input as it is, and come to the code on the chain, to the
last byte.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

OUTPUTS = ["abi", "metadata", "evm.bytecode.object", "evm.deployedBytecode"]


@cache
def _kept() -> dict[str, Any]:
    text = files("ape_dtn.deployment").joinpath("sources.json").read_text(encoding="utf-8")
    kept: dict[str, Any] = json.loads(text)
    return kept


def compiler() -> str:
    """The compiler's full version."""
    found: str = _kept()["compiler"]
    return found


def full_name(artifact: str) -> str:
    """A contract by its file and its name, as explorers ask for it."""
    return f"{_kept()['contracts'][artifact]}:{artifact}"


def standard_json(artifact: str) -> dict[str, Any]:
    """The compiler's input for a shipped artifact, with all that is compiled beside it."""
    kept = _kept()
    wanted = {kept["contracts"][artifact]: {artifact: OUTPUTS}}
    return {
        "language": "Solidity",
        "settings": {**kept["settings"], "outputSelection": wanted},
        "sources": {path: {"content": content} for path, content in kept["files"].items()},
    }
