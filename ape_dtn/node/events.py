"""The events that a running node reports, and the counters kept from them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeAlias

log = logging.getLogger("ape_dtn.node")


class EventKind(Enum):
    """The kind of an event. The values are part of the command line's JSON output."""

    STARTED = "started"
    """The node is serving."""
    TAKEN = "taken"
    """A request was claimed and passed to its backend."""
    ANSWERED = "answered"
    """A SUCCESS response was mined."""
    FAILED = "failed"
    """A FAILURE response was mined."""
    REFUSED = "refused"
    """The contracts reject any response to a request, or any from this node."""
    RETRIED = "retried"
    """A backend or the chain is unavailable, or the worker cannot pay for gas; retrying."""
    RECOVERED = "recovered"
    """The cause of earlier retries is gone."""
    REORGANISED = "reorganised"
    """The chain dropped blocks; responses in them are sent again."""
    STOPPED = "stopped"
    """The node has stopped serving."""


_LEVELS = {
    EventKind.FAILED: logging.WARNING,
    EventKind.REFUSED: logging.WARNING,
    EventKind.RETRIED: logging.WARNING,
    EventKind.REORGANISED: logging.WARNING,
}


@dataclass(frozen=True)
class Event:
    """An event in the life of a running node.

    Attributes:
        kind: The kind of event.
        fields: Its details, as plain data.
        time: Unix time in seconds.
    """

    kind: EventKind
    fields: Mapping[str, Any]
    time: float = field(default_factory=time.time)

    def __str__(self) -> str:
        fields = (f"{name}={_text(value)}" for name, value in self.fields.items())
        return " ".join([self.kind.value, *fields])


Listener: TypeAlias = Callable[[Event], None]


@dataclass
class Counters:
    """Counters of a node since it was started.

    Attributes:
        answered: SUCCESS responses mined.
        failed: FAILURE responses mined.
        refused: Requests to which the contracts rejected a response.
        earned: Fees paid by sessions, in units of the fee token.
        gas_spent: Gas cost of responses, in wei.
        in_flight: Requests claimed and not yet responded to.
        waiting: Requests found and not claimed.
        first_seen: When each unanswered request was found, on the monotonic clock.
    """

    answered: int = 0
    failed: int = 0
    refused: int = 0
    earned: int = 0
    gas_spent: int = 0
    in_flight: int = 0
    waiting: int = 0
    first_seen: dict[bytes, float] = field(default_factory=dict)

    @property
    def lag(self) -> int:
        """Number of requests found and not yet responded to."""
        return self.in_flight + self.waiting

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest unanswered request, in seconds."""
        now = time.monotonic()
        return now - min(list(self.first_seen.values()), default=now)


def to_log(event: Event) -> None:
    """Log an event, with its fields as ``extra`` for structured logging."""
    log.log(
        _LEVELS.get(event.kind, logging.INFO),
        "%s",
        event,
        extra={"event": event.kind.value, "fields": dict(event.fields)},
    )


def _text(value: Any) -> str:
    text = str(value)
    return f'"{text}"' if " " in text else text
