"""When a used nonce is final: how deep its block has to be, and how recent the view."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import rpc
from ape_dtn.chain.networks import is_local
from ape_dtn.types.errors import NoNetwork
from ape_dtn.types.rpc import Failure, as_bytes, as_int

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


@dataclass(frozen=True)
class Block:
    """A block, unless a reorganisation has removed it.

    Attributes:
        number: Its number.
        hash: Its hash.
    """

    number: int
    hash: str


@dataclass(frozen=True)
class Evidence:
    """What proves that a nonce is used for good, so that a payment may be signed again.

    Attributes:
        known_block: The newest known block. An older view proves nothing about later blocks.
        final_after: The number of blocks after which a block is final, if the chain does not report
            finality. None if the confirmations of a receipt are enough.
        seen: Returns the recorded block in which a sender's nonce was used.
        note: Records that block.
    """

    known_block: int = 0
    final_after: int | None = None
    seen: Callable[[str, int], Block | None] = lambda _sender, _nonce: None
    note: Callable[[str, int, Block], None] = lambda _sender, _nonce, _block: None


def final_block(provider: ProviderAPI, evidence: Evidence) -> int:
    """The number of the newest final block.

    This is the chain's `finalized` block. Networks without finality have none, or report block 0:
    there it is ``evidence.final_after`` blocks below the head, or the required confirmations if
    these are more. On a local chain, or without ``final_after``, the confirmations are enough.

    Raises:
        NoNetwork: The endpoint does not report its latest block.
    """
    confirmations = provider.network.required_confirmations
    if evidence.final_after is None or is_local(provider):
        head = as_int(rpc.result(provider, "eth_blockNumber", []))
        return max(head - confirmations, 0)
    answer, finalized = rpc.ask(
        provider, [("eth_blockNumber", []), ("eth_getBlockByNumber", ["finalized", False])]
    )
    head = as_int(rpc.expect(answer))
    if finalized and not isinstance(finalized, Failure) and as_int(finalized["number"]):
        return min(as_int(finalized["number"]), head)
    return max(head - max(evidence.final_after, confirmations), 0)


def is_used(
    provider: ProviderAPI, sender: str, nonce: int, count: Any, block: int, evidence: Evidence
) -> bool:
    """Whether a nonce was used in or before a final block.

    Only archive nodes keep the state of old blocks. Without it, the block in which the nonce was
    first seen used is recorded, and the nonce counts as used once that block is final.

    Args:
        provider: The connection.
        sender: The account.
        nonce: The nonce.
        count: The account's transaction count at the final block, or a failure.
        block: The final block.
        evidence: Reads and records the block in which the nonce was first seen used.
    """
    if not isinstance(count, Failure):
        return as_int(count) > nonce
    with suppress(NoNetwork):  # unknown for now
        seen = evidence.seen(sender, nonce)
        if seen is not None and _block(provider, hex(seen.number)) == seen:
            return seen.number <= block
        latest = _block(provider, "latest")
        at = [sender, hex(latest.number)] if latest else []
        if latest and as_int(rpc.result(provider, "eth_getTransactionCount", at)) > nonce:
            evidence.note(sender, nonce, latest)
    return False


def _block(provider: ProviderAPI, which: str) -> Block | None:
    found = rpc.result(provider, "eth_getBlockByNumber", [which, False])
    if found is None:
        return None
    return Block(as_int(found["number"]), "0x" + as_bytes(found["hash"]).hex())
