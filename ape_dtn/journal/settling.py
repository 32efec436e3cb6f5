"""What the journal takes to have been spent, compared with the chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ape_dtn.billing.bill import State as RequestState
from ape_dtn.billing.history import history
from ape_dtn.chain import rpc
from ape_dtn.chain.finality import Evidence
from ape_dtn.chain.networks import is_local
from ape_dtn.errors import NoNetwork, SessionNotFound
from ape_dtn.journal.book import Entry, Journal, State

if TYPE_CHECKING:
    from ape_dtn.ai import DtnAi

# In how many of the latest blocks a reorganisation is looked for: an hour of Base's, which are
# final after twenty minutes. Endpoints remember transactions for longer.
REORGANISED_BLOCKS = 1_800


def reopen_forgotten(ai: DtnAi, journal: Journal, entries: Sequence[Entry]) -> bool:
    """Takes back that entries were done whose transactions the chain does not have any more.

    After a reorganisation they may come again, and are open. But what is gone from a local chain
    was set back on purpose, as tests do, and is void.

    Elsewhere only what :func:`is_recent` is taken back: of what is older, it is the endpoint that
    has forgotten it.

    Returns:
        Whether there were any.
    """
    is_own = is_local(ai.provider)
    entries = [each for each in entries if is_own or is_recent(journal, each)]
    hashes = [each.outcome["transaction"] for each in entries if each.outcome]
    asked: list[rpc.Request] = [("eth_getTransactionReceipt", [each]) for each in hashes]
    answers = [rpc.expect(each) for each in rpc.ask(ai.provider, asked)] if asked else []
    gone = [each for each, receipt in zip(entries, answers, strict=True) if receipt is None]
    for entry in gone:
        if is_own:
            set_back = {"error": "set_back", "message": "The chain was set back."}
            journal.end(entry, State.VOID, set_back)
        else:
            journal.reopen(entry)
    return bool(gone)


def may_be_set_back(ai: DtnAi) -> bool:
    """Whether the chain is one's own, which tests set back on purpose."""
    return is_local(ai.provider)


def evidence(ai: DtnAi, journal: Journal) -> Evidence:
    """What is asked of a view of the chain before something is signed anew for it.

    A chain of one's own has one node, and may have been set back on purpose: its view is the newest
    there is.
    """
    known = 0 if may_be_set_back(ai) else journal.highest_block()
    return Evidence(known, ai.deployment.final_after, journal.seen_used, journal.note_used)


def is_recent(journal: Journal, done: Entry) -> bool:
    """Whether a reorganisation may still take back what was done."""
    assert done.outcome is not None
    return int(done.outcome["block"]) > journal.head - REORGANISED_BLOCKS


def unanswered(ai: DtnAi, journal: Journal, session_id: int) -> dict[str, int]:
    """Requests of a session that are not known to be answered here, and the blocks they are in.

    A node of the endpoint may be behind the one that told of them. A local chain has only one, and
    may have been set back.
    """
    if is_local(ai.provider):
        return {}
    return {
        each.outcome["request"]: int(each.outcome["block"])
        for each in journal.unsettled()
        if each.outcome and each.meant["session"] == str(session_id)
    }


def settle(ai: DtnAi, journal: Journal) -> bool:
    """Replaces what requests may have cost by what they have cost, where they were answered.

    Returns:
        Whether anything is otherwise than it was taken to be.
    """
    changed = reopen_forgotten(ai, journal, journal.unsettled())
    costs: dict[str, int] = {}
    for session_id in {int(each.meant["session"]) for each in journal.unsettled()}:
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
    journal.settle(costs)
    return changed or bool(costs)
