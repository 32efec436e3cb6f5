"""A session's bill as data: requests, responses, charges and refund."""

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
    """Status of a request."""

    ANSWERED = "answered"
    FAILED = "failed"
    PENDING = "pending"
    STRANDED = "stranded"
    """It will never be answered: its session is closed, or its session manager was replaced."""
    REPLACED = "replaced"
    """Another request of the same block has the same id, and the router kept only that one."""


@dataclass(frozen=True)
class Moment:
    """A time and place on the chain.

    Attributes:
        time: The block's time.
        block: The block; None if only the time is known.
        index: The index of the log in the block; None without one.
        transaction: The transaction's hash; None if it is not known.
    """

    time: datetime
    block: int | None = None
    index: int | None = None
    transaction: str | None = None

    @property
    def order(self) -> tuple[Any, ...]:
        """A sort key for the order of the chain."""
        return self.time, self.block is None, self.block or 0, self.index or 0


@dataclass(frozen=True)
class Charge:
    """What a session paid for a response (``SessionCharged``).

    Attributes:
        amount: The amount.
        to: The account that was paid.
        left: The session's balance after it.
        at: When it was paid.
        manager: The session manager that paid.
        request_id: The request of the response; None if it is not known.
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
        node: The node's name, or its id if the name is not known.
        node_id: The node's id.
        status: Success or failure.
        message: The node's message about a failure.
        bytes_answered: The size of the answer in bytes; None if it is on IPFS and its content was
            not given, or if the router did not keep it.
        charge: What the node was paid; None if the endpoint did not return it.
        at: When it was mined.
        callback_error: Why the request's callback reverted; None if it did not.
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
    """A request and its responses.

    Attributes:
        id: Its id.
        user: The address that the request names as its user.
        at: When it was sent.
        state: Its status.
        model: The model's name, or its id if the name is not known; empty if it was replaced.
        record: The router's record; None if it was replaced.
        responses: The responses, oldest first.
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
        """Whether it has no answer, but may get one."""
        return self.state is State.PENDING

    @property
    def units_open(self) -> int:
        """The most that its missing responses can cost, in units of the fee token."""
        if self.record is None or not self.is_open:
            return 0
        wanted = max(self.record.redundancy, 1)  # 0 and 1 both mean one response
        return self.record.max_cost * max(wanted - len(self.responses), 0)


@dataclass(frozen=True)
class SessionHistory:
    """A session from its start to its close, or until now.

    Attributes:
        id: Its id. A session of another session manager may have the same.
        manager: Its session manager.
        is_current: Whether the router still uses that manager. Otherwise the session can neither
            be used nor closed.
        owner: The address that started it.
        opened: When it was started.
        opened_with: The deposit.
        charges: Its charges, oldest first.
        requests: Its requests, oldest first.
        balance: Its balance.
        closed: When it was closed; None while it is open.
        refund: What its owner got back; None while it is open.
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
        """The token of its deposit."""
        return self.opened_with.token

    @property
    def is_usable(self) -> bool:
        """Whether it can still pay for answers."""
        return self.is_current and self.closed is None

    @property
    def charged(self) -> Amount:
        """The sum of its charges."""
        return self.token.units(sum(charge.amount.units for charge in self.charges))

    @property
    def may_still_cost(self) -> Amount:
        """The most that its own open requests can still cost together."""
        open_units = sum(request.units_open for request in self.requests)
        return self.token.units(min(open_units, self.balance.units))

    @property
    def other_charges(self) -> list[Charge]:
        """Charges for requests of other sessions.

        After the router replaced its session manager, a pending request is paid by the session
        that has the same id under the new one, of any owner.
        """
        own = {request.id for request in self.requests}
        return [charge for charge in self.charges if charge.request_id not in own]


@dataclass(frozen=True)
class Statement:
    """All sessions that ever had one id, as of one block.

    Attributes:
        network: The network's name in Ape.
        router: The router's address.
        session_id: The id.
        as_of: The last block that was read.
        sessions: The sessions of this id, oldest first; nearly always one.
        left_out: Contracts with events of such a session that may be impostors: the endpoint no
            longer has the blocks that tell whether they were the router's session manager.
        unplaced: Requests of this id that belong to none of the sessions.
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
        """The session that has the id now, or had it last.

        Raises:
            SessionNotFound: All sessions of the id are left out.
        """
        if not self.sessions:
            raise SessionNotFound(self.session_id)
        return max(self.sessions, key=lambda session: (session.is_current, session.opened.order))

    @property
    def requests(self) -> list[tuple[RequestHistory, str | None]]:
        """All requests of the id, each with the session manager of its session."""
        placed = [
            (request, session.manager) for session in self.sessions for request in session.requests
        ]
        return [*placed, *((request, None) for request in self.unplaced)]

    @property
    def charged(self) -> Amount:
        """The sum of the charges of :attr:`session`."""
        return self.session.charged

    @property
    def may_still_cost(self) -> Amount:
        """The most that open requests of the id can still cost :attr:`session`.

        It also pays for open requests of an earlier session with the same id.
        """
        session = self.session
        open_units = sum(request.units_open for request, _ in self.requests)
        return session.token.units(min(open_units, session.balance.units))
