"""Decodes untrusted ABI data within a limit on memory.

Offsets of ABI data can point to the same bytes many times, so that nested lists of a few kilobytes
decode to more than fits in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_abi.codec import ABIDecoder
from eth_abi.decoding import ContextFramesBytesIO
from eth_abi.exceptions import DecodingError
from eth_abi.registry import registry

# How many bytes may be read, as a multiple of the data. eth_abi reads offsets twice, and everything
# else once.
MOST_READS = 4


class _Stream(ContextFramesBytesIO):
    """A stream with a limit on the bytes that are read from it, in all."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)  # type: ignore[no-untyped-call]  # untyped
        self._left = MOST_READS * len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self._left -= len(found)
        if self._left < 0:
            raise DecodingError("its offsets point to the same bytes too often")
        return found


class _Decoder(ABIDecoder):
    stream_class = _Stream


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Decodes values, as `eth_abi.decode` does.

    Raises:
        DecodingError: The data is not of these types, or exceeds the limit.
    """
    return tuple(_Decoder(registry).decode(types, data))
