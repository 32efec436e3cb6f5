"""Reopens entries whose transactions a reorganisation has removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ape_dtn.chain import rpc
from ape_dtn.chain.finality import Evidence
from ape_dtn.chain.networks import is_local
from ape_dtn.journal.store import Entry, Journal, State
from ape_dtn.types.rpc import Request

if TYPE_CHECKING:
    from ape_dtn.network.context import Network


# In how many of the latest blocks a reorganisation is looked for: an hour of Base's, which are
# final after twenty minutes. Endpoints remember transactions for longer.
REORGANISED_BLOCKS = 1_800


def reopen_forgotten(ai: Network, journal: Journal, entries: Sequence[Entry]) -> bool:
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
    asked: list[Request] = [("eth_getTransactionReceipt", [each]) for each in hashes]
    answers = [rpc.expect(each) for each in rpc.ask(ai.provider, asked)] if asked else []
    gone = [each for each, receipt in zip(entries, answers, strict=True) if receipt is None]
    for entry in gone:
        if is_own:
            set_back = {"error": "set_back", "message": "The chain was set back."}
            journal.end(entry, State.CANCELLED, set_back)
        else:
            journal.reopen(entry)
    return bool(gone)


def may_be_set_back(ai: Network) -> bool:
    """Whether the chain is one's own, which tests set back on purpose."""
    return is_local(ai.provider)


def evidence(ai: Network, journal: Journal) -> Evidence:
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
