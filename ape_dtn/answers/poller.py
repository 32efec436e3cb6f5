"""Answers as they come: waited for, and each given out once, however the endpoint fails."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from eth_utils import is_address, to_checksum_address

from ape_dtn.answers.errors import RequestStranded
from ape_dtn.answers.reading import Reader
from ape_dtn.answers.scanner import LogScanner, ResponseEvent
from ape_dtn.chain.errors import ChainUnreachable, RpcRefused
from ape_dtn.chain.networks import is_local
from ape_dtn.network.context import Network
from ape_dtn.network.requests import Record
from ape_dtn.types.answer import Answer
from ape_dtn.types.errors import DtnError, InvalidAddress
from ape_dtn.types.ids import as_hex
from ape_dtn.types.model import Api
from ape_dtn.types.redact import hide_secrets
from ape_dtn.types.waiting import POLICY, Backoff, Deadline

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI


# How many answers are decoded together, of which each may have content to be fetched.
DECODED_TOGETHER = 8

# What another look may mend.
PASSING_ERRORS = (ChainUnreachable, RpcRefused)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Delivery:
    """What became of a request.

    Attributes:
        request_id: The request's id.
        result: The answer, or the error in its place: the node's failure, a response that cannot be
            used, or that the session was closed.
        transaction: The transaction that answered it, or closed its session; None where that was
            done before the wait for it began.
        api: The API of its model, where it was read.
    """

    request_id: bytes
    result: Answer | DtnError
    transaction: str | None
    api: Api | None


class Poller(Iterator[Delivery], AsyncIterator[Delivery]):
    """The answers of a session, of an owner's sessions, or of some requests, each given out once.

    An iterator and an asynchronous one. An endpoint that fails is asked again after pauses that
    grow. It ends when all of the requests have been answered, when the session is closed, or when
    the time is over.

    Args:
        ai: The network.
        session: A session's id.
        owner: The address that opened the sessions, itself or by its client.
        requests: The requests' ids, each with the API of its model where that was read before.
            Exactly one is named of these three.
        since: For a session or an owner: None for all since it began, ``"now"`` for what lands from
            now on, or the :attr:`cursor` of an earlier one.
        confirmations: How many blocks have to follow an answer's; by default as configured. The
            endpoint has to know the state of that many blocks ago.
        timeout: For how many seconds from now; None for ever. What has landed by then is given out,
            however long that takes.

    Raises:
        SessionNotFound, InvalidCursor: When it begins: there is no such session, or the cursor is
            that of something else.
        NoNetwork: The endpoint did not answer when the time was over.

    ``latest`` is what was given out last.
    """

    def __init__(
        self,
        ai: Network,
        *,
        session: int | None = None,
        owner: str | None = None,
        requests: Mapping[bytes, Api | None] | None = None,
        since: str | None = None,
        confirmations: int | None = None,
        timeout: float | None = None,
    ) -> None:
        self.ai = ai
        self.latest: Delivery | None = None
        self._requests = dict(requests or {})
        self._landings = LogScanner(
            ai,
            session,
            owner,
            None if requests is None else list(requests),
            since,
            max(ai.config.confirmations if confirmations is None else confirmations, 0),
        )
        self._deadline = Deadline(timeout)
        self._failures = 0
        self._is_decoding = False
        self._apis: dict[bytes, Api] = {}
        self._read: list[tuple[ResponseEvent, Record]] = []
        self._ready: deque[tuple[ResponseEvent, Delivery]] = deque()
        self._work: Future[tuple[ResponseEvent, Delivery] | float | None] | None = None

    @property
    def cursor(self) -> str | None:
        """Where another one goes on, as text; what this one has given out will not come again.

        None as long as nothing was looked at, and where requests are named: another one is given
        those that are left.
        """
        return self._landings.cursor

    def __next__(self) -> Delivery:
        """The next outcome, once there is one."""
        while True:
            with contextlib.suppress(FutureTimeout):
                self._working().exception(self._patience())
            found = self._worked()
            if isinstance(found, Delivery):
                return found
            if found is None:
                raise StopIteration
            time.sleep(found)

    async def __anext__(self) -> Delivery:
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
            if isinstance(found, Delivery):
                return found
            if found is None:
                raise StopAsyncIteration
            await asyncio.sleep(found)

    def _working(self) -> Future[tuple[ResponseEvent, Delivery] | float | None]:
        """What is being done, in a thread: endpoints may hang, and callers change their mind."""
        if self._work is None:
            self._work = _in_thread(self._advance)
        return self._work

    def _patience(self) -> float | None:
        """For how many seconds an endpoint may say nothing."""
        left = self._deadline.left
        return None if left == float("inf") else max(left, POLICY.last_poll)

    def _worked(self) -> Delivery | float | None:
        """An outcome, or for how long to pause; None when it is over."""
        assert self._work is not None
        if not self._work.done():
            if self._is_decoding:  # fetching content has a time-out of its own
                return POLICY.answers.shortest
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

    def _advance(self) -> tuple[ResponseEvent, Delivery] | float | None:
        is_late = self._deadline.is_over
        try:
            if not self._ready:
                if self._landings.is_over:
                    return None
                self._look()
        except PASSING_ERRORS as err:
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
                some = self._read[: DECODED_TOGETHER if self._apis else 1]
                self._ready.extend(_together(self._decode, some))
                del self._read[: len(some)]
        finally:
            self._is_decoding = False

    def _decode(self, read: tuple[ResponseEvent, Record]) -> tuple[ResponseEvent, Delivery]:
        landing, record = read
        request_id = landing.request_id
        api = self._requests.get(request_id) or self._apis.get(record.model_id)
        result: Answer | DtnError
        try:
            if landing.is_close:
                result = RequestStranded(as_hex(request_id), record.session_id)
            else:
                reader = Reader(self.ai, request_id, api)
                try:
                    block = landing.block if landing.transaction else None
                    result = reader.answer(record, block)
                    reader.api_of(record)
                finally:
                    if reader.api is not None:
                        self._apis[record.model_id] = api = reader.api
        except PASSING_ERRORS:
            raise
        except DtnError as err:
            result = err
        return landing, Delivery(request_id, result, landing.transaction, api)

    def _pause(self) -> float:
        interval = POLICY.answers.interval(self._landings.block_time)
        if is_local(self.ai.provider):
            interval = min(interval, POLICY.longest_local_poll)
        return self._deadline.bounded(interval)

    def _pause_after(self, err: DtnError) -> float:
        self._failures += 1
        if self._failures == 2:  # once, however long it lasts, and not of every hiccup
            from ape.logging import logger

            logger.warning(f"{err.message} It is asked again.")
        backoff = Backoff(2 * self._pause(), POLICY.longest_answer_backoff)
        return self._deadline.bounded(backoff.pause(self._failures))


def _in_thread(work: Callable[[], _Result]) -> Future[_Result]:
    """Does it in a thread that nothing waits for when the program ends."""
    done: Future[_Result] = Future()
    done.set_running_or_notify_cancel()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as err:
            done.set_exception(err)

    Thread(target=run, daemon=True).start()
    return done


def _together(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """As ``map``, a few at a time."""
    results: list[_Result] = []
    for start in range(0, len(items), DECODED_TOGETHER):
        some = items[start : start + DECODED_TOGETHER]
        working = [_in_thread(functools.partial(work, each)) for each in some]
        results += [each.result() for each in working]
    return results


def address_of(owner: AccountAPI | str) -> str:
    """The address of an account, or one that is given.

    Raises:
        InvalidAddress: It is none.
    """
    address = owner if isinstance(owner, str) else str(owner.address)
    if not is_address(address):
        raise InvalidAddress(address)
    return to_checksum_address(address)
