"""Requests, failures and values of JSON-RPC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

# A method and its parameters.
Request: TypeAlias = "tuple[str, list[Any]]"

# The method that broadcasts a signed transaction.
SEND = "eth_sendRawTransaction"


@dataclass(frozen=True)
class Failure:
    """The error of a request.

    Attributes:
        method: The method that failed.
        message: The endpoint's message.
        data: The revert data of a contract; None for other errors.
    """

    method: str
    message: str
    data: bytes | None


def as_int(value: Any) -> int:
    """Converts a quantity: hexadecimal text over HTTP, an integer from the in-process chain."""
    return int(value, 16) if isinstance(value, str) else int(value)


def as_bytes(value: Any) -> bytes:
    """Converts data: hexadecimal text over HTTP, or bytes from the in-process chain."""
    return bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else bytes(value)
