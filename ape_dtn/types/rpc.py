"""Requests, failures and values of JSON-RPC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

# A method and its parameters, as JSON-RPC has them.
Request: TypeAlias = "tuple[str, list[Any]]"

# Sends a transaction that is signed.
SEND = "eth_sendRawTransaction"


@dataclass(frozen=True)
class Failure:
    """What the endpoint answered in place of a result.

    Attributes:
        method: The method that failed.
        message: What the endpoint says.
        data: What the contract reverted with; None when no contract was concerned.
    """

    method: str
    message: str
    data: bytes | None


def as_int(value: Any) -> int:
    """A quantity: hexadecimal text over HTTP, an integer from the in-process chain."""
    return int(value, 16) if isinstance(value, str) else int(value)


def as_bytes(value: Any) -> bytes:
    """Data: hexadecimal text over HTTP, sometimes bytes from the in-process chain."""
    return bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else bytes(value)
