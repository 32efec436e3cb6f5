"""Sessions of smart accounts that batch calls: Safes and accounts with a delegation."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from ape_dtn import DtnSession
from ape_dtn.chain import rpc, safe, transactions
from ape_dtn.chain.broadcast import Outbox
from ape_dtn.deployment.assemble import LocalNetwork, fund
from ape_dtn.errors import (
    ContractReverted,
    MethodUnavailable,
    NoContractAtAddress,
    NoMoneyForGas,
    NothingDeposited,
    OwnersMissing,
    SessionAlreadyClosed,
    SigningDeclined,
)
from ape_dtn.funding.batch import batch, can_batch
from ape_dtn.funding.methods import Method
from ape_dtn.network import reverts
from ape_dtn.network.abi import ERC20, Router, SessionManager
from ape_dtn.types.transactions import Receipt, Signed, Transaction, contract_call
from tests.conftest import Balances, Cast

from . import safe as real

UNITS = 25_000_000
VERSIONS = ["1.5.0", "1.4.1", "1.3.0"]


def bare(network: LocalNetwork, units: int = UNITS) -> list[Transaction]:
    """The deposit and the start."""
    contracts = network.ai.contracts()
    pay: Any = (contracts.fee_target, units)
    return [
        contract_call(contracts.fee_token, ERC20.transfer, *pay),
        contract_call(network.ai.router, Router.start_user_session),
    ]


def start(network: LocalNetwork, account: Any) -> tuple[DtnSession, Receipt]:
    """Starts a session in one transaction."""
    session = DtnSession.start("25", account, network.ai, method=Method.BATCH)
    assert session.method is Method.BATCH
    assert session.receipt is not None
    (opened,) = SessionManager.session_started.find(session.receipt.logs)
    assert (opened["owner"], opened["balance"]) == (account.address, UNITS)
    return session, session.receipt


@pytest.fixture
def multi_send(network: LocalNetwork, cast: Cast) -> str:
    return real.create_canonical(network.ai.provider, cast.owner, "libraries/MultiSendCallOnly")


@pytest.fixture
def stranger_owner(accounts: Any) -> Any:
    """An owner whose account is not available."""
    from eth_account import Account

    return Account.create()


@pytest.fixture
def single(network: LocalNetwork, cast: Cast, multi_send: str) -> Iterator[Any]:
    """A Safe of one owner, without ETH."""
    provider = network.ai.provider
    address = real.create_safe(provider, cast.owner, [cast.customer], 1)
    fund(provider, cast.owner, network.token, address, UNITS)
    with real.loaded(address) as account:
        yield account


@pytest.fixture(params=VERSIONS)
def shared(
    request: pytest.FixtureRequest,
    network: LocalNetwork,
    cast: Cast,
    multi_send: str,
    stranger_owner: Any,
) -> Iterator[Any]:
    """A Safe of each version, with a threshold of two of three owners, two of them available."""
    provider, version = network.ai.provider, request.param
    owners = [cast.customer, stranger_owner, cast.stranger]
    address = (
        real.create_safe(provider, cast.owner, owners, 2)
        if version == "1.5.0"
        else real.create_older_safe(provider, cast.owner, owners, 2, version)
    )
    fund(provider, cast.owner, network.token, address, UNITS)
    with real.loaded(address) as account:
        yield account


@pytest.fixture
def delegated(network: LocalNetwork, cast: Cast) -> Any:
    """The customer's account, which delegates to a batch executor (EIP-7702)."""
    executor = transactions.create(network.ai.provider, cast.owner, real.batching_code())
    real.run_as(network.ai.provider, cast.customer, executor)
    return cast.customer


# Safes.


def test_a_safe_can_batch(single: Any) -> None:
    assert can_batch(single)


def test_a_safe_batches_with_the_canonical_contract(network: LocalNetwork, multi_send: str) -> None:
    assert multi_send == safe.MULTI_SEND
    assert safe.can_batch(network.ai.provider)


def test_a_safe_delegates_to_no_other_contract(network: LocalNetwork, single: Any) -> None:
    rpc.result(network.ai.provider, "anvil_setCode", [safe.MULTI_SEND, "0x00"])
    assert not can_batch(single)
    with pytest.raises(NoContractAtAddress) as caught:
        batch(network.ai.provider, single, bare(network))
    assert caught.value.address == safe.MULTI_SEND
    with pytest.raises(MethodUnavailable):
        start(network, single)
    assert real.nonce_of(network.ai.provider, single) == 0


def test_a_safe_starts_requests_and_closes(
    network: LocalNetwork, single: Any, cast: Cast, balances: Balances
) -> None:
    session, receipt = start(network, single)
    assert len(real.EXECUTION_SUCCESS.find(receipt.logs, str(single.address))) == 1
    assert session.owner == single.address
    assert balances.of(single).units == 0
    request = session.request("What is two and two?")
    network.node.answer_pending()
    assert request.answer().text == "You asked: What is two and two?"
    refund = session.close()
    assert balances.of(single) == refund
    assert refund.units == UNITS - request.cost().units
    assert real.nonce_of(network.ai.provider, single) == 3


def test_the_required_number_of_owners_signs(
    network: LocalNetwork, shared: Any, balances: Balances
) -> None:
    session, _ = start(network, shared)
    request = session.request("Hello?")
    network.node.answer_pending()
    assert request.answer().text == "You asked: Hello?"
    assert session.close().units == UNITS - request.cost().units
    assert balances.of(shared).units == UNITS - request.cost().units


def test_many_requests_of_a_safe_all_arrive(network: LocalNetwork, single: Any) -> None:
    session, _ = start(network, single)
    requests = session.request_many(["One?", "Two?", "Three?"])
    network.node.answer_pending()
    answers = [request.answer().text for request in requests]  # type: ignore[union-attr]
    assert answers == [f"You asked: {word}?" for word in ("One", "Two", "Three")]


def test_concurrent_senders_of_one_safe_wait_for_each_other(
    network: LocalNetwork, shared: Any, cast: Cast
) -> None:
    provider = network.ai.provider
    given = [Transaction(str(cast.worker.address), bytes([number])) for number in range(6)]
    with ThreadPoolExecutor(3) as pool:
        receipts = list(
            pool.map(
                lambda txn: transactions.send(provider, shared, txn, reverts.NO_CONTEXT), given
            )
        )
    assert len({receipt.transaction for receipt in receipts}) == 6
    assert real.nonce_of(provider, shared) == 6


def test_unbatched_transactions_of_a_safe_are_sequential(
    network: LocalNetwork, single: Any
) -> None:
    signed: dict[int, Signed] = {}
    pay, start_it = bare(network)
    together = [pay, replace(start_it, gas_limit=400_000)]
    receipts = transactions.send_together(
        network.ai.provider, single, together, outbox=Outbox(signed.update)
    )
    assert [receipt.transaction for receipt in receipts] == [signed[0].hash, signed[1].hash]
    assert len(SessionManager.session_started.find(receipts[1].logs)) == 1


def test_an_error_has_the_receipts_of_earlier_transactions(
    network: LocalNetwork, single: Any
) -> None:
    pay, start_it = (replace(txn, gas_limit=400_000) for txn in bare(network))
    with pytest.raises(NothingDeposited) as caught:
        transactions.send_together(
            network.ai.provider, single, [pay, start_it, start_it], reverts.NO_CONTEXT
        )
    assert len(caught.value.before) == 2


def test_the_owner_with_the_highest_balance_pays_for_gas(
    network: LocalNetwork, shared: Any, cast: Cast
) -> None:
    provider = network.ai.provider
    rpc.result(provider, "anvil_setBalance", [str(cast.customer.address), "0x0"])
    before = cast.stranger.balance
    _, receipt = start(network, shared)
    assert before - cast.stranger.balance == receipt.gas_used * receipt.gas_price
    assert cast.customer.balance == 0


def test_without_enough_owners_nothing_is_signed(
    network: LocalNetwork, cast: Cast, stranger_owner: Any, multi_send: str, balances: Balances
) -> None:
    provider = network.ai.provider
    address = real.create_safe(provider, cast.owner, [cast.customer, stranger_owner], 2)
    fund(provider, cast.owner, network.token, address, UNITS)
    nonce = cast.customer.nonce
    with real.loaded(address) as account:
        with pytest.raises(OwnersMissing) as caught:
            start(network, account)
        assert real.nonce_of(provider, account) == 0
    assert (caught.value.required, caught.value.available) == (2, [cast.customer.address])
    assert "Nothing was signed, proposed or sent" in caught.value.message
    assert cast.customer.nonce == nonce
    assert balances.of(address).units == UNITS


def test_without_a_signature_nothing_is_sent(
    network: LocalNetwork, shared: Any, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    rpc.result(network.ai.provider, "anvil_setBalance", [str(cast.stranger.address), "0x0"])
    monkeypatch.setattr(type(cast.stranger), "sign_message", lambda *_, **__: None)
    with pytest.raises(SigningDeclined) as caught:
        start(network, shared)
    assert caught.value.account == cast.stranger.address
    assert real.nonce_of(network.ai.provider, shared) == 0


def test_a_failure_in_a_batch_is_found_before_signing(network: LocalNetwork, shared: Any) -> None:
    provider = network.ai.provider
    with pytest.raises(ContractReverted) as caught:
        transactions.send(
            provider, shared, batch(provider, shared, bare(network, UNITS + 1)), reverts.NO_CONTEXT
        )
    assert caught.value.revert is not None
    assert caught.value.revert.name == "Panic"  # the token's error for a low balance
    assert real.nonce_of(provider, shared) == 0


def test_the_failing_call_of_a_batch_is_named(network: LocalNetwork, shared: Any) -> None:
    alone = contract_call(network.ai.router, Router.start_user_session)
    with pytest.raises(NothingDeposited):
        transactions.send(network.ai.provider, shared, alone, reverts.NO_CONTEXT)


def test_a_batch_of_a_safe_is_atomic(
    network: LocalNetwork, shared: Any, balances: Balances
) -> None:
    pay, start_it = bare(network)
    # The second start has no deposit.
    provider = network.ai.provider
    with pytest.raises(NothingDeposited):
        transactions.send(
            provider, shared, batch(provider, shared, [pay, start_it, start_it]), reverts.NO_CONTEXT
        )
    assert balances.of(shared).units == UNITS


def test_a_closed_session_of_a_safe_is_reported(network: LocalNetwork, single: Any) -> None:
    session, _ = start(network, single)
    session.close()
    with pytest.raises(SessionAlreadyClosed):
        session.close()


def test_the_value_of_a_batch_comes_from_the_safe(
    network: LocalNetwork, single: Any, cast: Cast
) -> None:
    provider = network.ai.provider
    given = [Transaction(str(cast.worker.address), b"", value=value) for value in (1, 2)]
    both = batch(provider, single, given)
    for transaction in (given[0], both):
        with pytest.raises(NoMoneyForGas) as caught:
            transactions.send(provider, single, transaction, reverts.NO_CONTEXT)
        assert caught.value.account == single.address
    rpc.result(provider, "anvil_setBalance", [str(single.address), "0x3"])
    before = cast.worker.balance
    transactions.send(provider, single, both, reverts.NO_CONTEXT)
    assert cast.worker.balance - before == 3
    assert single.balance == 0


# Accounts that delegate to a batch executor.


def test_a_plain_account_does_not_batch(network: LocalNetwork, cast: Cast) -> None:
    assert not can_batch(cast.customer)


def test_an_impersonated_account_does_not_batch(single: Any, accounts: Any) -> None:
    assert not can_batch(accounts[str(single.address)])


def test_an_account_with_a_batch_executor_starts_requests_and_closes(
    network: LocalNetwork, delegated: Any, balances: Balances
) -> None:
    assert can_batch(delegated)
    before = balances.of(delegated)
    session, _ = start(network, delegated)
    request = session.request("Hello?")
    network.node.answer_pending()
    assert request.answer().text == "You asked: Hello?"
    session.close()
    assert balances.of(delegated).units == before.units - request.cost().units


def test_a_batch_of_a_delegated_account_is_atomic(network: LocalNetwork, delegated: Any) -> None:
    pay, start_it = bare(network)
    provider = network.ai.provider
    with pytest.raises(NothingDeposited):
        transactions.send(
            provider,
            delegated,
            batch(provider, delegated, [pay, start_it, start_it]),
            reverts.NO_CONTEXT,
        )


def test_an_account_with_another_delegation_does_not_batch(
    network: LocalNetwork, cast: Cast, multi_send: str
) -> None:
    real.run_as(network.ai.provider, cast.customer, multi_send)
    assert not can_batch(cast.customer)
