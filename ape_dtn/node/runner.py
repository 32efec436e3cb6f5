"""Serve a node: ask backends concurrently, send responses in parallel, and stop cleanly.

The serving thread scans, claims, and handles results. Each backend is asked in a thread of its own,
which may be abandoned; one more thread sends the responses.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from ape_dtn.chain.errors import RpcRefused
from ape_dtn.ipfs.errors import BackendUnavailable
from ape_dtn.network.errors import RequestNotFound
from ape_dtn.node.answering import CANNOT_BE_SENT, failure
from ape_dtn.node.errors import LedgerUnusable
from ape_dtn.node.events import EventKind
from ape_dtn.node.responder import PendingResponse
from ape_dtn.types.answer import Status
from ape_dtn.types.errors import DtnError
from ape_dtn.types.ids import as_hex
from ape_dtn.types.polling import POLICY, Deadline, limited

if TYPE_CHECKING:
    from ape_dtn.node.answering import Result
    from ape_dtn.node.queue import Task
    from ape_dtn.node.responder import Responder
    from ape_dtn.types.transactions import Receipt, Signed


TOO_SLOW = "The backend took too long"

log = logging.getLogger("ape_dtn.node")

_Argument = TypeVar("_Argument")
_Value = TypeVar("_Value")


@dataclass(frozen=True, eq=False)
class _Job:
    task: Task
    deadline: Deadline


class Runner:
    """Serves a node until it is asked to stop.

    Args:
        node: The node.
        stop: Polled; returns true to stop.
        poll: Seconds between scans of the chain; None to derive it from the block time.
    """

    def __init__(self, node: Responder, stop: Callable[[], bool], poll: float | None) -> None:
        block_time = node.ai.provider.network.block_time
        default_poll = POLICY.node_polling.interval(block_time)
        self.node = node
        self.stop = stop
        self.poll = default_poll if poll is None else poll
        self._jobs: dict[bytes, _Job] = {}
        # Callbacks from other threads, which the serving thread runs. Not a SimpleQueue: in
        # CPython, `SimpleQueue.get` may block forever after a signal.
        self._inbox: queue.Queue[Callable[[], None]] = queue.Queue()
        # Responses with the earliest time to send them, on the monotonic clock.
        self._outgoing: list[tuple[float, PendingResponse]] = []
        # Callbacks that failed to write to the ledger, as on a full disk, to be run again.
        self._postponed_callbacks: list[Callable[[], None]] = []
        self._changed = threading.Condition()
        self._is_closing = False
        self._next_scan = 0.0
        # When a response was last recorded as mined, on the monotonic clock.
        self._last_sent = 0.0
        self._errors: dict[str, str] = {}
        self._sender = threading.Thread(target=self._send_responses, name="responses", daemon=True)

    def run(self) -> None:
        """Serve until asked to stop, then finish sending."""
        self._sender.start()
        self.node.emit(EventKind.STARTED, node=self.node.name, worker=str(self.node.worker.address))
        try:
            while not self.stop():
                self._scan_and_claim()
                self._process_inbox(min(self.poll, POLICY.node_stop_check))
        finally:
            self._shut_down()

    def _scan_and_claim(self) -> None:
        now = time.monotonic()
        try:
            if now >= self._next_scan:
                self._next_scan = now + self.poll
                with limited(0):  # this waits by itself
                    self.node.scan()
                    self._start_claimed()
                self._report_recovery("chain")
            elif "chain" not in self._errors:
                with limited(0):
                    self._start_claimed()
        except Exception as err:
            if not isinstance(err, DtnError):  # such as malformed data from an endpoint
                if "chain" not in self._errors:
                    log.exception("Cannot read the chain")
                err = DtnError(f"Cannot read the chain: {err!r}")
            self._next_scan = now + max(self.poll, POLICY.node_backoff.first)
            self._report_error("chain", err)

    def _start_claimed(self) -> None:
        for task, stored in self.node.claim(self.node.at_once - len(self._jobs)).items():
            if stored.result is None:
                self._ask(task)
            else:  # answered by an earlier process, or before a reorganisation
                self._enqueue_response(task, stored.result, stored.signed)

    def _ask(self, task: Task) -> None:
        job = _Job(task, Deadline(self.node.timeout))
        self._jobs[task.request_id] = job
        self.node.emit(EventKind.TAKEN, request=as_hex(task.request_id), model=task.model.name)

        def run() -> None:
            node = self.node
            store = node.store and self._with_retries(node.store, job)
            try:
                result = node.produce(task, self._with_retries(node.backend, job), store)
            except BaseException as err:  # such as `sys.exit` in a user's function
                log.error("%s: the backend exited its thread: %r", as_hex(task.request_id), err)
                result = failure("The backend failed")
            self._inbox.put(lambda: self._on_answer(job, result))

        threading.Thread(target=run, name=as_hex(task.request_id), daemon=True).start()

    def _with_retries(
        self, function: Callable[[_Argument], _Value], job: _Job
    ) -> Callable[[_Argument], _Value]:
        """Wrap a backend or store to retry while it is unavailable, until the job's deadline."""

        def retrying(argument: _Argument) -> _Value:
            failures = 0
            while True:
                try:
                    return function(argument)
                except BackendUnavailable as err:
                    failures += 1
                    pause = POLICY.node_backoff.pause(failures)
                    if not job.deadline.allows(pause):
                        raise
                    fields = {"request": as_hex(job.task.request_id), "reason": err.message}
                    self._inbox.put(partial(self.node.emit, EventKind.RETRIED, **fields))
                    retry_after = err.retry_after or 0
                job.deadline.sleep(max(pause, retry_after))

        return retrying

    def _on_answer(self, job: _Job, result: Result) -> None:
        task = job.task
        if self._jobs.get(task.request_id) is not job:  # timed out before
            return
        self.node.ledger.save_result(task.request_id, result)
        self._enqueue_response(task, result)
        del self._jobs[task.request_id]

    def _time_out(self) -> None:
        now = time.monotonic()
        # One second after the deadline: a job that is being retried fails at the deadline by
        # itself, with a more specific message.
        late = [job for job in self._jobs.values() if now > job.deadline.at + 1]
        if not self._postponed_callbacks:
            for job in late:
                self._run_callback(partial(self._on_answer, job, failure(TOO_SLOW)))

    def _process_inbox(self, timeout: float) -> None:
        """Run the callbacks of other threads, waiting up to ``timeout`` seconds for the first."""
        postponed, self._postponed_callbacks = self._postponed_callbacks, []
        for callback in postponed:
            self._run_callback(callback)
        if not self._postponed_callbacks:
            self._report_recovery("ledger")
        try:
            self._run_callback(self._inbox.get(timeout=timeout))
            while True:
                self._run_callback(self._inbox.get_nowait())
        except queue.Empty:
            self._time_out()

    def _run_callback(self, callback: Callable[[], None]) -> None:
        """Run a callback; postpone it if the ledger cannot be written."""
        try:
            callback()
        except LedgerUnusable as err:
            self._report_error("ledger", err)
            self._postponed_callbacks.append(callback)

    def _enqueue_response(self, task: Task, result: Result, signed: Signed | None = None) -> None:
        with self._changed:
            self._outgoing.append((0.0, PendingResponse(task, result, signed)))
            self._changed.notify()

    def _send_responses(self) -> None:
        """Send due responses until the runner shuts down and none is left."""
        while batch := self._next_batch():
            started = time.monotonic()
            try:
                unsent = self.node.send(batch, self._on_result)
            except Exception as err:
                log.exception("Cannot send responses")
                error = DtnError(f"Cannot send responses: {err!r}")
                unsent = [
                    replace(response, attempts=response.attempts + 1, error=error)
                    for response in batch
                ]
            for response in unsent:
                try:
                    self._schedule_retry(response, started)
                except LedgerUnusable as err:
                    self._schedule_retry(replace(response, error=err), started)

    def _on_result(self, response: PendingResponse, outcome: Receipt | DtnError) -> None:
        """Hand an outcome from the sending thread to the serving thread."""
        self._inbox.put(lambda: self._record(response, outcome))

    def _next_batch(self) -> list[PendingResponse]:
        """Wait for responses that are due. Empty once the runner shuts down."""
        with self._changed:
            while True:
                now = time.monotonic()
                due = [response for when, response in self._outgoing if when <= now]
                if due:
                    self._outgoing = [entry for entry in self._outgoing if entry[0] > now]
                    return due
                if self._is_closing:
                    return []
                soonest = min((when for when, _ in self._outgoing), default=None)
                self._changed.wait(None if soonest is None else soonest - now)

    def _schedule_retry(self, response: PendingResponse, started: float) -> None:
        """Schedule another attempt, or give up after too many refusals.

        A SUCCESS that the endpoint keeps refusing is replaced by a FAILURE.

        Args:
            response: The response, with the error of the last attempt.
            started: When that attempt started, on the monotonic clock.
        """
        error, task = response.error, response.task
        assert error is not None
        is_last = response.refusals >= POLICY.node_refusals
        if isinstance(error, RpcRefused) and is_last and not response.signed:
            if response.result.status == Status.SUCCESS:
                result = failure(CANNOT_BE_SENT)
                self.node.ledger.save_result(task.request_id, result)
                self._enqueue_response(task, result)
            else:
                self._on_result(response, error)
            return
        is_open = task.request_id in self.node.queue.open
        if isinstance(error, RequestNotFound) and is_last and not is_open:
            # The endpoint is not merely out of sync: a reorganisation has removed the request.
            self._on_result(response, error)
            return
        self._inbox.put(lambda: self._on_send_error(error, started))
        pause = POLICY.node_backoff.pause(response.attempts + 1)
        with self._changed:
            self._outgoing.append((time.monotonic() + pause, response))

    def _record(self, response: PendingResponse, outcome: Receipt | DtnError) -> None:
        if self.node.record_outcome(response, outcome):
            self._last_sent = time.monotonic()
            self._report_recovery("sending")

    def _on_send_error(self, err: DtnError, started: float) -> None:
        if started > self._last_sent:  # no response was sent in the meantime
            self._report_error("sending", err)

    def _report_error(self, area: str, err: DtnError) -> None:
        """Emit an error event, once for as long as the same error persists."""
        if self._errors.get(area) != err.code:
            self.node.emit(EventKind.RETRIED, reason=err.message)
        self._errors[area] = err.code

    def _report_recovery(self, area: str) -> None:
        if self._errors.pop(area, None) is not None:
            self.node.emit(EventKind.RECOVERED, what=area)

    def _shut_down(self) -> None:
        """Wait a few seconds for backends, and until everything being sent is done."""
        deadline = Deadline(POLICY.node_stop)
        while self._jobs and not deadline.is_over:
            self._process_inbox(POLICY.node_polling.shortest)
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        while self._sender.is_alive():
            self._process_inbox(POLICY.node_polling.shortest)
        self._process_inbox(0)
        if "chain" not in self._errors:
            with suppress(DtnError):  # on failure, only the reported count is too high
                self.node.queue.drop_answered()
        try:
            self.node.ledger.release()
        except LedgerUnusable as err:  # claims of a dead process are free anyway
            self._report_error("ledger", err)
        counters = self.node.update_counters()
        self.node.emit(
            EventKind.STOPPED, answered=counters.answered, failed=counters.failed, left=counters.lag
        )
