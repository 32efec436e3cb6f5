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
    if not path.stat().st_size:
        raise DamagedFile("the file is empty")
    database = _connect(str(path))
    try:
        found = database.execute("pragma user_version").fetchone()[0]
        if not found:
            raise DamagedFile("the file is another program's database")
        if found != version:
            raise sqlite3.DatabaseError("it was written by another version of ape-dtn")
        # SQLite reads the missing part of the last page as zeros. The file is not opened here to
        # look at it: closing it would drop the locks that SQLite has on it in this process.
        page_size = database.execute("pragma page_size").fetchone()[0]
        if path.stat().st_size % page_size and _quick_check(database) != "ok":
            raise DamagedFile("the end of the file is missing")
    except BaseException:
        database.close()
        raise
    return database


class DamagedFile(sqlite3.DatabaseError):
    """The file was not written by this package, or not completely."""


def is_damaged(error: Exception) -> bool:
    """Whether an error is due to the content of the file, and not to the disk or permissions."""
    name = getattr(error, "sqlite_errorname", "")
    is_other = str(error).startswith("no such ")  # table or column
    return is_other or isinstance(error, DamagedFile) or name.startswith(_DAMAGED)


_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def _quick_check(database: sqlite3.Connection) -> str:
    return str(database.execute("pragma quick_check(1)").fetchone()[0])


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
