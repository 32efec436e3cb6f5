"""A network is handed over to a Safe, and what it was compiled from is proven."""

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

from .conftest import Sepolia, create_safe, posing

ROOT = Path(__file__).parents[2]
FILE, BATCH = "network.json", "batch.json"

SOMEBODY = "0x" + "5e" * 20
PLANNED = plan(Terms(1, SOMEBODY, SOMEBODY, SOMEBODY, Variant.REFERENCE, 0, with_models=False))
ROUTER = next(each.name for each in PLANNED.contracts if each.address == PLANNED.router)

# solc takes its time: by default what holds the money, and what stands before all of them.
ARTIFACTS = sorted(each.stem for each in Path(artifacts.__file__).parent.glob("*.json"))
CHOSEN = ARTIFACTS if os.environ.get("VERIFY") == "all" else [ROUTER, "DtnProxy"]


@pytest.fixture(scope="module")
def sepolia(tmp_path_factory: pytest.TempPathFactory, cast: Cast) -> Iterator[Sepolia]:
    with posing(tmp_path_factory.mktemp("home"), cast) as found:
        yield found


@pytest.fixture(scope="module")
def safe(sepolia: Sepolia, cast: Cast) -> str:
    return create_safe(sepolia, cast)


@pytest.fixture(scope="module")
def deployed(sepolia: Sepolia, safe: str) -> dict[str, Any]:
    """The file of a network that was deployed for a Safe, with models."""
    done = sepolia.deploy("--owner", safe, "--models", "--file", FILE)
    assert done.code == 0, done.err
    assert f"owner      {safe} (a Safe, 1 of 1 owners)" in done.err
    assert f"transactions left to send: `ape dtn deployment accept {FILE}` shows them." in done.out
    found: dict[str, Any] = json.loads(sepolia.file(FILE).read_text())
    return found


@pytest.fixture(autouse=True)
def taken_back(sepolia: Sepolia, deployed: dict[str, Any]) -> Iterator[None]:
    """What a test does to the network is taken back."""
    before = sepolia.chain.rpc("evm_snapshot")
    yield
    assert sepolia.chain.rpc("evm_revert", before)


def status(sepolia: Sepolia) -> dict[str, Any]:
    done = sepolia.dtn("deployment", "status", FILE, "--json")
    assert done.code == 0, done.err
    found: dict[str, Any] = done.json
    return found


def test_the_owner_and_nobody_else_has_to_accept(
    sepolia: Sepolia, safe: str, deployed: dict[str, Any]
) -> None:
    now = status(sepolia)

    assert now["deployer_has_to"] == []
    names = [each["name"] for each in now["contracts"]]
    assert now["owner_has_to"][: len(names)] == [f"{name}.acceptOwnership()" for name in names]
    assert all(each["owner"] == sepolia.alice for each in now["contracts"])
    assert all(each["offered_to"] == safe for each in now["contracts"])
    assert not any(each["was_upgraded"] for each in now["contracts"])
    another = sepolia.dtn("deployment", "accept", FILE, "--account", "bob", "-y", "--json")
    assert another.code == 2
    assert "is not the owner" in another.error["message"]


def test_the_safe_owns_it_by_the_file_for_its_app(
    sepolia: Sepolia, safe: str, deployed: dict[str, Any]
) -> None:
    sepolia.dtn("deployment", "accept", FILE, "--to", BATCH)
    batch = json.loads(sepolia.file(BATCH).read_text())
    assert (batch["chainId"], batch["meta"]["createdFromSafeAddress"]) == ("11155111", safe)
    assert batch["meta"]["checksum"] == batch_file.checksum(batch)
    before = sepolia.chain.rpc("evm_snapshot")
    # The Safe's app makes of the file what is tried here call by call.
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
    assert {each["owner"] for each in now["contracts"]} == {safe}
    assert {each["offered_to"] for each in now["contracts"]} == {None}


def test_other_commands_find_it_by_its_router(sepolia: Sepolia, deployed: dict[str, Any]) -> None:
    done = sepolia.dtn("info", "--router", deployed["router"], "--json")

    assert done.code == 0, done.err
    assert sepolia.token in json.dumps(done.json)


@pytest.fixture(scope="module")
def listed(sepolia: Sepolia, deployed: dict[str, Any]) -> list[dict[str, Any]]:
    """What `sources` tells of each contract, beside the files that it writes."""
    done = sepolia.shell.dtn("deployment", "sources", FILE, "--to", "sources", "--json")
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = done.json["contracts"]
    assert found == json.loads((sepolia.file("sources") / "contracts.json").read_text())
    return found


def test_every_contract_was_created_by_the_shipped_code(
    sepolia: Sepolia, deployed: dict[str, Any], listed: list[dict[str, Any]]
) -> None:
    addresses = [each["address"] for each in deployed["contracts"]]
    assert [each["address"] for each in listed] == addresses

    for each in listed:
        artifact = artifacts.load(each["contract"].rpartition(":")[2])
        code = bytes.fromhex(artifact["bytecode"][2:] + each["constructor_arguments"])
        created = keccak(b"\xff" + bytes.fromhex(DEPLOYER[2:]) + b"\0" * 32 + keccak(code))
        # The address follows from the code: what is there was created by it, and by nothing else.
        assert to_checksum_address(created[12:]) == each["address"]
        assert code_at(sepolia, each["address"])


@pytest.mark.parametrize("artifact", CHOSEN)
def test_its_sources_compile_to_the_code_on_the_chain(
    sepolia: Sepolia, listed: list[dict[str, Any]], artifact: str
) -> None:
    on_chain = [each for each in listed if each["contract"].endswith(f":{artifact}")]
    for each in on_chain:
        written = json.loads((sepolia.file("sources") / each["standard_json"]).read_text())
        assert written == verification.standard_json(artifact)

    compiled = recompiled(verification.standard_json(artifact))

    assert "0x" + compiled["bytecode"]["object"] == artifacts.load(artifact)["bytecode"]
    assert on_chain or os.environ.get("VERIFY") == "all"
    runtime = compiled["deployedBytecode"]
    places = [each for parts in runtime["immutableReferences"].values() for each in parts]
    for each in on_chain:
        there = code_at(sepolia, each["address"])
        assert without(places, there) == without(places, bytes.fromhex(runtime["object"]))


def test_the_sources_are_those_of_this_repository() -> None:
    spec = util.spec_from_file_location("sources", ROOT / "scripts" / "sources.py")
    assert spec is not None
    assert spec.loader is not None
    script = util.module_from_spec(spec)
    spec.loader.exec_module(script)

    assert script.SHIPPED.read_text() == script.gathered(), "run `make compile`"


def code_at(sepolia: Sepolia, address: str) -> bytes:
    code: str = sepolia.chain.rpc("eth_getCode", address, "latest")
    return bytes.fromhex(code[2:])


def without(places: list[dict[str, int]], code: bytes) -> bytes:
    """Code without its immutables, which are known only once it is created."""
    found = bytearray(code)
    for place in places:
        start, length = place["start"], place["length"]
        found[start : start + length] = bytes(length)
    return bytes(found)


def recompiled(standard_json: dict[str, Any]) -> dict[str, Any]:
    """What the compiler itself makes of its input, and of no other file."""
    import solcx

    version = verification.compiler().partition("+")[0]
    compiled = solcx.compile_standard(standard_json, solc_version=version)
    (contracts,) = compiled["contracts"].values()
    (found,) = contracts.values()
    return dict(found["evm"])
