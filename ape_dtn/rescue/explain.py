"""What was seen of an account, told one thing at a time: what it is, and what can be done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ape_dtn.answers import callbacks
from ape_dtn.billing.session_index import SessionLifecycle
from ape_dtn.network.abi import SessionManager
from ape_dtn.network.registry import Node
from ape_dtn.network.requests import Record
from ape_dtn.requests.gas import COIN_ADDRESS
from ape_dtn.requests.routing import REDUNDANCY, Aggregation
from ape_dtn.rescue.finding import Finding, Kind, Remedy
from ape_dtn.rescue.scan import AccountSnapshot, Asked, Deposit
from ape_dtn.types.answer import Status
from ape_dtn.types.ids import as_hex

_PLACES = {kind: place for place, kind in enumerate(Kind)}


def explain(seen: AccountSnapshot) -> list[Finding]:
    """All that was found, money first."""
    found = [
        *_sessions(seen),
        *_uncertain(seen),
        *_deposits(seen),
        *_in_client(seen),
        *_unknown_tokens(seen),
        *_requests(seen),
        *_allowance(seen),
    ]
    return sorted(found, key=lambda each: _PLACES[each.kind])


def _sessions(seen: AccountSnapshot) -> Iterator[Finding]:
    for life in seen.lives:
        if life.closed is None:
            yield _open(seen, life) if _is_current(seen, life) else _stranded(seen, life)


def _open(seen: AccountSnapshot, life: SessionLifecycle) -> Finding:
    pending = tuple(dict.fromkeys(as_hex(each.id) for each in _pending_on(seen, life)))
    refund = "Closing it refunds that."
    if pending:
        refund = (
            f"Requests of it without an answer: {len(pending)}. Once it is closed, which takes "
            "--force, they never get one."
        )
    balance = seen.balances[life.manager, life.id]
    return Finding(
        Kind.OPEN_SESSION,
        f"It belongs to {_whose(seen, life.owner)} and has {balance}. {refund}",
        amount=balance,
        remedy=Remedy.CLOSE,
        holder=life.owner,
        session_id=life.id,
        contract=life.manager,
        transaction=life.started.transaction,
        requests=pending,
    )


def _stranded(seen: AccountSnapshot, life: SessionLifecycle) -> Finding:
    owner = f", {seen.network_owner}," if seen.network_owner else ""
    balance = seen.balances[life.manager, life.id]
    return Finding(
        Kind.STRANDED_SESSION,
        f"It belongs to {_whose(seen, life.owner)} and has {balance}, on the session manager "
        f"{life.manager}, which the router does not have any more. Only the router may close it "
        "there, and it closes none but those of its present one. Nothing but the owner of the "
        f"network{owner} can change that, by putting the former session manager back: ask there.",
        amount=balance,
        holder=life.owner,
        session_id=life.id,
        contract=life.manager,
        transaction=life.started.transaction,
    )


def _uncertain(seen: AccountSnapshot) -> Iterator[Finding]:
    for log in seen.uncertain:
        fields = SessionManager.session_started.decode(log)
        yield Finding(
            Kind.UNCERTAIN_SESSION,
            f"The contract {log.address} says that it started this session of "
            f"{_whose(seen, fields['owner'])}. Anybody can say so, and the endpoint has forgotten "
            "whether the router had that session manager then. Look again with one that keeps the "
            "state of old blocks (an archive node).",
            holder=fields["owner"],
            session_id=fields["sessionId"],
            contract=log.address,
            transaction=log.transaction,
        )


def _deposits(seen: AccountSnapshot) -> Iterator[Finding]:
    current = seen.now.contracts.session_manager
    not_started = [each for each in seen.deposits if each.next_start is None]
    yield from _waiting(seen, [each for each in not_started if each.manager == current])
    for deposit in not_started:
        if deposit.manager != current:
            yield _left_behind(seen, deposit)
    for deposit in seen.deposits:
        if deposit.next_start and deposit.moved.block_number >= seen.since:
            taken = SessionManager.session_started.decode(deposit.next_start)
            if taken["owner"] not in (seen.account, seen.client):
                yield Finding(
                    Kind.TAKEN_DEPOSIT,
                    f"It was sent without a start in the same transaction, and {taken['owner']} "
                    f"started session {taken['sessionId']} with it in transaction "
                    f"{deposit.next_start.transaction}. It cannot be taken back.",
                    amount=deposit.amount,
                    holder=deposit.holder,
                    contract=deposit.manager,
                    transaction=deposit.moved.transaction,
                )


def _waiting(seen: AccountSnapshot, own: list[Deposit]) -> Iterator[Finding]:
    """What waits at the fee target, of which some may be the account's own."""
    sent = sum(each.amount.units for each in own)
    if seen.waiting == seen.allowance.token.units(0) or not (own or seen.waiting):
        return
    waits = str(seen.waiting) if seen.waiting is not None else "An unknown amount"
    told = f"{waits} waits at the fee target, and no session was started with it. "
    if not own:
        told += (
            "None of it was sent by your account or your client. Should it be yours all the same, "
            "as when an exchange has sent it for you: `ape dtn session start --claim`."
        )
    else:
        told += (
            f"You sent {seen.allowance.token.units(sent)}. Whoever starts a session next owns all "
            "of it: start one at once. "
        )
        if seen.waiting is None or seen.waiting.units > sent:
            told += "What is there besides is somebody else's, and would be taken along."
        else:
            told += "What somebody else sends there meanwhile would be taken along."
    yield Finding(
        Kind.WAITING_DEPOSIT,
        told,
        amount=seen.waiting,
        remedy=Remedy.CLAIM if own else None,
        holder=own[0].holder if own else None,
        contract=seen.now.contracts.fee_target,
        transaction=own[-1].moved.transaction if own else None,
    )


def _left_behind(seen: AccountSnapshot, deposit: Deposit) -> Finding:
    owner = f", {seen.network_owner}," if seen.network_owner else ""
    return Finding(
        Kind.WAITING_DEPOSIT,
        f"It was sent to the session manager {deposit.manager}, which the router does not have any "
        "more, and no session was started with it. None can be as long as that is so; only the "
        f"owner of the network{owner} can put the former session manager back: ask there.",
        amount=deposit.amount,
        holder=deposit.holder,
        contract=deposit.manager,
        transaction=deposit.moved.transaction,
    )


def _in_client(seen: AccountSnapshot) -> Iterator[Finding]:
    for amount in seen.held:
        if amount:
            is_coin = amount.token.address == COIN_ADDRESS
            yield Finding(
                Kind.CLIENT_COIN if is_coin else Kind.CLIENT_TOKENS,
                f"Your client contract {seen.client} holds it, and nobody but you can move it. "
                "Sweeping sends it to your account.",
                amount=amount,
                remedy=Remedy.SWEEP,
                holder=seen.client,
                contract=amount.token.address,
            )


def _unknown_tokens(seen: AccountSnapshot) -> Iterator[Finding]:
    for token in seen.unknown_tokens:
        yield Finding(
            Kind.UNKNOWN_TOKENS,
            f"Your client contract {seen.client} holds some of the token {token}. If you know that "
            f"it is worth something: `ape dtn rescue --token {token}` tells how much, and sweeps "
            "it. Anybody can make a token and send it, and what it does when it is moved is up to "
            "them.",
            holder=seen.client,
            contract=token,
        )


def _allowance(seen: AccountSnapshot) -> Iterator[Finding]:
    if seen.allowance:
        yield Finding(
            Kind.ALLOWANCE,
            f"Your client contract {seen.client} may take as much of your account's, and does so "
            "only when you start a session. Nothing is lost.",
            amount=seen.allowance,
            holder=seen.client,
            contract=seen.allowance.token.address,
        )


def _requests(seen: AccountSnapshot) -> Iterator[Finding]:
    for asked in seen.asked:
        if asked.record is None or asked.is_pending:
            yield _unanswered(seen, asked)
        else:
            yield _answered(asked, asked.record)


def _unanswered(seen: AccountSnapshot, asked: Asked) -> Finding:
    why_not = _why_never(seen, asked)
    explanation = (
        f"No answer to it can come: {why_not}."
        if why_not
        else f"It may still be answered. Wait for it: `ape dtn answer {as_hex(asked.id)}`."
    )
    return _of_request(
        Kind.HOPELESS_REQUEST if why_not else Kind.PENDING_REQUEST, asked, explanation
    )


def _answered(asked: Asked, record: Record) -> Finding:
    failed = record.status is Status.FAILURE
    told = (
        f"The node answered that it failed: {record.message or 'it gave no reason'}."
        if failed
        else f"Its answer is there, whether you have read it or not: "
        f"`ape dtn answer {as_hex(asked.id)}`."
    )
    remedy = None if failed else Remedy.READ
    if asked.callback_failure is None:
        return _of_request(Kind.ANSWER, asked, told, remedy)
    target = record.callback_target
    error = callbacks.callback_failed(as_hex(asked.id), target, asked.callback_failure)
    reverted = f"Its callback to {target} reverted: {error.reason}. "
    return _of_request(Kind.FAILED_CALLBACK, asked, reverted + told, remedy)


def _of_request(
    kind: Kind, asked: Asked, explanation: str, remedy: Remedy | None = None
) -> Finding:
    return Finding(
        kind,
        explanation,
        remedy=remedy,
        holder=asked.life.owner,
        session_id=asked.life.id,
        request_id=as_hex(asked.id),
        contract=asked.life.manager,
        transaction=asked.created.transaction,
    )


def _why_never(seen: AccountSnapshot, asked: Asked) -> str | None:
    """Why no answer can come, as things are; None where one may."""
    record, life = asked.record, asked.life
    if record is None:
        return "a later request of the same block has taken its id, and the network forgot this one"
    is_taken = life.id in seen.taken_ids and not _is_current(seen, life)
    if life.closed is not None and not is_taken:
        return (
            f"session {life.id}, which was to pay for it, was closed in transaction "
            f"{life.closed.transaction}"
        )
    if not (_is_current(seen, life) or is_taken):
        return (
            f"session {life.id}, which was to pay for it, is on a session manager that the router "
            "does not have any more"
        )
    if record.redundancy != REDUNDANCY:
        return f"the router completes a redundancy of {REDUNDANCY}, not of {record.redundancy}"
    if record.aggregation != Aggregation.ANY:
        return f"the router has no aggregation {Aggregation(record.aggregation).name}, only ANY"
    return _why_nobody(seen, record)


def _why_nobody(seen: AccountSnapshot, record: Record) -> str | None:
    trusted = seen.candidates.trusted(record, seen.now)
    reasons = {each: _why_not(node, record) for each, node in trusted.items()}
    if any(why is None for why in reasons.values()) or not seen.candidates.are_all(record):
        return None
    if not reasons:
        return "no node that serves the model is trusted by its routing"
    names = seen.ai.names()
    told = ", ".join(f"{names.of(each)} {why}" for each, why in reasons.items())
    return f"nobody that it trusts can answer it now: {told}"


def _why_not(node: Node | None, record: Record) -> str | None:
    """Why a node that is trusted cannot answer; None where it can."""
    if node is None:
        return "is not registered"
    if not node.is_active:
        return "is switched off"
    return None if record.model_id in node.models else "does not serve the model"


def _pending_on(seen: AccountSnapshot, life: SessionLifecycle) -> Iterable[Asked]:
    return (each for each in seen.asked if each.life is life and each.is_pending)


def _is_current(seen: AccountSnapshot, life: SessionLifecycle) -> bool:
    return life.manager == seen.now.contracts.session_manager


def _whose(seen: AccountSnapshot, holder: str) -> str:
    return "your account" if holder == seen.account else f"your client contract {holder}"
