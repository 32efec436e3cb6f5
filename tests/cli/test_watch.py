"""Answers as they come, on the command line: a line each, from cursor to cursor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .shell import CUSTOMER, CUSTOMER_ADDRESS, STRANGER_ADDRESS, Done, Network
from .test_outcomes import fail


@pytest.fixture
def session(network: Network) -> str:
    done = network.dtn("session", "start", "5", "--account", CUSTOMER, "-y", "--json")
    return str(done.json["session"])


def ask(network: Network, session: str, prompt: str) -> str:
    """Asks, and returns the request's id; whether it is answered is left to others."""
    asking = ("ask", prompt, "--session", session, "--account", CUSTOMER, "-y", "--json")
    done = network.dtn(*asking, "--timeout", "0")
    found: str = done.error["request_id"] if "error" in done.json else done.json["request"]
    return found


def lines(done: Done) -> list[Any]:
    return [json.loads(line) for line in done.out.splitlines()]


def test_answers_are_lines_from_cursor_to_cursor(
    network: Network, session: str, tmp_path: Path
) -> None:
    cursor = tmp_path / "cursor.json"
    watch = ("watch", "--session", session, "--cursor", str(cursor))
    first = ask(network, session, "One?")

    with network.shell.running("ape", "dtn", *watch, "--json") as watching:
        watching.until(lambda: "One?" in watching.out)
        second = ask(network, session, "Two?")
        watching.until(lambda: "Two?" in watching.out)
        done = watching.interrupt()
    third = ask(network, session, "Three?")
    network.dtn("answer", third)  # it is there by now
    again = network.dtn(*watch, "--timeout", "2")
    then = network.dtn(*watch, "--timeout", "0")

    assert done.code == 0
    assert [line["request"] for line in lines(done)] == [first, second]
    assert lines(done)[0]["answer"] == "You asked: One?"
    assert (again.code, again.out) == (0, f"{third}  You asked: Three?\n")
    assert (then.code, then.out) == (0, "")
    assert [file.name for file in tmp_path.iterdir()] == ["cursor.json"]


def test_since_now_is_remembered_without_an_answer(
    network: Network, session: str, tmp_path: Path
) -> None:
    cursor = tmp_path / "cursor.json"
    watch = ("watch", "--account", CUSTOMER, "--cursor", str(cursor), "--since", "now", "--json")
    network.dtn("answer", ask(network, session, "Before?"))

    done = network.dtn(*watch, "--timeout", "1")
    request = ask(network, session, "While nobody watches?")
    network.dtn("answer", request)
    again = network.dtn(*watch, "--timeout", "2")

    assert (done.code, done.out) == (0, "")
    assert [line["request"] for line in lines(again)] == [request]


def test_failures_are_lines_too(network: Network, session: str) -> None:
    with network.node_asleep():
        request = ask(network, session, "Anybody?")
        fail(network, request, "out of tokens")
    watch = ("watch", "--session", session, "--timeout", "0")

    told, as_json = network.dtn(*watch), network.dtn(*watch, "--json")

    assert (told.code, told.out) == (0, f"{request}  ERROR: The node failed: out of tokens.\n")
    (line,) = lines(as_json)
    assert (line["request"], line["error"]["code"]) == (request, "node_failure")


def test_a_session_that_is_closed_ends_it(network: Network, session: str) -> None:
    request = ask(network, session, "Hello?")
    network.dtn("answer", request)
    assert network.dtn("session", "close", session, "--account", CUSTOMER, "-y").code == 0

    done = network.dtn("watch", "--session", session, "--json")

    assert done.code == 0
    assert [line["request"] for line in lines(done)] == [request]


def test_owners_are_addresses_and_accounts(documented: Network) -> None:
    watch = ("watch", "--timeout", "0", "--json")

    by_address = documented.dtn(*watch, "--owner", CUSTOMER_ADDRESS)
    by_alias = documented.dtn(*watch, "--account", CUSTOMER)
    nobody = documented.dtn(*watch, "--owner", STRANGER_ADDRESS)

    assert by_address.out == by_alias.out
    assert len(lines(by_alias)) > 1
    assert (nobody.code, nobody.out) == (0, "")


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("--session", "1", "--owner", CUSTOMER_ADDRESS),
        ("--owner", "alice"),
        ("--session", "1", "--confirmations", "-1"),
        ("--session", "1", "--cursor", "{folder}/broken"),
        ("--session", "1", "--cursor", "{folder}"),
    ],
)
def test_what_is_wrong_is_told_on_one_line(
    documented: Network, tmp_path: Path, given: tuple[str, ...]
) -> None:
    (tmp_path / "broken").write_text("not a cursor")
    command = [each.format(folder=tmp_path) for each in given]

    done = documented.dtn("watch", *command, "--timeout", "0", "--json")

    assert done.code == 2
    assert done.error["message"]


def test_a_session_that_never_was(documented: Network) -> None:
    done = documented.dtn("watch", "--session", "999", "--timeout", "0", "--json")

    assert (done.code, len(done.out.splitlines())) == (4, 1)
    assert done.error["code"] == "session_not_found"
