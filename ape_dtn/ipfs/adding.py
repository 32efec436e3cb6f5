"""What ``/api/v0/add`` of Kubo's RPC API takes: files in a multipart body, however long.

Of its options, those are taken that say how content is kept here anyway: the CID of a file would
else be another one than was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from io import BufferedIOBase, BytesIO
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ape_dtn.ipfs import unixfs
from ape_dtn.ipfs.blocks import Blocks
from ape_dtn.types.errors import MissingExtra

if TYPE_CHECKING:
    from multiformats import CID
    from python_multipart.multipart import Field, File


# How much of a body is read at once, in bytes.
PIECE = 65_536

# No size of a piece, and nothing that follows one, is said in a longer line.
LONGEST_LINE = 1024

# No block that others take is larger.
MAX_CHUNK = 2**20

# Options that would give a file another CID, and the one value that each may have.
_TAKEN = {
    "cid-version": "1",
    "raw-leaves": "true",
    "hash": "sha2-256",
    "trickle": "false",
    "max-file-links": str(unixfs.CHILDREN),
    **dict.fromkeys(("wrap-with-directory", "only-hash", "inline", "nocopy"), "false"),
    **dict.fromkeys(("preserve-mode", "preserve-mtime"), "false"),
}


class Malformed(Exception):
    """A request to add that cannot be followed."""


def chunk_of(options: Mapping[str, str]) -> int:
    """The size of the leaves that a request wants, in bytes.

    Raises:
        Malformed: It wants what is not done here.
    """
    for name, value in _TAKEN.items():
        if options.get(name, value).lower() != value:
            raise Malformed(f"{name} is {value} here, and cannot be {options[name]}")
    chunker = options.get("chunker") or f"size-{unixfs.CHUNK}"
    found = re.fullmatch("size-([1-9][0-9]{0,6})", chunker)
    if not found or int(found[1]) > MAX_CHUNK:
        raise Malformed(f"chunker is size-N here, up to {MAX_CHUNK}, and cannot be {chunker}")
    return int(found[1])


def add(
    blocks: Blocks, content_type: str, body: Iterable[bytes], chunk: int
) -> list[tuple[str, CID, int]]:
    """Keeps the files of a body. Those that are large are on the disk, and not in memory.

    Args:
        blocks: Where they are kept.
        content_type: The body's.
        body: A multipart body.
        chunk: The size of the leaves, in bytes.

    Returns:
        For each file its name, its CID, and how many bytes its blocks have together.

    Raises:
        MissingExtra: The parser of multipart bodies is not installed.
        Malformed: The body is no multipart, or not all of it, or holds what is no file.
        OSError: A file cannot be written.
    """
    try:
        from python_multipart import FormParser
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import parse_options_header
    except ImportError as err:
        raise MissingExtra("node", "uploads to the IPFS store (/api/v0/add)") from err

    added: list[tuple[str, CID, int]] = []
    ends: list[bool] = []

    def on_file(part: File) -> None:
        try:
            if part.content_type == "application/x-directory":
                raise Malformed("there are files here, and no directories")
            part.file_object.seek(0)
            name = unquote((part.file_name or b"").decode(errors="replace"))
            added.append((name, *blocks.add(part.file_object, chunk)))
        finally:
            part.close()

    def on_field(part: Field) -> None:
        added.append(("", *blocks.add(BytesIO(part.value or b""), chunk)))

    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Malformed("files come as multipart/form-data, with a boundary")
    try:
        parser = FormParser(
            kind.decode(), on_field, on_file, lambda: ends.append(True), boundary=boundary
        )
        for piece in body:
            parser.write(piece)
    except FormParserError as err:
        if isinstance(err, OSError):
            raise
        raise Malformed(f"the body is no multipart: {err}") from err
    if not ends:
        raise Malformed("the body ends too early")
    return added


def of_length(file: BufferedIOBase, length: str) -> Iterator[bytes]:
    """A body whose length was told.

    Raises:
        Malformed: The length is none, or not all of it came.
    """
    if not re.fullmatch("[0-9]{1,18}", length):
        raise Malformed("a body tells its length, or comes in chunks")
    yield from _read(file, int(length))


def unchunked(file: BufferedIOBase) -> Iterator[bytes]:
    """A body in the chunked transfer coding (RFC 9112, section 7.1).

    Raises:
        Malformed: It is none, or not all of it came.
    """
    while length := _length_of_chunk(file):
        yield from _read(file, length)
        if file.readline(LONGEST_LINE).strip():
            raise Malformed("a chunk is longer than it says")
    while file.readline(LONGEST_LINE).strip():
        pass  # what comes behind the last chunk says nothing about the content


def _length_of_chunk(file: BufferedIOBase) -> int:
    told = file.readline(LONGEST_LINE).split(b";")[0].strip()
    if not re.fullmatch(b"[0-9a-fA-F]{1,15}", told):
        raise Malformed("the length of a chunk is missing")
    return int(told, 16)


def _read(file: BufferedIOBase, length: int) -> Iterator[bytes]:
    while length:
        piece = file.read(min(length, PIECE))
        if not piece:
            raise Malformed("the body ends too early")
        length -= len(piece)
        yield piece
