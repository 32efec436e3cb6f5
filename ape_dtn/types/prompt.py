"""Prompts with placeholders, which are validated here and filled in by the node.

``{0}`` stands for a text, and ``{1:uint8}`` for a value of any ABI type. The values are sent beside
the prompt, ABI-encoded in the order of their indices. An index can appear several times.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar, cast

from eth_abi import encode
from eth_abi.exceptions import EncodingError
from eth_utils import to_checksum_address

from ape_dtn.types.abi_types import AbiType, InvalidAbiType, parse
from ape_dtn.types.decoding import decode
from ape_dtn.types.errors import EmptyPrompt, InvalidPrompt

_PLACEHOLDER = re.compile(r"\{(?P<index>\d+)(:(?P<type>[^{}]*))?\}")
_Nested = TypeVar("_Nested")

# The type of an unused index below the highest one.
_UNUSED = "string"

# Decoding a prompt takes memory for each index up to the highest.
HIGHEST_INDEX = 999


@dataclass(frozen=True, init=False)
class Prompt:
    """Lines of text with placeholders, and the placeholders' values.

    ``Prompt("Is {0:address} older than {1:uint8}?", owner, 26)``

    Attributes:
        lines: The text, with its placeholders.
        values: The values of the placeholders, by index; None for an index that is not used.
    """

    lines: tuple[str, ...]
    values: tuple[Any, ...]

    def __init__(self, text: str | Sequence[str], *values: Any) -> None:
        """Checks the placeholders against the values.

        Raises:
            EmptyPrompt: The text is only white space.
            InvalidPrompt: An index has no value or two types, a value has no placeholder or is not
                of its type, a type is not an ABI type, or a value contains a placeholder.
        """
        object.__setattr__(self, "lines", (text,) if isinstance(text, str) else tuple(text))
        object.__setattr__(self, "values", values)
        check(self.lines, values)

    @property
    def extra_params(self) -> bytes:
        """The encoded values (``DtnRequest.extraParams``)."""
        return encode_values(self.lines, self.values)

    def render(self) -> list[str]:
        """The lines with the values filled in, as the node reads them."""
        return fill_in(list(self.lines), self.extra_params)


def check(texts: Iterable[str], values: Sequence[Any]) -> None:
    """Checks placeholders against their values.

    Raises:
        EmptyPrompt: The texts are only white space.
        InvalidPrompt: See :class:`Prompt`.
    """
    texts = list(texts)
    if not any(text.strip() for text in texts):
        raise EmptyPrompt
    types = placeholder_types(texts)
    used = indices(texts)
    for index in used:
        if index >= len(values) or values[index] is None:
            raise InvalidPrompt(f"placeholder {{{index}}} has no value")
    for index, value in enumerate(values):
        if value is None and index < len(types):
            continue
        if index not in used:
            raise InvalidPrompt(f"value {index} has no placeholder {{{index}}}")
        try:
            encode([types[index]], [value])
        except (EncodingError, TypeError, ValueError) as err:
            raise InvalidPrompt(f"{value!r} is not of type {types[index]}: {err}") from err
        if _PLACEHOLDER.search(as_text(types[index], value)):
            # A node that fills in the indices one after the other would replace it.
            raise InvalidPrompt(f"value {index} contains a placeholder")


def indices(texts: Iterable[str]) -> list[int]:
    """The indices of the placeholders in texts, in ascending order."""
    return sorted({_index(found) for text in texts for found in _PLACEHOLDER.finditer(text)})


def encode_values(texts: Iterable[str], values: Sequence[Any]) -> bytes:
    """Encodes the values of placeholders (``DtnRequest.extraParams``)."""
    if not values:
        return b""
    return encode(placeholder_types(texts), ["" if value is None else value for value in values])


def placeholder_types(texts: Iterable[str]) -> list[str]:
    """The types of all indices up to the highest one in the texts.

    Raises:
        InvalidPrompt: A type is not an ABI type, or an index has two types or is too high.
    """
    types: dict[int, str] = {}
    for text in texts:
        for found in _PLACEHOLDER.finditer(text):
            index = _index(found)
            kind = _abi_type(found["type"]) if found["type"] is not None else "string"
            if types.setdefault(index, kind) != kind:
                raise InvalidPrompt(
                    f"placeholder {{{index}}} has two types, {types[index]} and {kind}"
                )
    return [types.get(index, _UNUSED) for index in range(max(types, default=-1) + 1)]


def fill_in(value: _Nested, extra_params: bytes) -> _Nested:
    """Fills in placeholders, as nodes do with the inputs of a call and its ``extraParams``.

    Args:
        value: A text, or lists and tuples that contain texts at any depth.
        extra_params: The encoded values.

    Raises:
        InvalidPrompt: A type is not an ABI type, or an index has two.
        eth_abi.exceptions.DecodingError: ``extra_params`` is not of the placeholders' types.
    """
    types = placeholder_types(texts_of(value))
    if not types:
        return value
    values = decode(types, extra_params)
    texts = [as_text(kind, item) for kind, item in zip(types, values, strict=True)]
    return cast(_Nested, _filled(value, texts))


def texts_of(value: Any) -> Iterator[str]:
    """All texts inside a value, at any depth, in their order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_of(item)


def _filled(value: Any, texts: Sequence[str]) -> Any:
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: texts[int(found["index"])], value)
    if isinstance(value, list | tuple):
        return type(value)(_filled(item, texts) for item in value)
    return value


def as_text(kind: str, value: Any) -> str:
    """A value as text: bytes as ``0x…``, the elements of a list separated by commas."""
    return _as_text(parse(kind), value)


def _as_text(kind: AbiType, value: Any) -> str:
    if kind.item is not None:
        return ",".join(_as_text(kind.item, element) for element in value)
    if kind.components:
        pairs = zip(kind.components, value, strict=True)
        return ",".join(_as_text(component, element) for component, element in pairs)
    if kind.base == "address":
        return to_checksum_address(value)
    if kind.base == "bytes":
        data = bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else bytes(value)
        return "0x" + data.ljust((kind.bits or 0) // 8, b"\0").hex()
    if kind.base == "bool":
        return "true" if value else "false"
    return str(value)


def _index(found: re.Match[str]) -> int:
    text = found["index"]
    if len(text) > len(str(HIGHEST_INDEX)):  # int() rejects very long numbers
        raise InvalidPrompt(f"placeholder {{{text[:20]}}} is above {{{HIGHEST_INDEX}}}")
    return int(text)


def _abi_type(text: str) -> str:
    try:
        return parse(text).text
    except InvalidAbiType as err:
        raise InvalidPrompt(str(err)) from err


PromptLike: TypeAlias = "Prompt | str | Sequence[str]"
