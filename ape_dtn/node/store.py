"""What the processes of a node are at, and what they have answered, in SQLite.

One file for each node of a network on a chain. No key is ever in it.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import rpc
from ape_dtn.journal import process_lock
from ape_dtn.journal.database import open_database
from ape_dtn.node.answering import Result
from ape_dtn.node.errors import LedgerUnusable
from ape_dtn.types.answer import Status
from ape_dtn.types.rpc import as_bytes
from ape_dtn.types.transactions import Signed

if TYPE_CHECKING:
    from ape_dtn.network.context import Network


# Whoever changes the schema raises the version, and says what becomes of older files.
VERSION = 1
_SCHEMA = """
create table if not exists cursor (
    id integer primary key check (id = 0),
    place integer not null,
    before blob not null,
    terms blob not null
);
create table if not exists requests (
    id blob primary key,
    asked blob not null,
    worker text,
    status integer,
    message text,
    response blob,
    signed text,
    done integer
);
"""


@dataclass(frozen=True)
class Cursor:
    """Up to where all requests are settled, in the order in which the router has them.

    Attributes:
        place: How many they are.
        before: The id of the last of them, by which another list is told from this one; empty where
            there is none.
        terms: What the node took then, in short: under other terms others may be open.
    """

    position: int = 0
    before: bytes = b""
    terms: bytes = b""


@dataclass(frozen=True)
class StoredResult:
    """What is kept of a request.

    Attributes:
        result: What it is responded to with; None where no answer has come yet.
        signed: The response as it was signed last.
    """

    result: Result | None = None
    signed: Signed | None = None


class Ledger:
    """What is kept of the requests to one node.

    Args:
        path: The file; it is made where there is none. None to keep it in memory, where nobody
            shares it.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._database = _open_database(path)
        self._lock = threading.Lock()

    def cursor(self) -> Cursor:
        """The cursor that was saved last."""
        with self._transaction() as database:
            row = database.execute("select place, before, terms from cursor").fetchone()
        return Cursor(*row) if row else Cursor()

    def save_cursor(self, cursor: Cursor) -> None:
        """Saves the cursor."""
        with self._transaction() as database:
            database.execute(
                "insert or replace into cursor (id, place, before, terms) values (0, ?, ?, ?)",
                (cursor.position, cursor.before, cursor.terms),
            )

    def claim(self, asked: Mapping[bytes, bytes]) -> dict[bytes, StoredResult]:
        """Takes requests for this process, unless another one that is alive is at them.

        Args:
            asked: What is asked, in short, by the request's id. What was kept of another question
                under the same id does not count.

        Returns:
            Those that were taken, and what is kept of each.
        """
        taken = {}
        with self._transaction() as database:
            for request_id, question in asked.items():
                found = database.execute(
                    "select * from requests where id = ?", (request_id,)
                ).fetchone()
                if found and found["worker"] and self._is_claimed(found["worker"]):
                    continue
                if found and found["asked"] == question:
                    change = "update requests set worker = ?, done = null where id = ?"
                    database.execute(change, (self._process(), request_id))
                    taken[request_id] = _to_stored(found)
                else:
                    database.execute(
                        "insert or replace into requests (id, asked, worker) values (?, ?, ?)",
                        (request_id, question, self._process()),
                    )
                    taken[request_id] = StoredResult()
        return taken

    def save_result(self, request_id: bytes, result: Result) -> None:
        """Keeps an answer: it was paid for, and is not asked for again."""
        with self._transaction() as database:
            database.execute(
                "update requests set status = ?, message = ?, response = ?, signed = null"
                " where id = ?",
                (int(result.status), result.message, result.response, request_id),
            )

    def save_signed(self, signed: Mapping[bytes, Signed | None]) -> None:
        """Keeps responses as they were signed, before they are sent."""
        with self._transaction() as database:
            database.executemany(
                "update requests set signed = ? where id = ?",
                [(json.dumps(asdict(each)) if each else None, id) for id, each in signed.items()],
            )

    def mark_mined(self, request_id: bytes, when: int) -> None:
        """Keeps that its response was mined, at a time in seconds."""
        with self._transaction() as database:
            database.execute("update requests set done = ? where id = ?", (when, request_id))

    def mined_by_others(self, ids: Iterable[bytes]) -> dict[bytes, int]:
        """When requests were responded to by other processes, for those that were."""
        with self._transaction() as database:
            rows = [
                database.execute(
                    "select id, done from requests where id = ? and done is not null", (each,)
                ).fetchone()
                for each in ids
            ]
        return {row["id"]: row["done"] for row in rows if row}

    def remove(self, ids: Iterable[bytes]) -> None:
        """Keeps nothing more of requests."""
        with self._transaction() as database:
            database.executemany("delete from requests where id = ?", [(each,) for each in ids])

    def release(self) -> None:
        """Leaves what this process is at to whoever comes next; what was answered is kept."""
        with self._transaction() as database:
            database.execute(
                "delete from requests where worker = ? and status is null", (self._process(),)
            )
            database.execute(
                "update requests set worker = null where worker = ? and done is null",
                (self._process(),),
            )

    def clear(self) -> None:
        """Forgets everything."""
        with self._transaction() as database:
            database.execute("delete from cursor")
            database.execute("delete from requests")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is written inside, or nothing of it; one thread and one process at a time."""
        with self._lock:
            try:
                self._database.execute("begin immediate")
                try:
                    yield self._database
                except BaseException:
                    with suppress(sqlite3.Error):  # what went wrong matters more
                        self._database.execute("rollback")
                    raise
                self._database.execute("commit")
            except sqlite3.Error as err:
                raise LedgerUnusable(str(self.path), str(err)) from err

    def _process(self) -> str:
        return process_lock.own_name(_process_folder(self.path)) if self.path else "here"

    def _is_claimed(self, worker: str) -> bool:
        """Whether another process is there, and can finish what it has begun."""
        if self.path is None or worker == self._process():
            return False
        return process_lock.is_alive(_process_folder(self.path), worker)


def open_ledger(ai: Network, node_id: bytes) -> Ledger:
    """The ledger of a node on the connected chain, which is told from others by its first block.

    A chain within this process is gone with it, and so is the ledger.

    Raises:
        LedgerUnusable: The file cannot be used.
    """
    from ape.utils.basemodel import ManagerAccessMixin as access

    if ai.provider.http_uri is None:
        return Ledger()
    first = rpc.result(ai.provider, "eth_getBlockByNumber", ["0x0", False])["hash"]
    whose = sha256(as_bytes(first) + bytes.fromhex(ai.router[2:]) + node_id).hexdigest()
    folder = Path(access.config_manager.DATA_FOLDER) / "dtn" / "nodes"
    return Ledger(folder / f"{whose}.sqlite3")


def _process_folder(path: Path) -> Path:
    """Where the processes at work are known to be alive."""
    return path.parent / "at_work"


def _to_stored(row: Mapping[str, Any]) -> StoredResult:
    signed = Signed(**json.loads(row["signed"])) if row["signed"] else None
    if row["status"] is None:
        return StoredResult()
    return StoredResult(Result(Status(row["status"]), row["message"], row["response"]), signed)


def _open_database(path: Path | None) -> sqlite3.Connection:
    try:
        database = open_database(path, _SCHEMA, VERSION)
        # What is written outlives the process, however it ends; whatever a power cut takes from
        # the end of it is found on the chain.
        database.execute("pragma synchronous = normal")
    except (sqlite3.Error, OSError) as err:
        raise LedgerUnusable(str(path), str(err)) from err
    database.row_factory = sqlite3.Row
    return database
