"""Why there is no answer yet, as far as the chain tells: read once, when a wait is over."""

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

# In how many of the latest blocks the nodes' answers are looked for. Some endpoints take no more.
RECENT_BLOCKS = 1000


@dataclass(frozen=True)
class BlockContext:
    """The chain as of its latest block, which all is read at.

    Attributes:
        block: The block's number.
        time: Its time, in seconds.
        contracts: What is behind the router.
    """

    block: int
    time: int
    contracts: Contracts


def diagnose(ai: Network, ids: Sequence[bytes], waited: float) -> list[DtnError]:
    """What befell requests that were not answered in this time, in eight HTTP requests at most.

    Returns:
        For each, in its place: `RequestStranded` where its session is closed, `RequestNotFound`
        where the chain does not have it, else `RequestPending` with all that is known.
    """
    try:
        return _why(ai, ids, waited)
    except NoNetwork:  # that they are pending is all that is known
        return [RequestPending(as_hex(each), waited) for each in ids]


def pending_on(ai: Network, manager: str, session_id: int, known: Mapping[str, int]) -> list[str]:
    """The requests of an open session that have no answer.

    Args:
        ai: The network.
        manager: Its session manager. Another one may have had a session of the same id before.
        session_id: The session.
        known: Requests that were sent, and the blocks they are in, also where the endpoint does not
            have them yet.

    Raises:
        RpcRefused: The endpoint does not serve the events that tell of them.
    """
    created = reads.logs(
        ai.provider,
        ai.router,
        [Router.request_created.topic, None, reads.topic(session_id)],
        from_block=ai.deployment.first_block,
    )
    asked = {log.topics[1]: log.block_number for log in created}
    asked |= {id_of(each, "request"): block for each, block in known.items()}
    raw = ai.read(*(record_call(ai, each) for each in asked))
    records = zip(asked, (to_record(each) for each in raw), strict=True)
    pending = [each for each, record in records if is_pending(record)]
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
    return [as_hex(each) for each in pending if asked[each] >= since]


def is_pending(record: Record | None) -> bool:
    """Whether a request has no answer; one that the endpoint does not have yet has none either."""
    return record is None or record.status is Status.PENDING


def _why(ai: Network, ids: Sequence[bytes], waited: float) -> list[DtnError]:
    latest = rpc.result(ai.provider, "eth_getBlockByNumber", ["latest", False])
    now = BlockContext(as_int(latest["number"]), as_int(latest["timestamp"]), ai.contracts())
    symbol, decimals, *raw = ai.read(
        *token_calls(now.contracts.fee_token),
        *(replace(record_call(ai, each), block=now.block) for each in ids),
    )
    token = Token(now.contracts.fee_token, symbol, decimals)
    records = [to_record(each) for each in raw]
    known = [record for record in records if record]
    closed = _closed(ai, now, {record.session_id for record in known})
    found = candidates(ai, now, known)
    activity = _activity(ai, now, list(found.nodes))

    def of(request_id: str, record: Record | None) -> DtnError:
        if record is None:
            return RequestNotFound(request_id)
        if record.status is Status.PENDING and record.session_id in closed:
            return RequestStranded(request_id, record.session_id)
        states = [
            _state(ai, each, node, record.model_id, activity)
            for each, node in found.trusted(record, now).items()
        ]
        told = states if states or found.are_all(record) else None
        error = RequestPending(request_id, waited, told, _offer(record, token))
        if record.status is not Status.PENDING:
            error.hint = f"An answer has landed, and is not confirmed yet. {error.hint}"
        return error

    return [of(as_hex(each), record) for each, record in zip(ids, records, strict=True)]


def _closed(ai: Network, now: BlockContext, sessions: Iterable[int]) -> set[int]:
    """Those of the sessions that the router's session manager does not have (any more)."""
    sessions = list(sessions)
    manager = now.contracts.session_manager
    calls = [replace(session_call(manager, each), block=now.block) for each in sessions]
    owners = [owner for owner, _ in ai.read(*calls)]
    return {each for each, owner in zip(sessions, owners, strict=True) if not exists(owner)}


@dataclass(frozen=True)
class Candidates:
    """The nodes that could be meant by some requests.

    Attributes:
        nodes: The nodes by their ids; None for one that is not registered.
        unlisted: Models that more nodes serve than can be listed: anybody can register some. Of
            those, ``nodes`` has the ones that are named.
    """

    nodes: Mapping[bytes, Node | None]
    unlisted: frozenset[bytes]

    def trusted(self, record: Record, now: BlockContext) -> dict[bytes, Node | None]:
        """Those that a request's routing trusts (``Router._isTrusted``)."""
        return {
            each: node for each, node in self.nodes.items() if may_answer(each, node, record, now)
        }

    def are_all(self, record: Record) -> bool:
        """Whether no other nodes could be meant by a request."""
        return not record.namespaces or record.model_id not in self.unlisted


def candidates(ai: Network, now: BlockContext, records: Iterable[Record]) -> Candidates:
    """Reads the nodes that could be meant by the requests, in two HTTP requests."""
    manager = now.contracts.node_manager
    records = list(records)
    models = list({record.model_id for record in records if record.namespaces})
    results = ai.try_read(*(serving_call(now.contracts, each) for each in models))
    serving = {each: to_serving(result) for each, result in zip(models, results, strict=True)}
    named = [node_id for record in records for node_id in record.nodes]
    listed = [node_id for ids in serving.values() for node_id in ids or ()]
    ids = list(dict.fromkeys([*named, *listed]))
    calls = [call for node_id in ids for call in node_calls(manager, node_id)]
    answers = iter(ai.read(*calls))
    return Candidates(
        nodes={each: to_node(as_hex(each), next(answers), next(answers)) for each in ids},
        unlisted=frozenset(each for each, ids in serving.items() if ids is None),
    )


def may_answer(node_id: bytes, node: Node | None, record: Record, now: BlockContext) -> bool:
    """Whether the request's routing trusts the node (``Router._isTrusted``)."""
    until = node.namespaces if node else {}
    return node_id in record.nodes or any(
        until.get(each, 0) >= now.time for each in record.namespaces
    )


def _activity(
    ai: Network, now: BlockContext, ids: list[bytes]
) -> Mapping[bytes, tuple[int, int]] | None:
    """For each node that answered lately, how often, and how many seconds ago the last time."""
    if not ids:
        return {}
    query = {
        "address": ai.router,
        "topics": [Router.response_received.topic, None, [as_hex(each) for each in ids]],
        "fromBlock": hex(max(now.block - RECENT_BLOCKS, 0)),
        "toBlock": hex(now.block),
    }
    (found,) = rpc.ask(ai.provider, [("eth_getLogs", [query])])
    if isinstance(found, Failure):  # not worth more queries
        return None
    logs = [reads.to_log(raw) for raw in found]
    last = {log.topics[2]: log.block_number for log in logs}
    blocks = rpc.ask(
        ai.provider, [("eth_getBlockByNumber", [hex(each), False]) for each in last.values()]
    )
    times = [as_int(rpc.expect(block)["timestamp"]) for block in blocks]
    return {
        node_id: (sum(log.topics[2] == node_id for log in logs), now.time - time)
        for node_id, time in zip(last, times, strict=True)
    }


def _state(
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
        fee_per_byte_asked=str(token.units(record.fee_per_byte_asked)),
        fee_per_byte_answered=str(token.units(record.fee_per_byte_answered)),
        max_cost=str(token.units(record.max_cost)),
    )
