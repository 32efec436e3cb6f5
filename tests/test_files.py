"""write_whole replaces a file completely or leaves it unchanged."""

from __future__ import annotations

import os
import resource
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ape_dtn.types.files import write_whole


def test_concurrent_writers_leave_one_complete_file(tmp_path: Path) -> None:
    path = tmp_path / "kept.json"
    written = [str(place) * 100_000 for place in range(8)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_whole, [path] * 40, written * 5))

    assert path.read_text() in written
    assert list(tmp_path.iterdir()) == [path]


def test_the_umask_applies(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "kept", b"all of it")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o640


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
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
