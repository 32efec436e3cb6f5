"""Reconciles the journal's spending with the chain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ape_dtn.billing.history import history
from ape_dtn.billing.statement import State as RequestState
from ape_dtn.chain.networks import is_local
from ape_dtn.journal import reorgs
from ape_dtn.journal.store import Journal
from ape_dtn.network.errors import SessionNotFound
from ape_dtn.types.errors import NoNetwork

if TYPE_CHECKING:
    from ape_dtn.network.context import Network


def unanswered(ai: Network, journal: Journal, session_id: int) -> dict[str, int]:
    """The requests of a session whose answer the journal does not know, with their blocks.

    A load-balanced endpoint may not have them yet. A local chain has one node, and tests may have
    reverted it to before them: there it is empty.
    """
    if is_local(ai.provider):
        return {}
    return {
        entry.outcome["request"]: int(entry.outcome["block"])
        for entry in journal.unreconciled()
        if entry.outcome and entry.payload["session"] == str(session_id)
    }


def reconcile(ai: Network, journal: Journal) -> bool:
    """Replace the maximum cost of requests by their charges, where they were answered.

    Returns:
        Whether the journal has changed.
    """
    changed = reorgs.reopen_forgotten(ai, journal, journal.unreconciled())
    costs: dict[str, int] = {}
    for session_id in {int(entry.payload["session"]) for entry in journal.unreconciled()}:
        try:
            requests = history(ai, session_id).requests
        except (NoNetwork, SessionNotFound):  # keep the maximum cost
            continue
        for request, _ in requests:
            charges = [response.charge for response in request.responses]
            # Every response is charged: until all charges are known, keep the maximum cost.
            is_over = request.state not in (RequestState.PENDING, RequestState.REPLACED)
            if is_over and None not in charges:
                costs[request.id] = sum(charge.amount.units for charge in charges if charge)
    journal.reconcile(costs)
    return changed or bool(costs)
