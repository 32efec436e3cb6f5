"""`ape dtn watch`: one line per answer, and cursors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import Network
from .shell import CUSTOMER, CUSTOMER_ADDRESS, STRANGER_ADDRESS, Done, document


@pytest.fixture
def opened(network: Network) -> str:
    """An open session of the customer."""
    done = network.dtn("session", "start", "5", "--account", CUSTOMER, "-y", "--json")
    return str(done.json["session"])


# A timeout in seconds: long enough to print what is there.
A_MOMENT = "0.2"


def ask(network: Network, session: str, prompt: str) -> str:
    """Sends a request without waiting for the answer; returns its id."""
    asking = ("ask", prompt, "--session", session, "--account", CUSTOMER, "-y", "--json")
    done = network.dtn(*asking, "--timeout", "0")
    found: str = done.error["request_id"] if "error" in done.json else done.json["request"]
    return found


def answered(network: Network, session: str, prompt: str) -> str:
    """Sends a request and waits for the answer; returns its id."""
    with network.answering():
        request = ask(network, session, prompt)
        assert network.dtn("answer", request).code == 0
    return request


def lines(done: Done) -> list[Any]:
    return [document(line) for line in done.out.splitlines()]


def test_answers_are_lines_as_they_come_until_ctrl_c(live: Network, tmp_path: Path) -> None:
    cursor = tmp_path / "cursor.json"
    started = live.dtn("session", "start", "5", "--account", CUSTOMER, "-y", "--json")
    session = str(started.json["session"])
    watch = ("watch", "--session", session, "--cursor", str(cursor), "--json")
    first = answered(live, session, "One?")

    with live.shell.running("ape", "dtn", *watch) as watching:
        watching.until(lambda: "One?" in watching.out)
        second = answered(live, session, "Two?")
        watching.until(lambda: "Two?" in watching.out)
        done = watching.interrupt()
    third = answered(live, session, "Three?")
    again = live.dtn(*watch, "--timeout", A_MOMENT)

    assert done.code == 0
    assert [line["request"] for line in lines(done)] == [first, second]
    assert lines(done)[0]["answer"] == "You asked: One?"
    assert [line["request"] for line in lines(again)] == [third]


def test_a_watch_continues_from_its_cursor(network: Network, opened: str, tmp_path: Path) -> None:
    cursor = tmp_path / "seen" / "cursor.json"
    cursor.parent.mkdir()
    watch = ("watch", "--session", opened, "--cursor", str(cursor))
    seen = [answered(network, opened, "One?"), answered(network, opened, "Two?")]

    done = network.dtn(*watch, "--timeout", A_MOMENT, "--json")
    third = answered(network, opened, "Three?")
    again = network.dtn(*watch, "--timeout", A_MOMENT)
    then = network.dtn(*watch, "--timeout", "0")

    assert done.code == 0
    assert [line["request"] for line in lines(done)] == seen
    assert lines(done)[0]["answer"] == "You asked: One?"
    assert (again.code, again.out) == (0, f"{third}  You asked: Three?\n")
    assert (then.code, then.out) == (0, "")
    assert [file.name for file in cursor.parent.iterdir()] == ["cursor.json"]


def test_a_cursor_is_saved_without_an_answer(network: Network, opened: str, tmp_path: Path) -> None:
    cursor = tmp_path / "cursor.json"
    watch = ("watch", "--account", CUSTOMER, "--cursor", str(cursor), "--since", "now", "--json")
    answered(network, opened, "Before?")

    done = network.dtn(*watch, "--timeout", A_MOMENT)
    request = answered(network, opened, "While nobody watches?")
    again = network.dtn(*watch, "--timeout", A_MOMENT)

    assert (done.code, done.out) == (0, "")
    assert [line["request"] for line in lines(again)] == [request]


def test_a_failure_is_a_line(network: Network, opened: str) -> None:
    request = ask(network, opened, "Anybody?")
    network.fail(request, "out of tokens")
    watch = ("watch", "--session", opened, "--timeout", "0")

    text, as_json = network.dtn(*watch), network.dtn(*watch, "--json")

    assert (text.code, text.out) == (0, f"{request}  ERROR: The node failed: out of tokens.\n")
    (line,) = lines(as_json)
    assert (line["request"], line["error"]["code"]) == (request, "node_failure")


def test_a_closed_session_ends_the_watch(network: Network, opened: str) -> None:
    request = answered(network, opened, "Hello?")
    assert network.dtn("session", "close", opened, "--account", CUSTOMER, "-y").code == 0

    done = network.dtn("watch", "--session", opened, "--json")

    assert done.code == 0
    assert [line["request"] for line in lines(done)] == [request]


def test_an_owner_is_an_address_or_an_account(network: Network, opened: str) -> None:
    watch = ("watch", "--timeout", "0", "--json")
    for prompt in ("One?", "Two?"):
        answered(network, opened, prompt)

    by_address = network.dtn(*watch, "--owner", CUSTOMER_ADDRESS)
    by_alias = network.dtn(*watch, "--account", CUSTOMER)
    nobody = network.dtn(*watch, "--owner", STRANGER_ADDRESS)

    assert by_address.out == by_alias.out
    assert len(lines(by_alias)) > 1
    assert (nobody.code, nobody.out) == (0, "")


@pytest.mark.parametrize(
    "given",
    [
        (),
        ("--session", "{session}", "--owner", CUSTOMER_ADDRESS),
        ("--owner", "alice"),
        ("--session", "{session}", "--confirmations", "-1"),
        ("--session", "{session}", "--cursor", "{folder}/broken"),
        ("--session", "{session}", "--cursor", "{folder}"),
    ],
)
def test_invalid_arguments_are_refused(
    reference: Network, tmp_path: Path, given: tuple[str, ...]
) -> None:
    (tmp_path / "broken").write_text("not a cursor")
    started = reference.dtn("session", "start", "1", "--account", CUSTOMER, "-y", "--json")
    words = {"folder": tmp_path, "session": started.json["session"]}
    command = [word.format(**words) for word in given]

    done = reference.dtn("watch", *command, "--timeout", "0", "--json")

    assert done.code == 2
    assert done.error["message"]


def test_an_unknown_session_is_refused(reference: Network) -> None:
    done = reference.dtn("watch", "--session", "999", "--timeout", "0", "--json")

    assert (done.code, len(done.out.splitlines())) == (4, 1)
    assert done.error["code"] == "session_not_found"
