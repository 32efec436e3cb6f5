"""What kind of network is connected."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ape_dtn.errors import NotConnected

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


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
