"""The network as a whole: its contracts, its models and its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from ape_dtn import deployments
from ape_dtn.amount import Token
from ape_dtn.asking.model import Api, Model
from ape_dtn.chain import reads
from ape_dtn.chain.abi import ERC20, ModelManager, NodeManager, Router
from ape_dtn.chain.networks import connected
from ape_dtn.chain.networks import name as network_name
from ape_dtn.chain.reads import Call
from ape_dtn.errors import (
    ContractReverted,
    DtnError,
    InsufficientFunds,
    InvalidOption,
    ModelNotFound,
    NoAccount,
    NoContractAtAddress,
    NodeNotFound,
    NodesNotListed,
    NoNetwork,
)
from ape_dtn.names import Names, id_of, is_name

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI

    from ape_dtn.amount import AmountLike
    from ape_dtn.answers.answer import CallType
    from ape_dtn.answers.request import DtnRequest
    from ape_dtn.answers.watch import Watch
    from ape_dtn.asking.options import Options
    from ape_dtn.asking.quote import Quote
    from ape_dtn.config import DtnConfig
    from ape_dtn.session import DtnSession
    from ape_dtn.starting.methods import Method


@dataclass(frozen=True)
class Contracts:
    """What is behind the router at this moment. Its owner can replace it, so it is never kept.

    Attributes:
        session_manager: ``router.sessionManager()``
        model_manager: ``router.modelManager()``
        node_manager: ``router.nodeManager()``
        fee_token: ``router.feeToken()``
        fee_target: ``router.feeTarget()``, where deposits are sent.
    """

    session_manager: str
    model_manager: str
    node_manager: str
    fee_token: str
    fee_target: str


@dataclass(frozen=True)
class Node:
    """A registered node (``NodeManager.getNode``).

    Attributes:
        name: Its full name, or its id where the name is not known.
        id: keccak-256 of the full name.
        owner: The account that manages it.
        worker: The account that answers and is paid.
        is_active: Whether it may answer.
        models: Ids of the models that it serves.
        namespaces: Until when it is trusted by each trust namespace, by the namespace's id, in
            seconds since 1970.
    """

    name: str
    id: bytes
    owner: str
    worker: str
    is_active: bool
    models: tuple[bytes, ...]
    namespaces: Mapping[bytes, int] = field(default_factory=dict)


class DtnAi:
    """The Deep Trust Network on the connected chain.

    The router is the one given, else the one configured for the chain, else the packaged one; see
    :func:`ape_dtn.deployments.find`. All else is read from the router whenever it is used.

    Args:
        router: The router's address, or a name that Ape can resolve.
        provider: The connection; by default the one that Ape is connected with now.
        account: Who signs, where nobody else is named; by default Ape's default sender.

    Raises:
        NotConnected: Ape is not connected to any network.
        UnknownChain: No router is known for the connected chain.
        WrongChain: The router is that of another public network.
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

    def __repr__(self) -> str:
        return f"<DtnAi {self.router} on {self.network}>"

    @property
    def network(self) -> str:
        """The network's name, as Ape has it."""
        return network_name(self.provider)

    @property
    def router(self) -> str:
        """The router's address, which is what contracts call ``ai``."""
        return self.deployment.router

    @property
    def config(self) -> DtnConfig:
        """The ``dtn:`` section of the configuration.

        Raises:
            InvalidOption: Something in it, or in the environment, cannot be so.
        """
        from ape_dtn.config import configured

        return configured()

    def signer(self, account: AccountAPI | None = None) -> AccountAPI:
        """Who signs: the account that is given, else that of this object, else Ape's default.

        Raises:
            NoAccount: There is none of these.
        """
        from ape.utils.basemodel import ManagerAccessMixin as access

        found: AccountAPI | None = account or self.account or access.account_manager.default_sender
        if found is None:
            raise NoAccount
        return found

    def contracts(self) -> Contracts:
        """What is behind the router now, in one HTTP request.

        Raises:
            NoContractAtAddress: There is no router at the address.
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
            return Contracts(*reads.read(self.provider, *calls))
        except ContractReverted as err:  # a contract that has no such functions
            raise NoContractAtAddress(self.router, "router") from err

    def token(self, contracts: Contracts | None = None) -> Token:
        """The fee token, in two HTTP requests, or one where the contracts were just read."""
        token = (contracts or self.contracts()).fee_token
        return Token(token, *reads.read(self.provider, *token_calls(token)))

    def model(self, name: str, contracts: Contracts | None = None) -> Model:
        """A model by its full name or id, in two HTTP requests, or one as with :meth:`token`.

        Raises:
            InvalidName: It is no name of a model.
            ModelNotFound: It is not registered.
        """
        (found,) = self._models([name], contracts or self.contracts())
        if found is None:
            raise ModelNotFound(name)
        return found

    def models(self, contracts: Contracts | None = None) -> list[Model]:
        """All models that are registered, as far as they can be found.

        No view lists them: they are taken from the registry's events, and where the endpoint does
        not serve these so far back, from the names that are known.
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
                # Anybody may register a model, and under any name.
                if is_name(name := f"{fields['namespace']}.{fields['modelName']}", "model")
            ]
        except NoNetwork:
            registered = []
        names = dict.fromkeys([*registered, *self.deployment.models, self.config.model])
        return [model for model in self._models(names, contracts) if model]

    def node(self, name: str) -> Node:
        """A node by its full name or id, in two HTTP requests.

        Raises:
            InvalidName: It is no name of a node.
            NodeNotFound: It is not registered.
        """
        manager = self.contracts().node_manager
        node_id = id_of(name, "node")
        found = to_node(name, *reads.read(self.provider, *node_calls(manager, node_id)))
        if found is None:
            raise NodeNotFound(name)
        return found

    def nodes(self, model: str | None = None) -> list[Node]:
        """The nodes that serve a model, or any model that is known; active or not.

        Raises:
            ModelNotFound: The model is not registered.
            NodesNotListed: More nodes serve the model than can be read. Where all models are asked
                for, that is a warning, and the nodes of the others are there.
        """
        from ape.logging import logger

        contracts = self.contracts()
        found_models = [self.model(model, contracts)] if model else self.models(contracts)
        serving: list[bytes] = []
        calls = [serving_call(contracts, each.id) for each in found_models]
        results = reads.try_read(self.provider, *calls)
        for each, result in zip(found_models, results, strict=True):
            listed = to_serving(result)
            if listed is None:
                not_listed = NodesNotListed(each.name)
                if model:
                    raise not_listed
                logger.warning(str(not_listed))
            serving += listed or ()
        ids = list(dict.fromkeys(serving))
        calls = [call for node_id in ids for call in node_calls(contracts.node_manager, node_id)]
        answers = iter(reads.read(self.provider, *calls)) if calls else iter(())
        names = self.names()
        found = (to_node(names.of(each), next(answers), next(answers)) for each in ids)
        return [node for node in found if node]

    def request(
        self,
        *values: Any,
        session: DtnSession | int | None = None,
        account: AccountAPI | None = None,
        deposit: AmountLike | None = None,
        method: Method | str | None = None,
        unsafe_two_step: bool = False,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> DtnRequest:
        """Asks, on a session, or without one: then a session is opened for it first.

        It stays open afterwards: ``request.session_id`` names it, and what is left of it is
        refunded when it is closed.

        Args:
            values: What the model takes; see :meth:`ape_dtn.session.DtnSession.draft`.
            session: The session that pays; None or 0 to open one.
            account: Who signs; by default the session's, else this object's, else Ape's default.
            deposit: What a new session is opened with; by default what the answer may cost.
            method: See :meth:`ape_dtn.session.DtnSession.start`.
            unsafe_two_step: See :meth:`ape_dtn.session.DtnSession.start`.
            idempotency_key: Under which one session is opened and one request sent, however often
                it is asked for.
            options: See :class:`~ape_dtn.asking.draft.Options`.

        Raises:
            DtnError: What :func:`ape_dtn.asking.draft.draft` and ``DtnSession.start`` raise.
                Whatever is wrong with the request is found before a session is opened.
        """
        from ape_dtn.asking.draft import draft
        from ape_dtn.journal.once import check_free
        from ape_dtn.journal.once import checked as checked_key
        from ape_dtn.session import DtnSession

        if session and deposit is not None:
            raise InvalidOption("deposit", "a session that is open cannot be filled up")
        if session:
            paying = session if isinstance(session, DtnSession) else DtnSession(self, session)
            signer = account or paying.account or self.account
            return paying.request(
                *values, account=signer, idempotency_key=idempotency_key, **options
            )
        signer, key = self.signer(account), idempotency_key
        if key is not None:
            amount = deposit or options.get("most_it_may_cost") or self.config.most_it_may_cost
            if opened := DtnSession.started_by(f"{checked_key(key)}/start", amount, signer, self):
                return opened.request(*values, idempotency_key=f"{key}/request", **options)
            check_free(self, signer, f"{key}/request")
        checked = draft(self, signer, values, None, options)
        most = checked.most_it_may_cost
        funds = most if deposit is None else most.token.amount(deposit)
        if funds < most:
            raise InsufficientFunds("the new session", most, funds)
        opened = DtnSession.start(
            funds,
            signer,
            self,
            method=method,
            unsafe_two_step=unsafe_two_step,
            idempotency_key=key and f"{key}/start",
        )
        try:
            return opened.send(checked, key and f"{key}/request")
        except DtnError as err:
            err.fields.setdefault("session_id", opened.id)
            err.hint = f"Session {opened.id} is open with {funds}. {err.hint or ''}".strip()
            raise

    def quote(
        self,
        *values: Any,
        models: str | Sequence[str] | None = None,
        call_types: CallType | Sequence[CallType] | None = None,
        session: DtnSession | int | None = None,
        account: AccountAPI | None = None,
        answer_bytes: int | None = None,
        **options: Unpack[Options],
    ) -> list[Quote]:
        """What a request would cost, of each model and by each call type, without sending it.

        See :func:`ape_dtn.asking.quote.quote`.
        """
        from ape_dtn.asking.quote import quote

        return quote(
            self,
            *values,
            models=models,
            call_types=call_types,
            session=session,
            account=account,
            answer_bytes=answer_bytes,
            **options,
        )

    def watch(
        self,
        *,
        session: DtnSession | int | None = None,
        owner: AccountAPI | str | None = None,
        requests: Iterable[DtnRequest] | None = None,
        since: str | None = None,
        confirmations: int | None = None,
        timeout: float | None = None,
    ) -> Watch:
        """Every answer of a session, an owner or some requests, to be iterated, or by ``async``.

        See :class:`ape_dtn.answers.watch.Watch`.
        """
        from ape_dtn.answers.watch import Watch

        return Watch(
            self,
            session=session,
            owner=owner,
            requests=requests,
            since=since,
            confirmations=confirmations,
            timeout=timeout,
        )

    def names(self) -> Names:
        """The names that are known for the ids of models and nodes."""
        config = self.config
        known = (*self.deployment.models, *self.deployment.nodes, config.model, *config.nodes)
        return Names(*known)

    def _models(self, names: Iterable[str], contracts: Contracts) -> list[Model | None]:
        manager = contracts.model_manager
        ids = {name: id_of(name, "model") for name in names}
        calls = [call for model_id in ids.values() for call in model_calls(manager, model_id)]
        answers = iter(reads.read(self.provider, *calls))
        return [to_model(self, name, next(answers), next(answers)) for name in ids]


def token_calls(token: str) -> tuple[Call, Call]:
    """What a :class:`~ape_dtn.amount.Token` is made of, besides its address."""
    return (
        Call(token, ERC20.symbol, contract="fee token"),
        Call(token, ERC20.decimals, contract="fee token"),
    )


def model_calls(manager: str, model_id: bytes) -> tuple[Call, Call]:
    """What a :class:`~ape_dtn.asking.model.Model` is made of."""
    return (
        Call(manager, ModelManager.get_model_config, (model_id,), contract="model manager"),
        Call(manager, ModelManager.get_model_api, (model_id,), contract="model manager"),
    )


def to_model(ai: DtnAi, name: str, config: tuple[Any, ...], api: tuple[Any, ...]) -> Model | None:
    """A model, of the answers to :func:`model_calls`; None when it is not registered."""
    model_id = config[1]
    _, api_name, _, specs, docs = api
    return Model(name, model_id, Api(api_name, specs, docs), ai) if any(model_id) else None


def node_calls(manager: str, node_id: bytes) -> tuple[Call, Call]:
    """What a :class:`Node` is made of."""
    return (
        Call(manager, NodeManager.get_node, (node_id,), contract="node manager"),
        Call(manager, NodeManager.get_node_models, (node_id,), contract="node manager"),
    )


def serving_call(contracts: Contracts, model_id: bytes) -> Call:
    """The ids of the nodes that serve a model: of a list that anybody can add to."""
    serving = NodeManager.get_nodes_serving_model
    return Call(contracts.node_manager, serving, (model_id,), contract="node manager")


def to_serving(result: Sequence[bytes] | DtnError) -> Sequence[bytes] | None:
    """The ids, of the result of :func:`serving_call`.

    None where the list has grown beyond what the endpoint has gas for.
    """
    if isinstance(result, ContractReverted):
        return None
    if isinstance(result, DtnError):
        raise result
    return result


def to_node(name: str, data: tuple[Any, ...], models: tuple[bytes, ...]) -> Node | None:
    """A node, of the answers to :func:`node_calls`; None when it is not registered."""
    owner, _, worker, namespaces, expirations, _, is_active, _, node_id = data
    if not any(node_id):
        return None
    trusted_until = dict(zip(namespaces, expirations, strict=True))
    return Node(name, node_id, owner, worker, bool(is_active), models, trusted_until)
