"""`ape dtn session start`, `list`, `show` and `close`."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Network
from .shell import CUSTOMER, CUSTOMER_ADDRESS, STRANGER_ADDRESS, Done


@pytest.fixture
def opened(network: Network) -> dict[str, Any]:
    """The JSON of a session that was started with 25 USDT."""
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
    """The id of a session, and the results of closing it twice."""
    started = network.dtn("session", "start", "3.5", "--account", CUSTOMER, "-y", "--json")
    close = ("session", "close", str(started.json["session"]), "--account", CUSTOMER, "-y")
    return started.json["session"], network.dtn(*close), network.dtn(*close, "--json")


def test_start_returns_the_session(opened: dict[str, Any]) -> None:
    assert opened["owner"] == CUSTOMER_ADDRESS
    assert opened["balance"] == {"units": "25000000", "value": "25.00", "token": "USDT"}


def test_list_contains_the_session(network: Network, opened: dict[str, Any]) -> None:
    done = network.dtn("session", "list", "--account", CUSTOMER, "--json")

    assert done.code == 0
    assert opened in done.json["sessions"]


def test_show_returns_the_session(network: Network, opened: dict[str, Any]) -> None:
    done = network.dtn("session", "show", str(opened["session"]), "--json")

    assert (done.code, done.json) == (0, opened)


def test_close_refunds_the_rest(closings: tuple[int, Done, Done]) -> None:
    closed, done, _ = closings

    assert done.code == 0
    assert done.out == f"Session {closed} is closed. Refunded: 3.50 USDT.\n"


def test_a_closed_session_is_not_closed_again(closings: tuple[int, Done, Done]) -> None:
    closed, _, again = closings

    assert again.code == 4
    assert again.error["code"] == "session_already_closed"
    assert again.error["session_id"] == closed
    assert f"ERROR: Session {closed} is already closed." in again.err


def test_start_names_the_next_command(reference: Network) -> None:
    done = reference.dtn("session", "start", "1.25 usdt", "--account", CUSTOMER, "-y")

    first, second = done.out.splitlines()
    assert first.endswith("is open with 1.25 USDT.")
    assert second.startswith('Ask on it: ape dtn ask "…" --session ')


def test_list_for_people(reference: Network) -> None:
    done = reference.dtn("session", "list", "--owner", STRANGER_ADDRESS.lower())

    assert done.out == f"Open sessions of {STRANGER_ADDRESS}: none\n"
