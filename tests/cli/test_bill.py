"""`ape dtn session history` and `report`, of a session with a fair and an overcharged answer."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from eth_abi import encode

from ape_dtn.network.abi import Router
from ape_dtn.types.ids import id_of

from .conftest import Network
from .json_rules import text_of
from .shell import CUSTOMER, CUSTOMER_ADDRESS


@pytest.fixture
def spent(network: Network) -> int:
    """A session: the node answers one request, and its worker overcharges for another one."""
    mine = ("--account", CUSTOMER, "-y", "--json")
    started = network.dtn("session", "start", "25", *mine)
    session_id: int = started.json["session"]
    ask = ("ask", "Hello?", "--session", str(session_id), *mine)
    with network.answering():
        assert network.dtn(*ask).code == 0
    pending = network.dtn(*ask, "--timeout", "0")
    assert pending.code == 5
    answer = Router.respond_to_request.encode(
        *(id_of(pending.error["request_id"], "request"), 1, "", encode(["string"], ["No."])),
        *(id_of(network.node, "node"), 10**9, 10**9),
    )
    network.chain.send(network.worker, network.router, "0x" + answer.hex())
    return session_id


def test_history_as_a_table_json_and_csv(network: Network, spent: int) -> None:
    history = ("session", "history", str(spent))

    table, in_json, in_csv = (
        network.dtn(*history),
        network.dtn(*history, "--json"),
        network.dtn(*history, "--csv"),
    )

    assert (table.code, in_json.code, in_csv.code) == (0, 0, 0)
    assert table.out.startswith(f"Session {spent} (times in UTC)\n")
    events = [line.split("│")[2].strip() for line in table.out.splitlines() if "│" in line]
    assert events == ["opened", "request", "answer", "request", "answer"]
    assert "0.00256 USDT" in table.out
    assert "overcharged" in table.out

    (session,) = in_json.json["sessions"]
    assert (session["id"], session["owner"]) == (spent, CUSTOMER_ADDRESS)
    answers = [request["responses"][0] for request in session["requests"]]
    assert [answer["verdict"] for answer in answers] == ["fair", "overcharged"]
    assert [text_of(answer["charged"]) for answer in answers] == ["0.00256 USDT", "0.25 USDT"]
    assert text_of(session["balance"]) == "24.74744 USDT"

    header, *lines = csv.reader(io.StringIO(in_csv.out))
    charged = [line[header.index("charged")] for line in lines]
    assert charged == ["", "", "0.002560", "", "0.250000"]


def test_report_names_the_node_that_overcharged_and_writes_files(
    network: Network, spent: int, tmp_path: Path
) -> None:
    report, missing = ("session", "report", str(spent)), tmp_path / "missing" / "bill.html"
    html, text = tmp_path / "bill.html", tmp_path / "bill.csv"

    done = network.dtn(*report, "--html", str(html), "--csv", str(text))
    in_json = network.dtn(*report, "--json")
    unwritten = network.dtn(*report, "--html", str(missing))

    assert done.code == 0  # overcharging is no failure of the command
    first, *lines = done.out.splitlines()
    assert first == f"Session {spent} of {CUSTOMER_ADDRESS}"
    sums = "opened with 25.00 USDT, charged 0.25256 USDT, left 24.74744 USDT"
    assert lines[0] == f"It adds up: {sums}."
    assert lines[1].startswith(f"WARNING: {network.node} charged 0.247")
    assert "By node" in lines
    assert lines[-2:] == [f"Written: {html}", f"Written: {text}"]
    assert html.read_text().startswith("<!doctype html>")
    assert "0.25256 USDT" in html.read_text()
    assert len(list(csv.reader(text.open()))) == 1 + 5

    assert in_json.code == 0
    assert in_json.json["sessions"][0]["overcharged"]["units"] > "0"

    assert unwritten.code == 2
    assert f"ERROR: {missing} cannot be written: No such file or directory." in unwritten.err


@pytest.mark.parametrize("command", ["history", "report"])
def test_an_unknown_session_is_refused(reference: Network, command: str) -> None:
    done = reference.dtn("session", command, "999", "--json")

    assert done.code == 4
    assert (done.error["code"], done.error["session_id"]) == ("session_not_found", 999)
