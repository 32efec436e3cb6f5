"""Requests and batches of a client, reading of answers, and callbacks."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import encode

from ape_dtn.chain import reads, rpc
from ape_dtn.deployment.assemble import LocalNetwork, Variant
from ape_dtn.errors import DtnError, SessionNotFound
from ape_dtn.network.abi import Client, Router, SessionManager
from ape_dtn.types.abi import Function
from ape_dtn.types.rpc import Failure, as_bytes
from tests.conftest import Cast

from .client import (
    ACT,
    CHANGES,
    IMPLEMENTATION_CODE,
    Owned,
    ScriptedContract,
    create,
    error_data,
    every_change,
    new_client,
    played,
    requested,
    reverted,
    started,
)
from .conftest import FAILURE, NA, NOBODY, SUCCESS, Ask, Net, address

UNITS = 1_000_000


# Asking.


def test_a_request_reaches_the_network_as_it_was_made(net: Net, cast: Cast, client: Owned) -> None:
    session = client.start(UNITS)
    ask = Ask(most=777, callback_gas=9)

    request = client.ask(session, most=777, callback_gas=9)

    (_, model, routing, asked, callback, _, gas) = ask.arguments(session)
    record = net.record(request)
    assert record[0] == session
    assert record[3:8] == (model, as_tuples(routing), asked, callback, gas)
    assert client.read(Client.ai) == net.router


def as_tuples(value: Any) -> Any:
    return tuple(map(as_tuples, value)) if isinstance(value, list | tuple) else value


def test_requests_are_numbered_behind_the_owners_first_bytes(
    net: Net, cast: Cast, client: Owned
) -> None:
    session = client.start(UNITS)
    requests = [client.ask(session), *client.ask_many(session, Ask(), Ask()), client.ask(session)]

    users = [bytes.fromhex(net.record(request)[1][2:]) for request in requests]

    owner = bytes.fromhex(cast.customer.address[2:])
    assert [user[:12] for user in users] == [owner[:12]] * 4
    assert [int.from_bytes(user[12:], "big") for user in users] == [0, 1, 2, 3]
    assert client.read(Client.request_count) == 4


def test_a_request_returns_its_id(net: Net, client: Owned) -> None:
    session = client.start(UNITS)
    one = client.one(session, Ask())
    many = client.many(session, Ask(), Ask(most=5))

    for function, arguments in ((Client.request, one), (Client.request_many, many)):
        receipt = client.call(function, *arguments)
        made = tuple(event["requestId"] for event in requested(receipt.logs))
        # The result of the same call on the previous state, with the same timestamp.
        block = rpc.result(net.provider, "eth_getBlockByNumber", [hex(receipt.block_number), False])
        call = {
            "from": address(client.owner),
            "to": client.address,
            "data": "0x" + function.encode(*arguments).hex(),
        }
        answer = rpc.result(
            net.provider,
            "eth_call",
            [call, hex(receipt.block_number - 1), {}, {"time": block["timestamp"]}],
        )
        returned = function.decode(as_bytes(answer))
        assert (returned if isinstance(returned, tuple) else (returned,)) == made


def test_a_batch_is_asked_in_its_order(net: Net, client: Owned) -> None:
    session = client.start(UNITS)
    asks = [Ask(most=most, call=encode(["string[]"], [[str(most)]])) for most in (5, 6, 7)]

    requests = client.ask_many(session, *asks)

    assert len(set(requests)) == 3
    assert [net.record(request)[5][5] for request in requests] == [5, 6, 7]
    assert [net.record(request)[5][0] for request in requests] == [ask.call for ask in asks]


def test_ids_are_apart_within_one_block_and_across_its_batches(
    net: Net, cast: Cast, client: Owned
) -> None:
    session = client.start(UNITS)
    batch = (Client.request_many, client.many(session, Ask(), Ask(), Ask()))
    one = (Client.request, client.one(session, Ask()))

    receipts = net.send_in_one_block(
        *((cast.customer, client.address, *call) for call in (batch, one, batch, one)),
        gas=3_000_000,
    )

    logs = [reads.to_log(log) for receipt in receipts for log in receipt["logs"]]
    ids = [event["requestId"] for event in requested(logs)]
    assert len(ids) == len(set(ids)) == 8
    for request in ids:
        net.reply(request)  # none has replaced another
    assert net.balance(session) == UNITS - 8 * 200


def test_a_batch_is_asked_wholly_or_not_at_all(reference: Net, cast: Cast) -> None:
    create(reference, cast.owner, IMPLEMENTATION_CODE)
    client = new_client(reference, cast.customer)
    client.approve(UNITS)
    session = client.start(1_000)

    with reverted(SessionManager.insufficient_funds, session, 600, 400):
        client.ask_many(session, Ask(most=600), Ask(most=600))

    assert client.read(Client.request_count) == 0
    assert len(client.ask_many(session, Ask(most=600), Ask(most=400))) == 2


def test_an_empty_batch_asks_nothing(client: Owned) -> None:
    session = client.start(UNITS)
    router, session, model, routing, _, callback, gas = client.many(session, Ask())

    receipt = client.call(Client.request_many, router, session, model, routing, [], callback, gas)

    assert receipt.logs == ()


def test_the_sessions_of_others_are_not_asked_at_the_expense_of(
    net: Net, cast: Cast, client: Owned
) -> None:
    others = net.open(cast.stranger)

    with pytest.raises(SessionNotFound):
        client.ask(others)


# What a request carries.


@pytest.mark.parametrize("sent", [0, 6, 8])
def test_a_request_carries_a_wei_for_each_unit_of_gas(client: Owned, sent: int) -> None:
    session = client.start(UNITS)

    with reverted(Client.wrong_value, 7, sent):
        client.ask(session, callback_gas=7, value=sent)


def test_a_batch_carries_the_gas_of_all_callbacks(net: Net, client: Owned) -> None:
    session = client.start(UNITS)
    ask = Ask(callback_gas=7)
    for sent in (7, 15):
        with reverted(Client.wrong_value, 14, sent):
            arguments = client.many(session, ask, ask)
            client.call(Client.request_many, *arguments, value=sent)
    before = net.coin(net.router)

    requests = client.ask_many(session, ask, ask)

    assert [net.record(request)[7] for request in requests] == [7, 7]
    assert net.coin(net.router) == before + 14
    assert net.coin(client.address) == 0


def test_a_value_too_large_to_count_is_refused(client: Owned) -> None:
    session = client.start(UNITS)
    router, session, model, routing, asked, callback, _ = client.many(session, Ask(), Ask())

    arguments = (router, session, model, routing, asked, callback, 2**255)
    with pytest.raises(DtnError):
        client.call(Client.request_many, *arguments)


# Answers.


def test_answers_are_read_together(net: Net, client: Owned) -> None:
    session = client.start(UNITS)
    requests = client.ask_many(session, Ask(), Ask(), Ask())
    net.reply(requests[0], response=encode(["string"], ["Hi."]))
    net.reply(requests[2], status=FAILURE, message="P0011", response=b"")

    answers = client.read(Client.answers, requests)

    assert answers == (
        (SUCCESS, "", encode(["string"], ["Hi."])),
        (NA, "", b""),
        (FAILURE, "P0011", b""),
    )


def test_answers_are_those_of_the_network_that_was_asked_last(
    local_networks: dict[Variant, LocalNetwork], cast: Cast, client: Owned
) -> None:
    both = [Net(network, cast) for network in local_networks.values()]

    for there in (*both, *both):
        asking = Owned(there, client.address, client.owner)
        asking.approve(0)  # as USDT wants it
        asking.approve(UNITS)
        request = asking.ask(asking.start(UNITS))
        there.reply(request)
        assert client.read(Client.ai) == there.router
        assert client.read(Client.answers, [request])[0][0] == SUCCESS


def test_anybody_may_read_answers(net: Net, cast: Cast, client: Owned) -> None:
    session = client.start(UNITS)
    request = client.ask(session)
    net.reply(request)

    answers = net.read(client.address, Client.answers, [request], sender=cast.stranger.address)

    assert answers[0][0] == SUCCESS


def test_with_too_little_gas_an_answer_is_not_said_to_be_missing(net: Net, client: Owned) -> None:
    """A contract that reads an answer may be called with any gas."""
    request = client.ask(client.start(UNITS))
    net.reply(request, response=bytes(range(1, 256)) * 40, gas_limit=16_000_000)
    ask = {"to": client.address, "data": "0x" + Client.answers.encode([request]).hex()}

    said, reverted_with = [], set()
    for gas in (*range(25_000, 100_000, 5_000), *range(100_000, 3_000_000, 100_000)):
        (found,) = rpc.ask(net.provider, [("eth_call", [{**ask, "gas": hex(gas)}, "latest"])])
        if isinstance(found, Failure):
            said.append(None)
            reverted_with.add(found.data)
        else:
            said.append(Client.answers.decode(as_bytes(found))[0][0])

    assert set(said) == {None, SUCCESS}
    assert Client.too_little_gas.selector in reverted_with
    assert (said[0], said[-1]) == (None, SUCCESS)


def test_answers_outlive_their_session(net: Net, client: Owned) -> None:
    session = client.start(UNITS)
    request = client.ask(session)
    net.reply(request)

    client.close(session)

    assert client.read(Client.answers, [request])[0][0] == SUCCESS


# Callbacks.


@pytest.mark.parametrize("function", [Client.sweep, Client.close, Client.start], ids=str)
def test_a_callback_to_the_client_itself_is_turned_away(
    net: Net, client: Owned, function: Function
) -> None:
    session = client.start(UNITS)
    callback = (function.selector, function.selector, client.address)
    request = client.ask(session, callback=callback, callback_gas=200_000)

    receipt = net.reply(request)

    (failed,) = Router.success_callback_failed.find(receipt.logs)
    assert failed["requestId"] == request
    assert client.read(Client.answers, [request])[0][0] == SUCCESS
    assert net.balance(session) == UNITS - 200


def test_a_callback_cannot_pretend_to_be_the_owner(
    net: Net, cast: Cast, client: Owned, puppet: ScriptedContract
) -> None:
    """The caller is the router or the callback's contract."""
    session = client.start(UNITS)
    changes = every_change(client)
    puppet.rehearse(*((client.address, *changes[change]) for change in CHANGES))
    callback = (b"\1" * 4, b"\1" * 4, puppet.address)
    request = client.ask(session, callback=callback, callback_gas=2_000_000)

    receipt = net.reply(request, gas_limit=5_000_000)

    refusal = error_data(Client.not_owner, puppet.address).hex()
    assert played(receipt) == [(net.router, False, refusal)] * len(CHANGES)
    assert Router.request_completed.find(receipt.logs)


def test_a_callback_that_reverts_loses_nothing(
    net: Net, client: Owned, puppet: ScriptedContract
) -> None:
    session = client.start(UNITS)
    puppet.rehearse((client.address, Client.sweep, (NOBODY,)), insists=True)
    callback = (b"\1" * 4, b"\1" * 4, puppet.address)
    request = client.ask(session, callback=callback, callback_gas=100_000)

    receipt = net.reply(request)

    (failed,) = Router.success_callback_failed.find(receipt.logs)
    assert failed["data"] == error_data(Client.not_owner, puppet.address)
    before = net.held(client.owner)
    client.close(session)
    assert net.held(client.owner) == before + UNITS - 200


def test_an_owner_may_close_in_its_own_callback(
    net: Net, cast: Cast, puppet: ScriptedContract, implementation: str
) -> None:
    """A callback is not within a call of the client, so the guard does not prevent it."""
    client = new_client(net, puppet.address, creator=cast.stranger)
    net.fund(client.address, UNITS)
    session = started(puppet.act((client.address, Client.start_from_here, (net.router, UNITS))))
    ask = Ask(callback=(b"\1" * 4, b"\1" * 4, puppet.address), callback_gas=0)
    router, number, model, routing, asked, callback, _ = client.one(session, ask)
    gas = 500_000
    call = Client.request.encode(router, number, model, routing, asked, callback, gas)
    receipt = net.send(cast.stranger, puppet.address, ACT, [(client.address, gas, call)], value=gas)
    (created,) = requested(receipt.logs)
    puppet.rehearse((client.address, Client.close, (net.router, session)))

    answered = net.reply(created["requestId"], gas_limit=2_000_000)

    assert played(answered) == [(net.router, True, "")]
    assert net.session(session) == (NOBODY, 0)
    assert net.held(puppet.address) == UNITS - 200
