"""The methods of depositing and starting a session, and the choice among them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ape_dtn import DtnAi, DtnSession
from ape_dtn.chain import rpc, transactions
from ape_dtn.chain.reads import Call
from ape_dtn.deployment.assemble import LocalNetwork, Variant
from ape_dtn.errors import DepositTaxed, DtnError, MethodUnavailable, NotSessionOwner, UnsafeDeposit
from ape_dtn.funding import methods
from ape_dtn.funding.methods import Method
from ape_dtn.network import client_contract, reverts
from ape_dtn.network.abi import ERC20, Client
from ape_dtn.types.abi import Function
from ape_dtn.types.rpc import as_bytes
from ape_dtn.types.transactions import contract_call
from tests.conftest import Balances, Cast, paid_in

NOBODY = "0x" + "00" * 20
ATOMIC = [Method.DELEGATE, Method.AUTHORIZATION, Method.PERMIT, Method.ALLOWANCE]
BY_CLIENT = [method for method in ATOMIC if method.by_client]
each_atomic = pytest.mark.parametrize("method", ATOMIC, ids=lambda method: method.value)


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the chain pass for a public one."""
    monkeypatch.setattr(methods, "is_local", lambda _: False)


def code_of(network: LocalNetwork, address: str) -> bytes:
    return as_bytes(rpc.result(network.ai.provider, "eth_getCode", [address, "latest"]))


@each_atomic
def test_a_session_is_started_asked_and_closed(
    usdc_network: LocalNetwork, cast: Cast, method: Method
) -> None:
    network = usdc_network
    balances = Balances(network, network.ai.token())
    before = balances.of(cast.customer)

    session = DtnSession.start("25.00", cast.customer, network.ai, method=method)

    expected = client_contract.client_of(str(cast.customer.address)) if method.by_client else None
    assert session.method is method
    assert session.owner == (expected or cast.customer.address)
    assert str(session.balance) == "25.00 USDC"
    request = session.request("Hello?")
    network.node.answer_pending()
    assert request.wait(timeout=10).text == "You asked: Hello?"
    refund = session.close()
    assert balances.of(cast.customer) + request.cost() == before
    assert session.opened_with == refund + request.cost()


@each_atomic
def test_a_second_start_needs_no_preparation(
    usdc_network: LocalNetwork, cast: Cast, method: Method
) -> None:
    DtnSession.start("1", cast.customer, usdc_network.ai, method=method)

    plan = DtnSession.plan("2", cast.customer, usdc_network.ai, method=method)

    expected = ["approve your client contract 2.00 USDC"] if method is Method.ALLOWANCE else []
    assert [step.replace(plan.holder.address, "…") for step in plan.preparations] == expected
    assert not plan.delegates
    again = DtnSession.open(plan, cast.customer, usdc_network.ai)
    assert {session.id for session, _ in DtnSession.list(cast.customer, usdc_network.ai)} == {
        again.id - 1,
        again.id,
    }


@pytest.mark.usefixtures("public")
def test_an_authorization_is_preferred_on_a_public_network(
    usdc_network: LocalNetwork, cast: Cast
) -> None:
    plan = DtnSession.plan("1", cast.customer, usdc_network.ai)

    assert plan.method is Method.AUTHORIZATION
    assert plan.is_atomic


@pytest.mark.usefixtures("public")
def test_a_token_without_signatures_is_approved(network: LocalNetwork, cast: Cast) -> None:
    assert DtnSession.plan("1", cast.customer, network.ai).method is Method.ALLOWANCE


@pytest.mark.usefixtures("public")
def test_the_delegate_is_chosen_for_an_account_that_uses_it(
    network: LocalNetwork, cast: Cast
) -> None:
    DtnSession.start("1", cast.customer, network.ai, method="delegate")

    assert DtnSession.plan("1", cast.customer, network.ai).method is Method.DELEGATE
    code = code_of(network, str(cast.customer.address))
    assert client_contract.delegated_to(code) == client_contract.delegate()


@pytest.mark.usefixtures("public")
def test_two_step_requires_consent_to_its_risk(network: LocalNetwork, cast: Cast) -> None:
    with pytest.raises(UnsafeDeposit):
        DtnSession.plan("1", cast.customer, network.ai, method="two-step")

    plan = DtnSession.plan("1", cast.customer, network.ai, unsafe_two_step=True)
    assert plan.method is Method.TWO_STEP
    assert not plan.is_atomic


@pytest.mark.usefixtures("public")
def test_nothing_is_signed_without_a_safe_method(
    network: LocalNetwork, cast: Cast, nothing_moves: None
) -> None:
    with (
        without_code(network, client_contract.DEPLOYER),
        pytest.raises(MethodUnavailable) as raised,
    ):
        DtnSession.start("1", cast.customer, network.ai)

    assert set(raised.value.reasons) == {method.value for method in Method} - {"two-step"}
    assert "unsafe_two_step=True" in (raised.value.hint or "")


@pytest.mark.parametrize("method", [Method.AUTHORIZATION, Method.PERMIT, Method.BATCH])
def test_an_unavailable_method_says_why(
    network: LocalNetwork, cast: Cast, method: Method, nothing_moves: None
) -> None:
    with pytest.raises(MethodUnavailable) as raised:
        DtnSession.start("1", cast.customer, network.ai, method=method)

    assert list(raised.value.reasons) == [method.value]


def test_an_account_with_another_delegate_keeps_it(network: LocalNetwork, cast: Cast) -> None:
    cast.customer.set_delegate(network.ai.router)

    with pytest.raises(MethodUnavailable, match="would replace the account"):
        DtnSession.start("1", cast.customer, network.ai, method="delegate")

    session = DtnSession.start("1", cast.customer, network.ai, method="allowance")
    assert str(session.close()) == "1.00 USDT"


def test_an_impersonated_account_starts_by_allowance(
    network: LocalNetwork, cast: Cast, accounts: Any
) -> None:
    account = accounts.impersonate_account(cast.customer.address)

    session = DtnSession.start("1", account, network.ai, method="allowance")

    assert session.owner == client_contract.client_of(str(cast.customer.address))
    assert str(session.close()) == "1.00 USDT"


def test_a_different_approval_is_reset_first(network: LocalNetwork, cast: Cast) -> None:
    spender = client_contract.client_of(str(cast.customer.address))
    approve = contract_call(network.token, ERC20.approve, spender, 5)
    transactions.send(network.ai.provider, cast.customer, approve, reverts.NO_CONTEXT)

    DtnSession.start("1", cast.customer, network.ai, method="allowance")

    left = Call(network.token, ERC20.allowance, (str(cast.customer.address), spender))
    assert network.ai.read_one(left) == 0


def test_a_token_with_a_transfer_fee_is_refused_before_paying(
    network: LocalNetwork, cast: Cast, project: Any, variant: Variant
) -> None:
    token = project.HostileToken.deploy(sender=cast.owner)
    paid = paid_in(network, variant, cast, str(token.address))
    token.behave(1, NOBODY, sender=cast.owner)

    with pytest.raises(DepositTaxed) as raised:
        DtnSession.start("10", cast.customer, paid.ai, method="allowance")

    assert raised.value.fields == {
        "deposit": paid.ai.token().amount("10"),
        "balance": paid.ai.token().amount("9"),
    }


def test_a_blocked_account_is_refused_before_paying(usdc_network: LocalNetwork, cast: Cast) -> None:
    plan = DtnSession.plan("1", cast.customer, usdc_network.ai, method="permit")
    block = Function("blacklist(address)")
    blocked = contract_call(usdc_network.token, block, str(cast.customer.address))
    transactions.send(usdc_network.ai.provider, cast.owner, blocked, reverts.NO_CONTEXT)

    with pytest.raises(DtnError, match=f"{cast.customer.address} is blocked"):
        DtnSession.open(plan, cast.customer, usdc_network.ai)

    assert DtnSession.list(cast.customer, usdc_network.ai) == []


def test_a_session_of_a_client_belongs_to_its_owner(network: LocalNetwork, cast: Cast) -> None:
    session = DtnSession.start("1", cast.customer, network.ai, method="allowance")

    with pytest.raises(NotSessionOwner):
        DtnSession.load(session.id, cast.stranger, network.ai).close()
    with pytest.raises(NotSessionOwner):
        DtnSession.load(session.id, cast.stranger, network.ai).request("Hello?")


@pytest.mark.parametrize("method", BY_CLIENT, ids=lambda method: method.value)
def test_a_client_sends_many_requests(
    usdc_network: LocalNetwork, cast: Cast, method: Method
) -> None:
    session = DtnSession.start("25.00", cast.customer, usdc_network.ai, method=method)

    sent = session.request_many([f"{place}?" for place in range(5)])

    assert len({request.id for request in sent}) == 5  # type: ignore[union-attr]
    assert len(usdc_network.node.answer_pending()) == 5


def test_the_addresses_are_those_of_the_contracts(network: LocalNetwork, cast: Cast) -> None:
    DtnSession.start("1", cast.customer, network.ai, method="allowance")
    owner = str(cast.customer.address)
    client = client_contract.client_of(owner)

    assert network.ai.read(
        Call(client, Client.owner),
        Call(client, Client.client_of, (owner,)),
        Call(client, Client.implementation),
        Call(client, Client.deployer),
    ) == [owner, client, client_contract.implementation(), client_contract.DEPLOYER]
    assert code_of(network, client) == client_contract.runtime_code(owner)


@each_atomic
def test_a_quote_of_a_request_without_a_session_counts_its_start(
    usdc_network: LocalNetwork, cast: Cast, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APE_DTN_METHOD", method.value)
    config = usdc_network.ai.config.model_copy(update={"method": method.value})
    monkeypatch.setattr(DtnAi, "config", config)

    (quote,) = usdc_network.ai.quote("Hello?", account=cast.customer, call_types=1)

    assert quote.gas is not None, quote.why_no_gas
    session = DtnSession.start("0.25", cast.customer, usdc_network.ai, method=method)
    assert session.receipt is not None
    request = session.request("Hello?")
    assert request.receipt is not None
    used_by_step = {"start": session.receipt.gas_used, "request": request.receipt.gas_used}
    for step, used in used_by_step.items():
        # The gas of a permit or an authorization differs from the approval that is simulated.
        about = {"abs": 40_000} if method.by_client else {"rel": 0.02}
        assert quote.gas.used[step] == pytest.approx(used, **about)


@contextmanager
def without_code(network: LocalNetwork, address: str) -> Iterator[None]:
    """Removes the code of a contract."""
    provider = network.ai.provider
    code = "0x" + code_of(network, address).hex()
    rpc.result(provider, "anvil_setCode", [address, "0x"])
    try:
        yield
    finally:
        rpc.result(provider, "anvil_setCode", [address, code])
