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
    """Why an endpoint did not answer a request, by what helps."""

    WAIT = "wait"
    """It is asked too often, or is busy: the same request may succeed later."""

    SMALLER_BATCH = "smaller_batch"
    """It takes fewer requests at once."""

    SMALLER_RANGE = "smaller_range"
    """It searches fewer blocks at once, or finds fewer logs."""

    PRUNED = "pruned"
    """It does not keep the blocks, or their state, that the request is about."""

    BEHIND = "behind"
    """It does not have the block yet."""

    UNSUPPORTED = "unsupported"
    """It does not serve the method."""

    MALFORMED = "malformed"
    """It answered something that is no result of the method, or nothing."""

    DENIED = "denied"
    """It wants another key, or does not let this one in."""

    REFUSED = "refused"
    """Anything else: the same request is refused again."""

    REVERTED = "reverted"
    """No refusal of the endpoint: the contract that was called reverted."""

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
        refusal: What helps against it.
        retry_after: When the endpoint wants to be asked again, in seconds, if it says so.
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
