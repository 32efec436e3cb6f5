"""The ledger: claims of processes, stored answers, and unusable files."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ape_dtn import Status
from ape_dtn.errors import LedgerUnusable
from ape_dtn.node.answering import Result
from ape_dtn.node.store import Cursor, Ledger, StoredResult

QUESTION, OTHER = b"\1" * 32, b"\2" * 32
FIRST, SECOND = b"\x0a" * 32, b"\x0b" * 32
RESULT = Result(Status.SUCCESS, "", b"four")

# Claims a request and stays alive until its input ends.
CLAIM = f"""
import sys
from pathlib import Path
from ape_dtn.node.store import Ledger
claimed = Ledger(Path(sys.argv[1])).claim({{{FIRST!r}: {QUESTION!r}}})
print(len(claimed), flush=True)
sys.stdin.read()
"""


def test_a_claim_lasts_until_its_process_ends(tmp_path: Path) -> None:
    path = tmp_path / "nodes" / "one.sqlite3"
    ours = Ledger(path)
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "1\n"
        assert list(ours.claim({FIRST: QUESTION, SECOND: QUESTION})) == [SECOND]
        other.kill()
        other.wait()
        assert list(ours.claim({FIRST: QUESTION})) == [FIRST]


def test_an_answer_is_stored_for_one_question(tmp_path: Path) -> None:
    path = tmp_path / "one.sqlite3"
    ledger = Ledger(path)
    ledger.claim({FIRST: QUESTION})
    ledger.save_result(FIRST, RESULT)

    assert Ledger(path).claim({FIRST: QUESTION}) == {FIRST: StoredResult(RESULT)}
    assert Ledger(path).claim({FIRST: OTHER}) == {FIRST: StoredResult()}


def test_releasing_deletes_claims_and_keeps_answers(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "one.sqlite3")
    ledger.claim({FIRST: QUESTION, SECOND: QUESTION})
    ledger.save_result(FIRST, RESULT)
    ledger.save_cursor(Cursor(2, SECOND, b"terms"))

    ledger.release()

    assert ledger.claim({FIRST: QUESTION}) == {FIRST: StoredResult(RESULT)}
    assert ledger.cursor() == Cursor(2, SECOND, b"terms")


@pytest.mark.parametrize("content", [b"no database at all" * 100, b""])
def test_a_file_that_is_no_ledger_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "one.sqlite3"
    path.write_bytes(content)

    with pytest.raises(LedgerUnusable, match=r"one\.sqlite3"):
        Ledger(path)


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "one.sqlite3"
    Ledger(path)

    assert path.stat().st_mode & 0o077 == 0
    assert sqlite3.connect(path).execute("pragma journal_mode").fetchone() == ("wal",)
