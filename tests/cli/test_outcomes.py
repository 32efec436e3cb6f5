"""What may become of a request that was sent, and how each of it is finished."""

from __future__ import annotations

from typing import Any

import pytest

from ape_dtn.answers.answer import Status
from ape_dtn.chain.abi import Router
from ape_dtn.names import id_of

from .shell import CUSTOMER, CUSTOMER_ADDRESS, Done, Network

ASK = ("ask", "Anybody?", "--account", CUSTOMER, "-y")
NO_ANSWER_YET, NODE_FAILED, UNKNOWN_OUTCOME, BY_SIGNAL = 5, 6, 7, 130


@pytest.fixture(scope="module")
def interrupted(network: Network) -> tuple[int, Done]:
    """A question that Ctrl-C came upon, and what the customer had before it."""
    before = network.held_by(CUSTOMER_ADDRESS)
    with network.node_asleep(), network.shell.running("ape", "dtn", *ASK, "--json") as asking:
        asking.until(lambda: "is sent." in asking.err)
        done = asking.interrupt()
    return before, done


def test_ctrl_c_leaves_the_session_open_and_says_how_to_finish_it(
    interrupted: tuple[int, Done],
) -> None:
    _, done = interrupted
    session, request = done.error["session_id"], done.error["request_id"]

    assert done.code == BY_SIGNAL
    assert done.error["code"] == "interrupted"
    assert f"Session {session} stays open." in done.err
    assert f"`ape dtn answer {request}` and then `ape dtn session close {session}`" in done.err


def test_so_it_is_finished(network: Network, interrupted: tuple[int, Done]) -> None:
    before, done = interrupted
    session, request = done.error["session_id"], done.error["request_id"]

    answered = network.dtn("answer", request, "--json")
    closed = network.dtn("session", "close", str(session), "--account", CUSTOMER, "-y", "--json")

    assert answered.json["answer"] == "You asked: Anybody?"
    cost, refund = answered.json["cost"], closed.json["refund"]
    assert int(cost["units"]) + int(refund["units"]) == 250_000
    assert network.held_by(CUSTOMER_ADDRESS) == before - int(cost["units"])


@pytest.fixture(scope="module")
def unanswered(deployed: Network) -> Done:
    with deployed.node_asleep():
        return deployed.dtn(*ASK, "--timeout", "0.5", "--json")


def test_no_answer_in_time(unanswered: Done) -> None:
    session, request = unanswered.error["session_id"], unanswered.error["request_id"]

    assert unanswered.code == NO_ANSWER_YET
    assert unanswered.error["code"] == "request_pending"
    assert f"Request {request} has no answer after 0.5 seconds." in unanswered.err
    assert f"Session {session} stays open." in unanswered.err


def test_the_node_failed(deployed: Network) -> None:
    with deployed.node_asleep():
        request = deployed.dtn(*ASK, "--timeout", "0.5", "--keep", "--json").error["request_id"]
        fail(deployed, request, "out of tokens")

        done = deployed.dtn("answer", request, "--json")

    assert done.code == NODE_FAILED
    assert done.error["code"] == "node_failure"
    assert done.error["reason"] == "out of tokens"
    assert "ERROR: The node failed: out of tokens." in done.err


def test_a_transaction_that_is_not_mined(documented: Network) -> None:
    impatient = documented.shell.here / "impatient"
    impatient.mkdir()
    config = "ethereum: {local: {transaction_acceptance_timeout: 1}}"
    (impatient / "ape-config.yaml").write_text(config)
    start = ("ape", "dtn", "session", "start", "1", "--account", CUSTOMER, "-y", "--json")
    documented.chain.rpc("evm_setAutomine", False)
    try:
        done = documented.shell.run(*start, folder=impatient)
    finally:
        documented.chain.rpc("evm_setAutomine", True)
        documented.chain.rpc("evm_mine")

    assert done.code == UNKNOWN_OUTCOME
    assert done.error["code"] == "transaction_pending"
    assert "Do not send it again" in done.err


def fail(network: Network, request: str, reason: str) -> None:
    """Answers as the node does when it fails."""
    given: tuple[Any, ...] = (bytes.fromhex(request[2:]), Status.FAILURE, reason, b"")
    data = Router.respond_to_request.encode(*given, id_of(network.deployed["node"], "node"), 0, 0)
    network.chain.send(network.deployed["worker"], network.deployed["router"], "0x" + data.hex())
