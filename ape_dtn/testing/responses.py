"""What a test's node was asked, and what came of its responses."""

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
    """What the node did about a request in one round."""

    RESPONDED = "responded"
    """The router has taken its response, be it an answer or a failure."""
    REFUSED = "refused"
    """The router has refused its response."""
    DELAYED = "delayed"
    """It is not time yet."""
    IGNORED = "ignored"
    """It was told not to answer."""


@dataclass(frozen=True)
class Task:
    """A request that the node may answer.

    Attributes:
        request_id: Its id.
        record: What the chain keeps of it.
        model: The model that it asks.
        question: What it asks; None where its call does not fit the model's API.
    """

    request_id: bytes
    record: Record
    model: Model
    question: Question | None

    def __str__(self) -> str:
        said = repr(self.question.text) if self.question else "what nobody can decode"
        return f"{self.model.name} was asked {said}"


@dataclass(frozen=True)
class Response:
    """What came of one response of the node, or of its silence.

    Attributes:
        request_id: The request, as ``0x…``.
        question: What was asked; None where the call did not fit the model's API.
        outcome: What the node did.
        result: What it responded with; None where it kept silent.
        receipt: The transaction of the response, where the router has taken it.
        charged: What the session was charged for it.
        callback_error: Why the request's callback reverted, if it did.
        error: Why the router has refused the response.
    """

    request_id: str
    question: Question | None
    outcome: Outcome
    result: Result | None = None
    receipt: Receipt | None = field(default=None, repr=False)  # long, in a test that fails
    charged: Amount | None = None
    callback_error: CallbackFailed | None = None
    error: DtnError | None = None
