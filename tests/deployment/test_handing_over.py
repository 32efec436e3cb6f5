"""Handing a network over to a Safe, and verifying its sources."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any

import pytest
from eth_utils import keccak, to_checksum_address

from ape_dtn import artifacts
from ape_dtn.deployment import batch_file, verification
from ape_dtn.deployment.assemble import Variant
from ape_dtn.deployment.plan import Terms, plan
from ape_dtn.network.client_contract import DEPLOYER
from tests.conftest import Cast

from .conftest import Sepolia, create_safe, sepolia_in

ROOT = Path(__file__).parents[2]
FILE, BATCH = "network.json", "batch.json"

SOMEBODY = "0x" + "5e" * 20
PLANNED = plan(Terms(1, SOMEBODY, SOMEBODY, SOMEBODY, Variant.REFERENCE, 0, with_models=False))
ROUTER = next(contract.name for contract in PLANNED.contracts if contract.address == PLANNED.router)

# Compiling is slow. By default compile only the router, which holds the money, and the proxy.
ARTIFACTS = sorted(path.stem for path in Path(artifacts.__file__).parent.glob("*.json"))
CHOSEN = ARTIFACTS if os.environ.get("VERIFY") == "all" else [ROUTER, "DtnProxy"]


@pytest.fixture(scope="module")
def sepolia(tmp_path_factory: pytest.TempPathFactory, cast: Cast) -> Iterator[Sepolia]:
    with sepolia_in(tmp_path_factory.mktemp("home"), cast) as chain:
        yield chain


@pytest.fixture(scope="module")
def safe(sepolia: Sepolia, cast: Cast) -> str:
    return create_safe(sepolia, cast)


@pytest.fixture(scope="module")
def deployed(sepolia: Sepolia, safe: str) -> dict[str, Any]:
    """The deployment file of a network with models, deployed for a Safe."""
    done = sepolia.deploy("--owner", safe, "--models", "--file", FILE)
    assert done.code == 0, done.err
    assert f"owner      {safe} (a Safe, 1 of 1 owners)" in done.err
    assert f"transactions left to send: `ape dtn deployment accept {FILE}` shows them." in done.out
    contents: dict[str, Any] = json.loads(sepolia.file(FILE).read_text())
    return contents


@pytest.fixture(autouse=True)
def reverted(sepolia: Sepolia, deployed: dict[str, Any]) -> Iterator[None]:
    """Revert the chain after each test."""
    snapshot = sepolia.chain.rpc("evm_snapshot")
    yield
    assert sepolia.chain.rpc("evm_revert", snapshot)


def status(sepolia: Sepolia) -> dict[str, Any]:
    done = sepolia.dtn("deployment", "status", FILE, "--json")
    assert done.code == 0, done.err
    result: dict[str, Any] = done.json
    return result


def test_only_the_owner_can_accept(sepolia: Sepolia, safe: str, deployed: dict[str, Any]) -> None:
    now = status(sepolia)

    assert now["deployer_has_to"] == []
    names = [contract["name"] for contract in now["contracts"]]
    assert now["owner_has_to"][: len(names)] == [f"{name}.acceptOwnership()" for name in names]
    assert all(contract["owner"] == sepolia.alice for contract in now["contracts"])
    assert all(contract["offered_to"] == safe for contract in now["contracts"])
    assert not any(contract["was_upgraded"] for contract in now["contracts"])
    another = sepolia.dtn("deployment", "accept", FILE, "--account", "bob", "-y", "--json")
    assert another.code == 2
    assert another.error["message"] == f"The owner is {safe}, not {sepolia.bob}."


def test_the_safe_accepts_by_batch_file_and_by_command(
    sepolia: Sepolia, safe: str, deployed: dict[str, Any]
) -> None:
    sepolia.dtn("deployment", "accept", FILE, "--to", BATCH)
    batch = json.loads(sepolia.file(BATCH).read_text())
    assert (batch["chainId"], batch["meta"]["createdFromSafeAddress"]) == ("11155111", safe)
    assert batch["meta"]["checksum"] == batch_file.checksum(batch)
    before = sepolia.chain.rpc("evm_snapshot")
    # The Safe app would batch these calls in one transaction.
    sepolia.chain.rpc("anvil_impersonateAccount", safe)
    sepolia.chain.rpc("anvil_setBalance", safe, hex(10**18))
    for call in batch["transactions"]:
        sepolia.chain.send(safe, call["to"], call["data"])
    assert status(sepolia)["owner_has_to"] == []
    assert sepolia.chain.rpc("evm_revert", before)

    done = sepolia.dtn("deployment", "accept", FILE, "--account", "safe", "-y", "--json")

    assert done.code == 0, done.err
    assert len(done.json["transactions"]) == 1
    now = status(sepolia)
    assert now["owner_has_to"] == []
    assert {contract["owner"] for contract in now["contracts"]} == {safe}
    assert {contract["offered_to"] for contract in now["contracts"]} == {None}


def test_other_commands_use_the_network_by_its_router(
    sepolia: Sepolia, deployed: dict[str, Any]
) -> None:
    done = sepolia.dtn("info", "--router", deployed["router"], "--json")

    assert done.code == 0, done.err
    assert sepolia.token in json.dumps(done.json)


@pytest.fixture(scope="module")
def listed(sepolia: Sepolia, deployed: dict[str, Any]) -> list[dict[str, Any]]:
    """The contracts that `deployment sources` lists; it also writes a file for each."""
    done = sepolia.shell.dtn("deployment", "sources", FILE, "--to", "sources", "--json")
    assert done.code == 0, done.err
    contracts: list[dict[str, Any]] = done.json["contracts"]
    assert contracts == json.loads((sepolia.file("sources") / "contracts.json").read_text())
    return contracts


def test_every_contract_was_created_by_the_shipped_code(
    sepolia: Sepolia, deployed: dict[str, Any], listed: list[dict[str, Any]]
) -> None:
    addresses = [contract["address"] for contract in deployed["contracts"]]
    assert [contract["address"] for contract in listed] == addresses

    for contract in listed:
        artifact = artifacts.load(contract["contract"].rpartition(":")[2])
        code = bytes.fromhex(artifact["bytecode"][2:] + contract["constructor_arguments"])
        digest = keccak(b"\xff" + bytes.fromhex(DEPLOYER[2:]) + b"\0" * 32 + keccak(code))
        # The address is derived from the code, so only this code can have created the contract.
        assert to_checksum_address(digest[12:]) == contract["address"]
        assert code_at(sepolia, contract["address"])


@pytest.mark.parametrize("artifact", CHOSEN)
def test_the_sources_compile_to_the_code_on_the_chain(
    sepolia: Sepolia, listed: list[dict[str, Any]], artifact: str
) -> None:
    on_chain = [contract for contract in listed if contract["contract"].endswith(f":{artifact}")]
    for contract in on_chain:
        written = json.loads((sepolia.file("sources") / contract["standard_json"]).read_text())
        assert written == verification.standard_json(artifact)

    compiled = recompiled(verification.standard_json(artifact))

    assert "0x" + compiled["bytecode"]["object"] == artifacts.load(artifact)["bytecode"]
    assert on_chain or os.environ.get("VERIFY") == "all"
    runtime = compiled["deployedBytecode"]
    references = runtime["immutableReferences"].values()
    immutables = [reference for parts in references for reference in parts]
    for contract in on_chain:
        deployed_code = without(immutables, code_at(sepolia, contract["address"]))
        assert deployed_code == without(immutables, bytes.fromhex(runtime["object"]))


def test_the_packaged_sources_are_those_of_the_repository() -> None:
    spec = util.spec_from_file_location("sources", ROOT / "scripts" / "sources.py")
    assert spec is not None
    assert spec.loader is not None
    script = util.module_from_spec(spec)
    spec.loader.exec_module(script)

    assert script.SHIPPED.read_text() == script.gathered(), "run `make compile`"


def code_at(sepolia: Sepolia, address: str) -> bytes:
    code: str = sepolia.chain.rpc("eth_getCode", address, "latest")
    return bytes.fromhex(code[2:])


def without(immutables: list[dict[str, int]], code: bytes) -> bytes:
    """Return code with its immutables set to zero: the compiler does not know them."""
    result = bytearray(code)
    for immutable in immutables:
        start, length = immutable["start"], immutable["length"]
        result[start : start + length] = bytes(length)
    return bytes(result)


def recompiled(standard_json: dict[str, Any]) -> dict[str, Any]:
    """Compile with solc, from its JSON input alone."""
    import solcx

    version = verification.compiler().partition("+")[0]
    compiled = solcx.compile_standard(standard_json, solc_version=version)
    (contracts,) = compiled["contracts"].values()
    (contract,) = contracts.values()
    return dict(contract["evm"])
