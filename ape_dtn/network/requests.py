"""Requests as the router stores them (``router.getRequest``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ape_dtn.chain.reads import Call
from ape_dtn.network.abi import Router
from ape_dtn.network.errors import RequestNotFound
from ape_dtn.types.answer import CallType, Status
from ape_dtn.types.ids import as_hex

if TYPE_CHECKING:
    from ape_dtn.network.context import Network


@dataclass(frozen=True)
class Record:
    """A request in the router's storage (``IRouter.Request``).

    Attributes:
        session_id: The session that pays.
        user: The user that the request names.
        model_id: Id of the model.
        nodes: Ids of the nodes that may answer.
        namespaces: Ids of the trust namespaces whose nodes may answer.
        redundancy: Number of requested answers.
        aggregation: How they are combined, as a value of ``IDtnAi.AggregationType``.
        call: The inputs, encoded by the model's API.
        extra_params: The values of the placeholders, encoded by index.
        call_type: How the answer is delivered: on chain, or through IPFS.
        fee_per_byte_asked: Fee for each byte of the request, in units of the fee token.
        fee_per_byte_answered: Fee for each byte of the response, in units of the fee token.
        max_cost: Maximum cost of one response, in units of the fee token.
        callback_target: The contract that is called with the answer; the zero address if none.
        callback_gas: Gas limit of the callback.
        status: Whether it is pending, succeeded or failed.
        message: The node's message about a failure.
        response: The response, ABI-encoded.
        node: Id of the node that answered.
        answered_at: Timestamp of the answer's block, in seconds since 1970; 0 if pending.
    """

    session_id: int
    user: str
    model_id: bytes
    nodes: tuple[bytes, ...]
    namespaces: tuple[bytes, ...]
    redundancy: int
    aggregation: int
    call: bytes
    extra_params: bytes
    call_type: CallType
    fee_per_byte_asked: int
    fee_per_byte_answered: int
    max_cost: int
    callback_target: str
    callback_gas: int
    status: Status
    message: str
    response: bytes
    node: bytes
    answered_at: int

    @property
    def bytes_asked(self) -> int:
        """The bytes of the request that an honest node charges for."""
        return len(self.call) + len(self.extra_params)

    @property
    def has_callback(self) -> bool:
        """Whether a contract is called with the answer."""
        return bool(int(self.callback_target, 16))


def record_call(ai: Network, request_id: bytes) -> Call:
    """The call that reads a request; see :func:`to_record`."""
    return Call(ai.router, Router.get_request, (request_id,), contract="router")


def to_record(raw: tuple[Any, ...]) -> Record | None:
    """Makes a record from the result of :func:`record_call`; None if the request does not exist."""
    session_id, user, completed, model_id, routing, offer, callback, callback_gas, _, answer = raw
    if not any(model_id):  # every request has a model
        return None
    namespaces, nodes, redundancy, _, aggregation = routing
    call, extra_params, call_type, fee_asked, fee_answered, max_cost = offer
    status, message, response, node, answered_at = answer
    return Record(
        session_id=session_id,
        user=user,
        model_id=model_id,
        nodes=nodes,
        namespaces=namespaces,
        redundancy=redundancy,
        aggregation=aggregation,
        call=call,
        extra_params=extra_params,
        call_type=CallType(call_type),
        fee_per_byte_asked=fee_asked,
        fee_per_byte_answered=fee_answered,
        max_cost=max_cost,
        callback_target=callback[2],
        callback_gas=callback_gas,
        status=_status(completed, status),
        message=message,
        response=response,
        node=node,
        answered_at=answered_at,
    )


def read_records(ai: Network, request_ids: list[bytes]) -> list[Record]:
    """Reads requests, up to 1,000 in each HTTP request.

    Raises:
        RequestNotFound: No request has one of the ids.
    """
    if not request_ids:
        return []
    results = ai.read(*(record_call(ai, request_id) for request_id in request_ids))
    return [
        _existing(request_id, to_record(raw))
        for request_id, raw in zip(request_ids, results, strict=True)
    ]


def _existing(request_id: bytes, record: Record | None) -> Record:
    if record is None:
        raise RequestNotFound(as_hex(request_id))
    return record


def _status(completed: bool, status: int) -> Status:
    if not completed:
        return Status.PENDING
    # A node can send any status. The router treats every other one than success as a failure.
    return Status.SUCCESS if status == Status.SUCCESS else Status.FAILURE
