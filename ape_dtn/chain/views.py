"""Read your own writes: ignore views of the chain that are older than a known block.

Nodes behind an endpoint can lag. After a receipt in block N, a view before N is stale: a session
that is open is missing in it. Known blocks are remembered per connection.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ape_dtn.chain import rpc
from ape_dtn.chain.endpoint import all_endpoints
from ape_dtn.chain.errors import RpcRefused
from ape_dtn.chain.networks import is_local
from ape_dtn.types.polling import POLICY
from ape_dtn.types.rpc import Refusal

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


def known_block(provider: ProviderAPI) -> int:
    """The newest block that is known to be on the chain; 0 for none."""
    # The chain in this process has one view only.
    return rpc.endpoint(provider).known_block if provider.http_uri else 0


def note(provider: ProviderAPI, block: int) -> None:
    """Remember that a block is on the chain."""
    endpoint = rpc.endpoint(provider)
    endpoint.known_block = max(endpoint.known_block, block)


def forget() -> None:
    """Forget all known blocks, for tests that reset the chain."""
    for endpoint in all_endpoints():
        endpoint.known_block, endpoint.behind_since = 0, None


def check(provider: ProviderAPI, head: int, method: str) -> None:
    """Check that a view has the known block.

    A local chain that stays behind was reset on purpose: its known block is forgotten.

    Args:
        provider: The connection.
        head: The latest block of the view.
        method: The method that was called, for the error.

    Raises:
        RpcRefused: The view is stale.
    """
    endpoint, now = rpc.endpoint(provider), time.monotonic()
    if head >= endpoint.known_block:
        endpoint.behind_since = None
        return
    endpoint.behind_since = endpoint.behind_since or now
    if is_local(provider) and now - endpoint.behind_since > POLICY.local_lag_patience:
        endpoint.known_block, endpoint.behind_since = 0, None
        return
    reason = f"the endpoint is at block {head}, and block {endpoint.known_block} is known"
    raise RpcRefused(method, reason, Refusal.BEHIND)
