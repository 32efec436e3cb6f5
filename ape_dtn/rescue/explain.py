"""Findings from an account snapshot, each explained in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ape_dtn.answers import callbacks
from ape_dtn.billing.session_index import SessionLifecycle
from ape_dtn.network.abi import SessionManager
from ape_dtn.network.registry import Node
from ape_dtn.network.requests import Record
from ape_dtn.requests.gas import NATIVE_ADDRESS
from ape_dtn.requests.routing import REDUNDANCY, Aggregation
from ape_dtn.rescue.finding import Finding, Kind, Remedy
from ape_dtn.rescue.scan import AccountSnapshot, Deposit, SessionRequest
from ape_dtn.types.answer import Status
from ape_dtn.types.ids import as_hex

_ORDER = {kind: index for index, kind in enumerate(Kind)}


def explain(snapshot: AccountSnapshot) -> list[Finding]:
    """Return all findings, in the order of :class:`~ape_dtn.rescue.finding.Kind`."""
    findings = [
        *_sessions(snapshot),
        *_uncertain_sessions(snapshot),
        *_deposits(snapshot),
        *_client_balances(snapshot),
        *_unknown_tokens(snapshot),
        *_requests(snapshot),
        *_allowance(snapshot),
    ]
    return sorted(findings, key=lambda finding: _ORDER[finding.kind])


def _sessions(snapshot: AccountSnapshot) -> Iterator[Finding]:
    for session in snapshot.sessions:
        if session.closed is None:
            is_current = _is_current(snapshot, session)
            yield (_open_session if is_current else _stranded_session)(snapshot, session)


def _open_session(snapshot: AccountSnapshot, session: SessionLifecycle) -> Finding:
    pending = tuple(dict.fromkeys(as_hex(request.id) for request in _pending_on(snapshot, session)))
    next_step = "Close it for a refund."
    if pending:
        next_step = (
            f"Requests without an answer: {len(pending)}. If you close the session by force, they "
            "are never answered."
        )
    balance = snapshot.balances[session.manager, session.id]
    return Finding(
        Kind.OPEN_SESSION,
        f"It belongs to {_owner(snapshot, session.owner)} and has {balance}. {next_step}",
        amount=balance,
        remedy=Remedy.CLOSE,
        holder=session.owner,
        session_id=session.id,
        contract=session.manager,
        transaction=session.started.transaction,
        requests=pending,
    )


def _stranded_session(snapshot: AccountSnapshot, session: SessionLifecycle) -> Finding:
    balance = snapshot.balances[session.manager, session.id]
    return Finding(
        Kind.STRANDED_SESSION,
        f"It belongs to {_owner(snapshot, session.owner)} and has {balance}, but it is on the "
        f"former session manager {session.manager}. Only the router can close it, and the router "
        f"uses another session manager now. {_ask_network_owner(snapshot)}",
        amount=balance,
        holder=session.owner,
        session_id=session.id,
        contract=session.manager,
        transaction=session.started.transaction,
    )


def _ask_network_owner(snapshot: AccountSnapshot) -> str:
    owner = f", {snapshot.network_owner}," if snapshot.network_owner else ""
    return f"Ask the owner of the network{owner} to put the former session manager back."


def _uncertain_sessions(snapshot: AccountSnapshot) -> Iterator[Finding]:
    for log in snapshot.uncertain:
        fields = SessionManager.session_started.decode(log)
        yield Finding(
            Kind.UNCERTAIN_SESSION,
            f"The contract {log.address} reports that it started this session of "
            f"{_owner(snapshot, fields['owner'])}. Any contract can report that. The endpoint no "
            "longer has the state that shows whether the contract was the session manager then. "
            "Check again with an archive node.",
            holder=fields["owner"],
            session_id=fields["sessionId"],
            contract=log.address,
            transaction=log.transaction,
        )


def _deposits(snapshot: AccountSnapshot) -> Iterator[Finding]:
    current = snapshot.now.contracts.session_manager
    unclaimed = [deposit for deposit in snapshot.deposits if deposit.next_start is None]
    yield from _waiting_deposit(
        snapshot, [deposit for deposit in unclaimed if deposit.manager == current]
    )
    for deposit in unclaimed:
        if deposit.manager != current:
            yield _stranded_deposit(snapshot, deposit)
    for deposit in snapshot.deposits:
        if deposit.next_start and deposit.transfer.block_number >= snapshot.since:
            start = SessionManager.session_started.decode(deposit.next_start)
            if start["owner"] not in (snapshot.account, snapshot.client):
                yield Finding(
                    Kind.TAKEN_DEPOSIT,
                    "It was sent without starting a session in the same transaction, and "
                    f"{start['owner']} started session {start['sessionId']} with it in "
                    f"transaction {deposit.next_start.transaction}. It cannot be recovered.",
                    amount=deposit.amount,
                    holder=deposit.holder,
                    contract=deposit.manager,
                    transaction=deposit.transfer.transaction,
                )


def _waiting_deposit(snapshot: AccountSnapshot, own: list[Deposit]) -> Iterator[Finding]:
    """Explain the balance of the fee target, of which the account may own a part."""
    token, waiting = snapshot.allowance.token, snapshot.waiting
    sent = sum(deposit.amount.units for deposit in own)
    if waiting == token.units(0) or not (own or waiting):
        return
    amount = "An unknown amount" if waiting is None else str(waiting)
    explanation = f"{amount} is at the fee target, and no session has been started with it. "
    if not own:
        explanation += (
            "Neither your account nor your client sent any of it. If it is yours, for example sent "
            "by an exchange, claim it with a new session."
        )
    else:
        explanation += (
            f"You sent {token.units(sent)}. The next session that anyone starts gets all of it: "
            "start one now. "
        )
        if waiting is None or waiting.units > sent:
            explanation += "The session would also take what others have sent."
        else:
            explanation += "The session would also take what others send before it starts."
    yield Finding(
        Kind.WAITING_DEPOSIT,
        explanation,
        amount=waiting,
        remedy=Remedy.CLAIM if own else None,
        holder=own[0].holder if own else None,
        contract=snapshot.now.contracts.fee_target,
        transaction=own[-1].transfer.transaction if own else None,
    )


def _stranded_deposit(snapshot: AccountSnapshot, deposit: Deposit) -> Finding:
    return Finding(
        Kind.WAITING_DEPOSIT,
        f"It was sent to the former session manager {deposit.manager}, and no session was started "
        "with it. That is impossible while the router uses another session manager. "
        f"{_ask_network_owner(snapshot)}",
        amount=deposit.amount,
        holder=deposit.holder,
        contract=deposit.manager,
        transaction=deposit.transfer.transaction,
    )


def _client_balances(snapshot: AccountSnapshot) -> Iterator[Finding]:
    for amount in snapshot.client_balances:
        if amount:
            is_native = amount.token.address == NATIVE_ADDRESS
            yield Finding(
                Kind.CLIENT_NATIVE if is_native else Kind.CLIENT_TOKENS,
                f"Your client contract {snapshot.client} holds it, and only you can move it. "
                "Sweep it to your account.",
                amount=amount,
                remedy=Remedy.SWEEP,
                holder=snapshot.client,
                contract=amount.token.address,
            )


def _unknown_tokens(snapshot: AccountSnapshot) -> Iterator[Finding]:
    for token in snapshot.unknown_tokens:
        yield Finding(
            Kind.UNKNOWN_TOKENS,
            f"Your client contract {snapshot.client} holds the token {token}. If you know that the "
            "token has value, name it in the next rescue to see the amount and to sweep it. Anyone "
            "can create a token and send it, and its code runs when it is transferred.",
            holder=snapshot.client,
            contract=token,
        )


def _allowance(snapshot: AccountSnapshot) -> Iterator[Finding]:
    if snapshot.allowance:
        yield Finding(
            Kind.ALLOWANCE,
            f"Your client contract {snapshot.client} may spend this much of your account's tokens, "
            "and does so only when you start a session. Nothing is lost.",
            amount=snapshot.allowance,
            holder=snapshot.client,
            contract=snapshot.allowance.token.address,
        )


def _requests(snapshot: AccountSnapshot) -> Iterator[Finding]:
    for request in snapshot.requests:
        if request.record is None or request.is_pending:
            yield _without_answer(snapshot, request)
        else:
            yield _with_answer(request, request.record)


def _without_answer(snapshot: AccountSnapshot, request: SessionRequest) -> Finding:
    cause = _why_unanswerable(snapshot, request)
    explanation = (
        f"It cannot be answered: {cause}." if cause else "It may still be answered. Wait for it."
    )
    kind = Kind.UNANSWERABLE_REQUEST if cause else Kind.PENDING_REQUEST
    return _request_finding(kind, request, explanation)


def _with_answer(request: SessionRequest, record: Record) -> Finding:
    request_id = as_hex(request.id)
    failed = record.status is Status.FAILURE
    explanation = (
        f"The node answered with a failure: {record.message or 'no reason given'}."
        if failed
        else "It has been answered."
    )
    remedy = None if failed else Remedy.READ
    if request.callback_failure is None:
        return _request_finding(Kind.ANSWER, request, explanation, remedy)
    target = record.callback_target
    error = callbacks.callback_failed(request_id, target, request.callback_failure)
    reverted = f"Its callback to {target} reverted: {error.reason}. "
    return _request_finding(Kind.FAILED_CALLBACK, request, reverted + explanation, remedy)


def _request_finding(
    kind: Kind, request: SessionRequest, explanation: str, remedy: Remedy | None = None
) -> Finding:
    return Finding(
        kind,
        explanation,
        remedy=remedy,
        holder=request.session.owner,
        session_id=request.session.id,
        request_id=as_hex(request.id),
        contract=request.session.manager,
        transaction=request.created.transaction,
    )


def _why_unanswerable(snapshot: AccountSnapshot, request: SessionRequest) -> str | None:
    """Return why no answer can come in the current state of the chain; None if one can."""
    record, session = request.record, request.session
    if record is None:
        return "a later request in the same block took over its id and replaced it in the router"
    pays_by_reused_id = session.id in snapshot.reused_ids and not _is_current(snapshot, session)
    if session.closed is not None and not pays_by_reused_id:
        return (
            f"session {session.id}, which would pay for it, was closed in transaction "
            f"{session.closed.transaction}"
        )
    if not (_is_current(snapshot, session) or pays_by_reused_id):
        return (
            f"session {session.id}, which would pay for it, is on a session manager that the "
            "router no longer uses"
        )
    if record.redundancy != REDUNDANCY:
        return f"the router supports only redundancy {REDUNDANCY}, not {record.redundancy}"
    if record.aggregation != Aggregation.ANY:
        return (
            f"the router supports only aggregation ANY, not {Aggregation(record.aggregation).name}"
        )
    return _why_no_node_can_answer(snapshot, record)


def _why_no_node_can_answer(snapshot: AccountSnapshot, record: Record) -> str | None:
    trusted = snapshot.candidates.trusted(record, snapshot.now)
    obstacles = {name: _obstacle(node, record) for name, node in trusted.items()}
    if None in obstacles.values() or not snapshot.candidates.are_all(record):
        return None
    if not obstacles:
        return "no node that serves the model is trusted by its routing"
    names = snapshot.ai.names()
    details = ", ".join(f"{names.of(name)} {obstacle}" for name, obstacle in obstacles.items())
    return f"no node that it trusts can answer now: {details}"


def _obstacle(node: Node | None, record: Record) -> str | None:
    if node is None:
        return "is not registered"
    if not node.is_active:
        return "is inactive"
    return None if record.model_id in node.models else "does not serve the model"


def _pending_on(snapshot: AccountSnapshot, session: SessionLifecycle) -> Iterable[SessionRequest]:
    return (
        request
        for request in snapshot.requests
        if request.session is session and request.is_pending
    )


def _is_current(snapshot: AccountSnapshot, session: SessionLifecycle) -> bool:
    return session.manager == snapshot.now.contracts.session_manager


def _owner(snapshot: AccountSnapshot, holder: str) -> str:
    return "your account" if holder == snapshot.account else f"your client contract {holder}"
