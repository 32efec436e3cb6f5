"""A node at work: many backends asked at a time, responses sent beside, and a clean stop.

The thread that serves looks, takes, and notes what has happened. Each answer is waited for in a
thread of its own, which can be left behind, and one more thread sends what is ready, all at once.
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
from ape_dtn.types.waiting import POLICY, Deadline

if TYPE_CHECKING:
    from ape_dtn.node.answering import Result
    from ape_dtn.node.queue import Task
    from ape_dtn.node.responder import Responder
    from ape_dtn.types.transactions import Receipt, Signed


TOO_SLOW = "The backend took too long"

log = logging.getLogger("ape_dtn.node")

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


@dataclass(frozen=True, eq=False)
class _Job:
    """A request whose backend is asked, until when it is waited for."""

    task: Task
    deadline: Deadline


class Runner:
    """A node that serves until it is asked to stop.

    Args:
        node: The node, whose steps these are.
        stop: Asked again and again.
        poll: Seconds between looks at the chain; None to choose it by the time between blocks.
    """

    def __init__(self, node: Responder, stop: Callable[[], bool], poll: float | None) -> None:
        block_time = node.ai.provider.network.block_time
        chosen = POLICY.node_polling.interval(block_time)
        self.node = node
        self.stop = stop
        self.poll = chosen if poll is None else poll
        self._jobs: dict[bytes, _Job] = {}
        # What other threads have to tell is done by the one that serves.
        # Not a SimpleQueue: where a signal comes, CPython lets that one wait for ever.
        self._inbox: queue.Queue[Callable[[], None]] = queue.Queue()
        # Responses, each with the time from which on it may be sent.
        self._outgoing: list[tuple[float, PendingResponse]] = []
        # What could not be noted, as on a full disk, and is done again with the next look.
        self._postponed_callbacks: list[Callable[[], None]] = []
        self._changed = threading.Condition()
        self._is_closing = False
        self._next_scan = 0.0
        # When it was noted the last time that a response was mined.
        self._last_sent = 0.0
        self._errors: dict[str, str] = {}
        self._sender = threading.Thread(target=self._send_responses, name="responses", daemon=True)

    def run(self) -> None:
        """Serves until it is asked to stop, and then finishes what is being sent."""
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
                self.node.scan()
                self._start_claimed()
                self._report_recovery("chain")
            elif "chain" not in self._errors:
                self._start_claimed()
        except Exception as err:
            if not isinstance(err, DtnError):  # as where an endpoint says what no chain can be like
                if "chain" not in self._errors:
                    log.exception("The chain could not be read")
                err = DtnError(f"The chain could not be read: {err!r}")
            self._next_scan = now + max(self.poll, POLICY.node_backoff.first)
            self._report_error("chain", err)

    def _start_claimed(self) -> None:
        for task, kept in self.node.claim(self.node.at_once - len(self._jobs)).items():
            if kept.result is None:
                self._ask(task)
            else:  # from before this process was started, or the chain was reorganised
                self._enqueue_response(task, kept.result, kept.signed)

    def _ask(self, task: Task) -> None:
        job = _Job(task, Deadline(self.node.timeout))
        self._jobs[task.request_id] = job
        self.node.emit(EventKind.TAKEN, request=as_hex(task.request_id), model=task.model.name)

        def run() -> None:
            node = self.node
            store = node.store and self._with_retries(node.store, job)
            try:
                result = node.produce(task, self._with_retries(node.backend, job), store)
            except BaseException as err:  # such as `sys.exit` in somebody's function
                log.error("%s: the backend ended its thread: %r", as_hex(task.request_id), err)
                result = failure("The backend failed")
            self._inbox.put(lambda: self._on_answer(job, result))

        threading.Thread(target=run, name=as_hex(task.request_id), daemon=True).start()

    def _with_retries(self, ask: Callable[[_Given], _Made], job: _Job) -> Callable[[_Given], _Made]:
        """Asks again what is not there at the moment, as long as the answer is waited for."""

        def patient(given: _Given) -> _Made:
            failures = 0
            while True:
                try:
                    return ask(given)
                except BackendUnavailable as err:
                    failures += 1
                    pause = POLICY.node_backoff.pause(failures)
                    if not job.deadline.allows(pause):
                        raise
                    fields = {"request": as_hex(job.task.request_id), "reason": err.message}
                    self._inbox.put(partial(self.node.emit, EventKind.RETRIED, **fields))
                    wanted = err.retry_after or 0
                job.deadline.sleep(max(pause, wanted))

        return patient

    def _on_answer(self, job: _Job, result: Result) -> None:
        task = job.task
        if self._jobs.get(task.request_id) is not job:  # it came too late
            return
        self.node.ledger.save_result(task.request_id, result)
        self._enqueue_response(task, result)
        del self._jobs[task.request_id]

    def _time_out(self) -> None:
        now = time.monotonic()
        # A moment later than those that are retried, which have something to tell.
        late = [each for each in self._jobs.values() if now > each.deadline.at + 1]
        if not self._postponed_callbacks:
            for job in late:
                self._run_callback(partial(self._on_answer, job, failure(TOO_SLOW)))

    def _process_inbox(self, patience: float) -> None:
        """Does what other threads have to tell, and waits for the first of it."""
        again, self._postponed_callbacks = self._postponed_callbacks, []
        for each in again:
            self._run_callback(each)
        if not self._postponed_callbacks:
            self._report_recovery("ledger")
        try:
            self._run_callback(self._inbox.get(timeout=patience))
            while True:
                self._run_callback(self._inbox.get_nowait())
        except queue.Empty:
            self._time_out()

    def _run_callback(self, what: Callable[[], None]) -> None:
        """Does what another thread has to tell; later where the ledger cannot be written now."""
        try:
            what()
        except LedgerUnusable as err:
            self._report_error("ledger", err)
            self._postponed_callbacks.append(what)

    def _enqueue_response(self, task: Task, result: Result, signed: Signed | None = None) -> None:
        with self._changed:
            self._outgoing.append((0.0, PendingResponse(task, result, signed)))
            self._changed.notify()

    def _send_responses(self) -> None:
        """Sends what is ready, until it is closed and nothing is left."""
        while batch := self._next_batch():
            begun = time.monotonic()
            try:
                again = self.node.send(
                    batch,
                    lambda each, outcome: self._inbox.put(lambda: self._on_outcome(each, outcome)),
                )
            except Exception as err:
                log.exception("Responses could not be sent")
                error = DtnError(f"Responses could not be sent: {err!r}")
                again = [replace(each, attempts=each.attempts + 1, error=error) for each in batch]
            for each in again:
                try:
                    self._schedule_retry(each, begun)
                except LedgerUnusable as err:
                    self._schedule_retry(replace(each, error=err), begun)

    def _next_batch(self) -> list[PendingResponse]:
        """Waits for responses that may be sent now; none when it is closed."""
        with self._changed:
            while True:
                now = time.monotonic()
                due = [each for when, each in self._outgoing if when <= now]
                if due:
                    self._outgoing = [each for each in self._outgoing if each[0] > now]
                    return due
                if self._is_closing:
                    return []
                soonest = min((when for when, _ in self._outgoing), default=None)
                self._changed.wait(None if soonest is None else soonest - now)

    def _schedule_retry(self, each: PendingResponse, begun: float) -> None:
        """Sends a response again later, or a failure where the endpoint does not take it ever.

        Args:
            each: The response.
            begun: When it was tried.
        """
        error = each.error
        assert error is not None
        if (
            isinstance(error, RpcRefused)
            and each.refusals >= POLICY.node_refusals
            and not each.signed
        ):
            if each.result.status == Status.SUCCESS:
                result = failure(CANNOT_BE_SENT)
                self.node.ledger.save_result(each.task.request_id, result)
                self._enqueue_response(each.task, result)
            else:
                self._inbox.put(lambda: self._on_outcome(each, error))
            return
        is_open = each.task.request_id in self.node.queue.open
        if (
            isinstance(error, RequestNotFound)
            and not is_open
            and each.refusals >= POLICY.node_refusals
        ):
            # Not a node that is behind the others: a reorganisation has taken the request.
            self._inbox.put(lambda: self._on_outcome(each, error))
            return
        self._inbox.put(lambda: self._on_send_error(error, begun))
        pause = POLICY.node_backoff.pause(each.attempts + 1)
        with self._changed:
            self._outgoing.append((time.monotonic() + pause, each))

    def _on_outcome(self, each: PendingResponse, outcome: Receipt | DtnError) -> None:
        if self.node.record_outcome(each, outcome):
            self._last_sent = time.monotonic()
            self._report_recovery("sending")

    def _on_send_error(self, err: DtnError, begun: float) -> None:
        if begun > self._last_sent:  # else it may be over: another response has got through since
            self._report_error("sending", err)

    def _report_error(self, where: str, err: DtnError) -> None:
        """Tells what is wrong, once however long it lasts."""
        if self._errors.get(where) != err.code:
            self.node.emit(EventKind.RETRIED, reason=err.message)
        self._errors[where] = err.code

    def _report_recovery(self, where: str) -> None:
        if self._errors.pop(where, None) is not None:
            self.node.emit(EventKind.RECOVERED, what=where)

    def _shut_down(self) -> None:
        """Waits a moment for backends that are asked, and for what is being sent to its end."""
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
            with suppress(DtnError):  # then some that others have answered would be counted as left
                self.node.queue.drop_answered()
        try:
            self.node.ledger.release()
        except LedgerUnusable as err:  # whoever comes next sees that this process is gone
            self._report_error("ledger", err)
        counters = self.node.update_counters()
        self.node.emit(
            EventKind.STOPPED, answered=counters.answered, failed=counters.failed, left=counters.lag
        )
