"""The journal: idempotency keys, resuming, budgets and its file."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ape_dtn import DtnRequest, DtnSession
from ape_dtn.chain import broadcast, rebroadcast, receipts, rpc, transactions
from ape_dtn.deployment.assemble import LocalNetwork, Variant
from ape_dtn.errors import (
    DepositTaken,
    DtnError,
    InvalidOption,
    JournalUnusable,
    KeyReused,
    MethodUnavailable,
    OverLimit,
    RequestsPending,
    TransactionPending,
)
from ape_dtn.funding.methods import Method
from ape_dtn.journal import executor, reorgs
from ape_dtn.journal.operation import to_transaction
from ape_dtn.journal.store import Intent, Journal, State
from ape_dtn.network import reverts
from ape_dtn.network.abi import ERC20
from ape_dtn.sessions import spending
from ape_dtn.sessions.operations import operation_of
from ape_dtn.types.polling import POLICY, Deadline
from ape_dtn.types.rpc import as_int
from ape_dtn.types.transactions import Transaction, contract_call
from tests.conftest import Balances, Cast, on_live, replace_manager

from .conftest import DEPOSIT, Through

PROMPT = "Hello?"

# Forks start fast enough to run at the same time.
Fork = multiprocessing.get_context("fork")

pytestmark = pytest.mark.usefixtures("own_journal")


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treats the chain as a public one, which is not reset."""
    for module in (spending, reorgs):
        monkeypatch.setattr(module, "is_local", lambda _: False)


@pytest.fixture
def journal(network: LocalNetwork, cast: Cast) -> Callable[[], Journal]:
    """Opens the journal of the customer."""
    return lambda: executor.journal_of(network.ai, cast.customer)


def newest(journal: Callable[[], Journal]) -> Any:
    return journal().entries(*State)[-1]


def nonce_of(network: LocalNetwork, account: Any) -> int:
    params = [str(account.address), "pending"]
    return as_int(rpc.result(network.ai.provider, "eth_getTransactionCount", params))


# Idempotency keys.


def test_a_start_with_a_key_is_executed_once(network: LocalNetwork, cast: Cast) -> None:
    first = DtnSession.start(DEPOSIT, cast.customer, network.ai, idempotency_key="a start")
    nonce = nonce_of(network, cast.customer)

    again = DtnSession.start(DEPOSIT, cast.customer, network.ai, idempotency_key="a start")

    assert (again.id, again.opened_with) == (first.id, first.opened_with)
    assert nonce_of(network, cast.customer) == nonce


def test_a_request_with_a_key_is_executed_once(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    first = funded.request(PROMPT, idempotency_key="a request")
    nonce = nonce_of(network, cast.customer)

    assert funded.request(PROMPT, idempotency_key="a request").id == first.id
    assert nonce_of(network, cast.customer) == nonce
    network.node.answer_pending()
    assert funded.request(PROMPT, idempotency_key="a request").answer().text.endswith(PROMPT)


def test_a_key_returns_its_request_after_the_session_is_closed(
    network: LocalNetwork, funded: DtnSession
) -> None:
    first = funded.request(PROMPT, idempotency_key="asked")
    network.node.answer_pending()
    refund = funded.close(idempotency_key="closed")

    assert funded.request(PROMPT, idempotency_key="asked").id == first.id
    assert funded.close(idempotency_key="closed") == refund


def test_a_key_without_a_session_starts_one_and_requests_once(
    network: LocalNetwork, cast: Cast
) -> None:
    def ask() -> DtnRequest:
        return network.ai.request(PROMPT, account=cast.customer, idempotency_key="both")

    first = ask()
    nonce = nonce_of(network, cast.customer)

    assert ask().id == first.id
    assert nonce_of(network, cast.customer) == nonce
    assert len(DtnSession.list(cast.customer, network.ai)) == 1


def test_each_of_many_requests_is_sent_once(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    def ask(*prompts: str) -> list[str]:
        sent = funded.request_many(list(prompts), idempotency_key="many")
        return [request.id for request in sent]  # type: ignore[union-attr]

    first = ask("one", "two")
    nonce = nonce_of(network, cast.customer)

    assert ask("one", "two") == first
    assert nonce_of(network, cast.customer) == nonce
    assert ask("one", "two", "three")[:2] == first
    assert nonce_of(network, cast.customer) == nonce + 1


@pytest.mark.parametrize("key", ["start", "request", "close"])
def test_a_key_belongs_to_one_operation(
    network: LocalNetwork, cast: Cast, key: str, balances: Balances
) -> None:
    session = DtnSession.start("2", cast.customer, network.ai, idempotency_key="start")
    session.request(PROMPT, idempotency_key="request")
    session.close(force=True, idempotency_key="close")
    other = DtnSession.start("2", cast.customer, network.ai)
    nonce = nonce_of(network, cast.customer)

    with pytest.raises(KeyReused):
        DtnSession.start("3", cast.customer, network.ai, idempotency_key=key)
    with pytest.raises(KeyReused):
        other.request("Something else?", idempotency_key=key)
    with pytest.raises(KeyReused):
        other.close(idempotency_key=key)

    assert nonce_of(network, cast.customer) == nonce


def test_accounts_can_use_the_same_key(network: LocalNetwork, cast: Cast) -> None:
    sessions = [
        DtnSession.start("1", account, network.ai, idempotency_key="the same")
        for account in (cast.customer, cast.stranger)
    ]

    assert len({session.id for session in sessions}) == 2


def test_the_key_of_a_refused_request_is_free(
    network: LocalNetwork, funded: DtnSession, cast: Cast, journal: Callable[[], Journal]
) -> None:
    with pytest.raises(OverLimit):
        funded.request(PROMPT, day_limit="0.01", idempotency_key="later")

    assert funded.request(PROMPT, idempotency_key="later").id


# Records.


@pytest.mark.parametrize("method", [Method.TWO_STEP, Method.DELEGATE, Method.ALLOWANCE])
def test_operations_are_recorded_without_private_keys(
    network: LocalNetwork, cast: Cast, journal: Callable[[], Journal], method: Method
) -> None:
    session = DtnSession.start("2", cast.customer, network.ai, method=method)
    request = session.request(PROMPT)
    session.close(force=True)

    kinds = [entry.kind for entry in journal().entries(State.DONE)[-3:]]
    assert kinds == ["start", "request", "close"]
    outcomes = [entry.outcome or {} for entry in journal().entries(State.DONE)[-3:]]
    assert outcomes[0]["session"] == str(session.id)
    assert outcomes[1]["request"] == request.id
    assert int(outcomes[2]["refund"]) == 2_000_000
    assert journal().path is not None
    kept = b"".join(path.read_bytes() for path in journal().path.parent.glob("journal.sqlite3*"))
    assert cast.customer.private_key.removeprefix("0x").encode() not in kept
    assert bytes.fromhex(cast.customer.private_key.removeprefix("0x")) not in kept


def test_a_transaction_is_recorded_before_it_is_sent(
    network: LocalNetwork, cast: Cast, journal: Callable[[], Journal], through: Through
) -> None:
    seen: list[Any] = []

    def look(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        if b"eth_sendRawTransaction" in body:
            raw = json.loads(body)
            raw = raw[0] if isinstance(raw, list) else raw
            seen.append((raw["params"][0], newest(journal)))
        return ask(body)

    with through(look) as ai:
        DtnSession.start("1", cast.customer, ai, method="delegate")

    for raw, entry in seen:
        assert entry.state is State.OPEN
        assert raw in [txn.raw for txn in entry.signed]
    assert seen


def test_a_refused_request_is_cancelled(
    network: LocalNetwork, funded: DtnSession, journal: Callable[[], Journal], cast: Cast
) -> None:
    checked = funded.draft(PROMPT)
    funded.close()

    with pytest.raises(DtnError):
        funded.send(checked)

    entry = newest(journal)
    assert (entry.kind, entry.state, entry.signed) == ("request", State.CANCELLED, ())
    assert executor.unfinished(network.ai, cast.customer) == []


# Resuming.


@contextmanager
def unmined(network: LocalNetwork) -> Iterator[None]:
    """Turns mining off, with a short timeout."""
    provider = network.ai.provider
    rpc.result(provider, "evm_setAutomine", [False])
    try:
        with impatient():
            yield
    finally:
        rpc.result(provider, "evm_setAutomine", [True])


@contextmanager
def impatient() -> Iterator[None]:
    """Waits at most a second for transactions."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (broadcast, rebroadcast, receipts, transactions):
            patch.setattr(module, "deadline_of", lambda _: Deadline(1))
        yield


def pending_start(
    network: LocalNetwork, account: Any, dropped: slice = slice(0), **options: Any
) -> None:
    """A start of two transactions that time out, some of which the mempool drops."""
    with unmined(network):
        with pytest.raises(TransactionPending) as raised:
            DtnSession.start(DEPOSIT, account, network.ai, **options)
        (entry,) = executor.unfinished(network.ai, account)
        for txn in entry.signed[dropped]:
            rpc.result(network.ai.provider, "anvil_dropTransaction", [txn.hash])
    rpc.result(network.ai.provider, "evm_mine", [])
    assert "Do not send it again" in (raised.value.hint or "")


def test_a_start_that_was_not_mined_in_time_is_resumed(network: LocalNetwork, cast: Cast) -> None:
    pending_start(network, cast.customer)
    nonce = nonce_of(network, cast.customer)

    (entry,) = executor.unfinished(network.ai, cast.customer)
    ((_, done),) = executor.resume(network.ai, cast.customer, [entry], operation_of)

    ((session, balance),) = DtnSession.list(cast.customer, network.ai)
    assert isinstance(done, executor.OperationResult)
    assert done.outcome["session"] == str(session.id)
    assert str(balance) == "25.00 USDT"
    assert nonce_of(network, cast.customer) == nonce
    assert executor.unfinished(network.ai, cast.customer) == []


def test_a_dropped_start_is_rebroadcast_unchanged(network: LocalNetwork, cast: Cast) -> None:
    pending_start(network, cast.customer, slice(2), idempotency_key="dropped")
    (entry,) = executor.unfinished(network.ai, cast.customer)

    session = DtnSession.start(DEPOSIT, cast.customer, network.ai, idempotency_key="dropped")

    assert str(session.balance) == "25.00 USDT"
    after = executor.journal_of(network.ai, cast.customer).entry(entry.id)
    assert after.signed == entry.signed
    assert after.state is State.DONE


def test_a_start_whose_nonce_is_used_is_signed_anew(
    network: LocalNetwork, cast: Cast, balances: Balances
) -> None:
    pending_start(network, cast.customer, slice(2), idempotency_key="overtaken")
    (entry,) = executor.unfinished(network.ai, cast.customer)
    to_nobody = Transaction(str(cast.stranger.address), b"", 1)
    for _ in entry.signed:
        transactions.send(network.ai.provider, cast.customer, to_nobody, reverts.NO_CONTEXT)

    session = DtnSession.start(DEPOSIT, cast.customer, network.ai, idempotency_key="overtaken")

    assert str(session.balance) == "25.00 USDT"
    assert balances.of_network == session.balance


def test_a_replacement_by_a_wallet_is_found(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    """The same call with the same nonce, as a wallet sends it to "speed up"."""
    with unmined(network):
        with pytest.raises(TransactionPending):
            funded.request(PROMPT, idempotency_key="sped up")
        (entry,) = executor.unfinished(network.ai, cast.customer)
        (sent,) = entry.signed
        rpc.result(network.ai.provider, "anvil_dropTransaction", [sent.hash])
    transaction = to_transaction(entry.details["transaction"])
    other = replace(transaction, gas_limit=2_000_000)
    replaced = transactions.send(network.ai.provider, cast.customer, other, reverts.NO_CONTEXT)
    assert replaced.transaction != sent.hash
    nonce = nonce_of(network, cast.customer)

    request = funded.request(PROMPT, idempotency_key="sped up")

    (created,) = sends_created(network, replaced)
    assert request.id == created
    assert nonce_of(network, cast.customer) == nonce


def sends_created(network: LocalNetwork, receipt: Any) -> list[str]:
    from ape_dtn.network.abi import Router

    found = Router.request_created.find(receipt.logs, network.ai.router)
    return ["0x" + fields["requestId"].hex() for fields in found]


def test_a_deposit_without_its_start_is_started(network: LocalNetwork, cast: Cast) -> None:
    pending_start(network, cast.customer, slice(1, 2))
    (entry,) = executor.unfinished(network.ai, cast.customer)

    ((_, done),) = executor.resume(network.ai, cast.customer, [entry], operation_of)

    assert isinstance(done, executor.OperationResult)
    ((_, balance),) = DtnSession.list(cast.customer, network.ai)
    assert str(balance) == "25.00 USDT"


def test_a_deposit_that_its_owner_claimed_is_found(network: LocalNetwork, cast: Cast) -> None:
    pending_start(network, cast.customer, slice(1, 2))
    (entry,) = executor.unfinished(network.ai, cast.customer)
    claimed = DtnSession.claim(cast.customer, network.ai)

    ((_, done),) = executor.resume(network.ai, cast.customer, [entry], operation_of)

    assert isinstance(done, executor.OperationResult)
    assert done.outcome["session"] == str(claimed.id)


def test_a_stolen_deposit_is_reported(network: LocalNetwork, cast: Cast) -> None:
    pending_start(network, cast.customer, slice(1, 2))
    (entry,) = executor.unfinished(network.ai, cast.customer)
    DtnSession.claim(cast.stranger, network.ai)

    ((_, done),) = executor.resume(network.ai, cast.customer, [entry], operation_of)

    assert isinstance(done, DepositTaken)
    assert done.taken_by == cast.stranger.address
    assert executor.unfinished(network.ai, cast.customer) == []


@pytest.mark.usefixtures("public")
def test_a_start_removed_by_a_reorganisation_is_sent_again(
    network: LocalNetwork, cast: Cast, balances: Balances
) -> None:
    snapshot = rpc.result(network.ai.provider, "evm_snapshot", [])
    first = DtnSession.start(DEPOSIT, cast.customer, network.ai, idempotency_key="reorganised")
    rpc.result(network.ai.provider, "evm_revert", [snapshot])
    assert balances.of_network.units == 0

    again = DtnSession.start(DEPOSIT, cast.customer, network.ai, idempotency_key="reorganised")

    assert (again.id, str(again.balance)) == (first.id, "25.00 USDT")
    assert balances.of_network == again.balance


@pytest.mark.usefixtures("public")
def test_resume_finds_a_start_removed_by_a_reorganisation(
    network: LocalNetwork, cast: Cast
) -> None:
    snapshot = rpc.result(network.ai.provider, "evm_snapshot", [])
    DtnSession.start(DEPOSIT, cast.customer, network.ai)
    rpc.result(network.ai.provider, "evm_revert", [snapshot])
    rpc.result(network.ai.provider, "anvil_mine", ["0x8"])

    entries = executor.unfinished(network.ai, cast.customer)
    executor.resume(network.ai, cast.customer, entries[-1:], operation_of)

    ((_, balance),) = DtnSession.list(cast.customer, network.ai)
    assert str(balance) == "25.00 USDT"


def test_an_entry_claimed_by_another_process_is_not_resumed(
    network: LocalNetwork, cast: Cast, journal: Callable[[], Journal]
) -> None:
    from ape_dtn.journal.store import Intent

    (entry,) = journal().record_intents([Intent("claim", {}, {"is_sent_here": True})])

    assert entry.id not in [other.id for other in executor.unfinished(network.ai, cast.customer)]
    assert executor.resume(network.ai, cast.customer, [entry], operation_of) == []
    journal().release(entry)
    assert entry.id in [other.id for other in executor.unfinished(network.ai, cast.customer)]
    journal().end(entry, State.CANCELLED, {})


def test_an_entry_of_a_reset_local_chain_is_cancelled(
    network: LocalNetwork, cast: Cast, balances: Balances
) -> None:
    snapshot = rpc.result(network.ai.provider, "evm_snapshot", [])
    DtnSession.start(DEPOSIT, cast.customer, network.ai, idempotency_key="in a test")
    rpc.result(network.ai.provider, "evm_revert", [snapshot])

    assert executor.unfinished(network.ai, cast.customer) == []
    session = DtnSession.start("1", cast.customer, network.ai, idempotency_key="in a test")
    assert balances.of_network == session.balance


# Transactions that may still be mined are not signed anew.


def without_coin(network: LocalNetwork, account: Any) -> None:
    rpc.result(network.ai.provider, "anvil_setBalance", [str(account.address), "0x0"])


def test_an_entry_that_cannot_be_resent_stays_open(
    network: LocalNetwork, cast: Cast, balances: Balances
) -> None:
    """Another node may still have it and mine it, so its key must not start another session."""
    pending_start(network, cast.customer, slice(2), idempotency_key="no coin", method="delegate")
    (entry,) = executor.unfinished(network.ai, cast.customer)
    coin = rpc.result(network.ai.provider, "eth_getBalance", [str(cast.customer.address), "latest"])
    without_coin(network, cast.customer)
    with impatient(), pytest.raises(DtnError):
        DtnSession.start(
            DEPOSIT, cast.customer, network.ai, idempotency_key="no coin", method="delegate"
        )
    rpc.result(network.ai.provider, "anvil_setBalance", [str(cast.customer.address), coin])

    session = DtnSession.start(
        DEPOSIT, cast.customer, network.ai, idempotency_key="no coin", method="delegate"
    )

    assert executor.journal_of(network.ai, cast.customer).entry(entry.id).state is State.DONE
    assert balances.of_network == session.balance


def test_an_ended_entry_is_not_resumed(network: LocalNetwork, cast: Cast) -> None:
    pending_start(network, cast.customer, slice(2))
    stale = executor.unfinished(network.ai, cast.customer)
    executor.resume(network.ai, cast.customer, stale, operation_of)

    assert executor.resume(network.ai, cast.customer, stale, operation_of) == []
    assert len(DtnSession.list(cast.customer, network.ai)) == 1


@on_live
@pytest.mark.parametrize("method", [Method.TWO_STEP, Method.DELEGATE, Method.ALLOWANCE])
def test_a_session_manager_replaced_after_the_plan_is_found(
    network: LocalNetwork,
    cast: Cast,
    variant: Variant,
    method: Method,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = DtnSession.plan("25", cast.customer, network.ai, method=method)
    replace_manager(network, cast)
    if method is Method.TWO_STEP:  # a bare deposit would go to the old session manager
        monkeypatch.setattr(POLICY, "stale_plan", 0)

    session = DtnSession.open(plan, cast.customer, network.ai)

    assert str(session.balance) == "25.00 USDT"


def test_a_delegation_set_after_the_plan_is_kept(
    network: LocalNetwork, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = DtnSession.plan("25", cast.customer, network.ai, method=Method.DELEGATE)
    cast.customer.set_delegate(network.ai.router)
    monkeypatch.setattr(POLICY, "stale_plan", 0)

    with pytest.raises(MethodUnavailable):
        DtnSession.open(plan, cast.customer, network.ai)


def test_a_deposit_of_another_account_is_not_claimed(network: LocalNetwork, cast: Cast) -> None:
    pending_start(network, cast.customer, slice(1, 2))
    (entry,) = executor.unfinished(network.ai, cast.customer)
    DtnSession.claim(cast.stranger, network.ai)
    target = network.ai.contracts().fee_target
    transfer = contract_call(network.token, ERC20.transfer, target, 7)
    transactions.send(network.ai.provider, cast.stranger, transfer, reverts.NO_CONTEXT)

    ((_, outcome),) = executor.resume(network.ai, cast.customer, [entry], operation_of)

    assert isinstance(outcome, DepositTaken)
    assert DtnSession.claim(cast.stranger, network.ai).opened_with == network.ai.token().units(7)


def test_an_impersonated_account_executes_once(
    network: LocalNetwork, cast: Cast, accounts: Any
) -> None:
    account = accounts.impersonate_account(cast.customer.address)
    session = DtnSession.start("5", account, network.ai, idempotency_key="started")
    request = session.request(PROMPT, idempotency_key="asked")
    nonce = nonce_of(network, account)

    assert DtnSession.start("5", account, network.ai, idempotency_key="started").id == session.id
    assert session.request(PROMPT, idempotency_key="asked").id == request.id
    assert nonce_of(network, account) == nonce


# Closing.


def test_a_session_with_an_open_request_is_not_closed(
    network: LocalNetwork, funded: DtnSession
) -> None:
    first, second = funded.request("one"), funded.request("two")

    with pytest.raises(RequestsPending) as raised:
        funded.close()

    assert set(raised.value.requests) == {first.id, second.id}
    assert "force=True" in (raised.value.hint or "")
    assert funded.is_open
    assert str(funded.close(force=True)) == "25.00 USDT"


# Budgets.


def test_a_day_has_a_budget(network: LocalNetwork, cast: Cast) -> None:
    sessions = [
        DtnSession.start("5", account, network.ai) for account in (cast.customer, cast.stranger)
    ]
    limit = "0.50"
    for session in sessions:
        session.request(PROMPT, day_limit=limit)
    nonces = [nonce_of(network, account) for account in (cast.customer, cast.stranger)]

    for session in sessions:
        with pytest.raises(OverLimit, match="All requests of this day"):
            session.request(PROMPT, day_limit=limit)

    assert [nonce_of(network, account) for account in (cast.customer, cast.stranger)] == nonces


def test_an_account_has_a_budget(network: LocalNetwork, cast: Cast) -> None:
    session = DtnSession.start("5", cast.customer, network.ai)
    other = DtnSession.start("5", cast.stranger, network.ai)
    session.request(PROMPT, account_limit="0.50")
    session.request(PROMPT, account_limit="0.50")

    with pytest.raises(OverLimit, match=str(cast.customer.address)) as raised:
        session.request(PROMPT, account_limit="0.50")

    assert str(raised.value.required) == "0.75 USDT"
    assert raised.value.hint == "Ask for less, or raise `account_limit`."
    other.request(PROMPT, account_limit="0.50")


def test_an_answered_request_counts_with_its_actual_cost(network: LocalNetwork, cast: Cast) -> None:
    session = DtnSession.start("5", cast.customer, network.ai)
    request = session.request(PROMPT, account_limit="0.50")
    network.node.answer_pending()

    limit = request.cost() + network.ai.token().amount("0.50")
    session.request(PROMPT, account_limit=limit)
    session.request(PROMPT, account_limit=limit)

    with pytest.raises(OverLimit):
        session.request(PROMPT, account_limit=limit)


@pytest.mark.parametrize("limit", ["day_limit", "account_limit"])
def test_no_session_is_started_over_a_budget(network: LocalNetwork, cast: Cast, limit: str) -> None:
    options: Any = {limit: "0.20"}
    nonce = nonce_of(network, cast.customer)

    with pytest.raises(OverLimit):
        network.ai.request(PROMPT, account=cast.customer, **options)

    assert nonce_of(network, cast.customer) == nonce


def test_an_empty_key_is_rejected(network: LocalNetwork, cast: Cast) -> None:
    """For example from an unset variable in CI, where two jobs would share one session."""
    for key in ("", " "):
        with pytest.raises(InvalidOption):
            DtnSession.start("1", cast.customer, network.ai, idempotency_key=key)
        with pytest.raises(InvalidOption):
            network.ai.request(PROMPT, account=cast.customer, idempotency_key=key)


def test_a_key_of_a_request_starts_no_session_for_another(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    funded.request(PROMPT, idempotency_key="shared/request")
    nonce = nonce_of(network, cast.customer)

    with pytest.raises(KeyReused):
        network.ai.request(PROMPT, account=cast.customer, idempotency_key="shared")

    assert nonce_of(network, cast.customer) == nonce


def test_a_key_returns_its_session_after_it_is_closed(network: LocalNetwork, cast: Cast) -> None:
    first = DtnSession.start("1", cast.customer, network.ai, idempotency_key="closed since")
    first.close()

    again = DtnSession.start("1", cast.customer, network.ai, idempotency_key="closed since")

    assert (again.id, again.method, again.holder) == (first.id, first.method, first.holder)


def test_a_connection_lost_after_sending_leaves_it_pending(
    network: LocalNetwork, cast: Cast, through: Through
) -> None:
    sent = False

    def go_away(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        nonlocal sent
        if sent:
            raise OSError("the connection dropped")
        sent = b"eth_sendRawTransaction" in body
        return ask(body)

    with unmined(network), through(go_away) as ai, pytest.raises(TransactionPending) as raised:
        DtnSession.start("1", cast.customer, ai, method="delegate")

    assert "Do not send it again" in (raised.value.hint or "")


def test_redundant_answers_count_in_budgets(network: LocalNetwork, cast: Cast) -> None:
    session = DtnSession.start("5", cast.customer, network.ai)

    with pytest.raises(OverLimit, match=r"0\.75 USDT"):
        session.request(PROMPT, redundancy=3, may_never_complete=True, request_limit="0.74")


def test_a_raised_limit_keeps_the_payload_of_a_key(network: LocalNetwork, cast: Cast) -> None:
    session = DtnSession.start("5", cast.customer, network.ai)
    first = session.request(PROMPT, day_limit="1", idempotency_key="raised")

    assert session.request(PROMPT, day_limit="2", idempotency_key="raised").id == first.id


def test_keys_return_many_requests_after_the_balance_is_spent(
    network: LocalNetwork, cast: Cast
) -> None:
    session = DtnSession.start("0.50", cast.customer, network.ai)
    first = session.request_many(["one", "two"], idempotency_key="all of it")
    network.node.answer_pending()
    session.close()

    again = session.request_many(["one", "two"], idempotency_key="all of it")

    assert [request.id for request in again] == [request.id for request in first]  # type: ignore[union-attr]


# The file.


def test_nothing_is_sent_without_the_journal(
    network: LocalNetwork, cast: Cast, journal: Callable[[], Journal], through: Through
) -> None:
    nonce = nonce_of(network, cast.customer)

    def remove(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        if b"eth_maxPriorityFeePerGas" in body:
            for path in journal().path.parent.glob("journal.sqlite3*"):  # type: ignore[union-attr]
                path.unlink()
        return ask(body)

    with through(remove) as ai, pytest.raises(JournalUnusable):
        DtnSession.start("1", cast.customer, ai)

    assert nonce_of(network, cast.customer) == nonce


def test_only_the_user_can_read_the_journal(
    network: LocalNetwork, cast: Cast, journal: Callable[[], Journal]
) -> None:
    DtnSession.start("1", cast.customer, network.ai)

    path = journal().path
    assert path is not None
    assert path.stat().st_mode & 0o077 == 0


def test_an_unwritable_folder_is_reported(tmp_path: Any) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(JournalUnusable, match="cannot be used"):
        Journal(tmp_path / "file" / "journal", "chain", "router", "account").entries(*State)


def test_a_missing_file_is_created(tmp_path: Any) -> None:
    path = tmp_path / "somewhere" / "journal.sqlite3"

    assert Journal(path, "chain", "router", "account").entries(*State) == []

    assert sqlite3.connect(path).execute("pragma journal_mode").fetchone() == ("wal",)


def _write_when_it_begins(path: Path, begin: float) -> None:
    time.sleep(max(0.0, begin - time.time()))
    Journal(path, "chain", "router", "account").record_intents([Intent("request", {})])


def test_concurrent_processes_create_one_file(tmp_path: Any) -> None:
    for attempt in range(10):
        path = tmp_path / str(attempt) / "journal.sqlite3"
        begin = time.time() + 0.1
        children = [
            Fork.Process(target=_write_when_it_begins, args=(path, begin)) for _ in range(8)
        ]
        for child in children:
            child.start()
        for child in children:
            child.join()

        assert [child.exitcode for child in children] == [0] * 8
        assert len(Journal(path, "chain", "router", "account").entries(State.OPEN)) == 8
        assert [file.name for file in path.parent.glob("journal*")] == [path.name]


def test_a_file_of_another_version_is_rejected(tmp_path: Any) -> None:
    path = tmp_path / "journal.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("pragma user_version = 2")

    with pytest.raises(JournalUnusable, match="another version"):
        Journal(path, "chain", "router", "account").entries(*State)


def test_a_killed_process_is_not_alive(tmp_path: Any) -> None:
    import subprocess
    import sys

    from ape_dtn.journal import process_lock

    script = (
        "import sys, pathlib; from ape_dtn.journal import process_lock;"
        "print(process_lock.own_name(pathlib.Path(sys.argv[1])), flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    name = child.stdout.readline().strip()

    assert process_lock.is_alive(tmp_path, name)
    child.kill()
    child.wait()
    assert not process_lock.is_alive(tmp_path, name)
    assert process_lock.is_alive(tmp_path, process_lock.own_name(tmp_path))
