"""ABI-encoded data that strangers have made: as in no honest one, parts of it can be shared.

Where a list holds the same place many times, and so does what is there, some kilobytes stand for
more than any memory holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eth_abi.codec import ABIDecoder
from eth_abi.decoding import ContextFramesBytesIO
from eth_abi.exceptions import DecodingError
from eth_abi.registry import registry

# How often each byte may be read, taken all together. eth_abi reads pointers twice, and all else
# once.
MOST_READS = 4


class _Stream(ContextFramesBytesIO):
    """Data that does not stand for more than itself."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)  # type: ignore[no-untyped-call]  # of eth_abi
        self._left = MOST_READS * len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self._left -= len(found)
        if self._left < 0:
            raise DecodingError("the same data is pointed at again and again")
        return found


class _Decoder(ABIDecoder):
    stream_class = _Stream


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """The values in data, as `eth_abi.decode` gives them.

    Raises:
        DecodingError: It does not hold them, or the same data many times.
    """
    return tuple(_Decoder(registry).decode(types, data))
