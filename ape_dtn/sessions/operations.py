"""What moves money: how each is sent, and how its effect on the chain is recognised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eth_utils import to_checksum_address

from ape_dtn.chain import reads, rpc
from ape_dtn.chain.errors import RpcRefused
from ape_dtn.chain.reads import topic
from ape_dtn.funding import bare_deposit
from ape_dtn.journal import operation
from ape_dtn.journal.operation import Effect, Ready
from ape_dtn.network import reverts
from ape_dtn.network.abi import ERC20, Router, SessionManager
from ape_dtn.network.context import Network
from ape_dtn.types.abi import Log
from ape_dtn.types.rpc import Request, as_int
from ape_dtn.types.transactions import Signed, contract_call

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.funding.methods import Plan
    from ape_dtn.journal.store import Entry


def effect_of(entry: Entry) -> Effect:
    """What an entry leaves on the chain when it has happened."""
    details = entry.details
    if entry.kind in (operation.START, operation.CLAIM):
        return Effect(
            details["manager"],
            SessionManager.session_started,
            (None, operation.address_topic(details["holder"])),
            {"sessionId": "session", "balance": "balance"},
        )
    session = topic(int(entry.meant["session"]))
    if entry.kind == operation.REQUEST:
        # A client names the user itself.
        is_direct = details["transaction"]["to"] == entry.router
        user = operation.address_topic(details["user"]) if is_direct else None
        created = Router.request_created
        return Effect(entry.router, created, (None, session, user), {"requestId": "request"})
    closed = SessionManager.session_closed
    return Effect(details["manager"], closed, (session,), {"remainingBalance": "refund"})


def happened(entry: Entry, logs: Sequence[Log]) -> dict[str, Any] | None:
    """What came of an entry, of the logs of its transactions; None where it did not happen."""
    found = effect_of(entry).find(logs)
    if found is None:
        return None
    log, kept = found
    return {**kept, "transaction": log.transaction, "block": log.block_number}


def claimed(ai: Network, entry: Entry, logs: Sequence[Log]) -> dict[str, Any] | None:
    """The session of a bare deposit that its sender has claimed in another way.

    Raises:
        DepositTaken: Somebody else has.
    """
    if (
        entry.kind != operation.START
        or (deposited := bare_deposit.deposit_among(logs, entry)) is None
    ):
        return None
    manager = entry.details["manager"]
    found = bare_deposit.next_start(ai, manager, deposited)
    if found is None:
        return None
    outcome = happened(entry, [found[0]])
    if outcome is None:  # what waits now is somebody else's
        deposit = bare_deposit.deposit_of(entry)
        raise bare_deposit.taken(ai, manager, deposit, deposited)
    return outcome


def happened_under_another(ai: Network, entry: Entry, logs: Sequence[Log]) -> dict[str, Any] | None:
    """What came of an entry under a session manager that has replaced the one it was meant for."""
    if "manager" not in entry.details:
        return None
    current = {**entry.details, "manager": ai.contracts().session_manager}
    return happened(replace(entry, details=current), logs)


def happened_elsewhere(ai: Network, entry: Entry, known: Iterable[str]) -> dict[str, Any] | None:
    """What came of an entry by a transaction that is not in the journal.

    A wallet may have replaced what was sent, by one with the same nonce. And a smart account sends
    in its own way: there, what nobody else in the journal has brought about is taken for it.

    Args:
        ai: The network.
        entry: The entry.
        known: The transactions that are other entries'.
    """
    effect = effect_of(entry)
    logs = reads.logs(
        ai.provider,
        effect.address,
        [effect.event.topic, *effect.indexed],
        from_block=entry.details["from_block"],
    )
    elsewhere = set(known)
    logs = [log for log in logs if log.transaction not in elsewhere]
    if entry.details["is_sent_here"]:
        logs = _sent_as(ai, logs, entry.signed)
    return happened(entry, logs)


def _sent_as(ai: Network, logs: Sequence[Log], signed: Sequence[Signed]) -> list[Log]:
    """The logs of transactions that were signed, or of others with the same senders and nonces.

    Raises:
        RpcRefused: It is not known of one whose it is.
    """
    # Endpoints keep the logs of transactions that they have forgotten themselves.
    hashes = {each.hash for each in signed}
    own = [log for log in logs if log.transaction in hashes]
    if own or not logs:
        return own
    nonces = {(each.sender, each.nonce) for each in signed}
    asked: list[Request] = [("eth_getTransactionByHash", [log.transaction]) for log in logs]
    found = []
    for log, answer in zip(logs, rpc.ask(ai.provider, asked), strict=True):
        raw = rpc.expect(answer)
        if raw is None:  # of a node that is behind: it may be the one that is looked for
            what = f"it has a log of transaction {log.transaction}, and not the transaction"
            raise RpcRefused("eth_getTransactionByHash", what)
        if (to_checksum_address(raw["from"]), as_int(raw["nonce"])) in nonces:
            found.append(log)
    return found


def plan(ai: Network, account: AccountAPI, entry: Entry, logs: Sequence[Log]) -> Plan | Ready:
    """What is still to be sent for an entry that has not happened yet.

    Args:
        ai: The network.
        account: Who signs.
        entry: The entry.
        logs: What its transactions have left so far.
    """
    from ape_dtn.funding import methods

    if entry.kind != operation.START:
        return Ready(operation.to_transaction(entry.details["transaction"]))
    method = methods.Method(entry.details["method"])
    is_bare = method is methods.Method.TWO_STEP
    if bare_deposit.deposit_among(logs, entry) or (is_bare and _is_deposited_elsewhere(ai, entry)):
        return Ready(contract_call(ai.router, Router.start_user_session))
    deposit = bare_deposit.deposit_of(entry)
    return methods.plan(ai, account, deposit, method, unsafe_two_step=is_bare)


def _is_deposited_elsewhere(ai: Network, entry: Entry) -> bool:
    """Whether a wallet has made the bare deposit, by another transaction with the same nonce.

    Of an account that sends in its own way, a transfer of as much is taken for it.
    """
    if not entry.signed and entry.details["is_sent_here"]:
        return False
    parties = (
        operation.address_topic(each) for each in (entry.account, entry.details["fee_target"])
    )
    logs = reads.logs(
        ai.provider,
        entry.meant["token"],
        [ERC20.transferred.topic, *parties],
        from_block=entry.details["from_block"],
    )
    if not entry.details["is_sent_here"]:
        deposit = int(entry.meant["deposit"])
        return any(ERC20.transferred.decode(log)["value"] == deposit for log in logs)
    return bool(_sent_as(ai, logs, entry.signed))


def about(ai: Network, entry: Entry) -> reverts.ErrorContext:
    """What the errors of an entry are about."""
    session = entry.meant.get("session")
    return reverts.ErrorContext(
        session_id=None if session is None else int(session),
        model=entry.details.get("model"),
    )
