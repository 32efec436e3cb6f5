"""Reads the history of a session from the chain's events, as of one block.

The router's owner can replace the session manager, and the new one may count sessions from 1 again.
Then one id belongs to several sessions, which are listed separately.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ape_dtn.billing.session_index import (
    SessionLifecycle,
    ambiguous_requests,
    find,
    manager_call,
    order,
    payer,
    value_of,
)
from ape_dtn.billing.statement import (
    Charge,
    Moment,
    RequestHistory,
    Response,
    SessionHistory,
    State,
    Statement,
)
from ape_dtn.chain import reads, rpc
from ape_dtn.chain.errors import RpcRefused
from ape_dtn.chain.reads import topic
from ape_dtn.network import reverts
from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.network.charges import charged_responses
from ape_dtn.network.context import Network
from ape_dtn.network.errors import SessionNotFound
from ape_dtn.network.registry import token_calls
from ape_dtn.network.requests import Record, record_call, to_record
from ape_dtn.network.sessions import session_call
from ape_dtn.types.abi import Log
from ape_dtn.types.amount import Token
from ape_dtn.types.answer import CallType, Status
from ape_dtn.types.ids import Names, as_hex
from ape_dtn.types.rpc import as_int

if TYPE_CHECKING:
    from pandas import DataFrame  # type: ignore[import-untyped]  # untyped

    from ape_dtn.network.charges import ChargedResponse


_STATES = {
    Status.PENDING: State.PENDING,
    Status.SUCCESS: State.ANSWERED,
    Status.FAILURE: State.FAILED,
}


def history(ai: Network, session_id: int, contents: Mapping[str, bytes] | None = None) -> History:
    """Reads all that happened on a session, open or closed, in seven HTTP requests.

    It takes more if the endpoint limits the range of blocks or the size of batches.

    Args:
        ai: The network.
        session_id: The session's id.
        contents: Contents of answers over IPFS, by request id. The chain does not have their size,
            so answers without content are not judged.

    Raises:
        SessionNotFound: There never was such a session.
        RpcRefused: The endpoint does not serve the events.
    """
    current = ai.contracts().session_manager
    session_call(current, session_id)  # rejects a number that cannot be an id
    head = as_int(rpc.result(ai.provider, "eth_blockNumber", []))
    found, left_out = find(ai, [session_id], current, head)
    if not (found or left_out):
        raise SessionNotFound(session_id)
    created = reads.logs(
        ai.provider,
        ai.router,
        [Router.request_created.topic, None, topic(session_id)],
        min((session.started.block_number for session in found), default=ai.deployment.first_block),
        head,
    )
    chain = _read_state(ai, session_id, found, created, head)
    can_pay = any(session.manager == current and not session.closed for session in found)
    charges = {session.manager: _charges(session, chain) for session in found}
    charge_of = {log: charge for by_log in charges.values() for log, charge in by_log.items()}
    requests: dict[str | None, list[RequestHistory]] = {}
    for log, successor in _with_successors(created):
        sender = payer(log, found, chain.managers.get(log))
        content = (contents or {}).get(as_hex(log.topics[1]))
        request = _request(log, successor, chain, charge_of, content)
        if request.state is State.PENDING and not can_pay:
            request = replace(request, state=State.STRANDED)
        requests.setdefault(sender.manager if sender else None, []).append(request)
    sessions = (
        _session(
            session,
            charges=tuple(charges[session.manager].values()),
            requests=tuple(requests.get(session.manager, ())),
            chain=chain,
            is_current=session.manager == current,
        )
        for session in found
    )
    return History(
        network=ai.network,
        router=ai.router,
        session_id=session_id,
        as_of=Moment(chain.times[head], head),
        sessions=tuple(sessions),
        left_out=left_out,
        unplaced=tuple(requests.get(None, ())),
    )


@dataclass(frozen=True)
class _State:
    """State that a session's events do not contain, as of one block.

    ``tokens`` and ``balances`` are by session manager, ``records`` and ``responses`` by request id,
    ``managers`` by the event of a request, and ``times`` by block.
    """

    names: Names
    tokens: dict[str, Token]
    balances: dict[str, int]
    records: dict[bytes, Record | None]
    managers: dict[Log, Any]
    responses: dict[bytes, list[ChargedResponse]]
    times: dict[int, datetime]

    def moment(self, log: Log) -> Moment:
        return Moment(self.times[log.block_number], log.block_number, log.index, log.transaction)


def _read_state(
    ai: Network, session_id: int, found: list[SessionLifecycle], created: list[Log], head: int
) -> _State:
    """Reads the state that the events do not contain, in two HTTP requests."""
    addresses = list(dict.fromkeys(session.token for session in found))
    ids = list(dict.fromkeys(log.topics[1] for log in created))
    ambiguous = ambiguous_requests(created, found)
    calls = [
        *(call for address in addresses for call in token_calls(address)),
        *(replace(session_call(session.manager, session_id), block=head) for session in found),
        *(replace(record_call(ai, request_id), block=head) for request_id in ids),
        *(manager_call(ai, log) for log in ambiguous),
    ]
    answers = iter(ai.try_read(*calls))
    tokens = {
        address: Token(address, value_of(next(answers)), value_of(next(answers)))
        for address in addresses
    }
    balances = {session.manager: value_of(next(answers))[1] for session in found}
    records = {request_id: to_record(value_of(next(answers))) for request_id in ids}
    managers = dict(zip(ambiguous, answers, strict=True))
    responses, times = _receipts_and_times(ai, found, created, head)
    return _State(
        names=ai.names(),
        tokens={session.manager: tokens[session.token] for session in found},
        balances=balances,
        records=records,
        managers=managers,
        responses=responses,
        times=times,
    )


def _receipts_and_times(
    ai: Network, found: list[SessionLifecycle], created: list[Log], head: int
) -> tuple[dict[bytes, list[ChargedResponse]], dict[int, datetime]]:
    """The responses by request id, and the timestamps of the blocks of all events.

    A response does not name its session, but is in the transaction of its charge, which does.
    """
    own = [
        log
        for session in found
        for log in (session.started, *session.charges, session.closed)
        if log
    ]
    blocks = sorted({head, *(log.block_number for log in (*own, *created))})
    paying = list(dict.fromkeys(log.transaction for session in found for log in session.charges))
    receipts = [("eth_getTransactionReceipt", [hash_]) for hash_ in paying]
    headers = [("eth_getBlockByNumber", [hex(block), False]) for block in blocks]
    answers = iter(rpc.ask(ai.provider, [*receipts, *headers]))
    responses: dict[bytes, list[ChargedResponse]] = {}
    for _ in paying:
        logs = [reads.to_log(raw) for raw in _known(next(answers), "a receipt")["logs"]]
        for response in charged_responses(logs, ai.router):
            responses.setdefault(response.request_id, []).append(response)
    headers_found = (_known(next(answers), f"block {block}") for block in blocks)
    times = (_time(as_int(header["timestamp"])) for header in headers_found)
    return responses, dict(zip(blocks, times, strict=True))


def _known(answer: Any, what: str) -> Any:
    found = rpc.expect(answer)
    if found is None:
        raise RpcRefused("the events", f"it no longer has their {what}")
    return found


def _session(
    found: SessionLifecycle,
    charges: tuple[Charge, ...],
    requests: tuple[RequestHistory, ...],
    chain: _State,
    is_current: bool,
) -> SessionHistory:
    started = SessionManager.session_started.decode(found.started)
    closed = SessionManager.session_closed.decode(found.closed) if found.closed else None
    token = chain.tokens[found.manager]
    return SessionHistory(
        id=started["sessionId"],
        manager=found.manager,
        is_current=is_current,
        owner=started["owner"],
        opened=chain.moment(found.started),
        opened_with=token.units(started["balance"]),
        charges=charges,
        requests=requests,
        balance=token.units(chain.balances[found.manager]),
        closed=chain.moment(found.closed) if found.closed else None,
        refund=token.units(closed["remainingBalance"]) if closed else None,
    )


def _charges(found: SessionLifecycle, chain: _State) -> dict[Log, Charge]:
    response_of = {
        response.charge: response
        for responses in chain.responses.values()
        for response in responses
    }
    token = chain.tokens[found.manager]
    left = SessionManager.session_started.decode(found.started)["balance"]
    charges = {}
    for log in found.charges:
        fields = SessionManager.session_charged.decode(log)
        left -= fields["amount"]
        response = response_of.get(log)
        charges[log] = Charge(
            amount=token.units(fields["amount"]),
            to=fields["to"],
            left=token.units(left),
            at=chain.moment(log),
            manager=found.manager,
            request_id=as_hex(response.request_id) if response else None,
        )
    return charges


def _with_successors(created: list[Log]) -> list[tuple[Log, Log | None]]:
    """Each request with the next one of the same id, if there is one."""
    successors: dict[bytes, Log] = {}
    pairs = []
    for log in reversed(created):
        pairs.append((log, successors.get(log.topics[1])))
        successors[log.topics[1]] = log
    return pairs[::-1]


def _request(
    created: Log,
    successor: Log | None,
    chain: _State,
    charge_of: Mapping[Log, Charge],
    content: bytes | None,
) -> RequestHistory:
    fields = Router.request_created.decode(created)
    # The router keeps one record for each id: that of the latest request.
    record = None if successor else chain.records[fields["requestId"]]
    charged = [
        response
        for response in chain.responses.get(fields["requestId"], [])
        if order(created) < order(response.response)
        and (successor is None or order(response.response) < order(successor))
    ]
    responses = [_response(response, record, chain, charge_of, content) for response in charged]
    if record and record.status and not any(response.is_last for response in charged):
        # The endpoint did not return the charge of the answer: use the router's record.
        at = Moment(_time(record.answered_at))
        responses.append(_recorded(record, chain, content, at))
    return RequestHistory(
        id=as_hex(fields["requestId"]),
        user=fields["user"],
        at=chain.moment(created),
        state=_STATES[record.status] if record else State.REPLACED,
        model=chain.names.of(record.model_id) if record else "",
        record=record,
        responses=tuple(responses),
    )


def _response(
    charged: ChargedResponse,
    record: Record | None,
    chain: _State,
    charge_of: Mapping[Log, Charge],
    content: bytes | None,
) -> Response:
    at = chain.moment(charged.response)
    charge = charge_of.get(charged.charge) if charged.charge else None
    failure = charged.callback_failure
    callback_error = None if failure is None else str(reverts.decode(failure))
    # Of several responses the router records the last, which completes the request.
    if record and charged.is_last:
        recorded = _recorded(record, chain, content, at)
        return replace(recorded, charge=charge, callback_error=callback_error)
    fields = Router.response_received.decode(charged.response)
    status = Status.SUCCESS if fields["status"] == Status.SUCCESS else Status.FAILURE
    node_id = fields["nodeId"]
    return Response(
        chain.names.of(node_id), as_hex(node_id), status, "", None, charge, at, callback_error
    )


def _recorded(record: Record, chain: _State, content: bytes | None, at: Moment) -> Response:
    """The response in the router's record, without its charge and callback."""
    return Response(
        node=chain.names.of(record.node),
        node_id=as_hex(record.node),
        status=record.status,
        message=record.message,
        bytes_answered=_bytes_answered(record, content),
        charge=None,
        at=at,
    )


def _bytes_answered(record: Record, content: bytes | None) -> int | None:
    # Over IPFS the response is an identifier: only the content has the size.
    if record.call_type is CallType.DIRECT or not record.response:
        return len(record.response)
    return None if content is None else len(content)


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


class History(Statement):
    """All sessions that ever had one id, and the formats of their bill."""

    def as_dict(self) -> dict[str, Any]:
        """The history and its audit as JSON has them; see :mod:`ape_dtn.types.serialization`."""
        from ape_dtn.billing.report import as_dict

        return as_dict(self)

    def csv(self) -> str:
        """One line for each event, as CSV that is safe to open in a spreadsheet."""
        from ape_dtn.billing.report import csv_text

        return csv_text(self)

    def dataframe(self) -> DataFrame:
        """One row for each event, as a pandas DataFrame. Amounts are exact decimals."""
        from ape_dtn.billing.report import dataframe

        return dataframe(self)

    def html(self) -> str:
        """The audited bill as one self-contained HTML page, which loads nothing."""
        from ape_dtn.billing.page import html

        return html(self)
