"""The wheel in a new environment, and a user's Ape project that imports the Solidity library.

Nothing is downloaded: virtualenv brings all that the environment needs, and a path makes Ape
available in it.
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
from ape_dtn.network import reverts
from ape_dtn.types.abi import Function
from tests.conftest import Cast
from tests.wheel import python, run, wheel

from .conftest import ANY, DIRECT, FAILURE, NO_CALLBACK, NODE_ID, Net, raw, refused

__all__ = ["python", "wheel"]

ROOT = Path(__file__).parents[2]
# The files of the network's own package, what they import, and what is ours beyond it.
LIBRARY = {
    *("idtn-ai.sol", "with-dtn-ai.sol", "with-dtn-ai-upgradeable.sol", "dtn-defaults.sol"),
    *("IDtnAi.sol", "WithDtnAi.sol", "WithDtnAiUpgradeable.sol", "DtnDefaults.sol"),
    *("DtnRequests.sol", "DtnRouter.sol"),
}

CONFIG = """
name: user
solidity:
  version: 0.8.30
  import_remapping:
    - "@openzeppelin/contracts=openzeppelin"
dependencies:
  - name: deeptrust
    site_package: ape_dtn
    version: {version}
  - name: openzeppelin
    npm: "@openzeppelin/contracts"
    version: 5.7.0
    config_override:
      contracts_folder: .
"""

# A contract that imports the network's own package.
ORACLE = """
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import "@deeptrust/contracts/dtn-defaults.sol";
import "@deeptrust/contracts/idtn-ai.sol";
import "@deeptrust/contracts/with-dtn-ai.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

contract Oracle is WithDtnAi {
    using SafeERC20 for IERC20;

    uint256 public sessionId;
    bytes32 public requestId;
    string public answer;
    string public failure;
    bytes32 private node;

    constructor(address router, bytes32 node_) {
        setAi(router);
        node = node_;
    }

    function startSession() external {
        uint256 amount = IERC20(ai.feeToken()).balanceOf(address(this));
        IERC20(ai.feeToken()).safeTransfer(ai.feeTarget(), amount);
        sessionId = ai.startUserSession();
    }

    function ask(string memory prompt) external payable {
        requestId = ai.request{value: msg.value}(
            sessionId,
            ai.modelId("model.system.openai-gpt-5-nano"),
            DtnDefaults.defaultCustomNodesValidatedAny(DtnDefaults.singleArray(node)),
            IDtnAi.DtnRequest({
                call: abi.encode(DtnDefaults.singleArray(prompt)),
                extraParams: "",
                calltype: IDtnAi.CallType.DIRECT,
                feePerByteReq: 1,
                feePerByteRes: 1,
                totalFeePerRes: 1000
            }),
            IDtnAi.CallBack(this.onAnswer.selector, this.onFailure.selector, address(this)),
            msg.sender,
            msg.value
        );
    }

    function onAnswer(bytes32 id) external onlyDtn {
        (, , bytes memory response) = ai.fetchResponse(id);
        answer = abi.decode(response, (string));
    }

    function onFailure(bytes32 id) external onlyDtn {
        (, failure, ) = ai.fetchResponse(id);
    }

    function closeSession() external {
        ai.closeUserSession(sessionId);
        sessionId = 0;
    }

    // Whatever else the library has.

    function systemValidated() external pure returns (IDtnAi.DtnRouting memory) {
        return DtnDefaults.defaultRoutingSystemValidatedAny();
    }

    function customNodes(bytes32[] calldata ids) external pure returns (IDtnAi.DtnRouting memory) {
        return DtnDefaults.defaultCustomNodesValidatedAny(ids);
    }

    function arrayOfId(bytes32 value) external pure returns (bytes32[] memory) {
        return DtnDefaults.singleArray(value);
    }

    function arrayOfText(string calldata value) external pure returns (string[] memory) {
        return DtnDefaults.singleArray(value);
    }

    function systemValidatedAny() external pure returns (uint256) {
        return DtnDefaults.ROUTING_SYSTEM_VALIDATED_ANY_CONSTANT;
    }
}
"""

# A contract that uses the additions of our library.
PLAIN = """
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import {DtnRequests} from "@deeptrust/contracts/DtnRequests.sol";
import {DtnRouter} from "@deeptrust/contracts/DtnRouter.sol";
import {IDtnAi} from "@deeptrust/contracts/idtn-ai.sol";
import {WithDtnAi} from "@deeptrust/contracts/with-dtn-ai.sol";

contract Plain is WithDtnAi {
    constructor(address router) {
        setAi(DtnRouter.checked(router));
    }

    function node(string calldata name) external pure returns (IDtnAi.DtnRouting memory) {
        return DtnRequests.routeToNode(name);
    }

    function namespace(string calldata name) external pure returns (IDtnAi.DtnRouting memory) {
        return DtnRequests.routeToNamespace(name);
    }

    function text(
        string calldata prompt,
        uint256 fee,
        uint256 maxCost
    ) external pure returns (IDtnAi.DtnRequest memory) {
        return DtnRequests.text(prompt, fee, maxCost);
    }

    function noCallback() external pure returns (IDtnAi.CallBack memory) {
        return DtnRequests.noCallback();
    }

    function id(string calldata name) external pure returns (bytes32) {
        return DtnRequests.id(name);
    }
}
"""

# A contract of the network's own upgradeable form, and one of ours that it is upgraded to.
UPGRADEABLE = """
// SPDX-License-Identifier: MIT
pragma solidity ^0.8.20;

import "@deeptrust/contracts/with-dtn-ai-upgradeable.sol";
import {UUPSUpgradeable} from "@openzeppelin/contracts/proxy/utils/UUPSUpgradeable.sol";

contract Before is UUPSUpgradeable {
    function initialize(address router) external {
        assembly {
            sstore(0x120a853abbe723116a3ebafd26371681971b14dbea103ee376d65bbb8d134e00, router)
        }
    }

    function _authorizeUpgrade(address) internal override {}
}

contract Upgradeable is WithDtnAiUpgradeable, UUPSUpgradeable {
    function initialize(address router) external initializer {
        __WithDtnAi_init(router);
    }

    function forgetInitializer(address router) external {
        __WithDtnAi_init(router);
    }

    function replace(address router) external {
        getWithDtnAiStorage().ai = IDtnAi(router);
    }

    function guarded() external view onlyDtn returns (bool) {
        return true;
    }

    function current() external view returns (address) {
        return address(ai());
    }

    function _authorizeUpgrade(address) internal override {}
}
"""

ONLY_DTN = "Only Dtn can call this function"
CURRENT = Function("current()", "address")
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
    """The compiled contracts of a user's project, by name."""
    home, project = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("project")
    (project / "ape-config.yaml").write_text(CONFIG.format(version=version))
    (project / "contracts").mkdir()
    for name, source in (("Oracle", ORACLE), ("Plain", PLAIN), ("Upgradeable", UPGRADEABLE)):
        (project / "contracts" / f"{name}.sol").write_text(source)
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


def test_the_wheel_has_the_files_of_the_solidity_library(files: set[str]) -> None:
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


def creation_code(contracts: dict[str, Any], name: str, kinds: str = "", *args: Any) -> bytes:
    code = contracts[name]["deploymentBytecode"]["bytecode"].removeprefix("0x")
    return bytes.fromhex(code) + encode(kinds.split(",") if kinds else [], args)


def test_a_users_contracts_compile(contracts: dict[str, Any]) -> None:
    assert set(contracts) >= {"Oracle", "Plain", "Before", "Upgradeable"}
    for name in ("Oracle", "Plain", "Upgradeable"):
        assert len(contracts[name]["deploymentBytecode"]["bytecode"]) > 1_000


@pytest.fixture
def oracle(net: Net, cast: Cast, contracts: dict[str, Any]) -> str:
    """A contract as written for the network's own package, on both variants."""
    code = creation_code(contracts, "Oracle", "address,bytes32", net.router, NODE_ID)
    return transactions.create(net.provider, cast.owner, code)


@pytest.fixture
def plain(reference: Net, cast: Cast, contracts: dict[str, Any]) -> str:
    code = creation_code(contracts, "Plain", "address", reference.router)
    return transactions.create(reference.provider, cast.owner, code)


def test_a_contract_of_the_networks_package_buys_an_answer(
    net: Net, cast: Cast, oracle: str
) -> None:
    net.fund(oracle, 5_000)

    net.send(cast.customer, oracle, "startSession()")
    session = net.read(oracle, Function("sessionId()", "uint256"))
    assert net.session(session) == (oracle, 5_000)
    net.send(cast.customer, oracle, "ask(string)", "Hello?", value=200_000)
    net.node.answer_pending()

    assert net.read(oracle, Function("answer()", "string")) == "You asked: Hello?"
    left = net.balance(session)
    assert 4_000 <= left < 5_000
    net.send(cast.customer, oracle, "closeSession()")
    assert net.held(oracle) == left


def test_a_contract_of_the_networks_package_gets_the_reason_of_a_failure(
    net: Net, cast: Cast, oracle: str
) -> None:
    net.fund(oracle, 5_000)
    net.send(cast.customer, oracle, "startSession()")
    net.send(cast.customer, oracle, "ask(string)", "Hello?", value=200_000)
    request = net.read(oracle, Function("requestId()", "bytes32"))

    net.reply(request, status=FAILURE, message="No.")

    assert net.read(oracle, Function("failure()", "string")) == "No."


def test_only_the_router_calls_back_a_contract_of_the_networks_package(
    net: Net, cast: Cast, oracle: str
) -> None:
    for function in ("onAnswer(bytes32)", "onFailure(bytes32)"):
        with refused(ContractReverted, ONLY_DTN):
            net.send(cast.customer, oracle, function, b"\x01" * 32)


def test_set_ai_does_not_check_the_router(
    reference: Net, cast: Cast, contracts: dict[str, Any]
) -> None:
    nobody = cast.stranger.address
    code = creation_code(contracts, "Oracle", "address,bytes32", nobody, NODE_ID)

    oracle = transactions.create(reference.provider, cast.owner, code)

    assert reference.read(oracle, Function("ai()", "address")) == nobody


def test_the_default_routing_hashes_the_encoded_namespace(net: Net, oracle: str) -> None:
    """The network's own package does the same, while the registry hashes the packed name."""
    routing = net.read(oracle, Function("systemValidated()", ROUTING))

    encoded = keccak(encode(["string"], ["trust.system.authored"]))
    assert routing == ((encoded,), (), 1, 8, ANY)
    assert net.read(oracle, Function("systemValidatedAny()", "uint256")) == 1


def test_custom_nodes_are_trusted_by_id(net: Net, oracle: str) -> None:
    ids = (b"\x01" * 32, b"\x02" * 32)

    routing = net.read(oracle, Function("customNodes(bytes32[])", ROUTING), ids)

    assert routing == ((), ids, 1, 8, ANY)


def test_single_arrays_hold_one_value(net: Net, oracle: str) -> None:
    value = b"\x03" * 32

    assert net.read(oracle, Function("arrayOfId(bytes32)", "bytes32[]"), value) == (value,)
    assert net.read(oracle, Function("arrayOfText(string)", "string[]"), "Hi.") == ("Hi.",)


# The upgradeable form.


def test_an_initializer_of_the_library_works_in_initializers_alone(
    reference: Net, cast: Cast, contracts: dict[str, Any]
) -> None:
    code = creation_code(contracts, "Upgradeable")
    contract = transactions.create(reference.provider, cast.owner, code)

    with refused(ContractReverted, raw("NotInitializing()")):
        reference.send(cast.owner, contract, "forgetInitializer(address)", reference.router)

    reference.send(cast.owner, contract, "initialize(address)", reference.router)
    assert reference.read(contract, CURRENT) == reference.router


def test_the_router_of_an_upgradeable_contract_is_replaced_in_its_storage(
    reference: Net, deployed: Net, cast: Cast, contracts: dict[str, Any]
) -> None:
    code = creation_code(contracts, "Upgradeable")
    contract = transactions.create(reference.provider, cast.owner, code)

    reference.send(cast.owner, contract, "replace(address)", deployed.router)

    assert reference.read(contract, CURRENT) == deployed.router
    guarded = Function("guarded()", "bool")
    assert reference.read(contract, guarded, sender=deployed.router) is True
    with refused(ContractReverted, ONLY_DTN):
        reference.send(cast.owner, contract, guarded)


def test_a_proxy_of_the_networks_form_keeps_its_router_in_an_upgrade(
    reference: Net, cast: Cast, contracts: dict[str, Any]
) -> None:
    before, after = (
        transactions.create(reference.provider, cast.owner, creation_code(contracts, name))
        for name in ("Before", "Upgradeable")
    )
    initialization = Function("initialize(address)").encode(reference.router)
    proxy = reference.create("DtnProxy", before, initialization)

    reference.send(cast.owner, proxy, "upgradeToAndCall(address,bytes)", after, b"")

    assert reference.read(proxy, CURRENT) == reference.router


# Additions to the network's own package.


def test_a_checked_router_must_have_code(
    reference: Net, cast: Cast, plain: str, contracts: dict[str, Any]
) -> None:
    assert reference.read(plain, Function("ai()", "address")) == reference.router

    nobody = cast.stranger.address
    code = creation_code(contracts, "Plain", "address", nobody)
    with refused(ContractReverted, f"NotARouter(router={nobody})"):
        transactions.create(reference.provider, cast.owner, code, reverts.NO_CONTEXT)


def test_a_node_is_trusted_by_name(reference: Net, plain: str) -> None:
    routing = reference.read(plain, Function("node(string)", ROUTING), "node.alice.first")

    assert routing == ((), (keccak(text="node.alice.first"),), 1, 8, ANY)


def test_a_namespace_is_trusted_by_the_registrys_hash(reference: Net, plain: str) -> None:
    name = "trust.system.authored"

    routing = reference.read(plain, Function("namespace(string)", ROUTING), name)

    assert routing == ((keccak(text=name),), (), 1, 8, ANY)


def test_a_text_request_has_one_line_and_is_direct(reference: Net, plain: str) -> None:
    text = Function("text(string,uint256,uint256)", REQUEST)

    call, *rest = reference.read(plain, text, "Hello?", 7, 9_000)

    assert decode(["string[]"], call) == (("Hello?",),)
    assert rest == [b"", DIRECT, 7, 7, 9_000]


def test_no_callback_calls_nothing(reference: Net, plain: str) -> None:
    found = reference.read(plain, Function("noCallback()", "(bytes4,bytes4,address)"))

    assert found == NO_CALLBACK


def test_an_id_is_the_hash_that_the_registries_compute(reference: Net, plain: str) -> None:
    name = "model.system.openai-gpt-5"

    assert reference.read(plain, Function("id(string)", "bytes32"), name) == keccak(text=name)
