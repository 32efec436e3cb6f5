"""Why a callback reverted. The router goes on when one does, and leaves an event of it."""

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

# How many blocks may share one time: chains that are that quick have a few in each second.
BLOCKS_OF_A_TIME = 32


def failure(
    ai: Network, request_id: bytes, record: Record, block: int | None = None
) -> CallbackFailed | None:
    """Why the callback of an answered request reverted; None where it did not, or there is none.

    Args:
        ai: The network.
        request_id: The request.
        record: What the chain keeps of it.
        block: The block that holds the answer. Without it, that is searched for by its time, which
            takes some 25 RPC calls.
    """
    if not record.has_callback:
        return None
    try:
        first, last = (block, block) if block is not None else blocks_of(ai, record.answered_at)
        topics = [[event.topic for event in _FAILED], as_hex(request_id)]
        logs = reads.logs(ai.provider, ai.router, topics, first, last)
    except RpcRefused as err:
        from ape.logging import logger

        logger.warning(f"Whether the callback of {as_hex(request_id)} reverted is not known: {err}")
        return None
    if not logs:
        return None
    (event,) = (each for each in _FAILED if each.matches(logs[-1]))
    return callback_failed(
        as_hex(request_id), record.callback_target, event.decode(logs[-1])["data"]
    )


def callback_failed(request_id: str, target: str, data: bytes) -> CallbackFailed:
    """The error of what a callback reverted with, named as far as its target's errors are known."""
    revert = reverts.decode(data, "it gave no reason, and may have run out of its gas")
    if data and not revert.name:
        revert = _by_abi(data, target) or revert
    error = CallbackFailed(request_id, target, str(revert))
    error.revert = revert
    return error


def _by_abi(data: bytes, target: str) -> Revert | None:
    for abi in _known_errors(target):
        if keccak(text=abi.selector)[:4] == data[:4]:
            with contextlib.suppress(DecodingError, ValueError):
                values = decode([each.canonical_type for each in abi.inputs], data[4:])
                names = [each.name or str(place) for place, each in enumerate(abi.inputs)]
                return Revert(abi.name, dict(zip(names, values, strict=True)), data)
    return None


def _known_errors(target: str) -> Iterator[ErrorABI]:
    """The errors of the target, and of the project's contracts, that Ape knows without asking."""
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


def blocks_of(ai: Network, time: int) -> tuple[int, int]:
    """The blocks that a time could be the time of.

    Raises:
        RpcRefused: The endpoint does not have one of the blocks that it should have.
    """
    head = as_int(rpc.result(ai.provider, "eth_blockNumber", []))

    def time_of(block: int) -> int:
        found = rpc.result(ai.provider, "eth_getBlockByNumber", [hex(block), False])
        if found is None:  # of a node that is behind
            raise RpcRefused("eth_getBlockByNumber", f"it does not have block {block}")
        return as_int(found["timestamp"])

    blocks = range(ai.deployment.first_block, head + 1)
    first = blocks[min(bisect_left(blocks, time, key=time_of), len(blocks) - 1)]
    return first, min(first + BLOCKS_OF_A_TIME - 1, head)
