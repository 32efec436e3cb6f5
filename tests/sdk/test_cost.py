"""Gas, HTTP requests and RPC calls, as measured by ``benchmarks/cost.py``.

All numbers are exact: the chain is new, and its requests have the same ids each time. A lower one
is an improvement; a higher one needs a reason.
"""

from __future__ import annotations

from typing import Any

import pytest

from ape_dtn.deployment.assemble import Variant
from benchmarks.cost import MANY, measure

GAS = {
    Variant.REFERENCE: {
        "transfer": 34_104,
        "start": 85_280,
        "request": 137_107,
        "respond": 156_950,
        "close": 51_802,
    },
    Variant.LIVE: {
        "transfer": 34_104,
        "start": 147_740,
        "request": 468_205,
        "respond": 395_818,
        "close": 64_564,
    },
}

# HTTP requests and the RPC calls in them.
CALLS = {
    "DtnAi()": (1, 1),
    "info": (2, 9),
    "models": (4, 18),
    "nodes": (6, 26),
    "list of 1": (2, 15),
    "list of 1000": (2, 15),
    "start": (7, 23),
    "load": (2, 10),
    "balance": (2, 10),
    "draft": (3, 16),
    "request": (7, 27),
    "respond": (10, 28),
    "load request": (1, 2),
    "answer": (1, 2),
    "cost": (5, 13),
    "quote": (8, 31),
    "history": (7, 24),
    "close": (9, 27),
}


@pytest.fixture(scope="module", params=list(Variant), ids=lambda variant: variant.value.lower())
def measured(request: pytest.FixtureRequest) -> tuple[Variant, dict[str, Any]]:
    return request.param, measure(request.param)


@pytest.mark.parametrize("step", GAS[Variant.LIVE])
def test_gas_is_pinned(measured: tuple[Variant, dict[str, Any]], step: str) -> None:
    variant, found = measured

    assert found["gas"][step] == GAS[variant][step]


@pytest.mark.parametrize("operation", CALLS)
def test_rpc_calls_are_pinned(measured: tuple[Variant, dict[str, Any]], operation: str) -> None:
    _, found = measured
    count = found["calls"][operation]

    assert (count["http"], count["rpc"]) == CALLS[operation]


def test_every_measurement_is_pinned(
    measured: tuple[Variant, dict[str, Any]],
) -> None:
    variant, found = measured

    assert found["calls"].keys() == CALLS.keys()
    assert found["gas"].keys() == GAS[variant].keys()


def test_long_lists_take_as_many_calls_as_short_ones(
    measured: tuple[Variant, dict[str, Any]],
) -> None:
    _, found = measured

    assert found["calls"][f"list of {MANY}"] == found["calls"]["list of 1"]


def test_no_operation_traces_calls(measured: tuple[Variant, dict[str, Any]]) -> None:
    """Public endpoints refuse it, and so does the one of the measurement."""
    _, found = measured

    assert {
        name: count["traces"] for name, count in found["calls"].items() if count["traces"]
    } == {}


def test_a_transaction_is_sent_once(measured: tuple[Variant, dict[str, Any]]) -> None:
    _, found = measured
    sent = {
        name: times
        for name, count in found["calls"].items()
        if (times := count["methods"].get("eth_sendRawTransaction"))
    }

    assert sent == {"start": 2, "request": 1, "respond": 1, "close": 1}
