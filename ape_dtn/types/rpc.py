"""Requests, failures and values of JSON-RPC."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

# A method and its parameters.
Request: TypeAlias = "tuple[str, list[Any]]"

# The method that broadcasts a signed transaction.
SEND = "eth_sendRawTransaction"


class Refusal(Enum):
    """Why an endpoint did not answer a request, grouped by the remedy."""

    WAIT = "wait"
    """The endpoint is rate-limited or busy: the same request may succeed later."""

    SMALLER_BATCH = "smaller_batch"
    """The batch has more requests than the endpoint accepts."""

    SMALLER_RANGE = "smaller_range"
    """The range has more blocks or logs than the endpoint serves in one request."""

    PRUNED = "pruned"
    """The endpoint has pruned the requested blocks or their state."""

    BEHIND = "behind"
    """The endpoint does not have the requested block yet."""

    UNSUPPORTED = "unsupported"
    """The endpoint does not serve the method."""

    MALFORMED = "malformed"
    """The response is empty, or is not a valid result of the method."""

    DENIED = "denied"
    """The API key is missing, invalid or not permitted."""

    REFUSED = "refused"
    """Any other refusal: a retry fails in the same way."""

    REVERTED = "reverted"
    """Not a refusal: the called contract reverted."""

    @property
    def is_passing(self) -> bool:
        """Whether the same request may succeed later."""
        return self in (Refusal.WAIT, Refusal.BEHIND, Refusal.MALFORMED)


@dataclass(frozen=True)
class Failure:
    """The error of a request.

    Attributes:
        method: The method that failed.
        message: The endpoint's message.
        data: The revert data of a contract; None for other errors.
        refusal: The kind of refusal.
        retry_after: Seconds after which to retry, if the endpoint states them.
    """

    method: str
    message: str
    data: bytes | None
    refusal: Refusal = Refusal.REFUSED
    retry_after: float | None = None


def as_int(value: Any) -> int:
    """Converts a quantity: hexadecimal text over HTTP, an integer from the in-process chain."""
    return int(value, 16) if isinstance(value, str) else int(value)


def as_bytes(value: Any) -> bytes:
    """Converts data: hexadecimal text over HTTP, or bytes from the in-process chain."""
    return bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else bytes(value)
