"""An account with a key file, and no terminal to unlock it."""

from __future__ import annotations

import pytest
from eth_account import Account

from .conftest import Network
from .in_process import InProcess

ALIAS, PASSPHRASE = "carol", "correct horse battery staple"


@pytest.fixture
def key(reference: Network) -> str:
    """The key of an account with ETH and 10 USDT, whose key file is in Ape's folder."""
    account = Account.create()
    reference.chain.rpc("anvil_setBalance", account.address, hex(10**18))
    reference.mint(account.address, 10_000_000)
    found: str = account.key.hex().removeprefix("0x")
    reference.shell.keep_key(ALIAS, found, PASSPHRASE)
    return found


def unlocking(network: Network, passphrase: str) -> InProcess:
    return network.shell.having(**{f"APE_ACCOUNTS_{ALIAS}_PASSPHRASE": passphrase})


def test_a_passphrase_of_the_environment_unlocks_it_and_is_never_printed(
    reference: Network, key: str
) -> None:
    ask = ("ape", "-v", "DEBUG", "dtn", "ask", "Hello?", "--account", ALIAS, "-y")

    with reference.answering():
        done = unlocking(reference, PASSPHRASE).run(*ask)

    assert (done.code, done.out) == (0, "You asked: Hello?\n")
    assert "is open with 0.25 USDT." in done.err
    assert "is closed. Refunded: 0.24744 USDT." in done.err
    assert "[y/N]" not in done.err
    printed = f"{done.out}{done.err}".lower()
    assert "debug" in printed
    assert PASSPHRASE not in printed
    assert key not in printed


def test_the_passphrase_is_missed_by_its_name(reference: Network, key: str) -> None:
    start = ("ape", "dtn", "session", "start", "1", "--account", ALIAS, "-y", "--json")

    done = reference.shell.run(*start)

    assert done.code == 2
    assert done.error["code"] == "account_locked"
    assert f"APE_ACCOUNTS_{ALIAS}_PASSPHRASE to unlock it" in done.err


def test_a_wrong_passphrase_is_bad_input(reference: Network, key: str) -> None:
    start = ("session", "start", "1", "--account", ALIAS, "-y", "--json")

    done = unlocking(reference, "incorrect horse").dtn(*start)

    assert (done.code, done.error["message"]) == (2, "Invalid password")
    assert "incorrect horse" not in done.err


def test_no_spinner_overwrites_the_prompts_of_the_account(reference: Network, key: str) -> None:
    start = ("ape", "dtn", "session", "start", "1", "--account", ALIAS)

    done = reference.shell.on_terminal(*start, answers="y\nn\n")

    assert done.code == 4
    question, _, afterwards = done.out.partition("Sign:")
    assert "Depositing and starting the session …" in question
    assert "Depositing and starting the session" not in afterwards
    assert "did not sign. Nothing was sent." in afterwards
