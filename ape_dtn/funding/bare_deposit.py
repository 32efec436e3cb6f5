"""What became of a bare deposit whose session could not be started with it."""

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


def deposit_among(logs: Sequence[Log], entry: Entry) -> Log | None:
    """The bare deposit of a start, if it is among these logs."""
    return _deposit(logs, entry.payload["token"], entry.account, entry.details["fee_target"])


def deposit_of(entry: Entry) -> Amount:
    """The deposit of a start, without asking the chain what its token is."""
    symbol, decimals = entry.details["symbol"], int(entry.details["decimals"])
    return Token(entry.payload["token"], symbol, decimals).units(int(entry.payload["deposit"]))


def explained(ai: Network, entry: Entry, failed: DtnError, receipts: Sequence[Receipt]) -> DtnError:
    """What a failure means for a bare deposit, as the chain has it now; else the failure itself."""
    if entry.payload.get("deposit") is None or isinstance(failed, DepositTaken):
        return failed
    deposit = deposit_of(entry)
    if isinstance(failed, PartlySent):
        is_bare = entry.details["method"] == Method.TWO_STEP.value
        # Where it is not mined, it may not even have been taken.
        is_there = is_bare and _is_mined(ai, failed.sent[0])
        return DepositWaiting(deposit, failed.sent[0]) if is_there else failed
    logs = [log for each in (*receipts, *failed.before) for log in each.logs]
    deposited = deposit_among(logs, entry)
    if deposited is None:
        return failed
    if isinstance(failed, TransactionPending):
        failed.hint = (
            "Your deposit has arrived. Start a session with it at once: DtnSession.claim(account), "
            "or `ape dtn resume`."
        )
    if not isinstance(failed, Refused):
        return failed
    try:
        # A node behind the one that told of the deposit may not have it yet.
        head = as_int(rpc.result(ai.provider, "eth_blockNumber", []))
        block = max(head, deposited.block_number)
        start = Call(ai.router, Router.start_user_session, (), "router", entry.account, block)
        (outcome,) = ai.try_read(start)
    except NoNetwork:
        return DepositWaiting(deposit, deposited.transaction)
    if isinstance(outcome, NothingDeposited):
        return taken(ai, entry.details["manager"], deposit, deposited)
    if isinstance(outcome, Refused):
        return failed
    return DepositWaiting(deposit, deposited.transaction)


def _is_mined(ai: Network, transaction: str) -> bool:
    try:
        return rpc.result(ai.provider, "eth_getTransactionReceipt", [transaction]) is not None
    except NoNetwork:
        return False


def short(
    ai: Network, planned: Plan, receipts: Sequence[Receipt], session_id: int, opened_with: Amount
) -> DepositTaken:
    """What became of a deposit that is not in the session that was started with it."""
    logs = [log for each in receipts for log in each.logs]
    fee_target = planned.contracts.fee_target
    deposited = _deposit(logs, planned.deposit.token.address, planned.holder.account, fee_target)
    assert deposited is not None
    manager = planned.contracts.session_manager
    found = taken(ai, manager, planned.deposit, deposited, session_id)
    found.hint = f"What was left is in session {session_id}: {opened_with}."
    return found


def taken(
    ai: Network, manager: str, deposit: Amount, deposited: Log, session_id: int | None = None
) -> DepositTaken:
    """Who took a deposit: whoever was the next to start a session after it."""
    thief, theft = None, None
    with suppress(NoNetwork):  # that it is gone is known all the same
        if found := next_start(ai, manager, deposited):
            log, fields = found
            thief, theft = fields["owner"], log.transaction
    return DepositTaken(deposit, deposited.transaction, thief, theft, session_id)


def next_start(ai: Network, manager: str, deposited: Log) -> tuple[Log, dict[str, Any]] | None:
    """The session that a deposit went to: the next one that anybody started."""
    started = reads.events(
        ai.provider, manager, SessionManager.session_started, from_block=deposited.block_number
    )
    later = (
        (log, fields)
        for log, fields in started
        if (log.block_number, log.index) > (deposited.block_number, deposited.index)
    )
    return next(later, None)


def _deposit(logs: Sequence[Log], token: str, sender: str, fee_target: str) -> Log | None:
    for log in logs:
        if log.address == token and ERC20.transferred.matches(log):
            moved = ERC20.transferred.decode(log)
            if (moved["from"], moved["to"]) == (sender, fee_target):
                return log
    return None
