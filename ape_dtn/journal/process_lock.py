"""Finds out which processes are alive: each holds a file lock until it exits."""

from __future__ import annotations

import contextlib
import os
import uuid
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import FileLock


def own_name(folder: Path) -> str:
    """The name of this process, whose lock it holds until it ends."""
    return _locked_name(folder, os.getpid())[0]


def is_alive(folder: Path, name: str) -> bool:
    """Whether the process with a name is alive."""
    from filelock import Timeout

    if name == own_name(folder):
        return True
    lock = _lock(folder, name)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    with contextlib.suppress(OSError):
        _path(folder, name).unlink()
    lock.release()
    return False


@cache
def _locked_name(folder: Path, process: int) -> tuple[str, FileLock]:
    """The name and the lock of a process. A fork has another process id, so it gets its own."""
    import atexit

    folder.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex
    lock = _lock(folder, name)
    lock.acquire()

    def release() -> None:
        if os.getpid() == process:
            lock.release()
            with contextlib.suppress(OSError):
                _path(folder, name).unlink()

    atexit.register(release)
    return name, lock


def _lock(folder: Path, name: str) -> FileLock:
    from filelock import FileLock

    # The threads of a process share the lock.
    return FileLock(_path(folder, name), thread_local=False)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.lock"
