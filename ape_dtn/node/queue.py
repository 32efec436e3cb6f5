"""What a node is asked: found on the chain, in its order, each request once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from eth_utils import keccak

from ape_dtn.chain import reads, rpc
from ape_dtn.chain.reads import Call
from ape_dtn.network import reverts
from ape_dtn.network.abi import Router
from ape_dtn.network.errors import NodeNotFound
from ape_dtn.network.registry import model_calls, node_calls, to_model, to_node
from ape_dtn.network.requests import Record, read_records
from ape_dtn.node.store import Cursor, Ledger
from ape_dtn.types.answer import Status
from ape_dtn.types.errors import DtnError
from ape_dtn.types.ids import as_hex
from ape_dtn.types.rpc import Failure, as_bytes, as_int
from ape_dtn.types.waiting import POLICY

if TYPE_CHECKING:
    from ape_dtn.network.context import Network
    from ape_dtn.network.registry import Contracts, Node
    from ape_dtn.types.model import Model


# How many requests are read at a time, and known without being taken.
PAGE_SIZE = 500

# For how many seconds, by the chain's time, a response is watched: reorganisations are not deeper.
WATCH_SECONDS = 60

# The most gas that a callback may want. Whoever asks pays a wei for a unit of it, if anything, and
# the node pays its price.
MAX_CALLBACK_GAS = 5_000_000


@dataclass(frozen=True)
class AcceptanceTerms:
    """What a node takes, in its private configuration.

    Attributes:
        minimum_fee: What has to be offered for each byte, asked and answered, in units of the fee
            token. The most that a response may cost has to pay for the bytes asked.
        max_callback_gas: The most gas that a callback may want.
    """

    minimum_fee: int = 0
    max_callback_gas: int = MAX_CALLBACK_GAS

    def accepts(self, record: Record) -> bool:
        """Whether a request offers enough, and wants no more than is given."""
        offered = min(record.fee_per_byte_asked, record.fee_per_byte_answered)
        pays = offered >= self.minimum_fee
        pays &= record.max_cost >= self.minimum_fee * record.bytes_asked
        return pays and record.callback_gas <= self.max_callback_gas


@dataclass(frozen=True, eq=False)
class Task:
    """A request that a node may answer.

    Attributes:
        request_id: Its id.
        record: What the chain keeps of it.
        model: The model that it asks.
    """

    request_id: bytes
    record: Record
    model: Model

    @cached_property
    def fingerprint(self) -> bytes:
        """What is asked, in short: an id alone can come to stand for another question.

        On the live variant it counts nothing, and a reorganisation can give it away again.
        """
        record = self.record
        parts = (record.model_id, bytes([record.call_type]), record.call, record.extra_params)
        return sha256(b"".join(sha256(part).digest() for part in parts)).digest()


@dataclass(frozen=True)
class Registration:
    """What a node is registered with at this moment.

    Attributes:
        node: The node.
        models: The models that it serves, by their ids.
        contracts: What is behind the router.
    """

    node: Node
    models: Mapping[bytes, Model]
    contracts: Contracts

    def may_answer(self, record: Record) -> bool:
        """Whether a request asks a model that it serves, and trusts it; none while inactive."""
        trusted = self.node.id in record.nodes or not self.node.namespaces.keys().isdisjoint(
            record.namespaces
        )
        return self.node.is_active and trusted and record.model_id in self.models


@dataclass(frozen=True)
class _Head:
    """The chain's latest block, at some time."""

    number: int
    hash: bytes
    time: int


class RequestQueue:
    """What a node is asked, as far as it has been read.

    Attributes:
        open: What it may answer and nobody has, as far as is known, in the order of the chain.
        session_manager: The session manager, when something was read last.

    Args:
        ai: The network.
        name: The node's full name.
        node_id: Its id.
        ledger: Where the cursor is kept.
        terms: What it takes.
    """

    def __init__(
        self, ai: Network, name: str, node_id: bytes, ledger: Ledger, terms: AcceptanceTerms
    ) -> None:
        self.ai = ai
        self.name = name
        self.node_id = node_id
        self.ledger = ledger
        self.terms = terms
        self.open: dict[bytes, Task] = {}
        self.session_manager = ""
        self._models: dict[bytes, Model] = {}
        self._head: _Head | None = None
        # The latest response that was mined since the head was looked at. Those before it are not
        # lost where it is there: their nonces are lower.
        self._last_transaction: str | None = None
        self._total = 0
        # When it is to be looked again at what the node is registered with, where nothing is asked.
        self._next_registration_read = time.monotonic() + POLICY.node_registration_check
        self._restart_at(ledger.cursor())

    @property
    def block(self) -> int:
        """The chain's latest block, when it was looked at last."""
        return self._head.number if self._head else 0

    @property
    def time(self) -> int:
        """That block's time, in seconds since 1970."""
        return self._head.time if self._head else 0

    @property
    def has_more(self) -> bool:
        """Whether there are requests that have not been read yet."""
        return self._cursor.position + len(self._read_ids) < self._total

    def scan(self) -> bool:
        """Reads what has been asked since the last time, in pages.

        Returns:
            Whether the chain has lost blocks since then. What was answered in them is open again.

        Raises:
            DtnError: The chain cannot be read, or the node is not registered. What was read until
                then counts.
        """
        before = self._head
        head, is_reorganised = self._read_head()
        if is_reorganised:
            self._restart_at(self._valid_cursor())
        if not self.has_more and time.monotonic() >= self._next_registration_read:
            self._refresh_registration()
        while self.has_more and len(self.open) < PAGE_SIZE:
            self._read_page()
        self._head = head
        self._advance_cursor()
        return is_reorganised and before is not None

    def mark_responded(self, request_id: bytes, when: int, transaction: str | None = None) -> None:
        """Notes that a request was responded to.

        Args:
            request_id: The request.
            when: The time of that, in seconds.
            transaction: The response, where it is this process's own. Of several, the one with the
                highest nonce comes last.
        """
        self._last_transaction = transaction or self._last_transaction
        self.open.pop(request_id, None)
        if request_id in self._unsettled:
            self._unsettled[request_id] = when

    def drop_answered(self) -> None:
        """Notes which of the open requests others have responded to, as the chain has it now."""
        ids = list(self.open)
        for request_id, record in zip(ids, read_records(self.ai, ids), strict=True):
            if record.status is not Status.PENDING:
                self.mark_responded(request_id, record.answered_at)

    def abandon(self, request_id: bytes) -> None:
        """Notes that a request is not to be answered by this node, as it is registered now."""
        self.open.pop(request_id, None)
        self._unsettled.pop(request_id, None)
        self._next_registration_read = 0.0  # perhaps since it is not active any more

    def forget(self) -> None:
        """Reads everything again the next time."""
        self.ledger.clear()
        self._head, self._total = None, 0
        self._restart_at(Cursor())

    def registration(self) -> Registration:
        """What the node is registered with now.

        Raises:
            NodeNotFound: It is not registered.
        """
        contracts = self.ai.contracts()
        calls = node_calls(contracts.node_manager, self.node_id)
        node = to_node(self.name, *self.ai.read(*calls))
        if node is None:
            raise NodeNotFound(self.name)
        self.session_manager = contracts.session_manager
        models = read_models(self.ai, node.models, contracts, self._models)
        self._models |= models
        return Registration(node, models, contracts)

    def terms_fingerprint(self, registration: Registration) -> bytes:
        """What the node takes now, in short."""
        ids = [*sorted(registration.models), b"", *sorted(registration.node.namespaces)]
        terms = (self.terms, registration.node.is_active)
        return sha256(repr(terms).encode() + b"".join(ids)).digest()

    def _restart_at(self, cursor: Cursor) -> None:
        self._cursor = cursor
        # The ids that were read from there on, and which of them are not settled: open ones, and
        # those that were responded to lately, with the time of that.
        self._read_ids: list[bytes] = []
        self._unsettled: dict[bytes, int | None] = {}
        self.open.clear()

    def _read_head(self) -> tuple[_Head, bool]:
        """The chain's latest block, and whether what was known before is not there any more."""
        place = self._cursor.position + len(self._read_ids)
        length = Call(self.ai.router, Router.get_pending_requests_length, contract="router")
        questions = [("eth_getBlockByNumber", ["latest", False]), length.request]
        if self._head:
            questions.append(("eth_getBlockByNumber", [hex(self._head.number), False]))
        if self._head and self._last_transaction:
            questions.append(("eth_getTransactionReceipt", [self._last_transaction]))
        latest, count, *seen = rpc.ask(self.ai.provider, questions)
        head = _to_head(rpc.expect(latest))
        (total,) = reads.decode_all([length], [count], reverts.NO_CONTEXT)
        if isinstance(total, DtnError):
            raise total
        self._total = total
        is_reorganised = total < place
        if self._head:
            is_reorganised |= not _is_canonical(self._head, seen[0]) or None in seen
        self._last_transaction = None
        if self._head is None and place:  # saved by another process
            is_reorganised = self._valid_cursor() != self._cursor
        return head, is_reorganised

    def _valid_cursor(self) -> Cursor:
        """The saved cursor, where the list is still the one that it was saved for."""
        cursor = self._cursor
        if cursor.position == 0 or cursor.position > self._total:
            return Cursor()
        before = self._ids(cursor.position - 1, cursor.position)
        is_same = before == [cursor.before] and cursor.terms == self.terms_fingerprint(
            self.registration()
        )
        return cursor if is_same else Cursor()

    def _ids(self, start: int, end: int) -> list[bytes]:
        page = Call(self.ai.router, Router.get_pending_requests, (start, end), contract="router")
        return list(self.ai.read_one(page))

    def _refresh_registration(self) -> Registration:
        """What the node takes now. Where that has changed, what was passed over may be open."""
        registration = self.registration()
        mark = self.terms_fingerprint(registration)
        if self._cursor.terms != mark:
            self._restart_at(Cursor(terms=mark))
        self._next_registration_read = time.monotonic() + POLICY.node_registration_check
        return registration

    def _read_page(self) -> None:
        registration = self._refresh_registration()
        start = self._cursor.position + len(self._read_ids)
        ids = self._ids(start, min(start + PAGE_SIZE, self._total))
        # On the live variant one id can be there twice.
        unknown = [each for each in dict.fromkeys(ids) if each not in self._unsettled]
        records = read_records(self.ai, unknown)
        for request_id, record in zip(unknown, records, strict=True):
            if not registration.may_answer(record) or not self.terms.accepts(record):
                continue
            if record.status is Status.PENDING:
                model = registration.models[record.model_id]
                self.open[request_id] = Task(request_id, record, model)
                self._unsettled[request_id] = None
            else:
                self._unsettled[request_id] = record.answered_at
        self._read_ids += ids

    def _advance_cursor(self) -> None:
        """Moves the cursor to the first request that is open, or was so lately, and saves it."""
        settled = [
            each
            for each, when in self._unsettled.items()
            if when is not None and self.time - when >= WATCH_SECONDS
        ]
        for each in settled:
            del self._unsettled[each]
        passed = len(self._read_ids)
        for place, each in enumerate(self._read_ids):
            if each in self._unsettled:
                passed = place
                break
        if settled:
            self.ledger.remove(settled)
        if passed:
            before = self._read_ids[passed - 1]
            del self._read_ids[:passed]
            self._cursor = replace(
                self._cursor, position=self._cursor.position + passed, before=before
            )
            self.ledger.save_cursor(self._cursor)


def read_models(
    ai: Network,
    ids: tuple[bytes, ...],
    contracts: Contracts,
    known: Mapping[bytes, Model] | None = None,
) -> dict[bytes, Model]:
    """Models by their ids, in one HTTP request, or none where all of them are known already."""
    known = known or {}
    unknown = [each for each in ids if each not in known]
    calls = [call for each in unknown for call in model_calls(contracts.model_manager, each)]
    answers = iter(ai.read(*calls)) if calls else iter(())
    found = {each: known[each] for each in ids if each in known}
    names = ai.names()
    for each in unknown:
        config, api = next(answers), next(answers)
        name = names.of(each)
        if name == as_hex(each):
            name = _full_name(config, name)
        if model := to_model(name, config, api):
            found[each] = model
    return found


def _full_name(config: tuple[Any, ...], otherwise: str) -> str:
    """A model's full name, where its own name tells it: the chain keeps only the namespace's id."""
    _, model_id, _, name = config
    for full in (name, f"model.system.{name}"):
        if keccak(text=full) == model_id:
            return str(full)
    return otherwise


def _to_head(block: Any) -> _Head:
    number, stamp = (as_int(block[each]) for each in ("number", "timestamp"))
    return _Head(number, as_bytes(block["hash"]), stamp)


def _is_canonical(head: _Head, found: Any) -> bool:
    """Whether the chain still has a block."""
    return bool(found and not isinstance(found, Failure) and as_bytes(found["hash"]) == head.hash)
