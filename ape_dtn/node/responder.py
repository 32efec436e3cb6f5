"""Claim a node's requests, have them answered, and send the responses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict

from typing_extensions import Unpack

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
from ape_dtn.types.polling import POLICY
from ape_dtn.types.rpc import Failure, Request
from ape_dtn.types.transactions import Receipt, Signed, Transaction

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI


# The default number of questions that a backend answers concurrently.
MAX_CONCURRENT = 16

# A placeholder response, to simulate whether the contracts would accept one.
PLACEHOLDER = failure("")


@dataclass(frozen=True)
class PendingResponse:
    """A response that is not mined yet.

    Attributes:
        task: The request.
        result: The response's content.
        signed: The transaction that was signed last, which may still be mined.
        attempts: How many attempts to send it have failed.
        refusals: How many of these the endpoint refused.
        error: Why the last attempt failed.
    """

    task: Task
    result: Result
    signed: Signed | None = None
    attempts: int = 0
    refusals: int = 0
    error: DtnError | None = None


# Called with a response's receipt or error once it is final.
OnResult = Callable[[PendingResponse, "Receipt | DtnError"], None]


class NodeSettings(TypedDict, total=False):
    """The settings of a node; see :class:`ape_dtn.node.node.DtnNode`."""

    terms: AcceptanceTerms | None
    ledger: Ledger | None
    at_once: int
    timeout: float
    listeners: Iterable[Listener]


class Responder:
    """The steps of a node: scan, claim, produce an answer, send.

    See :class:`ape_dtn.node.node.DtnNode` for the arguments.
    """

    def __init__(
        self,
        ai: Network,
        name: str,
        worker: AccountAPI,
        backend: Backend = echo,
        store: Store | None = None,
        **settings: Unpack[NodeSettings],
    ) -> None:
        self.ai = ai
        self.name = name
        self.id = id_of(name, "node")
        self.worker = worker
        self.backend = backend
        self.store = store
        self.counters = Counters()
        self._claimed: set[bytes] = set()
        self._postponed: dict[bytes, float] = {}
        self._configure(**settings)

    def _configure(
        self,
        terms: AcceptanceTerms | None = None,
        ledger: Ledger | None = None,
        at_once: int = MAX_CONCURRENT,
        timeout: float = POLICY.node_answer,
        listeners: Iterable[Listener] = (),
    ) -> None:
        self.at_once = at_once
        self.timeout = timeout
        self.listeners: list[Listener] = [to_log, *listeners]
        self.ledger = ledger or Ledger()
        terms = terms or AcceptanceTerms()
        self.queue = RequestQueue(self.ai, self.name, self.id, self.ledger, terms)

    def forget(self) -> None:
        """Discard everything read, so that the next scan starts at the first request."""
        self.queue.forget()
        self._claimed.clear()
        self._postponed.clear()

    def scan(self) -> None:
        """Find new requests; see :meth:`RequestQueue.scan`."""
        try:
            if self.queue.scan():
                self._postponed.clear()
                self.emit(EventKind.REORGANISED, block=self.queue.block)
        finally:
            self.update_counters()

    def claim(self, most: int) -> dict[Task, StoredResult]:
        """Claim up to ``most`` open requests that no other process of the node has claimed.

        Requests to which the contracts would reject any response are abandoned: the session is
        closed, the node has responded, or the namespace's trust has expired. Requests that the
        endpoint does not know yet are postponed.

        Returns:
            The claimed requests, with what the ledger holds for each.
        """
        now = time.monotonic()
        candidates = [
            task
            for task in self.queue.open.values()
            if task.request_id not in self._claimed
            and self._postponed.get(task.request_id, 0) <= now
        ][:most]
        if not candidates:
            return {}
        claimed = self.ledger.claim({task.request_id: task.fingerprint for task in candidates})
        self._postpone_claimed([task for task in candidates if task.request_id not in claimed], now)
        mine = [task for task in candidates if task.request_id in claimed]
        unsigned_tasks = [task for task in mine if claimed[task.request_id].signed is None]
        for task in self._reverting(unsigned_tasks):
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
        """Ask the backend; see :func:`answer`."""
        return answer(task.request_id, task.model, task.record, backend, store)

    def send(
        self, responses: Sequence[PendingResponse], on_result: OnResult
    ) -> list[PendingResponse]:
        """Send responses together, and wait until they are mined.

        Responses signed in earlier attempts are followed up first, so that none is sent twice. If
        the contracts reject a SUCCESS, as when it needs more gas than a block has, a FAILURE is
        sent in its place, so that the requester does not wait forever.

        Returns:
            The responses to send again later: the chain is unreachable, or the endpoint does not
            know the request yet.
        """
        unsigned, to_retry = self._follow_signed(responses, on_result)
        fresh = self._still_valid(unsigned, to_retry)
        refused: list[tuple[PendingResponse, DtnError]] = []

        def on_outcome(response: PendingResponse, outcome: Receipt | DtnError) -> None:
            if isinstance(outcome, TransactionRefused):  # it will never be mined
                to_retry.append(retried(replace(response, signed=None), outcome))
            elif isinstance(outcome, NoNetwork | TransactionPending | NoMoneyForGas):
                to_retry.append(retried(response, outcome))
            elif isinstance(outcome, DtnError):
                refused.append((replace(response, signed=None), outcome))
            else:
                on_result(response, outcome)

        while fresh:  # at most twice: a FAILURE is not replaced
            self._broadcast(fresh, on_outcome, to_retry)
            fresh = []
            for response, outcome in refused:
                try:
                    replacement = self._replacement(response, outcome)
                except DtnError as err:
                    to_retry.append(retried(response, err))
                    continue
                if isinstance(replacement, DtnError):
                    on_result(response, replacement)
                else:
                    fresh.append(replacement)
            refused.clear()
        return to_retry

    def record_outcome(self, response: PendingResponse, outcome: Receipt | DtnError) -> bool:
        """Record a response's outcome; true if it was mined."""
        task = response.task
        if isinstance(outcome, DtnError):  # such as a session closed in the meantime
            self._abandon(task, outcome)
            return False
        now = self.queue.time
        self.ledger.mark_mined(task.request_id, now)
        self.queue.mark_responded(task.request_id, now, outcome.transaction)
        self._claimed.discard(task.request_id)
        earned, spent = self._payment(outcome), outcome.gas_used * outcome.gas_price
        succeeded = response.result.status == Status.SUCCESS
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
            **({} if succeeded else {"message": response.result.message}),
            earned=earned,
            gas=spent,
            transaction=outcome.transaction,
        )
        return True

    def emit(self, kind: EventKind, **fields: Any) -> None:
        """Call all listeners with an event."""
        event = Event(kind, fields)
        for listener in self.listeners:
            listener(event)

    def _stored_or_produced(self, task: Task, stored: StoredResult) -> PendingResponse:
        if stored.result is not None:
            return PendingResponse(task, stored.result, stored.signed)
        result = self.produce(task, self.backend, self.store)
        self.ledger.save_result(task.request_id, result)
        return PendingResponse(task, result)

    def _postpone_claimed(self, tasks: Iterable[Task], now: float) -> None:
        """Postpone requests claimed by other processes; remove those they have answered."""
        mined = self.ledger.mined_by_others([task.request_id for task in tasks])
        for task in tasks:
            if task.request_id in mined:
                self.queue.mark_responded(task.request_id, mined[task.request_id])
            else:
                self._postponed[task.request_id] = now + POLICY.node_claimed_elsewhere

    def _postpone_unsynced(self, task: Task, why: DtnError) -> None:
        """Postpone a request that the endpoint does not know yet, and report it once."""
        if task.request_id not in self._postponed:
            self.emit(EventKind.RETRIED, request=as_hex(task.request_id), reason=why.message)
        self._postponed[task.request_id] = time.monotonic() + POLICY.node_not_found

    def _transaction(self, task: Task, result: Result) -> Transaction:
        return response_transaction(self.ai.router, self.id, task.request_id, task.record, result)

    def _reverting(self, tasks: Sequence[Task]) -> list[Task]:
        """The requests to which the contracts reject any response, according to the endpoint.

        Raises:
            NoNetwork: The chain cannot be read.
        """
        if not tasks:
            return []
        calls: list[Request] = []
        for task in tasks:
            transaction = self._transaction(task, PLACEHOLDER)
            calls.append(("eth_call", [transaction.as_call(str(self.worker.address)), "latest"]))
        results = zip(tasks, rpc.ask(self.ai.provider, calls), strict=True)
        return [task for task, result in results if is_revert(result)]

    def _check_refusal(self, task: Task, result: Result) -> tuple[Status, DtnError] | None:
        """Why the contracts reject a response, with the request's status; None if they accept it.

        A node behind the endpoint may be out of sync, and reject a response only because it lacks
        the request. So the request is read in the same HTTP request, which few endpoints split over
        nodes, and before the estimate, because a block may arrive between the two.

        Raises:
            NoNetwork: The chain cannot be read.
            RequestNotFound: The node that rejects the response does not have the request.
        """
        transaction, read = self._transaction(task, result), record_call(self.ai, task.request_id)
        # Not `eth_call`, which may use more gas than a block has.
        estimate = "eth_estimateGas", [transaction.as_call(str(self.worker.address))]
        encoded, estimated = rpc.ask(self.ai.provider, [read.request, estimate], as_one=True)
        if not is_revert(estimated):
            return None
        (raw,) = reads.expect_all(reads.decode_all([read], [encoded], reverts.NO_CONTEXT))
        record = to_record(raw)
        if record is None:
            raise RequestNotFound(as_hex(task.request_id))
        return record.status, reverts.failure_error(estimated)

    def _replacement(
        self, response: PendingResponse, outcome: DtnError
    ) -> PendingResponse | DtnError:
        """The FAILURE to send in place of a rejected response, or the error if none is sent.

        Raises:
            DtnError: It is not certain that the contracts reject the response: send it again.
        """
        status = Status.PENDING
        # Before it is mined, a revert is reported by a single node, which may be out of sync.
        if outcome.revert and not outcome.revert.transaction:
            refusal = self._check_refusal(response.task, response.result)
            if refusal is not None:
                status, outcome = refusal
            elif response.refusals < POLICY.node_refusals:  # another node accepts it
                raise RequestNotFound(as_hex(response.task.request_id))
        if status is not Status.PENDING or response.result.status != Status.SUCCESS:
            return outcome
        failed = replace(response, result=failure(CANNOT_BE_SENT))
        self.ledger.save_result(response.task.request_id, failed.result)
        return failed

    def _abandon(self, task: Task, why: DtnError) -> None:
        self.ledger.remove([task.request_id])
        self.queue.abandon(task.request_id)
        self._claimed.discard(task.request_id)
        self.counters.refused += 1
        self.update_counters()
        self.emit(EventKind.REFUSED, request=as_hex(task.request_id), reason=why.message)

    def _still_valid(
        self, responses: Sequence[PendingResponse], to_retry: list[PendingResponse]
    ) -> list[PendingResponse]:
        """The responses whose requests are unchanged on the chain.

        A reorganisation can remove a request, include it again, or give its id to another
        question, which is then claimed anew. The chain is read for requests that are not known to
        be open and unchanged.
        """
        fresh: list[PendingResponse] = []
        unknown: list[PendingResponse] = []
        for response in responses:
            known = self.queue.open.get(response.task.request_id)
            is_known = known is not None and known.fingerprint == response.task.fingerprint
            (fresh if is_known else unknown).append(response)
        calls = [record_call(self.ai, response.task.request_id) for response in unknown]
        try:
            records = [to_record(raw) for raw in self.ai.read(*calls)]
        except DtnError as err:
            to_retry += [retried(response, err) for response in unknown]
            return fresh
        for response, record in zip(unknown, records, strict=True):
            request_id = response.task.request_id
            if record is None:
                to_retry.append(retried(response, RequestNotFound(as_hex(request_id))))
            elif replace(response.task, record=record).fingerprint == response.task.fingerprint:
                fresh.append(response)
            else:
                self.ledger.remove([request_id])
                self._claimed.discard(request_id)
        return fresh

    def _follow_signed(
        self, responses: Sequence[PendingResponse], on_result: OnResult
    ) -> tuple[list[PendingResponse], list[PendingResponse]]:
        """Wait for responses that were signed before.

        Returns:
            The responses to sign, and those to follow again later.
        """
        fresh = [response for response in responses if not response.signed]
        by_hash = {response.signed.hash: response for response in responses if response.signed}
        if not by_hash:
            return fresh, []
        signed = [response.signed for response in by_hash.values() if response.signed]
        try:
            outcomes = rebroadcast.follow(self.ai.provider, self.worker, signed, reverts.NO_CONTEXT)
        except (NoNetwork, TransactionPending) as err:
            return fresh, [retried(response, err) for response in by_hash.values()]
        for transaction_hash, outcome in outcomes.items():
            response = by_hash[transaction_hash]
            if outcome is None or isinstance(outcome, TransactionRefused):
                fresh.append(replace(response, signed=None))
            else:
                on_result(response, outcome)
        return fresh, []

    def _broadcast(
        self,
        responses: Sequence[PendingResponse],
        on_result: OnResult,
        to_retry: list[PendingResponse],
    ) -> None:
        """Sign and send responses; fewer at a time if the worker cannot pay the gas for all."""
        current = list(responses)

        def on_signed(signed: Mapping[int, Signed]) -> None:
            for index, transaction in signed.items():
                current[index] = replace(current[index], signed=transaction)
            self.ledger.save_signed(
                {current[index].task.request_id: signed[index] for index in signed}
            )

        if not responses:
            return
        try:
            transactions.send_each(
                self.ai.provider,
                self.worker,
                [self._transaction(response.task, response.result) for response in responses],
                reverts.NO_CONTEXT,
                lambda index, outcome: on_result(current[index], outcome),
                Outbox(on_signed),
            )
        except DtnError as err:  # nothing was sent
            half = len(responses) // 2 if isinstance(err, NoMoneyForGas) else 0
            to_retry += [retried(response, err) for response in responses[half:]]
            self._broadcast(responses[:half], on_result, to_retry)

    def _payment(self, receipt: Receipt) -> int:
        """The fees paid for a response (``SessionCharged``), in units of the fee token."""
        charged = SessionManager.session_charged
        return sum(
            charged.decode(log)["amount"]
            for log in receipt.logs
            # A callback can emit any event, but not from the session manager's address.
            if log.address == self.queue.session_manager and charged.matches(log)
        )

    def update_counters(self) -> Counters:
        """Update the counts of open requests, and return the counters."""
        counters, known = self.counters, self.queue.open.keys() | self._claimed
        counters.in_flight = len(self._claimed)
        counters.waiting = len(known) - counters.in_flight
        now = time.monotonic()
        counters.first_seen = {id: counters.first_seen.get(id, now) for id in known}
        return counters


def is_revert(result: Any) -> bool:
    """Whether a contract reverted the call, as opposed to an error of the endpoint."""
    return isinstance(result, Failure) and result.data is not None


def retried(response: PendingResponse, error: DtnError) -> PendingResponse:
    """Prepare a response for another attempt, with the error of the failed one."""
    is_refused = isinstance(error, RpcRefused | RequestNotFound)
    refusals = response.refusals + is_refused
    return replace(response, attempts=response.attempts + 1, refusals=refusals, error=error)
