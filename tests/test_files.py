"""What is written is there whole, or what was there before."""

from __future__ import annotations

import os
import resource
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ape_dtn.types.files import write_whole


def test_of_many_who_write_at_once_one_is_there_whole(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    written = [str(place) * 100_000 for place in range(8)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_whole, [path] * 40, written * 5))

    assert path.read_text() in written
    assert list(tmp_path.iterdir()) == [path]


def test_who_may_read_it_is_as_for_any_other_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "kept", b"all of it")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o640


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    write_whole(path, "before")

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_whole(path, "after" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
