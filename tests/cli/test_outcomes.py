"""Requests that are not answered: the exit codes, and the commands that finish them."""

from __future__ import annotations

import pytest

from .conftest import Network
from .shell import CUSTOMER, CUSTOMER_ADDRESS

ASK = ("ask", "Anybody?", "--account", CUSTOMER, "-y")
NO_ANSWER_YET, NODE_FAILED, UNKNOWN_OUTCOME = 5, 6, 7


def test_a_timeout_leaves_the_session_open_and_names_the_commands_that_finish_it(
    network: Network,
) -> None:
    before = network.held_by(CUSTOMER_ADDRESS)
    done = network.dtn(*ASK, "--timeout", "0.5", "--json")

    session, request = str(done.error["session_id"]), done.error["request_id"]
    assert done.code == NO_ANSWER_YET
    assert done.error["code"] == "request_pending"
    assert f"Request {request} has no answer after 0.5 seconds." in done.err
    assert f"Session {session} stays open." in done.err
    assert f"`ape dtn answer {request}` and then `ape dtn session close {session}`" in done.err

    with network.answering():
        answered = network.dtn("answer", request, "--json")
    closed = network.dtn("session", "close", session, "--account", CUSTOMER, "-y", "--json")

    assert answered.json["answer"] == "You asked: Anybody?"
    cost, refund = answered.json["cost"], closed.json["refund"]
    assert int(cost["units"]) + int(refund["units"]) == 250_000
    assert network.held_by(CUSTOMER_ADDRESS) == before - int(cost["units"])


def test_the_node_failed(live: Network) -> None:
    request = live.dtn(*ASK, "--timeout", "0", "--keep", "--json").error["request_id"]
    live.fail(request, "out of tokens")

    done = live.dtn("answer", request, "--json")

    assert done.code == NODE_FAILED
    assert done.error["code"] == "node_failure"
    assert done.error["reason"] == "out of tokens"
    assert "ERROR: The node failed: out of tokens." in done.err


def test_a_transaction_that_is_not_mined_is_resumed(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(network.local.ai.provider.network)
    monkeypatch.setattr(kind, "transaction_acceptance_timeout", 1)
    by_customer = ("--account", CUSTOMER, "-y", "--json")

    with network.chain.unmined():
        done = network.dtn("session", "start", "1", *by_customer)
    resumed = network.dtn("resume", *by_customer)

    assert done.code == UNKNOWN_OUTCOME
    assert done.error["code"] == "transaction_pending"
    assert "Do not send it again" in done.err
    assert resumed.code == 0, resumed.err
    assert [(entry["kind"], entry["state"]) for entry in resumed.json["entries"]] == [
        ("start", "done")
    ]
