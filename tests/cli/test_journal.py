"""`ape dtn resume` and `journal`: idempotency keys, kills and cancellations."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3

import pytest

from ape_dtn.network.client_contract import client_of

from .conftest import Network
from .json_rules import text_of

# An account of these tests only, which has no operations of other tests.
ACCOUNT, ADDRESS = "TEST::7", "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955"
BY_US = ("--account", ACCOUNT, "-y")


def with_tokens(network: Network) -> Network:
    """The network, after minting tokens for the account."""
    network.mint(ADDRESS, 100_000_000)
    return network


@pytest.fixture
def rich(network: Network) -> Network:
    """The network, after minting tokens for the account."""
    return with_tokens(network)


def test_a_start_that_was_killed_is_resumed(live: Network) -> None:
    rich = with_tokens(live)
    before = rich.held_by(ADDRESS)
    start = ("ape", "dtn", "session", "start", "3", *BY_US)
    with rich.chain.unmined(), rich.shell.running(*start) as running:
        running.until(lambda: int(rich.chain.rpc("txpool_status")["pending"], 16) == 2)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()

    shown = rich.dtn("journal", "--account", ACCOUNT)
    resumed = rich.dtn("resume", *BY_US, "--json")
    again = rich.dtn("resume", *BY_US, "--json")

    assert "start with 3.00 USDT" in " ".join(shown.out.split())
    assert resumed.code == 0, resumed.err
    (done,) = resumed.json["entries"]
    assert (done["kind"], done["state"], done["error"]) == ("start", "done", None)
    assert again.json["entries"] == []
    assert rich.held_by(ADDRESS) == before - 3_000_000
    refunded = rich.dtn("session", "close", str(done["outcome"]["session"]), *BY_US)
    assert refunded.out.endswith("Refunded: 3.00 USDT.\n")


def test_a_request_with_a_key_is_paid_once(rich: Network) -> None:
    ask = ("ask", "Once?", *BY_US, "--json", "--idempotency-key", "once", "--deposit", "1")

    with rich.answering():
        first = rich.dtn(*ask)
    nonce, held = rich.chain.nonce(ADDRESS), rich.held_by(ADDRESS)
    again = rich.dtn(*ask)
    other = rich.dtn("ask", "Twice?", *ask[2:])

    assert first.code == 0, first.err
    assert again.json == first.json
    assert (other.code, other.error["code"]) == (2, "key_reused")
    assert (rich.chain.nonce(ADDRESS), rich.held_by(ADDRESS)) == (nonce, held)


def test_after_ctrl_c_the_same_key_resumes_the_request(reference: Network) -> None:
    rich = with_tokens(reference)
    ask = ("ask", "Again?", *BY_US, "--json", "--idempotency-key", "again", "--deposit", "1")
    before = rich.held_by(ADDRESS)
    with rich.shell.running("ape", "dtn", *ask) as running:
        running.until(lambda: "is sent" in running.err)
        stopped = running.interrupt()
    nonce = rich.chain.nonce(ADDRESS)

    with rich.answering():
        done = rich.dtn(*ask)

    assert (stopped.code, stopped.error["code"]) == (130, "interrupted")
    session, request = stopped.error["session_id"], stopped.error["request_id"]
    assert f"Session {session} stays open." in stopped.err
    assert f"`ape dtn answer {request}` and then `ape dtn session close {session}`" in stopped.err
    assert done.code == 0, done.err
    assert "You asked: Again?" in json.dumps(done.json)
    assert rich.chain.nonce(ADDRESS) == nonce + 1  # the close alone
    assert 0 < before - rich.held_by(ADDRESS) < 1_000_000


def test_after_a_timeout_the_same_key_resumes_the_request(rich: Network) -> None:
    ask = ("ask", "Again?", *BY_US, "--json", "--idempotency-key", "again", "--deposit", "1")
    before = rich.held_by(ADDRESS)
    pending = rich.dtn(*ask, "--timeout", "0")
    nonce = rich.chain.nonce(ADDRESS)

    with rich.answering():
        done = rich.dtn(*ask)

    assert (pending.code, pending.error["code"]) == (5, "request_pending")
    assert done.code == 0, done.err
    assert "You asked: Again?" in json.dumps(done.json)
    assert rich.chain.nonce(ADDRESS) == nonce + 1  # the close alone
    assert 0 < before - rich.held_by(ADDRESS) < 1_000_000


def test_a_session_with_pending_requests_is_closed_by_force_only(rich: Network) -> None:
    started = rich.dtn("session", "start", "1", *BY_US, "--json").json
    session = str(started["session"])
    asked = rich.dtn("ask", "Who?", "--session", session, "--timeout", "0", *BY_US, "--json")
    refused = rich.dtn("session", "close", session, *BY_US, "--json")
    forced = rich.dtn("session", "close", session, "--force", *BY_US, "--json")

    assert asked.code == 5
    assert (refused.code, refused.error["code"]) == (4, "requests_pending")
    assert refused.error["requests"] == [asked.error["request_id"]]
    assert "--force" in refused.error["hint"]
    assert text_of(forced.json["refund"]) == "1.00 USDT"


def test_the_client_contract_is_shown_before_the_confirmation(rich: Network) -> None:
    theirs = client_of(ADDRESS)
    start = ("session", "start", "1", "--method", "allowance", "--account", ACCOUNT)

    asked = rich.dtn(*start, answers="n\n")
    done = rich.dtn(*start, "-y", "--json")

    assert "Method: allowance" in asked.err
    assert f"The session will belong to your client contract {theirs}." in asked.err
    assert f"First: create your client contract {theirs}." in asked.err
    assert "First: approve your client contract 1.00 USDT." in asked.err
    assert "Deposit 1.00 USDT of" in asked.err
    assert done.json["owner"] == theirs
    closed = rich.dtn("session", "close", str(done.json["session"]), *BY_US, "--json")
    assert text_of(closed.json["refund"]) == "1.00 USDT"


def test_budgets_hold_over_all_processes(reference: Network) -> None:
    rich = with_tokens(reference)
    session = str(rich.dtn("session", "start", "1", *BY_US, "--json").json["session"])
    limited = rich.shell.having(APE_DTN_SESSION_LIMIT="0.50")
    ask = (
        "ask",
        "More?",
        "--session",
        session,
        "--max-cost",
        "0.25",
        "--timeout",
        "0",
        *BY_US,
        "--json",
    )
    asked = [limited.dtn(*ask), limited.run("ape", "dtn", *ask), limited.dtn(*ask)]
    assert [(done.code, done.error["code"]) for done in asked] == [
        (5, "request_pending"),
        (5, "request_pending"),
        (4, "over_limit"),
    ]
    assert rich.dtn("session", "close", session, "--force", *BY_US).code == 0


def test_a_stuck_start_is_cancelled(live: Network) -> None:
    """Its key can be used again."""
    rich = with_tokens(live)
    before = rich.held_by(ADDRESS)
    start = ("session", "start", "2", *BY_US, "--idempotency-key", "stuck")
    with rich.chain.unmined():
        with rich.shell.running("ape", "dtn", *start) as running:
            running.until(lambda: int(rich.chain.rpc("txpool_status")["pending"], 16) == 2)
            running.process.send_signal(signal.SIGKILL)
            running.process.wait()
        shown = rich.dtn("journal", "list", "--account", ACCOUNT, "--json")
        rich.chain.rpc("anvil_dropAllTransactions")

    refused = rich.dtn("journal", "cancel", "stuck", "--account", ACCOUNT, answers="n\n")
    cancelled = rich.dtn("journal", "cancel", "stuck", *BY_US, "--json")
    again = rich.dtn("journal", "cancel", "stuck", *BY_US, "--json")
    nothing = rich.dtn("journal", "cancel", "unheard of", *BY_US, "--json")

    (entry,) = shown.json["entries"]
    assert (entry["key"], entry["state"], len(entry["transactions"])) == ("stuck", "open", 2)
    assert refused.code == 1
    assert "start with 2.00 USDT" in " ".join(refused.out.split())
    assert "waits for the endpoint to accept transaction" in refused.out
    assert cancelled.code == 0, cancelled.err
    assert (cancelled.json["cancelled"], cancelled.json["state"]) == (True, "cancelled")
    assert len(cancelled.json["transactions"]) == 4
    assert (again.code, again.error["code"]) == (2, "not_cancellable")
    assert (nothing.code, nothing.error["code"]) == (2, "invalid_option")
    assert rich.held_by(ADDRESS) == before
    assert rich.dtn("resume", *BY_US, "--json").json["entries"] == []
    started = rich.dtn(*start, "--json")
    assert started.code == 0, started.err
    assert rich.held_by(ADDRESS) == before - 2_000_000
    rich.dtn("session", "close", str(started.json["session"]), *BY_US)


def test_resume_says_what_an_entry_waits_for(reference: Network) -> None:
    rich = with_tokens(reference)
    start = ("ape", "dtn", "session", "start", "2", *BY_US)
    with rich.chain.unmined(), rich.shell.running(*start) as running:
        running.until(lambda: int(rich.chain.rpc("txpool_status")["pending"], 16) == 2)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
        waiting = rich.dtn("resume", "--account", ACCOUNT, answers="n\n")

    done = rich.dtn("resume", *BY_US, "--json")

    assert "to be mined, with nonce" in waiting.out
    assert [entry["waits_for"] for entry in done.json["entries"]] == [None]
    rich.dtn("session", "close", str(done.json["entries"][0]["outcome"]["session"]), *BY_US)


def test_unreadable_entries_are_named_beside_the_others(rich: Network) -> None:
    for _ in range(2):
        started = rich.dtn("session", "start", "1", *BY_US, "--json").json
        rich.dtn("session", "close", str(started["session"]), *BY_US)
    every = ("journal", "--all", "--account", ACCOUNT, "--json")
    shown = rich.dtn(*every).json["entries"]
    entry_id, path = shown[-1]["id"], rich.shell.data_folder / "dtn" / "journal.sqlite3"

    def set_state(state: str) -> None:
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("update entries set state = ? where id = ?", (state, entry_id))

    set_state("paused")
    try:
        damaged = rich.dtn(*every)
        resumed = rich.dtn("resume", *BY_US, "--json")
        cancelled = rich.dtn("journal", "cancel", str(entry_id), *BY_US, "--json")
    finally:
        set_state("done")

    assert damaged.code == 0
    assert damaged.json["entries"] == shown[:-1]
    (unreadable,) = damaged.json["unreadable"]
    assert unreadable["id"] == entry_id
    assert unreadable["transactions"] == shown[-1]["transactions"]
    assert unreadable["error"]["code"] == "journal_unusable"
    assert f"entry {entry_id} has an unreadable field (state)" in damaged.err
    assert str(path) in damaged.err
    assert "ape dtn rescue" in damaged.err
    assert (resumed.code, resumed.error["code"]) == (4, "journal_unusable")
    assert (cancelled.code, cancelled.error["code"]) == (4, "journal_unusable")
    assert rich.dtn(*every).json == {"entries": shown, "unreadable": []}
