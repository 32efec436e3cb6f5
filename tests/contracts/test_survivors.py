"""Behaviour that no test covered until ``make mutants`` found mutants that survived."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from ape_dtn.errors import CallbackGasMissing
from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.types.abi import Function
from ape_dtn.types.transactions import Receipt
from tests.conftest import Cast

from .conftest import FAILURE, NODE_ID, SUCCESS, Ask, Net, refused, storage_at

GET_RESERVED = Function("getReserved(uint256)", "uint256")


def moves(net: Net, receipt: Receipt) -> int:
    """Number of calls of the token in a transaction."""
    token = net.contracts.fee_token
    return sum(1 for log in receipt.logs if log.address == token)


def test_an_empty_session_closes_without_a_transfer(net: Net, cast: Cast) -> None:
    # Some tokens refuse to move nothing, and the session could never be closed.
    session = net.open(cast.customer, 1_000)
    paid = net.reply(net.ask(cast.customer, session, most=1_000, fee_asked=10))
    assert (net.balance(session), moves(net, paid)) == (0, 1)

    assert moves(net, net.close(cast.customer, session)) == 0
    assert net.session(session)[0] == "0x" + "00" * 20


def test_an_answer_that_costs_nothing_is_given_without_a_transfer(
    reference: Net, cast: Cast
) -> None:
    session = reference.open(cast.customer, 1_000)
    request = reference.ask(cast.customer, session, fee_asked=0, fee_answered=0)

    assert moves(reference, reference.reply(request)) == 0
    assert reference.is_completed(request)
    assert reference.balance(session) == 1_000


@pytest.mark.parametrize("order", permutations(range(4)), ids=str)
def test_sessions_close_in_any_order_and_the_others_stay_as_they_are(
    reference: Net, cast: Cast, order: tuple[int, ...]
) -> None:
    # Each session is linked to the one opened before it and the one opened after it.
    manager = reference.contracts.session_manager
    opened = [reference.open(cast.customer, 1_000) for _ in order]
    for i, session in enumerate(opened):
        reference.ask(cast.customer, session, most=100 + i)

    for i in order:
        reference.close(cast.customer, opened[i])
        order = order[1:]
        left = [opened[j] for j in sorted(order)]
        listed = reference.read(manager, SessionManager.get_user_session_ids, cast.customer.address)
        assert list(listed) == left
        for j in sorted(order):
            assert reference.read(manager, GET_RESERVED, opened[j]) == 100 + j
            assert reference.session(opened[j]) == (cast.customer.address, 1_000)


def test_the_session_manager_names_the_token_and_the_target_as_the_router_does(net: Net) -> None:
    contracts = net.contracts

    assert net.read(contracts.session_manager, SessionManager.get_fee_token) == contracts.fee_token
    target = net.read(contracts.session_manager, SessionManager.get_fee_target)
    assert target == contracts.fee_target


def test_a_request_carries_one_wei_per_unit_of_callback_gas(net: Net, cast: Cast) -> None:
    session = net.open(cast.customer)

    with refused(CallbackGasMissing, "Insufficient callback gas"):
        net.ask(cast.customer, session, callback_gas=30_000, value=29_999)
    net.ask(cast.customer, session, callback_gas=30_000, value=30_000)


@pytest.mark.parametrize(("status", "selector"), [(SUCCESS, b"succ"), (FAILURE, b"fail")])
def test_the_requested_callback_is_called(
    net: Net, cast: Cast, status: int, selector: bytes
) -> None:
    target = net.create_raw("5f355f5500")  # keeps the first word that it is called with
    callback = (b"succ", b"fail", target)
    request = net.ask(
        cast.customer, net.open(cast.customer), callback=callback, callback_gas=50_000
    )

    net.reply(request, status=status)

    assert storage_at(net.provider, target, 0).to_bytes(32, "big") == selector + request[:28]


def test_revert_data_of_a_callback_is_in_the_event(net: Net, cast: Cast) -> None:
    target = net.create_raw("63deadbeef5f526004601cfd")
    callback = (b"succ", b"fail", target)
    request = net.ask(
        cast.customer, net.open(cast.customer), callback=callback, callback_gas=50_000
    )

    (failed,) = Router.success_callback_failed.find(net.reply(request).logs)

    assert failed == {"requestId": request, "data": bytes.fromhex("deadbeef")}


def events_of(receipt: Receipt) -> list[tuple[str, dict[str, Any]]]:
    """The events of the network in a transaction, in order, without those of the token."""
    events = (
        SessionManager.session_started,
        SessionManager.session_charged,
        SessionManager.session_closed,
        Router.request_created,
        Router.response_received,
        Router.request_completed,
    )
    return [
        (event.name, fields)
        for log in receipt.logs
        for event in events
        for fields in event.find([log])
    ]


@pytest.mark.parametrize("status", [SUCCESS, FAILURE])
def test_every_step_emits_its_event(net: Net, cast: Cast, status: int) -> None:
    net.deposit(cast.customer, 1_000)
    start = net.send(cast.customer, net.router, Router.start_user_session)
    ((_, started),) = found = events_of(start)
    session = started["sessionId"]
    assert found == [
        (
            "SessionStarted",
            {"sessionId": session, "owner": cast.customer.address, "balance": 1_000},
        )
    ]

    ask = Ask(most=1_000, fee_asked=1, fee_answered=1, user=str(cast.stranger.address))
    asked = net.send(cast.customer, net.router, Router.request, *ask.arguments(session))
    ((_, created),) = found = events_of(asked)
    request = created["requestId"]
    assert found == [
        (
            "RequestCreated",
            {"requestId": request, "sessionId": session, "user": cast.stranger.address},
        )
    ]

    answered = net.reply(request, status=status, asked=20, answered=30)
    assert events_of(answered) == [
        (
            "SessionCharged",
            {"sessionId": session, "amount": 50, "to": cast.worker.address},
        ),
        ("ResponseReceived", {"requestId": request, "nodeId": NODE_ID, "status": status}),
        ("RequestCompleted", {"requestId": request, "status": status}),
    ]

    closed = net.close(cast.customer, session)
    assert events_of(closed) == [("SessionClosed", {"sessionId": session, "remainingBalance": 950})]
