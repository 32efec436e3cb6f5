"""Files that others find whole or not at all, whenever the process that writes them ends."""

from __future__ import annotations

import os
from pathlib import Path
from secrets import token_hex


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file, text as UTF-8. It is on the disk when this returns.

    It is made beside its place under a name of its own, so that several processes can write the
    same file: the last one's is there.

    Raises:
        OSError: It cannot be written. What was there before stays.
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
