"""Requests and backends crafted to stop a node, cost it money, or leak its secrets."""

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
from ape_dtn.types.polling import POLICY
from benchmarks.chain import connected_to
from benchmarks.rpc_counter import RpcCounter
from tests.conftest import Cast

from .conftest import EventLog, on_one_variant, serving
from .test_faults import failure_of

Nodes = Callable[..., DtnNode]


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def nested_list(levels: int, items: int) -> bytes:
    """Encodes nested lists whose items all point to the same list."""
    encoded = word(items) + word(1) * items
    for _ in range(levels - 1):
        encoded = word(items) + word(32 * items) * items + encoded
    return word(32) + encoded


@on_one_variant
def test_lists_with_shared_items_are_not_expanded(session: DtnSession, make_node: Nodes) -> None:
    draft = session.draft("What?")
    # A few kilobytes that expand to 24^10 numbers.
    kind = "uint8" + 10 * "[]"
    template = replace(draft, call=encode(["string[]"], [[f"{{0:{kind}}}"]]))
    bomb = session.send(replace(template, extra_params=nested_list(10, 24)))
    deep = session.send(
        replace(draft, call=encode(["string[]"], [["{0:uint8" + 5000 * "[]" + "}"]]))
    )

    with serving(make_node()):
        assert failure_of(bomb) == NOT_PARSABLE
        assert failure_of(deep) == NOT_PARSABLE


@on_one_variant
def test_unsendable_answers_fail_and_do_not_block_others(
    session: DtnSession, make_node: Nodes
) -> None:
    def backend(question: Question) -> str:
        match question.text:
            case "beyond a transaction":
                return "x" * 2_000_000
            case "beyond a block":
                return "x" * 120_000
            case "no text":
                raise BackendFailed(b"there is no \xff".decode(errors="surrogateescape"))
        return echo(question)

    failures = {
        "beyond a transaction": TOO_LONG,
        "beyond a block": CANNOT_BE_SENT,
        "no text": "there is no ?",
    }
    requests = {prompt: session.request(prompt) for prompt in failures}

    with serving(make_node(backend=backend)):
        assert {prompt: failure_of(requests[prompt]) for prompt in requests} == failures
        assert str(session.request("well?").wait(timeout=20)) == "You asked: well?"


@on_one_variant
def test_surrogates_do_not_lose_the_answer(session: DtnSession, make_node: Nodes) -> None:
    request = session.request("What?")

    with serving(make_node(backend=lambda _: "smile \ud83d\ude42 \ud83d")):
        assert str(request.wait(timeout=20)) == "smile 🙂 \ufffd"


def test_a_fee_that_overflows_is_answered(
    session: DtnSession, make_node: Nodes, events: EventLog, variant: Variant
) -> None:
    price = session.ai.token().units(2**255)
    request = session.send(replace(session.draft("What?"), fee_per_byte=price))

    with serving(make_node()):
        if variant is Variant.REFERENCE:  # the overflowing fee is capped at the maximum cost
            assert str(request.wait(timeout=20)) == "You asked: What?"
            assert request.cost().units == request.record.max_cost
        else:
            assert failure_of(request) == CANNOT_BE_SENT
    assert not events.of(EventKind.REFUSED)


def test_requests_for_other_nodes_are_ignored(
    network: LocalNetwork, session: DtnSession, cast: Cast, make_node: Nodes, events: EventLog
) -> None:
    questions: list[str] = []
    simulated: set[str] = set()

    def recording(question: Question) -> str:
        questions.append(question.text)
        return echo(question)

    def watch(method: str, params: list[Any]) -> None:
        if method in ("eth_call", "eth_estimateGas"):
            data = bytes.fromhex(params[0]["data"][2:])
            if data.startswith(Router.respond_to_request.selector):
                simulated.add("0x" + data[4:36].hex())

    model, another = network.ai.config.model, "node.tester.first"
    worker = str(cast.stranger.address)
    send_steps(
        network.ai,
        cast.customer,
        registration_steps(network.ai, cast.customer, another, worker, [model]),
    )
    session.request("theirs", nodes=[another])
    mine = session.request("mine", nodes=[NODE])
    endpoint = RpcCounter(str(network.ai.provider.http_uri), before=watch)

    with endpoint, connected_to(endpoint.url) as provider:
        node = make_node(ai=DtnAi(network.ai.router, provider), backend=recording)
        assert node.answer_pending() == [mine.id]

    assert (questions, simulated) == (["mine"], {mine.id})
    assert not events.of(EventKind.REFUSED)


@on_one_variant
def test_a_low_max_cost_does_not_meet_the_minimum_fee(
    session: DtnSession, make_node: Nodes
) -> None:
    zero: Any = session.ai.token().units(0)
    capped = session.send(replace(session.draft("capped"), max_cost=zero))

    with serving(make_node(terms=AcceptanceTerms(minimum_fee=10))):
        session.request("fair").wait(timeout=20)
        assert capped.status is Status.PENDING


@pytest.mark.parametrize("length", [0, 40])
def test_an_ordinary_nested_list_is_decoded(length: int) -> None:
    from ape_dtn.types.prompt import fill_in

    numbers = [[[number]] for number in range(length)]
    extra_params = encode(["uint8[][][]"], [numbers])

    text = ",".join(map(str, range(length)))
    assert fill_in(["{0:uint8[][][]}"], extra_params) == [text]


@on_one_variant
def test_requests_for_a_model_added_later_are_answered(
    network: LocalNetwork,
    session: DtnSession,
    make_node: Nodes,
    cast: Cast,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(POLICY, "node_registration_check", 0.5)
    later = "model.system.openai-gpt-5-mini"

    def change_models(**change: list[str]) -> None:
        send_steps(network.ai, cast.owner, model_steps(network.ai, cast.owner, NODE, **change))

    change_models(remove=[later])
    with serving(make_node()):
        session.request("first").wait(timeout=20)
        request = session.request("What?", model=later, nodes=[NODE], may_never_complete=True)
        time.sleep(1)
        change_models(add=[later])
        assert str(request.wait(timeout=20)) == "You asked: What?"


@on_one_variant
def test_an_answer_rejected_while_inactive_is_sent_after_activation(
    network: LocalNetwork,
    session: DtnSession,
    make_node: Nodes,
    cast: Cast,
    events: EventLog,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(POLICY, "node_registration_check", 0.5)
    started, release = threading.Event(), threading.Event()

    def slow(question: Question) -> str:
        started.set()
        release.wait(60)
        return echo(question)

    def set_active(is_active: bool) -> None:
        send_steps(network.ai, cast.owner, status_steps(network.ai, cast.owner, NODE, is_active))

    request = session.request("What?")
    with serving(make_node(backend=slow)):
        assert started.wait(60)
        set_active(False)
        release.set()
        events.wait_for(EventKind.REFUSED)
        time.sleep(1)  # until the registration is read
        set_active(True)
        assert str(request.wait(timeout=20)) == "You asked: What?"


@on_one_variant
def test_an_unwritable_disk_is_reported_once_and_does_not_stop_the_node(
    session: DtnSession, make_node: Nodes, events: EventLog, tmp_path: Path
) -> None:
    ledger, started, release = Ledger(tmp_path / "ledger"), threading.Event(), threading.Event()

    def slow(question: Question) -> str:
        started.set()
        release.wait(60)
        return echo(question)

    def set_writable(is_writable: bool) -> None:
        with ledger._lock:
            ledger._database.execute(f"pragma query_only = {not is_writable}")

    with serving(make_node(backend=slow, ledger=ledger)):
        first = session.request("first")
        assert started.wait(60)
        set_writable(False)
        release.set()
        events.wait_for(EventKind.RETRIED)
        second = session.request("second")
        events.wait_for(EventKind.RETRIED, 2)
        time.sleep(1.5)
        assert (len(events.of(EventKind.RETRIED)), len(events.of(EventKind.RECOVERED))) == (2, 0)
        set_writable(True)
        answers = [str(request.wait(timeout=20)) for request in (first, second)]
    assert answers == ["You asked: first", "You asked: second"]
