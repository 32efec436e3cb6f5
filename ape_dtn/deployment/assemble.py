"""Deploying a whole local network: contracts, fee token, models and a node.

The contracts are those of ``contracts/network``. They are packaged: no compiler is needed.
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
NAMESPACES = ("api.system", "model.system")  # the namespaces of these models and APIs
REGISTER_NAMESPACE = Function("registerNamespace(string,address)")
NODE_USER, NODE_NAME = "local", "echo"
NODE = f"node.{NODE_USER}.{NODE_NAME}"
# The echo backend can only answer text.
NODE_MODELS = tuple(f"model.system.{name}" for name in MODELS["llm-simpletext"])


class Variant(Enum):
    """A variant of the contracts: the reference, or a copy of those that are live on Base."""

    REFERENCE = "Reference"
    LIVE = "Live"


class FeeToken(Enum):
    """The test token that sessions are paid with: its artifact and constructor arguments."""

    USDT = ("TestUSDT", ())
    USDC = ("TestUSDC", ())


@dataclass(frozen=True)
class LocalNetwork:
    """A network that was deployed by :func:`deploy`.

    Its node does not serve yet. Anyone can mint its fee token, see :func:`fund`.
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
    """Deploy a network on the connected chain, with models and a node.

    The owner deploys and owns it, and the worker sends the node's responses. ``say`` is called with
    each step before it begins.
    """
    from ape_dtn.chain.networks import connected

    provider = connected()
    first_block = as_int(rpc.result(provider, "eth_blockNumber", []))
    say(f"Deploying the network, {variant.value.lower()} variant")
    token = create_token(provider, owner, fee_token)
    builder = _ImmediateBuilder(provider, owner)
    router, names = build(builder, variant, str(owner.address), token)
    for namespace in NAMESPACES:
        builder.call(names, REGISTER_NAMESPACE, namespace, str(owner.address))
    ai = DtnAi(router, provider)
    _register_models(ai, owner)
    say(f"Registering {NODE}")
    send_steps(ai, owner, registration_steps(ai, owner, NODE, str(worker.address), NODE_MODELS))
    # Record the network last, so that commands never find an incomplete one.
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
    """Create a test token, and return its address."""
    artifact, arguments = fee_token.value
    code = artifacts.creation_code(artifact, *arguments)
    return transactions.create(provider, owner, code, reverts.NO_CONTEXT)


def fund(provider: ProviderAPI, payer: AccountAPI, token: str, to: str, units: int) -> None:
    """Mint test tokens, in the token's smallest units."""
    mint = Function("mint(address,uint256)")
    transactions.send(provider, payer, contract_call(token, mint, to, units), reverts.NO_CONTEXT)


# A view, and what it returns once a call has been made.
Effect: TypeAlias = "tuple[Call, Any]"


class Builder(Protocol):
    """Creates and calls contracts, at once or as planned steps."""

    def create(self, artifact: str, *args: object) -> str:
        """Create a contract, and return its address."""

    def call(
        self, to: str, function: Function, *args: object, effects: Sequence[Effect] = ()
    ) -> None:
        """Call a contract. The call counts as made if all effects show."""


def build(builder: Builder, variant: Variant, owner: str, token: str) -> tuple[str, str]:
    """Create the contracts behind ERC-1967 proxies, each initialised when it is created.

    Returns:
        The addresses of the router and the namespace manager.
    """

    def behind_proxy(implementation: str, types: str, *args: object) -> str:
        initialize = Function(f"initialize({types})").encode(*args)
        return builder.create("DtnProxy", implementation, initialize)

    create = builder.create
    names = behind_proxy(create("NamespaceManager"), "address", owner)
    models = behind_proxy(create("ModelManager"), "address,address", owner, names)
    nodes = behind_proxy(create(f"{variant.value}NodeManager"), "address,address", owner, names)
    managers = {Router.node_manager: nodes, Router.model_manager: models}
    if variant is Variant.REFERENCE:  # the router is its own session manager
        router = behind_proxy(create("ReferenceRouter", token), "address", owner)
    else:
        router = behind_proxy(create("LiveRouter"), "address", owner)
        types = "address,address,address"
        sessions = behind_proxy(create("LiveSessionManager"), types, owner, token, router)
        managers = {
            Router.node_manager: nodes,
            Router.session_manager: sessions,
            Router.model_manager: models,
        }
    set_managers = Function(f"setManagers({','.join(['address'] * len(managers))})")
    effects = [(Call(router, view), manager) for view, manager in managers.items()]
    builder.call(router, set_managers, *managers.values(), effects=effects)
    # No view returns the registrar. Simulate a registration by it instead.
    can_register = Call(names, REGISTER_NAMESPACE, ("", owner), sender=nodes)
    builder.call(names, Function("setRegistrar(address)"), nodes, effects=[(can_register, ())])
    return router, names


@dataclass(frozen=True)
class _ImmediateBuilder:
    """Sends each transaction at once, and waits for it."""

    provider: ProviderAPI
    owner: AccountAPI

    def create(self, artifact: str, *args: object) -> str:
        code = artifacts.creation_code(artifact, *args)
        return transactions.create(self.provider, self.owner, code, reverts.NO_CONTEXT)

    def call(
        self, to: str, function: Function, *args: object, effects: Sequence[Effect] = ()
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
