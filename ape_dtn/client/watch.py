"""Answers as they come, each with its request."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ape_dtn.answers import poller
from ape_dtn.answers.errors import RequestStranded
from ape_dtn.answers.scanner import LogScanner, ResponseEvent
from ape_dtn.chain.errors import ChainUnreachable
from ape_dtn.chain.networks import is_local
from ape_dtn.client.ai import DtnAi
from ape_dtn.client.request import DtnRequest
from ape_dtn.network.requests import Record
from ape_dtn.types.answer import Answer
from ape_dtn.types.errors import DtnError
from ape_dtn.types.ids import id_of
from ape_dtn.types.model import Api
from ape_dtn.types.redact import hide_secrets

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.client.session import DtnSession


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

    ``latest`` is the outcome that was given out last.
    """

    def __init__(
        self,
        ai: DtnAi,
        *,
        session: DtnSession | int | None = None,
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
        self.latest: Outcome | None = None
        self._requests = {id_of(each.id, "request"): each for each in requests or ()}
        self._landings = LogScanner(
            ai,
            session if session is None or isinstance(session, int) else session.id,
            owner if owner is None else poller.address_of(owner),
            None if requests is None else list(self._requests),
            since,
            max(ai.config.confirmations if confirmations is None else confirmations, 0),
        )
        self._deadline = float("inf") if timeout is None else time.monotonic() + timeout
        self._failures = 0
        self._is_decoding = False
        self._apis: dict[bytes, Api] = {}
        self._read: list[tuple[ResponseEvent, Record]] = []
        self._ready: deque[tuple[ResponseEvent, Outcome]] = deque()
        self._work: Future[tuple[ResponseEvent, Outcome] | float | None] | None = None

    @property
    def cursor(self) -> str | None:
        """Where another watch goes on, as text; what this one has given out will not come again.

        None as long as nothing was looked at, and where requests are watched: another watch is
        given those that are left.
        """
        return self._landings.cursor

    def __next__(self) -> Outcome:
        """The next outcome, once there is one."""
        while True:
            with contextlib.suppress(FutureTimeout):
                self._working().exception(self._patience())
            found = self._worked()
            if isinstance(found, Outcome):
                return found
            if found is None:
                raise StopIteration
            time.sleep(found)

    async def __anext__(self) -> Outcome:
        """As :meth:`__next__`. Where it is cancelled, the next call gives what this one had."""
        while True:
            work = asyncio.wrap_future(self._working())
            try:
                await asyncio.wait([work], timeout=self._patience())
            finally:
                # It cannot be cancelled itself; nobody is to be told any more.
                if not work.cancel():
                    work.exception()
            found = self._worked()
            if isinstance(found, Outcome):
                return found
            if found is None:
                raise StopAsyncIteration
            await asyncio.sleep(found)

    def _working(self) -> Future[tuple[ResponseEvent, Outcome] | float | None]:
        """What is being done, in a thread: endpoints may hang, and callers change their mind."""
        if self._work is None:
            self._work = poller.in_thread(self._advance)
        return self._work

    def _patience(self) -> float | None:
        """For how many seconds an endpoint may say nothing."""
        left = self._deadline - time.monotonic()
        return None if left == float("inf") else max(left, poller.LAST_LOOK)

    def _worked(self) -> Outcome | float | None:
        """An outcome, or for how long to pause; None when it is over."""
        assert self._work is not None
        if not self._work.done():
            if self._is_decoding:  # fetching content has a time-out of its own
                return poller.SHORTEST_PAUSE
            where = hide_secrets(str(getattr(self.ai.provider, "uri", "")))
            raise ChainUnreachable(where, "it says nothing")
        work, self._work = self._work, None
        found = work.result()
        if not isinstance(found, tuple):
            return found
        landing, self.latest = found
        self._landings.mark_delivered(landing)
        self._requests.pop(landing.request_id, None)
        return self.latest

    def _advance(self) -> tuple[ResponseEvent, Outcome] | float | None:
        is_late = time.monotonic() >= self._deadline
        try:
            if not self._ready:
                if self._landings.is_over:
                    return None
                self._look()
        except poller.PASSING_ERRORS as err:
            if is_late:
                raise
            return self._pause_after(err)
        self._failures = 0
        if self._ready:
            return self._ready.popleft()
        if is_late or self._landings.is_over:
            return None
        return self._pause()

    def _look(self) -> None:
        if not self._read:
            self._landings.look()
            self._read = self._landings.read()
            if not self._landings.is_begun:  # and no other look may follow
                self._landings.look()
                self._read = self._landings.read()
        self._is_decoding = True
        try:
            while self._read:
                # The first alone, whose model's API the others then need not read. What is done
                # stays done, should the endpoint fail at the next ones.
                some = self._read[: poller.DECODED_TOGETHER if self._apis else 1]
                self._ready.extend(poller.together(self._decode, some))
                del self._read[: len(some)]
        finally:
            self._is_decoding = False

    def _decode(self, read: tuple[ResponseEvent, Record]) -> tuple[ResponseEvent, Outcome]:
        landing, record = read
        request = self._requests.get(landing.request_id)
        if request is None:
            api = self._apis.get(record.model_id)
            request = DtnRequest(self.ai, landing.request_id, api=api)
        result: Answer | DtnError
        try:
            if landing.is_close:
                result = RequestStranded(request.id, record.session_id)
            else:
                result = request.answer_in(record, landing.block if landing.transaction else None)
                self._apis[record.model_id] = request.api_of(record)
        except poller.PASSING_ERRORS:
            raise
        except DtnError as err:
            result = err
        return landing, Outcome(request, result, landing.transaction)

    def _pause(self) -> float:
        longest = (
            poller.LONGEST_PAUSE_LOCALLY if is_local(self.ai.provider) else poller.LONGEST_PAUSE
        )
        pause = min(
            max(self._landings.block_time / poller.LOOKS_PER_BLOCK, poller.SHORTEST_PAUSE), longest
        )
        return self._in_time(pause)

    def _pause_after(self, err: DtnError) -> float:
        self._failures += 1
        if self._failures == 2:  # once, however long it lasts, and not of every hiccup
            from ape.logging import logger

            logger.warning(f"{err.message} It is asked again.")
        pause = self._pause() * 2 ** min(self._failures, 10)
        return self._in_time(min(pause, poller.LONGEST_PAUSE_AFTER_FAILURE))

    def _in_time(self, pause: float) -> float:
        return max(min(pause, self._deadline - time.monotonic()), 0.0)
