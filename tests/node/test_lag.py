"""Of the nodes behind an endpoint one is behind the others: nothing is lost, and nothing paid."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ape_dtn import DtnNode, DtnSession
from ape_dtn.chain import rpc
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.network.abi import Router
from ape_dtn.node.answering import Question
from ape_dtn.node.backends.echo import echo
from ape_dtn.node.events import EventKind
from ape_dtn.node.store import Ledger
from ape_dtn.types.rpc import as_int
from ape_dtn.types.waiting import POLICY
from tests.conftest import Cast
from tests.sdk.conftest import Answer, Through, through

from .conftest import Listening, at_work, completed, on_one
from .test_faults import failure_of, misbehaving

__all__ = ["through"]  # a fixture

Nodes = Callable[..., DtnNode]

# Who answers the HTTP requests in which a response is tried out, one after the other, and from then
# on always A: the node that is not behind. It is tried out when the request is taken, then again
# before it is sent, and each time once more where it is refused.
TAKING = ["B", "BB", "BBBB"]
SENDING = ["AB", "ABB", "ABBBB"]


def with_one_behind(provider: Any, who: str, blocks: int = 1) -> Answer:
    """An endpoint with two nodes behind it: B stays so many blocks before the one of now."""
    behind = as_int(rpc.result(provider, "eth_blockNumber", [])) - blocks
    turns: Iterator[str] = iter(who)

    def opinion(body: bytes, chain: Callable[[bytes], bytes]) -> bytes:
        if Router.respond_to_request.selector.hex().encode() not in body:
            return chain(body)
        asked = json.loads(body)
        if b"eth_sendRawTransaction" in body or next(turns, "A") == "A":
            return chain(body)
        for call in asked if isinstance(asked, list) else [asked]:
            if call["method"] in ("eth_call", "eth_estimateGas"):
                call["params"] = [call["params"][0], hex(behind)]
        return chain(json.dumps(asked).encode())

    return opinion


@pytest.mark.parametrize("who", TAKING + SENDING)
def test_a_request_that_a_node_behind_the_endpoint_does_not_have_yet_is_answered(
    network: LocalNetwork,
    paying: DtnSession,
    node_of: Nodes,
    heard: Listening,
    through: Through,
    who: str,
) -> None:
    asked: list[str] = []

    def noting(question: Question) -> str:
        asked.append(question.text)
        return echo(question)

    request = paying.request("What?")
    endpoint = with_one_behind(network.ai.provider, who)

    with through(endpoint) as ai, at_work(node_of(ai=ai, backend=noting)):
        assert str(request.wait(timeout=20)) == "You asked: What?"
        heard.wait_for(EventKind.ANSWERED)

    assert asked == ["What?"]
    assert completed(network) == [request.id]
    assert not heard.of(EventKind.REFUSED)
    assert len(heard.of(EventKind.RETRIED)) <= 1  # once, however long it lasts


@on_one
@pytest.mark.parametrize("who", SENDING)
def test_a_failure_that_a_node_behind_the_endpoint_does_not_take_yet_is_sent(
    network: LocalNetwork,
    paying: DtnSession,
    node_of: Nodes,
    through: Through,
    who: str,
) -> None:
    request = paying.request("raise")
    endpoint = with_one_behind(network.ai.provider, who)

    with through(endpoint) as ai, at_work(node_of(ai=ai, backend=misbehaving)):
        assert failure_of(request) == "The backend failed"


def test_what_is_put_off_is_not_passed_by_the_cursor(
    network: LocalNetwork, paying: DtnSession, node_of: Nodes, through: Through
) -> None:
    ledger = Ledger()
    request = paying.request("What?")

    with through(with_one_behind(network.ai.provider, "BB")) as ai:
        node = node_of(ai=ai, ledger=ledger)
        assert node.answer_pending() == []
        node.scan()

    assert node_of(ledger=ledger).answer_pending() == [request.id]


@on_one
def test_in_place_of_an_answer_that_another_was_faster_than_nothing_is_sent(
    network: LocalNetwork,
    paying: DtnSession,
    node_of: Nodes,
    cast: Cast,
    heard: Listening,
    through: Through,
) -> None:
    asked, go = threading.Event(), threading.Event()

    def slow(question: Question) -> str:
        asked.set()
        go.wait(60)
        return echo(question)

    request = paying.request("What?")
    # A failure in its place would be tried out by B, which knows of no answer, and be mined.
    endpoint = with_one_behind(network.ai.provider, "AAAB", blocks=0)

    with through(endpoint) as ai, at_work(node_of(ai=ai, backend=slow)):
        assert asked.wait(60)
        assert network.node.answer_pending() == [request.id]
        sent = cast.worker.nonce
        go.set()
        heard.wait_for(EventKind.REFUSED)

    assert cast.worker.nonce == sent


@on_one
def test_an_answer_whose_request_a_reorganisation_has_taken_is_given_up(
    paying: DtnSession, node_of: Nodes, heard: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(POLICY, "node_refusals", 2)
    asked, go = threading.Event(), threading.Event()

    def slow(question: Question) -> str:
        asked.set()
        go.wait(60)
        return echo(question)

    provider = paying.ai.provider
    before = rpc.result(provider, "evm_snapshot", [])
    paying.request("What?")
    with at_work(node_of(backend=slow)):
        assert asked.wait(60)
        rpc.result(provider, "evm_revert", [before])
        rpc.result(provider, "evm_mine", [])
        heard.wait_for(EventKind.REORGANISED)
        go.set()
        heard.wait_for(EventKind.REFUSED)
    assert [each.fields["left"] for each in heard.of(EventKind.STOPPED)] == [0]
