"""One request, from the question to its response: answered, sent, told."""

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
    responding,
)
from ape_dtn.node.backends.echo import echo
from ape_dtn.node.events import Counters, Event, Kind, Listener, to_log
from ape_dtn.node.queue import AcceptanceTerms, RequestQueue, Task
from ape_dtn.node.store import Kept, Ledger
from ape_dtn.types.answer import Status
from ape_dtn.types.errors import DtnError, NoNetwork
from ape_dtn.types.ids import as_hex, id_of
from ape_dtn.types.rpc import Failure, Request
from ape_dtn.types.transactions import Receipt, Signed, Transaction
from ape_dtn.types.waiting import POLICY

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI


# How many requests are answered at a time.
AT_ONCE = 16

# What is asked of the contracts in place of a response that is not known yet.
NOTHING_YET = failure("")


@dataclass(frozen=True)
class PendingResponse:
    """A request and what it is responded to with.

    Attributes:
        task: The request.
        result: The response.
        signed: The response as it was signed last, which may still be mined.
        attempts: How often it could not be sent.
        refusals: How often of these it was the endpoint that did not take it.
        trouble: Why it could not be the last time.
    """

    task: Task
    result: Result
    signed: Signed | None = None
    attempts: int = 0
    refusals: int = 0
    trouble: DtnError | None = None


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
        at_once: int = AT_ONCE,
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
        self.tally = Counters()
        self.ledger = ledger or Ledger()
        self.work = RequestQueue(ai, name, self.id, self.ledger, terms or AcceptanceTerms())
        self._in_hand: set[bytes] = set()
        self._aside: dict[bytes, float] = {}

    def forget(self) -> None:
        """Looks at all requests again the next time; the chain itself says which are answered."""
        self.work.forget()
        self._in_hand.clear()
        self._aside.clear()

    def look(self) -> None:
        """Finds what has been asked since the last time; see :meth:`RequestQueue.look`."""
        try:
            if self.work.look():
                self._aside.clear()
                self.tell(Kind.REORGANISED, block=self.work.block)
        finally:
            self.count()

    def take(self, most: int) -> dict[Task, Kept]:
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
            for task in self.work.open.values()
            if task.request_id not in self._in_hand and self._aside.get(task.request_id, 0) <= now
        ][:most]
        if not found:
            return {}
        claimed = self.ledger.claim({task.request_id: task.asked for task in found})
        self._leave_to_others([task for task in found if task.request_id not in claimed], now)
        mine = [task for task in found if task.request_id in claimed]
        fresh = [task for task in mine if claimed[task.request_id].signed is None]
        for task in self._doubtful(fresh):
            try:
                refused = self._refused(task, NOTHING_YET)
            except RequestNotFound as err:
                self._leave_for_later(task, err)
                mine.remove(task)
                continue
            if refused:
                self._give_up(task, refused[1])
                mine.remove(task)
        self._in_hand |= {task.request_id for task in mine}
        self.count()
        return {task: claimed[task.request_id] for task in mine}

    def ask(self, task: Task, backend: Backend, store: Store | None) -> Result:
        """What a request is responded to with; see :func:`answer`."""
        return answer(task.request_id, task.model, task.record, backend, store)

    def send(self, answers: Sequence[PendingResponse], told: OnResult) -> list[PendingResponse]:
        """Sends responses, all on their way at once, and waits until they are mined.

        What was signed before and may still be mined is followed first: nothing is sent twice.
        Where the contracts take no success, as when there is not so much gas in a block, a failure
        is sent in its place: whoever asked would wait for ever.

        Returns:
            Those that have to be sent again, as when the chain cannot be reached, or when not every
            node behind its endpoint has the request yet.
        """
        found, again = self._followed(answers, told)
        fresh = self._still_asked(found, again)
        refused: list[tuple[PendingResponse, DtnError]] = []

        def on_told(each: PendingResponse, outcome: Receipt | DtnError) -> None:
            if isinstance(outcome, TransactionRefused):  # and so will never be mined
                again.append(once_more(replace(each, signed=None), outcome))
            elif isinstance(outcome, NoNetwork | TransactionPending | NoMoneyForGas):
                again.append(once_more(each, outcome))
            elif isinstance(outcome, DtnError):
                refused.append((replace(each, signed=None), outcome))
            else:
                told(each, outcome)

        while fresh:  # twice at most: nothing is sent in place of a failure
            self._send_each(fresh, on_told, again)
            fresh = []
            for each, outcome in refused:
                try:
                    instead = self._instead(each, outcome)
                except DtnError as err:
                    again.append(once_more(each, err))
                    continue
                if isinstance(instead, DtnError):
                    told(each, instead)
                else:
                    fresh.append(instead)
            refused.clear()
        return again

    def came_of(self, each: PendingResponse, outcome: Receipt | DtnError) -> bool:
        """Notes what became of a response; whether it is on the chain."""
        task = each.task
        if isinstance(outcome, DtnError):  # such as a session that was closed meanwhile
            self._give_up(task, outcome)
            return False
        now = self.work.time
        self.ledger.done(task.request_id, now)
        self.work.finished(task.request_id, now, outcome.transaction)
        self._in_hand.discard(task.request_id)
        earned, spent = self._earned(outcome), outcome.gas_used * outcome.gas_price
        succeeded = each.result.status == Status.SUCCESS
        self.tally.answered += succeeded
        self.tally.failed += not succeeded
        self.tally.earned += earned
        self.tally.gas_spent += spent
        self.count()
        self.tell(
            Kind.ANSWERED if succeeded else Kind.FAILED,
            request=as_hex(task.request_id),
            session=task.record.session_id,
            model=task.model.name,
            **({} if succeeded else {"message": each.result.message}),
            earned=earned,
            gas=spent,
            transaction=outcome.transaction,
        )
        return True

    def tell(self, kind: Kind, **fields: Any) -> None:
        """Tells all listeners that something has happened."""
        event = Event(kind, fields)
        for listener in self.listeners:
            listener(event)

    def _kept_or_asked(self, task: Task, kept: Kept) -> PendingResponse:
        if kept.result is not None:
            return PendingResponse(task, kept.result, kept.signed)
        result = self.ask(task, self.backend, self.store)
        self.ledger.answered(task.request_id, result)
        return PendingResponse(task, result)

    def _leave_to_others(self, tasks: Iterable[Task], now: float) -> None:
        """Leaves requests alone for a while that another process is at, or has responded to."""
        done = self.ledger.done_by_others([task.request_id for task in tasks])
        for task in tasks:
            if task.request_id in done:
                self.work.finished(task.request_id, done[task.request_id])
            else:
                self._aside[task.request_id] = now + POLICY.node_claimed_elsewhere

    def _leave_for_later(self, task: Task, why: DtnError) -> None:
        """Leaves a request alone for a moment, which stays open; told once however often it is."""
        if task.request_id not in self._aside:
            self.tell(Kind.RETRIED, request=as_hex(task.request_id), reason=why.message)
        self._aside[task.request_id] = time.monotonic() + POLICY.node_not_found

    def _responding(self, task: Task, result: Result) -> Transaction:
        return responding(self.ai.router, self.id, task.request_id, task.record, result)

    def _doubtful(self, tasks: Sequence[Task]) -> list[Task]:
        """The requests to which no response would be taken, by what one node of the chain says.

        Raises:
            NoNetwork: The chain cannot be read.
        """
        if not tasks:
            return []
        calls: list[Request] = []
        for task in tasks:
            given = self._responding(task, NOTHING_YET)
            calls.append(("eth_call", [given.as_call(str(self.worker.address)), "latest"]))
        answers = zip(tasks, rpc.ask(self.ai.provider, calls), strict=True)
        return [task for task, answered in answers if is_revert(answered)]

    def _refused(self, task: Task, result: Result) -> tuple[Status, DtnError] | None:
        """Where a request stands, and why the contracts take no such response; None where they do.

        Of the nodes behind an endpoint one may be behind the others, and refuse a response only
        since it does not have the request yet. So one HTTP request asks for both, and for the
        request first: a block may come between. It is two calls, which hardly any endpoint takes
        apart, and not those of many requests.

        Raises:
            NoNetwork: The chain cannot be read.
            RequestNotFound: The node that refuses it does not have the request.
        """
        given, record = self._responding(task, result), record_call(self.ai, task.request_id)
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

    def _instead(self, each: PendingResponse, outcome: DtnError) -> PendingResponse | DtnError:
        """The failure that is sent in place of a response, or why nothing is.

        Raises:
            DtnError: It is not known that the contracts refuse the response: as it is, it has to be
                sent again.
        """
        status = Status.PENDING
        if outcome.revert and not outcome.revert.transaction:  # not mined: one node's word
            found = self._refused(each.task, each.result)
            if found is not None:
                status, outcome = found
            elif (
                each.refusals < POLICY.node_refusals
            ):  # by a node that is not behind the one before
                raise RequestNotFound(as_hex(each.task.request_id))
        if status is not Status.PENDING or each.result.status != Status.SUCCESS:
            return outcome
        failed = replace(each, result=failure(CANNOT_BE_SENT))
        self.ledger.answered(each.task.request_id, failed.result)
        return failed

    def _give_up(self, task: Task, why: DtnError) -> None:
        self.ledger.remove([task.request_id])
        self.work.give_up(task.request_id)
        self._in_hand.discard(task.request_id)
        self.tally.refused += 1
        self.count()
        self.tell(Kind.REFUSED, request=as_hex(task.request_id), reason=why.message)

    def _still_asked(
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
            known = self.work.open.get(each.task.request_id)
            is_known = known is not None and known.asked == each.task.asked
            (fresh if is_known else doubtful).append(each)
        calls = [record_call(self.ai, each.task.request_id) for each in doubtful]
        try:
            records = [to_record(raw) for raw in self.ai.read(*calls)]
        except DtnError as err:
            again += [once_more(each, err) for each in doubtful]
            return fresh
        for each, record in zip(doubtful, records, strict=True):
            request_id = each.task.request_id
            if record is None:
                again.append(once_more(each, RequestNotFound(as_hex(request_id))))
            elif replace(each.task, record=record).asked == each.task.asked:
                fresh.append(each)
            else:
                self.ledger.remove([request_id])
                self._in_hand.discard(request_id)
        return fresh

    def _followed(
        self, answers: Sequence[PendingResponse], told: OnResult
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
            return fresh, [once_more(each, err) for each in known.values()]
        for transaction, outcome in found.items():
            each = known[transaction]
            if outcome is None or isinstance(outcome, TransactionRefused):
                fresh.append(replace(each, signed=None))
            else:
                told(each, outcome)
        return fresh, []

    def _send_each(
        self, answers: Sequence[PendingResponse], told: OnResult, again: list[PendingResponse]
    ) -> None:
        """Sends responses that were not signed yet; fewer where the coin is not enough for all."""
        current = list(answers)
        responses = [self._responding(each.task, each.result) for each in answers]

        def on_signed(signed: Mapping[int, Signed]) -> None:
            for place, each in signed.items():
                current[place] = replace(current[place], signed=each)
            self.ledger.signed(
                {current[place].task.request_id: each for place, each in signed.items()}
            )

        def on_told(place: int, outcome: Receipt | DtnError) -> None:
            told(current[place], outcome)

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
            again += [once_more(each, err) for each in answers[some:]]
            self._send_each(answers[:some], told, again)

    def _earned(self, receipt: Receipt) -> int:
        """What the response was paid, in units of the fee token (``SessionCharged``)."""
        charged = SessionManager.session_charged
        return sum(
            charged.decode(log)["amount"]
            for log in receipt.logs
            # A callback can leave any log, but not as the session manager.
            if log.address == self.work.session_manager and charged.matches(log)
        )

    def count(self) -> Counters:
        """The sums, with what is known to be open now."""
        tally, known = self.tally, self.work.open.keys() | self._in_hand
        tally.in_flight = len(self._in_hand)
        tally.waiting = len(known) - tally.in_flight
        now = time.monotonic()
        tally.found = {each: tally.found.get(each, now) for each in known}
        return tally


def is_revert(answered: Any) -> bool:
    """Whether it is a contract that refuses a call, and not the endpoint."""
    return isinstance(answered, Failure) and answered.data is not None


def once_more(each: PendingResponse, trouble: DtnError) -> PendingResponse:
    """The same response for another attempt, with the trouble that it was in."""
    is_refused = isinstance(trouble, RpcRefused | RequestNotFound)
    refusals = each.refusals + is_refused
    return replace(each, attempts=each.attempts + 1, refusals=refusals, trouble=trouble)
