"""What moves money: how each is sent, and how its effect on the chain is recognised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from eth_utils import to_checksum_address

from ape_dtn.ai import DtnAi
from ape_dtn.chain import reads, reverts, rpc, sends
from ape_dtn.chain.abi import ERC20, Event, Log, Router, SessionManager
from ape_dtn.chain.reads import topic
from ape_dtn.chain.sends import Signed, Transaction
from ape_dtn.errors import RpcRefused
from ape_dtn.starting import two_step

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.journal.book import Entry
    from ape_dtn.starting.methods import Plan

START, CLAIM, REQUEST, CLOSE = "start", "claim", "request", "close"


@dataclass(frozen=True)
class Effect:
    """What something leaves on the chain when it has happened.

    Attributes:
        address: The contract whose event tells it.
        event: The event.
        indexed: Its indexed fields, as topics; None for any.
        names: What of it is kept, by the event's fields.
    """

    address: str
    event: Event
    indexed: tuple[str | None, ...]
    names: Mapping[str, str]

    def find(self, logs: Iterable[Log]) -> tuple[Log, dict[str, Any]] | None:
        """The log that tells it, if it is among these, and what is kept of it."""
        for log in logs:
            if self.event.matches(log, self.address) and self._has_topics(log):
                fields = self.event.decode(log)
                return log, {name: _plain(fields[given]) for given, name in self.names.items()}
        return None

    def _has_topics(self, log: Log) -> bool:
        pairs = zip(self.indexed, log.topics[1:], strict=False)
        return all(wanted is None or wanted == "0x" + found.hex() for wanted, found in pairs)


def effect_of(entry: Entry) -> Effect:
    """What an entry leaves on the chain when it has happened."""
    details = entry.details
    if entry.kind in (START, CLAIM):
        return Effect(
            details["manager"],
            SessionManager.session_started,
            (None, _address_topic(details["holder"])),
            {"sessionId": "session", "balance": "balance"},
        )
    session = topic(int(entry.meant["session"]))
    if entry.kind == REQUEST:
        # A client names the user itself.
        is_direct = details["transaction"]["to"] == entry.router
        user = _address_topic(details["user"]) if is_direct else None
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


def claimed(ai: DtnAi, entry: Entry, logs: Sequence[Log]) -> dict[str, Any] | None:
    """The session of a bare deposit that its sender has claimed in another way.

    Raises:
        DepositTaken: Somebody else has.
    """
    if entry.kind != START or (deposited := two_step.deposit_among(logs, entry)) is None:
        return None
    manager = entry.details["manager"]
    found = two_step.next_start(ai, manager, deposited)
    if found is None:
        return None
    outcome = happened(entry, [found[0]])
    if outcome is None:  # what waits now is somebody else's
        deposit = two_step.deposit_of(entry)
        raise two_step.taken(ai, manager, deposit, deposited)
    return outcome


def happened_under_another(ai: DtnAi, entry: Entry, logs: Sequence[Log]) -> dict[str, Any] | None:
    """What came of an entry under a session manager that has replaced the one it was meant for."""
    if "manager" not in entry.details:
        return None
    current = {**entry.details, "manager": ai.contracts().session_manager}
    return happened(replace(entry, details=current), logs)


def happened_elsewhere(ai: DtnAi, entry: Entry, known: Iterable[str]) -> dict[str, Any] | None:
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


def _sent_as(ai: DtnAi, logs: Sequence[Log], signed: Sequence[Signed]) -> list[Log]:
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
    asked: list[rpc.Request] = [("eth_getTransactionByHash", [log.transaction]) for log in logs]
    found = []
    for log, answer in zip(logs, rpc.ask(ai.provider, asked), strict=True):
        raw = rpc.expect(answer)
        if raw is None:  # of a node that is behind: it may be the one that is looked for
            what = f"it has a log of transaction {log.transaction}, and not the transaction"
            raise RpcRefused("eth_getTransactionByHash", what)
        if (to_checksum_address(raw["from"]), rpc.as_int(raw["nonce"])) in nonces:
            found.append(log)
    return found


@dataclass(frozen=True)
class Ready:
    """One transaction that needs nothing before it."""

    transaction: Transaction
    preparations: Mapping[str, Transaction] = field(default_factory=dict)

    def opening(self, _ai: DtnAi, _account: AccountAPI) -> Sequence[Transaction]:
        """The transaction."""
        return (self.transaction,)


def plan(ai: DtnAi, account: AccountAPI, entry: Entry, logs: Sequence[Log]) -> Plan | Ready:
    """What is still to be sent for an entry that has not happened yet.

    Args:
        ai: The network.
        account: Who signs.
        entry: The entry.
        logs: What its transactions have left so far.
    """
    from ape_dtn.starting import methods

    if entry.kind != START:
        return Ready(to_transaction(entry.details["transaction"]))
    method = methods.Method(entry.details["method"])
    is_bare = method is methods.Method.TWO_STEP
    if two_step.deposit_among(logs, entry) or (is_bare and _is_deposited_elsewhere(ai, entry)):
        return Ready(sends.call(ai.router, Router.start_user_session))
    deposit = two_step.deposit_of(entry)
    return methods.plan(ai, account, deposit, method, unsafe_two_step=is_bare)


def _is_deposited_elsewhere(ai: DtnAi, entry: Entry) -> bool:
    """Whether a wallet has made the bare deposit, by another transaction with the same nonce.

    Of an account that sends in its own way, a transfer of as much is taken for it.
    """
    if not entry.signed and entry.details["is_sent_here"]:
        return False
    parties = (_address_topic(each) for each in (entry.account, entry.details["fee_target"]))
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


def about(ai: DtnAi, entry: Entry) -> reverts.About:
    """What the errors of an entry are about."""
    session = entry.meant.get("session")
    return reverts.About(
        session_id=None if session is None else int(session),
        model=entry.details.get("model"),
    )


def from_transaction(transaction: Transaction) -> dict[str, Any]:
    """A transaction as the journal keeps it. Nothing of it is signed."""
    return {
        "to": transaction.to,
        "data": "0x" + transaction.data.hex(),
        "value": str(transaction.value),
    }


def to_transaction(kept: Mapping[str, Any]) -> Transaction:
    """A transaction that the journal has kept."""
    return Transaction(kept["to"], bytes.fromhex(kept["data"][2:]), int(kept["value"]))


def _address_topic(address: str) -> str:
    return topic(bytes.fromhex(address[2:]).rjust(32, b"\0"))


def _plain(value: Any) -> str:
    """As JSON has it: numbers of a chain exceed what JSON's readers take for exact."""
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
