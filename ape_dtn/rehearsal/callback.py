"""A request's callback, as it ran in the node's response: its gas, and why it reverted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ape_dtn.answers import callbacks
from ape_dtn.answers.answer import Status
from ape_dtn.chain import reads, reverts, rpc
from ape_dtn.chain.abi import Router
from ape_dtn.errors import CallbackFailed, CallbackOutOfGas
from ape_dtn.names import as_hex
from ape_dtn.rehearsal.report import Callback

if TYPE_CHECKING:
    from ape_dtn.answers.record import Record
    from ape_dtn.chain.sends import Receipt, Transaction
    from ape_dtn.rehearsal.fork import Fork
    from ape_dtn.rehearsal.known import Known

# What a callback is given to find out whether it only wants gas, and the response with it. A
# transaction of more than 2 ** 24 is not taken (EIP-7825).
PLENTY, PLENTY_IN_ALL = 10_000_000, 16_000_000

# How near to the least gas it is found, in percent, where a callback needs more than it uses, and
# from where it is looked for, if that is nothing.
NEAR_PERCENT, FIRST_STEP = 1, 1_000

# What any transaction costs, and each of the bytes that come with it, before a contract runs.
TRANSACTION_GAS, ZERO_BYTE_GAS, BYTE_GAS = 21_000, 4, 16

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
        slots: Where the router may keep the gas of the callback: the slots that got its number when
            the request was made.
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
    slots: Sequence[str]

    @cached_property
    def data(self) -> bytes:
        """What the target was called with."""
        call = reads.Call(self.router, Router.get_request, (self.request_id,), contract="router")
        on_success, on_failure, _ = reads.read_one(self.fork.provider, call)[6]
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
    return rpc.as_int(frame["gasUsed"]) if frame else 0  # without code there is nothing to run


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
    """The least gas with which the callback would have succeeded; None where it never would."""

    def succeeds(gas: int) -> bool:
        frame = _with_gas(response, slot, gas)
        return frame is not None and not frame.get("error")

    for slot in response.slots:
        frame = _with_gas(response, slot, PLENTY)
        if frame is not None and rpc.as_int(frame["gas"]) == PLENTY:
            if frame.get("error"):
                return None
            # What it uses is enough, unless it keeps some back from what it calls in turn.
            used = rpc.as_int(frame["gasUsed"])
            return _least(used - 1, succeeds)
    return _called_after(response)


def _with_gas(response: Response, slot: str, gas: int) -> dict[str, Any] | None:
    """The callback's frame, had the request given it so much gas. Nothing is changed."""
    stored = {slot: as_hex(gas.to_bytes(32, "big"))}
    options = {
        "tracer": "callTracer",
        "stateOverrides": {response.router: {"stateDiff": stored}},
    }
    call = {**response.transaction.as_call(response.worker), "gas": hex(PLENTY_IN_ALL)}
    before = hex(response.receipt.block_number - 1)
    (found,) = rpc.ask(response.fork.provider, [("debug_traceCall", [call, before, options])])
    return None if isinstance(found, rpc.Failure) else _frame(response, found)


def _frame(response: Response, outermost: dict[str, Any]) -> dict[str, Any] | None:
    """The router's call of the target, among all calls of a response."""
    target = response.record.callback_target.lower()
    for frame in _frames(outermost):
        called = str(frame.get("to", "")).lower()
        if called == target and rpc.as_bytes(frame.get("input", "0x")) == response.data:
            return frame
    return None


def _frames(outermost: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield outermost
    for each in outermost.get("calls", ()):
        yield from _frames(each)


def _called_after(response: Response) -> int | None:
    """What it needs when the router calls it after the response, where that is all there is to try.

    What the response has read before is dearer then: it is more than is needed, and by the more,
    the more the callback reads.
    """
    data = response.data
    zeros = data.count(0)
    before = TRANSACTION_GAS + zeros * ZERO_BYTE_GAS + (len(data) - zeros) * BYTE_GAS
    call = {"from": response.router, "to": response.record.callback_target, "data": as_hex(data)}

    def succeeds(gas: int) -> bool:
        asked = {**call, "gas": hex(before + gas)}
        (found,) = rpc.ask(response.fork.provider, [("eth_call", [asked, "latest"])])
        return not isinstance(found, rpc.Failure)

    response.fork.fund(response.router)
    given = response.record.callback_gas
    return _least(given, succeeds) if succeeds(PLENTY) else None


def _least(too_little: int, succeeds: Callable[[int], bool]) -> int:
    """The least gas that is enough, to a percent where it is more than what is tried first."""
    enough, tried = PLENTY, too_little + 1
    while enough - too_little > 1 + too_little * NEAR_PERCENT // 100:
        if succeeds(tried):
            enough = tried
        else:
            too_little = tried
        # It is rather near: the steps upwards grow from there.
        tried = min((too_little + enough) // 2, 2 * too_little + FIRST_STEP)
    return enough
