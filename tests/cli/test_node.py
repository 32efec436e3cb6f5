"""`ape dtn node`: register, serve, inspect and stop a node."""

from __future__ import annotations

import signal
import time

import requests

from ape_dtn.types.polling import POLICY

from .conftest import Network
from .shell import CUSTOMER, STRANGER, STRANGER_ADDRESS, document

MODEL = "model.system.openai-gpt-5-nano"
MINE = "node.tester.first"
WORKER = "TEST::5"


def test_a_node_is_registered_served_and_paid(reference: Network) -> None:
    register = ("node", "register", MINE, "--worker", WORKER, "--model", MODEL)
    unconfirmed = reference.dtn(*register, "--account", STRANGER, "--json")
    assert (unconfirmed.code, unconfirmed.error["code"]) == (2, "not_confirmed")
    registered = reference.dtn(*register, "--account", STRANGER, "-y", "--json").json
    assert len(registered["transactions"]) == 3
    assert (registered["owner"], registered["models"]) == (STRANGER_ADDRESS, [MODEL])
    before = reference.chain.nonce(STRANGER_ADDRESS)
    again = reference.dtn(*register, "--account", STRANGER, "-y", "--json").json
    assert again["transactions"] == []
    assert reference.chain.nonce(STRANGER_ADDRESS) == before

    serve = ("ape", "dtn", "node", "serve", MINE, "--worker", WORKER, "--backend", "echo")
    with reference.shell.running(*serve, "--json", "--metrics", "0") as node:
        address = node.until(lambda: node.err.partition("Metrics are at ")[2].split("\n")[0])
        node.until(lambda: "started" in node.out)
        asked = reference.dtn(
            "ask", "What?", "--node", MINE, "--account", CUSTOMER, "-y", "--json"
        ).json
        node.until(lambda: "answered" in node.out)
        metrics = sums(requests.get(address, timeout=5).text)
        node.process.send_signal(signal.SIGTERM)
        code = node.process.wait(30)
        events = [document(line) for line in node.out.splitlines()]

    assert code == 0
    assert [event["event"] for event in events] == ["started", "taken", "answered", "stopped"]
    assert events[2]["request"] == asked["request"]
    assert events[2]["earned"] == asked["cost"]
    assert metrics["dtn_node_answered_total"] == 1
    assert metrics["dtn_node_failed_total"] == 0
    assert metrics["dtn_node_earned_tokens_total"] == float(events[2]["earned"]["value"])
    assert metrics["dtn_node_gas_spent_wei_total"] == int(events[2]["gas"]["units"])
    assert metrics["dtn_node_in_flight"] == metrics["dtn_node_lag_requests"] == 0

    status = reference.dtn("node", "status", MINE, "--json").json
    assert status["earned"]["units"] == asked["cost"]["units"]
    assert (status["pending"], status["is_active"]) == (0, True)


def test_a_second_ctrl_c_stops_the_node_at_once(reference: Network) -> None:
    name = "node.tester.slow"
    register = ("node", "register", name, "--worker", WORKER, "--model", MODEL)
    assert reference.dtn(*register, "--account", STRANGER, "-y", "--json").code == 0
    serve = ("ape", "dtn", "node", "serve", name, "--worker", WORKER)
    with reference.shell.running(*serve, "--backend", "command:sleep 60", "--json") as node:
        node.until(lambda: "started" in node.out)
        paying = ("--account", CUSTOMER, "--keep", "--timeout", "2", "-y", "--json")
        asked = reference.dtn("ask", "What?", "--node", name, *paying)
        node.until(lambda: "taken" in node.out)
        node.process.send_signal(signal.SIGINT)
        time.sleep(5 * POLICY.signal_debounce)  # a signal takes a moment
        assert node.process.poll() is None
        node.process.send_signal(signal.SIGINT)
        code = node.process.wait(20)
        error = document(node.out.splitlines()[-1])["error"]

    assert asked.error["code"] == "request_pending"
    assert code == 130
    assert "Run it again to answer the requests that are still open" in error["hint"]


def test_another_account_cannot_serve_it(reference: Network) -> None:
    serve = ("node", "serve", reference.node, "--worker", STRANGER, "--json")
    done = reference.dtn(*serve)

    assert (done.code, done.error["code"]) == (2, "not_the_worker")
    assert done.error["worker"] == reference.worker


def sums(text: str) -> dict[str, float]:
    """The samples of a page of Prometheus metrics, by name."""
    lines = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}
