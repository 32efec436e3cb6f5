"""A short run of the invariant tests in ``invariants/``; ``make invariants`` runs for longer."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ape_dtn.deployment.assemble import Variant
from tests.once import once_a_run

ROOT = Path(__file__).parents[2]
CALLS = 5_000  # 50 runs of 100 calls, as in the profile
# Actions that succeed too rarely prove little. The rarest succeed about 30 times.
LEAST = 5


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Forge's report of one run on each variant."""
    return once_a_run(tmp_path_factory, "invariants", _run)[1]


def _run(_: Path) -> Any:
    forge = subprocess.run(
        ["forge", "test", "--json"],
        cwd=ROOT / "invariants",
        env={**os.environ, "FOUNDRY_PROFILE": "short"},
        capture_output=True,
        text=True,
    )
    assert forge.stdout, forge.stderr
    return json.loads(forge.stdout)


@pytest.fixture
def result(report: Any, variant: Variant) -> Any:
    (found,) = report[f"Money.sol:{variant.value}Money"]["test_results"].values()
    return found


def actions() -> set[str]:
    """The random actions, by the compiled contract."""
    artifact = ROOT / ".tools" / "forge" / "out" / "Actions.sol" / "Actions.json"
    abi = json.loads(artifact.read_text())["abi"]
    return {
        entry["name"]
        for entry in abi
        if entry["type"] == "function" and entry["stateMutability"] == "nonpayable"
    } - {"finish"}


def test_the_invariants_hold_after_every_call(result: Any) -> None:
    assert result["status"] == "Success", (result["reason"], result["counterexample"])
    assert result["kind"]["Invariant"]["calls"] == CALLS
    assert result["kind"]["Invariant"]["reverts"] == 0


def test_every_action_was_taken(result: Any) -> None:
    counts = {
        name.rpartition(".")[2]: metrics["calls"] - metrics["reverts"] - metrics["discards"]
        for name, metrics in result["kind"]["Invariant"]["metrics"].items()
    }

    assert counts.keys() == actions()
    assert sum(counts.values()) == CALLS
    assert {name: count for name, count in counts.items() if count < LEAST} == {}
