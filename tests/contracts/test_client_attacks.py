"""Attacks on a client: strangers, hostile tokens, and a token that blocks its owner."""

from __future__ import annotations

import pytest

from ape_dtn.errors import DtnError
from ape_dtn.network.abi import ERC20, Client, Router, SessionManager
from tests.conftest import Cast

from .client import (
    APPROVE,
    BEHAVE,
    BLACKLIST,
    FAITHFUL,
    PRETENDING,
    REFUSING,
    TAXED,
    Owned,
    ScriptedContract,
    decoded,
    each_change,
    error_data,
    every_change,
    new_client,
    played,
    reverted,
    started,
)
from .conftest import NOBODY, Net

UNITS = 1_000_000


@pytest.fixture
def hostile(hostile: str, client: Owned) -> str:
    """The customer's client has an allowance, too."""
    client.approve(1_000_000_000)
    return hostile


# Strangers.


@each_change
@pytest.mark.parametrize("who", ["owner", "worker", "stranger"])
def test_only_the_owner_can_call_a_client(cast: Cast, client: Owned, who: str, change: str) -> None:
    account = getattr(cast, who)
    function, arguments = every_change(client)[change]

    with reverted(Client.not_owner, account.address):
        client.call(function, *arguments, by=account)


def test_an_allowance_is_the_owners_alone_to_use(net: Net, cast: Cast, client: Owned) -> None:
    """A stranger cannot use it, even with a router of the stranger's."""
    before = net.held(cast.customer)

    with reverted(Client.not_owner, cast.stranger.address):
        client.call(Client.start, cast.stranger.address, UNITS, by=cast.stranger)

    assert net.held(cast.customer) == before


# Hostile tokens.


def test_a_token_that_takes_a_fee_is_refused(
    net: Net, cast: Cast, client: Owned, hostile: str
) -> None:
    net.send(cast.owner, hostile, BEHAVE, TAXED, NOBODY)
    before = net.held(cast.customer)

    with pytest.raises(DtnError) as raised:
        client.start(1_000)

    assert raised.value.revert is not None
    session, *short = decoded(Client.session_short, raised.value.revert.data)
    assert short == [1_000, 900]
    assert net.session(session) == (NOBODY, 0)
    assert (net.held(cast.customer), net.held_by_network) == (before, 0)


def test_a_transfer_fee_covered_by_an_unclaimed_deposit_is_accepted(
    net: Net, cast: Cast, client: Owned, hostile: str
) -> None:
    net.deposit(cast.stranger, 100)
    net.send(cast.owner, hostile, BEHAVE, TAXED, NOBODY)

    session = client.start(1_000)

    assert net.balance(session) == 1_000


def test_a_token_that_returns_false_is_refused(
    net: Net, cast: Cast, client: Owned, hostile: str
) -> None:
    net.fund(client.address, UNITS)
    net.deposit(cast.stranger, UNITS)
    net.send(cast.owner, hostile, BEHAVE, REFUSING, NOBODY)

    for function in (Client.start, Client.start_from_here):
        with reverted(Client.token_failed, hostile):
            client.call(function, net.router, UNITS)
    with reverted(Client.token_failed, hostile):
        client.call(Client.sweep, hostile)


def test_a_token_that_moves_nothing_is_detected(
    net: Net, cast: Cast, client: Owned, hostile: str
) -> None:
    net.send(cast.owner, hostile, BEHAVE, PRETENDING, NOBODY)
    with reverted(SessionManager.invalid_amount):
        client.start(UNITS)

    net.send(cast.owner, hostile, BEHAVE, FAITHFUL, NOBODY)
    net.deposit(cast.stranger, UNITS - 1)
    net.send(cast.owner, hostile, BEHAVE, PRETENDING, NOBODY)
    with pytest.raises(DtnError) as raised:
        client.start(UNITS)
    assert raised.value.revert is not None
    assert decoded(Client.session_short, raised.value.revert.data)[1:] == [UNITS, UNITS - 1]


def test_a_refund_is_the_amount_received(net: Net, cast: Cast, client: Owned, hostile: str) -> None:
    """The token takes a tenth of both transfers; other tokens of the client do not compensate."""
    net.fund(client.address, 55)
    session = client.start(1_000)
    before = net.held(cast.customer)
    net.send(cast.owner, hostile, BEHAVE, TAXED, NOBODY)

    client.close(session)

    assert net.held(client.address) == 55
    assert net.held(cast.customer) == before + 810


# Tokens that call back.


@pytest.mark.parametrize("pays", [False, True])
def test_a_thief_whom_the_token_lets_in_between_gets_nothing(
    net: Net, cast: Cast, client: Owned, hostile: str, puppet: ScriptedContract, pays: bool
) -> None:
    """The token starts a session first, and may leave one unit for the owner's session."""
    net.fund(puppet.address, 1)
    unit = (hostile, ERC20.transfer, (net.contracts.fee_target, 1))
    steal = (net.router, Router.start_user_session, ())
    puppet.rehearse(*([steal, unit] if pays else [steal]))
    net.send(cast.owner, hostile, BEHAVE, FAITHFUL, puppet.address)
    before = net.held(cast.customer)

    with pytest.raises(DtnError) as raised:
        client.start(UNITS)

    assert raised.value.revert is not None
    error = Client.session_short if pays else SessionManager.invalid_amount
    assert raised.value.revert.data[:4] == error.selector
    assert (net.held(cast.customer), net.held_by_network) == (before, 0)


def test_the_thief_would_have_got_it_without_the_client(
    net: Net, cast: Cast, hostile: str, puppet: ScriptedContract
) -> None:
    """Shows that the theft of the test above works without a client."""
    puppet.rehearse((net.router, Router.start_user_session, ()))
    net.send(cast.owner, hostile, BEHAVE, FAITHFUL, puppet.address)

    # An estimate would cover the transfer only, and let the nested call run out of gas.
    arguments = (net.contracts.fee_target, UNITS)
    receipt = net.send(cast.customer, hostile, ERC20.transfer, *arguments, gas_limit=1_000_000)

    (stolen,) = SessionManager.session_started.find(receipt.logs)
    assert (stolen["owner"], stolen["balance"]) == (puppet.address, UNITS)


@each_change
def test_a_token_that_calls_the_client_is_a_stranger(
    net: Net, cast: Cast, client: Owned, hostile: str, puppet: ScriptedContract, change: str
) -> None:
    function, arguments = every_change(client)[change]
    puppet.rehearse((client.address, function, arguments))
    net.send(cast.owner, hostile, BEHAVE, FAITHFUL, puppet.address)

    receipt = client.call(Client.start, net.router, UNITS)

    refusal = error_data(Client.not_owner, puppet.address).hex()
    assert played(receipt) == [(hostile, False, refusal)]
    assert net.session(started(receipt)) == (client.address, UNITS)


@pytest.fixture
def puppets(
    net: Net, hostile: str, puppet: ScriptedContract, implementation: str, cast: Cast
) -> Owned:
    """Client of an owner that is a contract, which the token calls back."""
    client = new_client(net, puppet.address, creator=cast.stranger)
    net.fund(puppet.address, 10 * UNITS)
    puppet.act((hostile, APPROVE, (client.address, 10 * UNITS)))
    net.fund(client.address, UNITS)
    net.send(cast.owner, hostile, BEHAVE, FAITHFUL, puppet.address)
    return client


@each_change
def test_not_even_the_owner_calls_it_again_from_within(
    net: Net, puppets: Owned, hostile: str, puppet: ScriptedContract, change: str
) -> None:
    function, arguments = every_change(puppets)[change]
    puppet.rehearse((puppets.address, function, arguments))

    receipt = puppet.act((puppets.address, Client.start, (net.router, UNITS)))

    refusal = error_data(Client.reentrant_call).hex()
    assert played(receipt) == [(hostile, False, refusal)]
    assert net.session(started(receipt)) == (puppets.address, UNITS)


def test_not_even_the_owner_calls_it_again_while_it_closes_or_sweeps(
    net: Net, puppets: Owned, hostile: str, puppet: ScriptedContract
) -> None:
    session = started(puppet.act((puppets.address, Client.start, (net.router, UNITS))))
    puppet.rehearse((puppets.address, Client.sweep, (hostile,)))
    refusal = (hostile, False, error_data(Client.reentrant_call).hex())

    closed = puppet.act((puppets.address, Client.close, (net.router, session)))
    swept = puppet.act((puppets.address, Client.sweep, (hostile,)))

    assert played(closed) == [refusal, refusal]  # the network's transfer, and the client's
    assert played(swept) == [refusal]
    assert net.held(puppet.address) == 11 * UNITS


def test_an_owner_may_call_it_twice_in_one_transaction(
    net: Net, puppets: Owned, puppet: ScriptedContract
) -> None:
    """The guard is released at the end of the call."""
    receipt = puppet.act(*[(puppets.address, Client.start, (net.router, UNITS))] * 2)

    opened = SessionManager.session_started.find(receipt.logs)
    assert [session["balance"] for session in opened] == [UNITS, UNITS]


# An owner whom the token has blocked.


def test_a_blocked_owner_has_the_refund_sent_elsewhere(
    net: Net, cast: Cast, client: Owned, usdc: str
) -> None:
    client.approve(UNITS)
    first, second = client.start(UNITS - 1), client.start(1)
    net.send(cast.stranger, usdc, BLACKLIST, cast.customer.address)
    elsewhere = cast.owner.address

    with reverted("Blacklistable: account is blacklisted"):
        client.close(first)
    client.call(Client.close_to, net.router, [first, second], elsewhere)

    assert (net.held(elsewhere), net.held(client.address)) == (UNITS, 0)


def test_a_blocked_owner_keeps_the_refund_in_the_client_and_sweeps_it_later(
    net: Net, cast: Cast, client: Owned, usdc: str
) -> None:
    client.approve(UNITS)
    session = client.start(UNITS)
    net.send(cast.stranger, usdc, BLACKLIST, cast.customer.address)

    client.call(Client.close_to, net.router, [session], client.address)

    assert net.held(client.address) == UNITS
    with reverted("Blacklistable: account is blacklisted"):
        client.call(Client.sweep, usdc)
    net.send(cast.stranger, usdc, "unBlacklist(address)", cast.customer.address)
    client.call(Client.sweep, usdc)
    assert net.held(cast.customer) == 1_000_000_000


def test_a_refund_to_the_zero_address_reverts(net: Net, client: Owned) -> None:
    session = client.start(UNITS)

    with reverted(Client.no_recipient):
        client.call(Client.close_to, net.router, [session], NOBODY)


def test_too_little_gas_closes_nothing(net: Net, cast: Cast, client: Owned) -> None:
    """With any gas limit, the owner is refunded or the session stays open."""
    before = net.held(cast.customer)
    session = client.start(UNITS)
    receipt_gas = 0
    for gas_limit in range(60_000, 200_000, 5_000):
        try:
            receipt = client.call(Client.close, net.router, session, gas_limit=gas_limit)
        except DtnError:
            assert net.session(session) == (client.address, UNITS)
        else:
            receipt_gas = receipt.gas_used
            break

    assert receipt_gas
    assert net.held(cast.customer) == before


def test_a_blocked_owner_sends_requests_and_starts_sessions_with_the_clients_tokens(
    net: Net, cast: Cast, client: Owned, usdc: str
) -> None:
    client.approve(2 * UNITS)
    session = client.start(UNITS)
    net.send(cast.stranger, usdc, BLACKLIST, cast.customer.address)

    net.reply(client.ask(session))
    client.call(Client.close_to, net.router, [session], client.address)
    with reverted("Blacklistable: account is blacklisted"):
        client.start(UNITS)
    again = started(client.call(Client.start_from_here, net.router, UNITS - 200))

    assert net.session(again) == (client.address, UNITS - 200)


def test_a_blocked_client_loses_nothing_by_trying(
    net: Net, cast: Cast, client: Owned, usdc: str
) -> None:
    client.approve(UNITS)
    session = client.start(UNITS)
    net.send(cast.stranger, usdc, BLACKLIST, client.address)

    with reverted("Blacklistable: account is blacklisted"):
        client.close(session)

    assert net.session(session) == (client.address, UNITS)
