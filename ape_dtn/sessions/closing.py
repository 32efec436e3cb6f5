"""Closes sessions for a refund, exactly once, and not while requests have no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ape_dtn.answers.diagnosis import pending_on
from ape_dtn.journal import executor
from ape_dtn.journal.operation import from_transaction
from ape_dtn.journal.store import Intent
from ape_dtn.network.session_owner import SessionOwner
from ape_dtn.network.sessions import explained
from ape_dtn.sessions import operations, spending
from ape_dtn.sessions.errors import RequestsPending
from ape_dtn.sessions.reading import SessionRecord, read_session

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.journal.store import Journal
    from ape_dtn.network.context import Network
    from ape_dtn.network.registry import Contracts
    from ape_dtn.types.amount import Amount
    from ape_dtn.types.transactions import Receipt


def closed_before(
    ai: Network, account: AccountAPI, session_id: int, key: str | None
) -> Amount | None:
    """The refund of a session that was closed under an idempotency key; None if none was.

    Raises:
        KeyReused: The key belongs to another operation.
    """
    result = executor.find_result(ai, account, operations.CLOSE, _payload(session_id), key)
    return ai.token().units(int(result.outcome["refund"])) if result else None


def check_close(
    ai: Network, account: AccountAPI, session_id: int, *, force: bool = False
) -> SessionRecord:
    """Check that :func:`close` would be accepted, and return the session. Nothing is signed."""
    journal = None if force else executor.journal_of(ai, account)
    session, _ = _closable(ai, account, session_id, journal)
    return session


def close(
    ai: Network,
    account: AccountAPI,
    session_id: int,
    *,
    force: bool = False,
    key: str | None = None,
) -> tuple[Amount, Receipt | None]:
    """Close a session; see :meth:`ape_dtn.client.session.DtnSession.close`.

    Returns:
        The refund, and the transaction; None if it was closed before under the key.
    """
    refund = closed_before(ai, account, session_id, key)
    if refund is not None:
        return refund, None
    caller, journal = str(account.address), executor.journal_of(ai, account)
    session, contracts = _closable(ai, account, session_id, None if force else journal)
    transaction = SessionOwner(caller, session.owner).close(ai.router, session_id)
    details = {
        "transaction": from_transaction(transaction),
        "manager": contracts.session_manager,
    }
    intent = Intent(operations.CLOSE.kind, _payload(session_id), details, key)
    with explained(ai, session_id, caller):
        result = executor.execute(ai, account, operations.CLOSE, intent, journal=journal)
    return session.balance.token.units(int(result.outcome["refund"])), result.receipt


def _closable(
    ai: Network, account: AccountAPI, session_id: int, journal: Journal | None
) -> tuple[SessionRecord, Contracts]:
    """A session that the account may close. With a journal, pending requests are an error."""
    session, contracts = read_session(ai, session_id, str(account.address))
    if journal is not None:
        known = spending.unanswered(ai, journal, session_id)
        if pending := pending_on(ai, contracts.session_manager, session_id, known):
            raise RequestsPending(session_id, pending)
    return session, contracts


def _payload(session_id: int) -> dict[str, str]:
    return {"session": str(session_id)}
