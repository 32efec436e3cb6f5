"""Bare deposits: transfers that still wait for their start, and who claimed them.

A deposit is not tied to its sender: the next account that starts a session gets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import reads, rpc
from ape_dtn.chain.errors import PartlySent, TransactionPending
from ape_dtn.chain.reads import Call
from ape_dtn.funding.methods import Method
from ape_dtn.network.abi import ERC20, Router, SessionManager
from ape_dtn.network.errors import DepositTaken, DepositWaiting, NothingDeposited
from ape_dtn.types.abi import Log
from ape_dtn.types.amount import Amount, Token
from ape_dtn.types.errors import DtnError, NoNetwork, Refused
from ape_dtn.types.rpc import as_int

if TYPE_CHECKING:
    from ape_dtn.funding.methods import Plan
    from ape_dtn.journal.store import Entry
    from ape_dtn.network.context import Network
    from ape_dtn.types.transactions import Receipt


def find_deposit(logs: Sequence[Log], entry: Entry) -> Log | None:
    """The log of a start's bare deposit, if it is among these."""
    return _transfer(logs, entry.payload["token"], entry.account, entry.details["fee_target"])


def deposit_of(entry: Entry) -> Amount:
    """The amount that a start deposits, from the journal alone."""
    symbol, decimals = entry.details["symbol"], int(entry.details["decimals"])
    return Token(entry.payload["token"], symbol, decimals).units(int(entry.payload["deposit"]))


def explain(ai: Network, entry: Entry, failed: DtnError, receipts: Sequence[Receipt]) -> DtnError:
    """The error about the bare deposit of a failed start, or the failure itself."""
    if entry.payload.get("deposit") is None or isinstance(failed, DepositTaken):
        return failed
    deposit = deposit_of(entry)
    if isinstance(failed, PartlySent):
        is_bare = entry.details["method"] == Method.TWO_STEP.value
        # Until it is mined, the endpoint may not even have accepted it.
        is_waiting = is_bare and _is_mined(ai, failed.sent[0])
        return DepositWaiting(deposit, failed.sent[0]) if is_waiting else failed
    logs = [log for receipt in (*receipts, *failed.before) for log in receipt.logs]
    deposited = find_deposit(logs, entry)
    if deposited is None:
        return failed
    if isinstance(failed, TransactionPending):
        failed.fields["deposit"] = deposit
        failed.hint = (
            "Your deposit has arrived. Start a session with it at once: DtnSession.claim(account)."
        )
    if not isinstance(failed, Refused):
        return failed
    try:
        # The node that answers may lag behind the one that had the deposit.
        head = as_int(rpc.result(ai.provider, "eth_blockNumber", []))
        block = max(head, deposited.block_number)
        start = Call(ai.router, Router.start_user_session, (), "router", entry.account, block)
        (outcome,) = ai.try_read(start)
    except NoNetwork:
        return DepositWaiting(deposit, deposited.transaction)
    if isinstance(outcome, NothingDeposited):
        return deposit_taken(ai, entry.details["manager"], deposit, deposited)
    if isinstance(outcome, Refused):
        return failed
    return DepositWaiting(deposit, deposited.transaction)


def _is_mined(ai: Network, transaction: str) -> bool:
    try:
        return rpc.result(ai.provider, "eth_getTransactionReceipt", [transaction]) is not None
    except NoNetwork:
        return False


def short_session(
    ai: Network, planned: Plan, receipts: Sequence[Receipt], session_id: int, opened_with: Amount
) -> DepositTaken:
    """The error of a session that was opened with less than its deposit."""
    logs = [log for receipt in receipts for log in receipt.logs]
    fee_target = planned.contracts.fee_target
    deposited = _transfer(logs, planned.deposit.token.address, planned.holder.account, fee_target)
    assert deposited is not None
    manager = planned.contracts.session_manager
    error = deposit_taken(ai, manager, planned.deposit, deposited, session_id)
    error.hint = f"The rest is in session {session_id}: {opened_with}."
    return error


def deposit_taken(
    ai: Network, manager: str, deposit: Amount, deposited: Log, session_id: int | None = None
) -> DepositTaken:
    """The error of a deposit that another account has claimed, with the account if known."""
    thief, theft = None, None
    with suppress(NoNetwork):  # the error holds without these details
        if found := next_start(ai, manager, deposited):
            log, fields = found
            thief, theft = fields["owner"], log.transaction
    return DepositTaken(deposit, deposited.transaction, thief, theft, session_id)


def next_start(ai: Network, manager: str, deposited: Log) -> tuple[Log, dict[str, Any]] | None:
    """The first session that was started after a deposit: the one that got it."""
    started = reads.events(
        ai.provider, manager, SessionManager.session_started, from_block=deposited.block_number
    )
    later = (
        (log, fields)
        for log, fields in started
        if (log.block_number, log.index) > (deposited.block_number, deposited.index)
    )
    return next(later, None)


def _transfer(logs: Sequence[Log], token: str, sender: str, fee_target: str) -> Log | None:
    for log in logs:
        if log.address == token and ERC20.transferred.matches(log):
            moved = ERC20.transferred.decode(log)
            if (moved["from"], moved["to"]) == (sender, fee_target):
                return log
    return None
