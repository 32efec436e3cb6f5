"""The node that is played: one that could answer, or one that is made to on the copy."""

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

# Who owns what is registered on the copy, and answers for it: accounts that nobody has a key of.
OWNER, WORKER = (
    to_checksum_address(keccak(text=f"ape-dtn rehearsal {part}")[:20])
    for part in ("owner", "worker")
)


def choose(ai: DtnAi, fork: Fork, request_id: bytes, record: Record, as_node: str | None) -> Node:
    """The node that answers a request.

    Args:
        ai: The network on the copy.
        fork: The copy.
        request_id: The request.
        record: What the chain keeps of it.
        as_node: The full name of the node to be played, which is registered, switched on and made
            to serve the model where it has to be; None for any that could answer as it is.

    Raises:
        NobodyCanAnswer: No node could, or the request's routing does not trust this one.
        NodesNotListed: None of those that are named could, and more are trusted than can be listed.
        DtnError: The contracts do not let the node be registered.
    """
    latest = rpc.result(ai.provider, "eth_getBlockByNumber", ["latest", False])
    now = BlockContext(as_int(latest["number"]), as_int(latest["timestamp"]), ai.contracts())
    if as_node is not None:
        node = _made(ai, fork, as_node, record.model_id)
        if may_answer(node.id, node, record, now):
            return node
        reason = "is not trusted by its routing"
        raise NobodyCanAnswer(as_hex(request_id), {as_node: reason})
    reasons = {}
    names = ai.names()
    could = candidates(ai, now, [record])
    for node_id, found in could.nodes.items():
        why_not = _why_not(node_id, found, record, now)
        if found is not None and why_not is None:
            return replace(found, name=names.of(node_id))
        reasons[names.of(node_id)] = str(why_not)
    if not could.are_all(record):
        error = NodesNotListed(names.of(record.model_id))
        error.hint = "Name the one that is to be played: as_node=…."
        raise error
    raise NobodyCanAnswer(as_hex(request_id), reasons)


def _why_not(node_id: bytes, node: Node | None, record: Record, now: BlockContext) -> str | None:
    """Why a node cannot answer (``Router._checkNode``); None where it can."""
    if node is None:
        return "is not registered"
    if not may_answer(node_id, node, record, now):
        return "is not trusted by its routing"
    if not node.is_active:
        return "is switched off"
    return None if record.model_id in node.models else "does not serve the model"


def _made(ai: DtnAi, fork: Fork, name: str, model: bytes) -> Node:
    """A node that is registered, switched on and serves the model, if need be from now on."""
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
        assert node is not None, "it was registered just now"
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
