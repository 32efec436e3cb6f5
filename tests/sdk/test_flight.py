"""200 requests of one session in flight, answered by a node in a process of its own."""

from __future__ import annotations

from typing import Any

import pytest

from ape_dtn.deployment.assemble import Variant
from benchmarks.flight import HOW_MANY, READ, measure


@pytest.fixture(scope="module", params=list(Variant), ids=lambda variant: variant.value.lower())
def flown(request: pytest.FixtureRequest) -> dict[str, Any]:
    return measure(request.param)


def test_every_request_is_answered_once(flown: dict[str, Any]) -> None:
    counts = {flown[what] for what in ("asked", "ids", "completed", "right")}

    assert counts == {HOW_MANY}


def test_every_transaction_is_broadcast_once(flown: dict[str, Any]) -> None:
    methods = flown["sending"]["methods"]

    assert methods["eth_sendRawTransaction"] == HOW_MANY
    assert methods["eth_estimateGas"] == HOW_MANY


def test_sending_takes_few_http_requests(flown: dict[str, Any]) -> None:
    """Three to draft, and per 64 requests one to estimate, one to send and some for receipts."""
    assert flown["sending"]["http"] <= 40


def test_a_poll_takes_two_calls(flown: dict[str, Any]) -> None:
    methods = flown["waiting"]["methods"]
    answers = methods.pop("eth_call")
    # 0 if the node answered all requests before the wait: the first poll finds the answers.
    polls = methods.get("eth_getLogs", 0)

    assert 2 * polls <= sum(methods.values()) <= 2 * flown["waiting"]["http"]
    assert answers <= 2 * HOW_MANY + flown["waiting"]["http"]


def test_reading_999_requests_takes_one_http_request(flown: dict[str, Any]) -> None:
    assert (flown["reading"]["http"], flown["reading"]["rpc"]) == (1, READ + 1)
