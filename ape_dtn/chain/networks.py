"""What kind of network is connected."""

from __future__ import annotations

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
