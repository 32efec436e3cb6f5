"""Tells what open entries of the journal wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ape_dtn.chain import rpc
from ape_dtn.chain.finality import final_block
from ape_dtn.chain.receipts import by_nonce
from ape_dtn.journal import reorgs
from ape_dtn.types.rpc import Request, as_int

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ape_dtn.journal.store import Entry, Journal
    from ape_dtn.network.context import Network


def waits_for(ai: Network, journal: Journal, entries: Sequence[Entry]) -> list[str]:
    """What each open entry waits for, as text that follows "waits for".

    Raises:
        NoNetwork: The endpoint does not answer.
    """
    if not any(entry.signed for entry in entries):
        return [_waits_for(entry, {}, {}, 0) for entry in entries]
    final = final_block(ai.provider, reorgs.evidence(ai, journal))
    signed = [transaction for entry in entries for transaction in entry.signed]
    hashes = sorted({transaction.hash for transaction in signed})
    senders = sorted({transaction.sender for transaction in signed})
    requests: list[Request] = [
        *(("eth_getTransactionByHash", [hash_]) for hash_ in hashes),
        *(("eth_getTransactionCount", [sender, "latest"]) for sender in senders),
    ]
    answers = [rpc.expect(answer) for answer in rpc.ask(ai.provider, requests)]
    known = dict(zip(hashes, answers, strict=False))
    counts = [as_int(count) for count in answers[len(hashes) :]]
    used = dict(zip(senders, counts, strict=True))
    return [_waits_for(entry, known, used, final) for entry in entries]


def _waits_for(
    entry: Entry, known: dict[str, dict[str, str] | None], used: dict[str, int], final: int
) -> str:
    for (sender, nonce), signed in by_nonce(entry.signed).items():
        found = [raw for transaction in signed if (raw := known[transaction.hash])]
        mined = [raw for raw in found if raw.get("blockNumber")]
        if mined:
            block = as_int(mined[0]["blockNumber"])
            if block <= final:
                continue
            return f"its transaction {mined[0]['hash']} to be final, in block {block}"
        if used[sender] > nonce:
            return f"another transaction, which used nonce {nonce} of {sender}, to be final"
        if found:
            waiting = [txn.hash for txn in signed if known[txn.hash]][-1]
            return f"transaction {waiting} to be mined, with nonce {nonce} of {sender}"
        return f"the endpoint to accept transaction {signed[-1].hash}, nonce {nonce} of {sender}"
    if entry.signed:
        return "its outcome to be read from the chain"
    if entry.details.get("handed_over") is not None:
        return f"the wallet of {entry.account}, which was asked to sign and send it"
    return "nothing, since nothing was signed for it"
