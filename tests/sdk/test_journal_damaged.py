"""A journal that is damaged, in one entry or as a whole."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ape_dtn import DtnSession
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.errors import JournalUnusable
from ape_dtn.journal import executor
from ape_dtn.journal.store import Intent, Journal, Spending, State
from ape_dtn.sessions.operations import operation_of
from ape_dtn.types.amount import Token
from ape_dtn.types.budgets import BUDGETS, Limit
from ape_dtn.types.transactions import Signed
from tests.conftest import Cast

TOKEN = Token("0x" + "11" * 20, "USDT", 6)
DAY = next(budget for budget in BUDGETS if budget.name == "day_limit")

# Each is a change of one row, after which this row cannot be read.
DAMAGES = {
    "no JSON": "meant = '{'",
    "a list in place of an object": "details = '[1]'",
    "an unknown state": "state = 'paused'",
    "a blob in place of text": "kind = x'00ff'",
    "no UTF-8": "kind = cast(x'ff' as text)",
    "text in place of a block": """details = '{"from_block": "soon"}'""",
    "a result that is no JSON": "state = 'done', outcome = 'mined'",
    "no result of what is done": "state = 'done', outcome = null",
    "a result without a transaction": """state = 'done', outcome = '{"block": 1}'""",
    "a token that is no UTF-8": "token = cast(x'ff' as text)",
    "an account that is no UTF-8": "account = cast(x'ff' as text)",
    "a block that is no number": """state = 'done',
        outcome = '{"block": "new", "transaction": "0x"}'""",
    "a session that is no number": """meant = '{"session": [7]}'""",
    "a cost that is no number": "cost = 'much'",
    "a cost beyond uint256": "cost = '" + "9" * 5000 + "'",
    "a cost without a token": "token = null",
    "a day that is no day": "day = 'today'",
    "a number beyond Python's": """meant = '{"a": """ + "9" * 5000 + "}'",
}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal of two open requests, with the keys "first" and "second"."""
    opened = Journal(tmp_path / "journal.sqlite3", "chain", "router", "account")
    for key in ("first", "second"):
        spending = Spending(TOKEN.units(5), "7")
        opened.record_intents(
            [Intent("request", {"session": "7"}, {"from_block": 1}, key, spending)]
        )
    return opened


def change(journal: Journal, sql: str) -> None:
    assert journal.path is not None
    with contextlib.closing(sqlite3.connect(journal.path)) as database, database:
        assert database.execute(sql).rowcount == 1


def damage(journal: Journal, what: str, entry_id: int = 1) -> None:
    change(journal, f"update entries set {what} where id = {entry_id}")


def limited(units: int, limit: int) -> Spending:
    return Spending(TOKEN.units(units), "7", limits=(Limit(DAY, TOKEN.units(limit)),))


@pytest.mark.parametrize("what", DAMAGES.values(), ids=DAMAGES)
def test_readable_entries_are_served_and_the_unreadable_one_is_named(
    journal: Journal, what: str
) -> None:
    damage(journal, what)

    assert [entry.id for entry in journal.entries(*State)] == [2]
    assert [entry.id for entry in journal.unreadable()] == [1]
    with pytest.raises(JournalUnusable, match="entry 1 ") as raised:
        journal.entry(1)
    with pytest.raises(JournalUnusable, match="entry 1 "):
        journal.by_key_or_id("1")
    found = journal.by_key("second")
    assert found is not None
    assert found.id == 2
    assert journal.highest_block() == 1
    assert journal.used_nonces("sender") == 0
    assert journal.seen_used("sender", 1) is None
    assert "DtnRescue" in (raised.value.hint or "")


@pytest.mark.parametrize("what", DAMAGES.values(), ids=DAMAGES)
def test_the_key_of_an_unreadable_entry_is_not_free(journal: Journal, what: str) -> None:
    damage(journal, what)

    with pytest.raises(JournalUnusable, match="entry 1 ") as raised:
        journal.record_intents([Intent("request", {"session": "7"}, {}, "first")])

    assert raised.value.path == str(journal.path)
    assert str(journal.path) in (raised.value.hint or "")


@pytest.mark.parametrize("what", DAMAGES.values(), ids=DAMAGES)
def test_nothing_is_spent_under_a_limit_beside_an_unreadable_entry(
    journal: Journal, what: str
) -> None:
    damage(journal, what)
    if what == DAMAGES["a number beyond Python's"]:
        return  # its cost can be read, and counts

    with pytest.raises(JournalUnusable, match="entry 1 "):
        journal.check_limits(limited(1, 1000))
    with pytest.raises(JournalUnusable, match="entry 1 "):
        journal.record_intents([Intent("request", {}, spending=limited(1, 1000))])

    assert len(journal.entries(*State)) == 1
    journal.record_intents([Intent("request", {}, spending=Spending(TOKEN.units(1), "7"))])


def test_a_key_that_is_not_text_may_be_any(journal: Journal) -> None:
    damage(journal, "key = x'01'")

    with pytest.raises(JournalUnusable, match="entry 1 "):
        journal.by_key("first")


def test_a_cancelled_entry_that_is_unreadable_costs_nothing(journal: Journal) -> None:
    damage(journal, "state = 'void', outcome = 'nothing'")

    journal.check_limits(limited(1, 6))


def test_transactions_of_an_unreadable_entry_are_outstanding(journal: Journal) -> None:
    (entry, _) = journal.entries(State.OPEN)
    signed = Signed("0x01", "account", 3, "0x02")
    journal.record_signed({0: entry}, {0: signed})
    damage(journal, "state = 'paused'")

    assert [txn for _, txn in journal.outstanding("account", ())] == [signed]


@pytest.mark.parametrize("what", ["nonce = 'third'", "hash = x'01'", "raw = 'soon'"])
def test_an_entry_with_an_unreadable_transaction_is_unreadable(journal: Journal, what: str) -> None:
    (entry, _) = journal.entries(State.OPEN)
    journal.record_signed({0: entry}, {0: Signed("0x01", "account", 3, "0x02")})
    change(journal, f"update transactions set {what}")

    assert [found.id for found in journal.unreadable()] == [1]


def test_a_missing_field_is_named(journal: Journal) -> None:
    (entry, _) = journal.entries(State.OPEN)

    with pytest.raises(JournalUnusable, match="entry 1 lacks the field 'transaction'"):
        entry.details["transaction"]


def test_an_entry_of_an_unknown_kind_is_named(journal: Journal) -> None:
    damage(journal, "kind = 'gift'")

    with pytest.raises(JournalUnusable, match=r"entry 1 .*'gift'"):
        operation_of(journal.entry(1))


FILES: dict[str, bytes] = {
    "empty": b"",
    "text": b"This is no database, but a long enough text to be taken for one.\n" * 20,
    "short": b"SQLite format 3\0",
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_a_file_that_is_no_database_says_how_to_set_it_aside(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "journal.sqlite3"
    path.write_bytes(content)

    with pytest.raises(JournalUnusable) as raised:
        Journal(path, "chain", "router", "account").entries(*State)

    assert str(path) in raised.value.message
    assert f"rename {path}" in (raised.value.hint or "")
    assert "DtnRescue" in (raised.value.hint or "")
    assert "another version" not in raised.value.message
    assert path.read_bytes() == content


@pytest.mark.parametrize("part", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_truncated_file_says_how_to_set_it_aside(journal: Journal, part: float) -> None:
    path = journal.path
    assert path is not None
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("pragma wal_checkpoint(truncate)")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])

    with pytest.raises(JournalUnusable, match="cannot be used") as raised:
        journal.entries(*State)

    assert f"rename {path}" in (raised.value.hint or "")


def test_another_programs_database_says_how_to_set_it_aside(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table notes (text)")

    with pytest.raises(JournalUnusable) as raised:
        Journal(path, "chain", "router", "account").entries(*State)

    assert f"rename {path}" in (raised.value.hint or "")


@pytest.mark.usefixtures("own_journal")
def test_an_account_with_an_unreadable_entry_can_send(network: LocalNetwork, cast: Cast) -> None:
    session = DtnSession.start("5", cast.customer, network.ai)
    journal = executor.journal_of(network.ai, cast.customer)
    damage(journal, "state = 'paused'", journal.entries(*State)[-1].id)

    options: Any = {"day_limit": "5"}
    with pytest.raises(JournalUnusable):
        session.request("Hello?", **options)
    request = session.request("Hello?")

    network.node.answer_pending()
    assert request.answer().text
    assert executor.unfinished(network.ai, cast.customer) == []
    session.close()
