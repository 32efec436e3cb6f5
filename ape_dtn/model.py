"""A model, and the API that says what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError, ParseError

from ape_dtn.errors import EmptyPrompt, InvalidCall, UndecodableAnswer

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

        text = self.specs.partition("->")[0].strip()
        if not text:
            return []
        try:
            return [part.to_type_str() for part in parse(f"({text})").components]
        except ParseError as err:
            raise InvalidCall(self.specs, "the API's own types cannot be read") from err

    @property
    def output(self) -> str:
        """The output type."""
        return self.specs.partition("->")[2].strip()

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
        except (EncodingError, TypeError) as err:
            raise InvalidCall(self.specs, str(err)) from err

    def encode_prompt(self, prompt: str | Sequence[str]) -> bytes:
        """``DtnRequest.call`` of a text model, from one line or several.

        Raises:
            EmptyPrompt: Nothing is asked.
            InvalidCall: The API takes something other than lines of text.
        """
        lines = prompt_lines(prompt)
        if self.inputs != ["string[]"]:
            raise InvalidCall(self.specs, "a prompt alone is not what it takes")
        return self.encode(lines)

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


def prompt_lines(prompt: str | Sequence[str]) -> list[str]:
    """A prompt as lines.

    Raises:
        EmptyPrompt: There is nothing but white space in it.
    """
    lines = [prompt] if isinstance(prompt, str) else list(prompt)
    if not any(line.strip() for line in lines):
        raise EmptyPrompt
    return lines
