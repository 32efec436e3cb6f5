"""Deploying on a public chain: shown first, sent once, resumed after a kill."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from ape_dtn._cli.deployment import ForOthers, for_others
from ape_dtn.deployment import record
from ape_dtn.deployment.assemble import Variant
from ape_dtn.deployment.plan import Terms, plan
from ape_dtn.deployment.runner import NOBODY
from ape_dtn.errors import DeploymentDiffers, DeploymentUnusable
from ape_dtn.network.client_contract import DEPLOYER
from benchmarks.rpc_counter import RpcCounter
from tests.cli.shell import Running

from .conftest import BOB, Sepolia

FILE = "dtn-11155111.json"
SOMEBODY = "0x" + "5e" * 20
QUESTION = "[y/N]:"


def recorded(sepolia: Sepolia) -> list[Any]:
    """The transactions in the deployment file."""
    path = sepolia.file(FILE)
    return list(json.loads(path.read_text())["transactions"]) if path.exists() else []


def mined(sepolia: Sepolia) -> list[Any]:
    return [sent for sent in recorded(sepolia) if sent["block"] is not None]


def kill_once(running: Running, reached: Any) -> None:
    running.until(reached)
    running.process.kill()
    running.process.wait()


def is_complete(sepolia: Sepolia) -> bool:
    done = sepolia.dtn("deployment", "status", FILE, "--json")
    assert done.code == 0, done.err
    status: dict[str, Any] = done.json
    assert all(contract["owner"] == sepolia.alice for contract in status["contracts"])
    return not status["deployer_has_to"] and not status["owner_has_to"]


def test_the_plan_is_shown_before_anything_is_sent(sepolia: Sepolia) -> None:
    done = sepolia.dtn(*sepolia.deploying(), answers="n\n")

    assert (done.code, sepolia.sent) == (1, 0)
    assert "ERROR: Aborted." in done.err
    before, _, _ = done.err.partition(QUESTION)
    for text in (
        "reference variant on ethereum:sepolia:node, chain 11155111",
        f"deployer   {sepolia.alice}",
        f"owner      {sepolia.alice} (an account without code on this chain)",
        f"fee token  {sepolia.token} (USDC, 6 decimals)",
        "send  create NamespaceManager  0x",
        " ETH, at most ",
    ):
        assert text in before
    assert not sepolia.file(FILE).exists()


def test_gas_is_unknown_if_the_endpoint_cannot_simulate(sepolia: Sepolia) -> None:
    with RpcCounter(sepolia.chain.url, refuse=("eth_simulateV1",)) as proxy:
        through = ("--network", f"ethereum:sepolia:{proxy.url}")
        done = sepolia.shell.dtn(*sepolia.deploying(), *through, answers="n\n")

    assert (done.code, sepolia.sent) == (1, 0)
    assert "gas        not known: this endpoint cannot simulate" in done.err.partition(QUESTION)[0]


def test_a_deployment_costs_its_estimate_and_is_sent_once(sepolia: Sepolia) -> None:
    done = sepolia.deploy("--models", "--owner", sepolia.bob)

    assert done.code == 0, done.err
    sent = sepolia.sent
    assert sent == len(mined(sepolia)) == len({step["step"] for step in mined(sepolia)})
    (line,) = (line for line in done.err.splitlines() if line.startswith("   gas"))
    estimate = int(line.split()[1].replace(",", ""))
    used = sum(step["gas_used"] for step in mined(sepolia))
    # The simulation runs all steps in one block, where slots that were written are warm.
    assert used * 0.97 < estimate < used * 1.03

    accepted = sepolia.dtn("deployment", "accept", FILE, "--account", BOB, "-y", "--json")
    assert (accepted.code, accepted.json["calls"]) == (0, []), accepted.err
    assert len(accepted.json["transactions"]) == sepolia.chain.nonce(sepolia.bob)

    sepolia.file(FILE).unlink()
    again = sepolia.deploy("--models", "--owner", sepolia.bob, "--json")

    assert again.code == 0, again.err
    assert (again.json["sent"], sepolia.sent) == ([], sent)
    assert f"The router is {again.json['router']}. " in done.out


def test_a_killed_deployment_is_resumed(sepolia: Sepolia) -> None:
    command = ("ape", "dtn", *sepolia.deploying("-y"), *sepolia.network)
    sepolia.chain.rpc("evm_setAutomine", False)
    with sepolia.shell.running(*command) as running:
        kill_once(running, lambda: sepolia.chain.rpc("txpool_status")["pending"] != "0x0")
    (lost,) = recorded(sepolia)
    sepolia.chain.rpc("anvil_dropTransaction", lost["signed"]["hash"])
    sepolia.chain.rpc("evm_setAutomine", True)
    with sepolia.shell.running(*command) as running:
        running.until(lambda: len(mined(sepolia)) >= 5)
        stopped = running.interrupt()
    assert "Run the same command again: it resumes, and sends nothing twice." in stopped.err

    done = sepolia.deploy("--json")

    assert done.code == 0, done.err
    assert 0 < len(done.json["sent"]) < len(mined(sepolia)) - 4
    assert is_complete(sepolia)
    # The first transaction was broadcast again as it was signed, and no other was sent twice.
    assert mined(sepolia)[0]["signed"]["hash"] == lost["signed"]["hash"]
    assert sepolia.sent == len(mined(sepolia)) == len({step["step"] for step in mined(sepolia)})


def test_a_file_of_another_deployment_is_rejected(tmp_path: Path, networks: Any) -> None:
    path, provider = tmp_path / FILE, networks.active_provider
    terms = Terms(1, SOMEBODY, SOMEBODY, SOMEBODY, Variant.LIVE, 0, with_models=True)
    record.open_for(path, provider, terms).write()

    assert record.open_for(path, provider, terms).plan == plan(terms)
    with pytest.raises(DeploymentDiffers) as caught:
        record.open_for(path, provider, replace(terms, owner=NOBODY, salt=7))
    assert caught.value.differs == ["owner", "salt"]


def test_a_file_with_other_contracts_is_rejected(tmp_path: Path, networks: Any) -> None:
    path = tmp_path / FILE
    terms = Terms(1, SOMEBODY, SOMEBODY, SOMEBODY, Variant.REFERENCE, 0, with_models=False)
    record.open_for(path, networks.active_provider, terms).write()
    path.write_text(path.read_text().replace(plan(terms).router, SOMEBODY))

    with pytest.raises(DeploymentDiffers) as caught:
        record.read(path)
    assert caught.value.differs == ["contracts"]


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"chain_id": 1}'])
def test_a_malformed_file_is_rejected(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / FILE
    if text is not None:
        path.write_text(text)

    with pytest.raises(DeploymentUnusable):
        record.read(path)


def test_a_deployment_that_cannot_be_completed_is_not_begun(sepolia: Sepolia) -> None:
    sepolia.chain.rpc("anvil_setBalance", sepolia.alice, hex(10**15))
    unfunded = sepolia.deploy("--json")
    sepolia.chain.rpc("anvil_setCode", DEPLOYER, "0x")
    without_proxy = sepolia.deploy("--json")

    assert unfunded.error["code"] == "no_money_for_gas"
    assert "no deterministic deployment proxy" in without_proxy.error["message"]
    assert (sepolia.sent, sepolia.file(FILE).exists()) == (0, False)


def test_options_of_a_public_deployment_need_a_fee_token() -> None:
    options: dict[str, Any] = dict.fromkeys(ForOthers.__dataclass_fields__)
    options |= {"owner": SOMEBODY, "with_models": True, "salt": 0}

    with pytest.raises(click.UsageError) as caught:
        for_others(lambda **_: None)(**options)
    assert caught.value.message == "--owner, --models: only with --fee-token."
