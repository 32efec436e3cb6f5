"""The live network before its upgrade, as on Sepolia: getters that it lacks, and how it bills."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from ape_dtn.chain import rpc
from ape_dtn.chain.reads import Call
from ape_dtn.deployment.assemble import LocalNetwork, Variant
from ape_dtn.errors import ContractReverted, DtnError, InsufficientFunds
from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.network.registry import Contracts
from ape_dtn.types.abi import Function
from tests.conftest import Cast
from tests.pre_upgrade import take_back_upgrade

from .conftest import FAILURE, SUCCESS, Net, refused


class PreUpgradeNet(Net):
    """A network whose contracts are passed in, because its router does not name them."""

    def __init__(self, network: LocalNetwork, cast: Cast, contracts: Contracts) -> None:
        super().__init__(network, cast)
        self._contracts = contracts

    @property
    def contracts(self) -> Contracts:
        return self._contracts


@pytest.fixture
def sepolia(
    local_networks: dict[Variant, LocalNetwork], deployed: Net, cast: Cast, project: Any
) -> Iterator[PreUpgradeNet]:
    network = local_networks[Variant.LIVE]
    provider = network.ai.provider
    # All tests of a worker share the network, and only this fixture downgrades it.
    snapshot = rpc.result(provider, "evm_snapshot", [])
    contracts = take_back_upgrade(network, cast.owner, project)
    yield PreUpgradeNet(network, cast, contracts)
    assert rpc.result(provider, "evm_revert", [snapshot])


@pytest.mark.parametrize(
    ("contract", "function", "args"),
    [
        ("router", Router.session_manager, ()),
        ("router", Router.model_manager, ()),
        ("router", Router.node_manager, ()),
        ("sessions", SessionManager.get_session_balance, (1,)),
        ("sessions", Function("sweep(address,address)"), ("0x" + "11" * 20,) * 2),
    ],
    ids=lambda value: value.signature if isinstance(value, Function) else "",
)
def test_a_function_that_it_lacks_reverts_without_data(
    sepolia: PreUpgradeNet, cast: Cast, contract: str, function: Function, args: Sequence[Any]
) -> None:
    of = {"router": sepolia.router, "sessions": sepolia.contracts.session_manager}[contract]
    lacking = Call(of, Function("noSuchFunction()"))

    replies = [
        _reverted(sepolia, call) for call in (Call(of, function, args, cast.owner.address), lacking)
    ]

    assert replies[0] == replies[1] == b""


def _reverted(net: Net, call: Call) -> bytes:
    with pytest.raises(DtnError) as raised:
        net.ai.read_one(call)
    assert raised.value.revert is not None
    return raised.value.revert.data


def test_fee_token_and_fee_target_are_still_named(sepolia: PreUpgradeNet) -> None:
    contracts = sepolia.contracts

    assert sepolia.read(sepolia.router, Router.fee_token) == contracts.fee_token
    assert sepolia.read(sepolia.router, Router.fee_target) == contracts.session_manager


def test_a_session_is_used_and_closed(sepolia: PreUpgradeNet, cast: Cast) -> None:
    before = sepolia.held(cast.customer)
    session = sepolia.open(cast.customer, 1_000)
    assert sepolia.session(session) == (cast.customer.address, 1_000)
    request = sepolia.ask(cast.customer, session)

    sepolia.reply(request)
    sepolia.close(cast.customer, session)

    assert sepolia.fetch(request)[0] == SUCCESS
    assert sepolia.held(cast.customer) == before - 200


@pytest.mark.parametrize("status", [SUCCESS, FAILURE])
def test_the_cap_limits_the_fee_for_the_response_alone(
    sepolia: PreUpgradeNet, cast: Cast, status: int
) -> None:
    session = sepolia.open(cast.customer, 5_000)
    request = sepolia.ask(cast.customer, session, fee_asked=20, fee_answered=20, most=100)

    sepolia.reply(request, status=status, asked=100, answered=100)

    assert sepolia.balance(session) == 5_000 - 2_100
    assert sepolia.held(cast.worker) == 2_100


def test_a_failure_costs_the_full_rate(sepolia: PreUpgradeNet, cast: Cast) -> None:
    session = sepolia.open(cast.customer, 5_000)
    request = sepolia.ask(cast.customer, session, fee_asked=7, fee_answered=9)

    sepolia.reply(request, status=FAILURE, asked=30, answered=4)

    assert sepolia.balance(session) == 5_000 - (30 * 7 + 4 * 9)


def test_a_request_above_the_balance_is_never_answered(sepolia: PreUpgradeNet, cast: Cast) -> None:
    session = sepolia.open(cast.customer, 199)
    request = sepolia.ask(cast.customer, session)

    reason = f"InsufficientBalance(sessionId={session}, required=200, available=199)"
    with refused(InsufficientFunds, reason):
        sepolia.reply(request)

    assert not sepolia.is_completed(request)
    assert sepolia.balance(session) == 199
    sepolia.reply(request, asked=99)
    assert sepolia.balance(session) == 0


def test_other_behaviour_is_as_on_base(sepolia: PreUpgradeNet, cast: Cast) -> None:
    session = sepolia.open(cast.customer)
    request = sepolia.ask(cast.customer, session)
    sepolia.close(cast.customer, session)

    with pytest.raises(DtnError) as raised:
        sepolia.reply(request)

    assert str(raised.value.revert) == f"InvalidSession(sessionId={session})"
    with refused(ContractReverted, "Response strategy not implemented"):
        several = sepolia.ask(cast.customer, sepolia.open(cast.customer), aggregation=1)
        sepolia.reply(several)
