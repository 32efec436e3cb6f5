"""The nodes and namespaces that may answer a request, and whether any of them can.

The router accepts requests that no answer can complete, and keeps their fees.
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

# The only redundancy with which the router completes a request (`IDtnAi.DtnRouting`).
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
    """The nodes and namespaces that may answer (``IDtnAi.DtnRouting``).

    Attributes:
        nodes: The nodes that may answer and are registered.
        node_ids: The ids of all nodes that may answer.
        namespaces: The full names of the trust namespaces whose nodes may answer.
        redundancy: The number of answers wanted.
        confidence_level: From 0 to 10. The contracts store it and do not use it.
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
    """The id of a trust namespace: keccak-256 of its name, as ``NamespaceManager`` computes it."""
    return keccak(text=name)


def check(
    routing: Routing,
    named: Mapping[str, Node | None],
    serving: Sequence[Node],
    model: Model,
    now: int,
) -> None:
    """Check that a node can answer, and that its answer completes the request.

    Args:
        routing: The routing.
        named: The nodes that were named; None for a node that is not registered.
        serving: The nodes that serve the model; not needed if only nodes are named.
        model: The model.
        now: The time of the latest block, in seconds.

    Raises:
        NodeNotFound: A named node is not registered, or no node serves the model.
        NodeUnavailable: A named node is inactive, or does not serve the model.
        CannotComplete: A namespace has no node that serves the model, or the router cannot
            aggregate the answers (``respondToRequest``).
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
        raise NodeUnavailable(name, "it is inactive")
    if model.id not in node.models:
        raise NodeUnavailable(name, f"it does not serve {model.name}")


def _check_namespace(name: str, serving: Sequence[Node], model: Model, now: int) -> None:
    namespace = namespace_id(name)
    if not any(node.is_active and node.namespaces.get(namespace, 0) > now for node in serving):
        raise CannotComplete(
            f"no active node that serves {model.name} is a member of the trust namespace {name}"
        )
