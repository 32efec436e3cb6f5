"""The connected network: its kind, its name, its data folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import rpc
from ape_dtn.chain.errors import ChainUnreachable, NotConnected, RpcRefused
from ape_dtn.types.http import explain_error
from ape_dtn.types.redact import hide_secrets
from ape_dtn.types.rpc import Request, as_bytes

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


# The first block of a chain. Its hash identifies the chain, apart from forks.
FIRST_BLOCK: Request = ("eth_getBlockByNumber", ["0x0", False])


def first_hash(first_block: Any) -> str:
    """The hash of the first block, without ``0x``, from the result of :data:`FIRST_BLOCK`.

    Raises:
        RpcRefused: The endpoint does not have it.
    """
    block = rpc.expect(first_block)
    if block is None:
        raise RpcRefused("eth_getBlockByNumber", "it does not have the chain's first block")
    return as_bytes(block["hash"]).hex()


def why_not_connected(err: Exception, choice: str) -> str:
    """Find out why Ape could not connect.

    Ape and web3 hide what the endpoint answered, so the endpoint is asked once more.

    Args:
        err: What was raised.
        choice: The network as it was chosen, perhaps with a URL.
    """
    found = re.search(r"https?://[^\s'\"]+", choice) or re.search(r"https?://[^\s'\"]+", str(err))
    if found:
        url = found[0].rstrip(".,:")
        try:
            rpc.probe(url)
        except ChainUnreachable as unreachable:
            return unreachable.message
        except RpcRefused as refused:
            return f"{hide_secrets(url)}: {refused.reason}"
    return hide_secrets(str(err)) or explain_error(err)


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
    """The network's name in Ape. Never its URL, which can contain a key."""
    return f"{provider.network.ecosystem.name}:{provider.network.name}:{provider.name}"


def is_local(provider: ProviderAPI) -> bool:
    """Whether the chain is a local one, or a fork of a public one."""
    return bool(provider.network.is_dev)


def data_folder(provider: ProviderAPI) -> Path:
    """The folder for what is stored about a chain, in Ape's data folder.

    ``APE_DTN_LOCAL_FOLDER`` in the environment sets another folder for local chains, so that tests
    do not write into the user's journal.
    """
    from ape.utils.basemodel import ManagerAccessMixin as access

    own = os.environ.get("APE_DTN_LOCAL_FOLDER") if is_local(provider) else None
    return Path(own or access.config_manager.DATA_FOLDER) / "dtn"
