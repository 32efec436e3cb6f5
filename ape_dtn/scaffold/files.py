"""Write files atomically: all of them or none, and never over existing ones unless forced."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from ape_dtn.scaffold.errors import FilesExist
from ape_dtn.types.errors import NotWritten


def write(folder: Path, files: Mapping[str, str], force: bool = False) -> list[Path]:
    """Write files into a folder, which is created if missing.

    Args:
        folder: The folder.
        files: The text of each file, by its path within the folder.
        force: Replace existing files.

    Returns:
        The files' paths, in the same order.

    Raises:
        FilesExist: Some of the files exist, and ``force`` is false.
        NotWritten: The folder cannot be written to, or a folder is in the place of a file.
    """
    targets = {folder / name: text for name, text in files.items()}
    if existing := [path for path in targets if os.path.lexists(path)]:
        if not force:
            raise FilesExist([str(path) for path in existing])
        if folders := [path for path in existing if path.is_dir()]:
            raise NotWritten(folders[0], "it is a folder")
    try:
        _write(folder, targets)
    except OSError as err:
        raise NotWritten(Path(err.filename or folder), err.strerror or str(err)) from err
    return list(targets)


def _write(folder: Path, targets: Mapping[Path, str]) -> None:
    with ExitStack() as undo_folder:
        _make_folder(folder, undo_folder)
        # On the same disk as the targets, so that finished files only need to be renamed.
        temporary = tempfile.TemporaryDirectory(dir=folder, prefix=".writing-")
        with temporary as drafts, ExitStack() as undo:
            for index, text in enumerate(targets.values()):
                Path(drafts, f"new-{index}").write_text(text, encoding="utf-8")
            for index, target in enumerate(targets):
                _make_folder(target.parent, undo)
                if os.path.lexists(target):
                    backup = Path(drafts, f"old-{index}")
                    target.rename(backup)
                    undo.callback(backup.rename, target)
                Path(drafts, f"new-{index}").rename(target)
                undo.callback(target.unlink)
            undo.pop_all()
        undo_folder.pop_all()


def _make_folder(folder: Path, undo: ExitStack) -> None:
    for path in reversed([folder, *folder.parents]):
        if not path.is_dir():
            path.mkdir()
            undo.callback(path.rmdir)
