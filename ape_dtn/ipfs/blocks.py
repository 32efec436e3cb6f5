"""Blocks in a folder: each in a file that its CID names.

Several processes may use one folder at once: a block is written beside its place and moved there,
and two that write the same block write the same. What is read is compared with its CID.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from ape_dtn.ipfs import unixfs
from ape_dtn.types.files import write_whole

if TYPE_CHECKING:
    from multiformats import CID


log = logging.getLogger("ape_dtn.ipfs")


class Missing(LookupError):
    """A block is not there, or what is there is something else."""


@dataclass(frozen=True)
class Blocks:
    """The blocks in a folder, which is made when the first one comes.

    Attributes:
        folder: Where they are.
    """

    folder: Path

    def add(self, file: IO[bytes], chunk: int = unixfs.CHUNK) -> tuple[CID, int]:
        """Keeps what is in a file. No more than a chunk of it is in memory.

        Args:
            file: Read from where it is.
            chunk: The size of the leaves, in bytes.

        Returns:
            The CID of the content, and how many bytes its blocks have together.

        Raises:
            OSError: It cannot be written.
        """
        total = 0
        for cid, block in unixfs.write(unixfs.chunks(file, chunk)):
            self.put(cid, block)
            total += len(block)
        return cid, total

    def put(self, cid: CID, block: bytes) -> None:
        """Keeps a block. It is on the disk when this returns.

        Raises:
            OSError: It cannot be written.
        """
        path = self._path(cid)
        # A name alone says nothing: a disk that was full or failed may have spoilt what is there.
        if path.is_file() and path.read_bytes() == block:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, block)

    def get(self, cid: CID) -> bytes:
        """A block.

        Raises:
            Missing: It is not there, or is spoilt.
            OSError: It cannot be read.
        """
        if cid.hashfun.name == "identity":  # the CID holds the block
            return bytes(cid.raw_digest)
        try:
            block = self._path(cid).read_bytes()
        except FileNotFoundError:
            raise Missing(str(cid)) from None
        if cid.hashfun.digest(block) != cid.digest:
            log.error("%s: the block is spoilt. It is mended when its content is added again.", cid)
            raise Missing(str(cid))
        return block

    def node(self, cid: CID) -> unixfs.Node:
        """What is in a block of a file.

        Raises:
            Missing, OSError: As :meth:`get`.
            ape_dtn.ipfs.unixfs.Unusable: It is of no file.
        """
        return unixfs.read(cid, self.get(cid))

    def content(self, node: unixfs.Node) -> Iterator[bytes]:
        """The content below a node, piece by piece; errors as of :meth:`node`."""
        yield node.content
        for link in node.links:
            yield from self.content(self.node(link.cid))

    def _path(self, cid: CID) -> Path:
        name = cid.set(version=1, base="base32").encode()
        return self.folder / name[-3:-1] / name  # the first characters are the same in all
