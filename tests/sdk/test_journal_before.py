"""Compatibility with a journal of the previous version, dumped in `journal_before.sql`.

Its cancelled entries have the state `void`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from ape_dtn.errors import OverLimit
from ape_dtn.journal.store import Journal, Spending, State
from ape_dtn.sessions.operations import CLAIM, REQUEST, START, operation_of
from ape_dtn.types.amount import Token
from ape_dtn.types.budgets import Budget, Limit

DUMP = Path(__file__).with_name("journal_before.sql")
CHAIN = "own 31337:0x" + "44" * 32
ROUTER = "0x" + "22" * 20
ACCOUNT = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
TOKEN = Token("0x" + "33" * 20, "USDT", 6)
MODEL = "model.system.openai-gpt-4o-mini"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    path = tmp_path / "journal.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(DUMP.read_text())
    return Journal(path, CHAIN, ROUTER, ACCOUNT, head=100)


def test_entries_are_read(journal: Journal) -> None:
    start, answered, given_up, claim = journal.entries(*State)

    assert [entry.state for entry in (start, answered, given_up, claim)] == [
        State.OPEN,
        State.DONE,
        State.CANCELLED,
        State.OPEN,
    ]
    assert [operation_of(entry) for entry in (start, answered, given_up, claim)] == [
        START,
        REQUEST,
        REQUEST,
        CLAIM,
    ]
    assert [(txn.nonce, txn.is_empty) for txn in start.signed] == [(5, False), (6, False)]
    assert answered.outcome is not None
    assert answered.outcome["block"] == journal.highest_block() == 101


def test_keys_are_found(journal: Journal) -> None:
    start, answered, given_up, _ = journal.entries(*State)

    assert journal.find("kept", "start", start.payload) == start
    assert journal.find("answered", "request", answered.payload) == answered
    assert journal.find("given up", "request", given_up.payload) is None
    assert journal.by_key_or_id("given up") == given_up


def test_signed_transactions_are_outstanding(journal: Journal) -> None:
    start, *_, claim = journal.entries(*State)

    found = journal.outstanding(ACCOUNT, [claim.id])

    assert [(entry.id, signed.nonce) for entry, signed in found] == [(start.id, 5), (start.id, 6)]
    # The start of a bare deposit would claim any deposit.
    assert [START.can_be_resent(*pair) for pair in found] == [True, False]


@pytest.mark.parametrize(
    "scope", [("account",), ("model",), ("router", "session"), ("account", "model", "session")]
)
def test_costs_count_in_budgets(journal: Journal, scope: tuple[str, ...]) -> None:
    budget = Budget("a_limit", "All requests to {model}", scope, "")

    def check(units: int, model: str = MODEL) -> None:
        limits = (Limit(budget, TOKEN.units(units)),)
        journal.check_limits(Spending(TOKEN.units(1), "7", model, limits))

    check(3_001)
    with pytest.raises(OverLimit) as raised:
        check(3_000)
    assert raised.value.message.startswith(f"All requests to {MODEL} could cost 0.003001 USDT")
    if "model" in scope:
        check(1, model="model.system.another")


def test_entries_can_be_cancelled(journal: Journal) -> None:
    start, *_ = journal.entries(State.OPEN)

    taken = journal.claim(start)
    assert taken is not None
    journal.end(taken, State.CANCELLED, {"error": "cancelled", "message": "Cancelled."})

    assert journal.entry(start.id).state is State.CANCELLED
    assert journal.find("kept", "start", start.payload) is None
