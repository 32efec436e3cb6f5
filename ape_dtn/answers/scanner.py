"""What lands on the chain for some requests, a session or an owner: none missed and none twice.

A look at the chain is one HTTP request with two RPC calls, however much is awaited: the latest
block, and the network's events of the latest blocks. Where something has landed, one more reads it
(``router.getRequest``). Each look reads a window of blocks again, so that after a reorganisation
the chain's present events decide; what was given out is known by its request and the transaction
that answered it.
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
from ape_dtn.chain import reads, rpc
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

# How many of the latest blocks each look reads again: as deep as a reorganisation may go.
WINDOW = 64

# How many answers are read in one HTTP request.
READ_TOGETHER = 200

# How many alternatives a topic may have: some endpoints take no more.
MOST_ALTERNATIVES = 500

# How many answers a cursor remembers as given out.
MOST_REMEMBERED = 1000

_LATEST: Request = ("eth_getBlockByNumber", ["latest", False])
_GENESIS: Request = ("eth_getBlockByNumber", ["0x0", False])
_CREATED, _COMPLETED = Router.request_created.topic, Router.request_completed.topic
_STARTED, _CLOSED = SessionManager.session_started.topic, SessionManager.session_closed.topic
_EVENTS = [_CREATED, _COMPLETED, _STARTED, _CLOSED]


@dataclass(frozen=True)
class ResponseEvent:
    """Something that landed: the answer to a request, or the close of its session.

    Attributes:
        request_id: The request.
        block: The block that holds it, or by which it was there.
        transaction: The transaction that it came with; None where it was there before.
        is_close: Whether it is the close.
    """

    request_id: bytes
    block: int
    transaction: str | None
    is_close: bool = False

    @property
    def key(self) -> str:
        """What it is remembered by."""
        return keccak(self.request_id + (self.transaction or "").encode())[:8].hex()


@dataclass(frozen=True)
class Cursor:
    """How far it was given out: all before a block, and of the later what is remembered.

    Attributes:
        chain: Hash of the chain's first block.
        router: The router's address.
        of: What is watched.
        block: The block that is read from.
        given: What has been given out from that block on.
    """

    chain: str
    router: str
    of: str
    block: int
    given: list[str]

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """A cursor from its text.

        Raises:
            InvalidCursor: It is none.
        """
        with contextlib.suppress(ValueError, TypeError):
            cursor = cls(**json.loads(text))
            if cursor.block >= 0 and all(isinstance(each, str) for each in cursor.given):
                return cursor
        raise InvalidCursor("it is not what a watch gave")

    def __str__(self) -> str:
        return json.dumps(asdict(self))


class LogScanner:
    """What lands for what is watched, in the order of the chain.

    Exactly one is named of a session, an owner and requests.

    Args:
        ai: The network.
        session: The session's id.
        owner: The checksummed address of whoever opened the sessions, itself or by its client.
        requests: Ids of the requests.
        since: A cursor's text, ``"now"``, or None for all since the session began.
        confirmations: How many blocks have to follow.
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
        # Who owns the owner's sessions on the chain.
        self._holders = () if owner is None else (owner, client_of(owner))
        self._since = since
        self._confirmations = confirmations
        self._oldest: tuple[int, int] | None = None  # number and time of the first block seen
        self._block_time: float | None = None
        self._managers: list[str] = []  # all that the router is known to have had
        self._home: str | None = None  # the one that has the session
        self._forget()

    def _forget(self) -> None:
        """As if nothing of the chain had been seen."""
        self._from: int | None = None  # what the next look reads from; None before the first
        self._first = self._head = self._settled = 0
        self._chain = ""
        self._is_closed = False
        # The starts of the sessions that count, at each session manager that has one of the id.
        self._starts: dict[int, dict[str, Log]] = {}
        # Sessions of others, and those of which it has to be found out.
        self._others: set[int] = set()
        self._unknown: set[int] = set()
        # The requests that are watched, each with the session manager and the session that pay.
        self._asked: dict[bytes, tuple[str, int] | None] = {}
        self._answered: set[bytes] = set()
        # What landed and is not given out, and the blocks of what is, by key.
        self._landed: dict[str, ResponseEvent] = {}
        self._given: dict[str, int] = {}
        self._found: list[tuple[ResponseEvent, Record]] = []

    @property
    def block_time(self) -> float:
        """Seconds between two blocks: measured, or as the network is configured."""
        measured = self._block_time
        return self.ai.provider.network.block_time if measured is None else measured

    @property
    def is_over(self) -> bool:
        """Whether all is given out, and nothing can land any more."""
        if not self.is_begun or self._landed:
            return False
        return self._is_closed or (self._requests is not None and not self._asked)

    @property
    def is_begun(self) -> bool:
        """Whether there was a look; none where it has started over since."""
        return self._from is not None

    @property
    def cursor(self) -> str | None:
        """Where to go on; None where requests are watched, or there was no look yet."""
        if self._from is None:  # where it was told to begin is where it is
            return None if self._since == "now" else self._since
        if self._requests is not None:
            return None
        block = self._from
        blocks = sorted(each for each in self._given.values() if each >= block)
        if len(blocks) > MOST_REMEMBERED:
            block = blocks[-MOST_REMEMBERED]
        block = min([block, *(each.block for each in self._landed.values())])
        given = [key for key, each in self._given.items() if each >= block]
        return str(Cursor(self._chain, self.ai.router, self._of, block, given))

    @property
    def _of(self) -> str:
        if self._owner is not None:
            return f"owner {self._owner}"
        return f"session {self._session} of {self._home}"

    def look(self) -> None:
        """Looks at the chain once.

        Raises:
            SessionNotFound, InvalidCursor: At the first look: there is nothing to begin with.
            NoNetwork: The endpoint fails. Another look goes on where this one should have.
        """
        if self._from is None:
            self._begin()
            return
        addresses = [self.ai.router, *self._managers]
        blocks = {"fromBlock": hex(self._from), "toBlock": "latest"}
        query = {"address": addresses, "topics": [_EVENTS], **blocks}
        latest, found = rpc.ask(self.ai.provider, [_LATEST, ("eth_getLogs", [query])])
        self._see(rpc.expect(latest))
        if isinstance(found, Failure):  # so many blocks at once, as after a long time
            logs = self._logs(addresses, [_EVENTS], self._from)
        else:
            logs = [reads.to_log(raw) for raw in found]
        for log in sorted(logs, key=_place):
            self._note(log)
        if self._head < self._from:  # the chain was set back
            self._from = 0
        self._slide()
        if self._unknown:
            self._judge_unknown()

    def read(self) -> list[tuple[ResponseEvent, Record]]:
        """Reads of what landed as much as goes into one HTTP request, once what was read is given.

        Raises:
            NoNetwork: The endpoint fails.
        """
        found, self._found = self._found, []
        landings = [] if found else list(islice(self._landed.values(), READ_TOGETHER))
        if not landings:
            return found
        manager, *records = self._read([each.request_id for each in landings])
        if manager not in self._managers and self._requests is None:
            self._start_over()
            return []
        for landing, record in zip(landings, records, strict=True):
            if record and landing.is_close == (record.status is Status.PENDING):
                found.append((landing, record))
                continue
            del self._landed[landing.key]
            if landing.is_close:  # the request had been answered before it
                self._given[landing.key] = landing.block
            else:  # a reorganisation has taken it away, and another look finds what is there now
                self._answered.discard(landing.request_id)
        return found

    def mark_delivered(self, landing: ResponseEvent) -> None:
        """Remembers that it is given out."""
        self._landed.pop(landing.key, None)
        self._given[landing.key] = landing.block
        if self._requests is not None:
            self._asked.pop(landing.request_id, None)

    def _begin(self) -> None:
        """The first look, at all that has landed until now."""
        self._forget()  # what a look that failed has seen
        latest, genesis = rpc.ask(self.ai.provider, [_LATEST, _GENESIS])
        self._see(rpc.expect(latest))
        self._chain = as_hex(as_bytes(rpc.expect(genesis)["hash"]))
        if self._requests is not None:
            self._begin_with_requests(self._requests)
        else:
            self._begin_with_sessions()
        self._slide()

    def _begin_with_requests(self, requests: Sequence[bytes]) -> None:
        if self._settled <= self.ai.deployment.first_block:
            raise RpcRefused("eth_call", "the chain has not as many blocks as are to follow")
        manager, *records = self._read(requests)
        self._managers = [manager]
        known = {each: record for each, record in zip(requests, records, strict=True) if record}
        sessions = {each.session_id for each in known.values() if each.status is Status.PENDING}
        calls = [replace(session_call(manager, each), block=self._settled) for each in sessions]
        owners = [owner for owner, _ in self.ai.read(*calls)]
        closed = {each for each, owner in zip(sessions, owners, strict=True) if not exists(owner)}
        for request_id in requests:
            record = known.get(request_id)
            self._asked[request_id] = (manager, record.session_id) if record else None
            is_pending = record is None or record.status is Status.PENDING
            if record and (not is_pending or record.session_id in closed):
                landing = ResponseEvent(request_id, self._settled, None, is_close=is_pending)
                self._landed[landing.key] = landing
                self._found.append((landing, record))

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
        kinds = [_STARTED, _CLOSED]
        lives = self._logs(self._managers, [kinds, _any_of(map(topic, sessions))], first, sessions)
        starts = [log for log in lives if SessionManager.session_started.matches(log)]
        for log in starts:
            self._note(log)
        if self._session is not None and not starts:
            raise SessionNotFound(self._session)
        if self._session is not None and self._home is None:
            self._home = starts[-1].address
        begun = min((log.block_number for log in starts), default=self._head)
        created = [_CREATED, None, _any_of(map(topic, sessions))]
        for log in self._logs(self.ai.router, created, begun, sessions):
            self._note(log)
        if self._since is None:
            self._first = begun
        elif self._since == "now":
            self._first = max(self._settled - WINDOW, 0)
        else:
            self._resume(Cursor.parse(self._since))
        completed = [_COMPLETED, _any_of(map(as_hex, self._asked))]
        answers = self._logs(self.ai.router, completed, self._first, self._asked)
        for log in sorted([*lives, *answers], key=_place):
            self._note(log)
        if self._since == "now":
            for landing in list(self._landed.values()):
                self.mark_delivered(landing)

    def _sessions_of_owner(self, first: int) -> list[int]:
        holders = ["0x" + each[2:].lower().rjust(64, "0") for each in self._holders]
        started = self._logs(self._managers, [_STARTED, None, holders], first)
        return list({int.from_bytes(log.topics[1], "big") for log in started})

    def _resume(self, cursor: Cursor) -> None:
        for what, theirs, ours in (
            ("another chain", cursor.chain, self._chain),
            ("another router", cursor.router, self.ai.router),
            (str(cursor.of), cursor.of, self._of),
        ):
            if theirs != ours:
                raise InvalidCursor(f"it is that of {what}")
        if cursor.block > self._head:
            raise InvalidCursor("the chain has not as many blocks as when it was saved")
        self._first = cursor.block
        self._given = dict.fromkeys(cursor.given, self._head)

    def _start_over(self) -> None:
        """Begins again where it is: the router has another session manager now."""
        self._since = self.cursor
        self._forget()

    def _note(self, log: Log) -> None:
        """Takes in what an event of the network's contracts says."""
        note = {
            _CREATED: self._note_request,
            _COMPLETED: self._note_answer,
            _STARTED: self._note_start,
            _CLOSED: self._note_close,
        }
        note[as_hex(log.topics[0])](log)

    def _note_start(self, log: Log) -> None:
        session = _number(log.topics[1])
        # Others' count where they have the id of one that is watched, at another session manager.
        if session in self._starts or session == self._session or _owner(log) in self._holders:
            self._starts.setdefault(session, {})[log.address] = log
        else:
            self._others.add(session)

    def _note_request(self, log: Log) -> None:
        session = _number(log.topics[2])
        starts = self._starts.get(session, {}).values()
        before = [start for start in starts if _place(start) < _place(log)]
        start = max(before, key=_place, default=None)
        if start is None:
            if self._owner is not None and session not in self._others:
                self._unknown.add(session)
        elif start.address == self._home or _owner(start) in self._holders:
            self._asked[log.topics[1]] = (start.address, session)

    def _note_answer(self, log: Log) -> None:
        if log.topics[1] in self._asked and log.block_number <= self._settled:
            self._answered.add(log.topics[1])
            self._land(ResponseEvent(log.topics[1], log.block_number, log.transaction))

    def _note_close(self, log: Log) -> None:
        session = _number(log.topics[1])
        if log.block_number > self._settled:
            return
        if (log.address, session) == (self._home, self._session):
            self._is_closed = True
        if log.block_number < self._first:
            return
        for request_id, payer in self._asked.items():
            if payer == (log.address, session) and request_id not in self._answered:
                self._land(
                    ResponseEvent(request_id, log.block_number, log.transaction, is_close=True)
                )

    def _land(self, landing: ResponseEvent) -> None:
        if landing.key in self._given:
            self._given[landing.key] = landing.block  # a reorganisation can have moved it
        else:
            self._landed.setdefault(landing.key, landing)

    def _judge_unknown(self) -> None:
        """Finds out about sessions that nobody started: the router has another session manager."""
        current = self.ai.read_one(self._manager_call)
        self._others |= self._unknown
        self._unknown = set()
        if current not in self._managers:
            self._start_over()

    def _see(self, latest: dict[str, Any]) -> None:
        number, time = as_int(latest["number"]), as_int(latest["timestamp"])
        if self._oldest is None or number < self._oldest[0]:
            self._oldest = number, time
        elif number > self._oldest[0]:
            self._block_time = (time - self._oldest[1]) / (number - self._oldest[0])
        self._head, self._settled = number, number - self._confirmations

    def _slide(self) -> None:
        """Moves the window up to the latest blocks."""
        self._from = max(self._first, self._from or 0, self._settled - WINDOW, 0)
        # What is just behind it may come back: endpoints do not all see the same latest block. And
        # a cursor goes back to what has landed and is not given out.
        oldest = min([self._from, *(each.block for each in self._landed.values())]) - WINDOW
        self._given = {key: block for key, block in self._given.items() if block >= oldest}

    @property
    def _manager_call(self) -> Call:
        return Call(self.ai.router, Router.session_manager, contract="router")

    def _read(self, request_ids: Sequence[bytes]) -> list[Any]:
        """The session manager and the requests' records (None where there is none), settled."""
        calls = [replace(record_call(self.ai, each), block=self._settled) for each in request_ids]
        manager, *raw = self.ai.read(self._manager_call, *calls)
        return [manager, *map(to_record, raw)]

    def _logs(
        self, address: str | Sequence[str], topics: Sequence[Any], first: int, of: Any = True
    ) -> list[Log]:
        """The events since a block, if there is anything that they could be of."""
        return reads.logs(self.ai.provider, address, topics, first, self._head) if of else []


def _any_of(alternatives: Iterable[str]) -> list[str] | None:
    """The alternatives of a topic; None for all, where they are too many."""
    found = list(alternatives)
    return found if len(found) <= MOST_ALTERNATIVES else None


def _place(log: Log) -> tuple[int, int]:
    return log.block_number, log.index


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _owner(started: Log) -> str:
    owner: str = SessionManager.session_started.decode(started)["owner"]
    return owner
