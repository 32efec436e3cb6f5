"""Writing files atomically."""

from __future__ import annotations

from pathlib import Path

import pytest

from ape_dtn.errors import FilesExist, NotWritten
from ape_dtn.scaffold.files import write


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else "(folder)"
        for path in folder.rglob("*")
    }


def test_all_files_are_written(tmp_path: Path) -> None:
    written = write(tmp_path / "new" / "project", {"a.txt": "a", "b/c/d.txt": "ü\n"})

    assert content(tmp_path / "new" / "project") == {
        "a.txt": "a",
        "b": "(folder)",
        "b/c": "(folder)",
        "b/c/d.txt": "ü\n",
    }
    assert [path.name for path in written] == ["a.txt", "d.txt"]


def test_existing_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("mine")

    with pytest.raises(FilesExist) as error:
        write(tmp_path, {"a.txt": "a", "b.txt": "b"})

    assert error.value.paths == [str(tmp_path / "b.txt")]
    assert content(tmp_path) == {"b.txt": "mine"}


def test_a_dangling_link_counts_as_existing(tmp_path: Path) -> None:
    (tmp_path / "a.txt").symlink_to(tmp_path / "nowhere")

    with pytest.raises(FilesExist):
        write(tmp_path, {"a.txt": "a"})


def test_existing_files_can_be_replaced(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "old", "other.txt": "other"})

    write(tmp_path, {"a.txt": "new", "b.txt": "b"}, force=True)

    assert content(tmp_path) == {"a.txt": "new", "b.txt": "b", "other.txt": "other"}


@pytest.mark.parametrize("force", [False, True])
def test_a_failed_write_changes_nothing(tmp_path: Path, force: bool) -> None:
    """The last file's folder is a file, so it cannot be written."""
    (tmp_path / "file").write_text("a file")
    files = {"a/b.txt": "new", "c.txt": "new", "file/d.txt": "new"}
    if force:
        (tmp_path / "c.txt").write_text("old")
    before = content(tmp_path)

    with pytest.raises(NotWritten) as error:
        write(tmp_path, files, force)

    assert "file" in error.value.path
    assert content(tmp_path) == before


def test_a_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()

    with pytest.raises(NotWritten, match="it is a folder"):
        write(tmp_path, {"a.txt": "a"}, force=True)


def test_a_failed_write_removes_a_new_folder(tmp_path: Path) -> None:
    with pytest.raises(NotWritten):
        write(tmp_path / "new", {"a": "a", "a/b": "b"})

    assert content(tmp_path) == {}
