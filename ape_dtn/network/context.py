"""The connection that services use: provider, router, deployment, configuration, signer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import ceilings, reads
from ape_dtn.chain.errors import ContractReverted, NoContractAtAddress
from ape_dtn.chain.networks import connected
from ape_dtn.chain.networks import name as network_name
from ape_dtn.chain.reads import Call
from ape_dtn.network import deployments, registry
from ape_dtn.network.abi import ModelManager, Router
from ape_dtn.network.errors import ModelNotFound, NodeNotFound, NodesNotListed
from ape_dtn.network.registry import Contracts
from ape_dtn.network.reverts import NO_CONTEXT, ErrorContext
from ape_dtn.types.amount import Token
from ape_dtn.types.errors import NoAccount, NoNetwork
from ape_dtn.types.ids import Names, id_of, is_name
from ape_dtn.types.model import Model

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI

    from ape_dtn.network.config import DtnConfig
    from ape_dtn.network.registry import Node


class Network:
    """The Deep Trust Network on the connected chain.

    By default, the router is the one configured for the chain, or else the packaged one; see
    :func:`ape_dtn.network.deployments.find`. The other contracts are read from the router at each
    use.

    Args:
        router: The router's address, or a name that Ape can resolve.
        provider: The connection; by default Ape's active provider.
        account: The default signer; by default Ape's default sender.

    Raises:
        NotConnected: Ape is not connected to any network.
        UnknownChain: No router is known for the connected chain.
        WrongChain: The router belongs to another public network.
    """

    def __init__(
        self,
        router: str | None = None,
        provider: ProviderAPI | None = None,
        account: AccountAPI | None = None,
    ) -> None:
        self.provider = provider or connected()
        self.account = account
        self.deployment = deployments.find(self.provider, router)
        config = self.config
        ceilings.configure(
            self.provider.chain_id, config.tip_limit, config.gas_price_limit, config.gas_cost_limit
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.router} on {self.network}>"

    @property
    def network(self) -> str:
        """The network choice in Ape's form, such as ``base:mainnet``."""
        return network_name(self.provider)

    @property
    def router(self) -> str:
        """The router's address. Contracts call it ``ai``."""
        return self.deployment.router

    @property
    def config(self) -> DtnConfig:
        """The ``dtn:`` section of the configuration.

        Raises:
            InvalidOption: A field or an environment variable is invalid.
        """
        from ape_dtn.network.config import configured

        return configured()

    def read(self, *calls: Call, context: ErrorContext = NO_CONTEXT) -> list[Any]:
        """Calls views in one HTTP request; see :func:`ape_dtn.chain.reads.read`."""
        return reads.read(self.provider, *calls, translate=context)

    def read_one(self, call: Call, context: ErrorContext = NO_CONTEXT) -> Any:
        """Calls one view; see :func:`ape_dtn.chain.reads.read`."""
        return reads.read_one(self.provider, call, context)

    def try_read(self, *calls: Call, context: ErrorContext = NO_CONTEXT) -> list[Any]:
        """Calls views in one HTTP request. The result of a failed call is its error."""
        return reads.try_read(self.provider, *calls, translate=context)

    def signer(self, account: AccountAPI | None = None) -> AccountAPI:
        """The account that signs: the argument, this object's account, or Ape's default sender.

        Raises:
            NoAccount: None of them is set.
        """
        from ape.utils.basemodel import ManagerAccessMixin as access

        found: AccountAPI | None = account or self.account or access.account_manager.default_sender
        if found is None:
            raise NoAccount
        return found

    def contracts(self) -> Contracts:
        """Reads the current contract addresses from the router, in one HTTP request.

        Raises:
            NoContractAtAddress: No router is at the address.
        """
        functions = (
            Router.session_manager,
            Router.model_manager,
            Router.node_manager,
            Router.fee_token,
            Router.fee_target,
        )
        calls = [Call(self.router, function, contract="router") for function in functions]
        try:
            return Contracts(*self.read(*calls))
        except ContractReverted as err:  # the contract at the address is no router
            raise NoContractAtAddress(self.router, "router") from err

    def token(self, contracts: Contracts | None = None) -> Token:
        """Reads the fee token, in two HTTP requests, or in one if ``contracts`` is given."""
        token = (contracts or self.contracts()).fee_token
        return Token(token, *self.read(*registry.token_calls(token)))

    def model(self, name: str, contracts: Contracts | None = None) -> Model:
        """Reads a model, in two HTTP requests, or in one if ``contracts`` is given.

        Args:
            name: The model's full name, or its id.
            contracts: The network's contracts, if they were just read.

        Raises:
            InvalidName: The name is not a model's full name or id.
            ModelNotFound: The model is not registered.
        """
        (found,) = self._models([name], contracts or self.contracts())
        if found is None:
            raise ModelNotFound(name)
        return found

    def models(self, contracts: Contracts | None = None) -> Sequence[Model]:
        """Lists the registered models.

        No view lists them, so they are read from the model manager's events. If the endpoint does
        not serve these events, only the models that the deployment and the configuration name are
        listed.
        """
        contracts = contracts or self.contracts()
        try:
            registered = [
                name
                for _, fields in reads.events(
                    self.provider,
                    contracts.model_manager,
                    ModelManager.model_registered,
                    from_block=self.deployment.first_block,
                )
                # Any account can register a model, under any name, also an invalid one.
                if is_name(name := f"{fields['namespace']}.{fields['modelName']}", "model")
            ]
        except NoNetwork:
            registered = []
        names = dict.fromkeys([*registered, *self.deployment.models, self.config.model])
        return [model for model in self._models(names, contracts) if model]

    def node(self, name: str) -> Node:
        """Reads a node by its full name or id, in two HTTP requests.

        Raises:
            InvalidName: The name is not a node's full name or id.
            NodeNotFound: The node is not registered.
        """
        manager = self.contracts().node_manager
        node_id = id_of(name, "node")
        found = registry.to_node(name, *self.read(*registry.node_calls(manager, node_id)))
        if found is None:
            raise NodeNotFound(name)
        return found

    def nodes(self, model: str | None = None) -> list[Node]:
        """Lists the nodes, active or not, that serve a model; by default any known model.

        Raises:
            ModelNotFound: The model is not registered.
            NodesNotListed: The endpoint cannot list all nodes of the model. Without ``model`` this
                is only a warning, and the nodes of other models are listed.
        """
        from ape.logging import logger

        contracts = self.contracts()
        models = [self.model(model, contracts)] if model else self.models(contracts)
        serving: list[bytes] = []
        calls = [registry.serving_call(contracts, served.id) for served in models]
        results = self.try_read(*calls)
        for served, result in zip(models, results, strict=True):
            listed = registry.to_serving(result)
            if listed is None:
                not_listed = NodesNotListed(served.name)
                if model:
                    raise not_listed
                logger.warning(str(not_listed))
            serving += listed or ()
        ids = list(dict.fromkeys(serving))
        calls = [
            call for node_id in ids for call in registry.node_calls(contracts.node_manager, node_id)
        ]
        answers = iter(self.read(*calls)) if calls else iter(())
        names = self.names()
        nodes = [
            registry.to_node(names.of(node_id), next(answers), next(answers)) for node_id in ids
        ]
        return [node for node in nodes if node]

    def names(self) -> Names:
        """The known names of models and nodes, by id."""
        config = self.config
        known = (*self.deployment.models, *self.deployment.nodes, config.model, *config.nodes)
        return Names(*known)

    def _models(self, names: Iterable[str], contracts: Contracts) -> list[Model | None]:
        manager = contracts.model_manager
        ids = {name: id_of(name, "model") for name in names}
        calls = [
            call for model_id in ids.values() for call in registry.model_calls(manager, model_id)
        ]
        answers = iter(self.read(*calls))
        return [registry.to_model(name, next(answers), next(answers)) for name in ids]
