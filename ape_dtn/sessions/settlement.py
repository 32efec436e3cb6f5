"""Compares what the journal takes to have been spent with the chain."""

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
    """Requests of a session that are not known to be answered here, and the blocks they are in.

    A node of the endpoint may be behind the one that told of them. A local chain has only one, and
    may have been set back.
    """
    if is_local(ai.provider):
        return {}
    return {
        each.outcome["request"]: int(each.outcome["block"])
        for each in journal.unreconciled()
        if each.outcome and each.payload["session"] == str(session_id)
    }


def reconcile(ai: Network, journal: Journal) -> bool:
    """Replaces what requests may have cost by what they have cost, where they were answered.

    Returns:
        Whether anything is otherwise than it was taken to be.
    """
    changed = reorgs.reopen_forgotten(ai, journal, journal.unreconciled())
    costs: dict[str, int] = {}
    for session_id in {int(each.payload["session"]) for each in journal.unreconciled()}:
        try:
            requests = history(ai, session_id).requests
        except (NoNetwork, SessionNotFound):  # the most that it may have cost stays
            continue
        for request, _ in requests:
            paid = [response.charge for response in request.responses]
            # Each response is charged for. Where that is not shown yet, the most stays, too.
            is_over = request.state not in (RequestState.PENDING, RequestState.REPLACED)
            if is_over and None not in paid:
                costs[request.id] = sum(charge.amount.units for charge in paid if charge)
    journal.reconcile(costs)
    return changed or bool(costs)
