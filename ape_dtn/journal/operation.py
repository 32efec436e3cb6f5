"""What an operation leaves on the chain, and how the journal keeps its transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ape_dtn.chain.reads import topic
from ape_dtn.network.context import Network
from ape_dtn.types.abi import Event, Log
from ape_dtn.types.transactions import Transaction

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI


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


@dataclass(frozen=True)
class Ready:
    """One transaction that needs nothing before it."""

    transaction: Transaction
    preparations: Mapping[str, Transaction] = field(default_factory=dict)

    def opening(self, _ai: Network, _account: AccountAPI) -> Sequence[Transaction]:
        """The transaction."""
        return (self.transaction,)


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
