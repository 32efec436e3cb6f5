"""The wheel in a new environment, and a user's Ape project that imports the Solidity library.

Nothing is downloaded: the environment is made of what virtualenv carries, and sees Ape by a path.
"""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from eth_abi import decode, encode
from eth_utils import keccak

from ape_dtn.chain import transactions
from ape_dtn.errors import ContractReverted
from ape_dtn.types.abi import Function
from tests.conftest import Cast
from tests.wheel import python, run, wheel

from .conftest import ANY, DIRECT, NO_CALLBACK, Net, raw, refused

__all__ = ["python", "wheel"]

ROOT = Path(__file__).parents[2]
LIBRARY = {"IDtnAi.sol", "WithDtnAi.sol", "WithDtnAiUpgradeable.sol", "DtnDefaults.sol"}

CONFIG = """
name: user
solidity:
  version: 0.8.30
  import_remapping:
    - "@openzeppelin/contracts=openzeppelin"
dependencies:
  - name: dtn
    site_package: ape_dtn
    version: {version}
  - name: openzeppelin
    npm: "@openzeppelin/contracts"
    version: 5.7.0
    config_override:
      contracts_folder: .
"""

PLAIN = """
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {DtnDefaults} from "@dtn/contracts/DtnDefaults.sol";
import {IDtnAi} from "@dtn/contracts/IDtnAi.sol";
import {WithDtnAi} from "@dtn/contracts/WithDtnAi.sol";

contract Plain is WithDtnAi {
    constructor(address router) {
        setAi(router);
    }

    function anyOf(bytes32[] calldata ids) external pure returns (IDtnAi.DtnRouting memory) {
        return DtnDefaults.anyOf(ids);
    }

    function node(string calldata name) external pure returns (IDtnAi.DtnRouting memory) {
        return DtnDefaults.node(name);
    }

    function namespace(string calldata name) external pure returns (IDtnAi.DtnRouting memory) {
        return DtnDefaults.namespace(name);
    }

    function text(
        string calldata prompt,
        uint256 fee,
        uint256 most
    ) external pure returns (IDtnAi.DtnRequest memory) {
        return DtnDefaults.text(prompt, fee, most);
    }

    function noCallback() external pure returns (IDtnAi.CallBack memory) {
        return DtnDefaults.noCallback();
    }

    function id(string calldata name) external pure returns (bytes32) {
        return DtnDefaults.id(name);
    }

    function one(bytes32 value) external pure returns (bytes32[] memory) {
        return DtnDefaults.one(value);
    }
}
"""

UPGRADEABLE = """
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {WithDtnAiUpgradeable} from "@dtn/contracts/WithDtnAiUpgradeable.sol";

contract Upgradeable is WithDtnAiUpgradeable {
    function initialize(address router) external initializer {
        __WithDtnAi_init(router);
    }

    function forgetInitializer(address router) external {
        __WithDtnAi_init(router);
    }
}
"""

ROUTING = "(bytes32[],bytes32[],uint32,uint8,uint8)"
REQUEST = "(bytes,bytes,uint8,uint256,uint256,uint256)"


@pytest.fixture(scope="module")
def version(wheel: Path) -> str:
    return wheel.name.split("-")[1]


@pytest.fixture(scope="module")
def files(wheel: Path) -> set[str]:
    """The names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def contracts(
    python: Path, version: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What a user's project compiles to, by contract."""
    home, project = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("project")
    (project / "ape-config.yaml").write_text(CONFIG.format(version=version))
    (project / "contracts").mkdir()
    (project / "contracts" / "Plain.sol").write_text(PLAIN)
    (project / "contracts" / "Upgradeable.sol").write_text(UPGRADEABLE)
    openzeppelin = project / "node_modules" / "@openzeppelin"
    openzeppelin.parent.mkdir()
    openzeppelin.symlink_to(ROOT / "node_modules" / "@openzeppelin")
    ape = "from ape._cli import cli; cli()"
    variables = {**os.environ, "APE_DATA_FOLDER": str(home)}
    run(python, "-c", ape, "compile", cwd=project, env=variables)
    manifest = json.loads((project / ".build" / "__local__.json").read_text())
    found: dict[str, Any] = manifest["contractTypes"]
    return found


# The wheel.


def test_the_wheel_has_one_package_and_no_tests(wheel: Path, version: str, files: set[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (top_level,) = [name for name in files if name.endswith("/top_level.txt")]
        assert archive.read(top_level).decode().split() == ["ape_dtn"]

    folders = {name.partition("/")[0] for name in files}
    assert folders == {"ape_dtn", f"ape_dtn-{version}.dist-info"}
    for_users = ("ape_dtn/testing/", "ape_dtn/scaffold/templates/")
    named_test = {
        name for name in files if "test" in name.lower() and not name.startswith(for_users)
    }
    tokens = {"TestToken.json", "TestUSDC.json", "TestUSDT.json"}
    assert named_test == {f"ape_dtn/artifacts/{name}" for name in tokens}


def test_the_wheel_has_the_four_files_of_the_solidity_library(files: set[str]) -> None:
    solidity = {name for name in files if name.endswith(".sol")}

    assert solidity == {f"ape_dtn/contracts/{name}" for name in LIBRARY}


def test_the_wheel_has_every_artifact(files: set[str]) -> None:
    shipped = {path.name for path in (ROOT / "ape_dtn" / "artifacts").glob("*.json")}

    assert shipped
    assert {f"ape_dtn/artifacts/{name}" for name in shipped} <= files


def test_the_wheel_has_every_module_and_its_types(files: set[str]) -> None:
    package = ROOT / "ape_dtn"
    modules = {str(path.relative_to(ROOT)) for path in package.rglob("*.py")}

    assert {name for name in files if name.endswith(".py")} == modules
    assert "ape_dtn/py.typed" in files


def test_the_wheel_gives_ape_its_command(wheel: Path, files: set[str]) -> None:
    (entry_points,) = [name for name in files if name.endswith("/entry_points.txt")]
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(entry_points).decode()

    assert text.split("\n")[:2] == ["[ape_cli_subcommands]", "ape_dtn = ape_dtn._cli:cli"]


def test_the_installed_package_is_the_wheels(python: Path, tmp_path: Path) -> None:
    where = "import ape_dtn; print(ape_dtn.__file__)"

    found = Path(run(python, "-c", where, cwd=tmp_path).strip())

    assert found.is_relative_to(python.parents[1])


# The user's project.


def test_a_users_contracts_compile(contracts: dict[str, Any]) -> None:
    assert set(contracts) >= {"Plain", "Upgradeable"}
    for name in ("Plain", "Upgradeable"):
        assert len(contracts[name]["deploymentBytecode"]["bytecode"]) > 1_000


@pytest.fixture
def plain(reference: Net, cast: Cast, contracts: dict[str, Any]) -> str:
    code = bytes.fromhex(contracts["Plain"]["deploymentBytecode"]["bytecode"].removeprefix("0x"))
    code += encode(["address"], [reference.router])
    return transactions.create(reference.provider, cast.owner, code)


def test_a_users_contract_knows_the_router(reference: Net, plain: str) -> None:
    assert reference.read(plain, Function("ai()", "address")) == reference.router


def test_an_initializer_of_the_library_works_in_initializers_alone(
    reference: Net, cast: Cast, contracts: dict[str, Any]
) -> None:
    code = contracts["Upgradeable"]["deploymentBytecode"]["bytecode"].removeprefix("0x")
    contract = transactions.create(reference.provider, cast.owner, bytes.fromhex(code))

    with refused(ContractReverted, raw("NotInitializing()")):
        reference.send(cast.owner, contract, "forgetInitializer(address)", reference.router)

    reference.send(cast.owner, contract, "initialize(address)", reference.router)
    assert reference.read(contract, Function("ai()", "address")) == reference.router


def test_any_of_trusts_exactly_these_nodes(reference: Net, plain: str) -> None:
    ids = (b"\x01" * 32, b"\x02" * 32)

    routing = reference.read(plain, Function("anyOf(bytes32[])", ROUTING), ids)

    assert routing == ((), ids, 1, 8, ANY)


def test_node_trusts_the_node_of_that_name(reference: Net, plain: str) -> None:
    routing = reference.read(plain, Function("node(string)", ROUTING), "node.alice.first")

    assert routing == ((), (keccak(text="node.alice.first"),), 1, 8, ANY)


def test_namespace_trusts_by_the_registrys_hash(reference: Net, plain: str) -> None:
    name = "trust.system.authored"

    routing = reference.read(plain, Function("namespace(string)", ROUTING), name)

    assert routing == ((keccak(text=name),), (), 1, 8, ANY)


def test_text_asks_one_line_directly(reference: Net, plain: str) -> None:
    text = Function("text(string,uint256,uint256)", REQUEST)

    call, *rest = reference.read(plain, text, "Hello?", 7, 9_000)

    assert decode(["string[]"], call) == (("Hello?",),)
    assert rest == [b"", DIRECT, 7, 7, 9_000]


def test_no_callback_calls_nothing(reference: Net, plain: str) -> None:
    found = reference.read(plain, Function("noCallback()", "(bytes4,bytes4,address)"))

    assert found == NO_CALLBACK


def test_id_and_one_are_what_the_registries_compute(reference: Net, plain: str) -> None:
    name, value = "model.system.openai-gpt-5", b"\x03" * 32

    assert reference.read(plain, Function("id(string)", "bytes32"), name) == keccak(text=name)
    assert reference.read(plain, Function("one(bytes32)", "bytes32[]"), value) == (value,)
