"""What takes long to make, and is made once in a run, however many workers run the tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock


def once_a_run(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Any]
) -> tuple[Path, Any]:
    """Has the worker that comes first make something; the others wait for it.

    Args:
        factory: Where folders of this run are made.
        name: What is made.
        make: Makes it in a new folder, and returns what JSON can hold.

    Returns:
        The folder, and what was returned.
    """
    base = factory.getbasetemp()
    of_all_workers = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = of_all_workers / f"once-{name}"
    made = folder.with_suffix(".json")
    with FileLock(folder.with_suffix(".lock")):
        if not made.exists():
            folder.mkdir()
            made.write_text(json.dumps(make(folder)))
    return folder, json.loads(made.read_text())
