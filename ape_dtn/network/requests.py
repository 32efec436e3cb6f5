"""What the chain keeps of a request: ``router.getRequest``, with a name for each field."""

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
    """A request as the router keeps it (``IRouter.Request``).

    Attributes:
        session_id: The session that pays.
        user: On whose behalf it was asked.
        model_id: The model that was asked.
        nodes: Ids of the nodes that may answer.
        namespaces: Ids of the trust namespaces whose nodes may answer.
        redundancy: How many answers were wanted.
        aggregation: How they become one, as ``IDtnAi.AggregationType`` counts.
        call: The inputs, encoded by the model's API.
        extra_params: The values of the placeholders, encoded by index.
        call_type: How the answer travels.
        fee_per_byte_asked: Offered for each byte of the request, in units of the fee token.
        fee_per_byte_answered: Offered for each byte of the response, in units of the fee token.
        max_cost: The cap of one response, in units of the fee token.
        callback_target: What is called with the answer; the zero address for nothing.
        callback_gas: Gas that the callback may use.
        status: What became of it.
        message: What the node says about a failure.
        response: The response, ABI-encoded.
        node: Id of the node that answered.
        answered_at: Time of the block that holds the answer, in seconds; 0 before that.
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
        """The bytes that a fair node bills the request itself for."""
        return len(self.call) + len(self.extra_params)

    @property
    def has_callback(self) -> bool:
        """Whether anything is called with the answer."""
        return bool(int(self.callback_target, 16))


def record_call(ai: Network, request_id: bytes) -> Call:
    """The view that :func:`to_record` reads."""
    return Call(ai.router, Router.get_request, (request_id,), contract="router")


def to_record(raw: tuple[Any, ...]) -> Record | None:
    """A record, of the answer to :func:`record_call`; None where there is no such request."""
    session_id, user, completed, model_id, routing, asked, callback, callback_gas, _, answer = raw
    if not any(model_id):  # no request is without a model
        return None
    namespaces, nodes, redundancy, _, aggregation = routing
    call, extra_params, call_type, fee_asked, fee_answered, most = asked
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
        max_cost=most,
        callback_target=callback[2],
        callback_gas=callback_gas,
        status=_status(completed, status),
        message=message,
        response=response,
        node=node,
        answered_at=answered_at,
    )


def read_records(ai: Network, request_ids: list[bytes]) -> list[Record]:
    """Many requests, in one HTTP request for each thousand.

    Raises:
        RequestNotFound: There is no request of one of the ids.
    """
    if not request_ids:
        return []
    raw = ai.read(*(record_call(ai, each) for each in request_ids))
    return [
        _there(request_id, to_record(each))
        for request_id, each in zip(request_ids, raw, strict=True)
    ]


def _there(request_id: bytes, record: Record | None) -> Record:
    if record is None:
        raise RequestNotFound(as_hex(request_id))
    return record


def _status(completed: bool, status: int) -> Status:
    if not completed:
        return Status.PENDING
    # A node can answer with any status: the router takes all but a success for a failure.
    return Status.SUCCESS if status == Status.SUCCESS else Status.FAILURE
