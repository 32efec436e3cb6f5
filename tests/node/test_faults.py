"""Faults of a request, backend, chain or worker do not affect other requests."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from eth_abi import encode

from ape_dtn import DtnNode, DtnSession, Status
from ape_dtn.chain import rpc
from ape_dtn.deployment.assemble import NODE, LocalNetwork
from ape_dtn.errors import BackendUnavailable, NodeFailure
from ape_dtn.node.answering import Question
from ape_dtn.node.backends.echo import echo
from ape_dtn.node.events import EventKind
from ape_dtn.node.queue import AcceptanceTerms
from ape_dtn.node.registration import send_steps, status_steps
from benchmarks.chain import connected_to
from benchmarks.rpc_counter import RpcCounter
from tests.conftest import Cast

from .conftest import EventLog, completed_ids, on_one_variant, serving

Nodes = Callable[..., DtnNode]
BALANCE = 10**20


def failure_of(request: Any) -> str:
    with pytest.raises(NodeFailure) as error:
        request.wait(timeout=20)
    return str(error.value.reason)


def misbehaving(question: Question) -> Any:
    """Misbehaves as the prompt says."""
    match question.text:
        case "raise":
            raise RuntimeError("secret")
        case "exit":
            sys.exit(1)
        case "number":
            return 7
        case "nothing":
            return None
        case "hang":
            threading.Event().wait()
    return echo(question)


@on_one_variant
def test_a_faulty_backend_does_not_stop_the_node(
    session: DtnSession, make_node: Nodes, network: LocalNetwork
) -> None:
    bad = ["raise", "exit", "number", "nothing", "hang"]
    requests = [session.request(prompt) for prompt in [*bad, "well?"]]

    with serving(make_node(backend=misbehaving, at_once=2, timeout=1.0)):
        assert str(requests[-1].wait(timeout=20)) == "You asked: well?"
        failures = [failure_of(request) for request in requests[:-1]]

    assert failures == ["The backend failed"] * 4 + ["The backend took too long"]
    assert sorted(completed_ids(network)) == sorted(request.id for request in requests)


@on_one_variant
def test_stopping_does_not_wait_for_a_hanging_backend(
    session: DtnSession, make_node: Nodes, events: EventLog
) -> None:
    session.request("hang")

    with serving(make_node(backend=misbehaving)):
        events.wait_for(EventKind.TAKEN)
        started = time.monotonic()

    assert time.monotonic() - started < 10
    assert [event.fields["left"] for event in events.of(EventKind.STOPPED)] == [1]


GARBAGE = b"\xff" * 64, b""
# A few kilobytes that expand to megabytes.
BOMB = encode(["string[]"], [["{0}" * 2000]]), encode(["string"], ["x" * 9000])


@pytest.mark.parametrize("call", [GARBAGE, BOMB], ids=["garbage", "bomb"])
def test_an_undecodable_call_gets_a_failure(
    session: DtnSession, make_node: Nodes, call: tuple[bytes, bytes]
) -> None:
    encoded, extra_params = call
    request = session.send(replace(session.draft("What?"), call=encoded, extra_params=extra_params))

    with serving(make_node()):
        assert failure_of(request) == "P0011: Call not parsable"


@on_one_variant
def test_an_unavailable_backend_is_asked_again(
    session: DtnSession, make_node: Nodes, events: EventLog
) -> None:
    questions = []

    def starting(question: Question) -> str:
        questions.append(question.text)
        if question.text == "never" or len(questions) < 3:
            raise BackendUnavailable("It is starting")
        return echo(question)

    with serving(make_node(backend=starting, timeout=7.0, at_once=1)):
        assert str(session.request("soon").wait(timeout=20)) == "You asked: soon"
        assert questions == ["soon"] * 3
        assert failure_of(session.request("never")) == "It is starting"
    assert {event.fields["reason"] for event in events.of(EventKind.RETRIED)} == {"It is starting"}


@on_one_variant
def test_a_request_below_the_minimum_fee_waits_for_other_terms(
    session: DtnSession, make_node: Nodes, data_folder: object
) -> None:
    from ape_dtn.node.store import open_ledger

    low = session.request("low", fee_per_byte="0.000001")
    sufficient = session.request("sufficient", fee_per_byte="0.00001")
    ledger = open_ledger(session.ai, make_node().id)

    with serving(make_node(terms=AcceptanceTerms(minimum_fee=10), ledger=ledger)):
        sufficient.wait(timeout=20)
        assert low.status is Status.PENDING
    with serving(make_node(terms=AcceptanceTerms(minimum_fee=1), ledger=ledger)):
        assert str(low.wait(timeout=20)) == "You asked: low"


@on_one_variant
def test_requests_made_while_inactive_are_answered_after_activation(
    network: LocalNetwork, session: DtnSession, make_node: Nodes, cast: Cast
) -> None:
    def set_active(is_active: bool) -> None:
        send_steps(network.ai, cast.owner, status_steps(network.ai, cast.owner, NODE, is_active))

    with serving(make_node()):
        session.request("before").wait(timeout=20)
        set_active(False)
        while_inactive = session.request("while_inactive", may_never_complete=True)
        time.sleep(1)
        set_active(True)
        session.request("after").wait(timeout=20)
        assert str(while_inactive.wait(timeout=20)) == "You asked: while_inactive"


def test_a_callback_with_excessive_gas_does_not_block_others(
    session: DtnSession, make_node: Nodes
) -> None:
    from ape_dtn.requests.options import Callback

    target = session.ai.contracts().model_manager
    greedy = Callback(target, "a(bytes32)", "b(bytes32)", gas=10**14)
    hostile = session.request("Pay for it", callback=greedy)
    request = session.request("And me?")

    with serving(make_node()):
        request.wait(timeout=20)
    assert hostile.status is Status.PENDING


def test_requests_of_a_closed_session_do_not_reach_the_backend(
    session: DtnSession, make_node: Nodes, cast: Cast, events: EventLog
) -> None:
    questions: list[str] = []

    def recording(question: Question) -> str:
        questions.append(question.text)
        return echo(question)

    session.request("stranded")
    session.close(force=True)
    other = DtnSession.start("5", cast.customer, session.ai)

    with serving(make_node(backend=recording)):
        assert str(other.request("open").wait(timeout=20)) == "You asked: open"

    assert questions == ["open"]
    assert len(events.of(EventKind.REFUSED)) == 1


@on_one_variant
def test_a_session_closed_during_an_answer_does_not_stop_the_node(
    session: DtnSession, make_node: Nodes, cast: Cast, events: EventLog
) -> None:
    started, closed = threading.Event(), threading.Event()

    def slow(question: Question) -> str:
        started.set()
        closed.wait(60)
        return echo(question)

    session.request("stranded")
    with serving(make_node(backend=slow)):
        assert started.wait(60)
        session.close(force=True)
        closed.set()
        events.wait_for(EventKind.REFUSED)
        other = DtnSession.start("5", cast.customer, session.ai)
        other.request("open").wait(timeout=20)


@on_one_variant
def test_a_worker_without_gas_money_answers_after_a_top_up(
    session: DtnSession, make_node: Nodes, cast: Cast, events: EventLog
) -> None:
    questions: list[str] = []

    def recording(question: Question) -> str:
        questions.append(question.text)
        return echo(question)

    provider, worker = session.ai.provider, str(cast.worker.address)
    rpc.result(provider, "anvil_setBalance", [worker, "0x0"])
    requests = [session.request(prompt) for prompt in "abc"]
    with serving(make_node(backend=recording)):
        events.wait_for(EventKind.RETRIED)
        rpc.result(provider, "anvil_setBalance", [worker, hex(BALANCE)])
        for request in requests:
            request.wait(timeout=30)

    assert sorted(questions) == ["a", "b", "c"]
    assert len(events.of(EventKind.RETRIED)) == 1  # reported once
    assert events.of(EventKind.RECOVERED)


@on_one_variant
@pytest.mark.parametrize("answers_null", [False, True], ids=["gone", "null"])
def test_the_node_waits_for_an_unreachable_or_unreadable_chain(
    session: DtnSession,
    make_node: Nodes,
    network: LocalNetwork,
    events: EventLog,
    answers_null: bool,
) -> None:
    from ape_dtn import DtnAi

    is_down = threading.Event()

    class Endpoint(RpcCounter):
        def answer(self, body: bytes) -> bytes:
            if not is_down.is_set():
                return super().answer(body)
            if answers_null:  # like a node that is out of sync
                return json.dumps([{**call, "result": None} for call in json.loads(body)]).encode()
            raise OSError("gone")

    endpoint = Endpoint(str(network.ai.provider.http_uri))
    with endpoint, connected_to(endpoint.url) as provider:
        node = make_node(ai=DtnAi(network.ai.router, provider))
        with serving(node):
            events.wait_for(EventKind.STARTED)
            is_down.set()
            events.wait_for(EventKind.RETRIED)
            request = session.request("Still there?")
            time.sleep(1.0)
            is_down.clear()
            assert str(request.wait(timeout=20)) == "You asked: Still there?"
    assert len(events.of(EventKind.RETRIED)) == 1


@on_one_variant
def test_an_answer_lost_in_a_reorganisation_is_sent_again_without_the_backend(
    session: DtnSession, make_node: Nodes, events: EventLog
) -> None:
    questions: list[str] = []

    def recording(question: Question) -> str:
        questions.append(question.text)
        return f"{len(questions)}"

    provider = session.ai.provider
    request = session.request("What?")
    snapshot = rpc.result(provider, "evm_snapshot", [])
    with serving(make_node(backend=recording)):
        request.wait(timeout=20)
        events.wait_for(EventKind.ANSWERED)
        rpc.result(provider, "evm_revert", [snapshot])
        rpc.result(provider, "evm_mine", [])
        events.wait_for(EventKind.ANSWERED, times=2)

    assert str(request.wait(timeout=5)) == "1"
    assert questions == ["What?"]
    assert events.of(EventKind.REORGANISED)


@pytest.mark.parametrize("is_scanned", [True, False], ids=["scanned", "not scanned"])
def test_a_question_that_inherits_an_id_gets_its_own_answer(
    session: DtnSession, make_node: Nodes, events: EventLog, is_scanned: bool
) -> None:
    """In the reference variant, ids are positions in a list, which a reorganisation frees."""
    is_asked, may_answer = threading.Event(), threading.Event()

    def slow(question: Question) -> Any:
        if question.text == "first":
            is_asked.set()
            may_answer.wait(20)
        return echo(question)

    provider = session.ai.provider
    snapshot = rpc.result(provider, "evm_snapshot", [])
    with serving(make_node(backend=slow), poll=None if is_scanned else 3):
        session.request("first")
        assert is_asked.wait(20)
        rpc.result(provider, "evm_revert", [snapshot])
        if is_scanned:
            second = session.request("second")
            events.wait_for(EventKind.REORGANISED)
        else:
            events.wait_for(EventKind.REORGANISED)
            second = session.request("second")  # before the node's next scan
        may_answer.set()
        assert str(second.wait(timeout=20)) == "You asked: second"


def test_a_shorter_chain_is_read_from_its_start(session: DtnSession, make_node: Nodes) -> None:
    node, provider = make_node(), session.ai.provider
    snapshot = rpc.result(provider, "evm_snapshot", [])
    session.request_many(["a", "b", "c"])
    assert len(node.answer_pending()) == 3

    rpc.result(provider, "evm_revert", [snapshot])
    request = session.request("d")

    assert node.answer_pending() == [request.id]
