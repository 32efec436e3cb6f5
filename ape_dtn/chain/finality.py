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
    """What a view of the chain has to meet before a transaction is signed again.

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
    """The newest block that no reorganisation takes back.

    It is the chain's `finalized` block, unless it has none or says block 0, as networks without
    finality do. Then it is as many blocks below the head as the network's registry says. On a
    local chain a block is final when a receipt in it counts as confirmed.

    Raises:
        NoNetwork: The endpoint does not say what its latest block is.
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
    """Whether a nonce was used by a final block.

    A node that is no archive may keep no state as old as that. Where it does not, the nonce is used
    for good when the block is final in which that was first seen.

    Args:
        provider: The connection.
        sender: Whose nonce it is.
        nonce: The nonce.
        count: How many transactions the sender had sent as of the final block; or a failure.
        block: The final block.
        evidence: What was seen before.
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
