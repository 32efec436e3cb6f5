"""Attacks with a hostile fee token.

Every test pays in a token that misbehaves on request, or in one like USDC. Some faults, such as a
token with false balances, cannot be prevented: the tests show that losses are limited to the
missing tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from ape_dtn.chain.reverts import PANIC
from ape_dtn.deployment.assemble import Variant
from ape_dtn.network.abi import ERC20, Client, Router, SessionManager
from ape_dtn.types.abi import Error, Function
from tests.conftest import Cast

from .client import (
    BEHAVE,
    BLACKLIST,
    FAITHFUL,
    PRETENDING,
    REFUSING,
    TAXED,
    Owned,
    ScriptedContract,
    pay_with,
    played,
    reverted,
)
from .conftest import NOBODY, NODE_ID, SUCCESS, Ask, Net, Reply, address

SURCHARGED, PAUSED, EXACTING, ANNOUNCING = range(4, 8)
TRUE, FALSE, NONE = range(3)
SPEAK = Function("speak(uint8,uint256)")
SHRINK = Function("shrink(address,uint256)")
UNBLACKLIST = Function("unBlacklist(address)")

SILENT, NOTHING, TOKENS_PAUSED = Error("Silent()"), Error("Nothing()"), Error("Paused()")
OVERDRAWN = ERC20.insufficient_balance
UNDERFLOW = 0x11

GAS = 3_000_000  # an estimate is enough for a hook that fails


def behave(net: Net, manner: int, hook: str = NOBODY) -> None:
    net.send(net.cast.owner, net.contracts.fee_token, BEHAVE, manner, hook)


def in_sessions(net: Net, *owners: Any) -> int:
    """Sum of the balances of all sessions of these owners."""
    manager = net.contracts.session_manager
    of = (net.read(manager, SessionManager.get_user_sessions, address(owner_)) for owner_ in owners)
    return sum(units for sessions in of for _, units in sessions)


def in_a_hole(variant: Variant) -> AbstractContextManager[None]:
    """Passes if no session starts because the network holds less than its sessions.

    The live session manager reverts with an underflow.
    """
    if variant is Variant.LIVE:
        return reverted(PANIC, UNDERFLOW)
    return reverted(SessionManager.invalid_amount)


# Transfers whose effect differs from their result.


def test_a_token_that_pays_nothing_and_says_so_closes_and_answers_nothing(
    net: Net, cast: Cast, hostile: str
) -> None:
    session = net.open(cast.customer, 1_000)
    request = net.ask(cast.customer, session)
    behave(net, REFUSING)

    with reverted(Client.token_failed, hostile):
        net.close(cast.customer, session)
    with reverted(Client.token_failed, hostile):
        net.reply(request)

    behave(net, FAITHFUL)
    net.reply(request)
    net.close(cast.customer, session)
    assert (net.held(cast.customer), net.held(cast.worker)) == (1_000_000_000 - 200, 200)


def test_a_token_that_moves_nothing_takes_from_nobody_else(
    net: Net, cast: Cast, hostile: str
) -> None:
    """The tokens that it did not move stay an unclaimed deposit."""
    others = net.open(cast.stranger, 1_000)
    session = net.open(cast.customer, 1_000)
    behave(net, PRETENDING)

    net.close(cast.customer, session)

    assert net.session(session) == (NOBODY, 0)
    behave(net, FAITHFUL)
    again = net.start(cast.customer)
    assert (net.balance(again), net.balance(others)) == (1_000, 1_000)


def test_a_token_that_takes_a_fee_takes_it_from_whom_it_is_paid_to(
    net: Net, cast: Cast, hostile: str
) -> None:
    behave(net, TAXED)
    session = net.open(cast.customer, 1_000)
    assert net.balance(session) == 900

    net.reply(net.ask(cast.customer, session, most=100))
    net.close(cast.customer, session)

    assert net.held(cast.worker) == 90
    assert net.held(cast.customer) == 1_000_000_000 - 1_000 + 720
    assert net.held_by_network == 0


def test_a_token_that_refuses_to_move_nothing(
    net: Net, cast: Cast, variant: Variant, hostile: str
) -> None:
    """A session without balance can be closed. A free response succeeds in the reference variant
    alone: the live session manager transfers zero to the node."""
    used_up = net.open(cast.customer, 100)
    net.reply(net.ask(cast.customer, used_up, most=100))
    session = net.open(cast.customer, 1_000)
    free = net.ask(cast.customer, session, most=0)
    behave(net, EXACTING)

    net.close(cast.customer, used_up)
    if variant is Variant.LIVE:
        with reverted(NOTHING):
            net.reply(free)
    else:
        net.reply(free)
        assert net.fetch(free)[0] == SUCCESS


# Balances that shrink and grow.


def shrunk(net: Net) -> None:
    """The token rebases: the network loses 300 units."""
    net.send(net.cast.owner, net.contracts.fee_token, SHRINK, net.contracts.fee_target, 300)


def surcharged(net: Net) -> None:
    """The network pays 300 units more for a transfer of 3,000."""
    session = net.open(net.cast.owner, 3_000)
    behave(net, SURCHARGED)
    net.close(net.cast.owner, session)
    behave(net, FAITHFUL)


@pytest.mark.parametrize("shrink", [shrunk, surcharged])
def test_of_a_shrinking_token_the_first_sessions_closed_are_refunded(
    net: Net, cast: Cast, variant: Variant, hostile: str, shrink: Callable[[Net], None]
) -> None:
    """Anybody can replace the missing tokens, so nothing is stuck for ever.

    Until then no session can be started.
    """
    net.fund(cast.owner, 10_000)
    first, last = net.open(cast.customer, 1_000), net.open(cast.stranger, 1_000)
    request = net.ask(cast.stranger, last, most=100)
    shrink(net)

    net.close(cast.customer, first)
    net.reply(request)
    with reverted(OVERDRAWN, net.contracts.fee_target, 600, 900):
        net.close(cast.stranger, last)
    net.deposit(cast.owner, 200)
    with in_a_hole(variant):
        net.start(cast.owner)

    net.deposit(cast.owner, 100)
    with reverted(SessionManager.invalid_amount):
        net.start(cast.owner)
    started = net.open(cast.owner, 50)
    assert net.balance(started) == 50
    net.close(cast.stranger, last)
    net.close(cast.owner, started)
    assert net.held(cast.stranger) == 1_000_000_000 - 100
    assert net.held_by_network == 0


def test_a_client_pays_nothing_into_a_hole(
    net: Net, cast: Cast, variant: Variant, client: Owned, hostile: str
) -> None:
    """The bare deposit of the test before was lost, and can exceed the missing tokens."""
    client.approve(1_000_000_000)
    net.open(cast.stranger, 1_000)
    shrunk(net)
    before = net.held(cast.customer)

    with in_a_hole(variant):
        client.start(200)
    with reverted(SessionManager.invalid_amount):
        client.start(300)
    with reverted(Client.session_short, 2, 1_000, 700):
        client.start(1_000)

    assert net.held(cast.customer) == before


def test_tokens_added_by_a_rebase_are_an_unclaimed_deposit(
    net: Net, cast: Cast, hostile: str
) -> None:
    session = net.open(cast.customer, 1_000)
    net.fund(net.contracts.fee_target, 300)  # it rebases up

    added = net.start(cast.stranger)

    assert (net.balance(session), net.balance(added)) == (1_000, 300)


# Tokens that call back: before they move anything, and afterwards.


@pytest.mark.parametrize("manner", [ANNOUNCING, FAITHFUL], ids=["before", "after"])
@pytest.mark.parametrize("outer", ["close", "reply"])
def test_reentrant_calls_of_a_token_create_no_tokens(
    net: Net, cast: Cast, hostile: str, puppet: ScriptedContract, outer: str, manner: int
) -> None:
    """A refund in transit is no deposit, nobody is paid twice, and no session pays for another.

    The scripted contract, which the token calls, is a node and owns a session.
    """
    node = net.add_node("puppet", puppet.address)
    nodes = [NODE_ID, node]
    session = net.open(cast.customer, 1_000)
    request, other = (net.ask(cast.customer, session, nodes=nodes, most=100) for _ in range(2))
    net.open(cast.stranger, 5_000)
    net.fund(puppet.address, 1_000)
    opened = puppet.act(
        (hostile, ERC20.transfer, (net.contracts.fee_target, 1_000)),
        (net.router, Router.start_user_session, ()),
    )
    (own,) = (e["sessionId"] for e in SessionManager.session_started.find(opened.logs))
    by_puppet = Reply(node=node)
    puppet.rehearse(
        (net.router, Router.start_user_session, ()),
        (net.router, Router.request, Ask().arguments(0)),
        (net.router, Router.respond_to_request, by_puppet.arguments(request)),
        (net.router, Router.respond_to_request, by_puppet.arguments(other)),
        (net.router, Router.close_user_session, (session,)),
        (net.router, Router.close_user_session, (own,)),
        (net.router, Router.start_user_session, ()),
        (net.router, Router.fetch_response, (request,)),
        (net.router, Router.request, Ask(user=puppet.address).arguments(own)),
    )
    behave(net, manner, puppet.address)

    if outer == "close":
        router, function, arguments = net.router, Router.close_user_session, (session,)
        receipt = net.send(cast.customer, router, function, *arguments, gas_limit=GAS)
    else:
        receipt = net.reply(request, gas_limit=GAS)

    assert len(played(receipt)) == 9
    owners = (cast.customer, cast.stranger, puppet.address)
    assert net.held_by_network == in_sessions(net, *owners)
    assert in_sessions(net, cast.stranger) == 5_000
    assert in_sessions(net, puppet.address) + net.held(puppet.address) in (1_000, 1_100)
    paid = [charge["to"] for charge in SessionManager.session_charged.find(receipt.logs)]
    assert paid.count(cast.worker.address) == (outer == "reply")
    assert len(paid) <= 2
    completed = [e["requestId"] for e in Router.request_completed.find(receipt.logs)]
    assert len(completed) == len(set(completed)) == len(paid)
    behave(net, FAITHFUL)
    for owner in (cast.customer, cast.stranger):
        manager, of = net.contracts.session_manager, owner.address
        for session_id in net.read(manager, SessionManager.get_user_session_ids, of):
            if net.session(session_id)[0] != NOBODY:  # live session managers list closed ones
                net.close(owner, session_id)
    assert net.held_by_network == in_sessions(net, puppet.address)


# Tokens that block and pause.


def test_a_blocked_owner_cannot_close_and_everybody_else_can(
    net: Net, cast: Cast, usdc: str
) -> None:
    session, others = net.open(cast.customer, 1_000), net.open(cast.stranger, 1_000)
    request = net.ask(cast.customer, session)
    net.send(cast.stranger, usdc, BLACKLIST, cast.customer.address)
    blocked = "Blacklistable: account is blacklisted"

    with reverted(blocked):
        net.close(cast.customer, session)
    net.reply(request)
    net.close(cast.stranger, others)

    assert net.session(session) == (cast.customer.address, 800)
    net.send(cast.stranger, usdc, UNBLACKLIST, cast.customer.address)
    net.close(cast.customer, session)
    assert net.held(cast.customer) == 1_000_000_000 - 200


def test_a_blocked_worker_cannot_answer_and_another_node_can(
    net: Net, cast: Cast, usdc: str
) -> None:
    second = net.add_node("second", cast.owner)
    session = net.open(cast.customer, 2_000)
    asked = {"nodes": [NODE_ID, second]}
    first, last = (net.ask(cast.customer, session, **asked) for _ in range(2))
    net.send(cast.stranger, usdc, BLACKLIST, cast.worker.address)

    with reverted("Blacklistable: account is blacklisted"):
        net.reply(first)
    net.reply(first, node=second, worker=cast.owner)

    assert not net.is_completed(last)
    net.close(cast.customer, session)
    assert (net.held(cast.customer), net.held(cast.owner)) == (1_000_000_000 - 200, 200)


@pytest.mark.parametrize("kind", ["paused", "blocked"])
def test_a_network_that_cannot_move_its_tokens_loses_none(
    net: Net, cast: Cast, request: pytest.FixtureRequest, kind: str
) -> None:
    token = request.getfixturevalue("hostile" if kind == "paused" else "usdc")
    session = net.open(cast.customer, 2_000)
    asked = net.ask(cast.customer, session)
    target = net.contracts.fee_target
    if kind == "paused":
        refusal: Error | str = TOKENS_PAUSED
        stop, go = (BEHAVE, PAUSED, NOBODY), (BEHAVE, FAITHFUL, NOBODY)
    else:
        refusal = "Blacklistable: account is blacklisted"
        stop, go = (BLACKLIST, target), (UNBLACKLIST, target)
    net.send(cast.owner, token, *stop)

    for refused in (
        lambda: net.close(cast.customer, session),
        lambda: net.reply(asked),
        lambda: net.deposit(cast.customer, 1),
    ):
        with reverted(refusal):
            refused()
    pending = net.ask(cast.customer, session, most=100)  # it moves no tokens

    net.send(cast.owner, token, *go)
    net.reply(asked)
    net.reply(pending)
    net.close(cast.customer, session)
    assert (net.held(cast.customer), net.held(cast.worker)) == (1_000_000_000 - 300, 300)


# Amounts of any size.


@pytest.mark.parametrize("decimals", [0, 6, 18, 24])
def test_amounts_are_exact_in_a_token_of_any_decimals(
    net: Net, cast: Cast, variant: Variant, decimals: int
) -> None:
    """A deposit of 10,000 tokens and one unit. An answer costs 1,000 tokens and a few units."""
    pay_with(net, variant, net.create("TestToken", "Test", "TEST", decimals))
    one = 10**decimals
    deposit = 10_000 * one + 1
    net.fund(cast.customer, deposit)
    before = net.held(cast.customer)
    session = net.open(cast.customer, deposit)
    assert net.balance(session) == deposit

    rates = {"fee_asked": one, "fee_answered": 7, "most": 2_000 * one}
    net.reply(net.ask(cast.customer, session, **rates), asked=1_000, answered=3)

    cost = 1_000 * one + 21
    assert (net.balance(session), net.held(cast.worker)) == (deposit - cost, cost)
    assert str(net.ai.token().units(cost)).startswith("1000" if decimals else "1021")
    net.close(cast.customer, session)
    assert net.held(cast.customer) == before - cost
    assert net.held_by_network == 0


@pytest.mark.parametrize("bits", [128, 254])
def test_a_deposit_of_any_size_does_not_block_others(
    net: Net, cast: Cast, variant: Variant, bits: int
) -> None:
    """With any unclaimed deposit of a stranger, others use and close sessions."""
    pay_with(net, variant, net.create("TestToken", "Test", "TEST", 18))
    for account in (net.contracts.fee_target, cast.owner):
        net.fund(account, 2**bits - 1)
    net.fund(net.contracts.fee_target, 2)

    session = net.open(cast.customer, 1_000)
    gained = net.balance(session)
    assert gained >= 1_000
    request = net.ask(cast.customer, session)
    other = net.open(cast.stranger, 77)
    assert net.balance(other) >= 77
    net.reply(request)
    before = net.held(cast.customer)
    net.close(cast.customer, session)

    assert net.held(cast.customer) == before + gained - 200
    net.close(cast.stranger, other)
    huge = net.open(cast.owner, 2**bits - 1)
    net.close(cast.owner, huge)
    assert net.held_by_network < 2**256


def test_the_excess_of_a_deposit_stays_unclaimed(net: Net, cast: Cast, variant: Variant) -> None:
    """A session of the reference router holds 96 bits: 79 billion tokens with 18 decimals. Nothing
    is lost, and a client reverts instead of leaving an excess."""
    pay_with(net, variant, net.create("TestToken", "Test", "TEST", 18))
    net.fund(cast.customer, 2**97)
    net.deposit(cast.customer, 2**97)
    sessions = []
    while net.held_by_network > in_sessions(net, cast.customer):
        sessions.append(net.start(cast.customer))

    assert len(sessions) == (1 if variant is Variant.LIVE else 3)
    assert in_sessions(net, cast.customer) == 2**97
    for session in sessions:
        net.close(cast.customer, session)
    assert net.held(cast.customer) == 2**97 + 1_000_000_000


# Tokens whose views return false values.


def test_a_token_that_says_nothing_of_balances_starts_nothing_and_closes_all(
    net: Net, cast: Cast, hostile: str
) -> None:
    session = net.open(cast.customer, 1_000)
    request = net.ask(cast.customer, session)
    net.deposit(cast.stranger, 100)
    net.send(cast.owner, hostile, SPEAK, NONE, 0)

    with reverted(SILENT):
        net.start(cast.stranger)
    net.reply(request)
    net.close(cast.customer, session)

    net.send(cast.owner, hostile, SPEAK, TRUE, 0)
    assert net.balance(net.start(cast.stranger)) == 100
    assert net.held(cast.customer) == 1_000_000_000 - 200


def test_a_token_that_denies_what_the_network_has_starts_nothing_and_closes_all(
    net: Net, cast: Cast, variant: Variant, hostile: str
) -> None:
    session = net.open(cast.customer, 1_000)
    net.deposit(cast.stranger, 100)
    net.send(cast.owner, hostile, SPEAK, FALSE, 0)

    with in_a_hole(variant):
        net.start(cast.stranger)
    net.close(cast.customer, session)

    net.send(cast.owner, hostile, SPEAK, TRUE, 0)
    assert net.balance(net.start(cast.stranger)) == 100


def test_a_token_that_invents_a_deposit_takes_what_all_have(
    net: Net, cast: Cast, hostile: str
) -> None:
    """A known weakness of both variants: the token alone defines deposits. Somebody who controls
    its balances can take all tokens of the network, but no more; the first to close is paid."""
    session, others = net.open(cast.customer, 1_000), net.open(cast.customer, 1_000)
    net.send(cast.owner, hostile, SPEAK, FALSE, 3_000)
    invented = net.start(cast.stranger)
    net.send(cast.owner, hostile, SPEAK, TRUE, 0)

    net.close(cast.customer, session)
    net.close(cast.stranger, invented)

    with reverted(OVERDRAWN, net.contracts.fee_target, 0, 1_000):
        net.close(cast.customer, others)
    net.fund(net.contracts.fee_target, 1_000)
    net.close(cast.customer, others)
    assert net.held(cast.customer) == 1_000_000_000
