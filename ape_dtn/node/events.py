"""What a node tells of its work: events, one after another, and the sums of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

log = logging.getLogger("ape_dtn.node")


class Kind(Enum):
    """What has happened."""

    STARTED = "started"
    """It serves, and knows what has been asked so far."""
    TAKEN = "taken"
    """A request was taken, and its backend is asked."""
    ANSWERED = "answered"
    """A success is on the chain."""
    FAILED = "failed"
    """A failure is on the chain."""
    REFUSED = "refused"
    """The contracts take no response to a request, or not from this node."""
    RETRIED = "retried"
    """A backend, the chain or the account's coin is waited for."""
    RECOVERED = "recovered"
    """What was waited for is there again."""
    REORGANISED = "reorganised"
    """The chain has lost blocks; what was answered in them is answered again."""
    STOPPED = "stopped"
    """It serves no more."""


_LEVELS = {
    Kind.FAILED: logging.WARNING,
    Kind.REFUSED: logging.WARNING,
    Kind.RETRIED: logging.WARNING,
    Kind.REORGANISED: logging.WARNING,
}


@dataclass(frozen=True)
class Event:
    """Something that has happened.

    Attributes:
        kind: What it is.
        fields: What is to be known of it, as plain data.
        time: When, in seconds since 1970.
    """

    kind: Kind
    fields: Mapping[str, Any]
    time: float = field(default_factory=time.time)

    def __str__(self) -> str:
        return " ".join([self.kind.value, *(f"{name}={_text(each)}" for name, each in self)])

    def __iter__(self) -> Any:
        return iter(self.fields.items())

    def as_dict(self) -> dict[str, Any]:
        """The event as plain data."""
        return {"event": self.kind.value, "time": round(self.time, 3), **self.fields}


Listener: TypeAlias = Callable[[Event], None]


@dataclass
class Counters:
    """The sums of what a node has done since it was started.

    Attributes:
        answered: Successes that are on the chain.
        failed: Failures that are on the chain.
        refused: Requests that the contracts took no response to.
        earned: What it was paid, in units of the fee token.
        gas_spent: What its responses have cost, in wei.
        in_flight: Requests that are taken and not responded to.
        waiting: Requests that are found and not taken.
        found: When each request that is not responded to was found, by the machine's own clock.
    """

    answered: int = 0
    failed: int = 0
    refused: int = 0
    earned: int = 0
    gas_spent: int = 0
    in_flight: int = 0
    waiting: int = 0
    found: dict[bytes, float] = field(default_factory=dict)

    @property
    def behind(self) -> int:
        """How many requests are found and not responded to."""
        return self.in_flight + self.waiting

    @property
    def seconds_behind(self) -> float:
        """For how long the oldest of them has been known."""
        now = time.monotonic()
        return now - min(list(self.found.values()), default=now)


def to_log(event: Event) -> None:
    """Logs an event, with its fields beside the text for whoever wants them apart."""
    log.log(
        _LEVELS.get(event.kind, logging.INFO),
        "%s",
        event,
        extra={"event": event.kind.value, "fields": dict(event.fields)},
    )


def _text(value: Any) -> str:
    text = str(value)
    return f'"{text}"' if " " in text else text
