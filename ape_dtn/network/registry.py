"""Models and nodes as the network's registries hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ape_dtn.chain.errors import ContractReverted
from ape_dtn.chain.reads import Call
from ape_dtn.network.abi import ERC20, ModelManager, NodeManager
from ape_dtn.types.errors import DtnError
from ape_dtn.types.model import Api, Model

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Contracts:
    """What is behind the router at this moment. Its owner can replace it, so it is never kept.

    Attributes:
        session_manager: ``router.sessionManager()``
        model_manager: ``router.modelManager()``
        node_manager: ``router.nodeManager()``
        fee_token: ``router.feeToken()``
        fee_target: ``router.feeTarget()``, where deposits are sent.
    """

    session_manager: str
    model_manager: str
    node_manager: str
    fee_token: str
    fee_target: str


@dataclass(frozen=True)
class Node:
    """A registered node (``NodeManager.getNode``).

    Attributes:
        name: Its full name, or its id where the name is not known.
        id: keccak-256 of the full name.
        owner: The account that manages it.
        worker: The account that answers and is paid.
        is_active: Whether it may answer.
        models: Ids of the models that it serves.
        namespaces: Until when it is trusted by each trust namespace, by the namespace's id, in
            seconds since 1970.
    """

    name: str
    id: bytes
    owner: str
    worker: str
    is_active: bool
    models: tuple[bytes, ...]
    namespaces: Mapping[bytes, int] = field(default_factory=dict)


def token_calls(token: str) -> tuple[Call, Call]:
    """What a :class:`~ape_dtn.types.amount.Token` is made of, besides its address."""
    return (
        Call(token, ERC20.symbol, contract="fee token"),
        Call(token, ERC20.decimals, contract="fee token"),
    )


def model_calls(manager: str, model_id: bytes) -> tuple[Call, Call]:
    """What a :class:`~ape_dtn.types.model.Model` is made of."""
    return (
        Call(manager, ModelManager.get_model_config, (model_id,), contract="model manager"),
        Call(manager, ModelManager.get_model_api, (model_id,), contract="model manager"),
    )


def to_model(name: str, config: tuple[Any, ...], api: tuple[Any, ...]) -> Model | None:
    """A model, of the answers to :func:`model_calls`; None when it is not registered."""
    model_id = config[1]
    _, api_name, _, specs, docs = api
    return Model(name, model_id, Api(api_name, specs, docs)) if any(model_id) else None


def node_calls(manager: str, node_id: bytes) -> tuple[Call, Call]:
    """What a :class:`Node` is made of."""
    return (
        Call(manager, NodeManager.get_node, (node_id,), contract="node manager"),
        Call(manager, NodeManager.get_node_models, (node_id,), contract="node manager"),
    )


def serving_call(contracts: Contracts, model_id: bytes) -> Call:
    """The ids of the nodes that serve a model: of a list that anybody can add to."""
    serving = NodeManager.get_nodes_serving_model
    return Call(contracts.node_manager, serving, (model_id,), contract="node manager")


def to_serving(result: Sequence[bytes] | DtnError) -> Sequence[bytes] | None:
    """The ids, of the result of :func:`serving_call`.

    None where the list has grown beyond what the endpoint has gas for.
    """
    if isinstance(result, ContractReverted):
        return None
    if isinstance(result, DtnError):
        raise result
    return result


def to_node(name: str, data: tuple[Any, ...], models: tuple[bytes, ...]) -> Node | None:
    """A node, of the answers to :func:`node_calls`; None when it is not registered."""
    owner, _, worker, namespaces, expirations, _, is_active, _, node_id = data
    if not any(node_id):
        return None
    trusted_until = dict(zip(namespaces, expirations, strict=True))
    return Node(name, node_id, owner, worker, bool(is_active), models, trusted_until)
