"""Requests and backends that are made to stop a node, to cost it money, or to say too much."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_abi import encode

from ape_dtn import DtnAi, DtnNode, DtnSession, Status
from ape_dtn.deployment.assemble import NODE, LocalNetwork, Variant
from ape_dtn.errors import BackendFailed
from ape_dtn.network.abi import Router
from ape_dtn.node.answering import CANNOT_BE_SENT, NOT_PARSABLE, TOO_LONG, Question
from ape_dtn.node.backends.echo import echo
from ape_dtn.node.events import EventKind
from ape_dtn.node.queue import AcceptanceTerms
from ape_dtn.node.registration import model_steps, registration_steps, send_steps, status_steps
from ape_dtn.node.store import Ledger
from ape_dtn.types.waiting import POLICY
from benchmarks.chain import connected_to
from benchmarks.rpc_counter import RpcCounter
from tests.conftest import Cast

from .conftest import Listening, at_work, on_one
from .test_faults import failure_of

Nodes = Callable[..., DtnNode]


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def shared(levels: int, items: int) -> bytes:
    """A list of lists of lists, each of which is the same one in all its places."""
    inside = word(items) + word(1) * items
    for _ in range(levels - 1):
        inside = word(items) + word(32 * items) * items + inside
    return word(32) + inside


@on_one
def test_lists_that_share_their_items_are_not_unfolded(paying: DtnSession, node_of: Nodes) -> None:
    draft = paying.draft("What?")
    # Some kilobytes that would be 24 to the power of ten numbers.
    kind = "uint8" + 10 * "[]"
    asked = replace(draft, call=encode(["string[]"], [[f"{{0:{kind}}}"]]))
    bomb = paying.send(replace(asked, extra_params=shared(10, 24)))
    long = paying.send(
        replace(draft, call=encode(["string[]"], [["{0:uint8" + 5000 * "[]" + "}"]]))
    )

    with at_work(node_of()):
        assert failure_of(bomb) == NOT_PARSABLE
        assert failure_of(long) == NOT_PARSABLE


@on_one
def test_what_cannot_be_sent_is_told_and_holds_up_nobody(
    paying: DtnSession, node_of: Nodes
) -> None:
    def answering(question: Question) -> str:
        match question.text:
            case "beyond a transaction":
                return "x" * 2_000_000
            case "beyond a block":
                return "x" * 120_000
            case "no text":
                raise BackendFailed(b"there is no \xff".decode(errors="surrogateescape"))
        return echo(question)

    said = {
        "beyond a transaction": TOO_LONG,
        "beyond a block": CANNOT_BE_SENT,
        "no text": "there is no ?",
    }
    requests = {each: paying.request(each) for each in said}

    with at_work(node_of(backend=answering)):
        assert {each: failure_of(request) for each, request in requests.items()} == said
        assert str(paying.request("well?").wait(timeout=20)) == "You asked: well?"


def test_a_price_that_cannot_be_counted_is_answered(
    paying: DtnSession, node_of: Nodes, heard: Listening, variant: Variant
) -> None:
    price = paying.ai.token().units(2**255)
    request = paying.send(replace(paying.draft("What?"), fee_per_byte=price))

    with at_work(node_of()):
        if variant is Variant.REFERENCE:  # what is too much to be counted is above the cap
            assert str(request.wait(timeout=20)) == "You asked: What?"
            assert request.cost().units == request.record.max_cost
        else:
            assert failure_of(request) == CANNOT_BE_SENT
    assert not heard.of(EventKind.REFUSED)


def test_a_request_that_trusts_only_another_node_is_left_alone(
    network: LocalNetwork, paying: DtnSession, cast: Cast, node_of: Nodes, heard: Listening
) -> None:
    asked: list[str] = []
    tried: set[str] = set()

    def noting(question: Question) -> str:
        asked.append(question.text)
        return echo(question)

    def watch(method: str, given: list[Any]) -> None:
        if method in ("eth_call", "eth_estimateGas"):
            data = bytes.fromhex(given[0]["data"][2:])
            if data.startswith(Router.respond_to_request.selector):
                tried.add("0x" + data[4:36].hex())

    model, another = network.ai.config.model, "node.tester.first"
    worker = str(cast.stranger.address)
    send_steps(
        network.ai,
        cast.customer,
        registration_steps(network.ai, cast.customer, another, worker, [model]),
    )
    paying.request("theirs", nodes=[another])
    mine = paying.request("mine", nodes=[NODE])
    endpoint = RpcCounter(str(network.ai.provider.http_uri), before=watch)

    with endpoint, connected_to(endpoint.url) as provider:
        node = node_of(ai=DtnAi(network.ai.router, provider), backend=noting)
        assert node.answer_pending() == [mine.id]

    assert (asked, tried) == (["mine"], {mine.id})
    assert not heard.of(EventKind.REFUSED)


@on_one
def test_a_price_that_the_max_cost_takes_back_is_none(paying: DtnSession, node_of: Nodes) -> None:
    nothing: Any = paying.ai.token().units(0)
    stingy = paying.send(replace(paying.draft("stingy"), max_cost=nothing))

    with at_work(node_of(terms=AcceptanceTerms(minimum_fee=10))):
        paying.request("fair").wait(timeout=20)
        assert stingy.status is Status.PENDING


@pytest.mark.parametrize("length", [0, 40])
def test_an_honest_list_is_read(length: int) -> None:
    from ape_dtn.types.prompt import fill_in

    numbers = [[[place]] for place in range(length)]
    extra_params = encode(["uint8[][][]"], [numbers])

    shown = ",".join(map(str, range(length)))
    assert fill_in(["{0:uint8[][][]}"], extra_params) == [shown]


@on_one
def test_a_model_that_is_served_later_is_answered_for_though_nothing_else_is_asked(
    network: LocalNetwork,
    paying: DtnSession,
    node_of: Nodes,
    cast: Cast,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(POLICY, "node_registration_check", 0.5)
    later = "model.system.openai-gpt-5-mini"

    def serve(**given: list[str]) -> None:
        send_steps(network.ai, cast.owner, model_steps(network.ai, cast.owner, NODE, **given))

    serve(remove=[later])
    with at_work(node_of()):
        paying.request("first").wait(timeout=20)
        request = paying.request("What?", model=later, nodes=[NODE], may_never_complete=True)
        time.sleep(1)
        serve(add=[later])
        assert str(request.wait(timeout=20)) == "You asked: What?"


@on_one
def test_an_answer_that_is_refused_while_the_node_is_inactive_is_sent_when_it_is_active(
    network: LocalNetwork,
    paying: DtnSession,
    node_of: Nodes,
    cast: Cast,
    heard: Listening,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(POLICY, "node_registration_check", 0.5)
    asked, go = threading.Event(), threading.Event()

    def slow(question: Question) -> str:
        asked.set()
        go.wait(60)
        return echo(question)

    def set_active(is_active: bool) -> None:
        send_steps(network.ai, cast.owner, status_steps(network.ai, cast.owner, NODE, is_active))

    request = paying.request("What?")
    with at_work(node_of(backend=slow)):
        assert asked.wait(60)
        set_active(False)
        go.set()
        heard.wait_for(EventKind.REFUSED)
        time.sleep(1)  # until it has looked why
        set_active(True)
        assert str(request.wait(timeout=20)) == "You asked: What?"


@on_one
def test_a_disk_that_cannot_be_written_stops_nothing_and_is_told_once(
    paying: DtnSession, node_of: Nodes, heard: Listening, tmp_path: Path
) -> None:
    ledger, asked, go = Ledger(tmp_path / "ledger"), threading.Event(), threading.Event()

    def slow(question: Question) -> str:
        asked.set()
        go.wait(60)
        return echo(question)

    def be_writable(is_writable: bool) -> None:
        with ledger._lock:
            ledger._database.execute(f"pragma query_only = {not is_writable}")

    with at_work(node_of(backend=slow, ledger=ledger)):
        first = paying.request("first")
        assert asked.wait(60)
        be_writable(False)
        go.set()
        heard.wait_for(EventKind.RETRIED)
        second = paying.request("second")
        heard.wait_for(EventKind.RETRIED, 2)
        time.sleep(1.5)
        assert (len(heard.of(EventKind.RETRIED)), len(heard.of(EventKind.RECOVERED))) == (2, 0)
        be_writable(True)
        answers = [str(each.wait(timeout=20)) for each in (first, second)]
    assert answers == ["You asked: first", "You asked: second"]
