"""Values of ABI types as text and as JSON."""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

_HEX = re.compile(r"0x([0-9a-fA-F]{2})*")
_TRUTH = {"true": True, "false": False}


def parse(kind: str, text: str) -> Any:
    """A value of an ABI type, as it is typed.

    Strings are as they are, numbers decimal or ``0x…``, bytes ``0x…``, truth is ``true`` or
    ``false``, and arrays and tuples are JSON. A single line stands for a list of lines.

    Raises:
        ValueError: It is no such value.
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
        raise ValueError(f"'{text}' is no JSON")
    return from_json(kind, given)


def from_json(kind: str, given: Any) -> Any:
    """A value of an ABI type, from what JSON has for it.

    Integers may be JSON's numbers or text, bytes are ``0x…``, and tuples are lists.

    Raises:
        ValueError: It is no such value.
    """
    from eth_abi.grammar import parse as parse_type

    if kind.endswith("]"):
        item = kind[: kind.rindex("[")]
        return [from_json(item, each) for each in _list(given)]
    if kind.endswith(")"):
        kinds = [component.to_type_str() for component in parse_type(kind).components]
        given = _list(given)
        if len(given) != len(kinds):
            raise ValueError(f"{len(kinds)} values make a {kind}, and {len(given)} are given")
        return tuple(from_json(*each) for each in zip(kinds, given, strict=True))
    if isinstance(given, str):
        return _single(kind, given)
    if isinstance(given, bool) and kind == "bool":
        return given
    if type(given) in (int, Decimal) and kind.startswith(("int", "uint", "fixed", "ufixed")):
        return _single(kind, str(given))
    raise ValueError(f"{json.dumps(given, default=str)} is no {kind}")


def read_json(text: str | bytes) -> Any:
    """JSON that comes from elsewhere.

    Python's own reader takes the process with it where lists are nested without end, since
    libraries that Ape brings lift the limit of recursion.

    Raises:
        ValueError: It is no JSON, or nested too deep.
    """
    from pydantic_core import from_json as read

    return read(text)


def to_json(value: Any) -> Any:
    """A decoded value for JSON: numbers as text, which loses no digit, and bytes as ``0x…``."""
    if isinstance(value, str | bool):
        return value
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, list | tuple):
        return [to_json(each) for each in value]
    return str(value)


def _are_lines(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(each, str) for each in given)


def _list(given: Any) -> list[Any]:
    if not isinstance(given, list):
        raise ValueError(f"{json.dumps(given, default=str)} is no JSON list")
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
