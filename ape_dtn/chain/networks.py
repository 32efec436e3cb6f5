"""What kind of network is connected."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import rpc
from ape_dtn.chain.errors import NotConnected, RpcRefused
from ape_dtn.types.rpc import Request, as_bytes

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


# Asks for a chain's first block: whose hash tells the chain from all others, forks aside.
FIRST_BLOCK: Request = ("eth_getBlockByNumber", ["0x0", False])


def first_hash(first_block: Any) -> str:
    """The hash of a chain's first block, of the answer to :data:`FIRST_BLOCK`, without a prefix.

    Raises:
        RpcRefused: The endpoint does not have it.
    """
    block = rpc.expect(first_block)
    if block is None:
        raise RpcRefused("eth_getBlockByNumber", "it does not have the chain's first block")
    return as_bytes(block["hash"]).hex()


def connected() -> ProviderAPI:
    """The provider that Ape is connected to.

    Raises:
        NotConnected: There is none.
    """
    from ape.utils.basemodel import ManagerAccessMixin as access

    provider: ProviderAPI | None = access.network_manager.active_provider
    if provider is None:
        raise NotConnected
    return provider


def name(provider: ProviderAPI) -> str:
    """The network's name, as Ape has it, and never an address: those carry keys."""
    return f"{provider.network.ecosystem.name}:{provider.network.name}:{provider.name}"


def is_local(provider: ProviderAPI) -> bool:
    """Whether the chain is one's own: a local chain, or a fork of a public one."""
    return bool(provider.network.is_dev)


def data_folder(provider: ProviderAPI) -> Path:
    """Where what has to be remembered of a chain is kept: Ape's data folder.

    ``APE_DTN_LOCAL_FOLDER`` in the environment names another for local chains: tests are not to
    write into the journal of whoever runs them.
    """
    from ape.utils.basemodel import ManagerAccessMixin as access

    own = os.environ.get("APE_DTN_LOCAL_FOLDER") if is_local(provider) else None
    return Path(own or access.config_manager.DATA_FOLDER) / "dtn"
