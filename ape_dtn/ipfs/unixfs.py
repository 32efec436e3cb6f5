"""How files lie in the blocks of IPFS: CIDs, dag-pb and UnixFS_, written, and read strictly.

A file is a raw block, or a tree of dag-pb blocks, each with some of the content and links to the
rest. What is no file, or cannot be compared with the CID that names it, is refused.

What is written here has all of its content in raw leaves, and above them a balanced tree, with the
sizes that Kubo has for them: others who add the content with these get the same CID.

.. _UnixFS: https://specs.ipfs.tech/unixfs/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from multiformats import CID


# How large the leaves of a file are that is written, in bytes, and how many links its nodes have.
CHUNK = 262_144
CHILDREN = 174

# Blocks with more links are not read. Files of a GiB have about 4,000 in all, and 174 in a block.
MAX_LINKS = 10_000

# Longer text does not name content, and takes quadratic time to decode.
MAX_TEXT = 512

_RAW, _DAG_PB = 0x55, 0x70

# What IPFS hashes with and everybody has. Others can be forged, or not be computed here.
_HASHES = ("identity", "sha2-256", "sha2-512", "blake2b-256")

# What a node is, by its UnixFS type.
_IS_FILE = 2
_TYPES = {0: "file", 1: "directory", _IS_FILE: "file", 3: "metadata", 4: "symlink", 5: "HAMT shard"}

# The fields of protobuf messages: their numbers, and the wire type of what is in each.
_NUMBER, _BYTES = 0, 2
_DATA, _LINKS = 1, 2
_NODE = {_DATA: _BYTES, _LINKS: _BYTES}
_HASH, _NAME, _TSIZE = 1, 2, 3
_LINK = {_HASH: _BYTES, _NAME: _BYTES, _TSIZE: _NUMBER}
_TYPE, _CONTENT, _FILESIZE, _BLOCKSIZES, _MTIME = 1, 2, 3, 4, 8
_FILE = {**dict.fromkeys(range(1, 8), _NUMBER), _CONTENT: _BYTES, _MTIME: _BYTES}


class Unusable(Exception):
    """What a CID names is no file, or cannot be compared with it."""


class Link(NamedTuple):
    """Where a part of a file is, and how many bytes it has; None where nothing declares it."""

    cid: CID
    size: int | None


class Node(NamedTuple):
    """What is in a block: the first of its part of a file, and where the rest is, in order."""

    content: bytes
    links: list[Link]
    size: int


def decode(encoded: str | bytes) -> CID:
    """A CID, from its text in any base or from its bytes.

    Raises:
        Unusable: It is none, or none of a file, or content cannot be compared with it.
    """
    from multiformats import CID

    if isinstance(encoded, str) and len(encoded) > MAX_TEXT:
        raise Unusable("it is too long")
    try:
        cid = CID.decode(encoded)
        if cid.hashfun.name not in _HASHES:
            raise Unusable(f"its hash function is {cid.hashfun.name}")
        digest_size = len(cid.raw_digest)
    except (ValueError, LookupError) as err:
        raise Unusable("it is malformed, or of an unknown kind") from err
    if cid.hashfun.max_digest_size not in (None, digest_size):
        raise Unusable(f"its hash is cut to {digest_size} bytes, and can be forged")
    if cid.codec.code not in (_RAW, _DAG_PB):
        raise Unusable(f"its codec is {cid.codec.name}")
    return cid


def read(cid: CID, block: bytes) -> Node:
    """What is in the block that a CID names.

    Raises:
        Unusable: The block is malformed, or of something that is no file.
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
        raise Unusable("the sizes that a block declares do not fit each other")
    cids = [decode(_fields(link, _LINK).get(_HASH, b"")) for link in links]
    return Node(content, list(map(Link, cids, sizes)), size)


def _fields(message: bytes, kinds: dict[int, int], repeated: int = 0) -> dict[int, Any]:
    """The fields of a protobuf message, by number; the one that may be repeated as a list."""
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
            raise Unusable("a block of it is malformed")
        if number != repeated:
            fields[number] = found
        elif len(fields[repeated]) < MAX_LINKS:
            fields[repeated].append(found)
        else:
            raise Unusable(f"it has more than {MAX_LINKS} links")
    return fields


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends."""
    number = 0
    for place, byte in enumerate(message[at : at + 9]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    raise Unusable("a block of it is malformed")


class _Part(NamedTuple):
    """A part of a file that is written: its block, its content's bytes, and those of its blocks."""

    cid: CID
    size: int
    total: int


def chunks(file: IO[bytes], size: int = CHUNK) -> Iterator[bytes]:
    """The content of a file from where it is, in pieces of one size; one empty piece of nothing."""
    piece = file.read(size)
    yield piece
    while piece := file.read(size):
        yield piece


def write(pieces: Iterable[bytes], children: int = CHILDREN) -> Iterator[tuple[CID, bytes]]:
    """The blocks of a file, each with its CID (v1, sha2-256): leaves first, and the root last.

    Args:
        pieces: The content of its leaves. They are not kept: only links to them are.
        children: How many links a node has at most.
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
    """A dag-pb block that links to the parts: the links come before the data, as dag-pb wants."""
    links = b"".join(
        _field(
            _LINKS,
            _field(_HASH, bytes(part.cid)) + _field(_NAME, b"") + _field(_TSIZE, part.total),
        )
        for part in parts
    )
    sizes = b"".join(_field(_BLOCKSIZES, part.size) for part in parts)
    whole = _field(_FILESIZE, sum(part.size for part in parts))
    return links + _field(_DATA, _field(_TYPE, _IS_FILE) + whole + sizes)


def _field(number: int, value: int | bytes) -> bytes:
    """A field of a protobuf message."""
    if isinstance(value, int):
        return _as_varint(number << 3 | _NUMBER) + _as_varint(value)
    return _as_varint(number << 3 | _BYTES) + _as_varint(len(value)) + value


def _as_varint(number: int) -> bytes:
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*written, number])
