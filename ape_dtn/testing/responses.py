"""The mock node's requests, and the results of its responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ape_dtn.network.requests import Record
    from ape_dtn.node.answering import Question, Result
    from ape_dtn.types.amount import Amount
    from ape_dtn.types.errors import CallbackFailed, DtnError
    from ape_dtn.types.model import Model
    from ape_dtn.types.transactions import Receipt


class Outcome(Enum):
    """What the mock node did with a request in one call of ``answer()``."""

    RESPONDED = "responded"
    """The router accepted a response, SUCCESS or FAILURE."""
    REFUSED = "refused"
    """The router rejected the response."""
    DELAYED = "delayed"
    """The rule's delay is not over."""
    IGNORED = "ignored"
    """The rule says not to answer."""


@dataclass(frozen=True)
class Task:
    """A request that the node may answer; ``question`` is None if its call cannot be decoded."""

    request_id: bytes
    record: Record
    model: Model
    question: Question | None

    def __str__(self) -> str:
        text = repr(self.question.text) if self.question else "an undecodable question"
        return f"{self.model.name} was asked {text}"


@dataclass(frozen=True)
class Response:
    """What the node did with one request, and the result.

    Attributes:
        request_id: The request, as ``0x…``.
        question: The question; None if the call did not fit the model's API.
        outcome: What the node did.
        result: The content of the response; None if there was none.
        receipt: The response's transaction, if the router accepted it.
        charged: The fee that the session paid.
        callback_error: Why the request's callback reverted, if it did.
        error: Why the router rejected the response, if it did.
    """

    request_id: str
    question: Question | None
    outcome: Outcome
    result: Result | None = None
    receipt: Receipt | None = field(default=None, repr=False)  # too long for a failed test
    charged: Amount | None = None
    callback_error: CallbackFailed | None = None
    error: DtnError | None = None
