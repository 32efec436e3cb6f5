"""The network of the tests: deployed once a run, from the shipped artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import rpc, transactions
from ape_dtn.chain.errors import NotLocal
from ape_dtn.chain.networks import connected, is_local
from ape_dtn.chain.networks import name as network_name
from ape_dtn.chain.reads import Call
from ape_dtn.client.ai import DtnAi
from ape_dtn.deployment import assemble
from ape_dtn.deployment.assemble import Variant
from ape_dtn.network import client_contract, deployments, reverts
from ape_dtn.network.abi import ERC20
from ape_dtn.network.errors import SessionNotFound
from ape_dtn.node.registration import registration_steps, send_steps
from ape_dtn.testing import state
from ape_dtn.types.ids import id_of
from ape_dtn.types.rpc import as_bytes

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI

    from ape_dtn.client.session import DtnSession
    from ape_dtn.ipfs.content_store import ContentStore
    from ape_dtn.types.amount import Amount, AmountLike


NODE = assemble.NODE
UNTRUSTED = "node.stranger.untrusted"
MODELS = tuple(f"model.system.{name}" for names in assemble.MODELS.values() for name in names)

# What the account of the fixtures has.
POCKET = "1000.00"

# The deterministic deployment proxy, which most chains have, and Anvil too.
DEPLOYER_CODE = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234"
    "f58015156039578182fd5b8082525050506014600cf3"
)


@dataclass(frozen=True)
class DtnTestNetwork:
    """A network of the tests' own, in which anybody can be given tokens.

    Attributes:
        ai: The network.
        variant: How its contracts behave.
        token: The fee token's address.
        node: Full name of the node that answers as it is told, and serves all models.
        untrusted_node: Full name of another node that serves them; nothing trusts it by itself.
        models: Full names of the models; the last gives images, the others text.
        owner: The account that deployed the network and owns it.
        worker: The account that the node answers from.
        untrusted_worker: The account that the other node answers from.
        store: Keeps the answers that travel over IPFS, where ``answer()`` finds them.
    """

    ai: DtnAi
    variant: Variant
    token: str
    owner: AccountAPI = field(repr=False)
    worker: AccountAPI = field(repr=False)
    untrusted_worker: AccountAPI = field(repr=False)
    store: ContentStore = field(repr=False)
    node: str = NODE
    untrusted_node: str = UNTRUSTED
    models: tuple[str, ...] = MODELS

    @property
    def router(self) -> str:
        """The router's address, which contracts are created with."""
        return self.ai.router

    @property
    def node_id(self) -> bytes:
        """The id of the node, as routings name it."""
        return id_of(self.node, "node")

    def amount(self, value: AmountLike) -> Amount:
        """An amount of the fee token, as in ``"25.00"``; its ``units`` are what contracts take."""
        return self.ai.token().amount(value)

    def fund(self, who: Any, value: AmountLike) -> Amount:
        """Gives new tokens to an account or a contract.

        Args:
            who: An account, a contract, or an address.
            value: How much, as in ``"25.00"``.

        Raises:
            InvalidAmount: It is no amount of the fee token.
        """
        given = self.amount(value)
        assemble.fund(self.ai.provider, self.owner, self.token, _address(who), given.units)
        return given

    def balance(self, who: Any) -> Amount:
        """The tokens that an account or a contract has; those of its sessions do not count."""
        call = Call(self.token, ERC20.balance_of, (_address(who),))
        return self.ai.token().units(self.ai.read_one(call))

    def session(self, who: Any) -> DtnSession:
        """The open session of a contract or an account; the latest, where there are several.

        Raises:
            SessionNotFound: It has none.
        """
        from ape_dtn.client.session import DtnSession

        found = DtnSession.list(_address(who), self.ai)
        if not found:
            raise SessionNotFound(None, f"{_address(who)} has no open session.")
        return max((session for session, _ in found), key=lambda session: session.id)

    def create_client(self, account: AccountAPI) -> str:
        """Creates the client contract of an account, with all that it needs, if it is not there.

        Returns:
            The client's address; see :mod:`ape_dtn.network.client_contract`.
        """
        provider, owner = self.ai.provider, str(account.address)
        creating = {
            client_contract.implementation(): client_contract.create_implementation(),
            client_contract.client_of(owner): client_contract.create_client(owner),
        }
        if not _code(provider, client_contract.DEPLOYER):  # as on the in-process chain
            state.set_code(provider, client_contract.DEPLOYER, DEPLOYER_CODE)
        for address, creation in creating.items():
            if not _code(provider, address):
                transactions.send(provider, self.owner, creation, reverts.NO_CONTEXT)
        return client_contract.client_of(owner)


class Networks:
    """The networks of a run, each deployed when it is first asked for.

    Args:
        accounts: Ape's test accounts. The last four are used, which leaves the first to the tests.
        store: Keeps answers on IPFS, and serves them.
    """

    def __init__(self, accounts: Sequence[AccountAPI], store: ContentStore) -> None:
        self.store = store
        self.owner, self.worker, self.untrusted_worker, self.account = (
            accounts[-place] for place in range(1, 5)
        )
        self._deployed: dict[Variant, DtnTestNetwork] = {}

    def of(self, variant: Variant) -> DtnTestNetwork:
        """The network of a variant, which ``DtnAi()`` stands for from now on.

        Raises:
            NotLocal: The connected chain is not one's own.
        """
        if variant not in self._deployed:
            self._deployed[variant] = self._deploy(variant)
        network = self._deployed[variant]
        deployments.remember(network.ai.provider, network.ai.deployment)
        return network

    def _deploy(self, variant: Variant) -> DtnTestNetwork:
        provider = connected()
        if not is_local(provider):
            raise NotLocal(network_name(provider))
        if provider.http_uri:
            # Blocks of one second would share request ids on the live variant; on the public
            # networks there are none.
            rpc.ask(provider, [("anvil_setBlockTimestampInterval", [1])])
        deployed = assemble.deploy(self.owner, self.worker, variant)
        gateways = (self.store.gateway,) if self.store.gateway else ()
        deployments.remember(provider, replace(deployed.ai.deployment, gateways=gateways))
        network = DtnTestNetwork(
            DtnAi(deployed.ai.router, provider),
            variant,
            deployed.token,
            self.owner,
            self.worker,
            self.untrusted_worker,
            self.store,
        )
        workers = {network.node: self.worker, network.untrusted_node: self.untrusted_worker}
        for name, worker in workers.items():
            missing = registration_steps(
                network.ai, self.owner, name, str(worker.address), network.models
            )
            send_steps(network.ai, self.owner, missing)
        network.fund(self.account, POCKET)
        return network


def _code(provider: ProviderAPI, address: str) -> bytes:
    return as_bytes(rpc.result(provider, "eth_getCode", [address, "latest"]))


def _address(who: Any) -> str:
    return who if isinstance(who, str) else str(who.address)
