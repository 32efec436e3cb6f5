"""Executes an operation that moves money exactly once.

It records the intent, broadcasts, and reconciles with the chain before retrying. The first
attempt and every later one run the same code. What was signed is followed to its end, and sent
again as it is; only what the chain shows can never happen any more is signed anew.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from ape_dtn.chain import rebroadcast, rpc, signers, transactions
from ape_dtn.chain.broadcast import Outbox, Outstanding
from ape_dtn.chain.errors import RpcRefused, TransactionRefused
from ape_dtn.chain.networks import FIRST_BLOCK, data_folder, first_hash, is_local
from ape_dtn.chain.receipts import is_final, may_still_change, remembers, succeeded
from ape_dtn.journal import reorgs, wallet
from ape_dtn.journal.errors import (
    JournalUnusable,
    KeyReused,
    NoEffect,
    NotCancellable,
    OverLimit,
    PaymentCancelled,
    RefusedBefore,
    WalletPending,
)
from ape_dtn.journal.operation import (
    Operation,
    OperationOf,
    Steps,
    happened,
    happened_elsewhere,
    happened_now,
    to_transaction,
)
from ape_dtn.journal.reorgs import REORGANISED_BLOCKS, is_recent, reopen_forgotten
from ape_dtn.journal.store import Entry, Intent, Journal, Spending, State
from ape_dtn.network.context import Network
from ape_dtn.types.errors import DtnError, InvalidOption, Refused
from ape_dtn.types.rpc import as_int
from ape_dtn.types.transactions import Receipt
from ape_dtn.types.waiting import POLICY

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI


_T = TypeVar("_T")


# In how many blocks it is looked whether the endpoint remembers any transactions of that time.
BLOCKS_LOOKED_AT = 16


@dataclass(frozen=True)
class OperationResult:
    """Something that happened.

    Attributes:
        outcome: What came of it, as text; see :func:`ape_dtn.journal.operation.happened`.
        receipts: The transactions that were sent for it; none where it was known before.
        details: How it was done.
    """

    outcome: Mapping[str, Any]
    receipts: tuple[Receipt, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def receipt(self) -> Receipt | None:
        """The transaction that it happened in, where that was not known before."""
        same = (each for each in self.receipts if each.transaction == self.outcome["transaction"])
        return next(same, None)


@dataclass(frozen=True)
class _Run:
    """One operation, and what it is executed with.

    Attributes:
        ai: The network.
        account: Who signs.
        journal: The account's journal.
        operation: What is executed.
    """

    ai: Network
    account: AccountAPI
    journal: Journal
    operation: Operation


def journal_of(ai: Network, account: AccountAPI | str) -> Journal:
    """The journal of an account on the connected network.

    Chains are told apart by their first block. One within this process is gone with it, and so is
    its journal.
    """
    address = account if isinstance(account, str) else str(account.address)
    path = data_folder(ai.provider) / "journal.sqlite3"
    lasting = path if ai.provider.http_uri else None
    chain, head = _chain_and_head(ai.provider)
    return Journal(lasting, chain, ai.router, address, head)


def checked(key: str) -> str:
    """An idempotency key that is one.

    Raises:
        InvalidOption: It is empty, as where a variable was not set that it should have come from.
    """
    if not key.strip():
        raise InvalidOption("idempotency_key", "it is empty")
    return key


def check_free(ai: Network, account: AccountAPI, key: str) -> None:
    """Checks that a key stands for nothing yet.

    Raises:
        KeyReused: It stands for something.
    """
    found = journal_of(ai, account).of_key(key)
    if found is not None and found.state is not State.CANCELLED:
        raise KeyReused(key, found.kind)


def known(
    ai: Network,
    account: AccountAPI,
    operation: Operation,
    meant: Mapping[str, Any],
    key: str | None,
) -> OperationResult | None:
    """What came of something under its key before; None where it has yet to be done.

    What was begun and not finished is finished first.

    Raises:
        KeyReused: The key was given to something else.
    """
    if key is None:
        return None
    return _known(_Run(ai, account, journal_of(ai, account), operation), meant, key)


def execute(
    ai: Network,
    account: AccountAPI,
    operation: Operation,
    meant: Intent,
    planned: Steps | None = None,
    journal: Journal | None = None,
) -> OperationResult:
    """Does something, unless it was done under its key before.

    Args:
        ai: The network.
        account: Who signs.
        operation: What it is.
        meant: What is meant.
        planned: How it is done, where that was planned already.
        journal: The account's, where it is open already.

    Raises:
        KeyReused: Its key was given to something else.
        OverLimit: It could cost more than a limit allows.
        DtnError: See :func:`ape_dtn.chain.transactions.send_together`.
    """
    run = _Run(ai, account, journal or journal_of(ai, account), operation)
    while True:
        if done := _known(run, meant.meant, meant.key):
            return done
        if begun := _record_intents(run, [meant]):
            return _finish(run, begun[0], planned=planned)
        planned = None  # another process may have done some of it


def check_spending(
    ai: Network, account: AccountAPI, operation: Operation, spending: Spending
) -> None:
    """Checks what something may cost against all that was meant before; nothing is written down.

    Raises:
        OverLimit: Together they could cost more than a limit.
    """
    run = _Run(ai, account, journal_of(ai, account), operation)
    _within_limits(run, lambda: run.journal.check(spending))


def execute_each(
    ai: Network,
    account: AccountAPI,
    operation: Operation,
    many: Sequence[Intent],
    on_result: Callable[[int, OperationResult | DtnError], None],
) -> None:
    """Does many things that do not depend on each other, each once.

    Args:
        ai: The network.
        account: Who signs.
        operation: What they are.
        many: What is meant, each one transaction.
        on_result: Called once for each, with its place and what came of it.

    Raises:
        DtnError: Nothing could be sent at all.
    """
    run = _Run(ai, account, journal_of(ai, account), operation)
    anew = list(range(len(many)))
    begun: list[Entry] | None = None
    while begun is None:
        for place, meant in [(place, many[place]) for place in anew]:
            try:
                done = _known(run, meant.meant, meant.key)
            except DtnError as err:
                on_result(place, err)
            else:
                if done is None:
                    continue
                on_result(place, done)
            anew.remove(place)
        if not anew:
            return
        begun = _record_intents(run, [many[place] for place in anew])
    entries = dict(enumerate(begun))

    def ended(place: int, outcome: Receipt | DtnError) -> None:
        on_result(anew[place], _end(run, entries.pop(place), outcome))

    try:
        transactions.send_each(
            ai.provider,
            account,
            [to_transaction(each.details["transaction"]) for each in entries.values()],
            operation.about(entries[0]),
            ended,
            _outbox(run, dict(entries)),
        )
    finally:
        for entry in entries.values():
            _leave(run.journal, entry)


def resume(
    ai: Network, account: AccountAPI, entries: Sequence[Entry], operation_of: OperationOf
) -> list[tuple[Entry, OperationResult | DtnError]]:
    """Finishes what was begun, each thing by itself.

    Returns:
        Each that no other process is at, with what came of it.
    """
    journal = journal_of(ai, account)
    found: list[tuple[Entry, OperationResult | DtnError]] = []
    for entry in entries:
        taken = journal.claim(entry)
        if taken is None:
            continue
        try:
            run = _Run(ai, account, journal, operation_of(taken))
            found.append((taken, _finish(run, taken, again=True, is_asked_for=False)))
        except DtnError as err:
            found.append((taken, err))
    return found


def cancel(
    ai: Network, account: AccountAPI, entry: Entry, operation_of: OperationOf
) -> OperationResult | PaymentCancelled:
    """Replaces what was signed for an entry, and is not mined, by empty transactions.

    Returns:
        What came of the entry: that it is cancelled, or, where what was signed before was mined all
        the same, that it is done.

    Raises:
        NotCancellable: It has ended, another process is at it, or the account sent it itself.
        TransactionPending: The empty transactions are not mined in time, or not final. The entry
            stays open until they are.
    """
    journal = journal_of(ai, account)
    taken = journal.claim(entry)
    if taken is None:
        now = journal.entry(entry.id)
        is_open = now.state is State.OPEN
        reason = "another process is at it" if is_open else f"it is {now.state.value} already"
        hint = "Stop that first." if is_open else "`ape dtn journal --all` shows what came of it."
        raise NotCancellable(entry.kind, reason, hint)
    run = _Run(ai, account, journal, operation_of(taken))
    try:
        if not taken.signed and taken.details.get("handed_over") is None:
            _end_cancelled(journal, taken, PaymentCancelled(entry.kind, []))
            return PaymentCancelled(entry.kind, [])
        if not all(each.raw for each in taken.signed) or not taken.details["is_sent_here"]:
            hint = "Cancel it in the account's wallet; `ape dtn resume` then sees that it is gone."
            raise NotCancellable(entry.kind, f"{entry.account} sent it in its own way", hint)
        taken = journal.amend(taken, {"is_cancelled": True})
        rebroadcast.cancel(ai.provider, account, taken.signed, _outbox(run, {0: taken}))
        taken = journal.entry(taken.id)
    except BaseException:
        _leave(journal, taken)
        raise
    try:
        return _finish(run, taken, again=True)
    except PaymentCancelled as err:
        return err


def unfinished(ai: Network, account: AccountAPI | str) -> list[Entry]:
    """What was begun, is not known to have ended, and nobody is at.

    What was done and the chain has forgotten since, by a reorganisation, is taken for begun.
    """
    journal = journal_of(ai, account)
    latest = [each for each in journal.entries(State.DONE) if is_recent(journal, each)]
    reopen_forgotten(ai, journal, latest)
    return [each for each in journal.entries(State.OPEN) if not journal.is_claimed(each)]


def _known(run: _Run, meant: Mapping[str, Any], key: str | None) -> OperationResult | None:
    if key is None:
        return None
    found = run.journal.find(checked(key), run.operation.kind, meant)
    return _again(run, found) if found else None


def _again(run: _Run, entry: Entry) -> OperationResult | None:
    """What came of something that was begun before, by this process or by another.

    None where nothing did, and it is to be begun anew.
    """
    from ape.logging import logger

    journal = run.journal
    if journal.is_claimed(entry):
        logger.info(f"Waiting for another process that is at '{entry.key}'")
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
    taken = journal.claim(entry)
    if taken is None:  # somebody else was quicker
        return _again(run, journal.entry(entry.id))
    try:
        return _finish(run, taken, again=True)
    except PaymentCancelled:
        return None


def _record_intents(run: _Run, many: Sequence[Intent]) -> list[Entry] | None:
    """Writes down what is meant, with what its effect on the chain is found by.

    None where another process was quicker with a key.
    """
    journal = run.journal
    found_by = {"from_block": journal.head, "is_sent_here": signers.sends_here(run.account)}
    full = [replace(each, details={**each.details, **found_by}) for each in many]
    with suppress(KeyReused):
        return _within_limits(run, lambda: journal.record_intents(full))
    return None


def _within_limits(run: _Run, attempt: Callable[[], _T]) -> _T:
    """Attempts it again where what was answered has cost less than it could have."""
    try:
        return attempt()
    except OverLimit:
        if not run.operation.reconcile(run.ai, run.journal):
            raise
        return attempt()


def _finish(
    run: _Run,
    entry: Entry,
    again: bool = False,
    planned: Steps | None = None,
    is_asked_for: bool = True,
) -> OperationResult:
    """Brings something to its end, whatever has been done of it already.

    What was told to be refused is not begun again where nobody asks for it: it may have been asked
    for once more meanwhile, without a key.
    """
    receipts: list[Receipt] = []
    refused = entry.details.get("refused")
    try:
        try:
            outcome = _found(run, entry, receipts) if again else None
            if outcome is None and refused:
                if not is_asked_for:
                    raise RefusedBefore(entry.kind, refused)
                entry = run.journal.amend(entry, {"refused": None})
            if outcome is None:
                outcome = _send(run, entry, receipts, planned)
        except DtnError as err:
            explained = run.operation.explain(run.ai, entry, err, receipts)
            if explained is err:
                raise
            raise explained from err
    except DtnError as err:
        if _has_ended(run, entry, err):
            _end_cancelled(run.journal, entry, err)
        elif _is_refused(run, entry, err):
            run.journal.amend(run.journal.entry(entry.id), {"refused": err.message})
        raise
    else:
        _note_done(run.journal, entry, outcome)
        return OperationResult(outcome, tuple(receipts), entry.details)
    finally:
        _leave(run.journal, entry)


def _has_ended(run: _Run, entry: Entry, failed: DtnError) -> bool:
    """Whether nothing can come of an entry any more, after it has failed.

    No answer of an endpoint says so: what was signed stays valid until its nonces are used, in a
    block that is final.
    """
    if isinstance(failed, PaymentCancelled):
        return True  # nothing is left to be waited for
    now = run.journal.entry(entry.id)  # with what was signed meanwhile
    if not isinstance(failed, Refused) or _may_be_handed_over(now):
        return False
    evidence = reorgs.evidence(run.ai, run.journal)
    if ended_by := run.operation.ended_by(failed):  # what was to come after it can stay unsent
        return is_final(run.ai.provider, ended_by, evidence)
    return not now.signed or not may_still_change(run.ai.provider, now.signed, evidence)


def _is_refused(run: _Run, entry: Entry, failed: DtnError) -> bool:
    """Whether whoever asked for an entry was told that it is refused, and nothing came of it.

    A bare deposit that waits for its start is something.
    """
    if isinstance(failed, RefusedBefore) or run.operation.leaves_deposit(entry):
        return False
    return isinstance(failed, Refused)


def _may_be_handed_over(entry: Entry) -> bool:
    """Whether the account itself may have sent something for an entry that is not known here."""
    nonce = entry.details.get("handed_over")
    return nonce is not None and nonce not in [each.nonce for each in entry.signed]


def _end_cancelled(journal: Journal, entry: Entry, failed: DtnError) -> None:
    journal.end(entry, State.CANCELLED, {"error": failed.code, "message": failed.message})


def _outbox(run: _Run, entries: Mapping[int, Entry]) -> Outbox:
    """What the journal keeps of the transactions of entries, by their places."""
    journal, own = run.journal, {each.id for each in entries.values()}

    def hand_over(place: int, nonce: int | None) -> None:
        now = journal.entry(entries[place].id)
        before = now.details.get("handed_over", nonce)
        if nonce is not None and _may_be_handed_over(now) and before != nonce:
            raise WalletPending(now.account, before, f"its next nonce is {nonce} meanwhile")
        journal.amend(now, {"handed_over": nonce})

    def outstanding(address: str) -> list[Outstanding]:
        if reorgs.may_be_set_back(run.ai):  # what tests have left open is gone
            return []
        found = journal.outstanding(address, own)
        return [
            Outstanding(one, run.operation.of(entry).can_be_resent(entry, one))
            for entry, one in found
            if address in (entry.account, one.sender)
        ]

    return Outbox(
        lambda signed: journal.signed(entries, signed),
        hand_over,
        outstanding,
        reorgs.evidence(run.ai, journal),
        lambda sender: 0 if reorgs.may_be_set_back(run.ai) else journal.used_by(sender),
    )


def _found(run: _Run, entry: Entry, receipts: list[Receipt]) -> dict[str, Any] | None:
    """What came of something that may have been sent; adds the receipts of what was.

    None where nothing did, and it is to be sent anew.

    Raises:
        PaymentCancelled: Empty transactions were mined in its place.
        DtnError: It was mined, and failed; or it is not known what became of it.
    """
    ai, journal, operation = run.ai, run.journal, run.operation
    about = operation.about(entry)
    if operation.is_split:
        # Before it is sent again: it would take what somebody else has deposited meanwhile.
        landed = succeeded(ai.provider, entry.signed, about)
        operation.claimed(ai, entry, [log for each in landed for log in each.logs])
    # Before its effect is looked for: it may come between the two.
    handed_over = _may_be_handed_over(entry)
    became = wallet.became_of(ai, entry, reorgs.evidence(ai, journal)) if handed_over else None
    followed = (
        rebroadcast.follow(ai.provider, run.account, entry.signed, about, _outbox(run, {0: entry}))
        if entry.signed
        else {}
    )
    receipts += [each for each in followed.values() if isinstance(each, Receipt)]
    logs = [log for each in receipts for log in each.logs]
    outcome = happened(operation.effect(entry), logs)
    if outcome is None and logs:
        outcome = happened_now(ai, operation, entry, logs)
    outcome = outcome or operation.claimed(ai, entry, logs)
    if outcome is not None:
        return outcome
    others = [each for each in journal.entries(*State) if each.id != entry.id]
    theirs = {signed.hash for each in others for signed in each.signed} | {
        str(each.outcome["transaction"])
        for each in others
        if each.state is State.DONE and each.outcome
    }
    if outcome := happened_elsewhere(ai, operation, entry, theirs):
        return outcome
    if isinstance(became, WalletPending):
        raise became
    if became is wallet.Nonce.USED:  # and not by what was looked for
        journal.amend(entry, {"handed_over": None})
    if None in followed.values():
        _check_remembered(ai, journal, entry)
    failures = [each for each in followed.values() if isinstance(each, DtnError)]
    refused = [each for each in failures if isinstance(each, TransactionRefused)]
    if refused:
        raise refused[0]
    is_half_done = operation.is_half_done(entry, logs)
    if entry.details.get("is_cancelled") and not (failures or is_half_done):
        empty = [each.hash for each in entry.signed if each.is_empty]
        raise PaymentCancelled(entry.kind, empty)
    if operation.is_split and None in followed.values():
        return None  # without it, what was to come after it could only fail
    if failures:
        failures[0].before = tuple(receipts)
        raise failures[0]
    return None


def _check_remembered(ai: Network, journal: Journal, entry: Entry) -> None:
    """Checks that an endpoint that does not have a transaction would have it.

    Raises:
        RpcRefused: It has forgotten others of that time, too.
    """
    first = entry.details["from_block"]
    if first > journal.head - REORGANISED_BLOCKS:
        return
    if not remembers(ai.provider, range(first, first + BLOCKS_LOOKED_AT)):
        what = f"it has no transactions of block {first} and after any more"
        refused = RpcRefused("eth_getTransactionReceipt", what)
        refused.hint = "Name an endpoint that has them all, an archive node: --network."
        raise refused


def _send(
    run: _Run, entry: Entry, receipts: list[Receipt], planned: Steps | None
) -> dict[str, Any]:
    """Sends what is missing, and waits for it; adds the receipts."""
    ai, account, operation = run.ai, run.account, run.operation
    so_far = [log for each in receipts for log in each.logs]
    about = operation.about(entry)
    if planned is None or planned.is_stale:
        planned = operation.plan(ai, account, entry, so_far)
    if planned.details:
        entry = run.journal.amend(entry, planned.details)
    if planned.token:
        about = replace(about, token=planned.token)
    outbox = _outbox(run, defaultdict(lambda: entry, {0: entry}))
    while planned.preparations:
        before = list(planned.preparations.values())
        try:
            receipts += transactions.send_together(ai.provider, account, before, about, outbox)
            break
        except Refused:
            # Somebody else may have created meanwhile what is there for everybody.
            anew = operation.plan(ai, account, entry, so_far)
            if len(anew.preparations) >= len(before):
                raise
            planned = anew
    opening = planned.opening(ai, account)
    receipts += transactions.send_together(ai.provider, account, opening, about, outbox)
    logs = [log for each in receipts for log in each.logs]
    outcome = happened(operation.effect(entry), logs)
    outcome = outcome or happened_now(ai, operation, entry, logs)
    if outcome is None:
        raise NoEffect(receipts[-1].transaction)
    return outcome


def _end(run: _Run, entry: Entry, outcome: Receipt | DtnError) -> OperationResult | DtnError:
    """Writes down what came of one of many."""
    if isinstance(outcome, Receipt):
        kept = happened(run.operation.effect(entry), outcome.logs)
        if kept is not None:
            _note_done(run.journal, entry, kept)
            return OperationResult(kept, (outcome,))
        outcome = NoEffect(outcome.transaction)
    if _has_ended(run, entry, outcome):
        _end_cancelled(run.journal, entry, outcome)
    else:
        _leave(run.journal, entry)
    return outcome


def _note_done(journal: Journal, entry: Entry, outcome: Mapping[str, Any]) -> None:
    """Writes down what came of it. Where that fails, it has happened all the same."""
    from ape.logging import logger

    try:
        journal.end(entry, State.DONE, outcome)
    except JournalUnusable as err:
        logger.warning(f"What came of transaction {outcome['transaction']} is not noted: {err}")


def _leave(journal: Journal, entry: Entry) -> None:
    """Leaves what has not ended to whoever comes next. Where nothing was signed, it has ended."""
    try:
        now = journal.entry(entry.id)
    except BaseException as err:
        journal.drop_claim(entry)
        if isinstance(err, JournalUnusable):  # what it was left for matters more
            return
        raise
    if now.state is not State.OPEN:
        return
    if now.signed or now.details.get("handed_over") is not None:
        journal.release(now)
    else:
        why = {"error": "not_signed", "message": "It ended before anything was signed."}
        journal.end(now, State.CANCELLED, why)


def _chain_and_head(provider: ProviderAPI) -> tuple[str, int]:
    """What tells the chain from others, and its latest block, in one HTTP request."""
    first, head = rpc.ask(provider, [FIRST_BLOCK, ("eth_blockNumber", [])])
    # A fork has the id and the first block of the chain that it was taken of: what is signed for
    # the one could be sent to the other.
    own = "own " if is_local(provider) else ""
    return f"{own}{provider.chain_id}:{first_hash(first)}", as_int(rpc.expect(head))
