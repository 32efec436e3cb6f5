"""Expensive files that all workers of a test run share."""

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
    """Runs ``make`` in the first worker; the others wait for it.

    Args:
        factory: Makes the folders of this run.
        name: Name of the folder.
        make: Fills the new folder, and returns plain data for JSON.

    Returns:
        The folder, and the result of ``make``.
    """
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / f"once-{name}"
    made = folder.with_suffix(".json")
    with FileLock(folder.with_suffix(".lock")):
        if not made.exists():
            folder.mkdir()
            made.write_text(json.dumps(make(folder)))
    return folder, json.loads(made.read_text())
