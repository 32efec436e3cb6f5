"""Status of an open entry of the journal: what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ape_dtn.chain import rpc
from ape_dtn.chain.finality import final_block
from ape_dtn.journal import reorgs
from ape_dtn.types.rpc import Request, as_int

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ape_dtn.journal.store import Entry, Journal
    from ape_dtn.network.context import Network
    from ape_dtn.types.transactions import Signed


def waits_for(ai: Network, journal: Journal, entries: Sequence[Entry]) -> list[str]:
    """What each of some open entries waits for, by a view of the chain as it is now.

    Raises:
        NoNetwork: The endpoint does not say.
    """
    if not any(each.signed for each in entries):
        return [_waits_for(each, {}, {}, 0) for each in entries]
    evidence = reorgs.evidence(ai, journal)
    final = final_block(ai.provider, evidence)
    hashes = sorted({one.hash for each in entries for one in each.signed})
    senders = sorted({one.sender for each in entries for one in each.signed})
    asked: list[Request] = [
        *(("eth_getTransactionByHash", [each]) for each in hashes),
        *(("eth_getTransactionCount", [each, "latest"]) for each in senders),
    ]
    answers = [rpc.expect(each) for each in rpc.ask(ai.provider, asked)]
    known = dict(zip(hashes, answers, strict=False))
    counts = [as_int(each) for each in answers[len(hashes) :]]
    used = dict(zip(senders, counts, strict=True))
    return [_waits_for(each, known, used, final) for each in entries]


def _waits_for(
    entry: Entry, known: dict[str, dict[str, str] | None], used: dict[str, int], final: int
) -> str:
    payments: dict[tuple[str, int], list[Signed]] = {}
    for one in entry.signed:
        payments.setdefault((one.sender, one.nonce), []).append(one)
    for (sender, nonce), same in payments.items():
        found = [(one, known[one.hash]) for one in same]
        mined = [raw for _, raw in found if raw and raw.get("blockNumber")]
        if mined and as_int(mined[0]["blockNumber"]) <= final:
            continue
        if mined:
            block = as_int(mined[0]["blockNumber"])
            return f"block {block} to be final: its transaction {mined[0]['hash']} is in it"
        if used[sender] > nonce:
            return f"another transaction to be final: it has used nonce {nonce} of {sender}"
        waiting = [one for one, raw in found if raw]
        if waiting:
            return f"transaction {waiting[-1].hash} to be mined, with nonce {nonce} of {sender}"
        return f"the endpoint to take transaction {same[-1].hash}, with nonce {nonce} of {sender}"
    if entry.signed:
        return "what came of it to be read from the chain"
    if entry.details.get("handed_over") is not None:
        return f"the wallet of {entry.account}, which was given it to sign and send"
    return "nothing, since nothing was signed for it"
