"""Encoding of requests and answers in the code storage of the reference network."""

from __future__ import annotations

from eth_abi import encode

from .conftest import Ask, Reply

# The bytes in a page. Longer content continues in further pages.
PAGE = 24_575

_TERMS = (
    *("uint256", "uint256", "address", "bytes32", "bytes32[]", "bytes32[]", "uint8", "uint8"),
    *("uint256", "uint256", "uint256", "(bytes4,bytes4,address)", "uint256"),
)
_ANSWER = ("uint8", "string", "bytes", "uint256", "uint256")


def packed(data: bytes) -> bytes:
    """ABI-encoded data without zero bytes: for each word its form and the kept bytes."""
    written = b""
    for start in range(0, len(data), 32):
        word = data[start : start + 32]
        number, text = word.lstrip(b"\0"), word.rstrip(b"\0")
        is_text = len(number) == 32 and len(text) < 32
        left = text if is_text else number
        written += bytes([len(left) + 32 * is_text]) + left
    return written


def request_content(ask: Ask, session: int, index: int) -> bytes:
    """Stored content of a request."""
    terms = packed(terms_of(ask, session, index))
    _, _, _, (call, extra, *_), *_ = ask.arguments(session)
    return len(terms).to_bytes(3, "big") + terms + packed(encode(["bytes", "bytes"], [call, extra]))


def terms_of(ask: Ask, session: int, index: int) -> bytes:
    """Terms of a request before packing."""
    _, model, routing, asked, callback, user, gas = ask.arguments(session)
    namespaces, nodes, _, confidence, _ = routing
    _, _, kind, *fees = asked
    head = (index, session, user, model, namespaces, nodes, confidence)
    return encode(_TERMS, (*head, kind, *fees, callback, gas))


def answer_content(reply: Reply, time: int) -> bytes:
    """Stored content of an answer of the first node that is trusted by id."""
    return packed(encode(_ANSWER, (reply.status, reply.message, reply.response, 0, time)))
