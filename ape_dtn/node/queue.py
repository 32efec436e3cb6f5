"""The requests that a node may answer, read from the chain in order."""

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
from ape_dtn.types.polling import POLICY
from ape_dtn.types.rpc import Failure, as_bytes, as_int

if TYPE_CHECKING:
    from ape_dtn.network.context import Network
    from ape_dtn.network.registry import Contracts, Node
    from ape_dtn.types.model import Model


# Requests read per page. No further page is read while this many requests are open.
PAGE_SIZE = 500

# How long a response is watched for a reorganisation, in seconds of the chain's time.
WATCH_SECONDS = 60

# The node pays the full price of a callback's gas, of which the requester refunds almost nothing.
MAX_CALLBACK_GAS = 5_000_000


@dataclass(frozen=True)
class AcceptanceTerms:
    """The requests that a node accepts. These terms are not on the chain.

    Attributes:
        minimum_fee: Lowest fee per byte of request and response, in units of the fee token. The
            request's maximum cost must cover this fee for the request's own bytes.
        max_callback_gas: The most gas that a request may reserve for its callback.
    """

    minimum_fee: int = 0
    max_callback_gas: int = MAX_CALLBACK_GAS

    def accepts(self, record: Record) -> bool:
        """Whether a request offers the minimum fee and stays within the callback gas."""
        fee_per_byte = min(record.fee_per_byte_asked, record.fee_per_byte_answered)
        return (
            fee_per_byte >= self.minimum_fee
            and record.max_cost >= self.minimum_fee * record.bytes_asked
            and record.callback_gas <= self.max_callback_gas
        )


@dataclass(frozen=True, eq=False)
class Task:
    """An open request that the node may answer, with its record on the chain and its model."""

    request_id: bytes
    record: Record
    model: Model

    @cached_property
    def fingerprint(self) -> bytes:
        """Hash of the question, to notice when another question gets the same id.

        The live variant's ids do not include a counter, and a reorganisation can reassign an id.
        """
        record = self.record
        parts = (record.model_id, bytes([record.call_type]), record.call, record.extra_params)
        return sha256(b"".join(sha256(part).digest() for part in parts)).digest()


@dataclass(frozen=True)
class Registration:
    """A node's current registration; ``models`` are those it serves, by id."""

    node: Node
    models: Mapping[bytes, Model]
    contracts: Contracts

    def may_answer(self, record: Record) -> bool:
        """Whether a request trusts the node and names a model it serves. Never while inactive."""
        trusted = self.node.id in record.nodes or not self.node.namespaces.keys().isdisjoint(
            record.namespaces
        )
        return self.node.is_active and trusted and record.model_id in self.models


@dataclass(frozen=True)
class _Head:
    number: int
    hash: bytes
    time: int


class RequestQueue:
    """The open requests of a node, as far as the chain has been read.

    Attributes:
        open: The requests that nobody has answered, in the chain's order.
        session_manager: The session manager's address at the last read.
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
        # The last response mined since the head was read. If it is still on the chain, so are the
        # earlier ones, because their nonces are lower.
        self._last_transaction: str | None = None
        self._total = 0
        # When to read the registration again, even if there are no new requests.
        self._next_registration_read = time.monotonic() + POLICY.node_registration_check
        self._restart_at(ledger.cursor())

    @property
    def block(self) -> int:
        """Number of the chain's latest block at the last scan."""
        return self._head.number if self._head else 0

    @property
    def time(self) -> int:
        """Unix time of that block."""
        return self._head.time if self._head else 0

    @property
    def has_more(self) -> bool:
        """Whether there are requests that have not been read yet."""
        return self._cursor.position + len(self._read_ids) < self._total

    def scan(self) -> bool:
        """Read the requests made since the last scan, in pages.

        Returns:
            Whether the chain was reorganised since then. Requests answered in dropped blocks are
            open again.

        Raises:
            DtnError: The chain cannot be read, or the node is not registered. Pages read before the
                error are kept.
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
        """Record that a response to a request was mined.

        Args:
            request_id: The request.
            when: Unix time of the block.
            transaction: The transaction's hash, if this process sent it. When several are recorded,
                the one with the highest nonce must come last.
        """
        self._last_transaction = transaction or self._last_transaction
        self.open.pop(request_id, None)
        if request_id in self._unsettled:
            self._unsettled[request_id] = when

    def drop_answered(self) -> None:
        """Remove the open requests that others have answered. Reads the chain."""
        ids = list(self.open)
        for request_id, record in zip(ids, read_records(self.ai, ids), strict=True):
            if record.status is not Status.PENDING:
                self.mark_responded(request_id, record.answered_at)

    def abandon(self, request_id: bytes) -> None:
        """Remove a request that this node cannot answer as it is registered now."""
        self.open.pop(request_id, None)
        self._unsettled.pop(request_id, None)
        self._next_registration_read = 0.0  # the node may have been deactivated

    def forget(self) -> None:
        """Discard everything read, so that the next scan starts at the first request."""
        self.ledger.clear()
        self._head, self._total = None, 0
        self._restart_at(Cursor())

    def registration(self) -> Registration:
        """Read the node's registration.

        Raises:
            NodeNotFound: The node is not registered.
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
        """Hash of what the node accepts: its terms, models, namespaces and status."""
        ids = [*sorted(registration.models), b"", *sorted(registration.node.namespaces)]
        terms = (self.terms, registration.node.is_active)
        return sha256(repr(terms).encode() + b"".join(ids)).digest()

    def _restart_at(self, cursor: Cursor) -> None:
        self._cursor = cursor
        # The ids read after the cursor, and the unsettled requests: the time of the response by id,
        # or None for an open request.
        self._read_ids: list[bytes] = []
        self._unsettled: dict[bytes, int | None] = {}
        self.open.clear()

    def _read_head(self) -> tuple[_Head, bool]:
        """Read the latest block; true if the chain was reorganised since the last read."""
        position = self._cursor.position + len(self._read_ids)
        length = Call(self.ai.router, Router.get_pending_requests_length, contract="router")
        calls = [("eth_getBlockByNumber", ["latest", False]), length.request]
        if self._head:
            calls.append(("eth_getBlockByNumber", [hex(self._head.number), False]))
        if self._head and self._last_transaction:
            calls.append(("eth_getTransactionReceipt", [self._last_transaction]))
        latest, count, *known = rpc.ask(self.ai.provider, calls)
        head = _to_head(rpc.expect(latest))
        (total,) = reads.decode_all([length], [count], reverts.NO_CONTEXT)
        if isinstance(total, DtnError):
            raise total
        self._total = total
        is_reorganised = total < position
        if self._head:
            is_reorganised |= not _is_canonical(self._head, known[0]) or None in known
        self._last_transaction = None
        if self._head is None and position:  # the cursor is from an earlier process
            is_reorganised = self._valid_cursor() != self._cursor
        return head, is_reorganised

    def _valid_cursor(self) -> Cursor:
        """Return the cursor, or the start if the list of requests or the terms have changed."""
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
        """Read the registration. If it has changed, start over: skipped requests may be open."""
        registration = self.registration()
        fingerprint = self.terms_fingerprint(registration)
        if self._cursor.terms != fingerprint:
            self._restart_at(Cursor(terms=fingerprint))
        self._next_registration_read = time.monotonic() + POLICY.node_registration_check
        return registration

    def _read_page(self) -> None:
        registration = self._refresh_registration()
        start = self._cursor.position + len(self._read_ids)
        ids = self._ids(start, min(start + PAGE_SIZE, self._total))
        # On the live variant, the list can hold an id twice.
        unknown = [id for id in dict.fromkeys(ids) if id not in self._unsettled]
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
        """Move the cursor to the first open or recently answered request, and save it."""
        settled = [
            id
            for id, when in self._unsettled.items()
            if when is not None and self.time - when >= WATCH_SECONDS
        ]
        for request_id in settled:
            del self._unsettled[request_id]
        if settled:
            self.ledger.remove(settled)
        steps = (index for index, id in enumerate(self._read_ids) if id in self._unsettled)
        count = next(steps, len(self._read_ids))
        if count:
            before = self._read_ids[count - 1]
            del self._read_ids[:count]
            position = self._cursor.position + count
            self._cursor = replace(self._cursor, position=position, before=before)
            self.ledger.save_cursor(self._cursor)


def read_models(
    ai: Network,
    ids: tuple[bytes, ...],
    contracts: Contracts,
    known: Mapping[bytes, Model] | None = None,
) -> dict[bytes, Model]:
    """Read models by id in one HTTP request. Models in ``known`` are not read again."""
    known = known or {}
    unknown = [id for id in ids if id not in known]
    calls = [call for id in unknown for call in model_calls(contracts.model_manager, id)]
    results = iter(ai.read(*calls)) if calls else iter(())
    models = {id: known[id] for id in ids if id in known}
    names = ai.names()
    for model_id in unknown:
        config, api = next(results), next(results)
        name = names.of(model_id)
        if name == as_hex(model_id):
            name = _full_name(config, name)
        if model := to_model(name, config, api):
            models[model_id] = model
    return models


def _full_name(config: tuple[Any, ...], default: str) -> str:
    """Derive a model's full name: the chain stores its short name and the id of its namespace."""
    _, model_id, _, name = config
    for full in (name, f"model.system.{name}"):
        if keccak(text=full) == model_id:
            return str(full)
    return default


def _to_head(block: Any) -> _Head:
    return _Head(as_int(block["number"]), as_bytes(block["hash"]), as_int(block["timestamp"]))


def _is_canonical(head: _Head, block: Any) -> bool:
    return bool(block and not isinstance(block, Failure) and as_bytes(block["hash"]) == head.hash)
