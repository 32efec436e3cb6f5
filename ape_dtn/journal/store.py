"""The journal on disk: what was meant, what was signed for it, and what became of it.

One SQLite file for each user, shared by all processes. No key is ever in it.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from ape_dtn.chain.finality import Block
from ape_dtn.journal import process_lock
from ape_dtn.journal.database import opened
from ape_dtn.journal.errors import JournalUnusable, KeyReused, OverLimit
from ape_dtn.types.amount import Amount
from ape_dtn.types.transactions import Signed

# Told of each step that something has come to, at the level of debugging.
log = logging.getLogger("ape_dtn.journal")

# Whoever changes the schema raises the version, and says what becomes of older files.
VERSION = 1
_SCHEMA = """
create table if not exists entries (
    id integer primary key,
    chain text not null,
    router text not null,
    account text not null,
    kind text not null,
    meant text not null,
    details text not null,
    key text,
    state text not null,
    outcome text,
    worker text,
    day text not null,
    session text,
    token text,
    cost text,
    settled integer not null default 0,
    unique (chain, router, account, key)
);
create table if not exists transactions (
    entry integer not null references entries (id),
    hash text not null,
    sender text not null,
    nonce integer not null,
    raw text not null,
    primary key (entry, hash)
);
create index if not exists by_state on entries (chain, state);
create index if not exists by_spending on entries (chain, token, day);
"""

# The entries that something was signed for, or handed over to be, with a nonce of a sender.
_OF_NONCE = (
    "chain = ? and state = 'open' and"
    " (id in (select entry from transactions where sender = ? and nonce = ?)"
    " or (account = ? and json_extract(details, '$.handed_over') = ?))"
)

# What this process is at. The file may say so still of what it could not write down that it left.
_at_work: set[tuple[Path | None, int]] = set()


class Step(Enum):
    """How far something has come, between what was meant and what is known to have happened."""

    NOTED = "noted"
    """It is written down; nothing is signed."""
    SIGNED = "signed"
    """What was signed for it is written down; nothing of that is sent."""
    SENT = "sent"
    """It is on the chain, and was read there; what came of it is not written down."""
    DONE = "done"
    """What came of it is written down."""


class State(Enum):
    """What is known of something that was meant to be done."""

    OPEN = "open"
    """It may have been sent, and what became of it is not known."""
    DONE = "done"
    CANCELLED = "void"  # as journals have it that were written before
    """Nothing came of it, and nothing will."""


@dataclass(frozen=True)
class Entry:
    """Something that moves money, or was to move it.

    Attributes:
        id: Its number.
        chain: Hash of the chain's first block.
        router: The router's address.
        account: Who signs.
        kind: What it is; see :class:`ape_dtn.journal.operation.Operation`.
        meant: What was asked for. What is asked for again under the same key has to be the same.
        details: How it is done.
        key: The user's own key for it, if one was given.
        state: What is known of it.
        outcome: What came of it; where it is cancelled, why.
        worker: The process that is at it; None where nobody is.
        signed: What was signed for it.
    """

    id: int
    chain: str
    router: str
    account: str
    kind: str
    meant: Mapping[str, Any]
    details: Mapping[str, Any]
    key: str | None
    state: State
    outcome: Mapping[str, Any] | None
    worker: str | None
    signed: tuple[Signed, ...]


@dataclass(frozen=True)
class Spending:
    """What something may cost, and what all together may.

    Attributes:
        most: The most that it may cost.
        session: The session that pays.
        so_far: What that session has cost, and may still cost, as the chain had it.
        as_of: The block that it had it in. What came later is in the journal.
        session_limit: What that session may cost in all.
        day_limit: What all requests of a day may cost.
        account_limit: What all requests of the account may cost.
    """

    most: Amount
    session: str
    so_far: Amount | None = None
    as_of: int = 0
    session_limit: Amount | None = None
    day_limit: Amount | None = None
    account_limit: Amount | None = None


@dataclass(frozen=True)
class Intent:
    """What is going to be written down.

    Attributes:
        kind: See :class:`Entry`.
        meant: See :class:`Entry`.
        details: See :class:`Entry`.
        key: See :class:`Entry`.
        spending: What it may cost; None where it costs nothing.
    """

    kind: str
    meant: Mapping[str, Any]
    details: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    spending: Spending | None = None


class Journal:
    """The journal of one chain, router and account.

    Args:
        path: The file; it is made where there is none. None for one in memory, that nobody shares.
        chain: Hash of the chain's first block.
        router: The router's address.
        account: Who signs.
        head: The chain's latest block, when the journal was opened.
    """

    def __init__(
        self, path: Path | None, chain: str, router: str, account: str, head: int = 0
    ) -> None:
        self.path, self.head = path, head
        self.chain, self.router, self.account = chain, router, account

    def record_intents(self, many: Sequence[Intent]) -> list[Entry]:
        """Writes down what is meant, all of it or none, before any of it is done.

        Returns:
            The entries, which this process is at.

        Raises:
            OverLimit: Together with all that was meant before it could cost more than a limit.
            KeyReused: Its key is taken.
        """
        with self._writing() as database:
            entries = [self._begin(database, each) for each in many]
            _at_work.update((self.path, each.id) for each in entries)
        log.debug(Step.NOTED.value)
        return entries

    def find(self, key: str, kind: str, meant: Mapping[str, Any]) -> Entry | None:
        """What was meant by a key before, if that was not void.

        Raises:
            KeyReused: That was something else.
        """
        found = self.of_key(key)
        if found is None or found.state is State.CANCELLED:
            return None
        if (found.kind, found.meant) != (kind, _plain(meant)):
            raise KeyReused(key, found.kind)
        return found

    def of_key(self, key: str) -> Entry | None:
        """What a key stands for, or stood for."""
        with self._reading() as database:
            return self._by_key(database, key)

    def signed(self, entries: Mapping[int, Entry], signed: Mapping[int, Signed]) -> None:
        """Writes down what was signed, for the entry of each place, before it is sent.

        Raises:
            JournalUnusable: The entry is not there: somebody has removed the file meanwhile.
        """
        with self._writing() as database:
            for place in signed:
                _check_there(database, entries[place])
            database.executemany(
                "insert or ignore into transactions (entry, hash, sender, nonce, raw)"
                " values (?, ?, ?, ?, ?)",
                [
                    (entries[place].id, each.hash, each.sender, each.nonce, each.raw)
                    for place, each in signed.items()
                ],
            )
        log.debug(Step.SIGNED.value)

    def end(self, entry: Entry, state: State, outcome: Mapping[str, Any]) -> None:
        """Writes down what came of it. Nobody is at it any more."""
        if state is State.DONE:
            log.debug(Step.SENT.value)
        with self._leaving(entry) as database:
            _check_there(database, entry)
            database.execute(
                "update entries set state = ?, outcome = ?, worker = null where id = ?",
                (state.value, json.dumps(outcome), entry.id),
            )
        log.debug(Step.DONE.value)

    def amend(self, entry: Entry, details: Mapping[str, Any]) -> Entry:
        """Writes down how it is done, where that has changed since it was meant."""
        with self._writing() as database:
            database.execute(
                "update entries set details = ? where id = ?",
                (json.dumps({**entry.details, **details}), entry.id),
            )
            return _entry(database, entry.id)

    def reopen(self, entry: Entry) -> None:
        """Takes back that it was done: the chain has forgotten it."""
        with self._writing() as database:
            change = "update entries set state = ?, outcome = null where id = ?"
            database.execute(change, (State.OPEN.value, entry.id))

    def claim(self, entry: Entry) -> Entry | None:
        """Puts this process at it, and gives it as it is now.

        None where another process is at it that is still alive, or where it has ended.
        """
        found: Entry | None = None
        try:
            with self._writing() as database:
                if self.is_claimed(entry):  # asked here, where no other thread takes it besides
                    return None
                taken = database.execute(
                    "update entries set worker = ? where id = ? and worker is ? and state = 'open'",
                    (self._me(), entry.id, entry.worker),
                )
                if taken.rowcount == 1:
                    found = _entry(database, entry.id)
                    _at_work.add((self.path, entry.id))
        except BaseException:
            if found is not None:
                self.drop_claim(found)
            raise
        return found

    def release(self, entry: Entry) -> None:
        """Leaves it as it is, for whoever takes it next."""
        with self._leaving(entry) as database:
            database.execute(
                "update entries set worker = null where id = ? and worker = ?",
                (entry.id, self._me()),
            )

    def drop_claim(self, entry: Entry) -> None:
        """Leaves it, where that cannot be written down."""
        _at_work.discard((self.path, entry.id))

    def entry(self, entry_id: int) -> Entry:
        """An entry as it is now."""
        with self._reading() as database:
            return _entry(database, entry_id)

    def entries(self, *states: State) -> list[Entry]:
        """The account's entries in these states, in the order in which they were meant."""
        marks = ", ".join("?" * len(states))
        where = f"chain = ? and account = ? and router = ? and state in ({marks})"
        values = (self.chain, self.account, self.router, *(each.value for each in states))
        with self._reading() as database:
            return _entries(database, where, *values)

    def named(self, name: str) -> Entry | None:
        """The entry of a key, or the one that has this number."""
        if found := self.of_key(name):
            return found
        numbered = [each for each in self.entries(*State) if str(each.id) == name]
        return numbered[0] if numbered else None

    def outstanding(self, address: str, but_for: Collection[int]) -> list[tuple[Entry, Signed]]:
        """What was signed by an address, or for it, for entries that are open.

        Args:
            address: The sender, or the Safe that it was sent for.
            but_for: The ids of entries that are left out.
        """
        with self._reading() as database:
            found = _entries(
                database,
                "chain = ? and state = 'open' and (account = ? or id in"
                " (select entry from transactions where sender = ?))",
                self.chain,
                address,
                address,
            )
        return [(each, one) for each in found if each.id not in but_for for one in each.signed]

    def highest_block(self) -> int:
        """The newest block of the chain that is known of, by any account."""
        with self._reading() as database:
            found = database.execute(
                "select max(cast(json_extract(details, '$.from_block') as integer)),"
                " max(cast(json_extract(outcome, '$.block') as integer))"
                " from entries where chain = ?",
                (self.chain,),
            ).fetchone()
        return max(self.head, *(each or 0 for each in found))

    def used_by(self, sender: str) -> int:
        """How many nonces of a sender have been used, as far as is known of what is done."""
        with self._reading() as database:
            (highest,) = database.execute(
                "select max(nonce) from transactions join entries on entries.id = entry"
                " where chain = ? and sender = ? and state = 'done'"
                " and hash = json_extract(outcome, '$.transaction')",
                (self.chain, sender),
            ).fetchone()
        return 0 if highest is None else int(highest) + 1

    def seen_used(self, sender: str, nonce: int) -> Block | None:
        """The block in which a nonce was first seen to be used."""
        with self._reading() as database:
            found = database.execute(
                f"select json_extract(details, ?) from entries where {_OF_NONCE}"
                " and json_extract(details, ?) is not null",
                (_used(sender, nonce), *self._of_nonce(sender, nonce), _used(sender, nonce)),
            ).fetchone()
        return Block(*json.loads(found[0])) if found else None

    def note_used(self, sender: str, nonce: int, block: Block) -> None:
        """Writes down in which block a nonce was seen to be used."""
        with self._writing() as database:
            database.execute(
                f"update entries set details = json_set(details, ?, json(?)) where {_OF_NONCE}",
                (
                    _used(sender, nonce),
                    json.dumps([block.number, block.hash]),
                    *self._of_nonce(sender, nonce),
                ),
            )

    def _of_nonce(self, sender: str, nonce: int) -> tuple[str | int, ...]:
        return self.chain, sender, nonce, sender, nonce

    def is_claimed(self, entry: Entry) -> bool:
        """Whether a process that is alive is at it."""
        if entry.worker == self._me():
            return (self.path, entry.id) in _at_work
        return entry.worker is not None and self._is_alive(entry.worker)

    def unsettled(self) -> list[Entry]:
        """Requests, of all accounts, of which only the most that they can cost is known here."""
        with self._reading() as database:
            return _entries(
                database,
                "chain = ? and router = ? and state = 'done' and cost is not null and not settled",
                self.chain,
                self.router,
            )

    def reconcile(self, costs: Mapping[str, int]) -> None:
        """Writes down what requests have really cost, by their ids, in units of the fee token."""
        with self._writing() as database:
            database.executemany(
                "update entries set cost = ?, settled = 1 where chain = ? and state = 'done'"
                " and json_extract(outcome, '$.request') = ?",
                [(str(units), self.chain, each) for each, units in costs.items()],
            )

    def check(self, spending: Spending) -> None:
        """Checks what something may cost against all that was meant before.

        Raises:
            OverLimit: Together they could cost more than a limit.
        """
        with self._reading() as database:
            self._check(database, spending, _today())

    def _begin(self, database: sqlite3.Connection, each: Intent) -> Entry:
        if each.key is not None:
            if (found := self._by_key(database, each.key)) is None:
                pass
            elif found.state is State.CANCELLED:
                database.execute("update entries set key = null where id = ?", (found.id,))
            else:
                raise KeyReused(each.key, found.kind)
        day, spending = _today(), each.spending
        if spending is not None:
            self._check(database, spending, day)
        cursor = database.execute(
            "insert into entries (chain, router, account, kind, meant, details, key, state, worker,"
            " day, session, token, cost) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.chain,
                self.router,
                self.account,
                each.kind,
                json.dumps(each.meant, sort_keys=True),
                json.dumps(each.details),
                each.key,
                State.OPEN.value,
                self._me(),
                day,
                spending and spending.session,
                spending and spending.most.token.address,
                spending and str(spending.most.units),
            ),
        )
        assert cursor.lastrowid is not None
        return _entry(database, cursor.lastrowid)

    def _check(self, database: sqlite3.Connection, spending: Spending, day: str) -> None:
        """Checks the limits. All costs are added up here: as text, they exceed what SQLite adds."""
        most, token = spending.most, spending.most.token
        limits: list[tuple[str, str, Amount | None, str, tuple[Any, ...], Amount | None]] = [
            (
                "session_limit",
                "The session",
                spending.session_limit,
                "session = ? and router = ? and"
                " (state = 'open' or cast(json_extract(outcome, '$.block') as integer) > ?)",
                (spending.session, self.router, spending.as_of),
                spending.so_far,
            ),
            ("day_limit", "All requests of this day", spending.day_limit, "day = ?", (day,), None),
            (
                "account_limit",
                f"All requests of {self.account}",
                spending.account_limit,
                "account = ?",
                (self.account,),
                None,
            ),
        ]
        for setting, what, limit, where, values, so_far in limits:
            if limit is None:
                continue
            rows = database.execute(
                "select cost from entries where chain = ? and token = ? and state != 'void'"
                f" and {where}",
                (self.chain, token.address, *values),
            )
            before = sum(int(row[0]) for row in rows) + (so_far.units if so_far else 0)
            total = token.units(most.units + before)
            if total > limit:
                raise OverLimit(what, limit, total, setting)

    def _by_key(self, database: sqlite3.Connection, key: str) -> Entry | None:
        where = "chain = ? and router = ? and account = ? and key = ?"
        found = _entries(database, where, self.chain, self.router, self.account, key)
        return found[0] if found else None

    def _me(self) -> str:
        return process_lock.own_name(self._folder) if self.path else "here"

    def _is_alive(self, worker: str) -> bool:
        return process_lock.is_alive(self._folder, worker) if self.path else True

    @property
    def _folder(self) -> Path:
        assert self.path is not None
        return self.path.parent / "at_work"

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with _opened(self.path) as database:
            yield database

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """All that is written inside, or nothing of it; one process at a time."""
        with _opened(self.path) as database:
            database.execute("begin immediate")
            try:
                yield database
            except BaseException:
                with suppress(sqlite3.Error):  # what went wrong matters more
                    database.execute("rollback")
                raise
            database.execute("commit")

    @contextmanager
    def _leaving(self, entry: Entry) -> Iterator[sqlite3.Connection]:
        """Writes that this process is not at it any more, which is so also where that fails.

        It is so before others can see it: whoever takes it then is at it.
        """
        try:
            with self._writing() as database:
                yield database
                self.drop_claim(entry)
        except BaseException:
            self.drop_claim(entry)
            raise


_in_memory: dict[None, sqlite3.Connection] = {}


@contextmanager
def _opened(path: Path | None) -> Iterator[sqlite3.Connection]:
    if path is None:
        if None not in _in_memory:
            _in_memory[None] = opened(None, _SCHEMA, VERSION)
        yield _in_memory[None]
        return
    try:
        database = opened(path, _SCHEMA, VERSION)
        # What is written is on the disk before anything is sent.
        database.execute("pragma synchronous = full")
    except (sqlite3.Error, OSError) as err:
        raise JournalUnusable(str(path), str(err)) from err
    try:
        yield database
    except sqlite3.Error as err:
        raise JournalUnusable(str(path), str(err)) from err
    finally:
        database.close()


def _check_there(database: sqlite3.Connection, entry: Entry) -> None:
    """Checks that an entry is the one that was begun."""
    found = database.execute(
        "select account, meant from entries where id = ?", (entry.id,)
    ).fetchone()
    if found != (entry.account, json.dumps(entry.meant, sort_keys=True)):
        raise JournalUnusable(None, "it was removed or replaced meanwhile")


def _entry(database: sqlite3.Connection, entry_id: int) -> Entry:
    found = _entries(database, "id = ?", entry_id)
    if not found:
        raise JournalUnusable(None, "an entry is not there any more")
    return found[0]


def _entries(database: sqlite3.Connection, where: str, *values: Any) -> list[Entry]:
    """The entries that a condition holds for, in the order in which they were meant."""
    rows = database.execute(
        "select id, chain, router, account, kind, meant, details, key, state, outcome, worker"
        f" from entries where {where} order by id",
        values,
    ).fetchall()
    signed = defaultdict(list)
    for entry_id, *transaction in database.execute(
        "select entry, hash, sender, nonce, raw from transactions"
        f" where entry in (select id from entries where {where}) order by entry, nonce, rowid",
        values,
    ):
        signed[entry_id].append(Signed(*transaction))
    return [
        Entry(
            id=entry_id,
            chain=chain,
            router=router,
            account=account,
            kind=kind,
            meant=json.loads(meant),
            details=json.loads(details),
            key=key,
            state=State(state),
            outcome=json.loads(outcome) if outcome else None,
            worker=worker,
            signed=tuple(signed[entry_id]),
        )
        for entry_id, chain, router, account, kind, meant, details, key, state, outcome, worker in (
            rows
        )
    ]


def _used(sender: str, nonce: int) -> str:
    """Where an entry's details have the block in which a nonce was seen to be used."""
    return f'$."{sender} has used {nonce}"'


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def _plain(meant: Mapping[str, Any]) -> Any:
    """As it comes back from the journal."""
    return json.loads(json.dumps(meant, sort_keys=True))
