"""What holds for a request whatever its inputs are: prices, the session, and who may answer."""

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
    """What requests of some models have in common, as the chain has it now.

    Attributes:
        ai: The network.
        contracts: What is behind the router.
        options: What was said of the requests.
        models: The models by their names; None for one that is not registered.
        serving: Where nobody is named or a namespace is, the nodes that serve each model; None
            where they are too many to be listed.
        node_ids: Ids of the nodes that are trusted by their names.
        nodes: These nodes; None for one that is not registered.
        now: The time of the latest block, in seconds, where it matters.
        fee_per_byte: What is offered for each byte.
        max_cost: What one answer may cost at most.
        session_id: The session that pays; None for one that is yet to be started.
        owner: Its owner.
        balance: What it has.
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
        """Who may answer for a model.

        Raises:
            NodeNotFound, NodeUnavailable, CannotComplete: Nobody could, or not so that it
                completes the request; see :func:`ape_dtn.requests.routing.check`.
            NodesNotListed: It depends on the nodes that serve the model, and they are too many.
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
    """Reads the terms in two HTTP requests, and a third when the nodes are not named.

    Args:
        ai: The network.
        models: Full names of the models.
        session_id: The session that is to pay; None when it is yet to be started.
        options: What is said of the requests.
        sender: Whose the session has to be; None for anybody's.

    Raises:
        InvalidName, InvalidAmount: Something given is wrong.
        NobodyTrusted: No nodes are named on a public network.
        SessionNotFound, NotSessionOwner, SessionAlreadyClosed: The session cannot be used.
    """
    config = ai.config
    model_ids = {name: id_of(name, "model") for name in models}
    node_ids, namespaces = _named_nodes(ai, models[0], options), options.get("namespaces")
    # Anybody can add to who serves a model, until no endpoint reads it any more: whoever names the
    # nodes does not depend on it.
    is_known = bool(node_ids) and not namespaces
    contracts = ai.contracts()
    calls = [
        *token_calls(contracts.fee_token),
        sessions.session_call(contracts.session_manager, session_id or 0),
        *(call for each in node_ids.values() for call in node_calls(contracts.node_manager, each)),
        *(
            call
            for each in model_ids.values()
            for call in model_calls(contracts.model_manager, each)
        ),
    ]
    lists = [] if is_known else [serving_call(contracts, each) for each in model_ids.values()]
    results = ai.try_read(*calls, *lists)
    answers = iter(reads.expect_all(results[: len(calls)]))
    token = Token(contracts.fee_token, next(answers), next(answers))
    owner, balance = next(answers)
    if session_id is not None:
        sessions.check(ai, contracts.session_manager, session_id, owner, sender)
    nodes = {name: to_node(name, next(answers), next(answers)) for name in node_ids}
    found = {name: to_model(name, next(answers), next(answers)) for name in model_ids}
    serving: dict[str, Sequence[bytes] | None] = dict.fromkeys(model_ids, ())
    if not is_known:
        listed = [to_serving(each) for each in results[len(calls) :]]
        serving = dict(zip(model_ids, listed, strict=True))
    members = _nodes(ai, contracts, [ids for ids in serving.values() if ids])
    return Preflight(
        ai=ai,
        contracts=contracts,
        options=options,
        models=found,
        serving={
            name: None if ids is None else [members[each] for each in ids if each in members]
            for name, ids in serving.items()
        },
        node_ids=node_ids,
        nodes=nodes,
        now=_now(ai) if namespaces else 0,
        fee_per_byte=token.amount(
            _given(options.get("fee_per_byte"), config.fee_per_byte), zero=True
        ),
        max_cost=token.amount(_given(options.get("max_cost"), config.max_cost)),
        session_id=session_id,
        owner=None if session_id is None else owner,
        balance=None if session_id is None else token.units(balance),
    )


def _named_nodes(ai: Network, model: str, options: Options) -> dict[str, bytes]:
    """The nodes that are trusted by their names, with their ids."""
    if options.get("any_node"):
        return {}
    # A namespace replaces the configured nodes, and joins those that are named with it.
    configured = () if options.get("namespaces") else ai.config.nodes
    named = {name: id_of(name, "node") for name in options.get("nodes") or configured}
    if not (named or options.get("namespaces") or is_local(ai.provider)):
        raise NobodyTrusted(model)
    return named


def _nodes(ai: Network, contracts: Contracts, ids: Iterable[Sequence[bytes]]) -> dict[bytes, Node]:
    """Nodes by their ids."""
    wanted = list(dict.fromkeys(each for some in ids for each in some))
    if not wanted:
        return {}
    calls = [call for each in wanted for call in node_calls(contracts.node_manager, each)]
    answers, names = iter(ai.read(*calls)), ai.names()
    found = (to_node(names.of(each), next(answers), next(answers)) for each in wanted)
    return {node.id: node for node in found if node}


def _now(ai: Network) -> int:
    """The time of the latest block, in seconds."""
    block = rpc.result(ai.provider, "eth_getBlockByNumber", ["latest", False])
    return as_int(block["timestamp"])


def _given(value: AmountLike | None, default: str) -> AmountLike:
    return default if value is None else value
