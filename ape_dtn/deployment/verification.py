"""Compiler input to verify deployed contracts.

``scripts/sources.py`` writes the sources of the packaged artifacts to ``sources.json``. Explorers,
Sourcify and solc accept the input as it is, and produce the code on the chain, byte for byte.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

OUTPUTS = ["abi", "metadata", "evm.bytecode.object", "evm.deployedBytecode"]


@cache
def _sources() -> dict[str, Any]:
    text = files("ape_dtn.deployment").joinpath("sources.json").read_text(encoding="utf-8")
    sources: dict[str, Any] = json.loads(text)
    return sources


def compiler() -> str:
    """Return the full version of the compiler."""
    version: str = _sources()["compiler"]
    return version


def full_name(artifact: str) -> str:
    """Return the name of a contract with its source file, as explorers ask for it."""
    return f"{_sources()['contracts'][artifact]}:{artifact}"


def standard_json(artifact: str) -> dict[str, Any]:
    """Return the standard JSON input of the compiler for a packaged artifact.

    It includes all other sources: the code depends on them.
    """
    sources = _sources()
    selection = {sources["contracts"][artifact]: {artifact: OUTPUTS}}
    return {
        "language": "Solidity",
        "settings": {**sources["settings"], "outputSelection": selection},
        "sources": {path: {"content": content} for path, content in sources["files"].items()},
    }
