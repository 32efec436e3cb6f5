"""Where the router is: on public networks, and on local chains that we deployed to.

Everything else is found through the router, afresh each time it is used, since its owner can
replace what is behind it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
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


# After how many blocks one counts as final on a network that nothing is known of: an hour of
# blocks of two seconds.
FINAL_AFTER = 1_800


@dataclass(frozen=True)
class Deployment:
    """A network that was deployed.

    Attributes:
        network: Its name, as Ape has it.
        router: The router's checksummed address.
        first_block: The block that its history begins in.
        models: Full names of models known to be registered there, since ids say nothing.
        nodes: Full names of nodes known to be registered there.
        session_managers: Session managers that the router had before its present one.
        gateways: IPFS gateways that have what its nodes answer; asked before those configured.
        variant: How its contracts behave, where they are ours; see ``local.Variant``.
        final_after: After how many blocks a block counts as final, where the chain does not say
            which is.
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


# Its fields that JSON makes lists of; not all of them have always been there.
_NAMED = ("models", "nodes", "session_managers", "gateways")

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
        final_after=900,  # half an hour: its blocks are final with those of Ethereum
    ),
    11155111: Deployment(
        network="ethereum:sepolia",
        router="0x1BC1062B3cCDe51b7727098B0488Fd71c9f784B2",
        first_block=8785379,
        final_after=96,  # three epochs: it takes two
    ),
}


def find(provider: ProviderAPI, router: str | None) -> Deployment:
    """The deployment on the connected chain.

    It is the given router, else the one that ``dtn: routers:`` in the configuration has for the
    chain, else the packaged one, else the one that ``ape dtn deploy`` put on this very chain. Of a
    fork that ``ape dtn devnet`` runs, more is known than of the chain that it was made from.

    Raises:
        InvalidAddress: The router is neither an address nor a name that Ape can resolve.
        UnknownChain: There is none of these.
        WrongChain: The given router is that of another public network.
    """
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
                raise WrongChain(other, chain_id, f"{address} is the router of that one")
        return _of(Deployment(network_name(provider), address), recall(provider))
    remembered = recall(provider)
    if found := _of(packaged, remembered) if packaged else remembered:
        return found
    raise UnknownChain(chain_id, {known: public.network for known, public in PUBLIC.items()})


def _of(known: Deployment, remembered: Deployment | None) -> Deployment:
    """What is remembered, if it is of the same router."""
    return remembered if remembered and remembered.router == known.router else known


def is_fork(provider: ProviderAPI) -> bool:
    """Whether the chain is one's own copy of another, as ``ape dtn devnet --fork`` makes them."""
    return bool(provider.network.is_fork) or (is_local(provider) and provider.chain_id in PUBLIC)


def remember(provider: ProviderAPI, deployment: Deployment) -> None:
    """Keeps a local deployment for later commands.

    It is kept by the hash of the chain's first block, so that a chain that is started anew is not
    taken for the one before. The in-process chain does not outlive the process: it is kept in
    memory alone.
    """
    path = _path(provider)
    _in_this_process[path.stem] = deployment
    if provider.http_uri is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(vars(deployment), indent=2))


_in_this_process: dict[str, Deployment] = {}


def recall(provider: ProviderAPI) -> Deployment | None:
    """What was remembered of the connected chain, if it is a local one."""
    if not is_local(provider):
        return None
    path = _path(provider)
    if path.stem in _in_this_process:
        return _in_this_process[path.stem]
    if not path.is_file():
        return None
    kept = json.loads(path.read_text())
    return Deployment(**{**kept, **{name: tuple(kept.get(name, ())) for name in _NAMED}})


def _path(provider: ProviderAPI) -> Path:
    """A file for each chain, so that nobody writes over what others keep of other chains."""
    (first_block,) = rpc.ask(provider, [FIRST_BLOCK])
    return data_folder(provider) / "deployments" / f"{first_hash(first_block)}.json"
