"""The compiled contracts, as they are shipped: interface and creation code of what we deploy.

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
    """A compiled contract, read once and when it is first asked for.

    Returns:
        ``abi`` (the contract's interface), ``bytecode`` (creation code, hexadecimal with 0x).
    """
    text = files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    artifact: dict[str, Any] = json.loads(text)
    return artifact


def creation_code(name: str, *args: Any) -> bytes:
    """The code that creates a contract with these constructor arguments."""
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
