"""A model, and the API that says what goes in and what comes out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError, ParseError

from ape_dtn.errors import InvalidCall, UndecodableAnswer

TEXT_SPECS = "string[] -> string"


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
    def output(self) -> str:
        """The output type."""
        return _without_spaces(self.specs.partition("->")[2])

    def encode(self, *values: Any) -> bytes:
        """``DtnRequest.call``: the inputs, encoded by their types.

        Raises:
            InvalidCall: Their number or types differ from those of the API.
        """
        kinds = self.inputs
        if len(values) != len(kinds):
            raise InvalidCall(self.specs, f"{len(kinds)} are needed, and {len(values)} are given")
        try:
            return encode(kinds, values)
        except (EncodingError, TypeError, ValueError) as err:
            raise InvalidCall(self.specs, str(err)) from err

    def encode_prompt(self, lines: Sequence[str]) -> bytes:
        """``DtnRequest.call`` of a text model, from its lines.

        Raises:
            InvalidCall: The API takes something other than lines of text.
        """
        if self.inputs != ["string[]"]:
            raise InvalidCall(self.specs, "a prompt alone is not what it takes")
        return self.encode(list(lines))

    def decode(self, data: bytes, request_id: str) -> Any:
        """An answer: text for ``string``, bytes for ``bytes``, and so on.

        Raises:
            UndecodableAnswer: The node sent something of another type.
        """
        try:
            return decode([self.output], data)[0]
        except (DecodingError, ParseError, ValueError, OverflowError) as err:
            raise UndecodableAnswer(request_id, self.output, "0x" + data.hex()) from err


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
