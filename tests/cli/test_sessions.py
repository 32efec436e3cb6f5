"""A session from the shell, step by step."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Network
from .shell import CUSTOMER, CUSTOMER_ADDRESS, STRANGER_ADDRESS, Done


@pytest.fixture
def opened(network: Network) -> dict[str, Any]:
    """What starting a session with 25 USDT gave."""
    before = network.held_by(CUSTOMER_ADDRESS)
    done = network.dtn("session", "start", "25", "--account", CUSTOMER, "-y", "--json")
    assert done.code == 0
    assert network.held_by(CUSTOMER_ADDRESS) == before - 25_000_000
    found: dict[str, Any] = done.json
    assert found.pop("method") == "two-step"
    assert "Method: two-step, deposit and start in two transactions" in done.err
    return found


@pytest.fixture
def closings(network: Network) -> tuple[int, Done, Done]:
    """A session that was closed, and closed again."""
    started = network.dtn("session", "start", "3.5", "--account", CUSTOMER, "-y", "--json")
    close = ("session", "close", str(started.json["session"]), "--account", CUSTOMER, "-y")
    return started.json["session"], network.dtn(*close), network.dtn(*close, "--json")


def test_start_gives_the_session(opened: dict[str, Any]) -> None:
    assert opened["owner"] == CUSTOMER_ADDRESS
    assert opened["balance"] == {
        "units": "25000000",
        "decimals": 6,
        "symbol": "USDT",
        "text": "25.00 USDT",
    }


def test_list_has_it(network: Network, opened: dict[str, Any]) -> None:
    done = network.dtn("session", "list", "--account", CUSTOMER, "--json")

    assert done.code == 0
    assert opened in done.json


def test_show_shows_it(network: Network, opened: dict[str, Any]) -> None:
    done = network.dtn("session", "show", str(opened["session"]), "--json")

    assert (done.code, done.json) == (0, opened)


def test_close_refunds_it(closings: tuple[int, Done, Done]) -> None:
    closed, done, _ = closings

    assert done.code == 0
    assert done.out == f"Session {closed} is closed. Refunded: 3.50 USDT.\n"


def test_it_is_closed_but_once(closings: tuple[int, Done, Done]) -> None:
    closed, _, again = closings

    assert again.code == 4
    assert again.error["code"] == "session_already_closed"
    assert again.error["session_id"] == closed
    assert f"ERROR: Session {closed} is already closed." in again.err


def test_start_teaches_the_next_step(reference: Network) -> None:
    done = reference.dtn("session", "start", "1.25 usdt", "--account", CUSTOMER, "-y")

    first, second = done.out.splitlines()
    assert first.endswith("is open with 1.25 USDT.")
    assert second.startswith('Ask on it: ape dtn ask "…" --session ')


def test_list_for_people(reference: Network) -> None:
    done = reference.dtn("session", "list", "--owner", STRANGER_ADDRESS.lower())

    assert done.out == f"Open sessions of {STRANGER_ADDRESS}: none\n"
