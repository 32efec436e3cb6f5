"""How a node is registered, and what it serves: what is missing is found first, then sent."""

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
from ape_dtn.node.queue import models_of
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
    """A transaction that is needed.

    Attributes:
        what: What it does, for people.
        transaction: The transaction.
    """

    what: str
    transaction: Transaction


def registering(
    ai: Network, account: AccountAPI, name: str, worker: str, models: Sequence[str] = ()
) -> list[Step]:
    """What is missing until a node is registered as it is wanted (``registerNode``).

    Args:
        ai: The network.
        account: Who is to own the node, and its user's name.
        name: The node's full name, ``node.<user>.<name>``.
        worker: The address that answers and is paid.
        models: Full names or ids of the models that it is to serve; none to leave them as they are.

    Raises:
        InvalidName: It is no full name of a node.
        NotNodeOwner: The node, or its user's name, belongs to another account.
        NotTheWorker: It is registered with another worker, which the contracts never change.
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
        what = f"register {name} with the worker {worker}"
        steps.append(_step(manager, what, _NODE, user, own_name, worker))
    return steps + _serving(ai, contracts, name, models, node.models if node else ())


def changing_models(
    ai: Network,
    account: AccountAPI,
    name: str,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    exactly: Sequence[str] | None = None,
) -> list[Step]:
    """What is missing until a node serves other models (``setNodeModels``).

    Raises:
        NodeNotFound: There is no such node.
        NotNodeOwner: It belongs to another account.
        ModelNotFound: A model is not registered.
    """
    contracts = ai.contracts()
    node = _own_node(ai, contracts, name, account)
    if exactly is None:
        removed = {id_of(each, "model") for each in remove}
        kept = [each for each in node.models if each not in removed]
    else:
        kept = [id_of(each, "model") for each in exactly]
    _check_models(ai, contracts, [*add, *(exactly or ())])
    wanted = list(dict.fromkeys([*kept, *(id_of(each, "model") for each in add)]))
    return _setting(contracts.node_manager, name, wanted, node.models)


def changing_status(ai: Network, account: AccountAPI, name: str, is_active: bool) -> list[Step]:
    """What is missing until a node is active, or is not (``setNodeStatus``).

    Raises:
        NodeNotFound: There is no such node.
        NotNodeOwner: It belongs to another account.
    """
    contracts = ai.contracts()
    node = _own_node(ai, contracts, name, account)
    if node.is_active == is_active:
        return []
    what = f"make {name} {'active' if is_active else 'inactive'}"
    return [_step(contracts.node_manager, what, NodeManager.set_node_status, node.id, is_active)]


def take(ai: Network, account: AccountAPI, steps: Iterable[Step]) -> list[Receipt]:
    """Sends what is missing, each after the one before is mined."""
    return [
        transactions.send(ai.provider, account, step.transaction, reverts.NO_CONTEXT)
        for step in steps
    ]


_USER, _NODE = NodeManager.register_user, NodeManager.register_node


def _parts(name: str) -> tuple[str, str]:
    """The user and the name of a node's full name."""
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
    """Whether nobody has registered a user of that name: no view says it."""
    return not _refuses(ai, Call(manager, _USER, (user, owner), sender=owner), USER_EXISTS)


def _check_user(ai: Network, manager: str, owner: str, user: str) -> None:
    """Checks that the user of a name is this account's. No view says whose else it is."""
    if _refuses(ai, Call(manager, _NODE, (user, "-", owner), sender=owner), NOT_THEIRS):
        raise NotNodeOwner(f"The user name {user}", "somebody else", owner)


def _refuses(ai: Network, call: Call, reason: str) -> bool:
    """Whether the contracts would refuse something for a reason; another one is raised."""
    (found,) = ai.try_read(call)
    if isinstance(found, ContractReverted) and found.revert:
        if found.revert.fields.get("reason") == reason:
            return True
        raise found
    return False


def _serving(
    ai: Network, contracts: Contracts, name: str, models: Sequence[str], served: Sequence[bytes]
) -> list[Step]:
    if not models:
        return []
    _check_models(ai, contracts, models)
    wanted = list(dict.fromkeys(id_of(each, "model") for each in models))
    return _setting(contracts.node_manager, name, wanted, served)


def _check_models(ai: Network, contracts: Contracts, models: Sequence[str]) -> None:
    ids = {id_of(each, "model"): each for each in models}
    found = models_of(ai, tuple(ids), contracts)
    for model_id, model in ids.items():
        if model_id not in found:
            raise ModelNotFound(model)


def _setting(
    manager: str, name: str, wanted: Sequence[bytes], served: Sequence[bytes]
) -> list[Step]:
    if set(wanted) == set(served):
        return []
    what = f"let {name} serve {len(wanted)} models" if len(wanted) != 1 else f"let {name} serve it"
    return [_step(manager, what, NodeManager.set_node_models, id_of(name, "node"), list(wanted))]


def _step(manager: str, what: str, function: Function, *arguments: object) -> Step:
    return Step(what, contract_call(manager, function, *arguments))
