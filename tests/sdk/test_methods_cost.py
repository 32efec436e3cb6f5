"""What each way to start a session costs: gas, and calls of the chain."""

from __future__ import annotations

from typing import Any

import pytest

from ape_dtn.local import Behaviour
from benchmarks import methods

# Gas on the deployed behaviour, which the documented exceeds by less than a hundred: of what comes
# before, and of the start; the first time and later. Then HTTP requests and RPC calls.
PINNED: dict[tuple[str, str], tuple[list[int], int, int, int]] = {
    ("delegate", "first"): ([], 210_657, 6, 30),
    ("delegate", "later"): ([], 181_057, 6, 31),
    ("authorization", "first"): ([67_473], 244_730, 9, 38),
    ("authorization", "later"): ([], 227_630, 6, 31),
    ("permit", "first"): ([67_473], 242_479, 9, 38),
    ("permit", "later"): ([], 208_291, 6, 31),
    ("allowance", "first"): ([67_473, 45_958], 204_942, 10, 40),
    ("allowance", "later"): ([45_958], 187_842, 9, 38),
    ("two-step", "first"): ([38_973], 170_469, 7, 20),
    ("two-step", "later"): ([38_973], 153_369, 7, 20),
    ("batch", "first"): ([], 246_414, 10, 39),
    ("batch", "later"): ([], 212_214, 10, 39),
}

# Bytes of signatures, nonces and addresses that happen to be zero are cheaper.
VARIES = 300


@pytest.fixture(scope="module", params=list(Behaviour), ids=lambda each: each.name.lower())
def measured(request: pytest.FixtureRequest) -> dict[str, Any]:
    return methods.measure(request.param)


@pytest.mark.parametrize("case", PINNED, ids="-".join)
def test_gas_and_calls(measured: dict[str, Any], case: tuple[str, str]) -> None:
    method, when = case
    before, start, http, calls = PINNED[case]
    found = measured[method][when]

    assert found["before"] == pytest.approx(before, abs=VARIES)
    assert found["start"] == pytest.approx(start, abs=VARIES)
    assert (found["calls"]["http"], found["calls"]["rpc"]) == (http, calls)


def test_all_that_is_measured_is_pinned(measured: dict[str, Any]) -> None:
    assert {(method, when) for method, found in measured.items() for when in found} == set(PINNED)


@pytest.mark.parametrize("method", ["delegate", "authorization", "permit", "allowance"])
def test_one_transaction_costs_less_than_three(measured: dict[str, Any], method: str) -> None:
    approve = measured["allowance"]["first"]["before"][-1]
    for when in ("first", "later"):
        apart = measured["two-step"][when]
        own = measured[method][when]
        assert own["start"] < approve + sum(apart["before"]) + apart["start"]
