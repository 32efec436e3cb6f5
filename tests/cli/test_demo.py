"""`ape dtn demo`, with nothing but the installed package, and with Anvil."""

from __future__ import annotations

import re

import pytest

from ape_dtn.devnet.anvil import free_port

from .in_process import InProcess
from .shell import FOUNDRY

HERE = ()
ON_ANVIL = ("--network", FOUNDRY)


@pytest.mark.parametrize("where", [HERE, ON_ANVIL], ids=["in-process", "anvil"])
@pytest.mark.parametrize("variant", ["reference", "live"])
def test_deposit_cost_and_refund_add_up(
    connected: InProcess, variant: str, where: tuple[str, ...]
) -> None:
    done = connected.dtn("demo", "--variant", variant, "--json", *where)

    assert done.code == 0
    assert done.json["answer"] == "You asked: What is a deep trust network?"
    deposit, cost, refund = (
        int(done.json[part]["units"]) for part in ("deposit", "cost", "refund")
    )
    assert cost > 0
    assert deposit == cost + refund


def test_it_tells_the_whole_story_and_nothing_of_its_anvil(shell: InProcess) -> None:
    newcomer = shell.having(APE_FOUNDRY_HOST=f"http://127.0.0.1:{free_port()}")

    done = newcomer.run("ape", "dtn", "demo", "--prompt", "Who are you?", *ON_ANVIL)

    assert done.code == 0
    steps = (
        r"Deploying the network, reference variant",
        r"router 0x[0-9a-fA-F]{40}",
        r"session 1 has 25\.00 USDT",
        r"Asking: Who are you\?",
        r"max cost 0\.25 USDT",
        r"request 0x[0-9a-f]{64}",
        r"You asked: Who are you\?",
        r"charged 0\.00256 USDT, which is 2560 units",
        r"closed, refunded 24\.99744 USDT",
        r"25\.00 USDT deposited = 0\.00256 USDT charged \+ 24\.99744 USDT refunded",
    )
    assert re.search(".*".join(steps), done.out, re.DOTALL), done.out
    # Ape's log of its Anvil goes to standard error, also that of its stop at exit.
    assert "INFO" not in done.out
    assert "INFO" in done.err
    assert list(newcomer.here.iterdir()) == []
