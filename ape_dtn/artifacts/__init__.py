"""Compiled contracts: interface and creation code.

``scripts/artifacts.py`` writes them from ``contracts/``; a test compares them with a fresh compile.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from eth_abi import encode


@cache
def load(name: str) -> dict[str, Any]:
    """Return a compiled contract. It is read on first use and cached.

    Returns:
        ``abi`` (the contract's interface), ``bytecode`` (creation code, hexadecimal with 0x).
    """
    text = files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    artifact: dict[str, Any] = json.loads(text)
    return artifact


def creation_code(name: str, *args: Any) -> bytes:
    """Return the creation code of a contract, followed by its constructor arguments."""
    artifact = load(name)
    kinds = next(
        (
            [field["type"] for field in entry["inputs"]]
            for entry in artifact["abi"]
            if entry["type"] == "constructor"
        ),
        [],
    )
    return bytes.fromhex(artifact["bytecode"][2:]) + encode(kinds, args)
