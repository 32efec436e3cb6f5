"""Compiles ``contracts/`` and writes what the package ships of it to ``ape_dtn/artifacts/``.

``python scripts/artifacts.py`` writes, ``python scripts/artifacts.py --check`` only compares and
exits with 1 when the shipped artifacts are not those of the sources.
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
    """The text of each artifact, by file name, from a fresh compile."""
    import ape

    project = ape.Project(ROOT)
    # Never from Ape's cache: a partial compile writes other metadata into the code.
    contracts = project.load_contracts(use_cache=False)
    return {f"{name}.json": _trimmed(contracts[name]) for name in DEPLOYABLE}


def _trimmed(contract: Any) -> str:
    """Interface and creation code only: no documentation, sources, maps or syntax trees."""
    abi = [entry.model_dump(mode="json", exclude_none=True) for entry in contract.abi]
    artifact = {"abi": _without_noise(abi), "bytecode": contract.deployment_bytecode.bytecode}
    return json.dumps(artifact, separators=(",", ":"), sort_keys=True) + "\n"


def _without_noise(abi: Any) -> Any:
    """What callers need of an interface: no NatSpec, no names of Solidity types."""
    if isinstance(abi, list):
        return [_without_noise(entry) for entry in abi]
    if isinstance(abi, dict):
        kept = abi.keys() - {"devdoc", "userdoc", "internalType", "contract_type"}
        return {key: _without_noise(abi[key]) for key in kept}
    return abi


def differences() -> list[str]:
    """The names of shipped artifacts that a fresh compile does not give."""
    fresh = compiled()
    shipped = {path.name: path.read_text() for path in SHIPPED.glob("*.json")}
    return sorted(name for name in fresh | shipped if fresh.get(name) != shipped.get(name))


def main() -> None:
    """Writes or compares, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    if parser.parse_args().check:
        if stale := differences():
            sys.exit(f"Not what contracts/ compiles to: {', '.join(stale)}. Run `make compile`.")
        return
    fresh = compiled()
    for path in SHIPPED.glob("*.json"):
        path.unlink()
    for name, text in fresh.items():
        (SHIPPED / name).write_text(text)


if __name__ == "__main__":
    main()
