"""A whole network of one's own: deployed, with a funded account, models and a node.

It is the network of ``contracts/network``, from the shipped artifacts: no compiler is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ape_dtn import artifacts
from ape_dtn.chain import rpc, transactions
from ape_dtn.chain.networks import name as network_name
from ape_dtn.chain.reads import Call
from ape_dtn.client.ai import DtnAi
from ape_dtn.network import deployments, reverts
from ape_dtn.network.abi import ModelManager, Router
from ape_dtn.node.node import DtnNode
from ape_dtn.node.registration import registration_steps, send_steps
from ape_dtn.types.abi import Function
from ape_dtn.types.rpc import as_int
from ape_dtn.types.transactions import contract_call

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI


MODELS = {
    "llm-simpletext": ("openai-gpt-5", "openai-gpt-5-mini", "openai-gpt-5-nano"),
    "llm-simpleimage": ("openai-gpt-image-1",),
}
SPECS = {
    "llm-simpletext": ("string[] -> string", "prompt: the lines of the prompt"),
    "llm-simpleimage": (
        "string[], uint64, uint64 -> bytes",
        "prompt: the lines of the prompt; width, height: of the image, in pixels",
    ),
}
NAMESPACES = ("api.system", "model.system")  # what these names begin with
REGISTER_NAMESPACE = Function("registerNamespace(string,address)")
NODE_USER, NODE_NAME = "local", "echo"
NODE = f"node.{NODE_USER}.{NODE_NAME}"
# The echo backend answers text.
NODE_MODELS = tuple(f"model.system.{name}" for name in MODELS["llm-simpletext"])


class Variant(Enum):
    """A variant of the contracts: ours, by the documentation, or as they are on Base."""

    REFERENCE = "Reference"
    LIVE = "Live"


class FeeToken(Enum):
    """The test token that sessions are paid with, by its artifact, and what it is created with."""

    USDT = ("TestUSDT", ())
    USDC = ("TestUSDC", ())


@dataclass(frozen=True)
class LocalNetwork:
    """A network that was deployed here.

    Attributes:
        ai: The network.
        node: Its node; somebody has to let it serve.
        token: The fee token's address. Anybody may mint it, see :func:`fund`.
    """

    ai: DtnAi
    node: DtnNode
    token: str


def deploy(
    owner: AccountAPI,
    worker: AccountAPI,
    variant: Variant = Variant.REFERENCE,
    fee_token: FeeToken = FeeToken.USDT,
    say: Callable[[str], None] = lambda _: None,
) -> LocalNetwork:
    """Deploys the network on the connected chain, with its models and a node.

    Args:
        owner: Who deploys and owns it.
        worker: The account that the node answers from.
        variant: How its contracts behave.
        fee_token: The token that sessions are paid with.
        say: Told what is being done.
    """
    from ape_dtn.chain.networks import connected

    provider = connected()
    first_block = as_int(rpc.result(provider, "eth_blockNumber", []))
    say(f"Deploying the network, {variant.value.lower()} variant")
    token = create_token(provider, owner, fee_token)
    building = _AtOnce(provider, owner)
    router, names = put_together(building, variant, str(owner.address), token)
    for namespace in NAMESPACES:
        building.call(names, REGISTER_NAMESPACE, namespace, str(owner.address))
    ai = DtnAi(router, provider)
    _register_models(ai, owner)
    say(f"Registering {NODE}")
    send_steps(ai, owner, registration_steps(ai, owner, NODE, str(worker.address), NODE_MODELS))
    # Last: half a network is not to be found.
    deployment = deployments.Deployment(
        network_name(provider),
        router,
        first_block,
        tuple(f"model.system.{name}" for names in MODELS.values() for name in names),
        nodes=(NODE,),
        variant=variant.value,
    )
    deployments.remember(provider, deployment)
    ai = DtnAi(router, provider)
    return LocalNetwork(ai, DtnNode(ai, NODE, worker), token)


def create_token(provider: ProviderAPI, owner: AccountAPI, fee_token: FeeToken) -> str:
    """Creates a test token and returns its address."""
    artifact, arguments = fee_token.value
    code = artifacts.creation_code(artifact, *arguments)
    return transactions.create(provider, owner, code, reverts.NO_CONTEXT)


def fund(provider: ProviderAPI, payer: AccountAPI, token: str, to: str, units: int) -> None:
    """Mints test tokens, in the token's smallest units."""
    mint = Function("mint(address,uint256)")
    transactions.send(provider, payer, contract_call(token, mint, to, units), reverts.NO_CONTEXT)


# A view that shows whether a call was made, and what it returns then.
Effect: TypeAlias = "tuple[Call, Any]"


class Building(Protocol):
    """What puts contracts on a chain: at once, or as steps that somebody takes later."""

    def create(self, artifact: str, *args: object) -> str:
        """Creates a contract, and returns its address."""

    def call(
        self, to: str, function: Function, *args: object, shown_by: Sequence[Effect] = ()
    ) -> None:
        """Calls a contract; the effects, all of them, show that it was done."""


def put_together(building: Building, variant: Variant, owner: str, token: str) -> tuple[str, str]:
    """Each contract behind its ERC-1967 proxy, each initialized with its proxy's creation.

    Returns:
        The router and the namespace manager.
    """

    def behind_proxy(implementation: str, kinds: str, *args: object) -> str:
        initialize = Function(f"initialize({kinds})").encode(*args)
        return building.create("DtnProxy", implementation, initialize)

    create = building.create
    names = behind_proxy(create("NamespaceManager"), "address", owner)
    models = behind_proxy(create("ModelManager"), "address,address", owner, names)
    nodes = behind_proxy(create(f"{variant.value}NodeManager"), "address,address", owner, names)
    managers = {Router.node_manager: nodes, Router.model_manager: models}
    if variant is Variant.REFERENCE:  # the router keeps the sessions itself
        router = behind_proxy(create("ReferenceRouter", token), "address", owner)
    else:
        router = behind_proxy(create("LiveRouter"), "address", owner)
        kinds = "address,address,address"
        sessions = behind_proxy(create("LiveSessionManager"), kinds, owner, token, router)
        managers = {
            Router.node_manager: nodes,
            Router.session_manager: sessions,
            Router.model_manager: models,
        }
    set_managers = Function(f"setManagers({','.join(['address'] * len(managers))})")
    shown_by = [(Call(router, view), manager) for view, manager in managers.items()]
    building.call(router, set_managers, *managers.values(), shown_by=shown_by)
    # No view tells the registrar; that it may give out names does.
    gives_names = Call(names, REGISTER_NAMESPACE, ("", owner), sender=nodes)
    building.call(names, Function("setRegistrar(address)"), nodes, shown_by=[(gives_names, ())])
    return router, names


@dataclass(frozen=True)
class _AtOnce:
    """Sends each thing, and waits for it."""

    provider: ProviderAPI
    owner: AccountAPI

    def create(self, artifact: str, *args: object) -> str:
        code = artifacts.creation_code(artifact, *args)
        return transactions.create(self.provider, self.owner, code, reverts.NO_CONTEXT)

    def call(
        self, to: str, function: Function, *args: object, shown_by: Sequence[Effect] = ()
    ) -> None:
        transactions.send(
            self.provider, self.owner, contract_call(to, function, *args), reverts.NO_CONTEXT
        )


def _register_models(ai: DtnAi, owner: AccountAPI) -> None:
    manager = ai.contracts().model_manager
    for api, names in MODELS.items():
        register = contract_call(
            manager, ModelManager.register_model_api, "api.system", api, *SPECS[api]
        )
        transactions.send(ai.provider, owner, register, reverts.NO_CONTEXT)
        for name in names:
            arguments = ("model.system", name, f"api.system.{api}")
            model = contract_call(manager, ModelManager.register_model, *arguments)
            transactions.send(ai.provider, owner, model, reverts.NO_CONTEXT)
