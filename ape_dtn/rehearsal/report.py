"""The result of a rehearsal, as data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ape_dtn.types.amount import Amount
from ape_dtn.types.answer import Status
from ape_dtn.types.errors import CallbackFailed, DtnError

# The longest value that is shown in a table, in characters.
MAX_LENGTH = 70

_WORD = re.compile(r"0x[0-9a-f]{64}\b")


@dataclass(frozen=True)
class EmittedEvent:
    """An event.

    Attributes:
        label: The contract's name if it is known, else its address.
        name: The event's name; None if no known ABI has it.
        fields: The fields by name, as JSON values. Without a name they are ``topics`` and ``data``.
    """

    contract: str
    label: str
    name: str | None
    fields: dict[str, Any]

    def __str__(self) -> str:
        if self.name is None:
            return f"an unknown event {_short(''.join(self.fields['topics'][:1]))}"
        fields = ", ".join(f"{name}={_short(value)}" for name, value in self.fields.items())
        return f"{self.name}({fields})"


@dataclass(frozen=True)
class Change:
    """A changed value.

    Attributes:
        kind: ``view`` for the result of a view without arguments, ``storage`` for a storage slot,
            ``balance`` for a balance of fee tokens or native currency.
        address: The contract or account.
        label: Its name if it is known, else its address.
        what: The name of the view, the slot, or the symbol of the token or native currency.
        before: The value before: an Amount for a balance, else a JSON value; None for a view that
            reverted.
        after: The value afterwards.
    """

    kind: str
    address: str
    label: str
    what: str
    before: Any
    after: Any

    @property
    def row(self) -> list[str]:
        """The label, the changed thing, and its values before and after, shortened."""
        values = ("" if value is None else _short(value) for value in (self.before, self.after))
        return [self.label, _short(self.what), *values]

    def __str__(self) -> str:
        label, what, before, after = self.row
        return f"{label}: {what} {before} → {after}"


@dataclass(frozen=True)
class Step:
    """A rehearsed transaction.

    Attributes:
        what: The function that was called.
        to: The contract.
        gas_used: The gas that it used; None if it was refused before it was mined.
        gas_cost: The cost of that gas at the current price.
        failure: Why it failed; None if it succeeded.
    """

    what: str
    sender: str
    to: str
    gas_used: int | None
    gas_cost: Amount | None
    events: tuple[EmittedEvent, ...]
    changes: tuple[Change, ...]
    failure: DtnError | None


@dataclass(frozen=True)
class Callback:
    """The callback of a request.

    Attributes:
        target: The contract that was called.
        what: The function that was called, or its selector if the name is not known.
        gas_limit: The gas that the request pays for.
        gas_used: The gas that it used; None if the fork has no traces.
        failure: Why it reverted; None if it succeeded.
            :class:`~ape_dtn.types.errors.CallbackOutOfGas` has the gas that it needs.
    """

    target: str
    what: str
    gas_limit: int
    gas_used: int | None
    failure: CallbackFailed | None


@dataclass(frozen=True)
class RehearsedRequest:
    """A request that the transaction or a callback made.

    Attributes:
        depth: 0 for a request of the transaction, 1 for one of a callback of these, and so on.
        model: The model's name, or its id if the name is not known.
        text: The text of the request; None if its call does not fit the model.
        max_cost: The most that the answer can cost (``totalFeePerRes``).
        charged: What the answer cost; None without an answer.
        node: The node that answered; None without an answer.
        answer: The answer as text, or the message of a failure.
        response: The node's transaction; None without one.
        callback: The callback; None if the request has none.
        failure: Why there is no answer, or no successful one; None if there is.
    """

    id: str
    depth: int
    session_id: int
    model: str
    text: str | None
    max_cost: Amount
    charged: Amount | None = None
    node: str | None = None
    status: Status = Status.PENDING
    answer: str | None = None
    response: Step | None = None
    callback: Callback | None = None
    failure: DtnError | None = None

    @property
    def failures(self) -> list[DtnError]:
        """The failures of the request, its response and its callback."""
        callback = self.callback.failure if self.callback else None
        step = self.response.failure if self.response else None
        return [failure for failure in (self.failure, step, callback) if failure]


@dataclass(frozen=True, repr=False)
class RehearsalResult:
    """The result of a rehearsal. Nothing was sent to the chain itself.

    Attributes:
        block: The block that was forked.
        transaction: The rehearsed transaction.
        requests: The requests that it led to, in order.
    """

    network: str
    block: int
    transaction: Step
    requests: tuple[RehearsedRequest, ...]

    @property
    def failures(self) -> list[DtnError]:
        """All failures, in order."""
        first = [self.transaction.failure] if self.transaction.failure else []
        return [*first, *(failure for request in self.requests for failure in request.failures)]

    @property
    def is_good(self) -> bool:
        """Whether there is no failure."""
        return not self.failures

    @property
    def steps(self) -> list[Step]:
        """The transaction and the responses of nodes, in order."""
        responses = (request.response for request in self.requests if request.response)
        return [self.transaction, *responses]

    @property
    def events(self) -> list[EmittedEvent]:
        """All events, in order."""
        return [event for step in self.steps for event in step.events]

    @property
    def max_cost(self) -> Amount | None:
        """The most that all answers can cost; None without requests."""
        return _sum([request.max_cost for request in self.requests])

    @property
    def charged(self) -> Amount | None:
        """What the answers cost; None without answers."""
        charges = [request.charged for request in self.requests]
        return _sum([charge for charge in charges if charge is not None])

    def check(self) -> RehearsalResult:
        """Raise the first failure, or return this result.

        Raises:
            DtnError: The first failure.
        """
        for failure in self.failures:
            raise failure
        return self

    def __repr__(self) -> str:
        answered = sum(request.status is not Status.PENDING for request in self.requests)
        counts = (
            f"{len(self.requests)} requests, {answered} answered, {len(self.failures)} failures"
        )
        return f"<RehearsalResult on {self.network}: {counts}>"


def _sum(amounts: list[Amount]) -> Amount | None:
    total: Amount | None = None
    for amount in amounts:
        total = amount if total is None else total + amount
    return total


def _short(value: Any) -> str:
    """Format a value in one line, with 32-byte words shortened or as small numbers."""
    text = _WORD.sub(_short_word, value if isinstance(value, str) else str(value))
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 2]} …"


def _short_word(match: re.Match[str]) -> str:
    word = match[0]
    number = int(word, 16)
    return hex(number) if number < 2**64 else f"{word[:10]}…{word[-4:]}"
