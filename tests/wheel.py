"""The wheel, and an environment in which it is installed.

Nothing is downloaded: virtualenv brings pip and setuptools, and a path file makes Ape available.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from .once import once_a_run

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, **options: Any) -> str:
    """Runs a command that must succeed; returns its output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout + done.stderr)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _made(tmp_path_factory)[0]


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the wheel, and with the Ape of this environment."""
    return _made(tmp_path_factory)[1]


def _made(factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder, wheel = once_a_run(factory, "wheel", _make)
    return folder / wheel, _python(folder)


def _python(folder: Path) -> Path:
    return folder / "environment" / "bin" / "python"


def _make(folder: Path) -> str:
    """Builds the wheel from a copy of the sources, and installs it."""
    bundled = ("--no-download", "--pip", "bundle", "--setuptools", "bundle")
    run(sys.executable, "-m", "virtualenv", "--quiet", *bundled, folder / "environment")
    source = folder / "source"
    source.mkdir()
    for file in ROOT.iterdir():
        if file.is_file():
            shutil.copy(file, source)
    for name in ("ape_dtn", "contracts", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", ".cache")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    pip = (_python(folder), "-m", "pip")
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
    run(*pip, "wheel", *options, source)
    (wheel,) = folder.glob("*.whl")
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel)
    where = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    packages = Path(run(_python(folder), "-c", where).strip())
    (packages / "ape.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return wheel.name
