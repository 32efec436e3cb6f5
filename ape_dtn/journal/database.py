"""Opens SQLite files that several processes share."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import suppress
from pathlib import Path

from ape_dtn.types.polling import POLICY


def open_database(path: Path | None, schema: str, version: int) -> sqlite3.Connection:
    """Opens a database, and creates its file with mode 0600 if it is missing.

    Args:
        path: The file; None for a database in memory.
        schema: SQL that creates the tables.
        version: The schema's version, which the file stores.

    Raises:
        sqlite3.Error: The file cannot be used, or has another version.
        OSError: The file cannot be created.
    """
    if path is None:
        database = _connect(":memory:")
        database.executescript(schema)
        return database
    if not path.exists():
        _create(path, schema, version)
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)  # other users could broadcast what is signed
    database = _connect(str(path))
    found = database.execute("pragma user_version").fetchone()[0]
    if found != version:
        database.close()
        raise sqlite3.DatabaseError("it was written by another version of ape-dtn")
    return database


def _create(path: Path, schema: str, version: int) -> None:
    """Creates the file under a temporary name, then links it: only one process can.

    Created in place, another process could open it without its tables, or while its journal mode
    changes, when SQLite does not wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # with mode 0600
    os.close(handle)
    try:
        database = _connect(draft)
        # Both settings are stored in the file.
        database.execute("pragma journal_mode = wal")
        database.executescript(f"{schema} pragma user_version = {version};")
        database.close()
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()


def _connect(name: str) -> sqlite3.Connection:
    return sqlite3.connect(
        name, timeout=POLICY.database_timeout, isolation_level=None, check_same_thread=False
    )
