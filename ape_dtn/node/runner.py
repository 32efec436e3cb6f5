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
from ape_dtn.node.events import Kind
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
class _Asking:
    """A request whose backend is asked, until when it is waited for."""

    task: Task
    deadline: Deadline


class Runner:
    """A node that serves until it is told to stop.

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
        self._asking: dict[bytes, _Asking] = {}
        # What other threads have to tell is done by the one that serves.
        # Not a SimpleQueue: where a signal comes, CPython lets that one wait for ever.
        self._inbox: queue.Queue[Callable[[], None]] = queue.Queue()
        # Responses, each with the time from which on it may be sent.
        self._ready: list[tuple[float, PendingResponse]] = []
        # What could not be noted, as on a full disk, and is done again with the next look.
        self._unnoted: list[Callable[[], None]] = []
        self._changed = threading.Condition()
        self._is_closing = False
        self._next_look = 0.0
        # When it was noted the last time that a response was mined.
        self._sent_at = 0.0
        self._troubles: dict[str, str] = {}
        self._sender = threading.Thread(target=self._deliver, name="responses", daemon=True)

    def run(self) -> None:
        """Serves until it is told to stop, and then finishes what is being sent."""
        self._sender.start()
        self.node.tell(Kind.STARTED, node=self.node.name, worker=str(self.node.worker.address))
        try:
            while not self.stop():
                self._look_and_take()
                self._receive(min(self.poll, POLICY.node_stop_check))
        finally:
            self._finish()

    def _look_and_take(self) -> None:
        now = time.monotonic()
        try:
            if now >= self._next_look:
                self._next_look = now + self.poll
                self.node.look()
                self._take()
                self._recover("chain")
            elif "chain" not in self._troubles:
                self._take()
        except Exception as err:
            if not isinstance(err, DtnError):  # as where an endpoint says what no chain can be like
                if "chain" not in self._troubles:
                    log.exception("The chain could not be read")
                err = DtnError(f"The chain could not be read: {err!r}")
            self._next_look = now + max(self.poll, POLICY.node_backoff.first)
            self._trouble("chain", err)

    def _take(self) -> None:
        for task, kept in self.node.take(self.node.at_once - len(self._asking)).items():
            if kept.result is None:
                self._ask(task)
            else:  # from before this process was started, or the chain was reorganised
                self._respond(task, kept.result, kept.signed)

    def _ask(self, task: Task) -> None:
        asking = _Asking(task, Deadline(self.node.timeout))
        self._asking[task.request_id] = asking
        self.node.tell(Kind.TAKEN, request=as_hex(task.request_id), model=task.model.name)

        def run() -> None:
            node = self.node
            store = node.store and self._patient(node.store, asking)
            try:
                result = node.ask(task, self._patient(node.backend, asking), store)
            except BaseException as err:  # such as `sys.exit` in somebody's function
                log.error("%s: the backend ended its thread: %r", as_hex(task.request_id), err)
                result = failure("The backend failed")
            self._inbox.put(lambda: self._on_answer(asking, result))

        threading.Thread(target=run, name=as_hex(task.request_id), daemon=True).start()

    def _patient(
        self, ask: Callable[[_Given], _Made], asking: _Asking
    ) -> Callable[[_Given], _Made]:
        """Asks again what is not there at the moment, as long as the answer is waited for."""

        def patient(given: _Given) -> _Made:
            failures = 0
            while True:
                try:
                    return ask(given)
                except BackendUnavailable as err:
                    failures += 1
                    pause = POLICY.node_backoff.pause(failures)
                    if not asking.deadline.allows(pause):
                        raise
                    fields = {"request": as_hex(asking.task.request_id), "reason": err.message}
                    self._inbox.put(partial(self.node.tell, Kind.RETRIED, **fields))
                    wanted = err.retry_after or 0
                asking.deadline.sleep(max(pause, wanted))

        return patient

    def _on_answer(self, asking: _Asking, result: Result) -> None:
        task = asking.task
        if self._asking.get(task.request_id) is not asking:  # it came too late
            return
        self.node.ledger.answered(task.request_id, result)
        self._respond(task, result)
        del self._asking[task.request_id]

    def _time_out(self) -> None:
        now = time.monotonic()
        # A moment later than those that are retried, which have something to tell.
        late = [each for each in self._asking.values() if now > each.deadline.at + 1]
        if not self._unnoted:
            for asking in late:
                self._note(partial(self._on_answer, asking, failure(TOO_SLOW)))

    def _receive(self, patience: float) -> None:
        """Does what other threads have to tell, and waits for the first of it."""
        again, self._unnoted = self._unnoted, []
        for each in again:
            self._note(each)
        if not self._unnoted:
            self._recover("ledger")
        try:
            self._note(self._inbox.get(timeout=patience))
            while True:
                self._note(self._inbox.get_nowait())
        except queue.Empty:
            self._time_out()

    def _note(self, what: Callable[[], None]) -> None:
        """Does what another thread has to tell; later where the ledger cannot be written now."""
        try:
            what()
        except LedgerUnusable as err:
            self._trouble("ledger", err)
            self._unnoted.append(what)

    def _respond(self, task: Task, result: Result, signed: Signed | None = None) -> None:
        with self._changed:
            self._ready.append((0.0, PendingResponse(task, result, signed)))
            self._changed.notify()

    def _deliver(self) -> None:
        """Sends what is ready, until it is closed and nothing is left."""
        while batch := self._due():
            begun = time.monotonic()
            try:
                again = self.node.send(
                    batch,
                    lambda each, outcome: self._inbox.put(lambda: self._on_outcome(each, outcome)),
                )
            except Exception as err:
                log.exception("Responses could not be sent")
                trouble = DtnError(f"Responses could not be sent: {err!r}")
                again = [
                    replace(each, attempts=each.attempts + 1, trouble=trouble) for each in batch
                ]
            for each in again:
                try:
                    self._put_off(each, begun)
                except LedgerUnusable as err:
                    self._put_off(replace(each, trouble=err), begun)

    def _due(self) -> list[PendingResponse]:
        """Waits for responses that may be sent now; none when it is closed."""
        with self._changed:
            while True:
                now = time.monotonic()
                due = [each for when, each in self._ready if when <= now]
                if due:
                    self._ready = [each for each in self._ready if each[0] > now]
                    return due
                if self._is_closing:
                    return []
                soonest = min((when for when, _ in self._ready), default=None)
                self._changed.wait(None if soonest is None else soonest - now)

    def _put_off(self, each: PendingResponse, begun: float) -> None:
        """Sends a response again later, or a failure where the endpoint does not take it ever.

        Args:
            each: The response.
            begun: When it was tried.
        """
        trouble = each.trouble
        assert trouble is not None
        if (
            isinstance(trouble, RpcRefused)
            and each.refusals >= POLICY.node_refusals
            and not each.signed
        ):
            if each.result.status == Status.SUCCESS:
                result = failure(CANNOT_BE_SENT)
                self.node.ledger.answered(each.task.request_id, result)
                self._respond(each.task, result)
            else:
                self._inbox.put(lambda: self._on_outcome(each, trouble))
            return
        is_open = each.task.request_id in self.node.work.open
        if (
            isinstance(trouble, RequestNotFound)
            and not is_open
            and each.refusals >= POLICY.node_refusals
        ):
            # Not a node that is behind the others: a reorganisation has taken the request.
            self._inbox.put(lambda: self._on_outcome(each, trouble))
            return
        self._inbox.put(lambda: self._on_trouble(trouble, begun))
        pause = POLICY.node_backoff.pause(each.attempts + 1)
        with self._changed:
            self._ready.append((time.monotonic() + pause, each))

    def _on_outcome(self, each: PendingResponse, outcome: Receipt | DtnError) -> None:
        if self.node.came_of(each, outcome):
            self._sent_at = time.monotonic()
            self._recover("sending")

    def _on_trouble(self, err: DtnError, begun: float) -> None:
        if begun > self._sent_at:  # else it may be over: another response has got through since
            self._trouble("sending", err)

    def _trouble(self, where: str, err: DtnError) -> None:
        """Tells what is wrong, once however long it lasts."""
        if self._troubles.get(where) != err.code:
            self.node.tell(Kind.RETRIED, reason=err.message)
        self._troubles[where] = err.code

    def _recover(self, where: str) -> None:
        if self._troubles.pop(where, None) is not None:
            self.node.tell(Kind.RECOVERED, what=where)

    def _finish(self) -> None:
        """Waits a moment for backends that are asked, and for what is being sent to its end."""
        deadline = Deadline(POLICY.node_stop)
        while self._asking and not deadline.is_over:
            self._receive(POLICY.node_polling.shortest)
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        while self._sender.is_alive():
            self._receive(POLICY.node_polling.shortest)
        self._receive(0)
        if "chain" not in self._troubles:
            with suppress(DtnError):  # then some that others have answered are told as left
                self.node.work.drop_answered()
        try:
            self.node.ledger.leave()
        except LedgerUnusable as err:  # whoever comes next sees that this process is gone
            self._trouble("ledger", err)
        tally = self.node.count()
        self.node.tell(
            Kind.STOPPED, answered=tally.answered, failed=tally.failed, left=tally.behind
        )
