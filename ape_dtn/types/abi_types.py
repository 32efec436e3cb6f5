"""ABI types, parsed from untrusted text.

The parser runs in linear time, and limits the length of the text and the depth of the type.
eth_abi's parser takes quadratic time, and caches every type for ever.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

# The most characters of a type, or of a list of types.
MAX_TYPE_LENGTH = 1000

# The most levels of nested arrays and tuples.
MAX_TYPE_DEPTH = 16

_WORD = 32
_BASIC = re.compile(r"([a-z]+)(?:([1-9][0-9]{0,2})(?:x([1-9][0-9]?))?)?")
_SUFFIX = re.compile(r"\[([1-9][0-9]*)?\]")
_ALIASES = {
    "int": "int256",
    "uint": "uint256",
    "fixed": "fixed128x18",
    "ufixed": "ufixed128x18",
    "function": "bytes24",
    "byte": "bytes1",
}


class InvalidAbiType(ValueError):
    """The text is not an ABI type, or exceeds a limit."""


@dataclass(frozen=True)
class AbiType:
    """A type.

    Attributes:
        text: Its canonical text, as in ``uint256[]``.
        base: The name of a basic type without its size; empty for arrays and tuples.
        bits: The size of a basic type in bits; None if the type has none.
        places: The decimal places of a fixed-point number.
        item: The type of an array's items.
        count: The number of a fixed array's items.
        components: The types of a tuple's components.
        head: The bytes that a static value takes; None for a dynamic type.
        depth: The number of levels of nested arrays and tuples.
    """

    text: str
    base: str = ""
    bits: int | None = None
    places: int | None = None
    item: AbiType | None = None
    count: int | None = None
    components: tuple[AbiType, ...] = ()
    head: int | None = _WORD
    depth: int = 0


def parse(text: str) -> AbiType:
    """Parses a type.

    Raises:
        InvalidAbiType: The text is not an ABI type, or exceeds a limit.
    """
    (found,) = _parse(text, 1)
    return found


def parse_list(text: str) -> tuple[AbiType, ...]:
    """Parses types that are separated by commas; none if the text is empty.

    Raises:
        InvalidAbiType: See :func:`parse`.
    """
    return _parse(text, None) if text else ()


def is_abi_type(text: str) -> bool:
    """Whether a text is an ABI type within the limits."""
    try:
        parse(text)
    except InvalidAbiType:
        return False
    return True


def _parse(text: str, count: int | None) -> tuple[AbiType, ...]:
    if len(text) > MAX_TYPE_LENGTH:
        raise InvalidAbiType(f"'{text[:20]}…' is longer than {MAX_TYPE_LENGTH} characters")
    found = _parse_cached(text)
    if count not in (None, len(found)):
        raise InvalidAbiType(f"'{text}' is not an ABI type")
    return found


@lru_cache(maxsize=128)
def _parse_cached(text: str) -> tuple[AbiType, ...]:
    found, end = _sequence(text, 0, 0)
    if end != len(text):
        raise InvalidAbiType(f"'{text}' is not an ABI type")
    # Check the canonical text, too, which can be longer: it must be accepted when parsed again.
    if sum(len(kind.text) + 1 for kind in found) > MAX_TYPE_LENGTH + 1:
        raise InvalidAbiType(f"'{text[:20]}…' is longer than {MAX_TYPE_LENGTH} characters")
    return found


def _sequence(text: str, start: int, outside: int) -> tuple[tuple[AbiType, ...], int]:
    found, end = _type(text, start, outside)
    types = [found]
    while text[end : end + 1] == ",":
        found, end = _type(text, end + 1, outside)
        types.append(found)
    return tuple(types), end


def _type(text: str, start: int, outside: int) -> tuple[AbiType, int]:
    """Parses the type at an offset, and returns it with its end; ``outside`` is the outer depth."""
    if text[start : start + 1] == "(":
        _check_depth(outside + 1)
        components, end = _sequence(text, start + 1, outside + 1)
        if text[end : end + 1] != ")":
            raise InvalidAbiType(f"'{text}' is not an ABI type")
        found, end = _tuple(components), end + 1
    else:
        match = _BASIC.match(text, start)
        if match is None:
            raise InvalidAbiType(f"'{text[start:]}' is not an ABI type")
        found, end = _basic(match[0]), match.end()
    while suffix := _SUFFIX.match(text, end):
        found, end = _array(found, int(suffix[1]) if suffix[1] else None), suffix.end()
        _check_depth(outside + found.depth)
    return found, end


def _check_depth(depth: int) -> None:
    if depth > MAX_TYPE_DEPTH:
        raise InvalidAbiType(f"more than {MAX_TYPE_DEPTH} nested arrays and tuples")


def _tuple(components: tuple[AbiType, ...]) -> AbiType:
    text = f"({','.join(component.text for component in components)})"
    depth = 1 + max(component.depth for component in components)
    return AbiType(text, components=components, head=_head(components), depth=depth)


def _array(item: AbiType, count: int | None) -> AbiType:
    head = None if count is None or item.head is None else count * item.head
    text = f"{item.text}[{'' if count is None else count}]"
    return AbiType(text, item=item, count=count, head=head, depth=item.depth + 1)


def _head(types: Iterable[AbiType]) -> int | None:
    heads = [kind.head for kind in types]
    return None if None in heads else sum(head for head in heads if head is not None)


@cache  # at most 5,000 basic types; errors are not cached
def _basic(text: str) -> AbiType:
    text = _ALIASES.get(text, text)
    match = _BASIC.fullmatch(text)
    assert match is not None, "the caller has matched it"
    base, size, places = match[1], int(match[2] or 0), int(match[3] or 0)
    match (base, size, places):
        case ("address" | "bool", 0, 0):
            return AbiType(text, base)
        case ("string" | "bytes", 0, 0):
            return AbiType(text, base, head=None)
        case ("bytes", _, 0) if size <= 32:
            return AbiType(text, base, 8 * size)
        case ("int" | "uint", _, 0) if size and size <= 256 and size % 8 == 0:
            return AbiType(text, base, size)
        case ("fixed" | "ufixed", _, _) if size <= 256 and size % 8 == 0 and 1 <= places <= 80:
            return AbiType(text, base, size, places)
    raise InvalidAbiType(f"'{text}' is not an ABI type")
