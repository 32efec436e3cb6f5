"""Writes files atomically: a reader finds the old or the new content, never a part."""

from __future__ import annotations

import os
from pathlib import Path
from secrets import token_hex


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file, text as UTF-8, and returns once it is on the disk.

    Several processes can write the same file: the last one wins.

    Raises:
        OSError: The file cannot be written. An existing file is unchanged.
    """
    draft = path.with_name(f".{token_hex(8)}.draft")
    try:
        with draft.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
