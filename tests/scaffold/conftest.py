"""Ape as a user runs it, with the wheel installed in a separate environment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

# Projects find the Solidity library only in an installed package, not in a checkout.
from tests.wheel import python

__all__ = ["python"]

APE = "import sys; from ape._cli import cli; sys.argv[0] = 'ape'; cli()"

Ape = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def ape(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Ape:
    home = tmp_path_factory.mktemp("home")

    def ape(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-c", APE, *command],
            cwd=folder,
            env={**os.environ, "HOME": str(home), "APE_DATA_FOLDER": str(home / ".ape")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return ape
