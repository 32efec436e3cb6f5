"""Writing files as blocks, compared with the JavaScript implementation of IPFS."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ape_dtn.ipfs import unixfs
from tests.ipfs import importer

CHUNK, CHILDREN = unixfs.CHUNK, unixfs.CHILDREN


def written(
    content: bytes, chunk: int = CHUNK, children: int = CHILDREN
) -> tuple[str, dict[str, bytes]]:
    """Return the CID of the root, and all blocks by CID."""
    blocks = unixfs.write(unixfs.chunks(BytesIO(content), chunk), children)
    named = {str(cid): block for cid, block in blocks}
    return list(named)[-1], named


def imported(content: bytes, **shape: int) -> tuple[str, dict[str, bytes]]:
    found = importer.add(content, **shape)
    return found.cid, found.blocks


@pytest.mark.parametrize(
    "size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, CHILDREN * CHUNK + 1]
)
def test_blocks_match_the_reference_implementation(size: int) -> None:
    content = Random(size).randbytes(size)

    assert written(content) == imported(content, chunk=CHUNK, children=CHILDREN)


def test_blocks_of_any_tree_match_the_reference_implementation() -> None:
    @settings(max_examples=100, deadline=None, database=None)
    @given(content=st.binary(max_size=200), chunk=st.integers(1, 40), children=st.integers(2, 5))
    def agrees(content: bytes, chunk: int, children: int) -> None:
        # With duplicate blocks, the last new key of the dictionary may not be the root.
        root = [cid for cid, _ in unixfs.write(unixfs.chunks(BytesIO(content), chunk), children)][
            -1
        ]
        expected = imported(content, chunk=chunk, children=children)
        assert (str(root), written(content, chunk, children)[1]) == expected

    agrees()


def test_writing_reads_one_piece_at_a_time() -> None:
    read = 0

    def pieces() -> Iterator[bytes]:
        nonlocal read
        for _ in range(10):
            read += 1
            yield bytes([read])

    blocks = unixfs.write(pieces())

    next(blocks)
    assert read == 1
    next(blocks)
    assert read == 2
