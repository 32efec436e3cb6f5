"""The callback of a rehearsed request: its gas, and why it reverted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ape_dtn.answers import callbacks
from ape_dtn.chain import reads, rpc
from ape_dtn.network import reverts
from ape_dtn.network.abi import Router
from ape_dtn.rehearsal.report import Callback
from ape_dtn.types.answer import Status
from ape_dtn.types.errors import CallbackFailed, CallbackOutOfGas
from ape_dtn.types.ids import as_hex
from ape_dtn.types.rpc import Failure, as_bytes, as_int

if TYPE_CHECKING:
    from ape_dtn.network.requests import Record
    from ape_dtn.rehearsal.fork import Fork
    from ape_dtn.rehearsal.known import KnownContracts
    from ape_dtn.types.transactions import Receipt, Transaction


# The gas to test whether a callback failed only for lack of gas.
PLENTY = 10_000_000

# The intrinsic gas of a transaction, of each byte of its data, and of each address and storage slot
# in its access list.
TRANSACTION_GAS, ZERO_BYTE_GAS, BYTE_GAS, ADDRESS_GAS, SLOT_GAS = 21_000, 4, 16, 2_400, 1_900

_FAILED = (Router.success_callback_failed, Router.failure_callback_failed)


@dataclass(frozen=True)
class Response:
    """A node's response that was mined on the fork. ``record`` is older than the response."""

    fork: Fork
    router: str
    known: KnownContracts
    request_id: bytes
    record: Record
    status: Status
    worker: str
    transaction: Transaction
    receipt: Receipt

    @cached_property
    def data(self) -> bytes:
        """The call data of the callback."""
        call = reads.Call(self.router, Router.get_request, (self.request_id,), contract="router")
        on_success, on_failure, _ = reads.read_one(self.fork.provider, call, reverts.NO_CONTEXT)[6]
        selector = on_success if self.status is Status.SUCCESS else on_failure
        return bytes(selector) + self.request_id


def of(response: Response) -> Callback | None:
    """Return the callback of an answered request; None if it has none."""
    record = response.record
    if not record.has_callback:
        return None
    return Callback(
        target=record.callback_target,
        what=response.known.function(record.callback_target, response.data[:4]),
        gas_limit=record.callback_gas,
        gas_used=_gas_used(response),
        failure=_failure(response),
    )


def _gas_used(response: Response) -> int | None:
    if not response.fork.has_traces:
        return None
    frame = _frame(response, response.fork.trace(response.receipt.transaction))
    return as_int(frame["gasUsed"]) if frame else 0  # a target without code uses no gas


def _failure(response: Response) -> CallbackFailed | None:
    """Return why the callback reverted: ``CallbackOutOfGas`` only if more gas would help."""
    logs = response.receipt.logs
    failures = [fields for event in _FAILED for fields in event.find(logs, response.router)]
    data = next(
        (fields["data"] for fields in failures if fields["requestId"] == response.request_id), None
    )
    if data is None:
        return None
    request_id, target = as_hex(response.request_id), response.record.callback_target
    gas_limit, needed = response.record.callback_gas, _needed_gas(response)
    if needed is not None and needed > gas_limit:
        error: CallbackFailed = CallbackOutOfGas(request_id, target, gas_limit, needed)
        error.hint = f"Set the request's callbackGas to {needed} or more, and add as many wei."
        return error
    revert = reverts.decode(data)
    decoded = response.known.decode_revert(revert, target)
    if decoded is revert:
        error = callbacks.callback_failed(request_id, target, data)
    else:
        error = CallbackFailed(request_id, target, str(decoded))
        error.revert = decoded
    error.hint = ""  # replaces the hint to read the answer, which exists on the fork only
    return error


def _needed_gas(response: Response) -> int | None:
    """Return the least gas with which the callback succeeds; None if it never does.

    The callback is called again, after the response: a failed callback has changed nothing.
    """
    data, accessed = response.data, _accessed_before(response)
    zeros, slots = data.count(0), sum(len(entry["storageKeys"]) for entry in accessed)
    intrinsic = TRANSACTION_GAS + zeros * ZERO_BYTE_GAS + (len(data) - zeros) * BYTE_GAS
    intrinsic += len(accessed) * ADDRESS_GAS + slots * SLOT_GAS
    target = response.record.callback_target
    call: dict[str, Any] = {"from": response.router, "to": target, "data": as_hex(data)}
    if accessed:
        call["accessList"] = accessed

    def succeeds(gas: int) -> bool:
        with_gas = {**call, "gas": hex(intrinsic + gas)}
        (result,) = rpc.ask(response.fork.provider, [("eth_call", [with_gas, "latest"])])
        return not isinstance(result, Failure)

    if not response.fork.has_traces:  # the in-process chain calls only from funded senders
        response.fork.fund(response.router)
    if not succeeds(PLENTY):
        return None
    too_little, enough = response.record.callback_gas, PLENTY
    while enough - too_little > 1:
        gas = (too_little + enough) // 2
        if succeeds(gas):
            enough = gas
        else:
            too_little = gas
    return enough


def _accessed_before(response: Response) -> list[dict[str, Any]]:
    """Return what the response accesses before its callback, as an access list.

    Later accesses to these addresses and slots are cheaper (EIP-2929). Without traces the list is
    empty, and the needed gas is overestimated.
    """
    if not response.fork.has_traces:
        return []
    call = response.transaction.as_call(response.worker)
    options = {
        "tracer": "prestateTracer",
        "stateOverrides": {response.record.callback_target: {"code": "0x"}},
    }
    before = hex(response.receipt.block_number - 1)
    state = rpc.result(response.fork.provider, "debug_traceCall", [call, before, options])
    return [
        {"address": address, "storageKeys": list(account.get("storage", ()))}
        for address, account in state.items()
    ]


def _frame(response: Response, outermost: dict[str, Any]) -> dict[str, Any] | None:
    """Return the router's call of the target in the trace of a response."""
    target = response.record.callback_target.lower()
    for frame in _frames(outermost):
        called = str(frame.get("to", "")).lower()
        if called == target and as_bytes(frame.get("input", "0x")) == response.data:
            return frame
    return None


def _frames(outermost: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield outermost
    for call in outermost.get("calls", ()):
        yield from _frames(call)
