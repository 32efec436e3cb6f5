"""How a node stands: what waits for it, and what it has earned."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ape_dtn.chain import reads, rpc
from ape_dtn.chain.abi import SessionManager
from ape_dtn.names import id_of
from ape_dtn.serving.ledger import Ledger, ledger_of
from ape_dtn.serving.work import Terms, Work

if TYPE_CHECKING:
    from ape_dtn.ai import Contracts, DtnAi


def waiting_for(ai: DtnAi, name: str) -> int:
    """How many requests a node may answer that nobody has, since its saved cursor."""
    node_id, aside = id_of(name, "node"), Ledger()
    saved = ledger_of(ai, node_id).cursor()
    work = Work(ai, name, node_id, aside, Terms())
    aside.save(replace(saved, terms=work.mark(work.registration())))
    work = Work(ai, name, node_id, aside, Terms())
    count = 0
    while True:
        work.look()
        count += len(work.open)
        if not work.has_more:
            return count
        work.open.clear()


def earned_by(ai: DtnAi, contracts: Contracts, worker: str) -> int | None:
    """What sessions have paid a worker (``SessionCharged``), in units of the fee token.

    None where the endpoint does not search the whole chain in one query.
    """
    charged = SessionManager.session_charged
    query = {
        "address": [contracts.session_manager, *ai.deployment.session_managers],
        "topics": [charged.topic, None, reads.topic(int(worker, 16))],
        "fromBlock": hex(ai.deployment.first_block),
        "toBlock": "latest",
    }
    (found,) = rpc.ask(ai.provider, [("eth_getLogs", [query])])
    if isinstance(found, rpc.Failure):
        return None
    return sum(int(charged.decode(reads.to_log(raw))["amount"]) for raw in found)


def coin_of(ai: DtnAi, account: str) -> int:
    """What an account can pay for gas with, in wei."""
    return rpc.as_int(rpc.result(ai.provider, "eth_getBalance", [account, "latest"]))
