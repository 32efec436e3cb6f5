"""From a request to a node's response: decoded, asked of a backend, encoded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from ape_dtn.ipfs.errors import BackendFailed
from ape_dtn.network.abi import Router
from ape_dtn.types.answer import CallType, Status
from ape_dtn.types.errors import DtnError
from ape_dtn.types.ids import as_hex
from ape_dtn.types.prompt import fill_in, texts_of
from ape_dtn.types.transactions import Transaction, contract_call

if TYPE_CHECKING:
    from ape_dtn.network.requests import Record
    from ape_dtn.types.model import Model


# What the live node software says of a call that does not fit the model's API.
NOT_PARSABLE = "P0011: Call not parsable"

CANNOT_BE_SENT = "The answer cannot be sent"
TOO_LONG = "The answer is too long for a transaction: ask for it over IPFS"

# The longest response, in bytes. No endpoint takes a transaction beyond 128 KiB (`txMaxSize` of
# go-ethereum), and around the response there is a little more.
LONGEST_RESPONSE = 2**17 - 2**10

# The live node software cuts what it says of a failure.
LONGEST_MESSAGE = 100

# The most that placeholders may make of a call, in bytes: a few thousand of them could stand for a
# text of gigabytes.
LONGEST_FILLING = 2**24

log = logging.getLogger("ape_dtn.node")


@dataclass(frozen=True)
class Question:
    """A request as a backend gets it.

    Attributes:
        request_id: The request's id, as ``0x…``.
        model: The model's full name.
        types: The ABI types of the inputs, in the order of the model's API.
        inputs: The inputs, decoded, with their placeholders filled in.
        output: The ABI type of the answer that is wanted.
    """

    request_id: str
    model: str
    types: tuple[str, ...]
    inputs: tuple[Any, ...]
    output: str

    @property
    def text(self) -> str:
        """All text among the inputs; its lines are joined by spaces."""
        return " ".join(texts_of(self.inputs))


# Gives the answer, of the type that is wanted: text for `string`, bytes for `bytes`, and so on.
Backend: TypeAlias = Callable[[Question], Any]

# Keeps an answer's content on IPFS and returns its identifier.
Store: TypeAlias = Callable[[bytes], str]


@dataclass(frozen=True)
class Result:
    """What a node responds with (``respondToRequest``).

    Attributes:
        status: SUCCESS or FAILURE.
        message: What is said of a failure.
        response: The answer, ABI-encoded; for IPFS its identifier, ABI-encoded.
    """

    status: Status
    message: str
    response: bytes


def question_of(request_id: bytes, model: Model, record: Record) -> Question | None:
    """What a request asks; None where its call does not fit the model's API."""
    from eth_abi.exceptions import DecodingError

    from ape_dtn.types.decoding import decode

    if record.call.count(b"{") * len(record.extra_params) > LONGEST_FILLING:
        return None
    try:
        types = tuple(model.api.inputs)
        inputs = fill_in(decode(types, record.call), record.extra_params)
    except (DecodingError, DtnError, ValueError, OverflowError):
        return None
    return Question(as_hex(request_id), model.name, types, tuple(inputs), model.api.output)


def answer(
    request_id: bytes, model: Model, record: Record, backend: Backend, store: Store | None = None
) -> Result:
    """What a node responds to a request with. Whatever a backend does, nothing is raised."""
    if record.call_type is CallType.IPFS and store is None:
        return failure("This node stores nothing on IPFS")
    question = question_of(request_id, model, record)
    if question is None:
        return failure(NOT_PARSABLE)
    try:
        return success(model, record, backend(question), store)
    except BackendFailed as err:
        log.warning("%s: %s", question.request_id, err.message)
        return failure(err.message)
    except Exception as err:
        log.error("%s: the backend failed: %r", question.request_id, err)
        return failure("The backend failed")


def success(model: Model, record: Record, value: Any, store: Store | None) -> Result:
    """A response with an answer, as the request wants it to travel.

    Raises:
        eth_abi.exceptions.EncodingError: The answer is not of the type that the model gives.
        BackendFailed: It is too long to be sent.
    """
    from eth_abi import encode

    if record.call_type is CallType.DIRECT or store is None:
        response = encode([model.api.output], [value])
        if len(response) > LONGEST_RESPONSE:
            raise BackendFailed(TOO_LONG)
        return Result(Status.SUCCESS, "", response)
    cid = store(model.api.encode_content(value))
    return Result(Status.SUCCESS, "", encode(["string"], [cid]))


def failure(message: str) -> Result:
    """A response without an answer."""
    # What Python makes of bytes that are no text, as in the name of a file, cannot be sent.
    text = message[:LONGEST_MESSAGE].encode(errors="replace").decode()
    return Result(Status.FAILURE, text, b"")


def responding(
    router: str, node_id: bytes, request_id: bytes, record: Record, result: Result
) -> Transaction:
    """The transaction of a fair node: it states the sizes as they are, and lets callbacks run."""
    transaction = contract_call(
        router,
        Router.respond_to_request,
        request_id,
        result.status,
        result.message,
        result.response,
        node_id,
        record.bytes_asked,
        len(result.response),
    )
    # An estimate can leave the callback too little: the response goes through all the same.
    # A call passes on 63 of 64 parts of the gas that is left.
    return replace(transaction, extra_gas=record.callback_gas * 64 // 63)
