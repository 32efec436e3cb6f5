"""The contracts and transactions that deploy a network, and how the chain shows which are done.

The deterministic deployment proxy creates all contracts. Their addresses follow from their code and
arguments (EIP-1014): they are known beforehand, and the chain shows which steps are done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_utils import keccak, to_checksum_address

from ape_dtn import artifacts
from ape_dtn.chain import reads
from ape_dtn.chain.reads import Call
from ape_dtn.deployment.assemble import (
    MODELS,
    NAMESPACES,
    REGISTER_NAMESPACE,
    SPECS,
    Effect,
    Variant,
    build,
)
from ape_dtn.network import reverts
from ape_dtn.network.abi import ModelManager
from ape_dtn.network.client_contract import DEPLOYER
from ape_dtn.types.abi import Function
from ape_dtn.types.errors import DtnError
from ape_dtn.types.rpc import Failure, Request, as_bytes
from ape_dtn.types.transactions import Transaction, contract_call

PROXY = "DtnProxy"
OWNER = Function("owner()", "address")
PENDING_OWNER = Function("pendingOwner()", "address")
TRANSFER_OWNERSHIP = Function("transferOwnership(address)")
ACCEPT_OWNERSHIP = Function("acceptOwnership()")
GET_NAMESPACE_OWNER = Function("getNamespaceOwner(bytes32)", "address")


@dataclass(frozen=True)
class Not:
    """In an effect: the view returns any value except this one."""

    value: Any


@dataclass(frozen=True)
class Terms:
    """The parameters of a deployment, which determine everything else.

    Attributes:
        deployer: The sender of the transactions.
        owner: The final owner of the network.
        salt: Tells networks with the same parameters apart.
        with_models: Whether to register the models of :data:`ape_dtn.deployment.assemble.MODELS`.
    """

    chain_id: int
    deployer: str
    owner: str
    fee_token: str
    variant: Variant
    salt: int
    with_models: bool


@dataclass(frozen=True)
class Contract:
    """A contract of the deployment. Its address is known before it is created.

    Attributes:
        name: Its name; for a proxy, that of its implementation.
        artifact: The artifact that it is created from.
        arguments: Its encoded constructor arguments.
        is_proxy: Whether it is a proxy, whose address callers use.
    """

    name: str
    address: str
    artifact: str
    arguments: bytes
    is_proxy: bool


@dataclass(frozen=True)
class Step:
    """A transaction of the deployment.

    Attributes:
        what: What it does, for display; unique in the plan.
        transaction: The transaction.
        creates: The address of the contract that it creates; None for a call.
        effects: How the chain shows that it is done: an address has code, or a view returns a
            value.
        any_effect: Whether a single effect is enough.
    """

    what: str
    transaction: Transaction
    creates: str | None
    effects: tuple[Effect | str, ...]
    any_effect: bool = False

    @property
    def queries(self) -> list[Request]:
        """The RPC requests that show whether it is done."""
        return [
            ("eth_getCode", [effect, "latest"]) if isinstance(effect, str) else effect[0].request
            for effect in self.effects
        ]

    def is_done(self, answers: Sequence[Any]) -> bool:
        """Whether it is done, by the answers to its queries."""
        enough = any if self.any_effect else all
        return enough(map(_has_effect, self.effects, answers))


@dataclass
class Plan:
    """The contracts and steps of a deployment, in order.

    Attributes:
        steps: The deployer's steps.
        owner_steps: The steps left to the owner, if that is another account.
        router: The address of the router.
    """

    terms: Terms
    contracts: list[Contract] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    owner_steps: list[Step] = field(default_factory=list)
    router: str = ""

    @property
    def owned(self) -> list[Contract]:
        """The contracts with two-step ownership transfer."""
        return [
            contract
            for contract in self.contracts
            if contract.is_proxy and _has_function(contract.name, ACCEPT_OWNERSHIP.signature)
        ]

    def implementation(self, proxy: Contract) -> str:
        """Return the address of a proxy's implementation, as deployed."""
        return next(
            contract.address
            for contract in self.contracts
            if contract.name == proxy.name and not contract.is_proxy
        )

    def create(self, artifact: str, *args: object) -> str:
        """Plan the creation of a contract, and return its future address."""
        code = artifacts.creation_code(artifact, *args)
        salt = self.terms.salt.to_bytes(32, "big")
        digest = keccak(b"\xff" + bytes.fromhex(DEPLOYER[2:]) + salt + keccak(code))
        address = to_checksum_address(digest[12:])
        behind = None
        if artifact == PROXY:
            behind = next(
                contract.name for contract in self.contracts if contract.address == args[0]
            )
        without_arguments = len(bytes.fromhex(artifacts.load(artifact)["bytecode"][2:]))
        arguments = code[without_arguments:]
        self.contracts.append(
            Contract(behind or artifact, address, artifact, arguments, behind is not None)
        )
        what = f"create the proxy of {behind}" if behind else f"create {artifact}"
        creation = Transaction(DEPLOYER, salt + code)
        self.steps.append(Step(what, creation, address, (address,)))
        return address

    def call(
        self, to: str, function: Function, *args: object, effects: Sequence[Effect] = ()
    ) -> None:
        """Plan a call by the deployer."""
        self.steps.append(self._call_step(to, function, *args, effects=effects))

    def _call_step(
        self,
        to: str,
        function: Function,
        *args: object,
        effects: Sequence[Effect],
        any_effect: bool = False,
    ) -> Step:
        name = next(contract.name for contract in self.contracts if contract.address == to)
        shown = ", ".join(str(arg) for arg in args if isinstance(arg, str) and len(arg) < 60)
        what = f"{name}.{function.signature.partition('(')[0]}({shown})"
        call = contract_call(to, function, *args)
        # Check for code, too: a view without results succeeds on an address without contract.
        required: tuple[Effect | str, ...] = tuple(effects)
        if not any_effect:
            required = (to, *required)
        return Step(what, call, None, required, any_effect)

    def _ownership_transfer(self, contract: Contract) -> tuple[Step, Step]:
        """Plan the deployer's offer and the owner's acceptance of the ownership."""
        address, owner = contract.address, self.terms.owner
        owned = Call(address, OWNER), Not(self.terms.deployer)
        offered = Call(address, PENDING_OWNER), owner
        offer = self._call_step(
            address, TRANSFER_OWNERSHIP, owner, effects=(offered, owned), any_effect=True
        )
        return offer, self._call_step(address, ACCEPT_OWNERSHIP, effects=(owned,))

    def _model_registrations(self, manager: str) -> list[Step]:
        """Plan the registrations of APIs and models, by the owner of their namespaces."""
        steps = []
        for api, names in MODELS.items():
            full = f"api.system.{api}"
            # No view finds an API by its id. Simulate the registration of a model with it instead.
            nameless = "model.system", "", full
            usable = Call(manager, ModelManager.register_model, nameless, sender=self.terms.owner)
            effect: Effect = usable, keccak(text="model.system.")
            register_api, specs = ModelManager.register_model_api, SPECS[api]
            steps.append(
                self._call_step(manager, register_api, "api.system", api, *specs, effects=[effect])
            )
            for name in names:
                exists = Call(
                    manager, ModelManager.model_exists, (keccak(text=f"model.system.{name}"),)
                )
                model = ("model.system", name, full)
                register = ModelManager.register_model
                steps.append(self._call_step(manager, register, *model, effects=[(exists, True)]))
        return steps


def plan(terms: Terms) -> Plan:
    """Plan the deployment of a network."""
    planned = Plan(terms)
    planned.router, names = build(planned, terms.variant, terms.deployer, terms.fee_token)
    is_handed_over = terms.owner != terms.deployer
    if terms.with_models:
        for namespace in NAMESPACES:
            owned = Call(names, GET_NAMESPACE_OWNER, (keccak(text=namespace),)), terms.owner
            planned.call(names, REGISTER_NAMESPACE, namespace, terms.owner, effects=[owned])
    if is_handed_over:
        for contract in planned.owned:
            offer, accept = planned._ownership_transfer(contract)
            planned.steps.append(offer)
            planned.owner_steps.append(accept)
    if terms.with_models:
        manager = next(
            contract.address
            for contract in planned.contracts
            if contract.name == "ModelManager" and contract.is_proxy
        )
        registrations = planned._model_registrations(manager)
        (planned.owner_steps if is_handed_over else planned.steps).extend(registrations)
    return planned


def _has_function(artifact: str, signature: str) -> bool:
    return any(
        f"{entry.get('name')}()" == signature
        for entry in artifacts.load(artifact)["abi"]
        if entry["type"] == "function"
    )


def _has_effect(effect: Effect | str, answer: Any) -> bool:
    if isinstance(effect, str):
        return not isinstance(answer, Failure) and bool(as_bytes(answer))
    call, expected = effect
    (value,) = reads.decode_all([call], [answer], reverts.NO_CONTEXT)
    if isinstance(value, DtnError):
        return False
    return bool(value != expected.value if isinstance(expected, Not) else value == expected)
