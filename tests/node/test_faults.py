"""Whatever befalls a request, a backend, the chain or the worker, the others are answered."""

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

from .conftest import Listening, at_work, completed, on_one

Nodes = Callable[..., DtnNode]
COIN = 10**20


def failure_of(request: Any) -> str:
    with pytest.raises(NodeFailure) as failed:
        request.wait(timeout=20)
    return str(failed.value.reason)


def misbehaving(question: Question) -> Any:
    """Does what the prompt says."""
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


@on_one
def test_a_backend_that_fails_hangs_or_gives_garbage_stops_nothing(
    paying: DtnSession, node_of: Nodes, network: LocalNetwork
) -> None:
    bad = ["raise", "exit", "number", "nothing", "hang"]
    requests = [paying.request(each) for each in [*bad, "well?"]]

    with at_work(node_of(backend=misbehaving, at_once=2, timeout=1.0)):
        assert str(requests[-1].wait(timeout=20)) == "You asked: well?"
        said = [failure_of(each) for each in requests[:-1]]

    assert said == ["The backend failed"] * 4 + ["The backend took too long"]
    assert sorted(completed(network)) == sorted(each.id for each in requests)


@on_one
def test_a_stop_does_not_wait_for_a_backend_that_hangs(
    paying: DtnSession, node_of: Nodes, heard: Listening
) -> None:
    paying.request("hang")

    with at_work(node_of(backend=misbehaving)):
        heard.wait_for(EventKind.TAKEN)
        begun = time.monotonic()

    assert time.monotonic() - begun < 10
    assert [each.fields["left"] for each in heard.of(EventKind.STOPPED)] == [1]


GARBAGE = b"\xff" * 64, b""
# Some kilobytes that stand for some megabytes.
BOMB = encode(["string[]"], [["{0}" * 2000]]), encode(["string"], ["x" * 9000])


@pytest.mark.parametrize("call", [GARBAGE, BOMB], ids=["garbage", "bomb"])
def test_a_call_that_cannot_be_decoded_fails(
    paying: DtnSession, node_of: Nodes, call: tuple[bytes, bytes]
) -> None:
    asked, extra_params = call
    request = paying.send(replace(paying.draft("What?"), call=asked, extra_params=extra_params))

    with at_work(node_of()):
        assert failure_of(request) == "P0011: Call not parsable"


@on_one
def test_a_backend_that_is_not_there_yet_is_asked_again(
    paying: DtnSession, node_of: Nodes, heard: Listening
) -> None:
    asked = []

    def starting(question: Question) -> str:
        asked.append(question.text)
        if question.text == "never" or len(asked) < 3:
            raise BackendUnavailable("It is starting")
        return echo(question)

    with at_work(node_of(backend=starting, timeout=7.0, at_once=1)):
        assert str(paying.request("soon").wait(timeout=20)) == "You asked: soon"
        assert asked == ["soon"] * 3
        assert failure_of(paying.request("never")) == "It is starting"
    assert {each.fields["reason"] for each in heard.of(EventKind.RETRIED)} == {"It is starting"}


@on_one
def test_what_offers_too_little_is_left_until_the_terms_change(
    paying: DtnSession, node_of: Nodes, own_data: object
) -> None:
    from ape_dtn.node.store import open_ledger

    little = paying.request("little", fee_per_byte="0.000001")
    enough = paying.request("enough", fee_per_byte="0.00001")
    ledger = open_ledger(paying.ai, node_of().id)

    with at_work(node_of(terms=AcceptanceTerms(minimum_fee=10), ledger=ledger)):
        enough.wait(timeout=20)
        assert little.status is Status.PENDING
    with at_work(node_of(terms=AcceptanceTerms(minimum_fee=1), ledger=ledger)):
        assert str(little.wait(timeout=20)) == "You asked: little"


@on_one
def test_what_was_asked_while_it_was_inactive_is_answered_when_it_is_active_again(
    network: LocalNetwork, paying: DtnSession, node_of: Nodes, cast: Cast
) -> None:
    def set_active(is_active: bool) -> None:
        send_steps(network.ai, cast.owner, status_steps(network.ai, cast.owner, NODE, is_active))

    with at_work(node_of()):
        paying.request("before").wait(timeout=20)
        set_active(False)
        meanwhile = paying.request("meanwhile", may_never_complete=True)
        time.sleep(1)
        set_active(True)
        paying.request("after").wait(timeout=20)
        assert str(meanwhile.wait(timeout=20)) == "You asked: meanwhile"


def test_a_callback_that_wants_all_the_gas_there_is_holds_up_nobody(
    paying: DtnSession, node_of: Nodes
) -> None:
    from ape_dtn.requests.options import Callback

    target = paying.ai.contracts().model_manager
    greedy = Callback(target, "a(bytes32)", "b(bytes32)", gas=10**14)
    hostile = paying.request("Pay for it", callback=greedy)
    request = paying.request("And me?")

    with at_work(node_of()):
        request.wait(timeout=20)
    assert hostile.status is Status.PENDING


def test_a_request_whose_session_is_closed_is_not_asked_of_a_backend(
    paying: DtnSession, node_of: Nodes, cast: Cast, heard: Listening
) -> None:
    asked: list[str] = []

    def noting(question: Question) -> str:
        asked.append(question.text)
        return echo(question)

    paying.request("stranded")
    paying.close(force=True)
    other = DtnSession.start("5", cast.customer, paying.ai)

    with at_work(node_of(backend=noting)):
        assert str(other.request("open").wait(timeout=20)) == "You asked: open"

    assert asked == ["open"]
    assert len(heard.of(EventKind.REFUSED)) == 1


@on_one
def test_a_session_that_is_closed_while_the_backend_thinks_stops_nothing(
    paying: DtnSession, node_of: Nodes, cast: Cast, heard: Listening
) -> None:
    asked, closed = threading.Event(), threading.Event()

    def slow(question: Question) -> str:
        asked.set()
        closed.wait(60)
        return echo(question)

    paying.request("stranded")
    with at_work(node_of(backend=slow)):
        assert asked.wait(60)
        paying.close(force=True)
        closed.set()
        heard.wait_for(EventKind.REFUSED)
        other = DtnSession.start("5", cast.customer, paying.ai)
        other.request("open").wait(timeout=20)


@on_one
def test_a_worker_without_coin_answers_once_it_has_some(
    paying: DtnSession, node_of: Nodes, cast: Cast, heard: Listening
) -> None:
    asked: list[str] = []

    def noting(question: Question) -> str:
        asked.append(question.text)
        return echo(question)

    provider, worker = paying.ai.provider, str(cast.worker.address)
    rpc.result(provider, "anvil_setBalance", [worker, "0x0"])
    requests = [paying.request(each) for each in "abc"]
    with at_work(node_of(backend=noting)):
        heard.wait_for(EventKind.RETRIED)
        rpc.result(provider, "anvil_setBalance", [worker, hex(COIN)])
        for each in requests:
            each.wait(timeout=30)

    assert sorted(asked) == ["a", "b", "c"]
    assert len(heard.of(EventKind.RETRIED)) == 1  # once, however long it lasts
    assert heard.of(EventKind.RECOVERED)


@on_one
@pytest.mark.parametrize("says_nothing", [False, True], ids=["gone", "null"])
def test_a_chain_that_cannot_be_reached_or_read_is_waited_for(
    paying: DtnSession,
    node_of: Nodes,
    network: LocalNetwork,
    heard: Listening,
    says_nothing: bool,
) -> None:
    from ape_dtn import DtnAi

    is_down = threading.Event()

    class Endpoint(RpcCounter):
        def answer(self, body: bytes) -> bytes:
            if not is_down.is_set():
                return super().answer(body)
            if says_nothing:  # as nodes that are behind the others of their endpoint
                return json.dumps([{**each, "result": None} for each in json.loads(body)]).encode()
            raise OSError("gone")

    endpoint = Endpoint(str(network.ai.provider.http_uri))
    with endpoint, connected_to(endpoint.url) as provider:
        node = node_of(ai=DtnAi(network.ai.router, provider))
        with at_work(node):
            heard.wait_for(EventKind.STARTED)
            is_down.set()
            heard.wait_for(EventKind.RETRIED)
            request = paying.request("Still there?")
            time.sleep(1.0)
            is_down.clear()
            assert str(request.wait(timeout=20)) == "You asked: Still there?"
    assert len(heard.of(EventKind.RETRIED)) == 1


@on_one
def test_an_answer_that_a_reorganisation_has_taken_is_sent_again_and_not_asked_for(
    paying: DtnSession, node_of: Nodes, heard: Listening
) -> None:
    asked: list[str] = []

    def noting(question: Question) -> str:
        asked.append(question.text)
        return f"{len(asked)}"

    provider = paying.ai.provider
    request = paying.request("What?")
    before = rpc.result(provider, "evm_snapshot", [])
    with at_work(node_of(backend=noting)):
        request.wait(timeout=20)
        heard.wait_for(EventKind.ANSWERED)
        rpc.result(provider, "evm_revert", [before])
        rpc.result(provider, "evm_mine", [])
        heard.wait_for(EventKind.ANSWERED, times=2)

    assert str(request.wait(timeout=5)) == "1"
    assert asked == ["What?"]
    assert heard.of(EventKind.REORGANISED)


@pytest.mark.parametrize("is_read", [True, False], ids=["is read", "is there"])
def test_a_question_that_gets_the_id_of_another_by_a_reorganisation_gets_its_own_answer(
    paying: DtnSession, node_of: Nodes, heard: Listening, is_read: bool
) -> None:
    """Under the reference variant an id is a place in a list."""
    is_asked, may_answer = threading.Event(), threading.Event()

    def slow(question: Question) -> Any:
        if question.text == "first":
            is_asked.set()
            may_answer.wait(20)
        return echo(question)

    provider = paying.ai.provider
    before = rpc.result(provider, "evm_snapshot", [])
    with at_work(node_of(backend=slow), poll=None if is_read else 3):
        paying.request("first")
        assert is_asked.wait(20)
        rpc.result(provider, "evm_revert", [before])
        if is_read:
            second = paying.request("second")
            heard.wait_for(EventKind.REORGANISED)
        else:
            heard.wait_for(EventKind.REORGANISED)
            second = paying.request("second")  # before the node looks the next time
        may_answer.set()
        assert str(second.wait(timeout=20)) == "You asked: second"


def test_a_chain_that_was_set_back_is_read_from_its_start(
    paying: DtnSession, node_of: Nodes
) -> None:
    node, provider = node_of(), paying.ai.provider
    before = rpc.result(provider, "evm_snapshot", [])
    paying.request_many(["a", "b", "c"])
    assert len(node.answer_pending()) == 3

    rpc.result(provider, "evm_revert", [before])
    anew = paying.request("d")

    assert node.answer_pending() == [anew.id]
