"""Runs halmos on the claims in this folder about the shipped artifacts.

``python proofs/prove.py [CONTRACTS]`` checks all claims, or those of the contracts that match a
pattern. It exits with 1 if a claim is not proved, or if one of ``Mistaken.sol`` is not refuted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from eth_utils.abi import abi_to_signature, function_abi_to_4byte_selector

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parent / ".tools"
OUT = TOOLS / "proofs" / "out"
SHIPPED = HERE.parent / "ape_dtn" / "artifacts"
VERDICTS = {0: "proved", 1: "refuted", 2: "not decided in time", 4: "empty claim"}


class Outcome(NamedTuple):
    """The verdict on a claim."""

    contract: str
    claim: str
    verdict: str
    seconds: float

    @property
    def mistaken(self) -> bool:
        """Whether the claim is false on purpose, and has to be refuted."""
        return self.contract.startswith("Mistaken")


def outcomes(contracts: str = ".") -> list[Outcome]:
    """Returns the verdict on each claim of the contracts that match a pattern."""
    path = f"{TOOLS / 'bin'}{os.pathsep}{os.environ['PATH']}"
    found = OUT.parent / "outcomes.json"
    found.unlink(missing_ok=True)
    _build()
    halmos = subprocess.run(
        [OUT.parent / "bin" / "halmos", "--match-contract", contracts, "--json-output", found],
        cwd=HERE,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
    )
    if not found.exists():
        raise RuntimeError(halmos.stdout + halmos.stderr)
    return list(_read(json.loads(found.read_text())))


def failures(results: list[Outcome]) -> list[str]:
    """Returns the claims that are not proved, and the false ones that are not refuted."""
    unproved = [
        f"{outcome.contract}: {outcome.claim}: {outcome.verdict}"
        for outcome in results
        if not outcome.mistaken and outcome.verdict != "proved"
    ]
    mistaken = {outcome.contract for outcome in results if outcome.mistaken}
    refuted = {o.contract for o in results if o.mistaken and o.verdict == "refuted"}
    return unproved + [f"{contract}: not refuted" for contract in sorted(mistaken - refuted)]


def _build() -> None:
    """Compiles the claims and puts the shipped artifacts beside them, in the form of Forge's."""
    subprocess.run([TOOLS / "bin" / "forge", "build", "--quiet"], cwd=HERE, check=True)
    compiler = json.loads((OUT / "Proof.sol" / "Proof.json").read_text())["metadata"]["compiler"]
    (OUT / "Shipped.sol").mkdir(exist_ok=True)
    for path in SHIPPED.glob("*.json"):
        (OUT / "Shipped.sol" / path.name).write_text(json.dumps(_as_compiled(path, compiler)))


def _as_compiled(path: Path, compiler: object) -> dict[str, object]:
    artifact = json.loads(path.read_text())
    definition = {
        "nodeType": "ContractDefinition",
        "name": path.stem,
        "contractKind": "contract",
    }
    return {
        "abi": artifact["abi"],
        "bytecode": {"object": artifact["bytecode"], "linkReferences": {}},
        "deployedBytecode": {"object": "0x"},
        "methodIdentifiers": {
            abi_to_signature(entry): function_abi_to_4byte_selector(entry).hex()
            for entry in artifact["abi"]
            if entry["type"] == "function"
        },
        "metadata": {"compiler": compiler},
        "ast": {"absolutePath": "Shipped.sol", "nodes": [definition]},
    }


def _read(report: dict[str, dict[str, list[dict[str, object]]]]) -> Iterator[Outcome]:
    for contract, claims in report["test_results"].items():
        for claim in claims:
            name, _, _ = str(claim["name"]).partition("(")
            code, times = claim["exitcode"], claim["time"]
            assert isinstance(code, int)
            assert isinstance(times, list)
            yield Outcome(
                contract.partition(":")[2],
                name.removeprefix("check_").replace("_", " "),
                VERDICTS.get(code, "cannot be decided"),
                round(times[0], 1),
            )


def main() -> None:
    """Prints the verdict on each claim."""
    results = outcomes(*sys.argv[1:])
    for outcome in results:
        print(f"{outcome.verdict:20} {outcome.contract}: {outcome.claim} ({outcome.seconds} s)")
    if failed := failures(results):
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
