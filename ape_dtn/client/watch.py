"""Answers as they come, each with its request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ape_dtn.answers.poller import Delivery, Poller, address_of
from ape_dtn.client.request import DtnRequest
from ape_dtn.types.answer import Answer
from ape_dtn.types.errors import DtnError
from ape_dtn.types.ids import id_of

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.network.context import Network


@dataclass(frozen=True)
class Outcome:
    """What became of a request.

    Attributes:
        request: The request.
        result: The answer, or the error in its place: the node's failure, a response that cannot be
            used, or that the session was closed.
        transaction: The transaction that answered it, or closed its session; None where that was
            done before the wait for it began.
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

    def as_dict(self) -> dict[str, Any]:
        """The outcome as plain data: an answer, or an error."""
        if isinstance(self.result, DtnError):
            found = {"request": self.request.id, "error": self.result.as_dict()}
        else:
            found = self.result.as_dict()
        return {**found, "transaction": self.transaction}


class HasId(Protocol):
    """A session, of which no more than its id is needed."""

    @property
    def id(self) -> int:
        """The session's id."""


class Watch(Iterator[Outcome], AsyncIterator[Outcome]):
    """Every answer of a session, of an owner's sessions, or of some requests, as it comes.

    An iterator and an asynchronous one. A failure of a node is an outcome like any other, and an
    endpoint that fails is asked again after pauses that grow. It ends when all of the requests have
    their outcome, when the session is closed, or when the time is over.

    Args:
        ai: The network.
        session: A session or its id.
        owner: Whoever opened the sessions, itself or by its client: an account or an address.
        requests: The requests. Exactly one is named of these three.
        since: For a session or an owner: None for all since it began, ``"now"`` for what lands from
            now on, or the :attr:`cursor` of an earlier watch.
        confirmations: How many blocks have to follow an answer's; by default as configured. The
            endpoint has to know the state of that many blocks ago.
        timeout: For how many seconds from now; None for ever. What has landed by then is given out,
            however long that takes.

    Raises:
        InvalidAddress: The owner is none.
        SessionNotFound, InvalidCursor: When it begins: there is no such session, or the cursor is
            that of something else.
        NoNetwork: The endpoint did not answer when the time was over.
    """

    def __init__(
        self,
        ai: Network,
        *,
        session: HasId | int | None = None,
        owner: AccountAPI | str | None = None,
        requests: Iterable[DtnRequest] | None = None,
        since: str | None = None,
        confirmations: int | None = None,
        timeout: float | None = None,
    ) -> None:
        if sum(each is not None for each in (session, owner, requests)) != 1:
            raise TypeError("name either a session, an owner, or requests to be watched")
        if requests is not None and since is not None:
            raise TypeError("requests have no `since`: each has one outcome, whenever it came")
        self.ai = ai
        self._requests = {id_of(each.id, "request"): each for each in requests or ()}
        self._latest: tuple[Delivery, Outcome] | None = None
        self._poller = Poller(
            ai,
            session=session if session is None or isinstance(session, int) else session.id,
            owner=owner if owner is None else address_of(owner),
            requests=None
            if requests is None
            else {request_id: each.known_api for request_id, each in self._requests.items()},
            since=since,
            confirmations=confirmations,
            timeout=timeout,
        )

    @property
    def cursor(self) -> str | None:
        """Where another watch goes on, as text; what this one has given out will not come again.

        None as long as nothing was looked at, and where requests are watched: another watch is
        given those that are left.
        """
        return self._poller.cursor

    @property
    def latest(self) -> Outcome | None:
        """The outcome that was given out last."""
        latest = self._poller.latest
        return None if latest is None else self._outcome(latest)

    def __next__(self) -> Outcome:
        """The next outcome, once there is one."""
        return self._outcome(next(self._poller))

    async def __anext__(self) -> Outcome:
        """As :meth:`__next__`. Where it is cancelled, the next call gives what this one had."""
        return self._outcome(await self._poller.__anext__())

    def _outcome(self, found: Delivery) -> Outcome:
        if self._latest is None or self._latest[0] is not found:
            request = self._requests.pop(found.request_id, None)
            if request is None:
                request = DtnRequest(self.ai, found.request_id)
            request.known_api = found.api
            self._latest = found, Outcome(request, found.result, found.transaction)
        return self._latest[1]
