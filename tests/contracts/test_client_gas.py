"""What sessions cost in gas, as ``benchmarks/client_gas.py`` measures it, by how they are used.

All numbers are exact: the chain is a new one, and its addresses are the same each time. A number
that falls is good news; one that rises wants a reason.
"""

from __future__ import annotations

from typing import Any

import pytest

from ape_dtn.local import Behaviour
from benchmarks.client_gas import BATCH, TRANSACTION_CAP, measure

GAS = {
    Behaviour.DOCUMENTED: {
        "create": {
            "implementation": 1_710_297,
            "delegate": 967_074,
            "client": 67_473,
        },
        "start": {
            "approve": 45_958,
            "transfer": 38_973,
            "start": 170_524,
            "bare": 209_497,
            "client, by allowance": 209_797,
            "client, by permit": 225_398,
            "client, by authorization": 244_749,
            "client, from its own": 197_206,
            "delegate": 198_212,
            "delegate, with its delegation": 210_712,
        },
        "request": {
            "bare": 477_876,
            "client": 493_769,
            "client, batch of 10": 4_222_933,
            "delegate": 489_047,
            "delegate, batch of 10": 4_217_495,
        },
        "close": {
            "bare": 80_031,
            "client": 112_786,
            "client, batch of 10": 359_521,
            "delegate": 84_660,
            "delegate, batch of 10": 330_104,
        },
        "thousand": {
            "transactions": 27,
            "largest": 15_839_214,
            "together": 416_443_491,
        },
    },
    Behaviour.DEPLOYED: {
        "create": {
            "implementation": 1_710_297,
            "delegate": 967_074,
            "client": 67_473,
        },
        "start": {
            "approve": 45_958,
            "transfer": 38_973,
            "start": 170_469,
            "bare": 209_442,
            "client, by allowance": 209_742,
            "client, by permit": 225_343,
            "client, by authorization": 244_694,
            "client, from its own": 197_151,
            "delegate": 198_157,
            "delegate, with its delegation": 210_657,
        },
        "request": {
            "bare": 467_849,
            "client": 483_742,
            "client, batch of 10": 4_201_863,
            "delegate": 479_020,
            "delegate, batch of 10": 4_196_425,
        },
        "close": {
            "bare": 75_756,
            "client": 109_157,
            "client, batch of 10": 337_633,
            "delegate": 80_124,
            "delegate, batch of 10": 308_216,
        },
        "thousand": {
            "transactions": 27,
            "largest": 15_766_688,
            "together": 414_961_791,
        },
    },
}

ATOMIC = [
    "client, by allowance",
    "client, by permit",
    "client, by authorization",
    "client, from its own",
    "delegate",
    "delegate, with its delegation",
]


@pytest.fixture(scope="module", params=list(Behaviour), ids=lambda each: each.value.lower())
def measured(request: pytest.FixtureRequest) -> tuple[Behaviour, dict[str, Any]]:
    return request.param, measure(request.param)


@pytest.mark.parametrize("operation", GAS[Behaviour.DEPLOYED])
def test_gas(measured: tuple[Behaviour, dict[str, Any]], operation: str) -> None:
    behaviour, found = measured

    assert found[operation] == GAS[behaviour][operation]


def test_everything_that_is_measured_is_pinned(measured: tuple[Behaviour, dict[str, Any]]) -> None:
    behaviour, found = measured

    assert found.keys() == GAS[behaviour].keys()


@pytest.mark.parametrize("method", ATOMIC)
def test_a_safe_start_costs_less_than_its_parts(
    measured: tuple[Behaviour, dict[str, Any]], method: str
) -> None:
    start = measured[1]["start"]

    assert start[method] < start["approve"] + start["transfer"] + start["start"]


@pytest.mark.parametrize("who", ["client", "delegate"])
def test_a_batch_costs_less_than_its_parts(
    measured: tuple[Behaviour, dict[str, Any]], who: str
) -> None:
    _, found = measured

    for operation in ("request", "close"):
        gas = found[operation]
        assert gas[f"{who}, batch of {BATCH}"] < BATCH * min(gas[who], gas["bare"])


def test_a_client_is_created_for_a_twentieth_of_its_code(
    measured: tuple[Behaviour, dict[str, Any]],
) -> None:
    create = measured[1]["create"]

    assert create["client"] * 20 < create["implementation"]


def test_a_thousand_requests_fit_into_transactions(
    measured: tuple[Behaviour, dict[str, Any]],
) -> None:
    thousand = measured[1]["thousand"]

    assert thousand["largest"] <= TRANSACTION_CAP
    assert thousand["together"] < 1_000 * measured[1]["request"]["client"]
