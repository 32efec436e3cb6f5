"""Functions, events and errors of contracts, and the coding of their values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eth_abi import encode
from eth_utils import keccak, to_checksum_address

from ape_dtn.types import decoding
from ape_dtn.types.abi_types import AbiType, parse, parse_list


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Decodes values, also invalid UTF-8: nodes truncate messages at a byte.

    Raises:
        eth_abi.exceptions.DecodingError: The data is not of these types, or exceeds the limit of
            :mod:`ape_dtn.types.decoding`.
    """
    return decoding.decode(types, data, errors="replace")


@dataclass(frozen=True)
class Function:
    """A contract's function: ``Function("balanceOf(address)", "uint256")``."""

    signature: str
    output: str = ""

    @cached_property
    def selector(self) -> bytes:
        """The first four bytes of call data."""
        return keccak(text=self.signature)[:4]

    @cached_property
    def inputs(self) -> list[str]:
        """The types of its arguments."""
        return _types(self.signature[self.signature.index("(") + 1 : -1])

    @cached_property
    def outputs(self) -> list[str]:
        """The types of its return values."""
        return _types(self.output)

    def encode(self, *args: Any) -> bytes:
        """Encodes call data."""
        return self.selector + encode(self.inputs, args)

    def decode(self, data: bytes) -> Any:
        """Decodes return data: one value, or a tuple of several.

        Raises:
            eth_abi.exceptions.DecodingError: The data is not of these types.
        """
        values = _checksummed(self.outputs, decode(self.outputs, data))
        return values[0] if len(values) == 1 else values


@dataclass(frozen=True)
class TextView(Function):
    """A view of a ``string``, which old tokens such as MKR return as ``bytes32``."""

    output: str = "string"

    def decode(self, data: bytes) -> str:
        """Decodes the text."""
        if len(data) == 32:
            return data.rstrip(b"\0").decode(errors="replace")
        text: str = super().decode(data)
        return text


@dataclass(frozen=True)
class Fields:
    """The declaration of an event or an error, with named and typed fields."""

    declaration: str

    @cached_property
    def name(self) -> str:
        """The name without the fields."""
        return self.declaration.partition("(")[0]

    @cached_property
    def fields(self) -> list[tuple[str, str, bool]]:
        """Type, name and whether it is indexed, of each field."""
        inner = self.declaration.partition("(")[2].rstrip(")")
        found = [field.split() for field in re.split(r",\s*", inner) if field]
        return [(words[0], words[-1], "indexed" in words) for words in found]

    @cached_property
    def signature(self) -> str:
        """The canonical signature, whose hash is the topic or the selector."""
        return f"{self.name}({','.join(kind for kind, _, _ in self.fields)})"


@dataclass(frozen=True)
class Event(Fields):
    """A contract's event: ``Event("SessionClosed(uint256 indexed id, uint256 left)")``."""

    @cached_property
    def topic(self) -> str:
        """The first topic of its logs."""
        return "0x" + keccak(text=self.signature).hex()

    def decode(self, log: Log) -> dict[str, Any]:
        """Decodes the fields, by name."""
        indexed = [kind for kind, _, is_indexed in self.fields if is_indexed]
        plain = [kind for kind, _, is_indexed in self.fields if not is_indexed]
        from_topics = iter(
            _checksummed([kind], decode([kind], topic))[0]
            for kind, topic in zip(indexed, log.topics[1:], strict=True)
        )
        from_data = iter(_checksummed(plain, decode(plain, log.data)))
        return {
            name: next(from_topics) if is_indexed else next(from_data)
            for _, name, is_indexed in self.fields
        }

    def find(self, logs: Iterable[Log], address: str | None = None) -> list[dict[str, Any]]:
        """Decodes the logs of this event, in their order."""
        return [self.decode(log) for log in logs if self.matches(log, address)]

    def matches(self, log: Log, address: str | None = None) -> bool:
        """Whether a log is of this event, and of a contract if one is given."""
        return bool(
            log.topics
            and "0x" + log.topics[0].hex() == self.topic
            and (address is None or log.address == address)
        )


@dataclass(frozen=True)
class Error(Fields):
    """A contract's custom error: ``Error("InvalidSession(uint256 sessionId)")``."""

    @cached_property
    def selector(self) -> bytes:
        """The first four bytes of revert data."""
        return keccak(text=self.signature)[:4]

    def decode(self, data: bytes) -> dict[str, Any]:
        """Decodes the fields, by name, from revert data without the selector."""
        kinds = [kind for kind, _, _ in self.fields]
        values = _checksummed(kinds, decode(kinds, data))
        return {name: value for (_, name, _), value in zip(self.fields, values, strict=True)}


@dataclass(frozen=True)
class Log:
    """A log of a contract.

    Attributes:
        address: The contract's checksummed address.
        topics: The event's topic and its indexed fields.
        data: The other fields, encoded.
        block_number: Its block.
        transaction: The hash of its transaction.
        index: Its index in the block.
    """

    address: str
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    transaction: str
    index: int


def _types(text: str) -> list[str]:
    return [kind.text for kind in parse_list(text)]


def _checksummed(kinds: Sequence[str], values: Sequence[Any]) -> tuple[Any, ...]:
    """Values with checksummed addresses, also inside arrays and tuples."""
    return tuple(
        _checksummed_value(parse(kind), value) for kind, value in zip(kinds, values, strict=True)
    )


def _checksummed_value(kind: AbiType, value: Any) -> Any:
    if kind.base == "address":
        return to_checksum_address(value)
    if kind.item is not None:
        return tuple(_checksummed_value(kind.item, element) for element in value)
    if kind.components:
        pairs = zip(kind.components, value, strict=True)
        return tuple(_checksummed_value(component, element) for component, element in pairs)
    return value
