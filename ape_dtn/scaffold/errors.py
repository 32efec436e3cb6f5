"""Errors of writing a project."""

from __future__ import annotations

from ape_dtn.types.errors import BadInput


class FilesExist(BadInput):
    """Files that were to be written are there already. Nothing was written."""

    paths: list[str]

    def __init__(self, paths: list[str]) -> None:
        super().__init__(f"Nothing was written: {', '.join(paths)} is there.", paths=paths)
        self.hint = "Choose another name, or replace what is there by --force."
