"""A request's callback, as it ran in the node's response: its gas, and why it reverted."""

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
    from ape_dtn.rehearsal.known import Known
    from ape_dtn.types.transactions import Receipt, Transaction


# What a callback is given to find out whether it only wants gas.
PLENTY = 10_000_000

# What any transaction costs before a contract runs, and each of the bytes, addresses and slots of
# storage that come with it.
TRANSACTION_GAS, ZERO_BYTE_GAS, BYTE_GAS, ADDRESS_GAS, SLOT_GAS = 21_000, 4, 16, 2_400, 1_900

_FAILED = (Router.success_callback_failed, Router.failure_callback_failed)


@dataclass(frozen=True)
class Response:
    """A node's response that was mined on the copy.

    Attributes:
        fork: The copy.
        router: The router.
        known: The contracts that are known.
        request_id: The request.
        record: What the chain kept of it before.
        status: What the node responded with.
        worker: Who sent it.
        transaction: What was sent.
        receipt: Its receipt.
    """

    fork: Fork
    router: str
    known: Known
    request_id: bytes
    record: Record
    status: Status
    worker: str
    transaction: Transaction
    receipt: Receipt

    @cached_property
    def data(self) -> bytes:
        """What the target was called with."""
        call = reads.Call(self.router, Router.get_request, (self.request_id,), contract="router")
        on_success, on_failure, _ = reads.read_one(self.fork.provider, call, reverts.NO_CONTEXT)[6]
        chosen = on_success if self.status is Status.SUCCESS else on_failure
        return bytes(chosen) + self.request_id


def of(response: Response) -> Callback | None:
    """The callback of an answered request; None where it asked for none."""
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
    if not response.fork.tells_traces:
        return None
    frame = _frame(response, response.fork.trace(response.receipt.transaction))
    return as_int(frame["gasUsed"]) if frame else 0  # without code there is nothing to run


def _failure(response: Response) -> CallbackFailed | None:
    """Why it reverted: for want of gas, where it would not with more of it."""
    logs = response.receipt.logs
    failed = [each for kind in _FAILED for each in kind.find(logs, response.router)]
    data = next((each["data"] for each in failed if each["requestId"] == response.request_id), None)
    if data is None:
        return None
    request_id, target = as_hex(response.request_id), response.record.callback_target
    given, needed = response.record.callback_gas, _needed(response)
    if needed is not None and needed > given:
        error: CallbackFailed = CallbackOutOfGas(request_id, target, given, needed)
        error.hint = f"Ask with a callbackGas of {needed} or more, and as many wei."
        return error
    revert = reverts.decode(data)
    named = response.known.name_revert(revert, target)
    if named is revert:
        error = callbacks.callback_failed(request_id, target, data)
    else:
        error = CallbackFailed(request_id, target, str(named))
        error.revert = named
    error.hint = ""  # there is no answer to be read but on the copy
    return error


def _needed(response: Response) -> int | None:
    """The least gas with which the callback would have succeeded; None where it never would.

    The router calls it once more, after the response: the one that failed has left nothing.
    """
    data, warm = response.data, _warm(response)
    zeros, slots = data.count(0), sum(len(each["storageKeys"]) for each in warm)
    before = TRANSACTION_GAS + zeros * ZERO_BYTE_GAS + (len(data) - zeros) * BYTE_GAS
    before += len(warm) * ADDRESS_GAS + slots * SLOT_GAS
    target = response.record.callback_target
    call: dict[str, Any] = {"from": response.router, "to": target, "data": as_hex(data)}
    if warm:
        call["accessList"] = warm

    def succeeds(gas: int) -> bool:
        asked = {**call, "gas": hex(before + gas)}
        (found,) = rpc.ask(response.fork.provider, [("eth_call", [asked, "latest"])])
        return not isinstance(found, Failure)

    if not response.fork.tells_traces:  # it takes no call of who could not pay the gas
        response.fork.fund(response.router)
    if not succeeds(PLENTY):
        return None
    too_little, enough = response.record.callback_gas, PLENTY
    while enough - too_little > 1:
        tried = (too_little + enough) // 2
        if succeeds(tried):
            enough = tried
        else:
            too_little = tried
    return enough


def _warm(response: Response) -> list[dict[str, Any]]:
    """What the response has read when it calls back, as an access list: to read it again is cheap.

    Where the chain does not tell, more than is needed is found, and by the more, the more the
    callback reads of that.
    """
    if not response.fork.tells_traces:
        return []
    call = response.transaction.as_call(response.worker)
    options = {
        "tracer": "prestateTracer",
        "stateOverrides": {response.record.callback_target: {"code": "0x"}},
    }
    before = hex(response.receipt.block_number - 1)
    read = rpc.result(response.fork.provider, "debug_traceCall", [call, before, options])
    return [
        {"address": address, "storageKeys": list(account.get("storage", ()))}
        for address, account in read.items()
    ]


def _frame(response: Response, outermost: dict[str, Any]) -> dict[str, Any] | None:
    """The router's call of the target, among all calls of a response."""
    target = response.record.callback_target.lower()
    for frame in _frames(outermost):
        called = str(frame.get("to", "")).lower()
        if called == target and as_bytes(frame.get("input", "0x")) == response.data:
            return frame
    return None


def _frames(outermost: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield outermost
    for each in outermost.get("calls", ()):
        yield from _frames(each)
