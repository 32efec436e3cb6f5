"""The money of a network is where it belongs, whatever anybody does, in any order.

What is done, and what has to hold after it, is in ``invariants/``. Here it is played for as long as
the tests have time for; ``make invariants`` plays for longer.
"""

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
CALLS = 5_000  # 50 runs of 100, as the profile says
# An action that hardly ever comes about shows nothing. The rarest come about 30 times.
LEAST = 5


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What Forge reports of a game on each variant."""
    return once_a_run(tmp_path_factory, "invariants", _play)[1]


def _play(_: Path) -> Any:
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
def game(played: Any, variant: Variant) -> Any:
    (found,) = played[f"Money.sol:{variant.value}Money"]["test_results"].values()
    return found


def actions() -> set[str]:
    """All that can be done at random, by the compiled contract."""
    artifact = ROOT / ".tools" / "forge" / "out" / "Actions.sol" / "Actions.json"
    abi = json.loads(artifact.read_text())["abi"]
    return {
        entry["name"]
        for entry in abi
        if entry["type"] == "function" and entry["stateMutability"] == "nonpayable"
    } - {"finish"}


def test_the_money_is_where_it_belongs_after_every_call(game: Any) -> None:
    assert game["status"] == "Success", (game["reason"], game["counterexample"])
    assert game["kind"]["Invariant"]["calls"] == CALLS
    assert game["kind"]["Invariant"]["reverts"] == 0


def test_everything_that_can_be_done_was_done(game: Any) -> None:
    done = {
        name.rpartition(".")[2]: counts["calls"] - counts["reverts"] - counts["discards"]
        for name, counts in game["kind"]["Invariant"]["metrics"].items()
    }

    assert done.keys() == actions()
    assert sum(done.values()) == CALLS
    assert {name: times for name, times in done.items() if times < LEAST} == {}
