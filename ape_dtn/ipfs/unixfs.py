"""Files as IPFS blocks: CIDs, dag-pb and UnixFS_.

A file is a raw block, or a tree of dag-pb blocks that link to each other and hold parts of the
content. Reading rejects everything that is not a file, or cannot be verified against its CID.

Writing puts all content in raw leaves below a balanced tree, with Kubo's sizes. Other
implementations that use the same options get the same CID.

.. _UnixFS: https://specs.ipfs.tech/unixfs/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from multiformats import CID


# The leaf size in bytes, and the links per node, of files that are written.
CHUNK = 262_144
CHILDREN = 174

# The most links that are read. A file of 1 GiB has about 4,000 in total, and 174 per block.
MAX_LINKS = 10_000

# The longest text that is decoded as a CID. Decoding takes quadratic time.
MAX_TEXT = 512

_RAW, _DAG_PB = 0x55, 0x70

# The hash functions that are accepted: secure ones that can be computed everywhere.
_HASHES = ("identity", "sha2-256", "sha2-512", "blake2b-256")

# UnixFS node types; raw nodes (0) are files, too.
_IS_FILE = 2
_TYPES = {0: "file", 1: "directory", _IS_FILE: "file", 3: "metadata", 4: "symlink", 5: "HAMT shard"}

# Protobuf messages: field numbers, and the wire type of each field.
_NUMBER, _BYTES = 0, 2
_DATA, _LINKS = 1, 2
_NODE = {_DATA: _BYTES, _LINKS: _BYTES}
_HASH, _NAME, _TSIZE = 1, 2, 3
_LINK = {_HASH: _BYTES, _NAME: _BYTES, _TSIZE: _NUMBER}
_TYPE, _CONTENT, _FILESIZE, _BLOCKSIZES, _MTIME = 1, 2, 3, 4, 8
_FILE = {**dict.fromkeys(range(1, 8), _NUMBER), _CONTENT: _BYTES, _MTIME: _BYTES}


class Unusable(Exception):
    """A CID that names no file, or a block that does not fit its CID."""


class Link(NamedTuple):
    """A link to a part of a file. ``size`` is its declared content size in bytes, if any."""

    cid: CID
    size: int | None


class Node(NamedTuple):
    """A part of a file: its first bytes, links to the rest in order, and its total size."""

    content: bytes
    links: list[Link]
    size: int


def decode(encoded: str | bytes) -> CID:
    """Decode a CID from bytes, or from text in any base.

    Raises:
        Unusable: The CID is malformed, names no file, or its hash function is not accepted.
    """
    from multiformats import CID

    if isinstance(encoded, str) and len(encoded) > MAX_TEXT:
        raise Unusable("it is longer than any CID")
    try:
        cid = CID.decode(encoded)
        if cid.hashfun.name not in _HASHES:
            raise Unusable(f"unsupported hash function {cid.hashfun.name}")
        digest_size = len(cid.raw_digest)
    except (ValueError, LookupError) as err:
        raise Unusable("malformed or unknown CID") from err
    if cid.hashfun.max_digest_size not in (None, digest_size):
        raise Unusable(f"its hash is truncated to {digest_size} bytes and can be forged")
    if cid.codec.code not in (_RAW, _DAG_PB):
        raise Unusable(f"unsupported codec {cid.codec.name}")
    return cid


def read(cid: CID, block: bytes) -> Node:
    """Parse a block as a part of a file. The block is not verified against the CID.

    Raises:
        Unusable: The block is malformed, or is not part of a file.
    """
    if cid.codec.code == _RAW:
        return Node(block, [], len(block))
    node = _fields(block, _NODE, repeated=_LINKS)
    file = _fields(node.get(_DATA, b""), _FILE, repeated=_BLOCKSIZES)
    kind = _TYPES.get(file.get(_TYPE, -1), "node of unknown type")
    if kind != "file":
        raise Unusable(f"it names a {kind}, not a file")
    content, links, sizes = file.get(_CONTENT, b""), node[_LINKS], file[_BLOCKSIZES]
    size = len(content) + sum(sizes)
    if len(links) != len(sizes) or file.get(_FILESIZE, size) != size:
        raise Unusable("the sizes declared in a block are inconsistent")
    cids = [decode(_fields(link, _LINK).get(_HASH, b"")) for link in links]
    return Node(content, list(map(Link, cids, sizes)), size)


def _fields(message: bytes, kinds: dict[int, int], repeated: int = 0) -> dict[int, Any]:
    """Parse a protobuf message into values by field number; a repeated field is a list."""
    fields: dict[int, Any] = {repeated: []}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        value, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        found: int | bytes = value
        if kind == _BYTES:
            found, at = message[at : at + value], at + value
        known = kinds.get(number) == kind and at <= len(message)
        if not known or (number in fields and number != repeated):
            raise Unusable("malformed block")
        if number != repeated:
            fields[number] = found
        elif len(fields[repeated]) < MAX_LINKS:
            fields[repeated].append(found)
        else:
            raise Unusable(f"more than {MAX_LINKS} links")
    return fields


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Decode the varint at an offset. Returns the number, and the offset after it."""
    number = 0
    for position, byte in enumerate(message[at : at + 9]):
        number |= (byte & 0x7F) << 7 * position
        if byte < 0x80:
            return number, at + position + 1
    raise Unusable("malformed block")


class _Part(NamedTuple):
    """A part of a file that is written: content bytes, and total bytes of its blocks."""

    cid: CID
    size: int
    total: int


def chunks(file: IO[bytes], size: int = CHUNK) -> Iterator[bytes]:
    """Yield the rest of a file in pieces of one size; for an empty file, one empty piece."""
    piece = file.read(size)
    yield piece
    while piece := file.read(size):
        yield piece


def write(pieces: Iterable[bytes], children: int = CHILDREN) -> Iterator[tuple[CID, bytes]]:
    """Yield the blocks of a file with their CIDs (v1, sha2-256): leaves first, the root last.

    Args:
        pieces: The content of the leaves. Only their CIDs are kept in memory.
        children: The most links in a node.
    """
    level: list[_Part] = []
    for piece in pieces:
        level.append(_Part(_cid_of(_RAW, piece), len(piece), len(piece)))
        yield level[-1].cid, piece
    while len(level) > 1:
        above: list[_Part] = []
        for start in range(0, len(level), children):
            below = level[start : start + children]
            block = _node(below)
            size, total = sum(part.size for part in below), sum(part.total for part in below)
            above.append(_Part(_cid_of(_DAG_PB, block), size, len(block) + total))
            yield above[-1].cid, block
        level = above


def _cid_of(codec: int, block: bytes) -> CID:
    from multiformats import CID

    return CID("base32", 1, codec, ("sha2-256", sha256(block).digest()))


def _node(parts: Sequence[_Part]) -> bytes:
    """Encode a dag-pb block. Its links come before its data, as dag-pb requires."""
    links = b"".join(
        _field(
            _LINKS,
            _field(_HASH, bytes(part.cid)) + _field(_NAME, b"") + _field(_TSIZE, part.total),
        )
        for part in parts
    )
    sizes = b"".join(_field(_BLOCKSIZES, part.size) for part in parts)
    size = _field(_FILESIZE, sum(part.size for part in parts))
    return links + _field(_DATA, _field(_TYPE, _IS_FILE) + size + sizes)


def _field(number: int, value: int | bytes) -> bytes:
    """Encode a field of a protobuf message."""
    if isinstance(value, int):
        return _as_varint(number << 3 | _NUMBER) + _as_varint(value)
    return _as_varint(number << 3 | _BYTES) + _as_varint(len(value)) + value


def _as_varint(number: int) -> bytes:
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])
