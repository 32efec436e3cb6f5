"""`ape dtn demo`, by somebody who has nothing but the installed package, and Anvil perhaps."""

from __future__ import annotations

import re

import pytest

from ape_dtn.devnet.anvil import free_port

from .shell import FOUNDRY, Shell

HERE = ()
ON_ANVIL = ("--network", FOUNDRY)


@pytest.fixture(scope="module")
def newcomer(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Nothing in the folder, nothing at home."""
    unused = f"http://127.0.0.1:{free_port()}"
    return Shell(tmp_path_factory.mktemp("empty")).having(APE_FOUNDRY_HOST=unused)


@pytest.mark.parametrize("where", [HERE, ON_ANVIL], ids=["in-process", "anvil"])
@pytest.mark.parametrize("behaviour", ["documented", "deployed"])
def test_it_reconciles_to_the_unit(newcomer: Shell, behaviour: str, where: tuple[str, ...]) -> None:
    done = newcomer.dtn("demo", "--behaviour", behaviour, "--json", *where)

    assert done.code == 0
    assert done.json["answer"] == "You asked: What is a deep trust network?"
    deposit, cost, refund = (
        int(done.json[part]["units"]) for part in ("deposit", "cost", "refund")
    )
    assert cost > 0
    assert deposit == cost + refund


def test_it_tells_the_whole_story(newcomer: Shell) -> None:
    done = newcomer.dtn("demo", "--prompt", "Who are you?", *ON_ANVIL)

    assert done.code == 0
    steps = (
        r"Deploying the network, documented behaviour",
        r"router 0x[0-9a-fA-F]{40}",
        r"session 1 has 25\.00 USDT",
        r"Asking: Who are you\?",
        r"worst case 0\.25 USDT",
        r"request 0x[0-9a-f]{64}",
        r"You asked: Who are you\?",
        r"charged 0\.00256 USDT, which is 2560 units",
        r"closed, refunded 24\.99744 USDT",
        r"25\.00 USDT deposited = 0\.00256 USDT charged \+ 24\.99744 USDT refunded",
    )
    assert re.search(".*".join(steps), done.out, re.DOTALL), done.out
    # What Ape has to say of its Anvil stays out of it.
    assert "INFO" not in done.out
    assert list(newcomer.here.iterdir()) == []
