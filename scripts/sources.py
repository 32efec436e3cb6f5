"""Writes the sources of the shipped artifacts to ``ape_dtn/deployment/sources.json``.

The file is all that is needed to compile the deployed contracts again, which a test does.
``python scripts/sources.py`` writes, ``python scripts/sources.py --check`` only compares and exits
with 1 if they are not those of ``contracts/``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ARTIFACTS = ROOT / "ape_dtn" / "artifacts"
SHIPPED = ROOT / "ape_dtn" / "deployment" / "sources.json"

_CONTRACT = re.compile(r"^contract (\w+)", re.MULTILINE)


def gathered() -> str:
    """Returns the text of the file for the current sources."""
    import ape
    from ape import compilers

    solidity: Any = compilers.get_compiler("solidity")
    # In a copy: Ape adds OpenZeppelin's sources to the contracts, and would find them there later.
    with ape.Project(ROOT).isolate_in_tempdir() as project:
        paths = sorted(project.contracts_folder.rglob("*.sol"))
        homes = {
            name: str(path.relative_to(project.path))
            for path in paths
            for name in _CONTRACT.findall(path.read_text())
        }
        # All sources that are compiled together, also those that a contract does not use: the code
        # of a contract can depend on the numbers that the compiler gives to everything it reads.
        ((version, whole),) = solidity.get_standard_input_json(paths, project=project).items()
    settings = {key: whole["settings"][key] for key in whole["settings"] if key != _CHOICE}
    kept = {
        "compiler": str(version),
        "settings": settings,
        "contracts": {path.stem: homes[path.stem] for path in ARTIFACTS.glob("*.json")},
        "files": {path: source["content"] for path, source in whole["sources"].items()},
    }
    return json.dumps(kept, separators=(",", ":"), sort_keys=True) + "\n"


_CHOICE = "outputSelection"


def main() -> None:
    """Writes or compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    if parser.parse_args().check:
        if SHIPPED.read_text() != gathered():
            sys.exit("The file differs from contracts/. Run `make compile`.")
        return
    SHIPPED.write_text(gathered())


if __name__ == "__main__":
    main()
