"""Answers as they come, each with its request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypedDict

from typing_extensions import Unpack

from ape_dtn.answers.poller import Delivery, Poller, PollTarget, address_of
from ape_dtn.client.request import DtnRequest
from ape_dtn.types.answer import Answer
from ape_dtn.types.errors import DtnError
from ape_dtn.types.ids import id_of

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.network.context import Network


@dataclass(frozen=True)
class Outcome:
    """The answer to a request, or the error in its place.

    Attributes:
        request: The request.
        result: The answer, or an error: the node failed, its response cannot be used, or the
            session was closed.
        transaction: The transaction that answered it or closed its session; None if that was
            before the watch began.
    """

    request: DtnRequest
    result: Answer | DtnError
    transaction: str | None

    def answer(self) -> Answer:
        """The answer.

        Raises:
            DtnError: There is none; see ``result``.
        """
        if isinstance(self.result, DtnError):
            raise self.result
        return self.result


class HasId(Protocol):
    """A session: an object with an id."""

    @property
    def id(self) -> int:
        """The session's id."""


class WatchTarget(TypedDict, total=False):
    """What is watched: exactly one of these.

    Attributes:
        session: A session or its id.
        owner: The account, or its address, that opened the sessions itself or by its client.
        requests: The requests.
    """

    session: HasId | int | None
    owner: AccountAPI | str | None
    requests: Iterable[DtnRequest] | None


class Watch(Iterator[Outcome], AsyncIterator[Outcome]):
    """Iterates over the answers of a session, an owner's sessions or some requests as they come.

    It is an iterator and an asynchronous iterator. A failure of a node is an outcome like any
    other, and errors of the endpoint are retried with a backoff. It ends when every request has its
    outcome, when the session is closed, or at the timeout.

    Args:
        ai: The network.
        since: For a session or an owner: None for all answers, ``"now"`` for those from now on, or
            the :attr:`cursor` of an earlier watch.
        confirmations: Blocks that must follow the block of an answer; by default as configured. The
            endpoint needs the state of that many blocks ago.
        timeout: In seconds from now; None for no timeout. Answers that were given by then are
            still returned.
        target: A session, an owner or requests; see :class:`WatchTarget`.

    Raises:
        TypeError: Not exactly one of ``session``, ``owner`` and ``requests`` is given.
        InvalidAddress: The owner is not an address.
        SessionNotFound, InvalidCursor: On the first iteration: there is no such session, or the
            cursor belongs to another watch.
        NoNetwork: The endpoint still failed at the timeout.
    """

    def __init__(
        self,
        ai: Network,
        *,
        since: str | None = None,
        confirmations: int | None = None,
        timeout: float | None = None,
        **target: Unpack[WatchTarget],
    ) -> None:
        if list(target.values()).count(None) != len(target) - 1:
            raise TypeError("give exactly one of session, owner and requests")
        if target.get("requests") is not None and since is not None:
            raise TypeError("since is for a session or an owner, not for requests")
        self.ai = ai
        self._requests: dict[bytes, DtnRequest] = {}
        self._latest: tuple[Delivery, Outcome] | None = None
        self._poller = Poller(
            ai,
            self._poll_target(**target),
            since=since,
            confirmations=confirmations,
            timeout=timeout,
        )

    def _poll_target(
        self,
        session: HasId | int | None = None,
        owner: AccountAPI | str | None = None,
        requests: Iterable[DtnRequest] | None = None,
    ) -> PollTarget:
        self._requests = {id_of(request.id, "request"): request for request in requests or ()}
        apis = {request_id: request.known_api for request_id, request in self._requests.items()}
        return PollTarget(
            session if session is None or isinstance(session, int) else session.id,
            None if owner is None else address_of(owner),
            None if requests is None else apis,
        )

    @property
    def cursor(self) -> str | None:
        """The place from which another watch continues without repeating an outcome, as text.

        None before the first block was read, and for requests: give another watch those that are
        left.
        """
        return self._poller.cursor

    @property
    def latest(self) -> Outcome | None:
        """The outcome that was returned last."""
        latest = self._poller.latest
        return None if latest is None else self._outcome(latest)

    def __next__(self) -> Outcome:
        """The next outcome; blocks until there is one."""
        return self._outcome(next(self._poller))

    async def __anext__(self) -> Outcome:
        """As :meth:`__next__`. After a cancellation, the next call returns the same outcome."""
        return self._outcome(await self._poller.__anext__())

    def _outcome(self, delivery: Delivery) -> Outcome:
        if self._latest is None or self._latest[0] is not delivery:
            request = self._requests.pop(delivery.request_id, None)
            if request is None:
                request = DtnRequest(self.ai, delivery.request_id)
            request.known_api = delivery.api
            outcome = Outcome(request, delivery.result, delivery.transaction)
            self._latest = delivery, outcome
        return self._latest[1]
