"""Which processes are still at work: one lock each, that the operating system gives back."""

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
    """This process's name, under which it is known to be alive as long as it is."""
    return _present(folder, os.getpid())[0]


def is_alive(folder: Path, name: str) -> bool:
    """Whether the process of a name is still there."""
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
def _present(folder: Path, process: int) -> tuple[str, FileLock]:
    """The name and the lock of a process. A fork is another one, and asks again."""
    import atexit

    folder.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex
    lock = _lock(folder, name)
    lock.acquire()

    def leave() -> None:
        if os.getpid() == process:
            lock.release()
            with contextlib.suppress(OSError):
                _path(folder, name).unlink()

    atexit.register(leave)
    return name, lock


def _lock(folder: Path, name: str) -> FileLock:
    from filelock import FileLock

    # Threads of one process share it.
    return FileLock(_path(folder, name), thread_local=False)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.lock"
