"""Models and nodes, read from the network's registries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ape_dtn.chain.errors import ContractReverted
from ape_dtn.chain.reads import Call
from ape_dtn.network.abi import ERC20, ModelManager, NodeManager
from ape_dtn.types.errors import DtnError
from ape_dtn.types.model import Api, Model


@dataclass(frozen=True)
class Contracts:
    """The addresses that the router uses now. Do not cache them: its owner can replace them.

    Attributes:
        session_manager: ``router.sessionManager()``
        model_manager: ``router.modelManager()``
        node_manager: ``router.nodeManager()``
        fee_token: ``router.feeToken()``
        fee_target: ``router.feeTarget()``, the address that deposits are sent to.
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
        name: Its full name, or its id if the name is unknown.
        id: keccak-256 of the full name.
        owner: The account that manages it.
        worker: The account that responds and is paid.
        is_active: Whether it may respond.
        models: Ids of the models that it serves.
        namespaces: When its trust by each namespace expires, in seconds since 1970, by the
            namespace's id.
    """

    name: str
    id: bytes
    owner: str
    worker: str
    is_active: bool
    models: tuple[bytes, ...]
    namespaces: Mapping[bytes, int] = field(default_factory=dict)


def token_calls(token: str) -> tuple[Call, Call]:
    """The calls that read a :class:`~ape_dtn.types.amount.Token`."""
    return (
        Call(token, ERC20.symbol, contract="fee token"),
        Call(token, ERC20.decimals, contract="fee token"),
    )


def model_calls(manager: str, model_id: bytes) -> tuple[Call, Call]:
    """The calls that read a model; see :func:`to_model`."""
    return (
        Call(manager, ModelManager.get_model_config, (model_id,), contract="model manager"),
        Call(manager, ModelManager.get_model_api, (model_id,), contract="model manager"),
    )


def to_model(name: str, config: tuple[Any, ...], api: tuple[Any, ...]) -> Model | None:
    """Makes a model from the results of :func:`model_calls`; None if it is not registered."""
    model_id = config[1]
    _, api_name, _, specs, docs = api
    return Model(name, model_id, Api(api_name, specs, docs)) if any(model_id) else None


def node_calls(manager: str, node_id: bytes) -> tuple[Call, Call]:
    """The calls that read a node; see :func:`to_node`."""
    return (
        Call(manager, NodeManager.get_node, (node_id,), contract="node manager"),
        Call(manager, NodeManager.get_node_models, (node_id,), contract="node manager"),
    )


def serving_call(contracts: Contracts, model_id: bytes) -> Call:
    """The call that reads the ids of a model's nodes. Any account can add nodes to the list."""
    view = NodeManager.get_nodes_serving_model
    return Call(contracts.node_manager, view, (model_id,), contract="node manager")


def to_serving(result: Sequence[bytes] | DtnError) -> Sequence[bytes] | None:
    """Returns the ids from the result of :func:`serving_call`.

    None if the list is longer than the endpoint's gas limit for calls allows.
    """
    if isinstance(result, ContractReverted):
        return None
    if isinstance(result, DtnError):
        raise result
    return result


def to_node(name: str, data: tuple[Any, ...], models: tuple[bytes, ...]) -> Node | None:
    """Makes a node from the results of :func:`node_calls`; None if it is not registered."""
    owner, _, worker, namespaces, expirations, _, is_active, _, node_id = data
    if not any(node_id):
        return None
    trusted_until = dict(zip(namespaces, expirations, strict=True))
    return Node(name, node_id, owner, worker, bool(is_active), models, trusted_until)
