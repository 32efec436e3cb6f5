"""Gas and RPC calls of each method of starting a session."""

from __future__ import annotations

from typing import Any

import pytest

from ape_dtn.deployment.assemble import Variant
from benchmarks import methods

# Gas of the preparations, gas of the start on the reference and the live variant, HTTP requests,
# and RPC calls.
PINNED: dict[tuple[str, str], tuple[list[int], tuple[int, int], int, int]] = {
    ("delegate", "first"): ([], (123_185, 187_994), 6, 32),
    ("delegate", "later"): ([], (116_435, 158_394), 6, 33),
    ("authorization", "first"): ([67_473], (155_828, 222_067), 9, 41),
    ("authorization", "later"): ([], (161_590, 204_955), 6, 33),
    ("permit", "first"): ([67_473], (153_601, 219_828), 9, 41),
    ("permit", "later"): ([], (142_251, 185_628), 6, 33),
    ("allowance", "first"): ([67_473, 45_958], (117_470, 182_279), 10, 43),
    ("allowance", "later"): ([45_958], (123_220, 165_179), 9, 41),
    ("two-step", "first"): ([38_973], (85_390, 147_850), 7, 23),
    ("two-step", "later"): ([38_973], (91_140, 130_750), 7, 23),
    ("batch", "first"): ([], (161_335, 223_795), 10, 42),
    ("batch", "later"): ([], (149_985, 189_595), 10, 42),
}

# Zero bytes in signatures, nonces and addresses are cheaper.
VARIES = 300


@pytest.fixture(scope="module", params=list(Variant), ids=lambda variant: variant.name.lower())
def variant(request: pytest.FixtureRequest) -> Variant:
    found: Variant = request.param
    return found


@pytest.fixture(scope="module")
def measured(variant: Variant) -> dict[str, Any]:
    return methods.measure(variant)


@pytest.mark.parametrize("case", PINNED, ids="-".join)
def test_gas_and_rpc_calls_are_pinned(
    measured: dict[str, Any], variant: Variant, case: tuple[str, str]
) -> None:
    method, when = case
    before, starts, http, calls = PINNED[case]
    start = dict(zip(Variant, starts, strict=True))[variant]
    found = measured[method][when]

    assert found["before"] == pytest.approx(before, abs=VARIES)
    assert found["start"] == pytest.approx(start, abs=VARIES)
    assert (found["calls"]["http"], found["calls"]["rpc"]) == (http, calls)


def test_each_measurement_is_pinned(measured: dict[str, Any]) -> None:
    assert {(method, when) for method, found in measured.items() for when in found} == set(PINNED)


@pytest.mark.parametrize("method", ["delegate", "authorization", "permit", "allowance"])
def test_one_transaction_costs_less_than_three(measured: dict[str, Any], method: str) -> None:
    approve = measured["allowance"]["first"]["before"][-1]
    for when in ("first", "later"):
        apart = measured["two-step"][when]
        own = measured[method][when]
        assert own["start"] < approve + sum(apart["before"]) + apart["start"]
