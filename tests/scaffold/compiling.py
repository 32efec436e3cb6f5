"""Compile generated contracts with the pinned compiler."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import solcx

from ape_dtn.scaffold.project import SOLC

LIBRARY = Path(__file__).parents[2] / "contracts"


def creation_codes(sources: Mapping[str, str], via_ir: bool = False) -> dict[str, bytes]:
    """The creation code of each contract. Compiler warnings fail, too."""
    library = {
        f"@deeptrust/contracts/{path.name}": path.read_text()
        for path in LIBRARY.glob("*.sol")
        if "upgradeable" not in path.name.lower()  # it needs OpenZeppelin, and is not imported
    }
    settings = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in {**library, **sources}.items()},
        "settings": {
            "evmVersion": "cancun",
            "viaIR": via_ir,
            "optimizer": {"enabled": via_ir},
            "outputSelection": {name: {"*": ["evm.bytecode.object"]} for name in sources},
        },
    }
    compiled: dict[str, Any] = solcx.compile_standard(settings, solc_version=SOLC)
    assert not compiled.get("errors"), compiled["errors"]
    return {
        name: bytes.fromhex(contract["evm"]["bytecode"]["object"])
        for contracts in compiled["contracts"].values()
        for name, contract in contracts.items()
    }
