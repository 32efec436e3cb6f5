"""A network is deployed on a public chain: shown first, sent once, also after a kill."""

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


def kept(sepolia: Sepolia) -> list[Any]:
    """The transactions that the file tells of."""
    path = sepolia.file(FILE)
    return list(json.loads(path.read_text())["transactions"]) if path.exists() else []


def mined(sepolia: Sepolia) -> list[Any]:
    return [each for each in kept(sepolia) if each["block"] is not None]


def kill_once(running: Running, reached: Any) -> None:
    running.until(reached)
    running.process.kill()
    running.process.wait()


def all_there(sepolia: Sepolia) -> bool:
    done = sepolia.dtn("deployment", "status", FILE, "--json")
    assert done.code == 0, done.err
    found: dict[str, Any] = done.json
    assert all(each["owner"] == sepolia.alice for each in found["contracts"])
    return not found["deployer_has_to"] and not found["owner_has_to"]


def test_all_of_it_is_shown_before_anything_is_sent(sepolia: Sepolia) -> None:
    done = sepolia.dtn(*sepolia.deploying(), answers="n\n")

    assert (done.code, sepolia.sent) == (1, 0)
    assert "ERROR: Aborted." in done.err
    before, _, _ = done.err.partition(QUESTION)
    for shown in (
        "reference variant on ethereum:sepolia:node, chain 11155111",
        f"deployer   {sepolia.alice}",
        f"owner      {sepolia.alice} (an account without code on this chain)",
        f"fee token  {sepolia.token} (USDC, 6 decimals)",
        "send  create NamespaceManager  0x",
        " ETH, at most ",
    ):
        assert shown in before
    assert not sepolia.file(FILE).exists()


def test_what_cannot_be_simulated_is_said_to_be_unknown(sepolia: Sepolia) -> None:
    with RpcCounter(sepolia.chain.url, refuse=("eth_simulateV1",)) as proxy:
        through = ("--network", f"ethereum:sepolia:{proxy.url}")
        done = sepolia.shell.dtn(*sepolia.deploying(), *through, answers="n\n")

    assert (done.code, sepolia.sent) == (1, 0)
    assert "gas        not known: this endpoint cannot simulate" in done.err.partition(QUESTION)[0]


def test_it_costs_what_was_told_and_is_sent_once(sepolia: Sepolia) -> None:
    done = sepolia.deploy("--models", "--owner", sepolia.bob)

    assert done.code == 0, done.err
    sent = sepolia.sent
    assert sent == len(mined(sepolia)) == len({each["step"] for each in mined(sepolia)})
    (line,) = (line for line in done.err.splitlines() if line.startswith("   gas"))
    told = int(line.split()[1].replace(",", ""))
    used = sum(each["gas_used"] for each in mined(sepolia))
    # A simulation runs all of them in one block, where slots that were written are warm.
    assert used * 0.97 < told < used * 1.03

    accepted = sepolia.dtn("deployment", "accept", FILE, "--account", BOB, "-y", "--json")
    assert (accepted.code, accepted.json["calls"]) == (0, []), accepted.err
    assert len(accepted.json["transactions"]) == sepolia.chain.nonce(sepolia.bob)

    sepolia.file(FILE).unlink()
    again = sepolia.deploy("--models", "--owner", sepolia.bob, "--json")

    assert again.code == 0, again.err
    assert (again.json["sent"], sepolia.sent) == ([], sent)
    assert f"The router is {again.json['router']}. " in done.out


def test_what_was_killed_goes_on_where_it_stopped(sepolia: Sepolia) -> None:
    command = ("ape", "dtn", *sepolia.deploying("-y"), *sepolia.network)
    sepolia.chain.rpc("evm_setAutomine", False)
    with sepolia.shell.running(*command) as running:
        kill_once(running, lambda: sepolia.chain.rpc("txpool_status")["pending"] != "0x0")
    (lost,) = kept(sepolia)
    sepolia.chain.rpc("anvil_dropTransaction", lost["signed"]["hash"])
    sepolia.chain.rpc("evm_setAutomine", True)
    with sepolia.shell.running(*command) as running:
        running.until(lambda: len(mined(sepolia)) >= 5)
        stopped = running.interrupt()
    assert "The same command again goes on where it stopped" in stopped.err

    done = sepolia.deploy("--json")

    assert done.code == 0, done.err
    assert 0 < len(done.json["sent"]) < len(mined(sepolia)) - 4
    assert all_there(sepolia)
    # What was signed first was sent again as it was, and nothing else a second time.
    assert mined(sepolia)[0]["signed"]["hash"] == lost["signed"]["hash"]
    assert sepolia.sent == len(mined(sepolia)) == len({each["step"] for each in mined(sepolia)})


def test_a_file_is_of_one_deployment(tmp_path: Path, networks: Any) -> None:
    path, provider = tmp_path / FILE, networks.active_provider
    terms = Terms(1, SOMEBODY, SOMEBODY, SOMEBODY, Variant.LIVE, 0, with_models=True)
    record.open_for(path, provider, terms).write()

    assert record.open_for(path, provider, terms).plan == plan(terms)
    with pytest.raises(DeploymentDiffers) as caught:
        record.open_for(path, provider, replace(terms, owner=NOBODY, salt=7))
    assert caught.value.differs == ["owner", "salt"]


def test_a_file_is_of_the_contracts_that_this_version_has(tmp_path: Path, networks: Any) -> None:
    path = tmp_path / FILE
    terms = Terms(1, SOMEBODY, SOMEBODY, SOMEBODY, Variant.REFERENCE, 0, with_models=False)
    record.open_for(path, networks.active_provider, terms).write()
    path.write_text(path.read_text().replace(plan(terms).router, SOMEBODY))

    with pytest.raises(DeploymentDiffers) as caught:
        record.read(path)
    assert caught.value.differs == ["contracts"]


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"chain_id": 1}'])
def test_another_file_is_none(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / FILE
    if text is not None:
        path.write_text(text)

    with pytest.raises(DeploymentUnusable):
        record.read(path)


def test_nothing_is_begun_that_could_not_be_finished(sepolia: Sepolia) -> None:
    sepolia.chain.rpc("anvil_setBalance", sepolia.alice, hex(10**15))
    poor = sepolia.deploy("--json")
    sepolia.chain.rpc("anvil_setCode", DEPLOYER, "0x")
    unknown = sepolia.deploy("--json")

    assert poor.error["code"] == "no_money_for_gas"
    assert "no deterministic deployment proxy" in unknown.error["message"]
    assert (sepolia.sent, sepolia.file(FILE).exists()) == (0, False)


def test_what_belongs_together_is_given_together() -> None:
    given: dict[str, Any] = dict.fromkeys(ForOthers.__dataclass_fields__)
    given |= {"owner": SOMEBODY, "with_models": True, "salt": 0}

    with pytest.raises(click.UsageError) as caught:
        for_others(lambda **_: None)(**given)
    assert caught.value.message == "--owner, --models: only with --fee-token."
