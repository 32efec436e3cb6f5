"""Compiles ``contracts/`` and writes the shipped contracts to ``ape_dtn/artifacts/``.

``python scripts/artifacts.py`` writes, ``python scripts/artifacts.py --check`` only compares and
exits with 1 if the shipped artifacts are not those of the sources.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "ape_dtn" / "artifacts"
DEPLOYABLE = (
    "LiveNodeManager",
    "LiveRouter",
    "LiveSessionManager",
    "ReferenceNodeManager",
    "ReferenceRouter",
    "DtnClient",
    "DtnDelegate",
    "DtnProxy",
    "ModelManager",
    "NamespaceManager",
    "TestToken",
    "TestUSDC",
    "TestUSDT",
)


def compiled() -> dict[str, str]:
    """Compiles and returns the text of each artifact, by file name."""
    import ape

    project = ape.Project(ROOT)
    # Not from Ape's cache: a partial compile writes other metadata into the code.
    contracts = project.load_contracts(use_cache=False)
    return {f"{name}.json": _trimmed(contracts[name]) for name in DEPLOYABLE}


def _trimmed(contract: Any) -> str:
    """Reduces a contract to its interface and creation code."""
    abi = [entry.model_dump(mode="json", exclude_none=True) for entry in contract.abi]
    artifact = {"abi": _without_noise(abi), "bytecode": contract.deployment_bytecode.bytecode}
    return json.dumps(artifact, separators=(",", ":"), sort_keys=True) + "\n"


def _without_noise(abi: Any) -> Any:
    """Removes NatSpec and names of Solidity types from an interface."""
    if isinstance(abi, list):
        return [_without_noise(entry) for entry in abi]
    if isinstance(abi, dict):
        kept = abi.keys() - {"devdoc", "userdoc", "internalType", "contract_type"}
        return {key: _without_noise(abi[key]) for key in kept}
    return abi


def differences() -> list[str]:
    """Returns the names of the shipped artifacts that differ from a fresh compile."""
    fresh = compiled()
    shipped = {path.name: path.read_text() for path in SHIPPED.glob("*.json")}
    return sorted(name for name in fresh | shipped if fresh.get(name) != shipped.get(name))


def main() -> None:
    """Writes or compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    if parser.parse_args().check:
        if stale := differences():
            sys.exit(f"Artifacts differ from contracts/: {', '.join(stale)}. Run `make compile`.")
        return
    fresh = compiled()
    for path in SHIPPED.glob("*.json"):
        path.unlink()
    for name, text in fresh.items():
        (SHIPPED / name).write_text(text)


if __name__ == "__main__":
    main()
