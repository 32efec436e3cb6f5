"""A model and its API: the types of its inputs and its output."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_abi import encode
from eth_abi.exceptions import DecodingError, EncodingError

from ape_dtn.types.abi_types import InvalidAbiType, parse, parse_list
from ape_dtn.types.decoding import decode
from ape_dtn.types.errors import InvalidCall, UndecodableAnswer

TEXT_SPECS = "string[] -> string"

# The docs of an API may name its inputs, as in "prompt: the lines; width, height: in pixels", as in
# "prompt, width, height", or with NatSpec's @param.
_PARTS = re.compile(r"[;\n]")
_NAMES = re.compile(r"(?:@param\s+(?P<natspec>\w+)\b.*|(?P<names>\w+(?:\s*,\s*\w+)*)\s*(?::.*)?)")


@dataclass(frozen=True)
class Api:
    """The API of a model (``ModelManager.getModelAPI``).

    Attributes:
        name: Its name within its namespace, as in ``llm-simpletext``.
        specs: ``"<input types, comma separated> -> <output type>"``.
        docs: A description of the inputs.
    """

    name: str
    specs: str
    docs: str

    @property
    def inputs(self) -> list[str]:
        """The input types."""
        text = _without_spaces(self.specs.partition("->")[0])
        try:
            return [kind.text for kind in parse_list(text)]
        except InvalidAbiType as err:
            reason = f"its input types are not valid ABI types ({err})"
            raise InvalidCall(self.specs, reason) from err

    @property
    def names(self) -> list[str]:
        """The names of the inputs; empty if ``docs`` does not name each of them."""
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
        """Merges positional and named inputs into the order of the specs.

        A text becomes a list of one for an input of type ``string[]``.

        Raises:
            InvalidCall: An input is missing, given twice or unknown.
        """
        kinds, names = self.inputs, self.names
        if named and not names:
            raise InvalidCall(self.specs, "its inputs have no names, so pass them in their order")
        given = dict(zip(names, values, strict=False)) if names else {}
        for name in named:
            if name not in names:
                raise InvalidCall(self.specs, f"there is no '{name}' among {', '.join(names)}")
            if name in given:
                raise InvalidCall(self.specs, f"'{name}' is given twice")
        if named and len(values) <= len(names):
            given |= named
            if missing := [name for name in names if name not in given]:
                raise InvalidCall(self.specs, f"missing {', '.join(missing)}")
            values = [given[name] for name in names]
        if len(values) != len(kinds):
            listed = f" ({', '.join(names)})" if names else ""
            raise InvalidCall(
                self.specs, f"it takes {len(kinds)}{listed}, and {len(values)} are given"
            )
        return [
            [value] if kind == "string[]" and isinstance(value, str) else value
            for kind, value in zip(kinds, values, strict=True)
        ]

    def encode(self, *values: Any) -> bytes:
        """Encodes the inputs for the contract (``DtnRequest.call``).

        Raises:
            InvalidCall: Their number or types differ from those of the API.
        """
        kinds, values = self.inputs, tuple(self.bind(values, {}))
        names = self.names or [f"input {place}" for place in range(len(kinds))]
        for kind, name, value in zip(kinds, names, values, strict=True):
            try:
                encode([kind], [value])
            except (EncodingError, TypeError, ValueError, AttributeError) as err:
                raise InvalidCall(self.specs, f"{name} is not of type {kind}: {err}") from err
        return encode(kinds, values)

    def decode(self, data: bytes, request_id: str) -> Any:
        """Decodes an answer on the chain: to text for ``string``, bytes for ``bytes``, and so on.

        Raises:
            UndecodableAnswer: The data is not of the output type.
        """
        try:
            return decode([self.output], data)[0]
        except (DecodingError, ValueError) as err:
            raise UndecodableAnswer(request_id, self.output, "0x" + data.hex()) from err

    def encode_answer(self, value: Any) -> bytes:
        """Encodes an answer for the chain; the inverse of :meth:`decode`.

        Raises:
            eth_abi.exceptions.EncodingError: The answer is not of the output type.
            InvalidAbiType: The output type is not an ABI type, or exceeds a limit.
        """
        return encode([parse(self.output).text], [value])

    def encode_content(self, value: Any) -> bytes:
        """Encodes an answer as the content of a file; the inverse of :meth:`decode_content`."""
        if self.output == "bytes":
            return bytes(value)
        return str(value).encode() if self.output == "string" else self.encode_answer(value)

    def decode_content(self, content: bytes, request_id: str) -> Any:
        """Decodes an answer over IPFS from its file.

        The file is UTF-8 for ``string``, the answer itself for ``bytes``, and ABI-encoded for all
        other types.

        Raises:
            UndecodableAnswer: The content is not of the output type.
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
        name: Its full name, or its id if the name is not known.
        id: keccak-256 of the full name.
        api: Its API.
    """

    name: str
    id: bytes
    api: Api


def _without_spaces(types: str) -> str:
    """Removes the spaces of "string[], uint64", which are not part of the types."""
    return "".join(part.strip() for part in re.split(r"([,()])", types))
