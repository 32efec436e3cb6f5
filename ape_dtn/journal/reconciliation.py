"""Determines the outcome of an entry from the chain, and records what is signed for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ape_dtn.chain import rebroadcast
from ape_dtn.chain.broadcast import Outbox, Outstanding
from ape_dtn.chain.errors import RpcRefused, TransactionRefused
from ape_dtn.chain.receipts import remembers, succeeded
from ape_dtn.journal import reorgs, wallet
from ape_dtn.journal.errors import PaymentCancelled, WalletPending
from ape_dtn.journal.operation import (
    Operation,
    Outcome,
    outcome_in,
    outcome_in_current,
    outcome_on_chain,
)
from ape_dtn.journal.reorgs import REORGANISED_BLOCKS
from ape_dtn.journal.store import Entry, Journal, State
from ape_dtn.network.context import Network
from ape_dtn.types.errors import DtnError
from ape_dtn.types.transactions import Receipt, Signed

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI


# How many blocks to search for any transaction, to test whether the endpoint still has transactions
# of that age.
BLOCKS_SEARCHED = 16


@dataclass(frozen=True)
class Run:
    """An operation, and all that executing it needs."""

    ai: Network
    account: AccountAPI
    journal: Journal
    operation: Operation


def reconcile(run: Run, entry: Entry, receipts: list[Receipt]) -> Outcome | None:
    """Follows what was signed for a claimed entry, and looks for its effect on the chain.

    The receipts of its successful transactions are added to ``receipts``.

    Returns:
        The outcome; None if it has no effect and may be sent again.

    Raises:
        PaymentCancelled: Empty transactions were mined in place of its own.
        DtnError: Its transaction was mined and failed, or its outcome is unknown.
    """
    ai, journal, operation = run.ai, run.journal, run.operation
    context = operation.error_context(entry)
    if operation.is_split:
        # Check before rebroadcasting: a start claims any deposit that it finds.
        landed = succeeded(ai.provider, entry.signed, context)
        operation.claimed_outcome(ai, entry, [log for receipt in landed for log in receipt.logs])
    # Read the nonce before looking for the effect, which may appear between the two reads.
    nonce_state = (
        wallet.nonce_state(ai, entry, reorgs.evidence(ai, journal))
        if may_be_handed_over(entry)
        else None
    )
    followed: Mapping[str, Receipt | DtnError | None] = (
        rebroadcast.follow(
            ai.provider, run.account, entry.signed, context, outbox_of(run, {0: entry})
        )
        if entry.signed
        else {}
    )
    receipts += [receipt for receipt in followed.values() if isinstance(receipt, Receipt)]
    logs = [log for receipt in receipts for log in receipt.logs]
    outcome = (
        outcome_in(operation.effect(entry), logs)
        or (outcome_in_current(ai, operation, entry, logs) if logs else None)
        or operation.claimed_outcome(ai, entry, logs)
        or outcome_on_chain(ai, operation, entry, _transactions_of_others(journal, entry))
    )
    if outcome is not None:
        return outcome
    if isinstance(nonce_state, WalletPending):
        raise nonce_state
    if nonce_state is wallet.Nonce.USED:  # by a transaction without the effect
        journal.update_details(entry, {"handed_over": None})
    if None in followed.values():
        _check_remembered(ai, journal, entry)
    _raise_failure(operation, entry, followed, receipts)
    return None


def _raise_failure(
    operation: Operation,
    entry: Entry,
    followed: Mapping[str, Receipt | DtnError | None],
    receipts: list[Receipt],
) -> None:
    """Raises why an entry without an effect failed, unless it may be sent again."""
    failures = [failure for failure in followed.values() if isinstance(failure, DtnError)]
    for failure in failures:
        if isinstance(failure, TransactionRefused):
            raise failure
    logs = [log for receipt in receipts for log in receipt.logs]
    is_half_done = operation.is_half_done(entry, logs)
    if entry.details.get("is_cancelled") and not (failures or is_half_done):
        empty = [signed.hash for signed in entry.signed if signed.is_empty]
        raise PaymentCancelled(entry.kind, empty)
    if operation.is_split and None in followed.values():
        return  # the deposit was superseded, so the start after it could only fail
    if failures:
        failures[0].before = tuple(receipts)
        raise failures[0]


def _transactions_of_others(journal: Journal, entry: Entry) -> set[str]:
    unreadable = journal.unreadable()
    if unreadable and not entry.details["is_sent_here"]:  # its effect could be that of another
        raise journal.error_of(*unreadable)
    others = [other for other in journal.entries(*State) if other.id != entry.id]
    signed = {signed.hash for other in others for signed in other.signed}
    done = [other.outcome for other in others if other.state is State.DONE and other.outcome]
    return signed | {str(outcome["transaction"]) for outcome in done}


def _check_remembered(ai: Network, journal: Journal, entry: Entry) -> None:
    """Checks that the endpoint still has transactions as old as the entry.

    Without them, a missing transaction proves nothing.

    Raises:
        RpcRefused: It has none.
    """
    first = entry.details["from_block"]
    if first > journal.head - REORGANISED_BLOCKS:
        return
    if not remembers(ai.provider, range(first, first + BLOCKS_SEARCHED)):
        reason = f"it has no transactions as old as block {first}"
        refused = RpcRefused("eth_getTransactionReceipt", reason)
        refused.hint = "Connect to an archive node, which keeps all transactions."
        raise refused


def may_be_handed_over(entry: Entry) -> bool:
    """Whether the account's wallet may have sent a transaction that the journal does not have."""
    nonce = entry.details.get("handed_over")
    return nonce is not None and nonce not in [signed.nonce for signed in entry.signed]


def outbox_of(run: Run, entries: Mapping[int, Entry]) -> Outbox:
    """The outbox that records in the journal what is signed for entries, given by position."""
    journal, own_ids = run.journal, {entry.id for entry in entries.values()}

    def hand_over(place: int, nonce: int | None) -> None:
        entry = journal.entry(entries[place].id)
        earlier = entry.details.get("handed_over", nonce)
        if nonce is not None and may_be_handed_over(entry) and earlier != nonce:
            raise WalletPending(entry.account, earlier, f"its next nonce is now {nonce}")
        journal.update_details(entry, {"handed_over": nonce})

    def outstanding(address: str) -> list[Outstanding]:
        if reorgs.may_be_set_back(run.ai):  # tests leave entries open, and reset the chain
            return []
        return [
            Outstanding(
                signed,
                isinstance(entry, Entry) and run.operation.of(entry).can_be_resent(entry, signed),
            )
            for entry, signed in journal.outstanding(address, own_ids)
            if signed.sender == address or (isinstance(entry, Entry) and entry.account == address)
        ]

    def record(signed: Mapping[int, Signed]) -> None:
        journal.record_signed(entries, signed)

    def used_nonces(sender: str) -> int:
        return 0 if reorgs.may_be_set_back(run.ai) else journal.used_nonces(sender)

    evidence = reorgs.evidence(run.ai, journal)
    return Outbox(record, hand_over, outstanding, evidence, used_nonces)
