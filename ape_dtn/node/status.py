"""How a node stands: what waits for it, and what it has earned."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ape_dtn.chain import reads, rpc
from ape_dtn.network.abi import SessionManager
from ape_dtn.node.queue import AcceptanceTerms, RequestQueue
from ape_dtn.node.store import Ledger, ledger_of
from ape_dtn.types.ids import id_of
from ape_dtn.types.rpc import Failure, as_int

if TYPE_CHECKING:
    from ape_dtn.network.context import Network
    from ape_dtn.network.registry import Contracts


def waiting_for(ai: Network, name: str) -> int:
    """How many requests a node may answer that nobody has, since its saved cursor."""
    node_id, aside = id_of(name, "node"), Ledger()
    saved = ledger_of(ai, node_id).cursor()
    work = RequestQueue(ai, name, node_id, aside, AcceptanceTerms())
    aside.save(replace(saved, terms=work.mark(work.registration())))
    work = RequestQueue(ai, name, node_id, aside, AcceptanceTerms())
    count = 0
    while True:
        work.look()
        count += len(work.open)
        if not work.has_more:
            return count
        work.open.clear()


def earned_by(ai: Network, contracts: Contracts, worker: str) -> int | None:
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
    if isinstance(found, Failure):
        return None
    return sum(int(charged.decode(reads.to_log(raw))["amount"]) for raw in found)


def native_currency_of(ai: Network, account: str) -> int:
    """What an account can pay for gas with, in wei."""
    return as_int(rpc.result(ai.provider, "eth_getBalance", [account, "latest"]))
