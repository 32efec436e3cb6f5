"""Scans the chain for responses to requests, and for the close of their session.

A poll is one HTTP request of two RPC calls, however many requests are watched: the latest block,
and the network's events of the latest blocks. One more HTTP request reads the new responses
(``router.getRequest``).

Each poll reads a window of blocks again, so that it follows reorganisations. Each response is
delivered once: it is remembered by its request and its transaction.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

from eth_utils import keccak

from ape_dtn.answers.errors import InvalidCursor
from ape_dtn.chain import reads, rpc, views
from ape_dtn.chain.errors import RpcRefused
from ape_dtn.chain.reads import Call, topic
from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.network.client_contract import client_of
from ape_dtn.network.context import Network
from ape_dtn.network.errors import SessionNotFound
from ape_dtn.network.requests import Record, record_call, to_record
from ape_dtn.network.sessions import exists, session_call
from ape_dtn.types.abi import Log
from ape_dtn.types.answer import Status
from ape_dtn.types.ids import as_hex
from ape_dtn.types.rpc import Failure, Request, as_bytes, as_int

# How many of the latest blocks each poll reads again: as deep as a reorganisation may go.
WINDOW = 64

# How many records are read in one HTTP request.
READ_TOGETHER = 200

# How many alternatives a topic may have: some endpoints allow no more.
MOST_ALTERNATIVES = 500

# How many delivered responses a cursor remembers.
MOST_REMEMBERED = 1000

_LATEST: Request = ("eth_getBlockByNumber", ["latest", False])
_GENESIS: Request = ("eth_getBlockByNumber", ["0x0", False])
_CREATED, _COMPLETED = Router.request_created.topic, Router.request_completed.topic
_STARTED, _CLOSED = SessionManager.session_started.topic, SessionManager.session_closed.topic
_EVENTS = [_CREATED, _COMPLETED, _STARTED, _CLOSED]


@dataclass(frozen=True)
class ResponseEvent:
    """A response to a request, or the close of its session without one.

    Attributes:
        request_id: The request.
        block: Its block, or a later one where it was found by the request's record.
        transaction: Its transaction; None if it was found by the request's record.
        is_close: Whether it is the close of the session.
    """

    request_id: bytes
    block: int
    transaction: str | None
    is_close: bool = False

    @property
    def key(self) -> str:
        """A short hash that identifies it in a cursor."""
        return keccak(self.request_id + (self.transaction or "").encode())[:8].hex()


@dataclass(frozen=True)
class Cursor:
    """Where a watch resumes. The names of its fields are those of the JSON that users save.

    Attributes:
        chain: Hash of the chain's first block.
        router: The router's address.
        of: The session or owner that is watched.
        block: The first block to read.
        given: Keys of the response events from that block on that were delivered.
    """

    chain: str
    router: str
    of: str
    block: int
    given: list[str]

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Parses a cursor.

        Raises:
            InvalidCursor: The text is malformed.
        """
        with contextlib.suppress(ValueError, TypeError):
            cursor = cls(**json.loads(text))
            if cursor.block >= 0 and all(isinstance(key, str) for key in cursor.given):
                return cursor
        raise InvalidCursor("it is malformed")

    def __str__(self) -> str:
        return json.dumps(asdict(self))


class LogScanner:
    """Finds the response events of a session, an owner or some requests, in the chain's order.

    Exactly one of session, owner and requests is given.

    Args:
        ai: The network.
        session: The session's id.
        owner: The checksummed address that started the sessions, itself or by its client contract.
        requests: Ids of the requests.
        since: A cursor's text, ``"now"``, or None for all since the start of the session.
        confirmations: How many blocks have to follow an event's block.
    """

    def __init__(
        self,
        ai: Network,
        session: int | None,
        owner: str | None,
        requests: Sequence[bytes] | None,
        since: str | None,
        confirmations: int,
    ) -> None:
        self.ai = ai
        self._session, self._owner, self._requests = session, owner, requests
        # The addresses that can own the owner's sessions on the chain.
        self._owners = () if owner is None else (owner, client_of(owner))
        self._since = since
        self._confirmations = confirmations
        self._oldest: tuple[int, int] | None = None  # number and time of the first block seen
        self._block_time: float | None = None
        self._managers: list[str] = []  # every session manager that the router is known to have had
        self._session_manager: str | None = None  # that of the watched session
        self._reset()

    def _reset(self) -> None:
        self._next: int | None = None  # the first block of the next poll; None before the first
        self._first = 0  # events before this block are not delivered
        self._head = self._confirmed = 0  # the latest block, and the latest with confirmations
        self._chain = ""
        self._is_closed = False
        # The starts of watched sessions, by id and session manager.
        self._starts: dict[int, dict[str, Log]] = {}
        # Ids of other owners' sessions, and of sessions whose start was not seen yet.
        self._others: set[int] = set()
        self._unknown: set[int] = set()
        # The watched requests, each with the session manager and the session that pay for it.
        self._watched: dict[bytes, tuple[str, int] | None] = {}
        self._answered: set[bytes] = set()
        # By key: events to deliver, and the blocks of delivered ones.
        self._undelivered: dict[str, ResponseEvent] = {}
        self._delivered: dict[str, int] = {}
        # Events that were found by their records, which need not be read again.
        self._found: list[tuple[ResponseEvent, Record]] = []

    @property
    def block_time(self) -> float:
        """Seconds between two blocks: measured, or as Ape configures the network."""
        measured = self._block_time
        return self.ai.provider.network.block_time if measured is None else measured

    @property
    def is_finished(self) -> bool:
        """Whether everything was delivered, and no more events can come."""
        if not self.has_polled or self._undelivered:
            return False
        return self._is_closed or (self._requests is not None and not self._watched)

    @property
    def has_polled(self) -> bool:
        """Whether there was a poll since it started, or started over."""
        return self._next is not None

    @property
    def cursor(self) -> str | None:
        """Where another scanner resumes; None for requests, or before the first poll."""
        if self._next is None:
            return None if self._since == "now" else self._since
        if self._requests is not None:
            return None
        first = self._next
        blocks = sorted(block for block in self._delivered.values() if block >= first)
        if len(blocks) > MOST_REMEMBERED:
            first = blocks[-MOST_REMEMBERED]
        first = min([first, *(event.block for event in self._undelivered.values())])
        delivered = [key for key, block in self._delivered.items() if block >= first]
        return str(Cursor(self._chain, self.ai.router, self._of, first, delivered))

    @property
    def _of(self) -> str:
        if self._owner is not None:
            return f"owner {self._owner}"
        return f"session {self._session} of {self._session_manager}"

    def poll(self) -> None:
        """Reads the new events.

        Raises:
            SessionNotFound, InvalidCursor: At the first poll.
            NoNetwork: The endpoint failed. The next poll reads the same blocks.
        """
        if self._next is None:
            self._begin()
            return
        addresses = [self.ai.router, *self._managers]
        blocks = {"fromBlock": hex(self._next), "toBlock": "latest"}
        query = {"address": addresses, "topics": [_EVENTS], **blocks}
        requests: list[Request] = [_LATEST, ("eth_getLogs", [query])]
        latest, found = rpc.ask(self.ai.provider, requests, as_one=True)
        head = rpc.expect(latest)
        views.check(self.ai.provider, as_int(head["number"]), "eth_getLogs")
        self._update_head(head)
        if isinstance(found, Failure):  # for example, too many blocks after a long pause
            logs = self._logs(addresses, [_EVENTS], self._next)
        else:
            logs = [reads.to_log(raw) for raw in found]
        for log in sorted(logs, key=_position):
            self._apply(log)
        if self._head < self._next:  # a local chain was reset
            self._next = 0
        self._move_window()
        if self._unknown:
            self._resolve_unknown()

    def read(self) -> list[tuple[ResponseEvent, Record]]:
        """Reads the records of undelivered events, as many as one HTTP request takes.

        Raises:
            NoNetwork: The endpoint failed.
        """
        found, self._found = self._found, []
        events = [] if found else list(islice(self._undelivered.values(), READ_TOGETHER))
        if not events:
            return found
        manager, *records = self._read([event.request_id for event in events])
        if manager not in self._managers and self._requests is None:
            self._start_over()
            return []
        for event, record in zip(events, records, strict=True):
            if record and event.is_close == (record.status is Status.PENDING):
                found.append((event, record))
                continue
            del self._undelivered[event.key]
            if event.is_close:  # the request was answered before
                self._delivered[event.key] = event.block
            else:  # a reorganisation has removed it; the next poll finds its successor
                self._answered.discard(event.request_id)
        return found

    def mark_delivered(self, event: ResponseEvent) -> None:
        """Remembers an event, so that it is not delivered again."""
        self._undelivered.pop(event.key, None)
        self._delivered[event.key] = event.block
        if self._requests is not None:
            self._watched.pop(event.request_id, None)

    def _begin(self) -> None:
        self._reset()  # an earlier attempt may have failed halfway
        latest, genesis = rpc.ask(self.ai.provider, [_LATEST, _GENESIS])
        self._update_head(rpc.expect(latest))
        self._chain = as_hex(as_bytes(rpc.expect_found(genesis)["hash"]))
        if self._requests is not None:
            self._begin_with_requests(self._requests)
        else:
            self._begin_with_sessions()
        self._move_window()

    def _begin_with_requests(self, requests: Sequence[bytes]) -> None:
        if self._confirmed <= self.ai.deployment.first_block:
            raise RpcRefused("eth_call", "the chain has fewer blocks than the confirmations need")
        manager, *records = self._read(requests)
        self._managers = [manager]
        known = {
            request_id: record
            for request_id, record in zip(requests, records, strict=True)
            if record
        }
        sessions = {
            record.session_id for record in known.values() if record.status is Status.PENDING
        }
        calls = [
            replace(session_call(manager, session), block=self._confirmed) for session in sessions
        ]
        owners = [owner for owner, _ in self.ai.read(*calls)]
        closed = {
            session for session, owner in zip(sessions, owners, strict=True) if not exists(owner)
        }
        for request_id in requests:
            record = known.get(request_id)
            self._watched[request_id] = (manager, record.session_id) if record else None
            is_pending = record is None or record.status is Status.PENDING
            if record and (not is_pending or record.session_id in closed):
                event = ResponseEvent(request_id, self._confirmed, None, is_close=is_pending)
                self._undelivered[event.key] = event
                self._found.append((event, record))

    def _begin_with_sessions(self) -> None:
        current = self.ai.read_one(self._manager_call)
        known = [current, *self._managers, *self.ai.deployment.session_managers]
        self._managers = list(dict.fromkeys(known))
        first = self.ai.deployment.first_block
        if self._session is None:
            sessions = self._sessions_of_owner(first)
        elif 0 <= self._session < 2**256:
            sessions = [self._session]
        else:
            raise SessionNotFound(self._session)
        topics = [[_STARTED, _CLOSED], _any_of(map(topic, sessions))]
        session_logs = self._logs(self._managers, topics, first, sessions)
        starts = [log for log in session_logs if SessionManager.session_started.matches(log)]
        for log in starts:
            self._apply(log)
        if self._session is not None and not starts:
            raise SessionNotFound(self._session)
        if self._session is not None and self._session_manager is None:
            self._session_manager = starts[-1].address
        first_start = min((log.block_number for log in starts), default=self._head)
        created = [_CREATED, None, _any_of(map(topic, sessions))]
        for log in self._logs(self.ai.router, created, first_start, sessions):
            self._apply(log)
        if self._since is None:
            self._first = first_start
        elif self._since == "now":
            self._first = max(self._confirmed - WINDOW, 0)
        else:
            self._resume(Cursor.parse(self._since))
        completed = [_COMPLETED, _any_of(map(as_hex, self._watched))]
        answers = self._logs(self.ai.router, completed, self._first, self._watched)
        for log in sorted([*session_logs, *answers], key=_position):
            self._apply(log)
        if self._since == "now":
            for event in list(self._undelivered.values()):
                self.mark_delivered(event)

    def _sessions_of_owner(self, first: int) -> list[int]:
        owners = ["0x" + owner[2:].lower().rjust(64, "0") for owner in self._owners]
        started = self._logs(self._managers, [_STARTED, None, owners], first)
        return list({_number(log.topics[1]) for log in started})

    def _resume(self, cursor: Cursor) -> None:
        for what, saved, own in (
            ("another chain", cursor.chain, self._chain),
            ("another router", cursor.router, self.ai.router),
            (cursor.of, cursor.of, self._of),
        ):
            if saved != own:
                raise InvalidCursor(f"it belongs to {what}")
        if cursor.block > self._head:
            raise InvalidCursor("the chain has fewer blocks than when it was saved")
        self._first = cursor.block
        self._delivered = dict.fromkeys(cursor.given, self._head)

    def _start_over(self) -> None:
        """Resumes from its own cursor, with the router's new session manager."""
        self._since = self.cursor
        self._reset()

    def _apply(self, log: Log) -> None:
        apply = {
            _CREATED: self._apply_request,
            _COMPLETED: self._apply_answer,
            _STARTED: self._apply_start,
            _CLOSED: self._apply_close,
        }
        apply[as_hex(log.topics[0])](log)

    def _apply_start(self, log: Log) -> None:
        session = _number(log.topics[1])
        # A start under another session manager matters too, if it has the id of a watched session.
        if session in self._starts or session == self._session or _owner(log) in self._owners:
            self._starts.setdefault(session, {})[log.address] = log
        else:
            self._others.add(session)

    def _apply_request(self, log: Log) -> None:
        session = _number(log.topics[2])
        starts = self._starts.get(session, {}).values()
        earlier = [start for start in starts if _position(start) < _position(log)]
        start = max(earlier, key=_position, default=None)
        if start is None:
            if self._owner is not None and session not in self._others:
                self._unknown.add(session)
        elif start.address == self._session_manager or _owner(start) in self._owners:
            self._watched[log.topics[1]] = (start.address, session)

    def _apply_answer(self, log: Log) -> None:
        if log.topics[1] in self._watched and log.block_number <= self._confirmed:
            self._answered.add(log.topics[1])
            self._add(ResponseEvent(log.topics[1], log.block_number, log.transaction))

    def _apply_close(self, log: Log) -> None:
        session = _number(log.topics[1])
        if log.block_number > self._confirmed:
            return
        if (log.address, session) == (self._session_manager, self._session):
            self._is_closed = True
        if log.block_number < self._first:
            return
        for request_id, payer in self._watched.items():
            if payer == (log.address, session) and request_id not in self._answered:
                self._add(
                    ResponseEvent(request_id, log.block_number, log.transaction, is_close=True)
                )

    def _add(self, event: ResponseEvent) -> None:
        if event.key in self._delivered:
            self._delivered[event.key] = event.block  # a reorganisation may have moved it
        else:
            self._undelivered.setdefault(event.key, event)

    def _resolve_unknown(self) -> None:
        """Starts over if requests of unknown sessions come from a new session manager."""
        current = self.ai.read_one(self._manager_call)
        self._others |= self._unknown
        self._unknown = set()
        if current not in self._managers:
            self._start_over()

    def _update_head(self, latest: dict[str, Any]) -> None:
        number, time = as_int(latest["number"]), as_int(latest["timestamp"])
        if self._oldest is None or number < self._oldest[0]:
            self._oldest = number, time
        elif number > self._oldest[0]:
            self._block_time = (time - self._oldest[1]) / (number - self._oldest[0])
        self._head, self._confirmed = number, number - self._confirmations

    def _move_window(self) -> None:
        self._next = max(self._first, self._next or 0, self._confirmed - WINDOW, 0)
        # Delivered events are remembered for longer: nodes of an endpoint disagree on the latest
        # block, and the cursor goes back to the oldest undelivered event.
        undelivered = (event.block for event in self._undelivered.values())
        oldest = min([self._next, *undelivered]) - WINDOW
        self._delivered = {key: block for key, block in self._delivered.items() if block >= oldest}

    @property
    def _manager_call(self) -> Call:
        return Call(self.ai.router, Router.session_manager, contract="router")

    def _read(self, request_ids: Sequence[bytes]) -> list[Any]:
        """The session manager, and the records of requests at the confirmed block, or None."""
        calls = [
            replace(record_call(self.ai, request_id), block=self._confirmed)
            for request_id in request_ids
        ]
        manager, *raw = self.ai.read(self._manager_call, *calls)
        return [manager, *map(to_record, raw)]

    def _logs(
        self, address: str | Sequence[str], topics: Sequence[Any], first: int, of: Any = True
    ) -> list[Log]:
        """The logs since a block; none, without a query, if ``of`` is empty."""
        return reads.logs(self.ai.provider, address, topics, first, self._head) if of else []


def _any_of(alternatives: Iterable[str]) -> list[str] | None:
    """The alternatives of a topic; None, which matches any, if there are too many."""
    found = list(alternatives)
    return found if len(found) <= MOST_ALTERNATIVES else None


def _position(log: Log) -> tuple[int, int]:
    return log.block_number, log.index


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _owner(started: Log) -> str:
    owner: str = SessionManager.session_started.decode(started)["owner"]
    return owner
