"""Errors of requests before they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ape_dtn.types.errors import BadInput, Refused

if TYPE_CHECKING:
    from ape_dtn.types.amount import Amount


class FeeTooHigh(BadInput):
    """At the given fee per byte, the request's own bytes cost more than ``max_cost``."""

    fee: Amount
    asked: Amount
    most: Amount

    def __init__(self, fee: Amount, asked: Amount, most: Amount) -> None:
        super().__init__(
            f"At {fee} per byte, the bytes of the request alone cost {asked}, which is more than "
            f"the max_cost of {most}.",
            fee=fee,
            asked=asked,
            most=most,
        )
        token = fee.token
        self.hint = (
            "Shorten the prompt, lower `fee_per_byte` or raise `max_cost`. Amounts are in whole "
            f'tokens, as in "0.00001 {token.typed_unit}", and not in the smallest unit: '
            f"{token.typed_unit} has {token.decimals} decimals."
        )


class NobodyTrusted(BadInput):
    """No nodes are named on a public network, where anybody can register one."""

    model: str

    def __init__(self, model: str) -> None:
        super().__init__(
            "No trusted nodes are named. On a public network anybody can register a node, answer "
            "first, and charge as much as the answer may cost.",
            model=model,
        )
        self.hint = (
            f"List the nodes that serve the model with `ai.nodes({model!r})`, and name those that "
            "you trust in `nodes`, or under `dtn: nodes:` in ape-config.yaml."
        )


class CannotComplete(Refused):
    """A request that the router accepts, and that no answer can complete."""

    reason: str

    def __init__(self, reason: str, message: str | None = None, **fields: Any) -> None:
        super().__init__(
            message or f"The request could never complete: {reason}.", reason=reason, **fields
        )
        self.hint = "To send it all the same, pass `may_never_complete=True`."


class NobodyCanAnswer(CannotComplete):
    """A request that no node can answer at present."""

    request_id: str
    nodes: dict[str, str]

    def __init__(self, request_id: str, nodes: dict[str, str]) -> None:
        reasons = ", ".join(f"{node} {reason}" for node, reason in nodes.items())
        super().__init__(
            "no node can answer it",
            f"No node can answer request {request_id}: {reasons or 'its routing names none'}.",
            request_id=request_id,
            nodes=nodes,
        )
        self.hint = (
            "List the nodes with `ai.nodes()`, or rehearse as one of them with `as_node=NAME`."
        )


class NodeUnavailable(CannotComplete):
    """A node that cannot answer: it is inactive, or does not serve the model."""

    node: str

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(reason, f"Node {node} cannot answer: {reason}.", node=node)
        self.hint = f"List the nodes and their models with `ai.nodes()`. {self.hint}"


class RequestReplaced(Refused):
    """Another request of the same block has the same id, and has replaced this one."""

    request_id: str

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"Request {request_id} has the same id as a later request of its block, which has "
            "replaced it.",
            request_id=request_id,
        )
        self.hint = "Leave out `user`: each request then has a random user, and an id of its own."
