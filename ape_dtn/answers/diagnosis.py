"""Diagnoses why requests have no answer, from the chain, once a wait has timed out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ape_dtn.answers.errors import RequestStranded
from ape_dtn.chain import reads, rpc
from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.network.context import Network
from ape_dtn.network.errors import NodeState, Offer, RequestNotFound, RequestPending
from ape_dtn.network.registry import (
    Contracts,
    Node,
    node_calls,
    serving_call,
    to_node,
    to_serving,
    token_calls,
)
from ape_dtn.network.requests import Record, record_call, to_record
from ape_dtn.network.sessions import exists, session_call
from ape_dtn.types.amount import Token
from ape_dtn.types.answer import Status
from ape_dtn.types.errors import DtnError, NoNetwork
from ape_dtn.types.ids import as_hex, id_of
from ape_dtn.types.rpc import Failure, as_int

# How many of the latest blocks are searched for answers of the nodes. Some endpoints allow no more.
RECENT_BLOCKS = 1000


@dataclass(frozen=True)
class BlockContext:
    """The latest block, at which all state is read.

    Attributes:
        block: Its number.
        time: Its timestamp, in seconds.
        contracts: The contracts behind the router.
    """

    block: int
    time: int
    contracts: Contracts


def diagnose(ai: Network, ids: Sequence[bytes], waited: float) -> list[DtnError]:
    """Diagnoses requests without an answer after some seconds, in at most eight HTTP requests.

    Returns:
        An error for each, in their order: `RequestStranded` if its session is closed,
        `RequestNotFound` if the chain does not have it, else `RequestPending` with the nodes that
        may answer.
    """
    try:
        return _diagnose(ai, ids, waited)
    except NoNetwork:  # report the timeout without a diagnosis
        return [RequestPending(as_hex(request_id), waited) for request_id in ids]


def pending_on(ai: Network, manager: str, session_id: int, known: Mapping[str, int]) -> list[str]:
    """The ids of an open session's requests without an answer.

    ``known`` has the blocks of requests in the journal, which the endpoint may not have yet.

    Raises:
        RpcRefused: The endpoint does not serve the events.
    """
    created = reads.logs(
        ai.provider,
        ai.router,
        [Router.request_created.topic, None, reads.topic(session_id)],
        from_block=ai.deployment.first_block,
    )
    blocks = {log.topics[1]: log.block_number for log in created}
    blocks |= {id_of(request, "request"): block for request, block in known.items()}
    records = map(to_record, ai.read(*(record_call(ai, request_id) for request_id in blocks)))
    pending = [
        request_id for request_id, record in zip(blocks, records, strict=True) if is_pending(record)
    ]
    if not pending:
        return []
    started = reads.events(
        ai.provider,
        manager,
        SessionManager.session_started,
        reads.topic(session_id),
        from_block=ai.deployment.first_block,
    )
    since = max((log.block_number for log, _ in started), default=0)
    return [as_hex(request_id) for request_id in pending if blocks[request_id] >= since]


def is_pending(record: Record | None) -> bool:
    """Whether a request has no answer, or is unknown to the endpoint, as a new one can be."""
    return record is None or record.status is Status.PENDING


def _diagnose(ai: Network, ids: Sequence[bytes], waited: float) -> list[DtnError]:
    latest = rpc.result(ai.provider, "eth_getBlockByNumber", ["latest", False])
    now = BlockContext(as_int(latest["number"]), as_int(latest["timestamp"]), ai.contracts())
    symbol, decimals, *raw = ai.read(
        *token_calls(now.contracts.fee_token),
        *(replace(record_call(ai, request_id), block=now.block) for request_id in ids),
    )
    token = Token(now.contracts.fee_token, symbol, decimals)
    records = [to_record(values) for values in raw]
    known = [record for record in records if record]
    closed = _closed_sessions(ai, now, {record.session_id for record in known})
    found = candidates(ai, now, known)
    activity = _activity(ai, now, list(found.nodes))

    def error_of(request_id: str, record: Record | None) -> DtnError:
        if record is None:
            return RequestNotFound(request_id)
        if record.status is Status.PENDING and record.session_id in closed:
            return RequestStranded(request_id, record.session_id)
        states = [
            _node_state(ai, node_id, node, record.model_id, activity)
            for node_id, node in found.trusted(record, now).items()
        ]
        listed = states if states or found.are_all(record) else None
        error = RequestPending(request_id, waited, listed, _offer(record, token))
        if record.status is not Status.PENDING:
            error.add_context("An answer is on the chain, but not confirmed yet.")
        return error

    return [
        error_of(as_hex(request_id), record)
        for request_id, record in zip(ids, records, strict=True)
    ]


def _closed_sessions(ai: Network, now: BlockContext, sessions: Iterable[int]) -> set[int]:
    """The sessions that are closed or unknown on the router's session manager."""
    ids = list(sessions)
    manager = now.contracts.session_manager
    calls = [replace(session_call(manager, session), block=now.block) for session in ids]
    owners = [owner for owner, _ in ai.read(*calls)]
    return {session for session, owner in zip(ids, owners, strict=True) if not exists(owner)}


@dataclass(frozen=True)
class Candidates:
    """The nodes that may answer some requests.

    Attributes:
        nodes: The nodes by id; None for an id that is not registered.
        unlisted: Models with too many nodes to list, which any account can register. ``nodes`` has
            only those of their nodes that a request names.
    """

    nodes: Mapping[bytes, Node | None]
    unlisted: frozenset[bytes]

    def trusted(self, record: Record, now: BlockContext) -> dict[bytes, Node | None]:
        """The nodes that a request's routing trusts (``Router._isTrusted``)."""
        return {
            node_id: node
            for node_id, node in self.nodes.items()
            if may_answer(node_id, node, record, now)
        }

    def are_all(self, record: Record) -> bool:
        """Whether no other nodes may answer a request."""
        return not record.namespaces or record.model_id not in self.unlisted


def candidates(ai: Network, now: BlockContext, records: Iterable[Record]) -> Candidates:
    """Reads the nodes that may answer requests, in two HTTP requests."""
    manager = now.contracts.node_manager
    records = list(records)
    models = list({record.model_id for record in records if record.namespaces})
    results = ai.try_read(*(serving_call(now.contracts, model) for model in models))
    serving = {model: to_serving(result) for model, result in zip(models, results, strict=True)}
    named = [node_id for record in records for node_id in record.nodes]
    listed = [node_id for served_by in serving.values() for node_id in served_by or ()]
    ids = list(dict.fromkeys([*named, *listed]))
    calls = [call for node_id in ids for call in node_calls(manager, node_id)]
    answers = iter(ai.read(*calls))
    return Candidates(
        nodes={node_id: to_node(as_hex(node_id), next(answers), next(answers)) for node_id in ids},
        unlisted=frozenset(model for model, served_by in serving.items() if served_by is None),
    )


def may_answer(node_id: bytes, node: Node | None, record: Record, now: BlockContext) -> bool:
    """Whether a request's routing trusts a node (``Router._isTrusted``)."""
    until = node.namespaces if node else {}
    return node_id in record.nodes or any(
        until.get(namespace, 0) >= now.time for namespace in record.namespaces
    )


def _activity(
    ai: Network, now: BlockContext, ids: list[bytes]
) -> Mapping[bytes, tuple[int, int]] | None:
    """The number of recent answers of nodes, and the seconds since the last; None if unknown."""
    if not ids:
        return {}
    query = {
        "address": ai.router,
        "topics": [Router.response_received.topic, None, [as_hex(node_id) for node_id in ids]],
        "fromBlock": hex(max(now.block - RECENT_BLOCKS, 0)),
        "toBlock": hex(now.block),
    }
    (found,) = rpc.ask(ai.provider, [("eth_getLogs", [query])])
    if isinstance(found, Failure):  # optional: do not split the query
        return None
    logs = [reads.to_log(raw) for raw in found]
    last = {log.topics[2]: log.block_number for log in logs}
    blocks = rpc.ask(
        ai.provider, [("eth_getBlockByNumber", [hex(block), False]) for block in last.values()]
    )
    times = [as_int(rpc.expect_found(block)["timestamp"]) for block in blocks]
    return {
        node_id: (sum(log.topics[2] == node_id for log in logs), now.time - time)
        for node_id, time in zip(last, times, strict=True)
    }


def _node_state(
    ai: Network,
    node_id: bytes,
    node: Node | None,
    model_id: bytes,
    activity: Mapping[bytes, tuple[int, int]] | None,
) -> NodeState:
    answers, last = (None, None) if activity is None else activity.get(node_id, (0, None))
    return NodeState(
        node=ai.names().of(node_id),
        is_active=node is not None and node.is_active,
        serves_model=node is not None and model_id in node.models,
        answers=answers,
        last_answer=last,
    )


def _offer(record: Record, token: Token) -> Offer:
    return Offer(
        fee_per_byte_asked=token.units(record.fee_per_byte_asked),
        fee_per_byte_answered=token.units(record.fee_per_byte_answered),
        max_cost=token.units(record.max_cost),
    )
