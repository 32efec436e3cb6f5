"""Nothing is sent without a confirmation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import Network
from .shell import CUSTOMER, CUSTOMER_ADDRESS

MAX_COST, QUESTION = "max cost  0.25 USDT, plus gas", "Send it? [y/N]:"


@pytest.fixture(autouse=True)
def _nothing_is_sent(reference: Network) -> Iterator[None]:
    before = reference.chain.nonce(CUSTOMER_ADDRESS)
    yield
    assert reference.chain.nonce(CUSTOMER_ADDRESS) == before


def test_without_a_terminal_the_command_has_to_be_confirmed_in_advance(reference: Network) -> None:
    done = reference.dtn("ask", "Hello?", "--account", CUSTOMER, "--json")

    assert done.code == 2
    assert done.error["code"] == "not_confirmed"
    assert "add -y" in done.err


def test_a_no_to_the_max_cost_sends_nothing(reference: Network) -> None:
    done = reference.dtn("ask", "Hello?", "--account", CUSTOMER, answers="n\n")

    assert (done.code, done.out) == (1, "")
    assert "ERROR: Aborted." in done.err
    assert done.err.index(MAX_COST) < done.err.index(QUESTION)


def test_the_account_can_be_chosen_when_it_is_not_named(reference: Network) -> None:
    done = reference.dtn("session", "start", "2", answers=f"{CUSTOMER}\nn\n")

    assert (done.code, done.out) == (1, "")
    assert f"Deposit 2.00 USDT of {CUSTOMER_ADDRESS} on ethereum:local:foundry?" in done.err
