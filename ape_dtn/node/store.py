"""A node's ledger in SQLite: the requests its processes have claimed, and their answers.

One file per node, network and chain. It never holds a key.
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


# Raise the version with every change of the schema, and decide what happens to older files.
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
    """The position in the router's list of requests before which everything is settled.

    Attributes:
        position: Number of settled requests.
        before: Id of the last settled request, to detect that the list has changed; empty if none.
        terms: Fingerprint of the node's terms. Under other terms, earlier requests may be open.
    """

    position: int = 0
    before: bytes = b""
    terms: bytes = b""


@dataclass(frozen=True)
class StoredResult:
    """What the ledger holds for a request.

    Attributes:
        result: The response's content; None if there is no answer yet.
        signed: The response transaction that was signed last.
    """

    result: Result | None = None
    signed: Signed | None = None


class Ledger:
    """The claims and answers of one node.

    Args:
        path: The file, which is created if missing; None for an in-memory ledger, which no other
            process shares.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._database = _open_database(path)
        self._lock = threading.Lock()

    def cursor(self) -> Cursor:
        """Load the saved cursor."""
        with self._transaction() as database:
            row = database.execute("select place, before, terms from cursor").fetchone()
        return Cursor(*row) if row else Cursor()

    def save_cursor(self, cursor: Cursor) -> None:
        """Save the cursor."""
        with self._transaction() as database:
            database.execute(
                "insert or replace into cursor (id, place, before, terms) values (0, ?, ?, ?)",
                (cursor.position, cursor.before, cursor.terms),
            )

    def claim(self, fingerprints: Mapping[bytes, bytes]) -> dict[bytes, StoredResult]:
        """Claim requests for this process, except those that another live process has claimed.

        Args:
            fingerprints: Fingerprint of each request's question, by request id. What is stored
                under the same id for another question is discarded.

        Returns:
            The claimed requests, with what was stored for each.
        """
        claimed = {}
        with self._transaction() as database:
            for request_id, fingerprint in fingerprints.items():
                row = database.execute(
                    "select * from requests where id = ?", (request_id,)
                ).fetchone()
                if row and row["worker"] and self._is_claimed(row["worker"]):
                    continue
                if row and row["asked"] == fingerprint:
                    change = "update requests set worker = ?, done = null where id = ?"
                    database.execute(change, (self._process(), request_id))
                    claimed[request_id] = _to_stored(row)
                else:
                    database.execute(
                        "insert or replace into requests (id, asked, worker) values (?, ?, ?)",
                        (request_id, fingerprint, self._process()),
                    )
                    claimed[request_id] = StoredResult()
        return claimed

    def save_result(self, request_id: bytes, result: Result) -> None:
        """Save an answer before it is sent: it was paid for, and must not be asked for again."""
        with self._transaction() as database:
            database.execute(
                "update requests set status = ?, message = ?, response = ?, signed = null"
                " where id = ?",
                (int(result.status), result.message, result.response, request_id),
            )

    def save_signed(self, signed: Mapping[bytes, Signed | None]) -> None:
        """Save signed responses before they are broadcast."""
        with self._transaction() as database:
            database.executemany(
                "update requests set signed = ? where id = ?",
                [
                    (json.dumps(asdict(transaction)) if transaction else None, id)
                    for id, transaction in signed.items()
                ],
            )

    def mark_mined(self, request_id: bytes, when: int) -> None:
        """Record that a request's response was mined, with the block's Unix time."""
        with self._transaction() as database:
            database.execute("update requests set done = ? where id = ?", (when, request_id))

    def mined_by_others(self, ids: Iterable[bytes]) -> dict[bytes, int]:
        """The Unix times at which responses of other processes were mined, by request."""
        with self._transaction() as database:
            rows = [
                database.execute(
                    "select id, done from requests where id = ? and done is not null", (request_id,)
                ).fetchone()
                for request_id in ids
            ]
        return {row["id"]: row["done"] for row in rows if row}

    def remove(self, ids: Iterable[bytes]) -> None:
        """Delete everything stored for these requests."""
        with self._transaction() as database:
            database.executemany(
                "delete from requests where id = ?", [(request_id,) for request_id in ids]
            )

    def release(self) -> None:
        """Release this process's claims. Answers are kept."""
        with self._transaction() as database:
            database.execute(
                "delete from requests where worker = ? and status is null", (self._process(),)
            )
            database.execute(
                "update requests set worker = null where worker = ? and done is null",
                (self._process(),),
            )

    def clear(self) -> None:
        """Delete all claims, answers and the cursor."""
        with self._transaction() as database:
            database.execute("delete from cursor")
            database.execute("delete from requests")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Open a database transaction that excludes other threads and processes."""
        with self._lock:
            try:
                self._database.execute("begin immediate")
                try:
                    yield self._database
                except BaseException:
                    with suppress(sqlite3.Error):  # report the original error instead
                        self._database.execute("rollback")
                    raise
                self._database.execute("commit")
            except sqlite3.Error as err:
                raise LedgerUnusable(str(self.path), str(err)) from err

    def _process(self) -> str:
        return process_lock.own_name(_process_folder(self.path)) if self.path else "here"

    def _is_claimed(self, worker: str) -> bool:
        if self.path is None or worker == self._process():
            return False
        return process_lock.is_alive(_process_folder(self.path), worker)


def open_ledger(ai: Network, node_id: bytes) -> Ledger:
    """Open the ledger of a node on the connected chain, which its genesis hash identifies.

    On Ape's in-process chain, which ends with the process, the ledger is in memory.

    Raises:
        LedgerUnusable: The file cannot be opened.
    """
    from ape.utils.basemodel import ManagerAccessMixin as access

    if ai.provider.http_uri is None:
        return Ledger()
    genesis = rpc.result(ai.provider, "eth_getBlockByNumber", ["0x0", False])["hash"]
    name = sha256(as_bytes(genesis) + bytes.fromhex(ai.router[2:]) + node_id).hexdigest()
    folder = Path(access.config_manager.DATA_FOLDER) / "dtn" / "nodes"
    return Ledger(folder / f"{name}.sqlite3")


def _process_folder(path: Path) -> Path:
    return path.parent / "at_work"


def _to_stored(row: Mapping[str, Any]) -> StoredResult:
    signed = Signed(**json.loads(row["signed"])) if row["signed"] else None
    if row["status"] is None:
        return StoredResult()
    return StoredResult(Result(Status(row["status"]), row["message"], row["response"]), signed)


def _open_database(path: Path | None) -> sqlite3.Connection:
    try:
        database = open_database(path, _SCHEMA, VERSION)
        # Committed writes survive a killed process. If a power cut loses some, the node recovers
        # from the chain.
        database.execute("pragma synchronous = normal")
    except (sqlite3.Error, OSError) as err:
        raise LedgerUnusable(str(path), str(err)) from err
    database.row_factory = sqlite3.Row
    return database
