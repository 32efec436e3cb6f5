"""Hand-made IPFS blocks, whose declarations may be false."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from multiformats import CID, varint

FILE, SYMLINK = 2, 4


# Hash functions by their multicodec names.
_FUNCTIONS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "sha1": lambda block: hashlib.sha1(block).digest(),
    "sha2-256": lambda block: hashlib.sha256(block).digest(),
    "sha2-512": lambda block: hashlib.sha512(block).digest(),
    "blake2b-256": lambda block: hashlib.blake2b(block, digest_size=32).digest(),
}


def cid_of(block: bytes, codec: str = "dag-pb", function: str = "sha2-256", size: int = 64) -> CID:
    """Return the CID of a block, with its digest truncated to ``size`` bytes."""
    return CID("base32", 1, codec, (function, _FUNCTIONS[function](block)[:size]))


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint.encode(number << 3) + varint.encode(value)
    return varint.encode(number << 3 | 2) + varint.encode(len(value)) + value


def file(
    content: bytes = b"", sizes: Sequence[int] = (), kind: int = FILE, size: int = -1
) -> bytes:
    """Encode the UnixFS part of a node, with its true file size by default."""
    size = len(content) + sum(sizes) if size < 0 else size
    fields = [
        field(1, kind),
        field(2, content),
        field(3, size),
        *(field(4, part) for part in sizes),
    ]
    return b"".join(fields)


def node(links: Sequence[CID], data: bytes) -> bytes:
    """Encode a dag-pb block."""
    return b"".join(field(2, field(1, bytes(link))) for link in links) + field(1, data)
