"""The bill from the shell: a session with a fair answer and a dear one."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi import encode

from ape_dtn.chain.abi import Router
from ape_dtn.names import id_of

from .shell import CUSTOMER, CUSTOMER_ADDRESS, Done, Network

WORKER_ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
NODE = "node.local.echo"


@pytest.fixture(scope="module")
def spent(network: Network) -> int:
    """The session: the node answers one request, and its worker overcharges for another."""
    mine = ("--account", CUSTOMER, "-y", "--json")
    started = network.dtn("session", "start", "25", *mine)
    session_id: int = started.json["session"]
    ask = ("ask", "Hello?", "--session", str(session_id), *mine)
    assert network.dtn(*ask).code == 0
    with network.node_asleep():
        pending = network.dtn(*ask, "--timeout", "0")
        assert pending.code == 5
        answer = Router.respond_to_request.encode(
            *(id_of(pending.error["request_id"], "request"), 1, "", encode(["string"], ["No."])),
            *(id_of(NODE, "node"), 10**9, 10**9),
        )
        network.chain.send(WORKER_ADDRESS, network.deployed["router"], "0x" + answer.hex())
    return session_id


@pytest.fixture(scope="module")
def reported(network: Network, spent: int, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The report, and the files that it wrote."""
    folder = tmp_path_factory.mktemp("report")
    files = folder / "bill.html", folder / "bill.csv"
    written = ("--html", str(files[0]), "--csv", str(files[1]))
    return network.dtn("session", "report", str(spent), *written), files


def test_history_is_a_table(network: Network, spent: int) -> None:
    done = network.dtn("session", "history", str(spent))

    assert done.code == 0
    assert done.out.startswith(f"Session {spent} (times in UTC)\n")
    events = [line.split("│")[2].strip() for line in done.out.splitlines() if "│" in line]
    assert events == ["opened", "request", "answer", "request", "answer"]
    assert "0.00256 USDT" in done.out
    assert "overcharged" in done.out


def test_history_as_json(network: Network, spent: int) -> None:
    done = network.dtn("session", "history", str(spent), "--json")

    assert done.code == 0
    (session,) = done.json["sessions"]
    assert (session["id"], session["owner"]) == (spent, CUSTOMER_ADDRESS)
    answers = [request["responses"][0] for request in session["requests"]]
    assert [answer["verdict"] for answer in answers] == ["fair", "overcharged"]
    assert [answer["charged"]["text"] for answer in answers] == ["0.00256 USDT", "0.25 USDT"]
    assert session["balance"]["text"] == "24.74744 USDT"


def test_history_as_csv(network: Network, spent: int) -> None:
    done = network.dtn("session", "history", str(spent), "--csv")

    assert done.code == 0
    header, *lines = csv.reader(io.StringIO(done.out))
    charged = [line[header.index("charged")] for line in lines]
    assert charged == ["", "", "0.002560", "", "0.250000"]


def test_report_tells_who_overcharged(reported: tuple[Done, Any], spent: int) -> None:
    done, _ = reported

    assert done.code == 0  # it is told, and no failure of the command
    first, *told = done.out.splitlines()
    assert first == f"Session {spent} of {CUSTOMER_ADDRESS}"
    sums = "opened with 25.00 USDT, charged 0.25256 USDT, left 24.74744 USDT"
    assert told[0] == f"It adds up: {sums}."
    assert told[1].startswith(f"WARNING: {NODE} took 0.247")
    assert "By node" in told


def test_report_writes_files(reported: tuple[Done, tuple[Path, Path]], network: Network) -> None:
    done, (html, text) = reported

    assert done.out.splitlines()[-2:] == [f"Written: {html}", f"Written: {text}"]
    assert html.read_text().startswith("<!doctype html>")
    assert "0.25256 USDT" in html.read_text()
    assert len(list(csv.reader(text.open()))) == 1 + 5


def test_report_as_json_is_the_history(network: Network, spent: int) -> None:
    report = network.dtn("session", "report", str(spent), "--json")

    assert report.code == 0
    assert json.loads(report.out)["sessions"][0]["overcharged"]["units"] > "0"


def test_a_file_that_cannot_be_written(network: Network, spent: int, tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "bill.html"

    done = network.dtn("session", "report", str(spent), "--html", str(missing))

    assert done.code == 2
    assert f"ERROR: {missing} cannot be written: No such file or directory." in done.err


@pytest.mark.parametrize("command", ["history", "report"])
def test_a_session_that_never_was(documented: Network, command: str) -> None:
    done = documented.dtn("session", command, "999", "--json")

    assert done.code == 4
    assert (done.error["code"], done.error["session_id"]) == ("session_not_found", 999)
