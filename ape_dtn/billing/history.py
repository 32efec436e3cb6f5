"""What became of a session's money, read from the chain's events as of one block.

The router's owner can replace the session manager, and the new one may count sessions from 1 again:
then one id names several sessions, each of which is told by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ape_dtn.billing.session_index import (
    SessionLifecycle,
    asked_then,
    find,
    order,
    payer,
    sure,
    unclear,
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
    from pandas import DataFrame  # type: ignore[import-untyped]  # has none

    from ape_dtn.network.charges import ChargedResponse


_STATES = {
    Status.PENDING: State.PENDING,
    Status.SUCCESS: State.ANSWERED,
    Status.FAILURE: State.FAILED,
}


def history(ai: Network, session_id: int, contents: Mapping[str, bytes] | None = None) -> History:
    """Everything that happened on a session, open or closed, from the chain's events.

    In seven HTTP requests, and more only as the endpoint limits ranges of blocks and batches.

    Args:
        ai: The network.
        session_id: The session's id.
        contents: The contents of answers that travelled over IPFS, by their requests' ids. Their
            size is not on the chain: without them such answers are not judged.

    Raises:
        SessionNotFound: There never was such a session.
        RpcRefused: The endpoint does not serve the events.
    """
    current = ai.contracts().session_manager
    session_call(current, session_id)  # refuses what cannot be an id
    head = as_int(rpc.result(ai.provider, "eth_blockNumber", []))
    found, left_out = find(ai, [session_id], current, head)
    if not (found or left_out):
        raise SessionNotFound(session_id)
    created = reads.logs(
        ai.provider,
        ai.router,
        [Router.request_created.topic, None, topic(session_id)],
        min((each.started.block_number for each in found), default=ai.deployment.first_block),
        head,
    )
    chain = _look_up(ai, session_id, found, created, head)
    can_pay = any(each.manager == current and not each.closed for each in found)
    charges = {each.manager: _charges(each, chain) for each in found}
    paid = {log: charge for each in charges.values() for log, charge in each.items()}
    made: dict[str | None, list[RequestHistory]] = {}
    for log, later in _with_the_later(created):
        asked_by = payer(log, found, chain.managers.get(log))
        content = (contents or {}).get(as_hex(log.topics[1]))
        request = _request(log, later, chain, paid, content)
        if request.state is State.PENDING and not can_pay:
            request = replace(request, state=State.STRANDED)
        made.setdefault(asked_by.manager if asked_by else None, []).append(request)
    sessions = (
        _session(
            each,
            charges=tuple(charges[each.manager].values()),
            requests=tuple(made.get(each.manager, ())),
            chain=chain,
            is_current=each.manager == current,
        )
        for each in found
    )
    return History(
        network=ai.network,
        router=ai.router,
        session_id=session_id,
        as_of=Moment(chain.times[head], head),
        sessions=tuple(sessions),
        left_out=left_out,
        unplaced=tuple(made.get(None, ())),
    )


@dataclass(frozen=True)
class _Chain:
    """What was looked up besides, as of one block.

    ``tokens`` and ``balances`` are by session manager, ``records`` and ``answered`` by request,
    ``managers`` by the event of a request, and ``times`` by block.
    """

    names: Names
    tokens: dict[str, Token]
    balances: dict[str, int]
    records: dict[bytes, Record | None]
    managers: dict[Log, Any]
    answered: dict[bytes, list[ChargedResponse]]
    times: dict[int, datetime]

    def moment(self, log: Log) -> Moment:
        return Moment(self.times[log.block_number], log.block_number, log.index, log.transaction)


def _look_up(
    ai: Network, session_id: int, found: list[SessionLifecycle], created: list[Log], head: int
) -> _Chain:
    """All that the events do not say, in two HTTP requests."""
    tokens = list(dict.fromkeys(each.token for each in found))
    ids = list(dict.fromkeys(log.topics[1] for log in created))
    doubtful = unclear(created, found)
    views = [
        *(call for token in tokens for call in token_calls(token)),
        *(replace(session_call(each.manager, session_id), block=head) for each in found),
        *(replace(record_call(ai, each), block=head) for each in ids),
    ]
    then = [asked_then(ai, log) for log in doubtful]
    seen = iter(ai.try_read(*views, *then))
    described = {each: Token(each, sure(next(seen)), sure(next(seen))) for each in tokens}
    balances = {each.manager: sure(next(seen))[1] for each in found}
    records = {each: to_record(sure(next(seen))) for each in ids}
    managers = dict(zip(doubtful, seen, strict=True))
    answered, times = _receipts_and_times(ai, found, created, head)
    return _Chain(
        names=ai.names(),
        tokens={each.manager: described[each.token] for each in found},
        balances=balances,
        records=records,
        managers=managers,
        answered=answered,
        times=times,
    )


def _receipts_and_times(
    ai: Network, found: list[SessionLifecycle], created: list[Log], head: int
) -> tuple[dict[bytes, list[ChargedResponse]], dict[int, datetime]]:
    """The responses by request, and the times of all blocks that matter.

    Responses do not name their session. Each stands in the transaction of its charge, which does.
    """
    own = [log for each in found for log in (each.started, *each.charges, each.closed) if log]
    blocks = sorted({head, *(log.block_number for log in (*own, *created))})
    paying = list(dict.fromkeys(log.transaction for each in found for log in each.charges))
    receipts = [("eth_getTransactionReceipt", [each]) for each in paying]
    headers = [("eth_getBlockByNumber", [hex(each), False]) for each in blocks]
    answers = iter(rpc.ask(ai.provider, [*receipts, *headers]))
    answered: dict[bytes, list[ChargedResponse]] = {}
    for _ in paying:
        logs = [reads.to_log(raw) for raw in _known(next(answers), "a receipt")["logs"]]
        for answer in charged_responses(logs, ai.router):
            answered.setdefault(answer.request_id, []).append(answer)
    headers_found = (_known(next(answers), f"block {each}") for each in blocks)
    times = (_time(as_int(header["timestamp"])) for header in headers_found)
    return answered, dict(zip(blocks, times, strict=True))


def _known(answer: Any, what: str) -> Any:
    """What an endpoint that has just told of it must know, unless a block was reorganised away."""
    found = rpc.expect(answer)
    if found is None:
        raise RpcRefused("the events", f"it does not know {what} of them any more")
    return found


def _session(
    found: SessionLifecycle,
    charges: tuple[Charge, ...],
    requests: tuple[RequestHistory, ...],
    chain: _Chain,
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


def _charges(found: SessionLifecycle, chain: _Chain) -> dict[Log, Charge]:
    paid_for = {each.charge: each for answers in chain.answered.values() for each in answers}
    token = chain.tokens[found.manager]
    left = SessionManager.session_started.decode(found.started)["balance"]
    charges = {}
    for log in found.charges:
        fields = SessionManager.session_charged.decode(log)
        left -= fields["amount"]
        answer = paid_for.get(log)
        charges[log] = Charge(
            amount=token.units(fields["amount"]),
            to=fields["to"],
            left=token.units(left),
            at=chain.moment(log),
            manager=found.manager,
            request_id=as_hex(answer.request_id) if answer else None,
        )
    return charges


def _with_the_later(created: list[Log]) -> list[tuple[Log, Log | None]]:
    """Each request with the next that took its id, if any did."""
    later: dict[bytes, Log] = {}
    pairs = []
    for log in reversed(created):
        pairs.append((log, later.get(log.topics[1])))
        later[log.topics[1]] = log
    return pairs[::-1]


def _request(
    created: Log,
    later: Log | None,
    chain: _Chain,
    paid: Mapping[Log, Charge],
    content: bytes | None,
) -> RequestHistory:
    fields = Router.request_created.decode(created)
    # The router keeps one request for each id: the latest.
    record = None if later else chain.records[fields["requestId"]]
    answered = [
        answer
        for answer in chain.answered.get(fields["requestId"], [])
        if order(created) < order(answer.response)
        and (later is None or order(answer.response) < order(later))
    ]
    responses = [_response(answer, record, chain, paid, content) for answer in answered]
    if record and record.status and not any(answer.is_last for answer in answered):
        # The endpoint shows no charge that would lead to it; the router has it all the same.
        at = Moment(_time(record.answered_at))
        responses.append(_kept(record, chain, content, at))
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
    answer: ChargedResponse,
    record: Record | None,
    chain: _Chain,
    paid: Mapping[Log, Charge],
    content: bytes | None,
) -> Response:
    at = chain.moment(answer.response)
    charge = paid.get(answer.charge) if answer.charge else None
    failure = answer.callback_failure
    callback_error = None if failure is None else str(reverts.decode(failure))
    # Of several responses the router keeps the last, which completes the request.
    if record and answer.is_last:
        kept = _kept(record, chain, content, at)
        return replace(kept, charge=charge, callback_error=callback_error)
    fields = Router.response_received.decode(answer.response)
    status = Status.SUCCESS if fields["status"] == Status.SUCCESS else Status.FAILURE
    node_id = fields["nodeId"]
    return Response(
        chain.names.of(node_id), as_hex(node_id), status, "", None, charge, at, callback_error
    )


def _kept(record: Record, chain: _Chain, content: bytes | None, at: Moment) -> Response:
    """The response that the router keeps, without what its transaction tells."""
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
    """Over IPFS the response is an identifier, and the chain does not know of how much."""
    if record.call_type is CallType.DIRECT or not record.response:
        return len(record.response)
    return None if content is None else len(content)


def _time(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


class History(Statement):
    """All that a session id ever stood for, and the ways to print it."""

    def as_dict(self) -> dict[str, Any]:
        """The history and its audit as plain data, ready for JSON."""
        from ape_dtn.billing.report import as_dict

        return as_dict(self)

    def csv(self) -> str:
        """What happened, a line each, as CSV that is safe to open in a spreadsheet."""
        from ape_dtn.billing.report import csv_text

        return csv_text(self)

    def dataframe(self) -> DataFrame:
        """What happened, a row each, as a pandas DataFrame whose amounts are exact decimals."""
        from ape_dtn.billing.report import dataframe

        return dataframe(self)

    def html(self) -> str:
        """The audited bill as one page that needs nothing else, neither file nor network."""
        from ape_dtn.billing.page import html

        return html(self)
