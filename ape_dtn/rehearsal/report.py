"""What a rehearsal has shown, as data."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ape_dtn.types.amount import Amount
from ape_dtn.types.answer import Status
from ape_dtn.types.errors import CallbackFailed, DtnError

# How much of a value is shown to people.
LONGEST = 70

_WORD = re.compile(r"0x[0-9a-f]{64}\b")


@dataclass(frozen=True)
class Happened:
    """An event.

    Attributes:
        contract: The contract that told of it.
        label: What that contract is, as far as it is known; else its address.
        name: The event's name; None where no ABI that is known has it.
        fields: Its fields by name, as JSON has them; the raw topics and data where it is not known.
    """

    contract: str
    label: str
    name: str | None
    fields: dict[str, Any]

    def __str__(self) -> str:
        if self.name is None:
            return f"an unknown event {_short(''.join(self.fields['topics'][:1]))}"
        told = ", ".join(f"{name}={_short(value)}" for name, value in self.fields.items())
        return f"{self.name}({told})"


@dataclass(frozen=True)
class Change:
    """Something that was otherwise before.

    Attributes:
        kind: ``view`` for what a view without arguments returns, ``storage`` for a slot of it,
            ``balance`` for what somebody holds of the fee token or of the chain's coin.
        address: The contract or account.
        label: What it is, as far as it is known; else its address.
        what: The view's name, the slot, or the symbol of the token or coin.
        before: Its value before, as JSON has it; None for a view that reverted.
        after: Its value afterwards.
    """

    kind: str
    address: str
    label: str
    what: str
    before: Any
    after: Any

    @property
    def row(self) -> list[str]:
        """Of what, what, before and after, for people."""
        values = ("" if each is None else _short(each) for each in (self.before, self.after))
        return [self.label, _short(self.what), *values]

    def __str__(self) -> str:
        label, what, before, after = self.row
        return f"{label}: {what} {before} → {after}"


@dataclass(frozen=True)
class Step:
    """A transaction that was rehearsed.

    Attributes:
        what: The function that was called.
        sender: Who sent it.
        to: The contract.
        gas_used: The gas that it used; None where it was refused before it was mined.
        gas_cost: What that costs at the chain's present price, in its coin.
        events: What it told, in order.
        changes: What it changed.
        failure: Why it failed; None where it did not.
    """

    what: str
    sender: str
    to: str
    gas_used: int | None
    gas_cost: Amount | None
    events: tuple[Happened, ...]
    changes: tuple[Change, ...]
    failure: DtnError | None


@dataclass(frozen=True)
class Callback:
    """The callback of a request.

    Attributes:
        target: What was called.
        what: The function that was called; its selector where that is all that is known.
        gas_limit: The gas that it was given.
        gas_used: The gas that it used of it; None where the chain does not tell.
        failure: Why it reverted; :class:`~ape_dtn.types.errors.CallbackOutOfGas` says how much gas
            it
            would have needed. None where it succeeded.
    """

    target: str
    what: str
    gas_limit: int
    gas_used: int | None
    failure: CallbackFailed | None


@dataclass(frozen=True)
class Asked:
    """A request that the transaction, or a callback, made.

    Attributes:
        id: The request's id.
        depth: 0 for what the transaction asked, 1 for what a callback of these asked, and so on.
        session_id: The session that pays.
        model: The model's name, or its id where the name is not known.
        text: The text that is asked; None where the call does not fit the model.
        max_cost: The most that the answer may cost (``totalFeePerRes``).
        charged: What the response was charged; None without one.
        node: The node that was played; None where none was.
        status: What became of it.
        answer: The answer as text, or what the node says of its failure.
        response: The node's transaction; None where there was none.
        callback: What was called with the answer; None where nothing was.
        failure: Why it was not answered, or not with what was asked for; None where it was.
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
        """All that failed of it."""
        callback = self.callback.failure if self.callback else None
        step = self.response.failure if self.response else None
        return [each for each in (self.failure, step, callback) if each]


@dataclass(frozen=True, repr=False)
class Rehearsed:
    """All that a rehearsal has shown. Nothing of it has happened on the chain itself.

    Attributes:
        network: The network's name.
        block: The block of the chain that it began after.
        transaction: The transaction that was rehearsed.
        requests: The requests that came of it, in the order in which they were made.
    """

    network: str
    block: int
    transaction: Step
    requests: tuple[Asked, ...]

    @property
    def failures(self) -> list[DtnError]:
        """All that failed, in order."""
        first = [self.transaction.failure] if self.transaction.failure else []
        return [*first, *(failure for each in self.requests for failure in each.failures)]

    @property
    def is_good(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    @property
    def steps(self) -> list[Step]:
        """The transaction, and the responses of nodes, in order."""
        return [self.transaction, *(each.response for each in self.requests if each.response)]

    @property
    def events(self) -> list[Happened]:
        """All events, in order."""
        return [event for step in self.steps for event in step.events]

    @property
    def max_cost(self) -> Amount | None:
        """The most that all answers may cost; None where nothing was asked."""
        return _sum([each.max_cost for each in self.requests])

    @property
    def charged(self) -> Amount | None:
        """What the answers cost as they were; None where nothing was answered."""
        return _sum([each.charged for each in self.requests if each.charged is not None])

    def check(self) -> Rehearsed:
        """This, where nothing failed.

        Raises:
            DtnError: The first failure.
        """
        for failure in self.failures:
            raise failure
        return self

    def __repr__(self) -> str:
        answered = sum(each.status is not Status.PENDING for each in self.requests)
        told = f"{len(self.requests)} requests, {answered} answered, {len(self.failures)} failures"
        return f"<Rehearsed on {self.network}: {told}>"


def _sum(amounts: list[Amount]) -> Amount | None:
    total: Amount | None = None
    for amount in amounts:
        total = amount if total is None else total + amount
    return total


def _short(value: Any) -> str:
    """A value in one line; words of 32 bytes by their ends, or as the small number they are."""
    text = _WORD.sub(_short_word, value if isinstance(value, str) else str(value))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 2]} …"


def _short_word(found: re.Match[str]) -> str:
    word = found[0]
    number = int(word, 16)
    return hex(number) if number < 2**64 else f"{word[:10]}…{word[-4:]}"
