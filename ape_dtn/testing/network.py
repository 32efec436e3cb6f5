"""The network of the tests, deployed once per run from the shipped artifacts."""

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

# Initial tokens of the fixtures' account.
INITIAL_BALANCE = "1000.00"

# The deterministic deployment proxy, which is on Anvil and most public chains.
DEPLOYER_CODE = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234"
    "f58015156039578182fd5b8082525050506014600cf3"
)


@dataclass(frozen=True)
class DtnTestNetwork:
    """A network for tests, whose fee token can be minted to any account.

    Attributes:
        ai: The network.
        variant: The variant of its contracts.
        token: The fee token's address.
        node: Full name of the mock node, which serves all models.
        untrusted_node: Full name of a second node, which requests do not trust by default.
        models: Full names of the models; the last one's output is images, the others' text.
        owner: The account that deployed the network and owns it.
        worker: The account that the mock node answers from.
        untrusted_worker: The account that the second node answers from.
        store: Stores answers over IPFS, where ``answer()`` reads them.
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
        """The router's address, for constructors of contracts."""
        return self.ai.router

    @property
    def node_id(self) -> bytes:
        """The mock node's id, for routings."""
        return id_of(self.node, "node")

    def amount(self, value: AmountLike) -> Amount:
        """An amount of the fee token, such as ``"25.00"``; contracts take its ``units``."""
        return self.ai.token().amount(value)

    def fund(self, who: Any, value: AmountLike) -> Amount:
        """Mint tokens to an account or a contract.

        Args:
            who: An account, a contract, or an address.
            value: The amount, such as ``"25.00"``.

        Raises:
            InvalidAmount: ``value`` is not an amount of the fee token.
        """
        amount = self.amount(value)
        assemble.fund(self.ai.provider, self.owner, self.token, _address(who), amount.units)
        return amount

    def balance(self, who: Any) -> Amount:
        """The tokens of an account or a contract, without those in its sessions."""
        call = Call(self.token, ERC20.balance_of, (_address(who),))
        return self.ai.token().units(self.ai.read_one(call))

    def session(self, who: Any) -> DtnSession:
        """The open session of a contract or an account; the newest, if there are several.

        Raises:
            SessionNotFound: It has no open session.
        """
        from ape_dtn.client.session import DtnSession

        sessions = DtnSession.list(_address(who), self.ai)
        if not sessions:
            raise SessionNotFound(None, f"{_address(who)} has no open session.")
        return max((session for session, _ in sessions), key=lambda session: session.id)

    def create_client(self, account: AccountAPI) -> str:
        """Deploy the client contract of an account and what it depends on, unless deployed.

        Returns:
            The client's address; see :mod:`ape_dtn.network.client_contract`.
        """
        provider, owner = self.ai.provider, str(account.address)
        creations = {
            client_contract.implementation(): client_contract.create_implementation(),
            client_contract.client_of(owner): client_contract.create_client(owner),
        }
        if not _code(provider, client_contract.DEPLOYER):  # on the in-process chain
            state.set_code(provider, client_contract.DEPLOYER, DEPLOYER_CODE)
        for address, creation in creations.items():
            if not _code(provider, address):
                transactions.send(provider, self.owner, creation, reverts.NO_CONTEXT)
        return client_contract.client_of(owner)


class Networks:
    """The networks of a run, each deployed on first use.

    Args:
        accounts: Ape's test accounts. The last four are used, the others are left to the tests.
        store: Stores answers on IPFS, and serves them.
    """

    def __init__(self, accounts: Sequence[AccountAPI], store: ContentStore) -> None:
        self.store = store
        self.owner, self.worker, self.untrusted_worker, self.account = (
            accounts[-index] for index in range(1, 5)
        )
        self._deployed: dict[Variant, DtnTestNetwork] = {}

    def of(self, variant: Variant) -> DtnTestNetwork:
        """The network of a variant, which also becomes the default of ``DtnAi()``.

        Raises:
            NotLocal: The connected chain is not local.
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
            # On the live variant, requests in blocks with the same timestamp would share ids.
            # Public networks have no such blocks.
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
            steps = registration_steps(
                network.ai, self.owner, name, str(worker.address), network.models
            )
            send_steps(network.ai, self.owner, steps)
        network.fund(self.account, INITIAL_BALANCE)
        return network


def _code(provider: ProviderAPI, address: str) -> bytes:
    return as_bytes(rpc.result(provider, "eth_getCode", [address, "latest"]))


def _address(who: Any) -> str:
    return who if isinstance(who, str) else str(who.address)
