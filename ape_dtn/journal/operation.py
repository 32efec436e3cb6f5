"""What the journal has to know of an operation: how it is sent, and recognised on the chain."""

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

# What came of something, as text: the fields of its event that are kept, transaction and block.
Outcome: TypeAlias = "dict[str, Any]"


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


class Steps(Protocol):
    """What is still to be sent for something that has not happened yet."""

    @property
    def preparations(self) -> Mapping[str, Transaction]:
        """What has to be sent before, by what it does. None of it moves money."""

    @property
    def details(self) -> Mapping[str, str]:
        """What the journal keeps of how it is done; empty where it keeps that already."""

    @property
    def token(self) -> Token | None:
        """The token that it is paid in, for its errors."""

    @property
    def is_stale(self) -> bool:
        """Whether the chain may be otherwise by now, as after a question to the user."""

    def opening(self, ai: Network, account: AccountAPI) -> Sequence[Transaction]:
        """The transactions that it happens in."""


@dataclass(frozen=True)
class Ready:
    """One transaction that needs nothing before it."""

    transaction: Transaction
    preparations: Mapping[str, Transaction] = field(default_factory=dict)
    details: Mapping[str, str] = field(default_factory=dict)
    token: Token | None = None
    is_stale: bool = False

    def opening(self, _ai: Network, _account: AccountAPI) -> Sequence[Transaction]:
        """The transaction."""
        return (self.transaction,)


class Operation(Protocol):
    """What the executor has to know of one kind of thing that moves money.

    Each method is given the entry as the journal has it: it may be that of another process, or of
    a version before.
    """

    @property
    def kind(self) -> str:
        """The name that the journal keeps it under."""

    @property
    def is_split(self) -> bool:
        """Whether it may take two transactions, of which the second is in vain without the first.

        Then it is looked at first whether anybody else has taken what the first one left.
        """

    def of(self, entry: Entry) -> Operation:
        """The operation that another entry of the same journal is of."""

    def about(self, entry: Entry) -> ErrorContext:
        """What its errors are about."""

    def effect(self, entry: Entry) -> Effect:
        """What it leaves on the chain when it has happened."""

    def effect_now(self, ai: Network, entry: Entry) -> Effect | None:
        """The same, with the contracts that are behind the router now; None where it needs none."""

    def claimed(self, ai: Network, entry: Entry, logs: Sequence[Log]) -> Outcome | None:
        """What came of it in another way than by its own transactions, given what these left.

        Raises:
            DtnError: Nothing will come of it any more.
        """

    def is_half_done(self, entry: Entry, logs: Sequence[Log]) -> bool:
        """Whether the first of two transactions has left what the second one is for.

        Args:
            entry: The entry.
            logs: What its transactions have left so far.
        """

    def can_be_resent(self, entry: Entry, signed: Signed) -> bool:
        """Whether it does no harm to send one of its transactions before the others are looked at.

        It does where the transaction takes whatever it finds when it is mined.
        """

    def plan(self, ai: Network, account: AccountAPI, entry: Entry, logs: Sequence[Log]) -> Steps:
        """What is still to be sent for it.

        Args:
            ai: The network.
            account: Who signs.
            entry: The entry.
            logs: What its transactions have left so far.
        """

    def explain(
        self, ai: Network, entry: Entry, failed: DtnError, receipts: Sequence[Receipt]
    ) -> DtnError:
        """What a failure means, as the chain has it now; else the failure itself."""

    def leaves_deposit(self, entry: Entry) -> bool:
        """Whether the first of two transactions may leave what the second one is for."""

    def ended_by(self, failed: DtnError) -> str | None:
        """The transaction after which a failed one stays failed, whatever else is sent for it.

        None where no other transaction has made it fail, or that is not known.
        """

    def reconcile(self, ai: Network, journal: Journal) -> bool:
        """Compares what the journal takes to have been spent with the chain.

        Returns:
            Whether anything is otherwise than it was taken to be.
        """


# Which operation an entry is of.
OperationOf: TypeAlias = "Callable[[Entry], Operation]"


def happened(effect: Effect, logs: Iterable[Log]) -> Outcome | None:
    """What came of something, of the logs of transactions; None where it did not happen."""
    found = effect.find(logs)
    if found is None:
        return None
    log, kept = found
    return {**kept, "transaction": log.transaction, "block": log.block_number}


def happened_now(
    ai: Network, operation: Operation, entry: Entry, logs: Sequence[Log]
) -> Outcome | None:
    """What came of an entry under contracts that have replaced those it was meant for."""
    effect = operation.effect_now(ai, entry)
    return None if effect is None else happened(effect, logs)


def happened_elsewhere(
    ai: Network, operation: Operation, entry: Entry, known: Iterable[str]
) -> Outcome | None:
    """What came of an entry by a transaction that is not in the journal.

    A wallet may have replaced what was sent, by one with the same nonce. And a smart account sends
    in its own way: there, what nobody else in the journal has brought about is taken for it.

    Args:
        ai: The network.
        operation: What it is.
        entry: The entry.
        known: The transactions that are other entries'.
    """
    effect = operation.effect(entry)
    logs = reads.logs(
        ai.provider,
        effect.address,
        [effect.event.topic, *effect.indexed],
        from_block=entry.details["from_block"],
    )
    elsewhere = set(known)
    logs = [log for log in logs if log.transaction not in elsewhere]
    if entry.details["is_sent_here"]:
        logs = sent_as(ai, logs, entry.signed)
    return happened(effect, logs)


def sent_as(ai: Network, logs: Sequence[Log], signed: Sequence[Signed]) -> list[Log]:
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


def address_topic(address: str) -> str:
    """An indexed address, as a log's topic has it."""
    return topic(bytes.fromhex(address[2:]).rjust(32, b"\0"))


def _plain(value: Any) -> str:
    """As JSON has it: numbers of a chain exceed what JSON's readers take for exact."""
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
