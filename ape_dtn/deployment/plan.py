"""What it takes to deploy a network: contracts and calls, each with what shows that it is done.

All contracts are created by the deterministic deployment proxy. Their addresses follow from their
code and their arguments (EIP-1014), so that they are known before, and the chain itself tells what
is done already.
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
    put_together,
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
    """Any value but this one, where an effect is expected."""

    value: Any


@dataclass(frozen=True)
class Terms:
    """What a deployment was asked to be; all else follows from it.

    Attributes:
        chain_id: The chain.
        deployer: Who sends the transactions.
        owner: Who owns the network in the end.
        fee_token: What sessions are paid with.
        variant: How the contracts behave.
        salt: Which of several networks that are otherwise the same.
        with_models: Whether the models of :data:`ape_dtn.deployment.assemble.MODELS` are
            registered.
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
    """A contract of the deployment.

    Attributes:
        name: What it is called; a proxy by what stands behind it.
        address: Where it is, or will be.
        artifact: What it was compiled from, by the artifact's name.
        arguments: Its constructor's arguments, encoded.
        is_proxy: Whether it is what is used, and not only run.
    """

    name: str
    address: str
    artifact: str
    arguments: bytes
    is_proxy: bool


@dataclass(frozen=True)
class Step:
    """A transaction that is needed.

    Attributes:
        what: What it does, for people; no two steps do the same.
        transaction: The transaction.
        creates: The address of the contract that it creates; None where it calls one.
        effects: What shows that it is done: the code at an address, or views.
        any_effect: Whether one of the effects is enough.
    """

    what: str
    transaction: Transaction
    creates: str | None
    effects: tuple[Effect | str, ...]
    any_effect: bool = False

    @property
    def questions(self) -> list[Request]:
        """What has to be asked to know whether it is done."""
        return [
            ("eth_getCode", [each, "latest"]) if isinstance(each, str) else each[0].request
            for each in self.effects
        ]

    def is_done(self, answers: Sequence[Any]) -> bool:
        """Whether it is done, by the answers to its questions."""
        enough = any if self.any_effect else all
        return enough(map(_is_there, self.effects, answers))


@dataclass
class Plan:
    """All contracts and steps of a deployment, in their order.

    Attributes:
        terms: What was asked for.
        contracts: The contracts.
        steps: What the deployer sends.
        owners_steps: What is left to the owner, where that is somebody else.
        router: The router's address.
    """

    terms: Terms
    contracts: list[Contract] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    owners_steps: list[Step] = field(default_factory=list)
    router: str = ""

    @property
    def owned(self) -> list[Contract]:
        """The contracts that have an owner who is changed in two steps."""
        return [
            each
            for each in self.contracts
            if each.is_proxy and _has(each.name, ACCEPT_OWNERSHIP.signature)
        ]

    def behind(self, proxy: Contract) -> str:
        """What a proxy runs, as it is deployed."""
        return next(
            each.address for each in self.contracts if each.name == proxy.name and not each.is_proxy
        )

    def create(self, artifact: str, *args: object) -> str:
        """Plans a contract, and returns the address that it will have."""
        code = artifacts.creation_code(artifact, *args)
        salt = self.terms.salt.to_bytes(32, "big")
        hashed = keccak(b"\xff" + bytes.fromhex(DEPLOYER[2:]) + salt + keccak(code))
        address = to_checksum_address(hashed[12:])
        behind = None
        if artifact == PROXY:
            behind = next(each.name for each in self.contracts if each.address == args[0])
        bare = len(bytes.fromhex(artifacts.load(artifact)["bytecode"][2:]))
        self.contracts.append(
            Contract(behind or artifact, address, artifact, code[bare:], behind is not None)
        )
        what = f"create the proxy of {behind}" if behind else f"create {artifact}"
        creation = Transaction(DEPLOYER, salt + code)
        self.steps.append(Step(what, creation, address, (address,)))
        return address

    def call(
        self, to: str, function: Function, *args: object, shown_by: Sequence[Effect] = ()
    ) -> None:
        """Plans a call by the deployer."""
        self.steps.append(self._calling(to, function, *args, shown_by=shown_by))

    def _calling(
        self,
        to: str,
        function: Function,
        *args: object,
        shown_by: Sequence[Effect],
        any_effect: bool = False,
    ) -> Step:
        contract = next(each.name for each in self.contracts if each.address == to)
        told = ", ".join(str(each) for each in args if isinstance(each, str) and len(each) < 60)
        what = f"{contract}.{function.signature.partition('(')[0]}({told})"
        call = contract_call(to, function, *args)
        # Where there is no contract yet, a view that returns nothing succeeds all the same.
        effects: tuple[Effect | str, ...] = tuple(shown_by)
        if not any_effect:
            effects = (to, *effects)
        return Step(what, call, None, effects, any_effect)

    def _handing_over(self, contract: Contract) -> tuple[Step, Step]:
        """Ownership offered by the deployer, and accepted by the owner, who may pass it on."""
        address, owner = contract.address, self.terms.owner
        owned = Call(address, OWNER), Not(self.terms.deployer)
        offered = Call(address, PENDING_OWNER), owner
        offer = self._calling(
            address, TRANSFER_OWNERSHIP, owner, shown_by=(offered, owned), any_effect=True
        )
        return offer, self._calling(address, ACCEPT_OWNERSHIP, shown_by=(owned,))

    def _registering(self, manager: str) -> list[Step]:
        """The APIs and models, registered by whoever owns their namespaces: the owner."""
        found = []
        for api, names in MODELS.items():
            full = f"api.system.{api}"
            # No view finds an API by its own id; that a model could have it does.
            nameless = "model.system", "", full
            usable = Call(manager, ModelManager.register_model, nameless, sender=self.terms.owner)
            shown_by: Effect = usable, keccak(text="model.system.")
            register_api, specs = ModelManager.register_model_api, SPECS[api]
            found.append(
                self._calling(manager, register_api, "api.system", api, *specs, shown_by=[shown_by])
            )
            for name in names:
                exists = Call(
                    manager, ModelManager.model_exists, (keccak(text=f"model.system.{name}"),)
                )
                model = ("model.system", name, full)
                register = ModelManager.register_model
                found.append(self._calling(manager, register, *model, shown_by=[(exists, True)]))
        return found


def plan(terms: Terms) -> Plan:
    """What it takes to deploy a network on these terms."""
    found = Plan(terms)
    found.router, names = put_together(found, terms.variant, terms.deployer, terms.fee_token)
    is_handed_over = terms.owner != terms.deployer
    if terms.with_models:
        for namespace in NAMESPACES:
            owned = Call(names, GET_NAMESPACE_OWNER, (keccak(text=namespace),)), terms.owner
            found.call(names, REGISTER_NAMESPACE, namespace, terms.owner, shown_by=[owned])
    if is_handed_over:
        for contract in found.owned:
            offer, accept = found._handing_over(contract)
            found.steps.append(offer)
            found.owners_steps.append(accept)
    if terms.with_models:
        manager = next(
            each.address
            for each in found.contracts
            if each.name == "ModelManager" and each.is_proxy
        )
        registering = found._registering(manager)
        (found.owners_steps if is_handed_over else found.steps).extend(registering)
    return found


def _has(artifact: str, signature: str) -> bool:
    """Whether a contract has a function without arguments."""
    return any(
        f"{entry.get('name')}()" == signature
        for entry in artifacts.load(artifact)["abi"]
        if entry["type"] == "function"
    )


def _is_there(effect: Effect | str, answer: Any) -> bool:
    if isinstance(effect, str):
        return not isinstance(answer, Failure) and bool(as_bytes(answer))
    call, expected = effect
    (found,) = reads.decode_all([call], [answer], reverts.NO_CONTEXT)
    if isinstance(found, DtnError):
        return False
    return bool(found != expected.value if isinstance(expected, Not) else found == expected)
