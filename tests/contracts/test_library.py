"""The Solidity library, by the examples that inherit from it and use it."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import decode
from eth_utils import keccak

from ape_dtn.chain import transactions
from ape_dtn.errors import ContractReverted
from ape_dtn.network import reverts
from ape_dtn.network.abi import Router
from ape_dtn.types.abi import Function
from tests.conftest import Cast

from .conftest import (
    ANY,
    DIRECT,
    IMPLEMENTATION,
    NO_CALLBACK,
    Net,
    address_at,
    erc7201,
    raw,
    refused,
)

MODEL_NAME, NODE_NAME = "model.system.openai-gpt-5", "node.local.echo"
FEE, MOST = 7, 9_000

AI = Function("ai()", "address")
AI_ROUTER = Function("aiRouter()", "address")
ON_ANSWER = Function("onAnswer(bytes32)")
ON_FAILURE = Function("onFailure(bytes32)")
INITIALIZE = Function("initialize(address,address,string,string,uint256,uint256)")
UPGRADE = Function("upgradeToAndCall(address,bytes)")

ONLY_DTN = "Only Dtn can call this function"


def initialization(owner: str, router: str) -> bytes:
    return INITIALIZE.encode(owner, router, MODEL_NAME, NODE_NAME, FEE, MOST)


@pytest.fixture
def consumer(reference: Net, cast: Cast, project: Any) -> str:
    """A plain contract of the customer that uses AI."""
    arguments = (reference.router, MODEL_NAME, NODE_NAME, FEE, MOST)
    return str(project.ReuseSession.deploy(*arguments, sender=cast.customer).address)


@pytest.fixture
def implementation(cast: Cast, project: Any) -> str:
    return str(project.UpgradeableConsumer.deploy(sender=cast.customer).address)


@pytest.fixture
def upgradeable(reference: Net, cast: Cast, implementation: str) -> str:
    """An upgradeable contract of the customer that uses AI."""
    data = initialization(cast.customer.address, reference.router)
    return reference.create("DtnProxy", implementation, data)


@pytest.fixture(params=["plain", "upgradeable"])
def either(request: pytest.FixtureRequest) -> str:
    """Both in turn."""
    name = {"plain": "consumer", "upgradeable": "upgradeable"}[request.param]
    return str(request.getfixturevalue(name))


# WithDtnAi and WithDtnAiUpgradeable.


def test_ai_is_the_router(reference: Net, consumer: str, upgradeable: str) -> None:
    assert reference.read(consumer, AI) == reference.router
    assert reference.read(upgradeable, AI_ROUTER) == reference.router


@pytest.mark.parametrize("function", [ON_ANSWER, ON_FAILURE])
@pytest.mark.parametrize("caller", ["customer", "stranger", "worker"])
def test_only_the_router_can_call_a_callback(
    reference: Net, cast: Cast, either: str, function: Function, caller: str
) -> None:
    account = getattr(cast, caller)

    with refused(ContractReverted, ONLY_DTN):
        reference.send(account, either, function, b"\x01" * 32)


def test_another_router_cannot_call_a_callback(
    reference: Net, deployed: Net, cast: Cast, either: str
) -> None:
    callback = (ON_ANSWER.selector, ON_FAILURE.selector, either)
    session = deployed.open(cast.customer)
    request = deployed.ask(cast.customer, session, callback=callback, callback_gas=100_000)

    receipt = deployed.reply(request)

    (failed,) = Router.success_callback_failed.find(receipt.logs)
    assert failed["data"] == Function("Error(string)").encode(ONLY_DTN)


def test_a_plain_contract_refuses_a_router_without_code(
    reference: Net, cast: Cast, project: Any
) -> None:
    nobody = cast.stranger.address
    constructor = project.ReuseSession.constructor
    data = constructor.serialize_transaction(nobody, MODEL_NAME, NODE_NAME, FEE, MOST).data
    with refused(ContractReverted, f"NotARouter(router={nobody})"):
        transactions.create(reference.provider, cast.customer, bytes(data), reverts.NO_CONTEXT)


def test_an_upgradeable_contract_refuses_a_router_without_code(
    reference: Net, cast: Cast, implementation: str
) -> None:
    nobody = cast.stranger.address

    with refused(ContractReverted, f"NotARouter(router={nobody})"):
        reference.create("DtnProxy", implementation, initialization(nobody, nobody))


def test_an_upgrade_keeps_the_router(
    reference: Net, cast: Cast, project: Any, upgradeable: str
) -> None:
    second = str(project.UpgradeableConsumer.deploy(sender=cast.customer).address)

    reference.send(cast.customer, upgradeable, UPGRADE, second, b"")

    assert address_at(reference.provider, upgradeable, IMPLEMENTATION) == second
    assert reference.read(upgradeable, AI_ROUTER) == reference.router


def test_an_upgradeable_contract_is_initialized_once(
    reference: Net, cast: Cast, upgradeable: str
) -> None:
    arguments = (cast.stranger.address, reference.router, MODEL_NAME, NODE_NAME, FEE, MOST)

    with refused(ContractReverted, raw("InvalidInitialization()")):
        reference.send(cast.stranger, upgradeable, INITIALIZE, *arguments)


def test_an_implementation_is_never_initialized(
    reference: Net, cast: Cast, implementation: str
) -> None:
    arguments = (cast.stranger.address, reference.router, MODEL_NAME, NODE_NAME, FEE, MOST)

    with refused(ContractReverted, raw("InvalidInitialization()")):
        reference.send(cast.stranger, implementation, INITIALIZE, *arguments)


def test_only_the_owner_upgrades(
    reference: Net, cast: Cast, implementation: str, upgradeable: str
) -> None:
    refusal = raw("OwnableUnauthorizedAccount(address)", cast.stranger.address)

    with refused(ContractReverted, refusal):
        reference.send(cast.stranger, upgradeable, UPGRADE, implementation, b"")


def test_ai_is_stored_where_erc7201_puts_it(reference: Net, upgradeable: str) -> None:
    slot = erc7201("dtn.storage.withdtnai.001")

    assert slot == 0x120A853ABBE723116A3EBAFD26371681971B14DBEA103EE376D65BBB8D134E00
    assert address_at(reference.provider, upgradeable, slot) == reference.router


# DtnDefaults and DtnRequests.


@pytest.fixture
def recorded(reference: Net, cast: Cast, project: Any) -> tuple[Any, ...]:
    """The record of a request that was made with the defaults."""
    arguments = (reference.router, MODEL_NAME, NODE_NAME, FEE, MOST)
    contract = project.ValidateSession.deploy(*arguments, sender=cast.customer)
    reference.fund(contract, MOST)
    reference.send(cast.customer, str(contract.address), "ask(string)", "What, if anything?")
    return reference.record(bytes(contract.requestId()))


def test_the_default_routing_trusts_one_node_for_any_one_answer(
    recorded: tuple[Any, ...],
) -> None:
    assert recorded[4] == ((), (keccak(text=NODE_NAME),), 1, 8, ANY)


def test_a_model_is_named_by_the_hash_of_its_name(recorded: tuple[Any, ...]) -> None:
    assert recorded[3] == keccak(text=MODEL_NAME)


def test_a_text_request_is_one_line_answered_directly(recorded: tuple[Any, ...]) -> None:
    call, extra, call_type, *fees = recorded[5]

    assert decode(["string[]"], call) == (("What, if anything?",),)
    assert (extra, call_type, fees) == (b"", DIRECT, [FEE, FEE, MOST])


def test_the_default_callback_calls_nothing(recorded: tuple[Any, ...]) -> None:
    assert recorded[6] == NO_CALLBACK
