"""The journal on disk: one SQLite file per user, which all processes share.

It holds the intent of each operation that moves money, the transactions that were signed for it,
and its outcome. It never holds a private key, but anyone who reads it can broadcast what is signed.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from ape_dtn.chain.finality import Block
from ape_dtn.journal import damage, process_lock
from ape_dtn.journal.database import is_damaged, open_database
from ape_dtn.journal.errors import JournalUnusable, KeyReused, OverLimit
from ape_dtn.types.amount import Amount
from ape_dtn.types.budgets import Limit
from ape_dtn.types.transactions import Signed

# Logs each step at debug level; the crash tests kill the process at these lines.
log = logging.getLogger("ape_dtn.journal")

# Raise it with every change of the schema, and migrate older files. The column ``meant`` is an
# entry's payload, and ``settled`` tells whether ``cost`` is what the chain has charged.
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

# Open entries with a transaction of a sender and nonce, signed here or handed over to the account.
_WITH_NONCE = (
    "chain = ? and state = 'open' and"
    " (id in (select entry from transactions where sender = ? and nonce = ?)"
    f" or (account = ? and {damage.field('details', '$.handed_over')} = ?))"
)

# SQL expressions for the fields in a budget's scope.
_SCOPES = {
    "account": "account",
    "day": "day",
    "model": damage.field("details", "$.model"),
    "router": "router",
    "session": "session",
}
# Entries whose cost is not in the state of a block yet.
_LATER_THAN = f"(state = 'open' or cast({damage.field('outcome', '$.block')} as integer) > ?)"

# The entries that this process has claimed. The file may claim more for it: those whose release
# could not be written.
_claims: set[tuple[Path | None, int]] = set()


class Step(Enum):
    """The latest record of an operation, as it is logged."""

    NOTED = "noted"
    """The intent."""
    SIGNED = "signed"
    """A signed transaction, before it is broadcast."""
    SENT = "sent"
    """A mined transaction, before the outcome is recorded."""
    DONE = "done"
    """The outcome."""


class State(Enum):
    """Status of an entry."""

    OPEN = "open"
    """It may have been sent, and its outcome is unknown."""
    DONE = "done"
    CANCELLED = "void"  # the stored value is older than the name
    """It had no effect, and never will."""


@dataclass(frozen=True)
class Entry:
    """One attempt of an operation that moves money.

    Attributes:
        id: Its number in the file.
        chain: Name of the chain, with the hash of its first block.
        router: The router's address.
        account: The signer.
        kind: The name of its :class:`ape_dtn.journal.operation.Operation`.
        payload: What was asked for. A repeated key has to come with the same payload.
        details: How it is executed.
        key: The user's idempotency key, if any.
        state: Its status.
        outcome: The fields of its event when done; the error when cancelled.
        worker: The process that has claimed it; None if none has.
        signed: The transactions that were signed for it.
    """

    id: int
    chain: str
    router: str
    account: str
    kind: str
    payload: Mapping[str, Any]
    details: Mapping[str, Any]
    key: str | None
    state: State
    outcome: Mapping[str, Any] | None
    worker: str | None
    signed: tuple[Signed, ...]


@dataclass(frozen=True)
class UnreadableEntry:
    """An entry with damaged columns.

    Attributes:
        id: Its number in the file.
        reason: What cannot be read.
        may_be_open: Whether it may not have ended.
        signed: Those of its transactions that can be read.
    """

    id: int
    reason: str
    may_be_open: bool
    signed: tuple[Signed, ...]


@dataclass(frozen=True)
class Spending:
    """The cost of a request, and the limits of its budgets.

    Attributes:
        max_cost: The most that it can cost.
        session: The session that pays.
        model: The model that is asked, by its full name.
        limits: The limits of its budgets.
    """

    max_cost: Amount
    session: str
    model: str | None = None
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True)
class Intent:
    """An operation to be recorded, with the fields of its :class:`Entry` and what it can cost."""

    kind: str
    payload: Mapping[str, Any]
    details: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    spending: Spending | None = None


class Journal:
    """The journal of one chain, router and account.

    Args:
        path: The file, which is created if it is missing; None for a journal in memory.
        chain: Name of the chain, with the hash of its first block.
        router: The router's address.
        account: The signer.
        head: The chain's latest block when the journal was opened.
    """

    def __init__(
        self, path: Path | None, chain: str, router: str, account: str, head: int = 0
    ) -> None:
        self.path, self.head = path, head
        self.chain, self.router, self.account = chain, router, account

    def record_intents(self, intents: Sequence[Intent]) -> list[Entry]:
        """Records intents, all or none, and claims their entries for this process.

        Raises:
            OverLimit: With all earlier costs, a budget could be exceeded.
            KeyReused: A key is in use.
            JournalUnusable: An entry cannot be read that may count in a budget, or have a key.
        """
        with self._writing() as database:
            self._check_readable(database, *(intent.spending for intent in intents))
            entries = [self._insert(database, intent) for intent in intents]
            _claims.update((self.path, entry.id) for entry in entries)
        log.debug(Step.NOTED.value)
        return entries

    def find(self, key: str, kind: str, payload: Mapping[str, Any]) -> Entry | None:
        """The open or done entry with a key.

        Raises:
            KeyReused: It has another kind or payload.
        """
        found = self.by_key(key)
        if found is None or found.state is State.CANCELLED:
            return None
        if (found.kind, found.payload) != (kind, _through_json(payload)):
            raise KeyReused(key, found.kind)
        return found

    def by_key(self, key: str) -> Entry | None:
        """The entry with a key, in any state."""
        with self._reading() as database:
            return self._by_key(database, key)

    def record_signed(self, entries: Mapping[int, Entry], signed: Mapping[int, Signed]) -> None:
        """Records signed transactions, by the position of their entry, before they are broadcast.

        Raises:
            JournalUnusable: An entry is missing: the file was removed meanwhile.
        """
        with self._writing() as database:
            for place in signed:
                _check_unchanged(database, entries[place])
            database.executemany(
                "insert or ignore into transactions (entry, hash, sender, nonce, raw)"
                " values (?, ?, ?, ?, ?)",
                [
                    (entries[place].id, txn.hash, txn.sender, txn.nonce, txn.raw)
                    for place, txn in signed.items()
                ],
            )
        log.debug(Step.SIGNED.value)

    def end(self, entry: Entry, state: State, outcome: Mapping[str, Any]) -> None:
        """Records the outcome and releases the claim."""
        if state is State.DONE:
            log.debug(Step.SENT.value)
        with self._releasing(entry) as database:
            _check_unchanged(database, entry)
            database.execute(
                "update entries set state = ?, outcome = ?, worker = null where id = ?",
                (state.value, json.dumps(outcome), entry.id),
            )
        log.debug(Step.DONE.value)

    def update_details(self, entry: Entry, details: Mapping[str, Any]) -> Entry:
        """Adds to the details of an entry, or replaces some, and returns it as it is then."""
        with self._writing() as database:
            database.execute(
                "update entries set details = ? where id = ?",
                (json.dumps({**entry.details, **details}), entry.id),
            )
            return _entry(database, entry.id)

    def reopen(self, entry: Entry) -> None:
        """Reopens a done entry whose transaction a reorganisation removed."""
        with self._writing() as database:
            change = "update entries set state = ?, outcome = null where id = ?"
            database.execute(change, (State.OPEN.value, entry.id))

    def claim(self, entry: Entry) -> Entry | None:
        """Claims an open entry for this process, and returns it as it is now.

        None if it has ended, or if another living process has claimed it.
        """
        found: Entry | None = None
        try:
            with self._writing() as database:
                if self.is_claimed(entry):  # inside the transaction, against other threads
                    return None
                claimed = database.execute(
                    "update entries set worker = ? where id = ? and worker is ? and state = 'open'",
                    (self._me(), entry.id, entry.worker),
                )
                if claimed.rowcount == 1:
                    found = _entry(database, entry.id)
                    _claims.add((self.path, entry.id))
        except BaseException:
            if found is not None:
                self.drop_claim(found)
            raise
        return found

    def release(self, entry: Entry) -> None:
        """Releases the claim on an entry, and leaves it open."""
        with self._releasing(entry) as database:
            database.execute(
                "update entries set worker = null where id = ? and worker = ?",
                (entry.id, self._me()),
            )

    def drop_claim(self, entry: Entry) -> None:
        """Releases the claim in this process alone, as when the file cannot be written."""
        _claims.discard((self.path, entry.id))

    def entry(self, entry_id: int) -> Entry:
        """The entry as it is now."""
        with self._reading() as database:
            return _entry(database, entry_id)

    def entries(self, *states: State) -> list[Entry]:
        """The account's entries in these states that can be read, oldest first."""
        marks = ", ".join("?" * len(states))
        where = f"chain = ? and account = ? and router = ? and state in ({marks})"
        values = (self.chain, self.account, self.router, *(state.value for state in states))
        with self._reading() as database:
            return _readable(_entries(database, where, *values))

    def unreadable(self) -> list[UnreadableEntry]:
        """The entries that cannot be read, and may be the account's, oldest first."""
        where = " and ".join(map(damage.may_be, ("chain", "account", "router")))
        with self._reading() as database:
            return [
                entry
                for entry in _entries(database, where, self.chain, self.account, self.router)
                if isinstance(entry, UnreadableEntry)
            ]

    def error_of(self, *entries: UnreadableEntry) -> JournalUnusable:
        """The error that names unreadable entries."""
        reasons = "; ".join(entry.reason for entry in entries)
        return JournalUnusable(str(self.path or "") or None, reasons, is_damaged=True)

    def by_key_or_id(self, name: str) -> Entry | None:
        """The entry with a key, or else with an id.

        Raises:
            JournalUnusable: It cannot be read.
        """
        if found := self.by_key(name):
            return found
        for unreadable in self.unreadable():
            if str(unreadable.id) == name:
                raise self.error_of(unreadable)
        return next((entry for entry in self.entries(*State) if str(entry.id) == name), None)

    def outstanding(
        self, address: str, but_for: Collection[int]
    ) -> list[tuple[Entry | UnreadableEntry, Signed]]:
        """The transactions of open entries that a sender signed, or that were signed for a Safe.

        Those of unreadable entries count, too: nothing else may get their nonces unnoticed.
        """
        with self._reading() as database:
            found = _entries(
                database,
                "chain = ? and state not in ('done', 'void') and (account = ? or id in"
                " (select entry from transactions where sender = ?))",
                self.chain,
                address,
                address,
            )
        return [(entry, txn) for entry in found if entry.id not in but_for for txn in entry.signed]

    def highest_block(self) -> int:
        """The newest block of the chain that any entry mentions, or the head at opening."""
        with self._reading() as database:
            found = database.execute(
                f"select max(cast({damage.field('details', '$.from_block')} as integer)),"
                f" max(cast({damage.field('outcome', '$.block')} as integer))"
                f" from entries where chain = ? and {damage.COLUMN} is null",
                (self.chain,),
            ).fetchone()
        return max(self.head, *(block or 0 for block in found))

    def used_nonces(self, sender: str) -> int:
        """A lower bound of a sender's used nonces, from the transactions of done entries."""
        with self._reading() as database:
            (highest,) = database.execute(
                "select max(nonce) from transactions join entries on entries.id = entry"
                " where chain = ? and sender = ? and state = 'done' and typeof(nonce) = 'integer'"
                f" and hash = {damage.field('outcome', '$.transaction')}",
                (self.chain, sender),
            ).fetchone()
        return 0 if highest is None else int(highest) + 1

    def seen_used(self, sender: str, nonce: int) -> Block | None:
        """The block in which a nonce was first found used, if :meth:`note_used` recorded it."""
        with self._reading() as database:
            found = database.execute(
                f"select {damage.field('details')} from entries where {_WITH_NONCE}"
                f" and {damage.field('details')} is not null",
                (_used_path(sender, nonce), *self._nonce(sender, nonce), _used_path(sender, nonce)),
            ).fetchone()
        return Block(*json.loads(found[0])) if found else None

    def note_used(self, sender: str, nonce: int, block: Block) -> None:
        """Records the block in which a nonce was first found used."""
        with self._writing() as database:
            database.execute(
                f"update entries set details = json_set(details, ?, json(?)) where {_WITH_NONCE}"
                " and json_valid(details)",
                (
                    _used_path(sender, nonce),
                    json.dumps([block.number, block.hash]),
                    *self._nonce(sender, nonce),
                ),
            )

    def _nonce(self, sender: str, nonce: int) -> tuple[str | int, ...]:
        return self.chain, sender, nonce, sender, nonce

    def is_claimed(self, entry: Entry) -> bool:
        """Whether a living process has claimed the entry."""
        if entry.worker == self._me():
            return (self.path, entry.id) in _claims
        return entry.worker is not None and self._is_alive(entry.worker)

    def unreconciled(self) -> list[Entry]:
        """Done requests of all accounts that still count with their maximum cost.

        Unreadable ones are left out, and keep it.
        """
        with self._reading() as database:
            return _readable(
                _entries(
                    database,
                    "chain = ? and router = ? and state = 'done'"
                    " and cost is not null and not settled",
                    self.chain,
                    self.router,
                )
            )

    def reconcile(self, costs: Mapping[str, int]) -> None:
        """Records what requests have cost, by request id, in units of the fee token."""
        with self._writing() as database:
            database.executemany(
                "update entries set cost = ?, settled = 1 where chain = ? and state = 'done'"
                f" and {damage.field('outcome', '$.request')} = ?",
                [(str(units), self.chain, request_id) for request_id, units in costs.items()],
            )

    def check_limits(self, spending: Spending) -> None:
        """Checks the budgets for a cost in addition to all recorded ones.

        Raises:
            OverLimit: A budget could be exceeded.
            JournalUnusable: An entry that may count in a budget cannot be read.
        """
        with self._reading() as database:
            self._check_readable(database, spending)
            self._check_limits(database, spending, _today())

    def _insert(self, database: sqlite3.Connection, intent: Intent) -> Entry:
        if intent.key is not None and (found := self._by_key(database, intent.key)):
            if found.state is not State.CANCELLED:
                raise KeyReused(intent.key, found.kind)
            database.execute("update entries set key = null where id = ?", (found.id,))
        day, spending = _today(), intent.spending
        if spending is not None:
            self._check_limits(database, spending, day)
        cursor = database.execute(
            "insert into entries (chain, router, account, kind, meant, details, key, state, worker,"
            " day, session, token, cost) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.chain,
                self.router,
                self.account,
                intent.kind,
                json.dumps(intent.payload, sort_keys=True),
                json.dumps(intent.details),
                intent.key,
                State.OPEN.value,
                self._me(),
                day,
                spending and spending.session,
                spending and spending.max_cost.token.address,
                spending and str(spending.max_cost.units),
            ),
        )
        assert cursor.lastrowid is not None
        return _entry(database, cursor.lastrowid)

    def _check_readable(self, database: sqlite3.Connection, *spending: Spending | None) -> None:
        """Checks that no unreadable entry of any account may count in a budget."""
        if not any(checked and checked.limits for checked in spending):
            return
        where = f"{damage.COLUMN} is not null and {damage.may_be('chain')} and state is not 'void'"
        found = _entries(database, where, self.chain)
        if unreadable := [entry for entry in found if isinstance(entry, UnreadableEntry)]:
            raise self.error_of(*unreadable)

    def _check_limits(self, database: sqlite3.Connection, spending: Spending, day: str) -> None:
        """Checks the limits. Costs are summed here: as text, they exceed SQLite's integers."""
        max_cost, token = spending.max_cost, spending.max_cost.token
        scopes = {
            "account": self.account,
            "day": day,
            "model": spending.model,
            "router": self.router,
            "session": spending.session,
        }
        for limit in spending.limits:
            budget, where = limit.budget, "chain = ? and token = ? and state != 'void'"
            values: list[Any] = [self.chain, token.address]
            for name in budget.scope:
                where += f" and {_SCOPES[name]} = ?"
                values.append(scopes[name])
            if limit.as_of:
                where += f" and {_LATER_THAN}"
                values.append(limit.as_of)
            rows = database.execute(f"select cost from entries where {where}", values)
            spent = sum(int(row[0]) for row in rows) + (limit.spent.units if limit.spent else 0)
            total = token.units(max_cost.units + spent)
            if total > limit.amount:
                subject = budget.subject.format(**scopes)
                raise OverLimit(subject, limit.amount, total, budget.name)

    def _by_key(self, database: sqlite3.Connection, key: str) -> Entry | None:
        where = " and ".join(map(damage.may_be, ("chain", "router", "account", "key")))
        found = _entries(database, where, self.chain, self.router, self.account, key)
        for entry in found:
            if isinstance(entry, UnreadableEntry):
                raise self.error_of(entry)
            return entry
        return None

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
        """One transaction of the database, which excludes those of all other processes."""
        with _opened(self.path) as database:
            database.execute("begin immediate")
            try:
                yield database
            except BaseException:
                with suppress(sqlite3.Error):  # the first error matters more
                    database.execute("rollback")
                raise
            database.execute("commit")

    @contextmanager
    def _releasing(self, entry: Entry) -> Iterator[sqlite3.Connection]:
        """A transaction that releases the claim, which this process drops even if it fails.

        The claim is dropped before the commit, so that the next claimant finds the entry free.
        """
        try:
            with self._writing() as database:
                yield database
                self.drop_claim(entry)
        except BaseException:
            self.drop_claim(entry)
            raise


_in_memory: list[sqlite3.Connection] = []


@contextmanager
def _opened(path: Path | None) -> Iterator[sqlite3.Connection]:
    if path is None:
        if not _in_memory:
            _in_memory.append(open_database(None, _SCHEMA, VERSION))
        yield _in_memory[0]
        return
    try:
        database = open_database(path, _SCHEMA, VERSION)
        # A commit returns once it is on the disk: nothing is broadcast before it is recorded.
        database.execute("pragma synchronous = full")
    except (sqlite3.Error, OSError) as err:
        raise JournalUnusable(str(path), str(err), is_damaged(err)) from err
    database.text_factory = damage.read_text
    try:
        yield database
    except sqlite3.Error as err:
        raise JournalUnusable(str(path), str(err), is_damaged(err)) from err
    finally:
        database.close()


def _check_unchanged(database: sqlite3.Connection, entry: Entry) -> None:
    """Checks that the file was not removed or replaced since the entry was recorded."""
    found = database.execute(
        "select account, meant from entries where id = ?", (entry.id,)
    ).fetchone()
    if found != (entry.account, json.dumps(entry.payload, sort_keys=True)):
        raise JournalUnusable(None, "it was removed or replaced meanwhile")


def _entry(database: sqlite3.Connection, entry_id: int) -> Entry:
    found = _entries(database, "id = ?", entry_id)
    if not found:
        raise JournalUnusable(None, f"entry {entry_id} is missing")
    if isinstance(found[0], UnreadableEntry):
        raise JournalUnusable(None, found[0].reason, is_damaged=True)
    return found[0]


def _readable(entries: Iterable[Entry | UnreadableEntry]) -> list[Entry]:
    return [entry for entry in entries if isinstance(entry, Entry)]


def _entries(
    database: sqlite3.Connection, where: str, *values: Any
) -> list[Entry | UnreadableEntry]:
    rows = database.execute(
        "select id, chain, router, account, kind, meant, details, key, state, outcome, worker,"
        f" {damage.COLUMN} from entries where {where} order by id",
        values,
    ).fetchall()
    signed: dict[int, list[Signed]] = defaultdict(list)
    for entry_id, *transaction in database.execute(
        f"select entry, hash, sender, nonce, raw from transactions where {damage.READABLE_SIGNED}"
        f" and entry in (select id from entries where {where}) order by entry, nonce, rowid",
        values,
    ):
        signed[entry_id].append(Signed(*transaction))
    return [_to_entry(row, signed[row[0]]) for row in rows]


def _to_entry(row: tuple[Any, ...], signed: Sequence[Signed]) -> Entry | UnreadableEntry:
    entry_id, chain, router, account, kind, payload, details, key, state, outcome, worker, bad = row
    may_be_open = state not in (State.DONE.value, State.CANCELLED.value)
    if bad is None and any(isinstance(value, bytes) for value in row):
        bad = "text that is not UTF-8"
    if bad is not None:
        reason = f"entry {entry_id} has an unreadable field ({bad})"
        return UnreadableEntry(entry_id, reason, may_be_open, tuple(signed))
    try:
        return Entry(
            id=entry_id,
            chain=chain,
            router=router,
            account=account,
            kind=kind,
            payload=damage.Fields(entry_id, json.loads(payload)),
            details=damage.Fields(entry_id, json.loads(details)),
            key=key,
            state=State(state),
            outcome=damage.Fields(entry_id, json.loads(outcome)) if outcome else None,
            worker=worker,
            signed=tuple(signed),
        )
    except (ValueError, RecursionError) as err:  # JSON that SQLite reads and Python does not
        reason = f"entry {entry_id} has an unreadable field ({err})"
        return UnreadableEntry(entry_id, reason, may_be_open, tuple(signed))


def _used_path(sender: str, nonce: int) -> str:
    """The JSON path of an entry's details that :meth:`Journal.note_used` writes."""
    return f'$."{sender} has used {nonce}"'


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def _through_json(payload: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(payload, sort_keys=True))
