"""The rules by which values become JSON, in every command and export.

======================  ============================================================================
value                   JSON
======================  ============================================================================
``Amount``              ``{"units": "250000", "value": "0.25", "token": "USDT"}``: the exact integer
                        that contracts take, the decimal amount, the token's symbol
``int``                 a number; text beyond 2^53, where many JSON readers lose digits
``Decimal``             text
``datetime``            ISO 8601 in UTC, as in ``2026-12-01T11:54:37Z``
``bytes``               ``0x…``
``Enum``                its name in lower case
``DtnError``            ``code``, ``message``, ``hint``, the error's own fields, ``revert``
other dataclasses       an object with their fields
======================  ============================================================================
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias

from ape_dtn.types.amount import Amount
from ape_dtn.types.errors import DtnError
from ape_dtn.types.reverts import Revert
from ape_dtn.types.values import to_json as abi_to_json

SCHEMA_VERSION = 1
"""Raised by one when a field of the JSON is renamed, removed or gets another meaning."""

MAX_SAFE_INTEGER = 2**53

Shapes: TypeAlias = Mapping[type, Callable[[Any], Any]]
"""Representations of classes; the rules then apply to the values they contain."""


def to_json(value: Any, shapes: Shapes | None = None) -> Any:
    """Converts a value to what :func:`json.dumps` takes.

    Args:
        value: Any value that the table above has, also nested in mappings, lists and tuples.
        shapes: Representations that differ from those of the table, by class.

    Raises:
        TypeError: The table has no rule for it.
    """
    return _convert(value, {**_SHAPES, **(shapes or {})})


def error_fields(err: DtnError, hint: str | None) -> dict[str, Any]:
    """An error with the hint for its reader: a Python caller or the command line."""
    return {
        "code": err.code,
        "message": err.message,
        "hint": hint,
        "retryable": err.retryable,
        **err.fields,
        "revert": err.revert,
    }


def _convert(value: Any, shapes: Shapes) -> Any:
    for kind in type(value).__mro__:
        if kind in shapes:
            return _convert(shapes[kind](value), shapes)
    if value is None or isinstance(value, bool | str | float):
        return value
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, int):
        return value if abs(value) <= MAX_SAFE_INTEGER else str(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(name): _convert(item, shapes) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_convert(item, shapes) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _convert(getattr(value, field.name), shapes) for field in fields(value)}
    raise TypeError(f"There is no rule that makes JSON of a {type(value).__name__}")


def _amount(amount: Amount) -> dict[str, str]:
    return {
        "units": str(amount.units),
        "value": str(amount).removesuffix(f" {amount.token.unit}"),
        "token": amount.token.symbol,
    }


def _revert(revert: Revert) -> dict[str, Any]:
    return {
        "name": revert.name,
        "fields": {name: abi_to_json(value) for name, value in revert.fields.items()},
        "data": revert.data,
        "transaction": revert.transaction,
    }


_SHAPES: Shapes = {
    Amount: _amount,
    DtnError: lambda err: error_fields(err, err.hint),
    Revert: _revert,
}
