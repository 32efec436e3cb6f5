"""The transactions that register a node or change it. Steps already done are left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ape_dtn.chain import transactions
from ape_dtn.chain.errors import ContractReverted
from ape_dtn.chain.reads import Call
from ape_dtn.network import reverts
from ape_dtn.network.abi import NodeManager
from ape_dtn.network.errors import ModelNotFound, NodeNotFound, NotNodeOwner
from ape_dtn.network.registry import node_calls, to_node
from ape_dtn.node.errors import NotTheWorker
from ape_dtn.node.queue import read_models
from ape_dtn.types.abi import Function
from ape_dtn.types.errors import InvalidName
from ape_dtn.types.ids import id_of, is_name
from ape_dtn.types.transactions import Transaction, contract_call

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.network.context import Network
    from ape_dtn.network.registry import Contracts, Node
    from ape_dtn.types.transactions import Receipt


USER_EXISTS = "User already exists"
NOT_THEIRS = "Not namespace owner"


@dataclass(frozen=True)
class Step:
    """A transaction that is still needed, with a description for people."""

    description: str
    transaction: Transaction


def registration_steps(
    ai: Network, account: AccountAPI, name: str, worker: str, models: Sequence[str] = ()
) -> list[Step]:
    """Plan the transactions that register a node (``registerNode``).

    Args:
        ai: The network.
        account: The account that will own the node and its user name.
        name: The node's full name, ``node.<user>.<name>``.
        worker: The address that answers and is paid.
        models: Full names or ids of the models to serve; empty to leave them unchanged.

    Raises:
        InvalidName: ``name`` is not a node's full name.
        NotNodeOwner: Another account owns the node or its user name.
        NotTheWorker: The node is registered with another worker, which cannot be changed.
        ModelNotFound: A model is not registered.
    """
    user, own_name = _parts(name)
    contracts, owner = ai.contracts(), str(account.address)
    manager = contracts.node_manager
    node = _node(ai, contracts, name)
    if node:
        _check_owner(name, node, account)
        if node.worker != worker:
            raise NotTheWorker(name, node.worker, worker)
    steps = []
    if node is None:
        if _is_free(ai, manager, owner, user):
            steps.append(_step(manager, f"register the user {user}", _USER, user, owner))
        else:
            _check_user(ai, manager, owner, user)
        description = f"register {name} with the worker {worker}"
        steps.append(_step(manager, description, _NODE, user, own_name, worker))
    return steps + _served_models_steps(ai, contracts, name, models, node.models if node else ())


def model_steps(
    ai: Network,
    account: AccountAPI,
    name: str,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    exactly: Sequence[str] | None = None,
) -> list[Step]:
    """Plan the transaction that changes a node's models (``setNodeModels``).

    Raises:
        NodeNotFound: There is no such node.
        NotNodeOwner: Another account owns the node.
        ModelNotFound: A model is not registered.
    """
    contracts = ai.contracts()
    node = _own_node(ai, contracts, name, account)
    if exactly is None:
        removed = {id_of(model, "model") for model in remove}
        models = [id for id in node.models if id not in removed]
    else:
        models = [id_of(model, "model") for model in exactly]
    _check_models(ai, contracts, [*add, *(exactly or ())])
    model_ids = list(dict.fromkeys([*models, *(id_of(model, "model") for model in add)]))
    return _set_models_steps(contracts.node_manager, name, model_ids, node.models)


def status_steps(ai: Network, account: AccountAPI, name: str, is_active: bool) -> list[Step]:
    """Plan the transaction that activates or deactivates a node (``setNodeStatus``).

    Raises:
        NodeNotFound: There is no such node.
        NotNodeOwner: Another account owns the node.
    """
    contracts = ai.contracts()
    node = _own_node(ai, contracts, name, account)
    if node.is_active == is_active:
        return []
    description = f"make {name} {'active' if is_active else 'inactive'}"
    return [
        _step(contracts.node_manager, description, NodeManager.set_node_status, node.id, is_active)
    ]


def send_steps(ai: Network, account: AccountAPI, steps: Iterable[Step]) -> list[Receipt]:
    """Send the steps in order, each after the previous one is mined."""
    return [
        transactions.send(ai.provider, account, step.transaction, reverts.NO_CONTEXT)
        for step in steps
    ]


_USER, _NODE = NodeManager.register_user, NodeManager.register_node


def _parts(name: str) -> tuple[str, str]:
    parts = name.split(".")
    if not is_name(name, "node") or len(parts) != 3:
        raise InvalidName(name, "node", "node.alice.first")
    return parts[1], parts[2]


def _node(ai: Network, contracts: Contracts, name: str) -> Node | None:
    calls = node_calls(contracts.node_manager, id_of(name, "node"))
    return to_node(name, *ai.read(*calls))


def _own_node(ai: Network, contracts: Contracts, name: str, account: AccountAPI) -> Node:
    node = _node(ai, contracts, name)
    if node is None:
        raise NodeNotFound(name)
    _check_owner(name, node, account)
    return node


def _check_owner(name: str, node: Node, account: AccountAPI) -> None:
    if node.owner != str(account.address):
        raise NotNodeOwner(name, node.owner, str(account.address))


def _is_free(ai: Network, manager: str, owner: str, user: str) -> bool:
    """Whether the user name is free, found by simulating its registration."""
    return not _refuses(ai, Call(manager, _USER, (user, owner), sender=owner), USER_EXISTS)


def _check_user(ai: Network, manager: str, owner: str, user: str) -> None:
    """Raise ``NotNodeOwner`` if another account has the user name, found by simulating a call."""
    if _refuses(ai, Call(manager, _NODE, (user, "-", owner), sender=owner), NOT_THEIRS):
        raise NotNodeOwner(f"The user name {user}", "another account", owner)


def _refuses(ai: Network, call: Call, reason: str) -> bool:
    """Whether the contracts revert a call for this reason; reverts for other reasons are raised."""
    (result,) = ai.try_read(call)
    if isinstance(result, ContractReverted) and result.revert:
        if result.revert.fields.get("reason") == reason:
            return True
        raise result
    return False


def _served_models_steps(
    ai: Network, contracts: Contracts, name: str, models: Sequence[str], served: Sequence[bytes]
) -> list[Step]:
    if not models:
        return []
    _check_models(ai, contracts, models)
    model_ids = list(dict.fromkeys(id_of(model, "model") for model in models))
    return _set_models_steps(contracts.node_manager, name, model_ids, served)


def _check_models(ai: Network, contracts: Contracts, models: Sequence[str]) -> None:
    ids = {id_of(model, "model"): model for model in models}
    models_by_id = read_models(ai, tuple(ids), contracts)
    for model_id, model in ids.items():
        if model_id not in models_by_id:
            raise ModelNotFound(model)


def _set_models_steps(
    manager: str, name: str, model_ids: Sequence[bytes], served: Sequence[bytes]
) -> list[Step]:
    if set(model_ids) == set(served):
        return []
    count = f"{len(model_ids)} model{'s' * (len(model_ids) != 1)}"
    description = f"let {name} serve {count}"
    return [
        _step(
            manager, description, NodeManager.set_node_models, id_of(name, "node"), list(model_ids)
        )
    ]


def _step(manager: str, description: str, function: Function, *arguments: object) -> Step:
    return Step(description, contract_call(manager, function, *arguments))
