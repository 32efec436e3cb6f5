"""Files that are written all together, or not at all, and over nothing that is there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from ape_dtn.scaffold.errors import FilesExist
from ape_dtn.types.errors import NotWritten


def write(folder: Path, files: Mapping[str, str], force: bool = False) -> list[Path]:
    """Writes files into a folder, which is made where it is not there.

    Args:
        folder: The folder.
        files: The text of each file, by its path within the folder.
        force: Replace files that are there.

    Returns:
        The files' paths, in their order.

    Raises:
        FilesExist: Some are there already.
        NotWritten: The folder cannot be written to.
    """
    targets = {folder / name: text for name, text in files.items()}
    if taken := [path for path in targets if os.path.lexists(path)]:
        if not force:
            raise FilesExist([str(path) for path in taken])
        if folders := [path for path in taken if path.is_dir()]:
            raise NotWritten(folders[0], "a folder is there")
    try:
        _write(folder, targets)
    except OSError as err:
        raise NotWritten(Path(err.filename or folder), err.strerror or str(err)) from err
    return list(targets)


def _write(folder: Path, targets: Mapping[Path, str]) -> None:
    with ExitStack() as made:
        _make(folder, made)
        # On the disk of the folder, so that what is complete only has to be renamed.
        drafts = tempfile.TemporaryDirectory(dir=folder, prefix=".writing-")
        with drafts as draft, ExitStack() as undo:
            for place, text in enumerate(targets.values()):
                Path(draft, f"new-{place}").write_text(text, encoding="utf-8")
            for place, target in enumerate(targets):
                _make(target.parent, undo)
                if os.path.lexists(target):
                    kept = Path(draft, f"old-{place}")
                    target.rename(kept)
                    undo.callback(kept.rename, target)
                Path(draft, f"new-{place}").rename(target)
                undo.callback(target.unlink)
            undo.pop_all()
        made.pop_all()


def _make(folder: Path, undo: ExitStack) -> None:
    """Makes a folder, and those that it is in."""
    for each in reversed([folder, *folder.parents]):
        if not each.is_dir():
            each.mkdir()
            undo.callback(each.rmdir)
