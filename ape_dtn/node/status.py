"""What `ape dtn node status` reports: pending requests, earnings, and the worker's balance."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ape_dtn.chain import reads, rpc
from ape_dtn.network.abi import SessionManager
from ape_dtn.node.queue import AcceptanceTerms, RequestQueue
from ape_dtn.node.store import Ledger, open_ledger
from ape_dtn.types.ids import id_of
from ape_dtn.types.rpc import Failure, as_int

if TYPE_CHECKING:
    from ape_dtn.network.context import Network
    from ape_dtn.network.registry import Contracts


def count_pending(ai: Network, name: str) -> int:
    """Count the open requests that a node may answer, from its saved cursor on."""
    node_id, scratch = id_of(name, "node"), Ledger()
    saved = open_ledger(ai, node_id).cursor()
    queue = RequestQueue(ai, name, node_id, scratch, AcceptanceTerms())
    # Keep the saved cursor although the terms differ: store it with the fingerprint of these terms.
    scratch.save_cursor(replace(saved, terms=queue.terms_fingerprint(queue.registration())))
    queue = RequestQueue(ai, name, node_id, scratch, AcceptanceTerms())
    count = 0
    while True:
        queue.scan()
        count += len(queue.open)
        if not queue.has_more:
            return count
        queue.open.clear()


def total_earned(ai: Network, contracts: Contracts, worker: str) -> int | None:
    """Sum what sessions have paid a worker (``SessionCharged``), in units of the fee token.

    Returns None if the endpoint refuses a log query over the whole chain.
    """
    charged = SessionManager.session_charged
    query = {
        "address": [contracts.session_manager, *ai.deployment.session_managers],
        "topics": [charged.topic, None, reads.topic(int(worker, 16))],
        "fromBlock": hex(ai.deployment.first_block),
        "toBlock": "latest",
    }
    (logs,) = rpc.ask(ai.provider, [("eth_getLogs", [query])])
    if isinstance(logs, Failure):
        return None
    return sum(int(charged.decode(reads.to_log(raw))["amount"]) for raw in logs)


def native_balance(ai: Network, account: str) -> int:
    """An account's balance of the native currency, in wei."""
    return as_int(rpc.result(ai.provider, "eth_getBalance", [account, "latest"]))
