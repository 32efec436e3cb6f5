"""From a prompt to its answer."""

from __future__ import annotations

from typing import Any

import pytest

from .shell import CUSTOMER, CUSTOMER_ADDRESS, Done, Network

WORST_CASE = "worst case  0.25 USDT, and gas"


@pytest.fixture(scope="module")
def asked(network: Network) -> Done:
    """A question on a session of its own."""
    before = network.held_by(CUSTOMER_ADDRESS)
    done = network.dtn("ask", "What is it?", "--account", CUSTOMER, "-y", "--json")
    assert done.code == 0
    assert network.held_by(CUSTOMER_ADDRESS) == before - int(done.json["cost"]["units"])
    return done


@pytest.fixture(scope="module")
def session(network: Network) -> dict[str, Any]:
    done = network.dtn("session", "start", "25", "--account", CUSTOMER, "-y", "--json")
    found: dict[str, Any] = done.json
    return found


def test_the_answer_as_json(asked: Done) -> None:
    assert asked.json["answer"] == "You asked: What is it?"
    assert asked.json["cost"]["text"] == "0.00256 USDT"


def test_the_rest_is_refunded(asked: Done) -> None:
    assert asked.json["refund"]["units"] == str(250_000 - int(asked.json["cost"]["units"]))


def test_the_worst_case_is_shown_before_anything_is_sent(asked: Done) -> None:
    shown, _, afterwards = asked.err.partition(WORST_CASE)

    assert "Session" not in shown
    assert f"Session {asked.json['session']} is open with 0.25 USDT." in afterwards


def test_the_answer_is_there_for_other_processes(network: Network, asked: Done) -> None:
    done = network.dtn("answer", asked.json["request"], "--json")

    assert done.code == 0
    assert done.json == {key: asked.json[key] for key in ("request", "answer", "node", "cost")}


def test_on_a_session_the_answer_is_all_of_the_output(
    network: Network, session: dict[str, Any]
) -> None:
    mine = str(session["session"])

    done = network.dtn("ask", "Hello?", "--session", mine, "--account", CUSTOMER, "-y")

    assert (done.code, done.out) == (0, "You asked: Hello?\n")
    assert f"session {mine}, which has 25.00 USDT" in done.err
    assert WORST_CASE in done.err
    assert "It cost 0.00256 USDT." in done.err
    shown = network.dtn("session", "show", mine, "--json")
    assert shown.json["balance"]["text"] == "24.99744 USDT"


def test_on_a_new_session_the_answer_is_all_of_the_output(documented: Network) -> None:
    options = ("--cap", "0.1", "--deposit", "2", "--fee-per-byte", "0", "--account", CUSTOMER)

    done = documented.dtn("ask", "Hello?", *options, "-y")

    assert (done.code, done.out) == (0, "You asked: Hello?\n")
    assert "worst case  0.10 USDT, and gas" in done.err
    assert "a new session with 2.00 USDT; the rest is refunded" in done.err
    assert done.err.endswith("is closed. Refunded: 2.00 USDT.\n")


def test_the_answer_alone(documented: Network) -> None:
    kept = documented.dtn("ask", "Hello?", "--keep", "--account", CUSTOMER, "-y", "--json")

    done = documented.dtn("answer", kept.json["request"])

    assert (done.code, done.out) == (0, "You asked: Hello?\n")
    assert "refund" not in kept.json
