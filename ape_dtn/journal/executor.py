"""Executes an operation that moves money exactly once.

Each attempt of an operation is an entry of the journal, which is in one of three states:

- **open**: the intent is recorded. What was signed for it may be mined at any time.
- **done**: the chain shows its effect, an event whose fields are the outcome.
- **cancelled**: it had no effect, and never will. Its idempotency key is free again.

The first attempt and every retry run the same steps, in a process that has claimed the entry:

1. Record the intent and what it may cost, within the budgets (``_record_intents``).
2. On a retry, reconcile: follow what was signed, rebroadcast it unchanged, look for the effect
   (:mod:`ape_dtn.journal.reconciliation`).
3. Plan and sign what is missing, record it, then broadcast it and wait (``_send``).
4. End the entry, or release the claim and leave it open (``_finish``).

Only the chain ends an entry. Whatever an endpoint answers, a signed transaction stays valid until
its nonce is used. An open entry is cancelled only where nothing was signed for it, or where all its
nonces are used in final blocks (``_has_ended``). Until then it counts in the budgets, and a retry
sends the same transactions, or others with the same nonces.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from ape_dtn.chain import rebroadcast, rpc, signers, transactions
from ape_dtn.chain.errors import PartlySent, TransactionPending, TransactionRefused
from ape_dtn.chain.networks import FIRST_BLOCK, data_folder, first_hash, is_local
from ape_dtn.chain.receipts import is_final, may_still_change
from ape_dtn.journal import reorgs
from ape_dtn.journal.errors import (
    JournalUnusable,
    KeyReused,
    NoEffect,
    NotCancellable,
    OverLimit,
    PaymentCancelled,
    RefusedBefore,
)
from ape_dtn.journal.operation import (
    Operation,
    OperationOf,
    Outcome,
    Steps,
    outcome_in,
    outcome_in_current,
    to_transaction,
)
from ape_dtn.journal.reconciliation import Run, may_be_handed_over, outbox_of, reconcile
from ape_dtn.journal.reorgs import is_recent, reopen_forgotten
from ape_dtn.journal.store import Entry, Intent, Journal, Spending, State
from ape_dtn.network.context import Network
from ape_dtn.types.errors import DtnError, InvalidOption, Refused
from ape_dtn.types.polling import POLICY
from ape_dtn.types.rpc import as_int
from ape_dtn.types.transactions import Receipt, Signed

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI


_T = TypeVar("_T")

_RESUME = (
    "Do not send it again: it is in the journal. Repeat the call with its idempotency_key, or "
    "resume it from the command line."
)
_NOT_FINAL = (
    "This is the error of an earlier call, and nothing was sent now. The failed transaction is not "
    "final yet: repeat the call when it is, to send a new one."
)


@dataclass(frozen=True)
class OperationResult:
    """An operation that was executed, now or by an earlier call with the same key.

    Attributes:
        outcome: The fields of its event as text, with ``transaction`` and ``block``.
        receipts: The transactions that this call sent or followed; none for a known result.
        details: How it was executed, such as the method of a start.
    """

    outcome: Mapping[str, Any]
    receipts: tuple[Receipt, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def receipt(self) -> Receipt | None:
        """The receipt of the transaction that had the effect; None for a known result."""
        hash_ = self.outcome["transaction"]
        return next((found for found in self.receipts if found.transaction == hash_), None)


def journal_of(ai: Network, account: AccountAPI | str) -> Journal:
    """The journal of an account on the connected network.

    Chains are distinguished by the hash of their first block. The journal of Ape's in-process chain
    is kept in memory, as the chain is.
    """
    address = account if isinstance(account, str) else str(account.address)
    path = data_folder(ai.provider) / "journal.sqlite3" if ai.provider.http_uri else None
    chain, head = _chain_and_head(ai.provider)
    return Journal(path, chain, ai.router, address, head)


def validate_key(key: str) -> str:
    """Returns an idempotency key unchanged.

    Raises:
        InvalidOption: It is empty, for example from a variable that is not set.
    """
    if not key.strip():
        raise InvalidOption("idempotency_key", "it is empty")
    return key


def check_key_unused(ai: Network, account: AccountAPI, key: str) -> None:
    """Checks that no open or done operation has this key.

    Raises:
        KeyReused: One has.
    """
    found = journal_of(ai, account).by_key(key)
    if found is not None and found.state is not State.CANCELLED:
        raise KeyReused(key, found.kind)


def find_result(
    ai: Network,
    account: AccountAPI,
    operation: Operation,
    payload: Mapping[str, Any],
    key: str | None,
) -> OperationResult | None:
    """The result of the operation with this key; an open operation is finished first.

    Returns:
        The result; None if no operation has the key, or if it was cancelled.

    Raises:
        KeyReused: The key belongs to an operation with another payload.
    """
    if key is None:
        return None
    return _find_result(Run(ai, account, journal_of(ai, account), operation), payload, key)


def execute(
    ai: Network,
    account: AccountAPI,
    operation: Operation,
    intent: Intent,
    steps: Steps | None = None,
    journal: Journal | None = None,
) -> OperationResult:
    """Executes an operation, unless it was executed under its key before.

    A plan and a journal are passed if the caller has them already.

    Raises:
        KeyReused: The key belongs to another operation.
        OverLimit: It could exceed a budget.
        DtnError: See :func:`ape_dtn.chain.transactions.send_together`.
    """
    run = Run(ai, account, journal or journal_of(ai, account), operation)
    while True:
        if result := _find_result(run, intent.payload, intent.key):
            return result
        if entries := _record_intents(run, [intent]):
            return _finish(run, entries[0], steps=steps)
        steps = None  # another process may have executed some of it


def check_spending(
    ai: Network, account: AccountAPI, operation: Operation, spending: Spending
) -> None:
    """Checks the budgets for a cost in addition to all recorded ones. Nothing is recorded.

    Raises:
        OverLimit: A budget could be exceeded.
    """
    run = Run(ai, account, journal_of(ai, account), operation)
    _within_limits(run, lambda: run.journal.check_limits(spending))


def execute_each(
    ai: Network,
    account: AccountAPI,
    operation: Operation,
    intents: Sequence[Intent],
    on_result: Callable[[int, OperationResult | DtnError], None],
) -> None:
    """Executes independent operations of one transaction each, many at a time.

    ``on_result`` is called once for each, with its position and its result or error.

    Raises:
        DtnError: Nothing could be sent.
    """
    run = Run(ai, account, journal_of(ai, account), operation)
    new = list(range(len(intents)))
    recorded: list[Entry] | None = None
    while recorded is None:
        for place in list(new):
            try:
                result = _find_result(run, intents[place].payload, intents[place].key)
            except DtnError as err:
                on_result(place, err)
            else:
                if result is None:
                    continue
                on_result(place, result)
            new.remove(place)
        if not new:
            return
        recorded = _record_intents(run, [intents[place] for place in new])
    entries = dict(enumerate(recorded))

    def on_outcome(place: int, outcome: Receipt | DtnError) -> None:
        on_result(new[place], _end(run, entries.pop(place), outcome))

    try:
        transactions.send_each(
            ai.provider,
            account,
            [to_transaction(entry.details["transaction"]) for entry in entries.values()],
            operation.error_context(entries[0]),
            on_outcome,
            outbox_of(run, dict(entries)),
        )
    finally:
        for entry in entries.values():
            _release(run.journal, entry)


def resume(
    ai: Network, account: AccountAPI, entries: Sequence[Entry], operation_of: OperationOf
) -> list[tuple[Entry, OperationResult | DtnError]]:
    """Finishes open entries, each on its own.

    Returns:
        The entries that no other process has claimed, each with its result or error.
    """
    journal = journal_of(ai, account)
    results: list[tuple[Entry, OperationResult | DtnError]] = []
    for entry in entries:
        try:
            operation = operation_of(entry)
        except DtnError as err:
            results.append((entry, err))
            continue
        claimed = journal.claim(entry)
        if claimed is None:
            continue
        try:
            run = Run(ai, account, journal, operation)
            results.append((claimed, _finish(run, claimed, is_retry=True, is_requested=False)))
        except DtnError as err:
            results.append((claimed, err))
    return results


def cancel(
    ai: Network, account: AccountAPI, entry: Entry, operation_of: OperationOf
) -> OperationResult | PaymentCancelled:
    """Replaces the unmined transactions of an entry by empty ones with the same nonces.

    Returns:
        That it is cancelled; or its result, where it was mined all the same.

    Raises:
        NotCancellable: It has ended, another process has claimed it, or a wallet sent it.
        TransactionPending: The empty transactions are not mined in time, or not final. The entry
            stays open until they are.
    """
    journal, operation = journal_of(ai, account), operation_of(entry)
    claimed = journal.claim(entry)
    if claimed is None:
        now = journal.entry(entry.id)
        if now.state is State.OPEN:
            raise NotCancellable(entry.kind, "another process is executing it", "in_progress")
        raise NotCancellable(entry.kind, f"it is {now.state.value} already", "ended")
    run = Run(ai, account, journal, operation)
    try:
        if not claimed.signed and claimed.details.get("handed_over") is None:
            cancelled = PaymentCancelled(entry.kind, [])
            _end_cancelled(journal, claimed, cancelled)
            return cancelled
        is_ours = all(signed.raw for signed in claimed.signed) and claimed.details["is_sent_here"]
        if not is_ours:
            reason = f"the wallet of {entry.account} sent it"
            raise NotCancellable(entry.kind, reason, "sent_by_wallet")
        outbox = outbox_of(run, {0: claimed})

        def mark_cancelled() -> Entry:
            return journal.update_details(journal.entry(entry.id), {"is_cancelled": True})

        def record(signed: Mapping[int, Signed]) -> None:
            mark_cancelled()  # before signing, so that a retry signs no new payment
            outbox.record(signed)

        rebroadcast.cancel(ai.provider, account, claimed.signed, replace(outbox, record=record))
        claimed = mark_cancelled()  # even if nothing had to be signed
    except BaseException:
        _release(journal, claimed)
        raise
    try:
        return _finish(run, claimed, is_retry=True)
    except PaymentCancelled as err:
        return err


def unfinished(ai: Network, account: AccountAPI | str) -> list[Entry]:
    """The open entries of an account that no process has claimed.

    Done entries whose transactions a reorganisation removed are reopened first.
    """
    journal = journal_of(ai, account)
    recent = [entry for entry in journal.entries(State.DONE) if is_recent(journal, entry)]
    reopen_forgotten(ai, journal, recent)
    return [entry for entry in journal.entries(State.OPEN) if not journal.is_claimed(entry)]


def _find_result(run: Run, payload: Mapping[str, Any], key: str | None) -> OperationResult | None:
    if key is None:
        return None
    found = run.journal.find(validate_key(key), run.operation.kind, payload)
    return _retry(run, found) if found else None


def _retry(run: Run, entry: Entry) -> OperationResult | None:
    """The result of an entry; an open entry is finished first.

    None if it is cancelled: the operation may be executed under a new entry.
    """
    from ape.logging import logger

    journal = run.journal
    if journal.is_claimed(entry):
        logger.info(f"Waiting for another process that executes '{entry.key}'")
    while journal.is_claimed(entry):
        time.sleep(POLICY.process_poll)
        entry = journal.entry(entry.id)
    if entry.state is State.DONE:
        if not reopen_forgotten(run.ai, journal, [entry]):
            assert entry.outcome is not None
            return OperationResult(entry.outcome, details=entry.details)
        entry = journal.entry(entry.id)
    if entry.state is State.CANCELLED:
        return None
    claimed = journal.claim(entry)
    if claimed is None:  # another process was faster
        return _retry(run, journal.entry(entry.id))
    try:
        return _finish(run, claimed, is_retry=True)
    except PaymentCancelled:
        return None
    except Refused as err:
        now = journal.entry(claimed.id)
        if now.state is State.CANCELLED and now.details.get("refused") == err.message:
            return None  # an earlier call's error, now final: send anew
        raise


def _record_intents(run: Run, intents: Sequence[Intent]) -> list[Entry] | None:
    """Records intents, with the block from which their effects are looked for.

    None if another process has just recorded one of their keys.
    """
    journal = run.journal
    details = {"from_block": journal.head, "is_sent_here": signers.sends_here(run.account)}
    complete = [replace(intent, details={**intent.details, **details}) for intent in intents]
    with suppress(KeyReused):
        return _within_limits(run, lambda: journal.record_intents(complete))
    return None


def _within_limits(run: Run, attempt: Callable[[], _T]) -> _T:
    """Repeats an attempt over a budget, if the chain shows that earlier requests cost less."""
    try:
        return attempt()
    except OverLimit:
        if not run.operation.reconcile(run.ai, run.journal):
            raise
        return attempt()


def _finish(
    run: Run,
    entry: Entry,
    is_retry: bool = False,
    steps: Steps | None = None,
    is_requested: bool = True,
) -> OperationResult:
    """Executes what is missing of a claimed entry, then ends or releases it.

    A refused operation is sent again only if the user requests it: resuming must not, since the
    user may have repeated it without a key meanwhile.
    """
    receipts: list[Receipt] = []
    refused = entry.details.get("refused")
    try:
        try:
            outcome = reconcile(run, entry, receipts) if is_retry else None
            if outcome is None and refused:
                if not is_requested:
                    raise RefusedBefore(entry.kind, refused)
                entry = run.journal.update_details(entry, {"refused": None})
            if outcome is None:
                outcome = _send(run, entry, receipts, steps)
        except DtnError as err:
            _mark_resumable(err)
            explained = run.operation.explain(run.ai, entry, err, receipts)
            if explained is err:
                raise
            raise explained from err
    except DtnError as err:
        if _has_ended(run, entry, err):
            _end_cancelled(run.journal, entry, err)
        elif _is_refusal(run, entry, err):
            if err.message == entry.details.get("refused"):
                err.hint = f"{err.hint} {_NOT_FINAL}" if err.hint else _NOT_FINAL
            run.journal.update_details(run.journal.entry(entry.id), {"refused": err.message})
        raise
    else:
        _end_done(run.journal, entry, outcome)
        return OperationResult(outcome, tuple(receipts), entry.details)
    finally:
        _release(run.journal, entry)


def _send(run: Run, entry: Entry, receipts: list[Receipt], steps: Steps | None) -> Outcome:
    ai, account, operation = run.ai, run.account, run.operation
    logs_before = [log for receipt in receipts for log in receipt.logs]
    context = operation.error_context(entry)
    if steps is None or steps.is_stale:
        steps = operation.plan(ai, account, entry, logs_before)
    if steps.details:
        entry = run.journal.update_details(entry, steps.details)
    if steps.token:
        context = replace(context, token=steps.token)
    outbox = outbox_of(run, defaultdict(lambda: entry, {0: entry}))
    while steps.preparations:
        preparations = list(steps.preparations.values())
        try:
            receipts += transactions.send_together(
                ai.provider, account, preparations, context, outbox
            )
            break
        except Refused:
            # Another account may have just created a contract that all accounts share.
            new_steps = operation.plan(ai, account, entry, logs_before)
            if len(new_steps.preparations) >= len(preparations):
                raise
            steps = new_steps
    payment = steps.transactions(ai, account)
    receipts += transactions.send_together(ai.provider, account, payment, context, outbox)
    logs = [log for receipt in receipts for log in receipt.logs]
    outcome = outcome_in(operation.effect(entry), logs)
    outcome = outcome or outcome_in_current(ai, operation, entry, logs)
    if outcome is None:
        raise NoEffect(receipts[-1].transaction)
    return outcome


def _end(run: Run, entry: Entry, outcome: Receipt | DtnError) -> OperationResult | DtnError:
    if isinstance(outcome, Receipt):
        fields = outcome_in(run.operation.effect(entry), outcome.logs)
        if fields is not None:
            _end_done(run.journal, entry, fields)
            return OperationResult(fields, (outcome,))
        outcome = NoEffect(outcome.transaction)
    _mark_resumable(outcome)
    if _has_ended(run, entry, outcome):
        _end_cancelled(run.journal, entry, outcome)
    else:
        _release(run.journal, entry)
    return outcome


def _has_ended(run: Run, entry: Entry, error: DtnError) -> bool:
    """Whether an entry that failed can have no effect any more, by the chain alone."""
    if isinstance(error, PaymentCancelled):
        return True
    now = run.journal.entry(entry.id)  # includes what was signed in the meantime
    if not isinstance(error, Refused) or may_be_handed_over(now):
        return False
    evidence = reorgs.evidence(run.ai, run.journal)
    if ended_by := run.operation.ended_by(error):  # later transactions need not be sent
        return is_final(run.ai.provider, ended_by, evidence)
    return not now.signed or not may_still_change(run.ai.provider, now.signed, evidence)


def _is_refusal(run: Run, entry: Entry, error: DtnError) -> bool:
    """Whether an error told the user that the operation was refused and had no effect.

    A bare deposit that waits for its start is an effect.
    """
    if isinstance(error, RefusedBefore) or run.operation.leaves_deposit(entry):
        return False
    return isinstance(error, Refused)


def _mark_resumable(error: DtnError) -> None:
    """Marks an error of transactions that the journal has, and says how to resume them."""
    if isinstance(error, TransactionPending | PartlySent) or (
        isinstance(error, TransactionRefused) and error.transaction is not None
    ):
        error.is_resumable, error.hint = True, _RESUME


def _end_cancelled(journal: Journal, entry: Entry, error: DtnError) -> None:
    journal.end(entry, State.CANCELLED, {"error": error.code, "message": error.message})


def _end_done(journal: Journal, entry: Entry, outcome: Outcome) -> None:
    """Records the outcome. If the journal fails now, the transaction has succeeded all the same."""
    from ape.logging import logger

    try:
        journal.end(entry, State.DONE, outcome)
    except JournalUnusable as err:
        logger.warning(
            f"Transaction {outcome['transaction']} succeeded, but is not recorded: {err}"
        )


def _release(journal: Journal, entry: Entry) -> None:
    """Releases the claim on an open entry, which is cancelled where nothing was signed for it."""
    try:
        now = journal.entry(entry.id)
    except BaseException as err:
        journal.drop_claim(entry)
        if isinstance(err, JournalUnusable):  # the caller's own error matters more
            return
        raise
    if now.state is not State.OPEN:
        return
    if now.signed or now.details.get("handed_over") is not None:
        journal.release(now)
    else:
        reason = {"error": "not_signed", "message": "The call ended before anything was signed."}
        journal.end(now, State.CANCELLED, reason)


def _chain_and_head(provider: ProviderAPI) -> tuple[str, int]:
    """The name of the chain in the journal, and its latest block, in one HTTP request."""
    first, head = rpc.ask(provider, [FIRST_BLOCK, ("eth_blockNumber", [])])
    # A fork has the chain id and first block of its original: keep their entries apart, since
    # transactions signed on the fork are valid on the original.
    own = "own " if is_local(provider) else ""
    return f"{own}{provider.chain_id}:{first_hash(first)}", as_int(rpc.expect(head))
