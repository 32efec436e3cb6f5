"""Hostile content in the code storage of the reference network.

Requests and answers are stored as the code of contracts, at addresses derived from their kind and
id. The tests use the encoding in ``pages.py`` to write the most dangerous content.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, TypeVar

import pytest
from eth_abi import encode
from eth_utils import keccak

from ape_dtn.errors import DtnError
from ape_dtn.network.abi import NodeManager
from tests.conftest import Cast

from .conftest import FAILURE, MODEL, SUCCESS, Ask, Net, Reply
from .pages import PAGE, answer_content, packed, request_content, terms_of

BLOCK = 30_000_000  # units of gas
FULL = b"\xff" * 32  # a word without zero bytes, which is stored whole

Made = TypeVar("Made", Ask, Reply)


def of_length(
    length: int, make: Callable[[bytes, bytes], Made], content: Callable[[Made], bytes]
) -> Made:
    """Content with exactly this stored length."""
    about = (length - len(content(make(b"", b"")))) * 32 // 33
    for size, more in product(range(about - 40, about + 40), (b"", b"n")):
        made = make(bytes(i % 255 + 1 for i in range(size)), more)
        if len(content(made)) == length:
            return made
    raise AssertionError("nothing has that length")


@pytest.mark.parametrize("length", [PAGE - 1, PAGE, PAGE + 1, 2 * PAGE])
def test_an_answer_that_ends_where_a_page_does_is_fetched_as_it_was_given(
    reference: Net, cast: Cast, length: int
) -> None:
    reply = of_length(
        length,
        lambda data, more: Reply(response=data, message=more.decode()),
        lambda reply: answer_content(reply, reference.time),
    )
    request = reference.ask(cast.customer, reference.open(cast.customer))

    reference.reply(request, response=reply.response, message=reply.message, gas_limit=BLOCK)

    assert reference.fetch(request) == (SUCCESS, reply.message, reply.response)
    assert reference.record(request)[-1][2] == reply.response


@pytest.mark.parametrize("length", [PAGE, PAGE + 1])
def test_a_request_that_ends_where_a_page_does_is_read_as_it_was_made(
    reference: Net, cast: Cast, length: int
) -> None:
    session = reference.open(cast.customer)
    ask = of_length(
        length,
        lambda data, more: Ask(call=data, nodes=[keccak(more)] * len(more) + [*Ask.nodes]),
        lambda ask: request_content(ask, session, 0),
    )

    request = reference.ask(cast.customer, session, call=ask.call, nodes=ask.nodes)

    record = reference.record(request)
    assert (record[5][0], list(record[4][1])) == (ask.call, [*ask.nodes])
    reference.reply(request)
    assert reference.fetch(request)[0] == SUCCESS


def test_words_of_any_kind_are_read_as_they_were_written(reference: Net, cast: Cast) -> None:
    """All forms of packing: number of bytes of a word, at either end."""
    bits = [1 << bit for bit in range(256)]
    numbers = [0, *bits, *(2**256 - bit for bit in bits), *(bit + 1 for bit in bits[8:])]
    numbers += [(1 << 255) | bit for bit in bits]
    words = b"".join(number.to_bytes(32, "big") for number in numbers)

    request = reference.ask(cast.customer, reference.open(cast.customer), call=words + b"\0\1\0")
    reference.reply(request, response=b"\1\0" + words, gas_limit=BLOCK)

    assert reference.record(request)[5][0] == words + b"\0\1\0"
    assert reference.fetch(request)[2] == b"\1\0" + words


def with_second_page(
    page: bytes, words: bytes, make: Callable[[bytes], Made], content: Callable[[Made], bytes]
) -> Made:
    """Content whose second page begins with a length and packed words."""
    before = FULL[:29] + page[:3]  # a word that ends with the page's first three bytes
    missing = PAGE - content(make(FULL * 700 + before + words)).index(page)
    many, few = divmod(missing, len(packed(FULL)))
    short = bytes(33 - few) + FULL[: few - 1] if few else b""
    made = make(FULL * (700 + many) + short + before + words)
    assert content(made)[PAGE:].startswith(page)
    return made


def node_of(net: Net, account: Any) -> bytes:
    """A node of an account, which anybody can register."""
    manager, name = net.contracts.node_manager, "thief"
    net.send(account, manager, NodeManager.register_user, name, account.address)
    net.send(account, manager, NodeManager.register_node, name, name, account.address)
    node = keccak(text=f"node.{name}.{name}")
    net.send(account, manager, NodeManager.set_node_models, node, [MODEL])
    return node


@pytest.mark.parametrize("where", ["in a request", "in an answer"])
def test_stored_content_is_never_read_as_a_request(reference: Net, cast: Cast, where: str) -> None:
    """The second page of a thief's request or answer holds terms of a request that somebody
    else's session would pay for, with the thief's node.

    No request id may lead to that page, whichever part of the address derivation is attacked.
    """
    net, thief = reference, cast.stranger
    rich, poor = net.open(cast.customer, 1_000_000), net.open(thief, 1)
    node = node_of(net, thief)
    terms = terms_of(Ask(nodes=[node], most=2**96), rich, 0)
    page = len(packed(terms)).to_bytes(3, "big") + packed(terms)
    call = b"What is the time?"
    if where == "in a request":
        call = with_second_page(
            page,
            terms,
            lambda data: Ask(nodes=[node], most=0, call=data),
            lambda ask: request_content(ask, poor, 0),
        ).call
    request = net.ask(thief, poor, nodes=[node], most=0, call=call)
    if where == "in an answer":
        response = with_second_page(
            page,
            terms,
            lambda data: Reply(response=data),
            lambda reply: answer_content(reply, net.time),
        ).response
        options = {"node": node, "worker": thief, "gas_limit": BLOCK}
        net.reply(request, response=response, **options)
    held = net.held(thief)

    inverse = bytes(0xFF - byte for byte in request)
    ids = [inverse, *(keccak(encode(["bytes32", "uint256"], [of, 1])) for of in (request, inverse))]
    ids += [
        keccak(encode(["uint256", "bytes32", "uint256"], [kind, request, number]))
        for kind, number in product(range(3), repeat=2)
    ]
    for request_id, status in product(ids, (SUCCESS, FAILURE)):
        with pytest.raises(DtnError):
            net.reply(request_id, status=status, node=node, worker=thief, asked=10**6, answered=0)

    assert [net.record(request)[0] for request in ids] == [0] * len(ids)
    assert (net.balance(rich), net.held(thief)) == (1_000_000, held)
    net.close(cast.customer, rich)
