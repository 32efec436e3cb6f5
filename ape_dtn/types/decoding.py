"""Decodes untrusted ABI data in linear time and memory.

Offsets of ABI data can point to the same bytes many times, so that nested lists of a few kilobytes
decode to more than fits in memory.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import eth_abi.decoding
from eth_abi.exceptions import DecodingError, InvalidPointer

from ape_dtn.types.abi_types import AbiType, parse

eth: Any = eth_abi.decoding  # untyped

# How many bytes may be read, as a multiple of the data. Honest data needs two: offsets are read
# twice, and everything else once.
MOST_READS = 4


class _Stream(eth.ContextFramesBytesIO):
    """A stream with a limit on the total number of bytes read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = MOST_READS * len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        found: bytes = super().read(size)
        self._left -= len(found)
        if self._left < 0:
            raise DecodingError("its offsets point to the same bytes too often")
        return found


class _TupleDecoder(eth.TupleDecoder):
    """A tuple decoder that skips static values when it checks offsets.

    The one of eth_abi decodes them, and so reads a value twice for each tuple around it.
    """

    heads: tuple[int | None, ...] = ()

    def validate_pointers(self, stream: Any) -> None:
        start = stream.tell()
        end = len(stream.getbuffer())
        tails = start + sum(32 if head is None else head for head in self.heads)
        for head in self.heads:
            if head is None:
                target = start + eth.decode_uint_256(stream)
                if not tails <= target < end:
                    raise InvalidPointer(f"The offset at {stream.tell() - 32} is out of bounds")
            else:
                stream.seek(head, io.SEEK_CUR)
        stream.seek(start)


def decode(types: Sequence[str], data: bytes, errors: str = "strict") -> tuple[Any, ...]:
    """Decodes values.

    Args:
        types: Their types.
        data: The encoded values.
        errors: The handling of invalid UTF-8, see :meth:`bytes.decode`.

    Raises:
        DecodingError: The data is not of these types, or exceeds the limit.
        UnicodeDecodeError: A text is not UTF-8, and ``errors`` is ``"strict"``.
        InvalidAbiType: A type is not an ABI type, or exceeds a limit.
    """
    decoder = _decoder(tuple(types), errors)
    try:
        return tuple(decoder(_Stream(data)))
    except OverflowError as err:  # for an impossible length
        raise DecodingError(str(err)) from err


@lru_cache(maxsize=128)
def _decoder(types: tuple[str, ...], errors: str) -> Any:
    return _tuple_of([parse(text) for text in types], errors)


def _tuple_of(types: Sequence[AbiType], errors: str) -> Any:
    decoders = tuple(_of(kind, errors) for kind in types)
    return _TupleDecoder(decoders=decoders, heads=tuple(kind.head for kind in types))


def _of(kind: AbiType, errors: str) -> Any:
    """The decoder of a type, from eth_abi's own decoders, some of which Ape replaces globally.

    Ape's decoder of numbers reads zeros beyond the end, and so a list of any length from 64 bytes.
    """
    if kind.components:
        return _tuple_of(kind.components, errors)
    if kind.item is not None:
        item = _of(kind.item, errors)
        if kind.count is None:
            return eth.DynamicArrayDecoder(item_decoder=item)
        return eth.SizedArrayDecoder(item_decoder=item, array_size=kind.count)
    match kind.base:
        case "address":
            return eth.AddressDecoder()
        case "bool":
            return eth.BooleanDecoder()
        case "string":
            return eth.StringDecoder(handle_string_errors=errors)
        case "bytes" if kind.bits is None:
            return eth.ByteStringDecoder()
        case "bytes":
            return eth.BytesDecoder(value_bit_size=kind.bits)
        case "uint":
            return eth.UnsignedIntegerDecoder(value_bit_size=kind.bits)
        case "int":
            return eth.SignedIntegerDecoder(value_bit_size=kind.bits)
        case "ufixed":
            return eth.UnsignedFixedDecoder(value_bit_size=kind.bits, frac_places=kind.places)
        case "fixed":
            return eth.SignedFixedDecoder(value_bit_size=kind.bits, frac_places=kind.places)
    raise AssertionError(kind)
