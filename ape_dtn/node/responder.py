"""One request, from the question to its response: answered, sent and recorded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import reads, rebroadcast, rpc, transactions
from ape_dtn.chain.broadcast import Outbox
from ape_dtn.chain.errors import NoMoneyForGas, RpcRefused, TransactionPending, TransactionRefused
from ape_dtn.network import reverts
from ape_dtn.network.abi import SessionManager
from ape_dtn.network.context import Network
from ape_dtn.network.errors import RequestNotFound
from ape_dtn.network.requests import record_call, to_record
from ape_dtn.node.answering import (
    CANNOT_BE_SENT,
    Backend,
    Result,
    Store,
    answer,
    failure,
    response_transaction,
)
from ape_dtn.node.backends.echo import echo
from ape_dtn.node.events import Counters, Event, EventKind, Listener, to_log
from ape_dtn.node.queue import AcceptanceTerms, RequestQueue, Task
from ape_dtn.node.store import Ledger, StoredResult
from ape_dtn.types.answer import Status
from ape_dtn.types.errors import DtnError, NoNetwork
from ape_dtn.types.ids import as_hex, id_of
from ape_dtn.types.rpc import Failure, Request
from ape_dtn.types.transactions import Receipt, Signed, Transaction
from ape_dtn.types.waiting import POLICY

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI


# How many requests are answered at a time.
MAX_CONCURRENT = 16

# What is asked of the contracts in place of a response that is not known yet.
PLACEHOLDER = failure("")


@dataclass(frozen=True)
class PendingResponse:
    """A request and what it is responded to with.

    Attributes:
        task: The request.
        result: The response.
        signed: The response as it was signed last, which may still be mined.
        attempts: How often it could not be sent.
        refusals: How often of these it was the endpoint that did not take it.
        error: Why it could not be the last time.
    """

    task: Task
    result: Result
    signed: Signed | None = None
    attempts: int = 0
    refusals: int = 0
    error: DtnError | None = None


# Told what became of a response, as soon as that will not change any more.
OnResult = Callable[[PendingResponse, "Receipt | DtnError"], None]


class Responder:
    """Takes requests of a node, has them answered, and sends the responses.

    See :class:`ape_dtn.node.node.DtnNode` for its arguments.
    """

    def __init__(
        self,
        ai: Network,
        name: str,
        worker: AccountAPI,
        backend: Backend = echo,
        store: Store | None = None,
        *,
        terms: AcceptanceTerms | None = None,
        ledger: Ledger | None = None,
        at_once: int = MAX_CONCURRENT,
        timeout: float = POLICY.node_answer,
        listeners: Iterable[Listener] = (),
    ) -> None:
        self.ai = ai
        self.name = name
        self.id = id_of(name, "node")
        self.worker = worker
        self.backend = backend
        self.store = store
        self.at_once = at_once
        self.timeout = timeout
        self.listeners: list[Listener] = [to_log, *listeners]
        self.counters = Counters()
        self.ledger = ledger or Ledger()
        self.queue = RequestQueue(ai, name, self.id, self.ledger, terms or AcceptanceTerms())
        self._claimed: set[bytes] = set()
        self._postponed: dict[bytes, float] = {}

    def forget(self) -> None:
        """Looks at all requests again the next time; the chain itself says which are answered."""
        self.queue.forget()
        self._claimed.clear()
        self._postponed.clear()

    def scan(self) -> None:
        """Finds what has been asked since the last time; see :meth:`RequestQueue.look`."""
        try:
            if self.queue.scan():
                self._postponed.clear()
                self.emit(EventKind.REORGANISED, block=self.queue.block)
        finally:
            self.update_counters()

    def claim(self, most: int) -> dict[Task, StoredResult]:
        """Takes open requests, unless another process of the node is at them.

        The contracts are asked first whether they would take a response: not where the session is
        closed, the node has responded already, or its namespace's trust has expired. What is asked
        of a node of the chain that does not have the request yet is asked again later.

        Returns:
            The requests, and what is kept of each from before.
        """
        now = time.monotonic()
        found = [
            task
            for task in self.queue.open.values()
            if task.request_id not in self._claimed
            and self._postponed.get(task.request_id, 0) <= now
        ][:most]
        if not found:
            return {}
        claimed = self.ledger.claim({task.request_id: task.fingerprint for task in found})
        self._postpone_claimed([task for task in found if task.request_id not in claimed], now)
        mine = [task for task in found if task.request_id in claimed]
        fresh = [task for task in mine if claimed[task.request_id].signed is None]
        for task in self._reverting(fresh):
            try:
                refused = self._check_refusal(task, PLACEHOLDER)
            except RequestNotFound as err:
                self._postpone_unsynced(task, err)
                mine.remove(task)
                continue
            if refused:
                self._abandon(task, refused[1])
                mine.remove(task)
        self._claimed |= {task.request_id for task in mine}
        self.update_counters()
        return {task: claimed[task.request_id] for task in mine}

    def produce(self, task: Task, backend: Backend, store: Store | None) -> Result:
        """What a request is responded to with; see :func:`answer`."""
        return answer(task.request_id, task.model, task.record, backend, store)

    def send(
        self, answers: Sequence[PendingResponse], on_result: OnResult
    ) -> list[PendingResponse]:
        """Sends responses, all on their way at once, and waits until they are mined.

        What was signed before and may still be mined is followed first: nothing is sent twice.
        Where the contracts take no success, as when there is not so much gas in a block, a failure
        is sent in its place: whoever asked would wait for ever.

        Returns:
            Those that have to be sent again, as when the chain cannot be reached, or when not every
            node behind its endpoint has the request yet.
        """
        found, again = self._follow_signed(answers, on_result)
        fresh = self._still_valid(found, again)
        refused: list[tuple[PendingResponse, DtnError]] = []

        def on_told(each: PendingResponse, outcome: Receipt | DtnError) -> None:
            if isinstance(outcome, TransactionRefused):  # and so will never be mined
                again.append(retried(replace(each, signed=None), outcome))
            elif isinstance(outcome, NoNetwork | TransactionPending | NoMoneyForGas):
                again.append(retried(each, outcome))
            elif isinstance(outcome, DtnError):
                refused.append((replace(each, signed=None), outcome))
            else:
                on_result(each, outcome)

        while fresh:  # twice at most: nothing is sent in place of a failure
            self._broadcast(fresh, on_told, again)
            fresh = []
            for each, outcome in refused:
                try:
                    instead = self._replacement(each, outcome)
                except DtnError as err:
                    again.append(retried(each, err))
                    continue
                if isinstance(instead, DtnError):
                    on_result(each, instead)
                else:
                    fresh.append(instead)
            refused.clear()
        return again

    def record_outcome(self, each: PendingResponse, outcome: Receipt | DtnError) -> bool:
        """Notes what became of a response; whether it is on the chain."""
        task = each.task
        if isinstance(outcome, DtnError):  # such as a session that was closed meanwhile
            self._abandon(task, outcome)
            return False
        now = self.queue.time
        self.ledger.mark_mined(task.request_id, now)
        self.queue.mark_responded(task.request_id, now, outcome.transaction)
        self._claimed.discard(task.request_id)
        earned, spent = self._payment(outcome), outcome.gas_used * outcome.gas_price
        succeeded = each.result.status == Status.SUCCESS
        self.counters.answered += succeeded
        self.counters.failed += not succeeded
        self.counters.earned += earned
        self.counters.gas_spent += spent
        self.update_counters()
        self.emit(
            EventKind.ANSWERED if succeeded else EventKind.FAILED,
            request=as_hex(task.request_id),
            session=task.record.session_id,
            model=task.model.name,
            **({} if succeeded else {"message": each.result.message}),
            earned=earned,
            gas=spent,
            transaction=outcome.transaction,
        )
        return True

    def emit(self, kind: EventKind, **fields: Any) -> None:
        """Tells all listeners that something has happened."""
        event = Event(kind, fields)
        for listener in self.listeners:
            listener(event)

    def _stored_or_produced(self, task: Task, kept: StoredResult) -> PendingResponse:
        if kept.result is not None:
            return PendingResponse(task, kept.result, kept.signed)
        result = self.produce(task, self.backend, self.store)
        self.ledger.save_result(task.request_id, result)
        return PendingResponse(task, result)

    def _postpone_claimed(self, tasks: Iterable[Task], now: float) -> None:
        """Leaves requests alone for a while that another process is at, or has responded to."""
        done = self.ledger.mined_by_others([task.request_id for task in tasks])
        for task in tasks:
            if task.request_id in done:
                self.queue.mark_responded(task.request_id, done[task.request_id])
            else:
                self._postponed[task.request_id] = now + POLICY.node_claimed_elsewhere

    def _postpone_unsynced(self, task: Task, why: DtnError) -> None:
        """Leaves a request alone for a moment, and report that once; it stays open."""
        if task.request_id not in self._postponed:
            self.emit(EventKind.RETRIED, request=as_hex(task.request_id), reason=why.message)
        self._postponed[task.request_id] = time.monotonic() + POLICY.node_not_found

    def _transaction(self, task: Task, result: Result) -> Transaction:
        return response_transaction(self.ai.router, self.id, task.request_id, task.record, result)

    def _reverting(self, tasks: Sequence[Task]) -> list[Task]:
        """The requests to which no response would be taken, by what one node of the chain says.

        Raises:
            NoNetwork: The chain cannot be read.
        """
        if not tasks:
            return []
        calls: list[Request] = []
        for task in tasks:
            given = self._transaction(task, PLACEHOLDER)
            calls.append(("eth_call", [given.as_call(str(self.worker.address)), "latest"]))
        answers = zip(tasks, rpc.ask(self.ai.provider, calls), strict=True)
        return [task for task, answered in answers if is_revert(answered)]

    def _check_refusal(self, task: Task, result: Result) -> tuple[Status, DtnError] | None:
        """Where a request stands, and why the contracts take no such response; None where they do.

        Of the nodes behind an endpoint one may be behind the others, and refuse a response only
        since it does not have the request yet. So one HTTP request asks for both, and for the
        request first: a block may come between. It is two calls, which hardly any endpoint takes
        apart, and not those of many requests.

        Raises:
            NoNetwork: The chain cannot be read.
            RequestNotFound: The node that refuses it does not have the request.
        """
        given, record = self._transaction(task, result), record_call(self.ai, task.request_id)
        # As before it is sent: a mere call may use more gas than there is in a block.
        estimate = "eth_estimateGas", [given.as_call(str(self.worker.address))]
        found, estimated = rpc.ask(self.ai.provider, [record.request, estimate])
        if not is_revert(estimated):
            return None
        (raw,) = reads.expect_all(reads.decode_all([record], [found], reverts.NO_CONTEXT))
        there = to_record(raw)
        if there is None:
            raise RequestNotFound(as_hex(task.request_id))
        return there.status, reverts.failure_error(estimated)

    def _replacement(self, each: PendingResponse, outcome: DtnError) -> PendingResponse | DtnError:
        """The failure that is sent in place of a response, or why nothing is.

        Raises:
            DtnError: It is not known that the contracts refuse the response: as it is, it has to be
                sent again.
        """
        status = Status.PENDING
        if outcome.revert and not outcome.revert.transaction:  # not mined: one node's word
            found = self._check_refusal(each.task, each.result)
            if found is not None:
                status, outcome = found
            elif (
                each.refusals < POLICY.node_refusals
            ):  # by a node that is not behind the one before
                raise RequestNotFound(as_hex(each.task.request_id))
        if status is not Status.PENDING or each.result.status != Status.SUCCESS:
            return outcome
        failed = replace(each, result=failure(CANNOT_BE_SENT))
        self.ledger.save_result(each.task.request_id, failed.result)
        return failed

    def _abandon(self, task: Task, why: DtnError) -> None:
        self.ledger.remove([task.request_id])
        self.queue.abandon(task.request_id)
        self._claimed.discard(task.request_id)
        self.counters.refused += 1
        self.update_counters()
        self.emit(EventKind.REFUSED, request=as_hex(task.request_id), reason=why.message)

    def _still_valid(
        self, answers: Sequence[PendingResponse], again: list[PendingResponse]
    ) -> list[PendingResponse]:
        """Those of the responses whose requests are the ones that were taken.

        A reorganisation can take a request, which may come again, and give its id to another
        question, which is then open, and taken anew. So the chain is asked for what is not known to
        be open as it was.
        """
        fresh: list[PendingResponse] = []
        doubtful: list[PendingResponse] = []
        for each in answers:
            known = self.queue.open.get(each.task.request_id)
            is_known = known is not None and known.fingerprint == each.task.fingerprint
            (fresh if is_known else doubtful).append(each)
        calls = [record_call(self.ai, each.task.request_id) for each in doubtful]
        try:
            records = [to_record(raw) for raw in self.ai.read(*calls)]
        except DtnError as err:
            again += [retried(each, err) for each in doubtful]
            return fresh
        for each, record in zip(doubtful, records, strict=True):
            request_id = each.task.request_id
            if record is None:
                again.append(retried(each, RequestNotFound(as_hex(request_id))))
            elif replace(each.task, record=record).fingerprint == each.task.fingerprint:
                fresh.append(each)
            else:
                self.ledger.remove([request_id])
                self._claimed.discard(request_id)
        return fresh

    def _follow_signed(
        self, answers: Sequence[PendingResponse], on_result: OnResult
    ) -> tuple[list[PendingResponse], list[PendingResponse]]:
        """Follows to their end the responses that were signed before.

        Returns:
            Those that have to be signed, and those that have to be followed again.
        """
        fresh = [each for each in answers if not each.signed]
        known = {each.signed.hash: each for each in answers if each.signed}
        if not known:
            return fresh, []
        signed = [each.signed for each in known.values() if each.signed]
        try:
            found = rebroadcast.follow(self.ai.provider, self.worker, signed, reverts.NO_CONTEXT)
        except (NoNetwork, TransactionPending) as err:
            return fresh, [retried(each, err) for each in known.values()]
        for transaction, outcome in found.items():
            each = known[transaction]
            if outcome is None or isinstance(outcome, TransactionRefused):
                fresh.append(replace(each, signed=None))
            else:
                on_result(each, outcome)
        return fresh, []

    def _broadcast(
        self, answers: Sequence[PendingResponse], on_result: OnResult, again: list[PendingResponse]
    ) -> None:
        """Sends responses that were not signed yet; fewer where the coin is not enough for all."""
        current = list(answers)
        responses = [self._transaction(each.task, each.result) for each in answers]

        def on_signed(signed: Mapping[int, Signed]) -> None:
            for place, each in signed.items():
                current[place] = replace(current[place], signed=each)
            self.ledger.save_signed(
                {current[place].task.request_id: each for place, each in signed.items()}
            )

        def on_told(place: int, outcome: Receipt | DtnError) -> None:
            on_result(current[place], outcome)

        if not responses:
            return
        try:
            transactions.send_each(
                self.ai.provider,
                self.worker,
                responses,
                reverts.NO_CONTEXT,
                on_told,
                Outbox(on_signed),
            )
        except DtnError as err:  # of these, nothing was sent
            some = len(answers) // 2 if isinstance(err, NoMoneyForGas) else 0
            again += [retried(each, err) for each in answers[some:]]
            self._broadcast(answers[:some], on_result, again)

    def _payment(self, receipt: Receipt) -> int:
        """What the response was paid, in units of the fee token (``SessionCharged``)."""
        charged = SessionManager.session_charged
        return sum(
            charged.decode(log)["amount"]
            for log in receipt.logs
            # A callback can leave any log, but not as the session manager.
            if log.address == self.queue.session_manager and charged.matches(log)
        )

    def update_counters(self) -> Counters:
        """The sums, with what is known to be open now."""
        counters, known = self.counters, self.queue.open.keys() | self._claimed
        counters.in_flight = len(self._claimed)
        counters.waiting = len(known) - counters.in_flight
        now = time.monotonic()
        counters.first_seen = {each: counters.first_seen.get(each, now) for each in known}
        return counters


def is_revert(answered: Any) -> bool:
    """Whether it is a contract that refuses a call, and not the endpoint."""
    return isinstance(answered, Failure) and answered.data is not None


def retried(each: PendingResponse, error: DtnError) -> PendingResponse:
    """The same response for another attempt, with the error that it was in."""
    is_refused = isinstance(error, RpcRefused | RequestNotFound)
    refusals = each.refusals + is_refused
    return replace(each, attempts=each.attempts + 1, refusals=refusals, error=error)
