"""Finds out why a callback reverted. The router emits an event then, and keeps the answer."""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from eth_abi.exceptions import DecodingError
from eth_utils import keccak

from ape_dtn.chain import reads, rpc
from ape_dtn.chain.errors import RpcRefused
from ape_dtn.network import reverts
from ape_dtn.network.abi import Router
from ape_dtn.types.abi import decode
from ape_dtn.types.errors import CallbackFailed
from ape_dtn.types.ids import as_hex
from ape_dtn.types.reverts import Revert
from ape_dtn.types.rpc import as_int

if TYPE_CHECKING:
    from ethpm_types.abi import ErrorABI

    from ape_dtn.network.context import Network
    from ape_dtn.network.requests import Record


_FAILED = (Router.success_callback_failed, Router.failure_callback_failed)

# The most blocks that share one timestamp: fast chains have several a second.
BLOCKS_PER_TIMESTAMP = 32


def failure(
    ai: Network, request_id: bytes, record: Record, block: int | None = None
) -> CallbackFailed | None:
    """Why the callback of an answered request reverted; None if it did not, or if it has none.

    Without the answer's block, a search by its time takes about 25 RPC calls.
    """
    if not record.has_callback:
        return None
    try:
        first, last = (block, block) if block is not None else blocks_at(ai, record.answered_at)
        topics = [[event.topic for event in _FAILED], as_hex(request_id)]
        logs = reads.logs(ai.provider, ai.router, topics, first, last)
    except RpcRefused as err:
        from ape.logging import logger

        logger.warning(f"The callback of {as_hex(request_id)} may have reverted: {err}")
        return None
    if not logs:
        return None
    (event,) = (event for event in _FAILED if event.matches(logs[-1]))
    return callback_failed(
        as_hex(request_id), record.callback_target, event.decode(logs[-1])["data"]
    )


def callback_failed(request_id: str, target: str, data: bytes) -> CallbackFailed:
    """The error of a reverted callback, decoded with its target's ABI if Ape knows that."""
    revert = reverts.decode(data, "it gave no reason, and may have run out of gas")
    if data and not revert.name:
        revert = _by_abi(data, target) or revert
    error = CallbackFailed(request_id, target, str(revert))
    error.revert = revert
    return error


def _by_abi(data: bytes, target: str) -> Revert | None:
    for abi in _known_errors(target):
        if keccak(text=abi.selector)[:4] == data[:4]:
            with contextlib.suppress(DecodingError, ValueError):
                values = decode([field.canonical_type for field in abi.inputs], data[4:])
                names = [field.name or str(place) for place, field in enumerate(abi.inputs)]
                return Revert(abi.name, dict(zip(names, values, strict=True)), data)
    return None


def _known_errors(target: str) -> Iterator[ErrorABI]:
    """The errors of the target and of the local project, as far as Ape has their ABIs at hand."""
    from ape.exceptions import ApeException
    from ape.utils.basemodel import ManagerAccessMixin as access

    known: list[Any] = []
    with contextlib.suppress(ApeException):
        known.append(access.chain_manager.contracts.contract_types.get_type(target))
    with contextlib.suppress(ApeException):
        known += (access.local_project.manifest.contract_types or {}).values()
    for contract_type in known:
        if contract_type is not None:
            yield from contract_type.errors


def blocks_at(ai: Network, time: int) -> tuple[int, int]:
    """The first and the last block that can have a timestamp.

    Raises:
        RpcRefused: The endpoint lacks a block, for example because it lags.
    """
    head = as_int(rpc.result(ai.provider, "eth_blockNumber", []))

    def time_of(block: int) -> int:
        found = rpc.result(ai.provider, "eth_getBlockByNumber", [hex(block), False])
        if found is None:
            raise RpcRefused("eth_getBlockByNumber", f"it does not have block {block}")
        return as_int(found["timestamp"])

    blocks = range(ai.deployment.first_block, head + 1)
    first = blocks[min(bisect_left(blocks, time, key=time_of), len(blocks) - 1)]
    return first, min(first + BLOCKS_PER_TIMESTAMP - 1, head)
