"""Errors of generating files."""

from __future__ import annotations

from ape_dtn.types.errors import BadInput


class FilesExist(BadInput):
    """Some of the files to write exist already. Nothing was written."""

    paths: list[str]

    def __init__(self, paths: list[str]) -> None:
        names = ", ".join(paths)
        super().__init__(f"Nothing was written, because these exist: {names}.", paths=paths)
        self.hint = "Choose another name, or pass `force=True` to replace the files."
