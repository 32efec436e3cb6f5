"""Errors of requests before they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ape_dtn.types.errors import BadInput, Refused

if TYPE_CHECKING:
    from ape_dtn.types.amount import Amount


class FeeTooHigh(BadInput):
    """A fee per byte at which the question alone would cost more than the answer may."""

    fee: str
    asked: str
    most: str

    def __init__(self, fee: Amount, asked: Amount, most: Amount) -> None:
        super().__init__(
            f"At {fee} a byte the question alone costs {asked}, and the answer may cost no more "
            f"than {most}.",
            fee=str(fee),
            asked=str(asked),
            most=str(most),
        )
        token = fee.token
        self.hint = (
            "Ask less, lower --fee-per-byte or raise --max-cost. "
            f"{token.symbol} has {token.decimals} decimals: amounts are in whole tokens, as in "
            f'"0.00001 {token.symbol}", not in its smallest units.'
        )


class NobodyTrusted(BadInput):
    """No nodes were named on a public network, where anybody can register one."""

    model: str

    def __init__(self, model: str) -> None:
        super().__init__(
            "No trusted nodes are named. On a public network anybody can register a node, answer "
            "first, and take as much as the answer may cost.",
            model=model,
        )
        self.hint = (
            f"Choose among `ape dtn nodes --model {model}`, then name them with --node, or under "
            "`dtn: nodes:` in ape-config.yaml."
        )


class CannotComplete(Refused):
    """A request that the deployment accepts, is paid gas for, and never completes."""

    reason: str

    def __init__(self, reason: str, message: str | None = None, **fields: Any) -> None:
        super().__init__(
            message or f"The request could never complete: {reason}.", reason=reason, **fields
        )
        self.hint = "To send it all the same: may_never_complete=True, or --may-never-complete."


class NobodyCanAnswer(CannotComplete):
    """A request that no node could answer as things are."""

    request_id: str
    nodes: dict[str, str]

    def __init__(self, request_id: str, nodes: dict[str, str]) -> None:
        told = ", ".join(f"{node} {reason}" for node, reason in nodes.items())
        super().__init__(
            "no node can answer it",
            f"No node can answer request {request_id}: {told or 'its routing trusts none'}.",
            request_id=request_id,
            nodes=nodes,
        )
        self.hint = "List the nodes: `ape dtn nodes`. Rehearse as any of them: --as-node NAME."


class NodeUnavailable(CannotComplete):
    """A node that could never answer: it is switched off, or does not serve the model."""

    node: str

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(reason, f"Node {node} cannot answer: {reason}.", node=node)
        self.hint = f"List the nodes and what they serve: `ape dtn nodes`. {self.hint}"


class RequestReplaced(Refused):
    """Another request got the same id in the same block, and the network forgot this one."""

    request_id: str

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"Request {request_id} shares its id with another one of the same block: the network "
            "keeps the later one only.",
            request_id=request_id,
        )
        self.hint = "Leave out `user`: each request then gets one, and an id, of its own."
