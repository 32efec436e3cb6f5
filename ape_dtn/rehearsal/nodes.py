"""The node that answers on the fork: an existing one, or one that is registered there."""

from __future__ import annotations

from dataclasses import replace

from eth_utils import keccak, to_checksum_address

from ape_dtn.answers.diagnosis import BlockContext, candidates, may_answer
from ape_dtn.chain import rpc
from ape_dtn.client.ai import DtnAi
from ape_dtn.network.abi import NodeManager
from ape_dtn.network.errors import NodeNotFound, NodesNotListed
from ape_dtn.network.registry import Node, node_calls, to_node
from ape_dtn.network.requests import Record
from ape_dtn.rehearsal.fork import Fork
from ape_dtn.requests.errors import NobodyCanAnswer
from ape_dtn.types.ids import as_hex, id_of, is_name
from ape_dtn.types.rpc import as_int
from ape_dtn.types.transactions import Transaction, contract_call

# The owner and the worker of nodes that are registered on the fork. Nobody has their keys.
OWNER, WORKER = (
    to_checksum_address(keccak(text=f"ape-dtn rehearsal {part}")[:20])
    for part in ("owner", "worker")
)


def choose(ai: DtnAi, fork: Fork, request_id: bytes, record: Record, as_node: str | None) -> Node:
    """Return the node that answers a request on the fork.

    ``as_node`` is the full name of a node. If necessary, it is registered and activated on the
    fork, and the model is added to it. Without it, any node that can answer is used.

    Raises:
        NobodyCanAnswer: No node can answer, or the routing does not trust this one.
        NodesNotListed: No named node can answer, and there are too many others to list.
        DtnError: The contracts reject the registration.
    """
    latest = rpc.result(ai.provider, "eth_getBlockByNumber", ["latest", False])
    now = BlockContext(as_int(latest["number"]), as_int(latest["timestamp"]), ai.contracts())
    if as_node is not None:
        node = _prepare(ai, fork, as_node, record.model_id)
        if may_answer(node.id, node, record, now):
            return node
        reason = "is not trusted by its routing"
        raise NobodyCanAnswer(as_hex(request_id), {as_node: reason})
    reasons = {}
    names = ai.names()
    found = candidates(ai, now, [record])
    for node_id, candidate in found.nodes.items():
        obstacle = _obstacle(node_id, candidate, record, now)
        if candidate is not None and obstacle is None:
            return replace(candidate, name=names.of(node_id))
        reasons[names.of(node_id)] = str(obstacle)
    if not found.are_all(record):
        error = NodesNotListed(names.of(record.model_id))
        error.hint = "Name the node to rehearse as: as_node=…."
        raise error
    raise NobodyCanAnswer(as_hex(request_id), reasons)


def _obstacle(node_id: bytes, node: Node | None, record: Record, now: BlockContext) -> str | None:
    """Return why a node cannot answer (``Router._checkNode``); None if it can."""
    if node is None:
        return "is not registered"
    if not may_answer(node_id, node, record, now):
        return "is not trusted by its routing"
    if not node.is_active:
        return "is inactive"
    return None if record.model_id in node.models else "does not serve the model"


def _prepare(ai: DtnAi, fork: Fork, name: str, model: bytes) -> Node:
    """Return a node that is registered, active and serves the model; change the fork as needed."""
    manager, node_id = ai.contracts().node_manager, id_of(name, "node")
    node = _read(ai, manager, name)
    if node is None:
        if not is_name(name, "node"):
            raise NodeNotFound(name)
        _, user, own_name = name.split(".", 2)
        _send(fork, OWNER, contract_call(manager, NodeManager.register_user, user, OWNER))
        _send(
            fork, OWNER, contract_call(manager, NodeManager.register_node, user, own_name, WORKER)
        )
        node = _read(ai, manager, name)
        assert node is not None, "the node was registered on the fork"
    if not node.is_active:
        _send(fork, node.owner, contract_call(manager, NodeManager.set_node_status, node_id, True))
    if model not in node.models:
        models = [*node.models, model]
        _send(
            fork, node.owner, contract_call(manager, NodeManager.set_node_models, node_id, models)
        )
    return node


def _read(ai: DtnAi, manager: str, name: str) -> Node | None:
    return to_node(name, *ai.read(*node_calls(manager, id_of(name, "node"))))


def _send(fork: Fork, sender: str, transaction: Transaction) -> None:
    fork.fund(sender)
    if failure := fork.send(sender, transaction).failure:
        raise failure
