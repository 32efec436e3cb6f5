"""Who may answer a request, and whether anybody of them ever could.

The contracts accept routings that never complete, and keep what was paid for sending them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from eth_utils import keccak

from ape_dtn.network.errors import NodeNotFound
from ape_dtn.network.registry import Node
from ape_dtn.requests.errors import CannotComplete, NodeUnavailable
from ape_dtn.types.model import Model

# `IDtnAi.DtnRouting`: the only number of answers that the router can make one of.
REDUNDANCY = 1
CONFIDENCE_LEVEL = 8


class Aggregation(IntEnum):
    """How several answers become one (``IDtnAi.AggregationType``)."""

    ANY = 0
    ALL = 1
    SELECT_BEST = 2
    VOTE = 3
    RANK = 4


@dataclass(frozen=True)
class Routing:
    """Who may answer (``IDtnAi.DtnRouting``).

    Attributes:
        nodes: The nodes that may answer, as far as they are registered.
        node_ids: Their ids, as they are sent.
        namespaces: Full names of the trust namespaces whose nodes may answer.
        redundancy: How many answers are wanted.
        confidence_level: From 0 to 10; the contracts only keep it.
        aggregation: How several answers become one.
    """

    nodes: tuple[Node, ...]
    node_ids: tuple[bytes, ...]
    namespaces: tuple[str, ...] = ()
    redundancy: int = REDUNDANCY
    confidence_level: int = CONFIDENCE_LEVEL
    aggregation: Aggregation = Aggregation.ANY

    def encode(self) -> tuple[Any, ...]:
        """The Solidity struct."""
        return (
            [namespace_id(name) for name in self.namespaces],
            list(self.node_ids),
            self.redundancy,
            self.confidence_level,
            self.aggregation,
        )


def namespace_id(name: str) -> bytes:
    """The id of a trust namespace: keccak-256 of the packed name, as the registry hashes it."""
    return keccak(text=name)


def check(
    routing: Routing,
    named: Mapping[str, Node | None],
    serving: Sequence[Node],
    model: Model,
    now: int,
) -> None:
    """Checks that somebody could answer, and that the answer would complete the request.

    Args:
        routing: What is checked.
        named: The nodes that were named, and None for those that are not registered.
        serving: Where nobody is named or a namespace is, the nodes that serve the model.
        model: The model that is asked.
        now: The time of the latest block, in seconds.

    Raises:
        NodeNotFound: A node is not registered, or none serves the model.
        NodeUnavailable: A node is switched off, or does not serve the model.
        CannotComplete: A namespace reaches no node, or the router cannot make one answer of those
            that are wanted (``respondToRequest``).
    """
    if routing.aggregation is not Aggregation.ANY:
        raise CannotComplete(f"the router has no aggregation {routing.aggregation.name}, only ANY")
    if routing.redundancy != REDUNDANCY:
        raise CannotComplete(
            f"the router completes a redundancy of {REDUNDANCY}, not of {routing.redundancy}"
        )
    for name, node in named.items():
        _check_node(name, node, model)
    for name in routing.namespaces:
        _check_namespace(name, serving, model, now)
    if not (routing.node_ids or routing.namespaces):
        raise NodeNotFound(None, f"No active node serves {model.name}: nobody could answer.")


def _check_node(name: str, node: Node | None, model: Model) -> None:
    if node is None:
        raise NodeNotFound(name)
    if not node.is_active:
        raise NodeUnavailable(name, "it is switched off")
    if model.id not in node.models:
        raise NodeUnavailable(name, f"it does not serve {model.name}")


def _check_namespace(name: str, serving: Sequence[Node], model: Model, now: int) -> None:
    of_this = namespace_id(name)
    if not any(node.is_active and node.namespaces.get(of_this, 0) > now for node in serving):
        raise CannotComplete(
            f"no active node that serves {model.name} is a member of the trust namespace {name}"
        )
