"""Malformed call data is refused or decoded by the rules of the ABI.

Dirty high bits, arbitrary offsets, huge lengths, truncated data. A request that is accepted must be
readable, answerable and payable, and must not affect others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_abi import encode

from ape_dtn.chain import rpc
from ape_dtn.network.abi import Router
from ape_dtn.types.abi import Function, decode
from ape_dtn.types.rpc import as_bytes
from tests.conftest import Cast

from .conftest import NODE_ID, SUCCESS, Ask, Net, Reply
from .unchecked import logs_of, send_unchecked, succeeded

Change = Callable[[bytes], bytes]

# The positions of words in a request's arguments.
ROUTING_AT, REQUEST_AT, ON_SUCCESS, TARGET, USER = 2, 3, 4, 6, 7
ROUTING, NODES_AT, REDUNDANCY, CONFIDENCE, AGGREGATION, NAMESPACES, NODES = (
    9,
    10,
    11,
    12,
    13,
    14,
    15,
)
REQUEST, EXTRA_AT, CALL_TYPE, CALL, EXTRA = 17, 18, 19, 23, 26
CALL_DATA = b"a call of forty bytes, which are 2 words"
WORDS = 27

# The positions of words in a response's arguments.
STATUS, MESSAGE_AT, RESPONSE_AT, MESSAGE, RESPONSE = 1, 2, 3, 7, 9


def word(place: int, value: int) -> Change:
    """Replaces a word; negative values count down from the maximum."""
    encoded = (value % 2**256).to_bytes(32, "big")
    return lambda data: data[: 32 * place] + encoded + data[32 * (place + 1) :]


def cut(end: int) -> Change:
    return lambda data: data[:end]


def behind(more: bytes) -> Change:
    return lambda data: data + more


def both(*changes: Change) -> Change:
    def change(data: bytes) -> bytes:
        for change in changes:
            data = change(data)
        return data

    return change


REQUESTS: dict[str, Change] = {
    "as it should be": behind(b""),
    "with more behind it": behind(b"\xff" * 100),
    "padded with anything": lambda data: data[: 32 * 26 - 24] + b"\xff" * 24 + data[32 * 26 :],
    # More bits than the type has, or a number that it does not.
    "an aggregation that there is not": word(AGGREGATION, 5),
    "an aggregation of 256 bits": word(AGGREGATION, 2**255),
    "a call type that there is not": word(CALL_TYPE, 2),
    "a call type of 256 bits": word(CALL_TYPE, 2**255 + 1),
    "a redundancy of 33 bits": word(REDUNDANCY, 2**32 + 1),
    "a confidence of 9 bits": word(CONFIDENCE, 2**8 + 8),
    "a target of 161 bits": word(TARGET, 2**160 + 1),
    "a user of 161 bits": word(USER, 2**160 + 1),
    "a selector of 256 bits": word(ON_SUCCESS, 2**255 + 1),
    # Offsets.
    "a routing beyond the end": word(ROUTING_AT, 32 * WORDS),
    "a routing that is cut short": word(ROUTING_AT, 32 * (WORDS - 3)),
    "a routing far beyond": word(ROUTING_AT, 2**64),
    "a routing before the beginning": word(ROUTING_AT, -32),
    "a routing that is the head itself": word(ROUTING_AT, 0),
    "a routing that is the request": word(ROUTING_AT, 32 * REQUEST),
    "a routing off by a byte": word(ROUTING_AT, 32 * ROUTING + 1),
    "a request beyond the end": word(REQUEST_AT, 32 * WORDS),
    "a request far beyond": word(REQUEST_AT, 2**255),
    "a request before the beginning": word(REQUEST_AT, -64),
    "a request that is the head itself": word(REQUEST_AT, 0),
    "a request that is the routing": word(REQUEST_AT, 32 * ROUTING),
    "namespaces that are the nodes": word(ROUTING, 32 * (NODES - ROUTING)),
    "nodes in the head": word(NODES_AT, -32 * ROUTING),
    "nodes beyond the end": word(NODES_AT, 2**64),
    "nodes before the beginning": word(NODES_AT, 2**256 - 2**64),
    "a call and parameters that are one": word(EXTRA_AT, 32 * (CALL - REQUEST)),
    "a call within the nodes": word(REQUEST, -64),
    "a call that is the session": word(REQUEST, -32 * REQUEST),
    "a call beyond the end": word(REQUEST, 2**63),
    "a call off by some bytes": word(REQUEST, 32 * (CALL - REQUEST) + 5),
    # Lengths.
    "more nodes than there are words": word(NODES, 13),
    "nodes that go on in the request": word(NODES, 11),
    "nodes without end": word(NODES, 2**64),
    "nodes whose size overflows": word(NODES, 2**251),
    "nodes beyond all numbers": word(NODES, -1),
    "namespaces without end": word(NAMESPACES, 2**64 - 1),
    "a call that goes on in the parameters": word(CALL, 96),
    "a call longer than the data": word(CALL, 97),
    "a call without end": word(CALL, 2**64),
    "a call whose end overflows": word(CALL, -31),
    "parameters that are not there": word(EXTRA, 1),
    # Cut short.
    "without its last byte": cut(32 * WORDS - 1),
    "without its last word": cut(32 * (WORDS - 1)),
    "without half its call": both(cut(32 * 24 + 20), word(EXTRA_AT, 32 * (NAMESPACES - REQUEST))),
    "a head alone": cut(32 * 9),
    "half a head": cut(100),
    "nothing": cut(0),
}

RESPONSES: dict[str, Change] = {
    "as it should be": behind(b""),
    "with more behind it": behind(b"\xff" * 33),
    "a message that is no text": lambda data: data.replace(b"said", b"\xff\xfe\x80\0"),
    "a status of 256 bits": word(STATUS, 2**255 + 1),
    "a message and a response that are one": word(MESSAGE_AT, 32 * RESPONSE),
    "a message that is the request's id": word(MESSAGE_AT, 0),
    "a message in the head": word(MESSAGE_AT, 32 * STATUS),
    "a message beyond the end": word(MESSAGE_AT, 2**64),
    "a message before the beginning": word(MESSAGE_AT, -32),
    "a message off by a byte": word(MESSAGE_AT, 32 * MESSAGE + 1),
    "a message that goes on in the response": word(MESSAGE, 128),
    "a message without end": word(MESSAGE, -1),
    "a response far beyond": word(RESPONSE_AT, 2**255),
    "a response of the sizes": word(RESPONSE_AT, 32 * 5),
    "a response longer than the data": word(RESPONSE, 65),
    "a response whose end overflows": word(RESPONSE, -32),
    "without its last byte": cut(32 * 12 - 1),
    "without its last word": cut(32 * 11),
    "nothing": cut(0),
}


def readable(function: Function, data: bytes) -> list[Any] | None:
    """Decoded arguments, if all offsets are within the data."""
    try:
        return list(decode(function.inputs, data))
    except Exception:  # the type depends on the fault
        return None


def flat(value: Any) -> Any:
    """The value with tuples in place of lists, and addresses in lower case."""
    if isinstance(value, (list, tuple)):
        return tuple(flat(item) for item in value)
    return value.lower() if isinstance(value, str) else value


def test_a_request_in_any_call_data_is_refused_or_read_as_the_abi_has_it(
    net: Net, cast: Cast
) -> None:
    session = net.open(cast.customer, 1_000_000)
    good = Ask(call=CALL_DATA, most=1_000).arguments(session)
    canonical = encode(Router.request.inputs, good)
    assert len(canonical) == 32 * WORDS
    taken: dict[str, bytes] = {}
    for name, change in REQUESTS.items():
        made = change(canonical)
        (receipt,) = send_unchecked(net, cast.customer, (Router.request.selector + made, 0))
        if not succeeded(receipt):
            continue
        (created,) = Router.request_created.find(logs_of(receipt))
        taken[name] = created["requestId"]
        record = net.record(created["requestId"])
        if (decoded := readable(Router.request, made)) is not None:
            _, model, routing, asked, callback, user, gas = decoded
            fields = (created["sessionId"], user, False, model, routing, asked, callback, gas)
            assert flat(record[:8]) == flat(fields), name

    # Accepted requests do not affect others: all are listed, those that name the node are answered,
    # and the rest of the deposit is refunded.
    assert taken.keys() >= {"as it should be", "with more behind it", "padded with anything"}
    assert len(taken) < len(REQUESTS) - 25
    count = net.read(net.router, Router.get_pending_requests_length)
    assert list(net.read(net.router, Router.get_pending_requests, 0, count)) == [*taken.values()]
    answered = 0
    for name, request in taken.items():
        routing = net.record(request)[4]
        if NODE_ID in routing[1] and routing[2] == 1 and routing[4] == 0:
            net.reply(request, asked=1, answered=0)
            assert net.fetch(request)[0] == SUCCESS, name
            answered += 1
    assert answered >= 3
    net.reply(net.ask(cast.customer, session), asked=1, answered=0)
    before = net.held(cast.customer)
    left = net.balance(session)
    net.close(cast.customer, session)
    assert net.held(cast.customer) == before + left
    assert net.held_by_network == 0


def test_a_response_in_any_call_data_is_refused_or_read_as_the_abi_has_it(
    net: Net, cast: Cast
) -> None:
    session = net.open(cast.customer, 1_000_000)
    taken = []
    for name, change in RESPONSES.items():
        request = net.ask(cast.customer, session)
        reply = Reply(message="said", response=b"a response of forty bytes, 2 words of it")
        canonical = encode(Router.respond_to_request.inputs, reply.arguments(request))
        assert len(canonical) == 32 * 12
        made = change(canonical)
        (receipt,) = send_unchecked(
            net, cast.worker, (Router.respond_to_request.selector + made, 0)
        )
        if not succeeded(receipt):
            net.reply(request)
            continue
        taken.append(name)
        record = net.record(request)
        found = rpc.result(
            net.provider,
            "eth_call",
            [
                {"to": net.router, "data": "0x" + Router.fetch_response.encode(request).hex()},
                "latest",
            ],
        )
        fetched = decode(["uint8", "bytes", "bytes"], as_bytes(found))
        kinds = ["bytes" if kind == "string" else kind for kind in Router.respond_to_request.inputs]
        if (decoded := readable(Function(f"_({','.join(kinds)})"), made)) is not None:
            assert fetched == tuple(decoded[1:4]), name
        assert record[-1][2] == fetched[2], name

    expected = {"as it should be", "with more behind it", "a message that is no text"}
    assert expected <= set(taken)
    assert len(taken) < len(RESPONSES) - 8
    completed = net.read(net.router, Router.get_completed_requests_length)
    assert completed == len(RESPONSES)
    net.close(cast.customer, session)
    assert net.held_by_network == 0


@pytest.mark.parametrize("function", [Router.start_user_session, Router.close_user_session])
def test_more_behind_the_arguments_changes_nothing(
    net: Net, cast: Cast, function: Function
) -> None:
    session = net.open(cast.customer, 1_000)
    net.deposit(cast.customer, 500)
    arguments = (session,) if function.inputs else ()

    (receipt,) = send_unchecked(net, cast.customer, (function.encode(*arguments) + b"\xff" * 33, 0))

    assert succeeded(receipt)
    assert net.held_by_network == (500 if function.inputs else 1_500)
