"""Uploads in the format of Kubo's ``/api/v0/add``: files in a multipart body of any length.

Options that would change a file's CID are accepted only with the values that this store uses.
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


# Bytes of a body read at once.
READ_SIZE = 65_536

# The longest line of chunked transfer coding: a chunk size, or a trailer.
MAX_LINE = 1024

# The largest leaf, in bytes: other IPFS implementations reject larger blocks.
MAX_CHUNK = 2**20

# Options that determine the CID of a file, and the only value accepted for each.
_FIXED_OPTIONS = {
    "cid-version": "1",
    "raw-leaves": "true",
    "hash": "sha2-256",
    "trickle": "false",
    "max-file-links": str(unixfs.CHILDREN),
    **dict.fromkeys(("wrap-with-directory", "only-hash", "inline", "nocopy"), "false"),
    **dict.fromkeys(("preserve-mode", "preserve-mtime"), "false"),
}


class InvalidUpload(Exception):
    """A malformed upload, or one that asks for something unsupported."""


def chunk_size(options: Mapping[str, str]) -> int:
    """Return the leaf size in bytes that an upload asks for, after checking its options.

    Raises:
        InvalidUpload: An option is not supported.
    """
    for name, value in _FIXED_OPTIONS.items():
        if options.get(name, value).lower() != value:
            raise InvalidUpload(f"unsupported {name} {options[name]}: only {value} is supported")
    chunker = options.get("chunker") or f"size-{unixfs.CHUNK}"
    match = re.fullmatch("size-([1-9][0-9]{0,6})", chunker)
    if not match or int(match[1]) > MAX_CHUNK:
        raise InvalidUpload(
            f"unsupported chunker {chunker}: only size-1 to size-{MAX_CHUNK} are supported"
        )
    return int(match[1])


def add(
    blocks: Blocks, content_type: str, body: Iterable[bytes], chunk: int
) -> list[tuple[str, CID, int]]:
    """Add the files of a multipart body, with leaves of ``chunk`` bytes. Large files are on disk.

    Returns:
        For each file its name, its CID, and the total size of its blocks in bytes.

    Raises:
        MissingExtra: The multipart parser is not installed.
        InvalidUpload: The body is not multipart, is incomplete, or contains a directory.
        OSError: A file cannot be written.
    """
    try:
        from python_multipart import FormParser
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import parse_options_header
    except ImportError as err:
        raise MissingExtra("node", "uploads to the IPFS store (/api/v0/add)") from err

    added: list[tuple[str, CID, int]] = []
    finished: list[bool] = []

    def on_file(part: File) -> None:
        try:
            if part.content_type == "application/x-directory":
                raise InvalidUpload("directories are not supported")
            part.file_object.seek(0)
            name = unquote((part.file_name or b"").decode(errors="replace"))
            added.append((name, *blocks.add(part.file_object, chunk)))
        finally:
            part.close()

    def on_field(part: Field) -> None:
        added.append(("", *blocks.add(BytesIO(part.value or b""), chunk)))

    media_type, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary")
    if media_type != b"multipart/form-data" or not boundary:
        raise InvalidUpload("the Content-Type must be multipart/form-data with a boundary")
    try:
        parser = FormParser(
            media_type.decode(), on_field, on_file, lambda: finished.append(True), boundary=boundary
        )
        for piece in body:
            parser.write(piece)
    except FormParserError as err:
        if isinstance(err, OSError):
            raise
        raise InvalidUpload(f"the multipart body is malformed: {err}") from err
    if not finished:
        raise InvalidUpload("the body is incomplete")
    return added


def sized_body(file: BufferedIOBase, length: str) -> Iterator[bytes]:
    """Read a body with a ``Content-Length``.

    Raises:
        InvalidUpload: The length is missing or malformed, or the body is shorter.
    """
    if not re.fullmatch("[0-9]{1,18}", length):
        raise InvalidUpload("send a Content-Length, or a chunked body")
    yield from _read(file, int(length))


def chunked_body(file: BufferedIOBase) -> Iterator[bytes]:
    """Read a body in chunked transfer coding (RFC 9112, section 7.1).

    Raises:
        InvalidUpload: The body is malformed or incomplete.
    """
    while length := _chunk_length(file):
        yield from _read(file, length)
        if file.readline(MAX_LINE).strip():
            raise InvalidUpload("a chunk is longer than its declared size")
    while file.readline(MAX_LINE).strip():
        pass  # skip the trailers


def _chunk_length(file: BufferedIOBase) -> int:
    size = file.readline(MAX_LINE).split(b";")[0].strip()
    if not re.fullmatch(b"[0-9a-fA-F]{1,15}", size):
        raise InvalidUpload("the size of a chunk is missing or malformed")
    return int(size, 16)


def _read(file: BufferedIOBase, length: int) -> Iterator[bytes]:
    while length:
        piece = file.read(min(length, READ_SIZE))
        if not piece:
            raise InvalidUpload("the body is incomplete")
        length -= len(piece)
        yield piece
