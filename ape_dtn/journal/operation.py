"""Describes an operation to the journal: how it is sent, and how it is recognised on the chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from eth_utils import to_checksum_address

from ape_dtn.chain import reads, rpc
from ape_dtn.chain.errors import RpcRefused
from ape_dtn.chain.reads import topic
from ape_dtn.network.context import Network
from ape_dtn.types.abi import Event, Log
from ape_dtn.types.rpc import Request, as_int
from ape_dtn.types.transactions import Signed, Transaction

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.journal.store import Entry, Journal
    from ape_dtn.network.reverts import ErrorContext
    from ape_dtn.types.amount import Token
    from ape_dtn.types.errors import DtnError
    from ape_dtn.types.transactions import Receipt

# Fields of an operation's event as text, with ``transaction`` and ``block``.
Outcome: TypeAlias = "dict[str, Any]"


@dataclass(frozen=True)
class Effect:
    """The event that shows that an operation was executed.

    Attributes:
        address: The contract that emits it.
        event: The event.
        indexed: Its indexed fields, as topics; None matches any.
        names: The fields to keep, each with its name in the outcome.
    """

    address: str
    event: Event
    indexed: tuple[str | None, ...]
    names: Mapping[str, str]

    def find(self, logs: Iterable[Log]) -> tuple[Log, dict[str, Any]] | None:
        """The first log of the event, and the fields to keep; None if no log matches."""
        for log in logs:
            if self.event.matches(log, self.address) and self._has_topics(log):
                fields = self.event.decode(log)
                return log, {name: _as_text(fields[own]) for own, name in self.names.items()}
        return None

    def _has_topics(self, log: Log) -> bool:
        pairs = zip(self.indexed, log.topics[1:], strict=False)
        return all(wanted is None or wanted == "0x" + found.hex() for wanted, found in pairs)


class Steps(Protocol):
    """The transactions that an operation still needs."""

    @property
    def preparations(self) -> Mapping[str, Transaction]:
        """Transactions to send first, by description. None of them moves money."""

    @property
    def details(self) -> Mapping[str, str]:
        """What the journal has to keep about the plan; empty if it has it already."""

    @property
    def token(self) -> Token | None:
        """The token of the payment, for error messages."""

    @property
    def is_stale(self) -> bool:
        """Whether the plan is too old to be signed, as after a confirmation prompt."""

    def transactions(self, ai: Network, account: AccountAPI) -> Sequence[Transaction]:
        """The transactions that have the effect."""


@dataclass(frozen=True)
class SingleTransaction:
    """Steps of one transaction without preparations."""

    transaction: Transaction
    preparations: Mapping[str, Transaction] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)
    token: Token | None = None
    is_stale: bool = False

    def transactions(self, _ai: Network, _account: AccountAPI) -> Sequence[Transaction]:
        """See :class:`Steps`."""
        return (self.transaction,)


class Operation(Protocol):
    """One kind of operation that moves money, as the executor needs to know it.

    Methods are given the entry as it is in the journal, perhaps written by another process or by
    the previous version.
    """

    @property
    def kind(self) -> str:
        """Its name in the journal."""

    @property
    def is_split(self) -> bool:
        """Whether it may take two transactions, a deposit and a start that fails without it."""

    def of(self, entry: Entry) -> Operation:
        """The operation of another entry of the same journal."""

    def error_context(self, entry: Entry) -> ErrorContext:
        """The context in which its reverts are explained."""

    def effect(self, entry: Entry) -> Effect:
        """The event that shows that it was executed."""

    def current_effect(self, ai: Network, entry: Entry) -> Effect | None:
        """The effect under the router's current contracts; None if it does not depend on them."""

    def claimed_outcome(self, ai: Network, entry: Entry, logs: Sequence[Log]) -> Outcome | None:
        """The outcome of a deposit, which ``logs`` show, if another transaction has claimed it.

        Raises:
            DtnError: Another account has claimed it: the operation has failed for good.
        """

    def is_half_done(self, entry: Entry, logs: Sequence[Log]) -> bool:
        """Whether logs of its transactions show a deposit, which still waits for its start."""

    def can_be_resent(self, entry: Entry, signed: Signed) -> bool:
        """Whether a transaction can be rebroadcast without looking at the operation's others.

        A start that claims any deposit it finds cannot.
        """

    def plan(self, ai: Network, account: AccountAPI, entry: Entry, logs: Sequence[Log]) -> Steps:
        """Plans what is still to be sent, given the logs of what was sent before."""

    def explain(
        self, ai: Network, entry: Entry, failed: DtnError, receipts: Sequence[Receipt]
    ) -> DtnError:
        """A more specific error for a failure, by the chain's present state; or the same error."""

    def leaves_deposit(self, entry: Entry) -> bool:
        """Whether it may leave a deposit without a start."""

    def ended_by(self, failed: DtnError) -> str | None:
        """The hash of another account's transaction that made a failure permanent, if known."""

    def reconcile(self, ai: Network, journal: Journal) -> bool:
        """Replaces the costs in the journal by those on the chain; true if any changed."""


# Finds the operation of an entry.
OperationOf: TypeAlias = "Callable[[Entry], Operation]"


def outcome_in(effect: Effect, logs: Iterable[Log]) -> Outcome | None:
    """The outcome that logs show; None if they lack the effect."""
    found = effect.find(logs)
    if found is None:
        return None
    log, fields = found
    return {**fields, "transaction": log.transaction, "block": log.block_number}


def outcome_in_current(
    ai: Network, operation: Operation, entry: Entry, logs: Sequence[Log]
) -> Outcome | None:
    """The outcome that logs show, if the router's contracts were replaced since the plan."""
    effect = operation.current_effect(ai, entry)
    return None if effect is None else outcome_in(effect, logs)


def outcome_on_chain(
    ai: Network, operation: Operation, entry: Entry, other_transactions: Iterable[str]
) -> Outcome | None:
    """The outcome of a transaction that the journal does not have.

    A wallet may have replaced a transaction by another one with the same nonce. If the wallet sends
    all transactions of the account, any matching event counts, unless it belongs to another entry.
    """
    effect = operation.effect(entry)
    logs = reads.logs(
        ai.provider,
        effect.address,
        [effect.event.topic, *effect.indexed],
        from_block=entry.details["from_block"],
    )
    excluded = set(other_transactions)
    logs = [log for log in logs if log.transaction not in excluded]
    if entry.details["is_sent_here"]:
        logs = logs_of_payment(ai, logs, entry.signed)
    return outcome_in(effect, logs)


def logs_of_payment(ai: Network, logs: Sequence[Log], signed: Sequence[Signed]) -> list[Log]:
    """Keeps the logs of signed transactions, or of others with the same senders and nonces.

    Raises:
        RpcRefused: The endpoint has a log, and not its transaction.
    """
    # Endpoints keep logs longer than transactions, so the hashes are compared first.
    hashes = {transaction.hash for transaction in signed}
    own = [log for log in logs if log.transaction in hashes]
    if own or not logs:
        return own
    nonces = {(transaction.sender, transaction.nonce) for transaction in signed}
    requests: list[Request] = [("eth_getTransactionByHash", [log.transaction]) for log in logs]
    found = []
    for log, answer in zip(logs, rpc.ask(ai.provider, requests), strict=True):
        raw = rpc.expect(answer)
        if raw is None:  # the node lags, and this may be the one wanted
            reason = f"it has a log of transaction {log.transaction}, but not the transaction"
            raise RpcRefused("eth_getTransactionByHash", reason)
        if (to_checksum_address(raw["from"]), as_int(raw["nonce"])) in nonces:
            found.append(log)
    return found


def from_transaction(transaction: Transaction) -> dict[str, Any]:
    """An unsigned transaction as the journal stores it."""
    return {
        "to": transaction.to,
        "data": "0x" + transaction.data.hex(),
        "value": str(transaction.value),
    }


def to_transaction(stored: Mapping[str, Any]) -> Transaction:
    """The inverse of :func:`from_transaction`."""
    return Transaction(stored["to"], bytes.fromhex(stored["data"][2:]), int(stored["value"]))


def address_topic(address: str) -> str:
    """An address as an indexed field of a log."""
    return topic(bytes.fromhex(address[2:]).rjust(32, b"\0"))


def _as_text(value: Any) -> str:
    """A value for JSON, whose readers round large integers."""
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
