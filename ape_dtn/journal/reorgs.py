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


# How many blocks back done entries are checked: an hour on Base, where blocks are final after
# twenty minutes. Endpoints keep transactions for longer.
REORGANISED_BLOCKS = 1_800


def reopen_forgotten(ai: Network, journal: Journal, entries: Sequence[Entry]) -> bool:
    """Reopens those of the done entries whose transactions are no longer on the chain.

    After a reorganisation they may be mined again. On a local chain, which only its user resets,
    the entries are cancelled instead. On other chains, entries that are not :func:`is_recent` are
    left alone: there it is the endpoint that no longer has their transactions.

    Returns:
        Whether there were any.
    """
    is_own = is_local(ai.provider)
    entries = [entry for entry in entries if is_own or is_recent(journal, entry)]
    hashes = [entry.outcome["transaction"] for entry in entries if entry.outcome]
    requests: list[Request] = [("eth_getTransactionReceipt", [hash_]) for hash_ in hashes]
    receipts = [rpc.expect(answer) for answer in rpc.ask(ai.provider, requests)] if requests else []
    gone = [entry for entry, receipt in zip(entries, receipts, strict=True) if receipt is None]
    for entry in gone:
        if is_own:
            reason = {"error": "set_back", "message": "The local chain was reset."}
            journal.end(entry, State.CANCELLED, reason)
        else:
            journal.reopen(entry)
    return bool(gone)


def may_be_set_back(ai: Network) -> bool:
    """Whether the chain is a local one, which tests reset."""
    return is_local(ai.provider)


def evidence(ai: Network, journal: Journal) -> Evidence:
    """How recent a read of the chain must be to justify signing a transaction again.

    On a local chain any read is accepted: it has one node, and may have been reset to an older
    block.
    """
    known = 0 if may_be_set_back(ai) else journal.highest_block()
    return Evidence(known, ai.deployment.final_after, journal.seen_used, journal.note_used)


def is_recent(journal: Journal, done: Entry) -> bool:
    """Whether a reorganisation may still remove the transaction of a done entry."""
    assert done.outcome is not None
    return int(done.outcome["block"]) > journal.head - REORGANISED_BLOCKS
