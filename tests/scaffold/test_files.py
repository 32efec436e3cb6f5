"""Files are written all together or not at all, and over nothing that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from ape_dtn.errors import FilesExist, NotWritten
from ape_dtn.scaffold.files import write


def content(folder: Path) -> dict[str, str]:
    """All files below a folder, and all folders."""
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else "(folder)"
        for path in folder.rglob("*")
    }


def test_all_are_written(tmp_path: Path) -> None:
    written = write(tmp_path / "new" / "project", {"a.txt": "a", "b/c/d.txt": "ü\n"})

    assert content(tmp_path / "new" / "project") == {
        "a.txt": "a",
        "b": "(folder)",
        "b/c": "(folder)",
        "b/c/d.txt": "ü\n",
    }
    assert [path.name for path in written] == ["a.txt", "d.txt"]


def test_nothing_is_written_over_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("mine")

    with pytest.raises(FilesExist) as raised:
        write(tmp_path, {"a.txt": "a", "b.txt": "b"})

    assert raised.value.paths == [str(tmp_path / "b.txt")]
    assert content(tmp_path) == {"b.txt": "mine"}


def test_a_link_to_nowhere_is_there_too(tmp_path: Path) -> None:
    (tmp_path / "a.txt").symlink_to(tmp_path / "nowhere")

    with pytest.raises(FilesExist):
        write(tmp_path, {"a.txt": "a"})


def test_what_is_there_can_be_replaced(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": "old", "kept.txt": "kept"})

    write(tmp_path, {"a.txt": "new", "b.txt": "b"}, force=True)

    assert content(tmp_path) == {"a.txt": "new", "b.txt": "b", "kept.txt": "kept"}


@pytest.mark.parametrize("force", [False, True])
def test_what_cannot_be_written_leaves_everything_as_it_was(tmp_path: Path, force: bool) -> None:
    """The last file would have to be in a folder that is a file."""
    (tmp_path / "taken").write_text("a file")
    files = {"a/b.txt": "new", "c.txt": "new", "taken/d.txt": "new"}
    if force:
        (tmp_path / "c.txt").write_text("old")
    before = content(tmp_path)

    with pytest.raises(NotWritten) as raised:
        write(tmp_path, files, force)

    assert "taken" in raised.value.path
    assert content(tmp_path) == before


def test_a_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()

    with pytest.raises(NotWritten, match="a folder is there"):
        write(tmp_path, {"a.txt": "a"}, force=True)


def test_a_new_folder_does_not_stay_when_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(NotWritten):
        write(tmp_path / "new", {"a": "a", "a/b": "b"})

    assert content(tmp_path) == {}
