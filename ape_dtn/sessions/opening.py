"""Opens sessions: each deposit and start is executed exactly once, through the journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ape_dtn.funding import bare_deposit
from ape_dtn.funding.methods import Method, Plan
from ape_dtn.journal import executor
from ape_dtn.journal.operation import from_transaction
from ape_dtn.journal.store import Intent
from ape_dtn.network.abi import Router
from ape_dtn.sessions import operations
from ape_dtn.types.transactions import contract_call

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.journal.executor import OperationResult
    from ape_dtn.network.context import Network
    from ape_dtn.types.amount import Amount, AmountLike, Token
    from ape_dtn.types.transactions import Receipt


@dataclass(frozen=True)
class OpenedSession:
    """A session that was opened now, or before under the same idempotency key.

    Attributes:
        id: The session's id.
        balance: The balance that it was opened with.
        owner: Its owner on the chain, the account or its client; None if the journal has none.
        method: How the deposit was made; None for a claim.
        receipt: The transaction that opened it; None if it was opened before.
    """

    id: int
    balance: Amount
    owner: str | None
    method: Method | None
    receipt: Receipt | None


def opened_before(
    ai: Network, account: AccountAPI, amount: AmountLike, key: str | None
) -> OpenedSession | None:
    """The session that was opened under an idempotency key; None if none was.

    A start that was interrupted is finished first.

    Raises:
        KeyReused: The key belongs to another operation.
    """
    if key is None:
        return None
    token = ai.token()
    payload = _payload(token.amount(amount))
    result = executor.find_result(ai, account, operations.START, payload, key)
    return _opened(result, token) if result else None


def open_planned(
    ai: Network, account: AccountAPI, plan: Plan, key: str | None = None
) -> OpenedSession:
    """Open a session as planned; see :meth:`ape_dtn.client.session.DtnSession.start`."""
    deposit = plan.deposit
    intent = Intent(operations.START.kind, _payload(deposit), plan.details, key)
    result = executor.execute(ai, account, operations.START, intent, plan)
    opened = _opened(result, deposit.token)
    if result.receipts and opened.balance < deposit:
        raise bare_deposit.short_session(ai, plan, result.receipts, opened.id, opened.balance)
    return opened


def claim(ai: Network, account: AccountAPI, key: str | None = None) -> OpenedSession:
    """Open a session with the deposits that wait at the fee target, from any sender."""
    contracts = ai.contracts()
    details = {
        "transaction": from_transaction(contract_call(ai.router, Router.start_user_session)),
        "holder": str(account.address),
        "manager": contracts.session_manager,
    }
    intent = Intent(operations.CLAIM.kind, {}, details, key)
    result = executor.execute(ai, account, operations.CLAIM, intent)
    return _opened(result, ai.token(contracts))


def _payload(deposit: Amount) -> dict[str, str]:
    """The idempotency payload of a start: another deposit needs another key."""
    return {"deposit": str(deposit.units), "token": deposit.token.address}


def _opened(result: OperationResult, token: Token) -> OpenedSession:
    method = result.details.get("method")
    return OpenedSession(
        id=int(result.outcome["session"]),
        balance=token.units(int(result.outcome["balance"])),
        owner=result.details.get("holder"),
        method=None if method is None else Method(method),
        receipt=result.receipt,
    )
