"""The files of `ape dtn init` and `generate`: they are complete and pass their own tests."""

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
CLIENT_TEST = """
def test_the_client_can_be_imported():
    from age_check import MODEL

    assert MODEL.startswith("model.")
"""
AGE_CHECK = ("AgeCheck", "--prompt", "Is {0:address} older than {1:uint8}?", "--name", "owner")


@pytest.fixture
def offline(tmp_path: Path) -> Shell:
    """A shell whose configured network is unreachable."""
    return Shell(tmp_path, {"APE_FOUNDRY_HOST": "http://127.0.0.1:1"})


@pytest.fixture(scope="session")
def compiled(ape: Ape, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new, compiled project with a generated contract."""

    def make(folder: Path) -> None:
        written = ape("dtn", "init", "oracle", folder=folder)
        assert written.returncode == 0, written.stdout + written.stderr
        project = folder / "oracle"
        generate = ("dtn", "generate", *AGE_CHECK, "--api", "string[] -> string")
        generated = ape(*generate, folder=project)
        assert generated.returncode == 0, generated.stdout + generated.stderr
        (project / "tests" / "test_client.py").write_text(CLIENT_TEST)
        result = ape("compile", folder=project)
        assert result.returncode == 0, result.stdout + result.stderr

    folder, _ = once_a_run(tmp_path_factory, "project", make)
    return folder / "oracle"


@pytest.fixture
def project_copy(compiled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(compiled, tmp_path / "oracle"))


@pytest.mark.parametrize("network", ["ethereum:local:test", "ethereum:local:foundry"])
def test_a_new_project_passes_its_tests(
    ape: Ape, project_copy: Path, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APE_FOUNDRY_HOST", f"http://127.0.0.1:{free_port()}")

    # Both workers start their own chain.
    result = ape("test", "-n", "2", "--network", network, folder=project_copy)

    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"\b8 passed\b", result.stdout), result.stdout
    assert "failed" not in result.stdout


def test_all_contracts_of_a_project_compile(project_copy: Path) -> None:
    contracts = json.loads((project_copy / ".build" / "__local__.json").read_text())[
        "contractTypes"
    ]

    assert {"Asker", "AgeCheck", "IERC20"} <= contracts.keys()


def test_init_needs_no_network(offline: Shell) -> None:
    result = offline.dtn("init", "oracle", "--json")

    folder = offline.here / "oracle"
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert result.code == 0, result.err
    assert written == FILES
    assert result.json["folder"] == "oracle"
    assert {path.removeprefix("oracle/") for path in result.json["files"]} == FILES


def test_init_does_not_overwrite_a_project(offline: Shell) -> None:
    (offline.here / "oracle").mkdir()

    result = offline.dtn("init", "oracle", "--json")

    assert (result.code, result.error["code"]) == (2, "files_exist")
    assert result.error["paths"] == ["oracle"]
    assert not any((offline.here / "oracle").iterdir())


def test_init_can_replace_a_project(offline: Shell) -> None:
    folder = offline.here / "oracle"
    folder.mkdir()
    (folder / "README.md").write_text("old")
    (folder / "notes.txt").write_text("mine")

    result = offline.dtn("init", "oracle", "--force")

    assert result.code == 0, result.err
    assert (folder / "README.md").read_text().startswith("# oracle\n")
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["../oracle", "a b", "-", "1st", "$HOME", ""])
def test_an_invalid_project_name_is_an_error(name: str) -> None:
    with pytest.raises(InvalidOption, match="is not a valid project name"):
        project(name)


def test_generated_files_are_valid_and_formatted(tmp_path: Path) -> None:
    files = project("oracle")

    assert yaml.safe_load(files["ape-config.yaml"])["dtn"]["model"].startswith("model.system.")
    workflow = yaml.safe_load(files[".github/workflows/tests.yaml"])
    assert [step.get("run") for step in workflow["jobs"]["tests"]["steps"]][-1] == "ape test"
    assert not any("$" in text for name, text in files.items() if name != "README.md")
    for name in ("scripts/ask.py", "tests/test_asker.py"):
        (tmp_path / Path(name).name).write_text(files[name])
    for command in (("format", "--check"), ("check", "--select", "E,F,I,UP,B,PT")):
        isort = ("--config", "lint.isort.known-third-party=['ape', 'ape_dtn']")
        options = isort if command[0] == "check" else ()
        ruff = [sys.executable, "-m", "ruff", *command, "--isolated", *options, str(tmp_path)]
        result = subprocess.run(ruff, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout


def test_generate_needs_no_network_with_the_api(offline: Shell) -> None:
    api = ("--api", "string[] -> string", "--model", "model.system.openai-gpt-5")

    result = offline.dtn("generate", *AGE_CHECK, *api, "--json")

    assert result.code == 0, result.err
    assert result.json == {
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
    assert "contract AgeCheck is" in (offline.here / "contracts" / "AgeCheck.sol").read_text()
    assert "class AgeCheck:" in (offline.here / "age_check.py").read_text()

    second = offline.dtn("generate", *AGE_CHECK, *api)
    assert (second.code, "exist: " in second.err, "--force" in second.err) == (2, True, True)


def test_generate_reads_the_api_from_the_chain(offline: Shell) -> None:
    result = offline.dtn("generate", *AGE_CHECK, "--network", "ethereum:local:test", "--json")

    # The network is not deployed on the in-process chain.
    assert (result.code, result.error["code"]) == (3, "unknown_chain")
    assert not any(offline.here.iterdir())
