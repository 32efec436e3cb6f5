"""Sessions on any network: opened, read, spent and closed, exact to the token unit."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ape_dtn import DtnRequest, DtnSession, Status
from ape_dtn.errors import (
    InsufficientFunds,
    ModelNotFound,
    NodeNotFound,
    NotSessionOwner,
    RequestPending,
    SessionAlreadyClosed,
    SessionNotFound,
)

from .conftest import Subject

Start = Callable[[], DtnSession]


def test_a_session_holds_its_deposit(subject: Subject, sessions: Start) -> None:
    deposit = subject.token.amount(subject.target.deposit)
    before = subject.token_balance(subject.customer)

    session = sessions()

    assert session.balance == deposit
    assert session.owner == subject.customer.address
    assert session.is_open
    assert subject.token_balance(subject.customer) == before - deposit


def test_a_session_is_loaded_and_listed(subject: Subject, sessions: Start) -> None:
    session = sessions()

    loaded = DtnSession.load(session.id, ai=subject.ai)
    listed = {open_.id: balance for open_, balance in DtnSession.list(subject.customer, subject.ai)}

    assert loaded.balance == session.balance
    assert listed[session.id] == session.balance


def test_closing_refunds_everything_to_the_owner(subject: Subject, sessions: Start) -> None:
    before = subject.token_balance(subject.customer)
    session = sessions()

    refund = session.close()

    assert refund == subject.token.amount(subject.target.deposit)
    assert subject.token_balance(subject.customer) == before
    assert not session.is_open
    assert session.id not in [
        open_.id for open_, _ in DtnSession.list(subject.customer, subject.ai)
    ]


def test_an_answer_is_paid_to_the_unit(subject: Subject, sessions: Start) -> None:
    before = subject.token_balance(subject.customer)
    session = sessions()

    request = session.request("What is two and two?", **subject.options)
    # A running node may have answered already.
    assert request.status is Status.PENDING or subject.node is None
    subject.answer_pending()
    answer = request.wait(subject.target.timeout)

    cost = request.cost()
    assert answer.text
    assert request.status is Status.SUCCESS
    assert 0 < cost.units <= subject.token.amount(subject.target.max_cost).units
    deposit = subject.token.amount(subject.target.deposit)
    assert session.balance == deposit - cost
    assert session.close() == deposit - cost
    assert subject.token_balance(subject.customer) == before - cost


def test_a_request_is_loaded_by_its_id(subject: Subject, sessions: Start) -> None:
    session = sessions()
    request = session.request("Who goes there?", **subject.options)
    subject.answer_pending()
    answer = request.wait(subject.target.timeout)

    loaded = DtnRequest.load(request.id, subject.ai)

    assert loaded.answer() == answer
    assert loaded.session_id == session.id
    assert loaded.cost() == request.cost()


def test_several_lines_are_one_prompt(subject: Subject, sessions: Start) -> None:
    request = sessions().request(["Count to three.", "In French."], **subject.options)
    subject.answer_pending()

    assert request.wait(subject.target.timeout).text


def test_the_context_manager_closes_and_refunds(subject: Subject) -> None:
    before = subject.token_balance(subject.customer)

    with subject.start() as session:
        assert session.is_open

    assert not session.is_open
    assert subject.token_balance(subject.customer) == before


def test_the_context_manager_refunds_when_the_body_raises(subject: Subject) -> None:
    before = subject.token_balance(subject.customer)

    with pytest.raises(ZeroDivisionError), subject.start() as session:
        _ = 1 / 0

    assert not session.is_open
    assert subject.token_balance(subject.customer) == before


def test_without_a_node_the_request_is_pending(subject: Subject, sessions: Start) -> None:
    if subject.node is None:
        pytest.skip("this network has a running node")
    request = sessions().request("Is anybody there?", **subject.options)

    with pytest.raises(RequestPending) as raised:
        request.answer()

    assert raised.value.request_id == request.id


def test_an_unknown_session_is_not_found(subject: Subject) -> None:
    with pytest.raises(SessionNotFound) as raised:
        DtnSession.load(2**64, ai=subject.ai)

    assert type(raised.value) is SessionNotFound
    assert raised.value.session_id == 2**64


def test_a_stranger_cannot_close_or_spend(subject: Subject, sessions: Start) -> None:
    session = sessions()
    theirs = DtnSession.load(session.id, subject.stranger, subject.ai)

    for attempt in (theirs.close, lambda: theirs.request("Hello?", **subject.options)):
        with pytest.raises(NotSessionOwner) as raised:
            attempt()
        assert raised.value.owner == subject.customer.address
        assert raised.value.caller == subject.stranger.address

    assert session.balance == subject.token.amount(subject.target.deposit)


def test_a_closed_session_stays_closed(subject: Subject, sessions: Start) -> None:
    session = sessions()
    session.close()
    held = subject.token_balance(subject.customer)

    for attempt in (
        session.close,
        lambda: session.request("Hello?", **subject.options),
        lambda: session.balance,
        lambda: DtnSession.load(session.id, ai=subject.ai),
    ):
        with pytest.raises(SessionAlreadyClosed) as raised:
            attempt()
        assert raised.value.session_id == session.id

    assert subject.token_balance(subject.customer) == held


def test_a_request_needs_a_balance_of_its_max_cost(subject: Subject, sessions: Start) -> None:
    session = sessions()
    too_much = session.balance + subject.token.units(1)

    with pytest.raises(InsufficientFunds):
        session.request("Hello?", **{**subject.options, "max_cost": too_much})


def test_a_model_and_its_nodes_must_be_registered(subject: Subject, sessions: Start) -> None:
    session = sessions()

    with pytest.raises(ModelNotFound):
        session.request("Hello?", **{**subject.options, "model": "model.nobody.nothing"})
    with pytest.raises(NodeNotFound):
        session.request("Hello?", **{**subject.options, "nodes": ["node.nobody.nothing"]})


def test_contracts_are_read_from_the_router(subject: Subject) -> None:
    contracts = subject.ai.contracts()

    assert contracts.fee_token == subject.token.address
    assert contracts.fee_target == contracts.session_manager
    assert subject.ai.model(subject.target.model).api.specs == "string[] -> string"
    assert subject.ai.node(subject.target.node).is_active
