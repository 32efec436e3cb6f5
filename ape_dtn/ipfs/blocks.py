"""Blocks in a folder, one file per block, named by its CID.

Several processes may use one folder at once: blocks are written atomically, and a block's content
follows from its CID. Blocks are verified against their CID when they are read.
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
    """A block is not in the folder, or is corrupt."""


@dataclass(frozen=True)
class Blocks:
    """The blocks in a folder. The folder is created with the first block."""

    folder: Path

    def add(self, file: IO[bytes], chunk: int = unixfs.CHUNK) -> tuple[CID, int]:
        """Store a file from its current position on. At most one leaf is in memory at a time.

        Returns:
            The CID of the content, and the total size of its blocks in bytes.

        Raises:
            OSError: A block cannot be written.
        """
        total = 0
        for cid, block in unixfs.write(unixfs.chunks(file, chunk)):
            self.put(cid, block)
            total += len(block)
        return cid, total

    def put(self, cid: CID, block: bytes) -> None:
        """Store a block durably. Raises ``OSError`` if it cannot be written."""
        path = self._path(cid)
        # Compare the content, too: the file may be corrupt, for example after a disk was full.
        if path.is_file() and path.read_bytes() == block:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, block)

    def get(self, cid: CID) -> bytes:
        """Read and verify a block.

        Raises:
            Missing: The block is not in the folder, or is corrupt.
            OSError: The block cannot be read.
        """
        if cid.hashfun.name == "identity":  # the CID holds the block
            return bytes(cid.raw_digest)
        try:
            block = self._path(cid).read_bytes()
        except FileNotFoundError:
            raise Missing(str(cid)) from None
        if cid.hashfun.digest(block) != cid.digest:
            log.error("Block %s is corrupt. Add its content again to repair it.", cid)
            raise Missing(str(cid))
        return block

    def node(self, cid: CID) -> unixfs.Node:
        """Read a block of a file as a UnixFS node.

        Raises:
            Missing, OSError: As :meth:`get`.
            ape_dtn.ipfs.unixfs.Unusable: The block is not part of a file.
        """
        return unixfs.read(cid, self.get(cid))

    def content(self, node: unixfs.Node) -> Iterator[bytes]:
        """Yield the content of a node and its descendants in pieces. Raises as :meth:`node`."""
        yield node.content
        for link in node.links:
            yield from self.content(self.node(link.cid))

    def _path(self, cid: CID) -> Path:
        name = cid.set(version=1, base="base32").encode()
        return self.folder / name[-3:-1] / name  # the first characters are the same in all CIDs
