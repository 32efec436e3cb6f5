"""Attacks by nodes: who responds, when, with which sizes and with how little gas."""

from __future__ import annotations

from typing import Any

import pytest

from ape_dtn.chain import rpc
from ape_dtn.chain.reverts import PANIC
from ape_dtn.deployment.assemble import Variant
from ape_dtn.errors import ContractReverted, DtnError
from ape_dtn.network.abi import Client, NodeManager, Router
from ape_dtn.types.rpc import Failure, as_int
from tests.conftest import Cast

from .client import Owned, reverted
from .conftest import FAILURE, NA, NODE_ID, SUCCESS, Net, Reply, refused

UNITS = 1_000_000
OVERFLOW = 0x11
YEARS = 30 * 365 * 24 * 3600

CODE = 24_576  # the largest code of a contract, in bytes
BLOCK = 30_000_000  # units of gas


def data(size: int) -> bytes:
    """Arbitrary bytes; as code, the first byte would be invalid (EIP-3541)."""
    return (b"\xef" + bytes(i * i % 251 for i in range(size)))[:size]


def try_with(net: Net, gas: int, request: bytes, reply: Reply) -> Any:
    """Simulates a response with a gas limit."""
    data = "0x" + Router.respond_to_request.encode(*reply.arguments(request)).hex()
    call = {"from": net.cast.worker.address, "to": net.router, "data": data, "gas": hex(gas)}
    (outcome,) = rpc.ask(net.provider, [("eth_call", [call, "latest"])])
    return outcome


# Who answers, and when.


def test_a_node_answers_years_later(net: Net, cast: Cast) -> None:
    session = net.open(cast.customer, 1_000)
    request = net.ask(cast.customer, session)
    net.wait(YEARS)

    net.reply(request)

    assert net.fetch(request)[0] == SUCCESS
    net.close(cast.customer, session)


def test_a_response_after_the_close_is_not_paid_by_a_later_session(net: Net, cast: Cast) -> None:
    first = net.open(cast.customer, 1_000)
    request = net.ask(cast.customer, first)
    net.close(cast.customer, first)
    second = net.open(cast.customer, 1_000)

    with pytest.raises(DtnError):
        net.reply(request)

    assert (net.balance(second), net.held(cast.worker)) == (1_000, 0)
    assert not net.is_completed(request)


def test_a_second_response_is_refused_and_not_paid(net: Net, cast: Cast) -> None:
    """Both are in one block, as if a trusted node had copied a pending response."""
    second = net.add_node("second", cast.stranger)
    session = net.open(cast.customer, 1_000)
    request = net.ask(cast.customer, session, nodes=[NODE_ID, second])

    receipts = net.send_in_one_block(
        (
            cast.stranger,
            net.router,
            Router.respond_to_request,
            Reply(node=second).arguments(request),
        ),
        (cast.worker, net.router, Router.respond_to_request, Reply().arguments(request)),
    )

    assert sorted(as_int(receipt["status"]) for receipt in receipts) == [0, 1]
    assert net.balance(session) == 800
    assert net.record(request)[-2] == 1


def test_a_worker_that_was_never_the_nodes_answers_nothing(net: Net, cast: Cast) -> None:
    """Not the owner of the node, the requester, or the worker of another node."""
    second = net.add_node("second", cast.worker)
    request = net.ask(cast.customer, net.open(cast.customer), nodes=[NODE_ID])

    for account in (cast.owner, cast.customer, cast.stranger):
        with refused(ContractReverted, "Not the node worker"):
            net.reply(request, worker=account)
    with refused(ContractReverted, "Node does not have required trust namespace"):
        net.reply(request, node=second)


def test_nobody_can_respond_for_an_unknown_node(net: Net, cast: Cast) -> None:
    """Its worker is the zero address."""
    unknown = b"\x01" * 32
    request = net.ask(cast.customer, net.open(cast.customer), nodes=[unknown, b"\0" * 32])

    for node in (unknown, b"\0" * 32):
        with refused(ContractReverted, "Not the node worker"):
            net.reply(request, node=node)


def test_a_node_that_is_switched_off_while_it_works_answers_nothing(net: Net, cast: Cast) -> None:
    session = net.open(cast.customer, 1_000)
    request = net.ask(cast.customer, session)
    manager = net.contracts.node_manager
    net.send(cast.owner, manager, NodeManager.set_node_status, NODE_ID, False)

    with refused(ContractReverted, "Node not active"):
        net.reply(request)

    net.close(cast.customer, session)
    assert net.held(cast.customer) == 1_000_000_000


# What it answers.


def test_a_response_with_status_na_costs_as_much_as_a_failure(
    net: Net, cast: Cast, client: Owned
) -> None:
    """Clients read the status NA as no answer."""
    session = client.start(UNITS)
    request = client.ask(session, fee_asked=7, fee_answered=7)

    net.reply(request, status=NA, asked=30, answered=4)

    assert net.balance(session) == UNITS - 34
    assert net.is_completed(request)
    assert net.fetch(request)[0] == NA
    assert client.read(Client.answers, [request])[0][0] == NA


def test_an_unknown_status_is_refused(net: Net, cast: Cast) -> None:
    session = net.open(cast.customer, 1_000)
    request = net.ask(cast.customer, session)

    for status in (3, 255):
        with pytest.raises(DtnError) as raised:
            net.reply(request, status=status)
        assert raised.value.revert is not None
        assert raised.value.revert.data == b""

    assert net.balance(session) == 1_000
    net.reply(request)


def test_an_answer_is_fetched_as_it_was_given(net: Net, cast: Cast, variant: Variant) -> None:
    """The live router stores it word by word, at 700 gas per byte: 40 KB exceed a block."""
    sizes = [0, 1, 31, 32, 33, CODE + 1]
    if variant is Variant.REFERENCE:
        sizes.append(60_000)
    session = net.open(cast.customer)
    for size in sizes:
        request = net.ask(cast.customer, session)
        response, message = data(size), "n" * (size % 7)

        net.reply(request, response=response, message=message, gas_limit=BLOCK)

        assert net.fetch(request) == (SUCCESS, message, response), size
        assert net.record(request)[-1][1:3] == (message, response), size


def test_a_message_is_read_as_it_was_given(net: Net, cast: Cast) -> None:
    """It may be as long as an answer, although the node software cuts it at 100 characters."""
    session = net.open(cast.customer)
    for size in (100, CODE + 1):
        request = net.ask(cast.customer, session)

        net.reply(request, status=FAILURE, message="n" * size, response=b"r", gas_limit=BLOCK)

        assert net.fetch(request) == (FAILURE, "n" * size, b"r"), size


def test_a_response_above_the_block_limit_does_not_affect_others(net: Net, cast: Cast) -> None:
    """Only simulated: mining it takes Anvil many seconds."""
    session = net.open(cast.customer, 1_000)
    request = net.ask(cast.customer, session)
    reply = Reply(response=b"\1" * 160_000)

    assert isinstance(try_with(net, BLOCK, request, reply), Failure)

    net.reply(request, status=FAILURE, message="It is too long.")
    net.close(cast.customer, session)
    assert net.held(cast.customer) == 1_000_000_000 - 200


# The sizes that a node states.


@pytest.mark.parametrize("status", [SUCCESS, FAILURE])
def test_sizes_beyond_all_numbers_cost_the_cap_at_most(
    net: Net, cast: Cast, variant: Variant, status: int
) -> None:
    """The live router reverts on an overflow, which harms the node alone."""
    session = net.open(cast.customer, 1_000)
    highest = 2**256 - 1
    for asked, answered in ((highest, 1), (1, highest), (highest, highest), (2**255, 2**255)):
        request = net.ask(cast.customer, session, fee_asked=2, fee_answered=2, most=100)
        before = net.balance(session)

        if variant is Variant.LIVE:
            with reverted(PANIC, OVERFLOW):
                net.reply(request, status=status, asked=asked, answered=answered)
        else:
            net.reply(request, status=status, asked=asked, answered=answered)
            assert net.balance(session) == before - 100


def test_a_price_beyond_all_numbers_costs_the_cap_at_most(
    net: Net, cast: Cast, variant: Variant
) -> None:
    """A price may overflow with the true sizes. The live router then accepts only a response
    with false sizes."""
    session = net.open(cast.customer, 1_000)
    highest = 2**256 - 1
    request = net.ask(cast.customer, session, fee_asked=highest, fee_answered=highest, most=300)

    if variant is Variant.LIVE:
        with reverted(PANIC, OVERFLOW):
            net.reply(request)
        net.reply(request, asked=1, answered=0)
    else:
        net.reply(request)
    assert (net.balance(session), net.held(cast.worker)) == (700, 300)


# With how little gas.


@pytest.mark.parametrize("size", [100, CODE + 1])
def test_an_answer_lands_wholly_or_not_at_all(net: Net, cast: Cast, size: int) -> None:
    """With any gas limit, storage, payment and events are complete or absent."""
    given = data(size)
    session = net.open(cast.customer, 1_000)
    request = net.ask(cast.customer, session)
    too_little, enough = 50_000, BLOCK
    while enough - too_little > 100:
        gas = (too_little + enough) // 2
        if isinstance(try_with(net, gas, request, Reply(response=given)), Failure):
            too_little = gas
        else:
            enough = gas

    with pytest.raises(DtnError):
        net.reply(request, response=given, gas_limit=too_little - 3_000)
    assert (net.balance(session), net.is_completed(request)) == (1_000, False)
    net.reply(request, response=given, gas_limit=enough)

    assert net.fetch(request)[2] == given
    assert (net.balance(session), net.held(cast.worker)) == (800, 200)


# Large requests.


def test_a_request_is_read_as_it_was_made(net: Net, cast: Cast) -> None:
    session = net.open(cast.customer)
    for size in (0, 1, CODE + 1):
        request = net.ask(cast.customer, session, call=data(size))

        assert net.record(request)[5][0] == data(size), size
        net.reply(request)
    net.close(cast.customer, session)
