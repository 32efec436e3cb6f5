"""An SQLite file that processes share: made by one of them, and met whole by all others."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path

from ape_dtn.types.waiting import POLICY


def opened(path: Path | None, schema: str, version: int) -> sqlite3.Connection:
    """Opens a file, which is made where there is none; None for a database in memory.

    Args:
        path: Where it is. Nobody but its user can read it.
        schema: What makes its tables.
        version: The version of the schema, which is kept in the file.

    Raises:
        sqlite3.Error: It cannot be used, or has another version.
        OSError: It cannot be made.
    """
    if path is None:
        database = _connected(":memory:")
        database.executescript(schema)
        return database
    if not path.exists():
        _create(path, schema, version)
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)  # what is signed could be sent by whoever reads it
    database = _connected(str(path))
    found = database.execute("pragma user_version").fetchone()[0]
    if found != version:
        database.close()
        raise sqlite3.DatabaseError("it was written by another version of ape-dtn")
    return database


def _create(path: Path, schema: str, version: int) -> None:
    """Makes the file beside its place and then gives it its name, which only one process can.

    Were it made in its place, others would meet it half made, or while its mode is changed, for
    which SQLite lets nobody wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # as 0600
    os.close(handle)
    try:
        database = _connected(beside)
        # Once set, both are kept in the file.
        database.execute("pragma journal_mode = wal")
        database.executescript(f"{schema} pragma user_version = {version};")
        database.close()
        with suppress(FileExistsError):
            os.link(beside, path)
    finally:
        Path(beside).unlink()


def _connected(name: str) -> sqlite3.Connection:
    return sqlite3.connect(
        name, timeout=POLICY.database_timeout, isolation_level=None, check_same_thread=False
    )
