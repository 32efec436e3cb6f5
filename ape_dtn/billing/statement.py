"""A session's bill, as data: what was asked, answered, charged, called back and refunded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from ape_dtn.network.errors import SessionNotFound
from ape_dtn.network.requests import Record
from ape_dtn.types.amount import Amount, Token
from ape_dtn.types.answer import Status


class State(Enum):
    """What became of a request."""

    ANSWERED = "answered"
    FAILED = "failed"
    PENDING = "pending"
    STRANDED = "stranded"
    """It will never be answered: no session is left that could pay for it."""
    REPLACED = "replaced"
    """Another request of the same block got its id, and the network forgot this one."""


@dataclass(frozen=True)
class Moment:
    """When something happened.

    Attributes:
        time: The block's time.
        block: The block; None where only the time is known.
        index: Its place among all logs of the block; None where it left none.
        transaction: The transaction's hash; None where it is not known.
    """

    time: datetime
    block: int | None = None
    index: int | None = None
    transaction: str | None = None

    @property
    def order(self) -> tuple[Any, ...]:
        """What puts moments in the order of the chain."""
        return self.time, self.block is None, self.block or 0, self.index or 0

    def as_dict(self) -> dict[str, Any]:
        """The moment as plain data."""
        return {
            "time": self.time.isoformat(),
            "block": self.block,
            "transaction": self.transaction,
        }


@dataclass(frozen=True)
class Charge:
    """What a session paid for a response (``SessionCharged``).

    Attributes:
        amount: How much.
        to: The account that was paid.
        left: What the session had left after it.
        at: When.
        manager: The session manager that paid.
        request_id: The request whose response was paid; None where the chain names none.
    """

    amount: Amount
    to: str
    left: Amount
    at: Moment
    manager: str
    request_id: str | None


@dataclass(frozen=True)
class Response:
    """A node's response to a request (``ResponseReceived``).

    Attributes:
        node: The node's name, or its id where the name is not known.
        node_id: The node's id.
        status: Whether it answered or failed.
        message: What it says about a failure.
        bytes_answered: How many bytes it answered with; None where nobody can tell: over IPFS
            unless the content was given, and where the router did not keep the response.
        charge: What it was paid; None where the chain's endpoint shows no charge.
        at: When.
        callback_error: Why the request's callback reverted; None where it did not.
    """

    node: str
    node_id: str
    status: Status
    message: str
    bytes_answered: int | None
    charge: Charge | None
    at: Moment
    callback_error: str | None = None


@dataclass(frozen=True)
class RequestHistory:
    """A request and what became of it.

    Attributes:
        id: Its id.
        user: On whose behalf it was asked.
        at: When it was made.
        state: What became of it.
        model: The model's name, or its id where the name is not known; empty when replaced.
        record: What the router keeps of it; None for a request that was replaced.
        responses: What the nodes responded, in their order.
    """

    id: str
    user: str
    at: Moment
    state: State
    model: str
    record: Record | None
    responses: tuple[Response, ...]

    @property
    def is_open(self) -> bool:
        """Whether it has no answer, and may yet get one."""
        return self.state is State.PENDING

    @property
    def units_open(self) -> int:
        """What its responses to come may cost at most, in units of the fee token."""
        if self.record is None or not self.is_open:
            return 0
        wanted = max(self.record.redundancy, 1)  # there is one response where none is wanted
        return self.record.max_cost * max(wanted - len(self.responses), 0)


@dataclass(frozen=True)
class SessionHistory:
    """A session from its start to its close, or until now.

    Attributes:
        id: Its id, which sessions of other session managers may have too.
        manager: The session manager that keeps it.
        is_current: Whether the router still uses that manager. Where it does not, the session can
            neither be used nor be closed.
        owner: Who opened it.
        opened: When.
        opened_with: The deposit.
        charges: All that it paid, in order.
        requests: All that was asked at its expense, in order.
        balance: What is in it.
        closed: When it was closed, if it was.
        refund: What came back to the owner, if it was closed.
    """

    id: int
    manager: str
    is_current: bool
    owner: str
    opened: Moment
    opened_with: Amount
    charges: tuple[Charge, ...]
    requests: tuple[RequestHistory, ...]
    balance: Amount
    closed: Moment | None
    refund: Amount | None

    @property
    def token(self) -> Token:
        """What it pays with."""
        return self.opened_with.token

    @property
    def is_usable(self) -> bool:
        """Whether it can still pay for answers."""
        return self.is_current and self.closed is None

    @property
    def charged(self) -> Amount:
        """All that it paid."""
        return self.token.units(sum(charge.amount.units for charge in self.charges))

    @property
    def may_still_cost(self) -> Amount:
        """What its own open requests may still cost together."""
        open_units = sum(request.units_open for request in self.requests)
        return self.token.units(min(open_units, self.balance.units))

    @property
    def other_charges(self) -> list[Charge]:
        """Charges for requests that are not its own.

        A request that was pending when its session manager was replaced is paid by the session
        that has its id now, whosever that is.
        """
        own = {request.id for request in self.requests}
        return [charge for charge in self.charges if charge.request_id not in own]


@dataclass(frozen=True)
class Statement:
    """All that a session id ever stood for, as of one block.

    Attributes:
        network: The network's name, as Ape has it.
        router: The router's address.
        session_id: The id.
        as_of: The block up to which it was read.
        sessions: The sessions of this id, oldest first; nearly always one.
        left_out: Contracts that say to have started such a session, and of which the chain's
            endpoint does not know any more whether they were the session manager then.
        unplaced: Requests of this id that none of the sessions made: those of one left out.
    """

    network: str
    router: str
    session_id: int
    as_of: Moment
    sessions: tuple[SessionHistory, ...]
    left_out: tuple[str, ...] = ()
    unplaced: tuple[RequestHistory, ...] = ()

    @property
    def session(self) -> SessionHistory:
        """The session that the id means now, or meant last.

        Raises:
            SessionNotFound: All that say to have started one are left out.
        """
        if not self.sessions:
            raise SessionNotFound(self.session_id)
        return max(self.sessions, key=lambda each: (each.is_current, each.opened.order))

    @property
    def requests(self) -> list[tuple[RequestHistory, str | None]]:
        """All requests of the id, each with the session manager that it was made under."""
        placed = [(request, each.manager) for each in self.sessions for request in each.requests]
        return [*placed, *((request, None) for request in self.unplaced)]

    @property
    def charged(self) -> Amount:
        """All that :attr:`session` paid."""
        return self.session.charged

    @property
    def may_still_cost(self) -> Amount:
        """What the open requests of the id may still cost :attr:`session`.

        Those of a replaced session manager are paid by whichever session has the id now.
        """
        session = self.session
        open_units = sum(request.units_open for request, _ in self.requests)
        return session.token.units(min(open_units, session.balance.units))
