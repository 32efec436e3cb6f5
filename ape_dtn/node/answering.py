"""Decode a request, ask the backend, and encode the node's response."""

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
from ape_dtn.types.utf8 import without_surrogates

if TYPE_CHECKING:
    from ape_dtn.network.requests import Record
    from ape_dtn.types.model import Model


# The live node software's message for a call that does not fit the model's API.
NOT_PARSABLE = "P0011: Call not parsable"

CANNOT_BE_SENT = "The answer cannot be sent"
TOO_LONG = "The answer is too long for a transaction: request it over IPFS"

# go-ethereum accepts transactions of up to 128 KiB (`txMaxSize`), and a transaction is slightly
# longer than the response in it.
MAX_RESPONSE_BYTES = 2**17 - 2**10

# The live node software truncates failure messages to this length.
MAX_MESSAGE_LENGTH = 100

# Upper bound for a prompt with its placeholders filled in, in bytes: a few thousand placeholders
# could expand a small call to gigabytes.
MAX_FILLED_BYTES = 2**24

log = logging.getLogger("ape_dtn.node")


@dataclass(frozen=True)
class Question:
    """A decoded request, as a backend receives it.

    Attributes:
        request_id: The request's id, as ``0x…``.
        model: The model's full name.
        types: The ABI types of the inputs, in the order of the model's API.
        inputs: The decoded inputs, with their placeholders filled in.
        output: The ABI type of the answer.
    """

    request_id: str
    model: str
    types: tuple[str, ...]
    inputs: tuple[Any, ...]
    output: str

    @property
    def text(self) -> str:
        """All text among the inputs, joined by spaces."""
        return " ".join(texts_of(self.inputs))


# Returns the answer as the question's output type: text for `string`, bytes for `bytes`, and so on.
Backend: TypeAlias = Callable[[Question], Any]

# Stores an answer's content on IPFS and returns its CID.
Store: TypeAlias = Callable[[bytes], str]


@dataclass(frozen=True)
class Result:
    """The content of a node's response (``respondToRequest``).

    Attributes:
        status: SUCCESS or FAILURE.
        message: The reason of a failure.
        response: The ABI-encoded answer, or its ABI-encoded CID when it is on IPFS.
    """

    status: Status
    message: str
    response: bytes


def decode_question(request_id: bytes, model: Model, record: Record) -> Question | None:
    """Decode a request's call; None if it does not fit the model's API."""
    from eth_abi.exceptions import DecodingError

    from ape_dtn.types.decoding import decode

    if record.call.count(b"{") * len(record.extra_params) > MAX_FILLED_BYTES:
        return None
    try:
        types = tuple(model.api.inputs)
        inputs = fill_in(decode(types, record.call), record.extra_params)
    except (DecodingError, DtnError, ValueError):
        return None
    return Question(as_hex(request_id), model.name, types, tuple(inputs), model.api.output)


def answer(
    request_id: bytes, model: Model, record: Record, backend: Backend, store: Store | None = None
) -> Result:
    """Ask the backend and encode its answer. Errors become a FAILURE; nothing is raised."""
    if record.call_type is CallType.IPFS and store is None:
        return failure("This node stores nothing on IPFS")
    question = decode_question(request_id, model, record)
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
    """Encode an answer as the request wants it delivered: on chain, or over IPFS.

    Raises:
        eth_abi.exceptions.EncodingError, ValueError: The answer is not of the model's output type,
            or the output type is not an ABI type.
        BackendFailed: The answer is too long for a transaction.
    """
    from eth_abi import encode

    value = without_surrogates(value)
    if record.call_type is CallType.DIRECT or store is None:
        response = model.api.encode_answer(value)
        if len(response) > MAX_RESPONSE_BYTES:
            raise BackendFailed(TOO_LONG)
        return Result(Status.SUCCESS, "", response)
    cid = store(model.api.encode_content(value))
    return Result(Status.SUCCESS, "", encode(["string"], [cid]))


def failure(message: str) -> Result:
    """Build a FAILURE response, with the message truncated to 100 characters."""
    # The message may hold surrogate escapes, as from a file name, which UTF-8 cannot encode.
    text = message[:MAX_MESSAGE_LENGTH].encode(errors="replace").decode()
    return Result(Status.FAILURE, text, b"")


def response_transaction(
    router: str, node_id: bytes, request_id: bytes, record: Record, result: Result
) -> Transaction:
    """Build the response transaction: true sizes, and enough gas for the callback."""
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
    # A gas estimate ignores callbacks that run out of gas, because the response succeeds anyway.
    # A call forwards at most 63/64 of the remaining gas.
    return replace(transaction, extra_gas=record.callback_gas * 64 // 63)
