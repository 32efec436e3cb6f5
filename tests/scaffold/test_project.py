"""What `ape dtn init` and `generate` write, and that it works as it is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are not installed

from ape_dtn.devnet.anvil import free_port
from ape_dtn.errors import InvalidOption
from ape_dtn.scaffold.project import project
from tests.cli.shell import Shell
from tests.once import once_a_run

from .conftest import Ape

FILES = {
    ".github/workflows/tests.yaml",
    ".gitignore",
    "README.md",
    "ape-config.yaml",
    "contracts/Asker.sol",
    "contracts/interfaces/IERC20.sol",
    "pytest.ini",
    "requirements.txt",
    "scripts/ask.py",
    "tests/test_asker.py",
}
IMPORTS_ITS_CLIENT = """
def test_its_client_can_be_imported():
    from age_check import MODEL

    assert MODEL.startswith("model.")
"""
AGE_CHECK = ("AgeCheck", "--prompt", "Is {0:address} older than {1:uint8}?", "--name", "owner")


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """Without any network: none is at the place that is configured."""
    return Shell(tmp_path, {"APE_FOUNDRY_HOST": "http://127.0.0.1:1"})


@pytest.fixture(scope="session")
def compiled(ape: Ape, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project with another contract, which is compiled."""

    def make(folder: Path) -> None:
        written = ape("dtn", "init", "oracle", folder=folder)
        assert written.returncode == 0, written.stdout + written.stderr
        project = folder / "oracle"
        generate = ("dtn", "generate", *AGE_CHECK, "--api", "string[] -> string")
        generated = ape(*generate, folder=project)
        assert generated.returncode == 0, generated.stdout + generated.stderr
        (project / "tests" / "test_client.py").write_text(IMPORTS_ITS_CLIENT)
        done = ape("compile", folder=project)
        assert done.returncode == 0, done.stdout + done.stderr

    folder, _ = once_a_run(tmp_path_factory, "project", make)
    return folder / "oracle"


@pytest.fixture
def fresh(compiled: Path, tmp_path: Path) -> Path:
    """A copy of the project for one test."""
    return Path(shutil.copytree(compiled, tmp_path / "oracle"))


@pytest.mark.parametrize("network", ["ethereum:local:test", "ethereum:local:foundry"])
def test_the_tests_of_a_new_project_pass(
    ape: Ape, fresh: Path, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APE_FOUNDRY_HOST", f"http://127.0.0.1:{free_port()}")

    # Each of the two has a chain of its own.
    done = ape("test", "-n", "2", "--network", network, folder=fresh)

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b8 passed\b", done.stdout), done.stdout
    assert "failed" not in done.stdout


def test_all_contracts_of_a_project_compile_together(fresh: Path) -> None:
    found = json.loads((fresh / ".build" / "__local__.json").read_text())["contractTypes"]

    assert {"Asker", "AgeCheck", "IERC20"} <= found.keys()


def test_a_new_project_is_written_without_a_network(alone: Shell) -> None:
    done = alone.dtn("init", "oracle", "--json")

    folder = alone.here / "oracle"
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert done.code == 0, done.err
    assert written == FILES
    assert done.json["folder"] == "oracle"
    assert {path.removeprefix("oracle/") for path in done.json["files"]} == FILES


def test_nothing_is_written_over_a_project(alone: Shell) -> None:
    (alone.here / "oracle").mkdir()

    done = alone.dtn("init", "oracle", "--json")

    assert (done.code, done.error["code"]) == (2, "files_exist")
    assert done.error["paths"] == ["oracle"]
    assert not any((alone.here / "oracle").iterdir())


def test_a_project_can_be_written_again(alone: Shell) -> None:
    folder = alone.here / "oracle"
    folder.mkdir()
    (folder / "README.md").write_text("old")
    (folder / "notes.txt").write_text("mine")

    done = alone.dtn("init", "oracle", "--force")

    assert done.code == 0, done.err
    assert (folder / "README.md").read_text().startswith("# oracle\n")
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["../oracle", "a b", "-", "1st", "$HOME", ""])
def test_a_project_has_a_plain_name(name: str) -> None:
    with pytest.raises(InvalidOption, match="cannot name a project"):
        project(name)


def test_all_that_is_written_is_read_by_what_it_is_for(tmp_path: Path) -> None:
    files = project("oracle")

    assert yaml.safe_load(files["ape-config.yaml"])["dtn"]["model"].startswith("model.system.")
    workflow = yaml.safe_load(files[".github/workflows/tests.yaml"])
    assert [step.get("run") for step in workflow["jobs"]["tests"]["steps"]][-1] == "ape test"
    assert not any("$" in text for name, text in files.items() if name != "README.md")
    for name in ("scripts/ask.py", "tests/test_asker.py"):
        (tmp_path / Path(name).name).write_text(files[name])
    for command in (("format", "--check"), ("check", "--select", "E,F,I,UP,B,PT")):
        order = ("--config", "lint.isort.known-third-party=['ape', 'ape_dtn']")
        options = order if command[0] == "check" else ()
        ruff = [sys.executable, "-m", "ruff", *command, "--isolated", *options, str(tmp_path)]
        done = subprocess.run(ruff, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_a_consumer_is_written_without_a_network(alone: Shell) -> None:
    api = ("--api", "string[] -> string", "--model", "model.system.openai-gpt-5")

    done = alone.dtn("generate", *AGE_CHECK, *api, "--json")

    assert done.code == 0, done.err
    assert done.json == {
        "model": "model.system.openai-gpt-5",
        "inputs": ["string[]"],
        "output": "string",
        "parameters": [
            {"name": "owner", "type": "address"},
            {"name": "value1", "type": "uint8"},
        ],
        "needs_ir": False,
        "files": ["contracts/AgeCheck.sol", "age_check.py"],
    }
    assert "contract AgeCheck is" in (alone.here / "contracts" / "AgeCheck.sol").read_text()
    assert "class AgeCheck:" in (alone.here / "age_check.py").read_text()

    again = alone.dtn("generate", *AGE_CHECK, *api)
    assert (again.code, "is there" in again.err, "--force" in again.err) == (2, True, True)


def test_without_its_api_a_model_is_looked_for_on_the_chain(alone: Shell) -> None:
    done = alone.dtn("generate", *AGE_CHECK, "--network", "ethereum:local:test", "--json")

    # The chain of this process has no network of ours.
    assert (done.code, done.error["code"]) == (3, "unknown_chain")
    assert not any(alone.here.iterdir())
