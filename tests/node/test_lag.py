"""Out-of-sync nodes behind an endpoint make the node lose neither requests nor money."""

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
from ape_dtn.types.polling import POLICY
from ape_dtn.types.rpc import as_int
from tests.conftest import Cast
from tests.sdk.conftest import Answer, Through, through

from .conftest import EventLog, completed_ids, on_one_variant, serving
from .test_faults import failure_of, misbehaving

__all__ = ["through"]  # a fixture

Nodes = Callable[..., DtnNode]

# Which node answers the successive HTTP requests that simulate a response: A, which is in sync and
# answers all later ones, or B. A response is simulated when the request is claimed and before it is
# sent, and each time again after a revert.
CLAIMING = ["B", "BB", "BBBB"]
SENDING = ["AB", "ABB", "ABBBB"]


def lagging_endpoint(provider: Any, turns: str, blocks: int = 1) -> Answer:
    """An endpoint with two nodes, of which B stays `blocks` behind the current block."""
    head_of_b = as_int(rpc.result(provider, "eth_blockNumber", [])) - blocks
    order: Iterator[str] = iter(turns)

    def answer(body: bytes, chain: Callable[[bytes], bytes]) -> bytes:
        if Router.respond_to_request.selector.hex().encode() not in body:
            return chain(body)
        calls = json.loads(body)
        if b"eth_sendRawTransaction" in body or next(order, "A") == "A":
            return chain(body)
        for call in calls if isinstance(calls, list) else [calls]:
            if call["method"] in ("eth_call", "eth_estimateGas"):
                call["params"] = [call["params"][0], hex(head_of_b)]
        return chain(json.dumps(calls).encode())

    return answer


@pytest.mark.parametrize("turns", CLAIMING + SENDING)
def test_a_request_unknown_to_a_lagging_node_is_answered(
    network: LocalNetwork,
    session: DtnSession,
    make_node: Nodes,
    events: EventLog,
    through: Through,
    turns: str,
) -> None:
    questions: list[str] = []

    def recording(question: Question) -> str:
        questions.append(question.text)
        return echo(question)

    request = session.request("What?")
    endpoint = lagging_endpoint(network.ai.provider, turns)

    with through(endpoint) as ai, serving(make_node(ai=ai, backend=recording)):
        assert str(request.wait(timeout=20)) == "You asked: What?"
        events.wait_for(EventKind.ANSWERED)

    assert questions == ["What?"]
    assert completed_ids(network) == [request.id]
    assert not events.of(EventKind.REFUSED)
    assert len(events.of(EventKind.RETRIED)) <= 1  # reported once


@on_one_variant
@pytest.mark.parametrize("turns", SENDING)
def test_a_failure_is_sent_despite_a_lagging_node(
    network: LocalNetwork,
    session: DtnSession,
    make_node: Nodes,
    through: Through,
    turns: str,
) -> None:
    request = session.request("raise")
    endpoint = lagging_endpoint(network.ai.provider, turns)

    with through(endpoint) as ai, serving(make_node(ai=ai, backend=misbehaving)):
        assert failure_of(request) == "The backend failed"


def test_the_cursor_does_not_pass_postponed_requests(
    network: LocalNetwork, session: DtnSession, make_node: Nodes, through: Through
) -> None:
    ledger = Ledger()
    request = session.request("What?")

    with through(lagging_endpoint(network.ai.provider, "BB")) as ai:
        node = make_node(ai=ai, ledger=ledger)
        assert node.answer_pending() == []
        node.scan()

    assert make_node(ledger=ledger).answer_pending() == [request.id]


@on_one_variant
def test_no_failure_replaces_an_answer_that_another_process_sent_first(
    network: LocalNetwork,
    session: DtnSession,
    make_node: Nodes,
    cast: Cast,
    events: EventLog,
    through: Through,
) -> None:
    started, release = threading.Event(), threading.Event()

    def slow(question: Question) -> str:
        started.set()
        release.wait(60)
        return echo(question)

    request = session.request("What?")
    # B, which does not know the other answer, would accept a FAILURE, which would then be mined.
    endpoint = lagging_endpoint(network.ai.provider, "AAAB", blocks=0)

    with through(endpoint) as ai, serving(make_node(ai=ai, backend=slow)):
        assert started.wait(60)
        assert network.node.answer_pending() == [request.id]
        nonce = cast.worker.nonce
        release.set()
        events.wait_for(EventKind.REFUSED)

    assert cast.worker.nonce == nonce


@on_one_variant
def test_an_answer_is_abandoned_after_a_reorganisation_removes_its_request(
    session: DtnSession, make_node: Nodes, events: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(POLICY, "node_refusals", 2)
    started, release = threading.Event(), threading.Event()

    def slow(question: Question) -> str:
        started.set()
        release.wait(60)
        return echo(question)

    provider = session.ai.provider
    snapshot = rpc.result(provider, "evm_snapshot", [])
    session.request("What?")
    with serving(make_node(backend=slow)):
        assert started.wait(60)
        rpc.result(provider, "evm_revert", [snapshot])
        rpc.result(provider, "evm_mine", [])
        events.wait_for(EventKind.REORGANISED)
        release.set()
        events.wait_for(EventKind.REFUSED)
    assert [event.fields["left"] for event in events.of(EventKind.STOPPED)] == [0]
