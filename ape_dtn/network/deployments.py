"""Deployments of the network: the packaged public ones, and those recorded on local chains.

Only the router's address is recorded. The other contracts are read from the router at each use,
because its owner can replace them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ape_dtn.chain import rpc
from ape_dtn.chain.errors import WrongChain
from ape_dtn.chain.networks import FIRST_BLOCK, data_folder, first_hash, is_local
from ape_dtn.chain.networks import name as network_name
from ape_dtn.network.errors import UnknownChain
from ape_dtn.types.errors import InvalidAddress
from ape_dtn.types.files import write_whole

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


# Blocks until finality on an unknown network: one hour of blocks of two seconds.
FINAL_AFTER = 1_800


@dataclass(frozen=True)
class Deployment:
    """A deployment of the network on one chain.

    Attributes:
        network: The network choice in Ape's form, such as ``base:mainnet``.
        router: The router's checksummed address.
        first_block: The block from which logs are read.
        models: Full names of known models. The chain has their ids only.
        nodes: Full names of known nodes. The chain has their ids only.
        session_managers: Former session managers of the router.
        gateways: IPFS gateways with the content of its answers; tried before the configured ones.
        variant: The variant of the contracts (``deployment.assemble.Variant``); None if unknown.
        final_after: Blocks until finality, if the chain does not report its final block.
    """

    network: str
    router: str
    first_block: int = 0
    models: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    session_managers: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    variant: str | None = None
    final_after: int = FINAL_AFTER


# The fields that are tuples, and lists in JSON. Files of earlier versions lack some.
_TUPLES = ("models", "nodes", "session_managers", "gateways")

PUBLIC: dict[int, Deployment] = {
    8453: Deployment(
        network="base:mainnet",
        router="0x45B80f551646fDaC777A4991FbdA748Fc5A72194",
        first_block=34500950,
        models=(
            "model.system.openai-gpt-5",
            "model.system.openai-gpt-5-mini",
            "model.system.openai-gpt-5-nano",
            "model.system.openai-gpt-image-1",
        ),
        session_managers=("0x8aaEb07881eb18183fFE98afF10b55f8e7318536",),
        final_after=900,  # half an hour: Base is final when its blocks are final on Ethereum
    ),
    11155111: Deployment(
        network="ethereum:sepolia",
        router="0x1BC1062B3cCDe51b7727098B0488Fd71c9f784B2",
        first_block=8785379,
        final_after=96,  # three epochs: finality takes two
    ),
}


def find(provider: ProviderAPI, router: str | None) -> Deployment:
    """Finds the deployment on the connected chain.

    The router is the argument, or else that of ``dtn: routers:`` in the configuration, or else the
    packaged one of the chain, or else the one recorded for a local chain. A recorded deployment of
    the same router, such as that of a fork, has more fields and replaces the packaged one. A
    configured ``first_block`` replaces that of the deployment.

    Raises:
        InvalidAddress: The router is neither an address nor a name that Ape can resolve.
        UnknownChain: No router is known for the chain.
        WrongChain: The router belongs to another public network.
    """
    from ape_dtn.network.config import configured

    found = _find(provider, router)
    first_block = configured().first_block
    if isinstance(first_block, dict):
        first_block = first_block.get(provider.chain_id)
    return found if first_block is None else replace(found, first_block=first_block)


def _find(provider: ProviderAPI, router: str | None) -> Deployment:
    from ape.exceptions import ConversionError
    from ape.types import AddressType
    from ape.utils.basemodel import ManagerAccessMixin as access

    from ape_dtn.network.config import configured

    chain_id = provider.chain_id
    packaged = PUBLIC.get(chain_id)
    in_config = configured().routers.get(chain_id)
    if chosen := router or in_config:
        try:
            address = str(access.conversion_manager.convert(chosen, AddressType))
        except ConversionError as err:
            raise InvalidAddress(chosen) from err
        if packaged and address == packaged.router:
            return _of(packaged, recall(provider))
        for other, deployment in PUBLIC.items():
            if deployment.router == address:
                raise WrongChain(other, chain_id, f"{address} is the router of chain {other}")
        return _of(Deployment(network_name(provider), address), recall(provider))
    recorded = recall(provider)
    if found := _of(packaged, recorded) if packaged else recorded:
        return found
    raise UnknownChain(chain_id, {known: public.network for known, public in PUBLIC.items()})


def _of(known: Deployment, recorded: Deployment | None) -> Deployment:
    """The recorded deployment, if its router is the same."""
    return recorded if recorded and recorded.router == known.router else known


def is_fork(provider: ProviderAPI) -> bool:
    """Whether the chain is a local fork, such as that of ``ape dtn devnet --fork``."""
    return bool(provider.network.is_fork) or (is_local(provider) and provider.chain_id in PUBLIC)


def remember(provider: ProviderAPI, deployment: Deployment) -> None:
    """Records the deployment of a local chain for later commands.

    The key is the hash of the chain's first block, so that a restarted chain is a different chain.
    A deployment on the in-process chain is recorded in memory only.
    """
    path = _path(provider)
    _in_this_process[path.stem] = deployment
    if provider.http_uri is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(vars(deployment), indent=2))


_in_this_process: dict[str, Deployment] = {}


def recall(provider: ProviderAPI) -> Deployment | None:
    """The recorded deployment of a local chain; None for other chains, or without a record."""
    if not is_local(provider):
        return None
    path = _path(provider)
    if path.stem in _in_this_process:
        return _in_this_process[path.stem]
    if not path.is_file():
        return None
    fields = json.loads(path.read_text())
    return Deployment(**{**fields, **{name: tuple(fields.get(name, ())) for name in _TUPLES}})


def _path(provider: ProviderAPI) -> Path:
    """One file for each chain, so that processes on different chains write different files."""
    (first_block,) = rpc.ask(provider, [FIRST_BLOCK])
    return data_folder(provider) / "deployments" / f"{first_hash(first_block)}.json"
