"""The decoded revert of a contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Revert:
    """The revert of a contract.

    Attributes:
        name: The error's name; ``Error`` for a plain reason, empty if it is not known.
        fields: The error's fields by name.
        data: The raw data, with the selector.
        message: The endpoint's message.
        transaction: The transaction that failed, if it was mined.
    """

    name: str
    fields: Mapping[str, Any]
    data: bytes
    message: str = ""
    transaction: str | None = None

    def __str__(self) -> str:
        if self.name == "Error":
            return str(self.fields["reason"])
        if self.name:
            fields = ", ".join(f"{name}={_text(value)}" for name, value in self.fields.items())
            return f"{self.name}({fields})"
        return f"0x{self.data.hex()}" if self.data else self.message or "no reason given"


def _text(value: Any) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)
