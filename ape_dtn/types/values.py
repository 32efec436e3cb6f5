"""Conversion of ABI values from and to text and JSON."""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from ape_dtn.types import abi_types

_HEX = re.compile(r"0x([0-9a-fA-F]{2})*")
_TRUTH = {"true": True, "false": False}


def parse(kind: str, text: str) -> Any:
    """Parses a value of an ABI type from text.

    Integers are decimal or ``0x…``, bytes are ``0x…``, booleans ``true`` or ``false``, arrays and
    tuples are JSON. Text that is not a JSON list becomes a ``string[]`` of one element.

    Raises:
        ValueError: The text is not a value of this type.
    """
    if not kind.endswith(("]", ")")):
        return _single(kind, text)
    try:
        given = json.loads(text, parse_float=Decimal)
    except ValueError:
        given = None
    if kind == "string[]" and not _are_lines(given):
        return [text]
    if given is None:
        raise ValueError(f"'{text}' is not JSON")
    return from_json(kind, given)


def from_json(kind: str, given: Any) -> Any:
    """Converts a JSON value to an ABI type.

    Integers are numbers or text, bytes are ``0x…``, and tuples are lists.

    Raises:
        ValueError: The value is not of this type.
    """
    if kind.endswith("]"):
        element_kind = kind[: kind.rindex("[")]
        return [from_json(element_kind, element) for element in _list(given)]
    if kind.endswith(")"):
        kinds = [component.text for component in abi_types.parse(kind).components]
        given = _list(given)
        if len(given) != len(kinds):
            raise ValueError(f"a {kind} has {len(kinds)} values, and {len(given)} are given")
        return tuple(from_json(*pair) for pair in zip(kinds, given, strict=True))
    if isinstance(given, str):
        return _single(kind, given)
    if isinstance(given, bool) and kind == "bool":
        return given
    if type(given) in (int, Decimal) and kind.startswith(("int", "uint", "fixed", "ufixed")):
        return _single(kind, str(given))
    raise ValueError(f"{json.dumps(given, default=str)} is not of type {kind}")


def read_json(text: str | bytes) -> Any:
    """Parses untrusted JSON.

    Deeply nested JSON crashes the process in Python's own parser, since dependencies of Ape raise
    the recursion limit.

    Raises:
        ValueError: The text is not JSON, or nested too deeply.
    """
    from pydantic_core import from_json as read

    return read(text)


def to_json(value: Any) -> Any:
    """Converts a decoded value to JSON: numbers to exact text, bytes to ``0x…``."""
    if isinstance(value, str | bool):
        return value
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, list | tuple):
        return [to_json(element) for element in value]
    return str(value)


def _are_lines(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(line, str) for line in given)


def _list(given: Any) -> list[Any]:
    if not isinstance(given, list):
        raise ValueError(f"{json.dumps(given, default=str)} is not a JSON list")
    return given


def _single(kind: str, text: str) -> Any:
    from ape_dtn.types.ids import is_address

    if kind == "string":
        return text
    if kind == "address" and is_address(text):
        return text
    if kind == "bool" and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if kind.startswith(("bytes", "function")) and _HEX.fullmatch(text):
        return bytes.fromhex(text[2:])
    try:
        if kind.startswith(("int", "uint")):
            return int(text, 16 if text.startswith("0x") else 10)
        if kind.startswith(("fixed", "ufixed")):
            return Decimal(text)
    except (ValueError, InvalidOperation):
        pass
    raise ValueError(f"'{text}'")
