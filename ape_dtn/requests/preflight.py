"""Reads what requests depend on besides their inputs: prices, session, models and nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ape_dtn.chain import reads, rpc
from ape_dtn.chain.networks import is_local
from ape_dtn.network import sessions
from ape_dtn.network.context import Network
from ape_dtn.network.errors import NodesNotListed
from ape_dtn.network.registry import (
    Contracts,
    Node,
    model_calls,
    node_calls,
    serving_call,
    to_model,
    to_node,
    to_serving,
    token_calls,
)
from ape_dtn.requests import routing
from ape_dtn.requests.errors import NobodyTrusted
from ape_dtn.requests.routing import Aggregation, Routing
from ape_dtn.types.amount import Amount, AmountLike, Token
from ape_dtn.types.ids import id_of
from ape_dtn.types.rpc import as_int

if TYPE_CHECKING:
    from ape_dtn.requests.options import Options
    from ape_dtn.types.model import Model


@dataclass(frozen=True)
class Preflight:
    """What requests with the same options have in common, as read from the chain.

    Attributes:
        ai: The network.
        contracts: The contracts behind the router.
        options: The options of the requests.
        models: The models by name; None for a model that is not registered.
        serving: The nodes that serve each model, read unless only nodes are named; None
            where there are too many to list.
        node_ids: The ids of the named nodes, by name.
        nodes: The named nodes; None for a node that is not registered.
        now: The time of the latest block, in seconds; 0 where no namespace is named.
        fee_per_byte: The fee offered for each byte.
        max_cost: The most that one answer may cost.
        session_id: The session that pays; None before it is opened.
        owner: The owner of the session.
        balance: The balance of the session.
    """

    ai: Network
    contracts: Contracts
    options: Options
    models: Mapping[str, Model | None]
    serving: Mapping[str, Sequence[Node] | None]
    node_ids: Mapping[str, bytes]
    nodes: Mapping[str, Node | None]
    now: int
    fee_per_byte: Amount
    max_cost: Amount
    session_id: int | None
    owner: str | None
    balance: Amount | None

    def routing(self, model: Model) -> Routing:
        """The nodes and namespaces that may answer for a model.

        Raises:
            NodeNotFound, NodeUnavailable, CannotComplete: No node can answer, or no answer can
                complete the request; see :func:`ape_dtn.requests.routing.check`.
            NodesNotListed: Too many nodes serve the model to choose among them.
        """
        options, serving = self.options, self.serving[model.name]
        may_never_complete = options.get("may_never_complete", False)
        namespaces = tuple(options.get("namespaces") or ())
        if serving is None and not (namespaces and may_never_complete):
            raise NodesNotListed(model.name)
        nodes, ids = tuple(node for node in self.nodes.values() if node), self.node_ids.values()
        if not (ids or namespaces):
            nodes = tuple(node for node in serving or () if node.is_active or may_never_complete)
            ids = {node.name: node.id for node in nodes}.values()
        route = Routing(
            nodes=nodes,
            node_ids=tuple(ids),
            namespaces=namespaces,
            redundancy=options.get("redundancy", routing.REDUNDANCY),
            aggregation=Aggregation(options.get("aggregation", Aggregation.ANY)),
        )
        if not may_never_complete:
            routing.check(route, self.nodes, serving or (), model, self.now)
        return route


def read_preflight(
    ai: Network,
    models: Sequence[str],
    session_id: int | None,
    options: Options,
    sender: str | None = None,
) -> Preflight:
    """Read the preflight in two HTTP requests, and a third where no nodes are named.

    Args:
        ai: The network.
        models: The full names of the models.
        session_id: The session that pays; None before it is opened.
        options: The options of the requests.
        sender: The account that must own the session; None for a session of any owner.

    Raises:
        InvalidName, InvalidAmount: An option is invalid.
        NobodyTrusted: No nodes are named on a public network.
        SessionNotFound, NotSessionOwner, SessionAlreadyClosed: The session cannot be used.
    """
    config = ai.config
    model_ids = {name: id_of(name, "model") for name in models}
    node_ids, namespaces = _named_nodes(ai, models[0], options), options.get("namespaces")
    # Anybody can register nodes for a model, until they are too many for an endpoint to return. Do
    # not read them where the nodes are named.
    is_named = bool(node_ids) and not namespaces
    contracts = ai.contracts()
    calls = [
        *token_calls(contracts.fee_token),
        sessions.session_call(contracts.session_manager, session_id or 0),
        *(
            call
            for node_id in node_ids.values()
            for call in node_calls(contracts.node_manager, node_id)
        ),
        *(
            call
            for model_id in model_ids.values()
            for call in model_calls(contracts.model_manager, model_id)
        ),
    ]
    lists = (
        [] if is_named else [serving_call(contracts, model_id) for model_id in model_ids.values()]
    )
    results = ai.try_read(*calls, *lists)
    answers = iter(reads.expect_all(results[: len(calls)]))
    token = Token(contracts.fee_token, next(answers), next(answers))
    owner, balance = next(answers)
    if session_id is not None:
        sessions.check(ai, contracts.session_manager, session_id, owner, sender)
    nodes = {name: to_node(name, next(answers), next(answers)) for name in node_ids}
    found = {name: to_model(name, next(answers), next(answers)) for name in model_ids}
    serving: dict[str, Sequence[bytes] | None] = dict.fromkeys(model_ids, ())
    if not is_named:
        listed = [to_serving(result) for result in results[len(calls) :]]
        serving = dict(zip(model_ids, listed, strict=True))
    members = _nodes(ai, contracts, [ids for ids in serving.values() if ids])
    return Preflight(
        ai=ai,
        contracts=contracts,
        options=options,
        models=found,
        serving={
            name: None
            if ids is None
            else [members[node_id] for node_id in ids if node_id in members]
            for name, ids in serving.items()
        },
        node_ids=node_ids,
        nodes=nodes,
        now=_now(ai) if namespaces else 0,
        fee_per_byte=token.amount(
            _or_default(options.get("fee_per_byte"), config.fee_per_byte), zero=True
        ),
        max_cost=token.amount(_or_default(options.get("max_cost"), config.max_cost)),
        session_id=session_id,
        owner=None if session_id is None else owner,
        balance=None if session_id is None else token.units(balance),
    )


def _named_nodes(ai: Network, model: str, options: Options) -> dict[str, bytes]:
    """The ids of the nodes that are named in the options or the configuration, by name."""
    if options.get("any_node"):
        return {}
    # A namespace replaces the configured nodes, and adds to those named in the options.
    configured = () if options.get("namespaces") else ai.config.nodes
    named = {name: id_of(name, "node") for name in options.get("nodes") or configured}
    if not (named or options.get("namespaces") or is_local(ai.provider)):
        raise NobodyTrusted(model)
    return named


def _nodes(ai: Network, contracts: Contracts, ids: Iterable[Sequence[bytes]]) -> dict[bytes, Node]:
    """Nodes by their ids."""
    unique = list(dict.fromkeys(node_id for some in ids for node_id in some))
    if not unique:
        return {}
    calls = [call for node_id in unique for call in node_calls(contracts.node_manager, node_id)]
    answers, names = iter(ai.read(*calls)), ai.names()
    found = (to_node(names.of(node_id), next(answers), next(answers)) for node_id in unique)
    return {node.id: node for node in found if node}


def _now(ai: Network) -> int:
    """The time of the latest block, in seconds."""
    block = rpc.result(ai.provider, "eth_getBlockByNumber", ["latest", False])
    return as_int(block["timestamp"])


def _or_default(value: AmountLike | None, default: str) -> AmountLike:
    return default if value is None else value
