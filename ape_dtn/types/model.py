"""A model, and the API that says what goes in and what comes out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError, ParseError

from ape_dtn.types.errors import InvalidCall, UndecodableAnswer

TEXT_SPECS = "string[] -> string"

# An API's docs may name its inputs, as in "prompt: the lines; width, height: in pixels", or simply
# "prompt, width, height", or as NatSpec does.
_PARTS = re.compile(r"[;\n]")
_NAMES = re.compile(r"(?:@param\s+(?P<natspec>\w+)\b.*|(?P<names>\w+(?:\s*,\s*\w+)*)\s*(?::.*)?)")


@dataclass(frozen=True)
class Api:
    """How a model is called (``ModelManager.getModelAPI``).

    Attributes:
        name: Its name within its namespace, as in ``llm-simpletext``.
        specs: ``"<input types, comma separated> -> <output type>"``.
        docs: What the inputs mean.
    """

    name: str
    specs: str
    docs: str

    @property
    def inputs(self) -> list[str]:
        """The input types."""
        from eth_abi.grammar import parse

        text = _without_spaces(self.specs.partition("->")[0])
        if not text:
            return []
        try:
            return [part.to_type_str() for part in parse(f"({text})").components]
        except ParseError as err:
            raise InvalidCall(self.specs, "the API's own types cannot be read") from err

    @property
    def names(self) -> list[str]:
        """The names of the inputs; empty where ``docs`` does not name each of them."""
        names: list[str] = []
        for part in _PARTS.split(self.docs.strip().rstrip(";.")):
            found = _NAMES.fullmatch(part.strip())
            if found is None:
                return []
            names += (
                [found["natspec"]] if found["natspec"] else re.split(r"\s*,\s*", found["names"])
            )
        return names if len(set(names)) == len(self.inputs) == len(names) else []

    @property
    def output(self) -> str:
        """The output type."""
        return _without_spaces(self.specs.partition("->")[2])

    def bind(self, values: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
        """Puts inputs in their order: the first ones by position, the others by their names.

        One line of text stands for a list of one, where lines are wanted.

        Raises:
            InvalidCall: An input is missing, given twice or not known.
        """
        kinds, names = self.inputs, self.names
        if named and not names:
            raise InvalidCall(self.specs, "its inputs have no names: give them in their order")
        given = dict(zip(names, values, strict=False)) if names else {}
        for name in named:
            if name not in names:
                raise InvalidCall(self.specs, f"there is no '{name}' among {', '.join(names)}")
            if name in given:
                raise InvalidCall(self.specs, f"'{name}' is given twice")
        if named and len(values) <= len(names):
            given |= named
            if missing := [name for name in names if name not in given]:
                raise InvalidCall(self.specs, f"{', '.join(missing)}: not given")
            values = [given[name] for name in names]
        if len(values) != len(kinds):
            listed = f" ({', '.join(names)})" if names else ""
            raise InvalidCall(
                self.specs, f"{len(kinds)} are needed{listed}, and {len(values)} are given"
            )
        return [
            [value] if kind == "string[]" and isinstance(value, str) else value
            for kind, value in zip(kinds, values, strict=True)
        ]

    def encode(self, *values: Any) -> bytes:
        """``DtnRequest.call``: the inputs, encoded by their types.

        Raises:
            InvalidCall: Their number or types differ from those of the API.
        """
        kinds, values = self.inputs, tuple(self.bind(values, {}))
        names = self.names or [f"input {place}" for place in range(len(kinds))]
        for kind, name, value in zip(kinds, names, values, strict=True):
            try:
                encode([kind], [value])
            except (EncodingError, TypeError, ValueError, AttributeError) as err:
                raise InvalidCall(self.specs, f"{name} is no {kind}: {err}") from err
        return encode(kinds, values)

    def decode(self, data: bytes, request_id: str) -> Any:
        """An answer: text for ``string``, bytes for ``bytes``, and so on.

        Raises:
            UndecodableAnswer: The node sent something of another type.
        """
        try:
            return decode([self.output], data)[0]
        except (DecodingError, ParseError, ValueError, OverflowError) as err:
            raise UndecodableAnswer(request_id, self.output, "0x" + data.hex()) from err

    def encode_content(self, value: Any) -> bytes:
        """An answer as it is stored in a file; see :meth:`decode_content`."""
        if self.output == "bytes":
            return bytes(value)
        return str(value).encode() if self.output == "string" else encode([self.output], [value])

    def decode_content(self, content: bytes, request_id: str) -> Any:
        """An answer that travelled as a file: text for ``string``, as it is for ``bytes``.

        All else is ABI-encoded in the file, as it would be on the chain.

        Raises:
            UndecodableAnswer: The node stored something of another type.
        """
        if self.output == "bytes":
            return content
        if self.output != "string":
            return self.decode(content, request_id)
        try:
            return content.decode()
        except UnicodeDecodeError as err:
            raise UndecodableAnswer(request_id, "string", "0x" + content.hex()) from err


@dataclass(frozen=True)
class Model:
    """A registered model (``ModelManager.getModelConfig``).

    Attributes:
        name: Its full name, or its id where the name is not known.
        id: keccak-256 of the full name.
        api: How it is called.
    """

    name: str
    id: bytes
    api: Api


def _without_spaces(types: str) -> str:
    """Types as eth_abi reads them: "string[], uint64" has a space that it does not know."""
    return re.sub(r"\s*([,()])\s*", r"\1", types).strip()
