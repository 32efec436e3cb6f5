"""How deep a block has to be, and how new a view, before a used nonce is believed to stay used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ape_dtn.chain import rpc
from ape_dtn.chain.networks import is_local
from ape_dtn.types.rpc import Failure, as_int

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


@dataclass(frozen=True)
class Evidence:
    """What is asked of a view of the chain before something is signed anew for it.

    Attributes:
        known_block: The newest block that is known of: an older view says nothing of what came
            after it.
        final_after: After how many blocks a block counts as final, where the chain does not say
            so. None where as many are enough as a receipt has to have.
    """

    known_block: int = 0
    final_after: int | None = None


def final_block(provider: ProviderAPI, evidence: Evidence) -> int:
    """The newest block that no reorganisation takes back.

    It is what the chain calls `finalized`, where it does; else as many blocks below its head as
    the network's registry says. A chain of one's own, where nobody else makes blocks, is taken
    back on purpose alone: there a block is final when a receipt in it counts as confirmed.

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
    if finalized and not isinstance(finalized, Failure):
        return min(as_int(finalized["number"]), head)
    return max(head - max(evidence.final_after, confirmations), 0)
