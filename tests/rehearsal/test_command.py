"""`ape dtn rehearse` as a process, on a chain with the chain id of Base."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_abi import encode

from ape_dtn.deployment.assemble import NODE
from ape_dtn.types.abi import Function
from tests.cli.shell import FOUNDRY, OWNER_ADDRESS, Chain, Done, Shell, anvil

from .conftest import DEPOSIT, ENOUGH, FEE, MODEL, MOST, TOO_LITTLE

BASE = 8453


@dataclass(frozen=True)
class Base:
    """A chain with the chain id of Base, and a consumer contract of the first account."""

    chain: Chain
    shell: Shell
    deployed: dict[str, Any]
    consumer: str
    abi: Path

    def rehearse(self, *command: str, **options: Any) -> Done:
        return self.shell.dtn("rehearse", *self.arguments(*command), **options)

    def arguments(self, *command: str) -> list[str]:
        router = ("--router", self.deployed["router"])
        return [self.consumer, *command, "--abi", str(self.abi), *router]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, project: Any) -> Iterator[Base]:
    if shutil.which("ape") is None or shutil.which("anvil") is None:
        pytest.fail("`ape` and `anvil` have to be on PATH: use `make test`")
    shell = Shell(tmp_path_factory.mktemp("home"))
    contract_type = project.ReuseSession.contract_type
    abi = shell.folder / "abi.json"
    abi.write_text(json.dumps([entry.model_dump(mode="json") for entry in contract_type.abi]))
    with anvil(shell, "--chain-id", str(BASE)) as chain:
        here = shell.having(APE_FOUNDRY_HOST=chain.url, APE_DTN_NETWORK=FOUNDRY)
        deployed = here.dtn("deploy", "--variant", "live", "--json").json
        arguments = (deployed["router"], MODEL, NODE, FEE, MOST)
        code = bytes(contract_type.get_deployment_bytecode())
        code += encode(["address", "string", "string", "uint256", "uint256"], arguments)
        consumer = created(chain, code)
        mint = Function("mint(address,uint256)").encode(consumer, DEPOSIT)
        chain.send(OWNER_ADDRESS, deployed["fee_token"]["address"], "0x" + mint.hex())
        chain.send(OWNER_ADDRESS, consumer, "0x" + Function("start()").encode().hex())
        yield Base(chain, here, deployed, consumer, abi)


def created(chain: Chain, code: bytes) -> str:
    creation = {"from": OWNER_ADDRESS, "data": "0x" + code.hex()}
    sent = chain.rpc("eth_sendTransaction", creation)
    while (receipt := chain.rpc("eth_getTransactionReceipt", sent)) is None:
        time.sleep(0.02)
    return str(receipt["contractAddress"])


@pytest.fixture
def no_transactions(base: Base) -> Iterator[None]:
    """Check that the test sends no transaction to the chain."""
    before = base.chain.rpc("eth_getBlockByNumber", "latest", False)
    yield
    assert base.chain.rpc("eth_getBlockByNumber", "latest", False) == before
    assert base.chain.rpc("txpool_status") == {"pending": "0x0", "queued": "0x0"}


ASK = ("ask", "Two and two?", "--account", "TEST::0", "--answer", "four")


@pytest.mark.usefixtures("no_transactions")
def test_json_output(base: Base) -> None:
    done = base.rehearse(*ASK, "--value", f"{ENOUGH} wei", "--json")

    assert done.code == 0, done.err
    result = done.json
    assert base.chain.rpc("eth_chainId") == hex(BASE)
    assert result["failures"] == []
    (request,) = result["requests"]
    question = (request["text"], request["answer"], request["status"])
    assert question == ("Two and two?", "four", "success")
    assert request["max_cost"]["value"] == "0.002"
    assert result["transaction"]["gas_used"] > 100_000
    assert request["callback"]["gas_used"] < request["callback"]["gas_limit"] == ENOUGH


@pytest.mark.usefixtures("no_transactions")
def test_text_output(base: Base, tmp_path: Path) -> None:
    answer = tmp_path / "answer.txt"
    answer.write_text("four, I think")
    done = base.rehearse(*ASK[:-1], f"@{answer}", "--value", str(ENOUGH))

    assert done.code == 0, done.err
    for text in ("Two and two?", "four, I think", "onAnswer", "0.002 USDT", "nothing was sent"):
        assert text in done.out


@pytest.mark.usefixtures("no_transactions")
def test_the_first_failure_determines_the_exit_code(base: Base) -> None:
    starved = base.rehearse(*ASK, "--value", str(TOO_LITTLE), "--json")
    assert starved.code == 6
    (failure,) = starved.json["failures"]
    assert failure["code"] == "callback_out_of_gas"
    assert failure["needed"] > failure["gas"] == TOO_LITTLE


def test_an_unknown_method_is_reported_before_the_chain_is_forked(base: Base) -> None:
    unknown = base.rehearse("aks", "Hello?", "--account", "TEST::0", "--json")
    assert (unknown.code, unknown.error["code"]) == (2, "unknown_method")
    assert "ask(string)" in unknown.error["hint"]


def test_ctrl_c_leaves_no_process_behind(base: Base) -> None:
    def forks() -> list[str]:
        return [line for line in processes() if "--fork-url" in line and base.chain.url in line]

    command = ("ape", "dtn", "rehearse", *base.arguments(*ASK), "--backend", "command:sleep 60")
    without_answer = [word for word in command if word not in ("--answer", "four")]
    with base.shell.running(*without_answer) as running:
        running.until(forks)
        time.sleep(0.3)
        done = running.interrupt()
    assert done.code == 130, done.err
    assert forks() == []


def processes() -> list[str]:
    """Return the command lines of all processes."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:  # the process has exited
                continue
    return found
