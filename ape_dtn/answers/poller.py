"""Waits for answers, and delivers each once, through failures of the endpoint."""

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

from ape_dtn.answers.errors import RequestStranded
from ape_dtn.answers.reading import Reader
from ape_dtn.answers.scanner import LogScanner, ResponseEvent
from ape_dtn.chain.errors import ChainUnreachable, RpcRefused
from ape_dtn.chain.networks import is_local
from ape_dtn.network.context import Network
from ape_dtn.network.requests import Record
from ape_dtn.types.answer import Answer
from ape_dtn.types.errors import DtnError
from ape_dtn.types.ids import as_hex, to_address
from ape_dtn.types.model import Api
from ape_dtn.types.polling import POLICY, Backoff, Deadline, limited
from ape_dtn.types.redact import hide_secrets

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI


# How many answers are decoded in parallel, since each may have content to fetch.
DECODED_TOGETHER = 8

# Transient failures: a later poll may succeed.
TRANSIENT_ERRORS = (ChainUnreachable, RpcRefused)

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Delivery:
    """The answer of a request, or its error.

    Attributes:
        request_id: The request's id.
        result: The answer; or an error: a failure of the node, an answer that cannot be decoded, or
            the close of the session.
        transaction: The transaction of the answer or the close; None if it was mined before the
            wait began.
        api: The API of its model, if it was read.
    """

    request_id: bytes
    result: Answer | DtnError
    transaction: str | None
    api: Api | None


@dataclass(frozen=True)
class PollTarget:
    """What is polled for answers: exactly one of these.

    Attributes:
        session: A session, by its id.
        owner: The address of the account that opened the sessions, directly or through its client.
        requests: Requests, by their ids, each with the API of its model where that is known.
    """

    session: int | None = None
    owner: str | None = None
    requests: Mapping[bytes, Api | None] | None = None


class Poller(Iterator[Delivery], AsyncIterator[Delivery]):
    """Delivers the answers of a session, an owner's sessions, or some requests, each once.

    It can be iterated synchronously or asynchronously. After a failure of the endpoint it polls
    again, with growing pauses. It ends when all requests are answered, when the session is closed,
    or at the timeout. ``latest`` is the last delivery.

    Args:
        ai: The network.
        target: A session, an owner or requests.
        since: For a session or an owner: None for all since its start, ``"now"`` for new answers
            only, or the :attr:`cursor` of an earlier poller.
        confirmations: How many blocks have to follow an answer's block; by default as configured.
            The endpoint needs the state of that many blocks ago.
        timeout: How many seconds to wait; None for no limit. Answers that are on the chain by then
            are delivered, even if that takes longer.

    Raises:
        SessionNotFound, InvalidCursor: From the first delivery.
        NoNetwork: The endpoint failed at the timeout.
    """

    def __init__(
        self,
        ai: Network,
        target: PollTarget,
        *,
        since: str | None = None,
        confirmations: int | None = None,
        timeout: float | None = None,
    ) -> None:
        self.ai = ai
        self.latest: Delivery | None = None
        self._requests = dict(target.requests or {})
        self._scanner = LogScanner(
            ai,
            target.session,
            target.owner,
            None if target.requests is None else list(target.requests),
            since,
            max(ai.config.confirmations if confirmations is None else confirmations, 0),
        )
        self._deadline = Deadline(timeout)
        self._failures = 0
        self._is_decoding = False
        self._apis: dict[bytes, Api] = {}
        self._read: list[tuple[ResponseEvent, Record]] = []
        self._ready: deque[tuple[ResponseEvent, Delivery]] = deque()
        self._step: Future[tuple[ResponseEvent, Delivery] | float | None] | None = None

    @property
    def cursor(self) -> str | None:
        """Where another poller resumes without repeating a delivery.

        None before the first poll, and for requests.
        """
        return self._scanner.cursor

    def __next__(self) -> Delivery:
        while True:
            with contextlib.suppress(FutureTimeout):
                self._start_step().exception(self._step_timeout())
            found = self._finish_step()
            if isinstance(found, Delivery):
                return found
            if found is None:
                raise StopIteration
            time.sleep(found)

    async def __anext__(self) -> Delivery:
        """The next delivery. If this call is cancelled, the next one continues its step."""
        while True:
            step = asyncio.wrap_future(self._start_step())
            try:
                await asyncio.wait([step], timeout=self._step_timeout())
            finally:
                # The thread runs on. Reading its error here prevents a warning about it.
                if not step.cancel():
                    step.exception()
            found = self._finish_step()
            if isinstance(found, Delivery):
                return found
            if found is None:
                raise StopAsyncIteration
            await asyncio.sleep(found)

    def _start_step(self) -> Future[tuple[ResponseEvent, Delivery] | float | None]:
        """The running step, or a new one. It runs in a thread: endpoints may hang."""
        if self._step is None:
            self._step = _in_thread(self._advance)
        return self._step

    def _step_timeout(self) -> float | None:
        """How many seconds a step may take."""
        left = self._deadline.left
        return None if left == float("inf") else max(left, POLICY.last_poll)

    def _finish_step(self) -> Delivery | float | None:
        """A delivery, or how many seconds to pause; None at the end."""
        assert self._step is not None
        if not self._step.done():
            if self._is_decoding:  # fetching content has its own timeout
                return POLICY.answers.shortest
            where = hide_secrets(str(getattr(self.ai.provider, "uri", "")))
            raise ChainUnreachable(where, "no response")
        step, self._step = self._step, None
        found = step.result()
        if not isinstance(found, tuple):
            return found
        event, self.latest = found
        self._scanner.mark_delivered(event)
        self._requests.pop(event.request_id, None)
        return self.latest

    def _advance(self) -> tuple[ResponseEvent, Delivery] | float | None:
        is_last = self._deadline.is_over
        try:
            if not self._ready:
                if self._scanner.is_finished:
                    return None
                with limited(0):  # this waits by itself
                    self._poll()
        except TRANSIENT_ERRORS as err:
            if is_last:
                raise
            return self._pause_after(err)
        self._failures = 0
        if self._ready:
            return self._ready.popleft()
        if is_last or self._scanner.is_finished:
            return None
        return self._pause()

    def _poll(self) -> None:
        if not self._read:
            self._scanner.poll()
            self._read = self._scanner.read()
            if not self._scanner.has_polled:  # it was reset: poll again, this may be the last time
                self._scanner.poll()
                self._read = self._scanner.read()
        self._is_decoding = True
        try:
            while self._read:
                # Decode the first answer alone: this reads the model's API, which the others reuse.
                # Decoded answers are kept if the endpoint fails at the next ones.
                batch = self._read[: DECODED_TOGETHER if self._apis else 1]
                self._ready.extend(_in_parallel(self._decode, batch))
                del self._read[: len(batch)]
        finally:
            self._is_decoding = False

    def _decode(self, read: tuple[ResponseEvent, Record]) -> tuple[ResponseEvent, Delivery]:
        event, record = read
        request_id = event.request_id
        api = self._requests.get(request_id) or self._apis.get(record.model_id)
        result: Answer | DtnError
        try:
            if event.is_close:
                result = RequestStranded(as_hex(request_id), record.session_id)
            else:
                reader = Reader(self.ai, request_id, api)
                try:
                    result = reader.answer(record, event.block if event.transaction else None)
                    reader.api_of(record)
                finally:
                    if reader.api is not None:
                        self._apis[record.model_id] = api = reader.api
        except TRANSIENT_ERRORS:
            raise
        except DtnError as err:
            result = err
        return event, Delivery(request_id, result, event.transaction, api)

    def _pause(self) -> float:
        interval = POLICY.answers.interval(self._scanner.block_time)
        if is_local(self.ai.provider):
            interval = min(interval, POLICY.longest_local_poll)
        return self._deadline.bounded(interval)

    def _pause_after(self, err: DtnError) -> float:
        self._failures += 1
        if self._failures == 2:  # once per outage, and not for a single failure
            from ape.logging import logger

            logger.warning(f"{err.message} Retrying.")
        backoff = Backoff(2 * self._pause(), POLICY.longest_answer_backoff)
        wanted = getattr(err, "retry_after", None) or 0.0
        return self._deadline.bounded(max(backoff.pause(self._failures), wanted))


def _in_thread(work: Callable[[], _Result]) -> Future[_Result]:
    """Runs a function in a daemon thread, which ends with the program."""
    future: Future[_Result] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as err:
            future.set_exception(err)

    Thread(target=run, daemon=True).start()
    return future


def _in_parallel(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """The results for a few items, each in its own thread."""
    futures = [_in_thread(functools.partial(work, item)) for item in items]
    return [future.result() for future in futures]


def address_of(owner: AccountAPI | str) -> str:
    """The checksummed address of an account.

    Raises:
        InvalidAddress: The text is not an address.
    """
    return to_address(owner if isinstance(owner, str) else str(owner.address))
