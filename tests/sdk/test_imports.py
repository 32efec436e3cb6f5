"""Import times: Ape loads every plugin for every command."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ape_dtn
from ape_dtn import artifacts

HEAVY = [
    "web3",
    "pandas",
    "pygal",
    "httpx",
    "multiformats",
    "filelock",
    "sqlite3",
    "ape.api",
    "ape_dtn.artifacts",
    "eth_abi",
]

# Prints the heavy modules that are loaded afterwards.
IMPORT = "import ape_dtn"
COMMANDS = "from ape_dtn._cli import cli"
HELP = """
import contextlib, io, sys
from ape._cli import cli
sys.argv[0] = "ape"
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as out:
    cli.main(sys.argv[1:], prog_name="ape")
assert "Usage: ape dtn" in out.getvalue(), out.getvalue()
"""


def heavy_modules_after(code: str, *arguments: str) -> list[str]:
    """Runs code in a new interpreter."""
    report = f"import sys; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    command = [sys.executable, "-c", f"{code}\n{report}", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


def test_importing_the_package_is_cheap() -> None:
    assert heavy_modules_after(IMPORT) == []


def test_importing_the_commands_is_cheap() -> None:
    assert heavy_modules_after(COMMANDS) == []


@pytest.mark.parametrize(
    "command",
    [
        "dtn",
        "dtn info",
        "dtn session start",
        "dtn session report",
        "dtn quote",
        "dtn ask",
        "dtn ask-many",
        "dtn watch",
        "dtn rehearse",
        "dtn answer",
        "dtn deploy",
        "dtn demo",
        "dtn init",
        "dtn generate",
    ],
)
def test_help_is_cheap(command: str) -> None:
    assert heavy_modules_after(HELP, *command.split(), "--help") == []


def test_heavy_modules_are_detected() -> None:
    """Shows that the tests above can fail."""
    assert heavy_modules_after("import eth_abi") == ["eth_abi"]
    assert "web3" in heavy_modules_after("import ape_dtn; ape_dtn.DtnAi; import web3")


@pytest.mark.parametrize("name", ape_dtn.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(ape_dtn, name).__name__ == name


def test_other_names_raise_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ape_dtn' has no attribute 'nonsense'"):
        _ = ape_dtn.nonsense


def test_all_names_can_be_imported_at_once() -> None:
    imported: dict[str, object] = {}

    exec("from ape_dtn import *", imported)

    assert imported.keys() >= set(ape_dtn.__all__)


def test_an_artifact_is_read_once() -> None:
    artifacts.load.cache_clear()

    first = artifacts.load("DtnProxy")

    assert artifacts.load("DtnProxy") is first
    assert artifacts.load.cache_info().misses == 1
    assert first.keys() == {"abi", "bytecode"}


def test_artifacts_are_read_on_first_use() -> None:
    code = (
        "from ape_dtn import artifacts; assert artifacts.load.cache_info().currsize == 0;"
        "artifacts.creation_code('TestUSDT'); assert artifacts.load.cache_info().currsize == 1"
    )

    assert "ape_dtn.artifacts" in heavy_modules_after(code)
