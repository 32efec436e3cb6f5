"""The shipped artifacts are those of the sources, and have nothing else."""

from __future__ import annotations

import json
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from eth_utils import is_0x_prefixed, is_hex

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "ape_dtn" / "artifacts").glob("*.json"))

each_artifact = pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)


def scripts_artifacts() -> Any:
    spec = util.spec_from_file_location("artifacts", ROOT / "scripts" / "artifacts.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keys(value: Any) -> set[str]:
    """All keys of a JSON document."""
    if isinstance(value, list):
        return set().union(*map(keys, value))
    if isinstance(value, dict):
        return value.keys() | set().union(*map(keys, value.values()))
    return set()


def test_the_shipped_artifacts_are_those_of_the_sources() -> None:
    assert scripts_artifacts().differences() == []


def test_every_artifact_that_can_be_deployed_is_shipped() -> None:
    assert [path.stem for path in SHIPPED] == sorted(scripts_artifacts().DEPLOYABLE)


@each_artifact
def test_an_artifact_holds_an_interface_and_creation_code(path: Path) -> None:
    artifact = json.loads(path.read_text())

    assert set(artifact) == {"abi", "bytecode"}
    assert is_hex(artifact["bytecode"])
    assert is_0x_prefixed(artifact["bytecode"])


@each_artifact
def test_an_interface_has_no_documentation(path: Path) -> None:
    allowed = {"type", "name", "inputs", "outputs", "components", "indexed", "anonymous"}
    allowed |= {"stateMutability"}

    assert keys(json.loads(path.read_text())["abi"]) <= allowed


@each_artifact
def test_an_artifact_is_written_compactly(path: Path) -> None:
    text = path.read_text()

    compact = json.dumps(json.loads(text), separators=(",", ":"), sort_keys=True)
    assert text == compact + "\n"
