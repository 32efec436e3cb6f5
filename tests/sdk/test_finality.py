"""A journal entry stays open until the nonces of its transactions are used in a final block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from ape.exceptions import SignatureError
from eth_utils import keccak

from ape_dtn import DtnRequest, DtnSession
from ape_dtn.chain import fees, finality, rpc, transactions
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.errors import (
    ContractReverted,
    DepositTaken,
    NotCancellable,
    OverLimit,
    PaymentCancelled,
    RefusedBefore,
    RpcRefused,
    SigningDeclined,
    TransactionPending,
    TransactionRefused,
    WalletPending,
)
from ape_dtn.funding.methods import Method
from ape_dtn.journal import executor, reorgs, status
from ape_dtn.journal.store import Intent, State
from ape_dtn.network.abi import Router
from ape_dtn.sessions import spending
from ape_dtn.sessions.operations import operation_of
from ape_dtn.types.payload import Fees, payload_of
from ape_dtn.types.polling import POLICY
from ape_dtn.types.rpc import SEND, as_int
from ape_dtn.types.transactions import Signed, Transaction, contract_call
from tests.conftest import Balances, Cast
from tests.unkind import REFUSALS

from .conftest import DEPOSIT, Answer, Through
from .test_journal import impatient, nonce_of, unmined
from .test_swallowed import each_call

pytestmark = pytest.mark.usefixtures("own_journal")

PROMPT = "Hello?"
KEY = "paid"

# Blocks from Anvil's final block to its latest.
ANVIL_FINAL_AFTER = 64


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the package take the chain for a public one."""
    for module in (spending, reorgs, finality):
        monkeypatch.setattr(module, "is_local", lambda _: False)


def refusing(*refused: str) -> Answer:
    """An endpoint that refuses these transactions, or all."""

    def respond(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        if call["method"] != SEND or (refused and call["params"][0] not in refused):
            return forward()
        return {"error": {"code": -32000, "message": REFUSALS[0]}}

    return each_call(respond)


def mine(network: LocalNetwork, blocks: int) -> None:
    rpc.result(network.ai.provider, "anvil_mine", [hex(blocks)])


def request_count(network: LocalNetwork, session: DtnSession) -> int:
    return len(session.history().requests)


def refused_entry(network: LocalNetwork, session: DtnSession, cast: Cast, through: Through) -> Any:
    """The journal entry of a request that the endpoint refused and that no node has."""
    with through(refusing()) as ai, impatient(), pytest.raises(TransactionRefused) as raised:
        DtnSession(ai, session.id, cast.customer).request(PROMPT, idempotency_key=KEY)
    assert raised.value.exit_code == 7
    assert "it is in the journal" in (raised.value.hint or "")
    (entry,) = executor.unfinished(network.ai, cast.customer)
    assert raised.value.transaction == entry.signed[0].hash
    return entry


def entry_with_used_nonce(network: LocalNetwork, session: DtnSession, cast: Cast) -> Any:
    """The journal entry of a request whose nonce another transaction used in the latest block."""
    with unmined(network):
        with pytest.raises(TransactionPending):
            session.request(PROMPT, idempotency_key=KEY)
        (entry,) = executor.unfinished(network.ai, cast.customer)
        rpc.result(network.ai.provider, "anvil_dropTransaction", [entry.signed[0].hash])
    to_nobody = Transaction(str(cast.stranger.address), b"", 1)
    transactions.send(network.ai.provider, cast.customer, to_nobody)
    assert nonce_of(network, cast.customer) == entry.signed[0].nonce + 1
    return entry


def waiting_for(network: LocalNetwork, cast: Cast, entry: Any) -> str:
    journal = executor.journal_of(network.ai, cast.customer)
    (reason,) = status.waits_for(network.ai, journal, [journal.entry(entry.id)])
    return reason


def state_of(network: LocalNetwork, cast: Cast, entry: Any) -> State:
    return executor.journal_of(network.ai, cast.customer).entry(entry.id).state


# Used nonces.


@pytest.mark.usefixtures("public")
def test_a_used_nonce_ends_an_entry_only_when_it_is_final(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    entry = entry_with_used_nonce(network, funded, cast)
    nonce = nonce_of(network, cast.customer)

    with impatient(), pytest.raises(TransactionPending):
        funded.request(PROMPT, idempotency_key=KEY)

    assert state_of(network, cast, entry) is State.OPEN
    assert "to be final" in waiting_for(network, cast, entry)
    assert nonce_of(network, cast.customer) == nonce
    mine(network, ANVIL_FINAL_AFTER)
    request = funded.request(PROMPT, idempotency_key=KEY)
    assert nonce_of(network, cast.customer) == nonce + 1
    assert request.record.session_id == funded.id
    assert request_count(network, funded) == 1


@pytest.mark.usefixtures("public")
def test_an_entry_is_completed_after_a_reorganisation_frees_its_nonce(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    snapshot = rpc.result(network.ai.provider, "evm_snapshot", [])
    entry = entry_with_used_nonce(network, funded, cast)
    with impatient(), pytest.raises(TransactionPending):
        funded.request(PROMPT, idempotency_key=KEY)
    rpc.result(network.ai.provider, "evm_revert", [snapshot])
    rpc.result(network.ai.provider, SEND, [entry.signed[0].raw])
    nonce = nonce_of(network, cast.customer)

    funded.request(PROMPT, idempotency_key=KEY)

    assert nonce_of(network, cast.customer) == nonce
    assert request_count(network, funded) == 1


@pytest.mark.usefixtures("public")
def test_without_a_final_block_the_deployment_defines_finality(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry_with_used_nonce(network, funded, cast)

    def no_tag(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        is_tag = call["params"][:1] == ["finalized"]
        return {"error": {"code": -32602, "message": "unknown block"}} if is_tag else forward()

    def attempt() -> DtnRequest:
        with through(each_call(no_tag)) as ai, impatient():
            ai.deployment = replace(ai.deployment, final_after=5)
            return DtnSession(ai, funded.id, cast.customer).request(PROMPT, idempotency_key=KEY)

    mine(network, 3)
    with pytest.raises(TransactionPending):
        attempt()
    assert request_count(network, funded) == 0
    mine(network, 3)

    attempt()

    assert request_count(network, funded) == 1


@pytest.mark.usefixtures("public")
def test_with_block_0_as_the_final_block_the_deployment_defines_finality(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry_with_used_nonce(network, funded, cast)

    def genesis(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        if call["params"][:1] != ["finalized"]:
            return forward()
        return {"result": rpc.result(network.ai.provider, call["method"], ["0x0", False])}

    with through(each_call(genesis)) as ai, impatient():
        ai.deployment = replace(ai.deployment, final_after=5)
        session = DtnSession(ai, funded.id, cast.customer)
        with pytest.raises(TransactionPending):
            session.request(PROMPT, idempotency_key=KEY)
        mine(network, 6)
        session.request(PROMPT, idempotency_key=KEY)

    assert request_count(network, funded) == 1


def test_hints_outside_the_journal_do_not_mention_resuming(
    network: LocalNetwork, cast: Cast, through: Through
) -> None:
    to_nobody = Transaction(str(cast.stranger.address), b"", 1)

    with through(refusing()) as ai, impatient(), pytest.raises(TransactionRefused) as refused:
        transactions.send(ai.provider, cast.customer, to_nobody)
    with unmined(network), pytest.raises(TransactionPending) as pending:
        transactions.send(network.ai.provider, cast.customer, to_nobody)

    for hint in (refused.value.hint, pending.value.hint):
        assert hint
        assert "resume" not in hint
        assert "journal" not in hint


@pytest.mark.usefixtures("public")
def test_an_answer_older_than_the_journal_ends_no_entry(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry = entry_with_used_nonce(network, funded, cast)
    mine(network, ANVIL_FINAL_AFTER)
    journal = executor.journal_of(network.ai, cast.customer)
    (other,) = journal.record_intents(
        [Intent("close", {"session": "0"}, {"from_block": journal.head})]
    )
    journal.end(other, State.DONE, {"block": str(journal.head), "transaction": "0x"})

    def report_older_block(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        head = call["method"] == "eth_blockNumber"
        return {"result": hex(journal.head - 1)} if head else forward()

    old_view = each_call(report_older_block)
    with through(old_view) as ai, impatient(), pytest.raises(TransactionPending):
        DtnSession(ai, funded.id, cast.customer).request(PROMPT, idempotency_key=KEY)

    assert state_of(network, cast, entry) is State.OPEN
    assert request_count(network, funded) == 0


def test_one_node_with_a_wrong_nonce_ends_no_entry(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """The request is pending, and mined later: to send it again would pay twice."""
    with unmined(network):
        with pytest.raises(TransactionPending):
            funded.request(PROMPT, idempotency_key=KEY)
        (entry,) = executor.unfinished(network.ai, cast.customer)
        (sent,) = entry.signed
        misreported: list[str] = []

        def misreport_nonce(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
            if call["method"] != "eth_getTransactionCount" or call["params"][1] == "pending":
                return forward()
            if call["params"][1] != "latest":
                misreported.append(call["params"][1])
                return {"result": hex(sent.nonce + 1)} if len(misreported) % 2 else forward()
            return {"result": hex(sent.nonce + 1)}

        with (
            through(each_call(misreport_nonce)) as ai,
            impatient(),
            pytest.raises(TransactionPending),
        ):
            DtnSession(ai, funded.id, cast.customer).request(PROMPT, idempotency_key=KEY)
    assert len(misreported) > 1
    rpc.result(network.ai.provider, "evm_mine", [])

    funded.request(PROMPT, idempotency_key=KEY)

    assert request_count(network, funded) == 1


def no_archive(network: LocalNetwork) -> Answer:
    """An endpoint without states older than ten blocks."""

    def respond(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        at = call["params"][-1] if call["method"] == "eth_getTransactionCount" else "latest"
        head = as_int(rpc.result(network.ai.provider, "eth_blockNumber", []))
        if at.startswith("0x") and as_int(at) < head - 10:
            return {"error": {"code": -32000, "message": "missing trie node"}}
        return forward()

    return each_call(respond)


@pytest.mark.usefixtures("public")
def test_a_node_without_old_states_confirms_final_nonces(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """On Base, a block is final after 900 blocks, and most nodes keep 128 states."""
    entry_with_used_nonce(network, funded, cast)

    with through(no_archive(network)) as ai, impatient():
        session = DtnSession(ai, funded.id, cast.customer)
        with pytest.raises(TransactionPending):
            session.request(PROMPT, idempotency_key=KEY)
        mine(network, ANVIL_FINAL_AFTER - 2)
        with pytest.raises(TransactionPending):
            session.request(PROMPT, idempotency_key=KEY)
        mine(network, 2)
        session.request(PROMPT, idempotency_key=KEY)

    assert request_count(network, funded) == 1


@pytest.mark.usefixtures("public")
def test_a_node_without_old_states_notices_a_nonce_freed_by_a_reorganisation(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    with unmined(network):
        with pytest.raises(TransactionPending):
            funded.request(PROMPT, idempotency_key=KEY)
        (entry,) = executor.unfinished(network.ai, cast.customer)
        rpc.result(network.ai.provider, "anvil_dropTransaction", [entry.signed[0].hash])
    snapshot = rpc.result(network.ai.provider, "evm_snapshot", [])
    to_nobody = Transaction(str(cast.stranger.address), b"", 1)
    transactions.send(network.ai.provider, cast.customer, to_nobody)
    with through(no_archive(network)) as ai, impatient():
        session = DtnSession(ai, funded.id, cast.customer)
        with pytest.raises(TransactionPending):
            session.request(PROMPT, idempotency_key=KEY)
        rpc.result(network.ai.provider, "evm_revert", [snapshot])
        mine(network, ANVIL_FINAL_AFTER + 2)

        session.request(PROMPT, idempotency_key=KEY)

    assert request_count(network, funded) == 1
    assert nonce_of(network, cast.customer) == entry.signed[0].nonce + 1


@pytest.mark.usefixtures("public")
def test_a_node_without_old_states_confirms_the_final_nonce_of_a_wallet(
    network: LocalNetwork, funded: DtnSession, cast: Cast, wallet: Any, through: Through
) -> None:
    with interrupted(wallet):
        funded.request(PROMPT, account=wallet, idempotency_key=KEY)
    to_nobody = Transaction(str(cast.stranger.address), b"", 1)
    transactions.send(network.ai.provider, cast.customer, to_nobody)

    with through(no_archive(network)) as ai, impatient():
        session = DtnSession(ai, funded.id, wallet)
        with pytest.raises(WalletPending):
            session.request(PROMPT, idempotency_key=KEY)
        mine(network, ANVIL_FINAL_AFTER)
        session.request(PROMPT, idempotency_key=KEY)

    assert request_count(network, funded) == 1


@pytest.mark.usefixtures("public")
def test_no_transaction_is_signed_with_a_used_nonce(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """Its entry would stay open until the nonce is final, for half an hour on Base."""
    for attempt in range(2):
        funded.request("Before?")
        lagged: list[str] = []

        def lag(call: dict[str, Any], forward: Callable[[], Any], lagged: Any = lagged) -> Any:
            answer = forward()
            pending = call["method"] == "eth_getTransactionCount" and call["params"][1] == "pending"
            if pending and not lagged:
                lagged.append(answer)
                return {"result": hex(int(answer["result"], 16) - 1)}
            return answer

        with through(each_call(lag)) as ai, impatient():
            session = DtnSession(ai, funded.id, cast.customer)
            sent = session.request_many(["One?", "Two?"]) if attempt else [session.request("One?")]
        assert lagged
        assert [type(request) for request in sent] == [DtnRequest] * (1 + attempt)

    journal = executor.journal_of(network.ai, cast.customer)
    entries = [entry for entry in journal.entries(*State) if entry.kind == "request"]
    assert [len(entry.signed) for entry in entries] == [1] * 5


@pytest.mark.usefixtures("public")
def test_a_nonce_freed_by_a_reorganisation_is_used_again(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    snapshot = rpc.result(network.ai.provider, "evm_snapshot", [])
    funded.request("Before?")
    nonce = nonce_of(network, cast.customer)
    rpc.result(network.ai.provider, "evm_revert", [snapshot])

    with impatient():
        funded.request(PROMPT)

    assert nonce_of(network, cast.customer) == nonce


def deposit_taken(network: LocalNetwork, cast: Cast, start: Any) -> tuple[Signed, ...]:
    """The signed transactions of a start whose deposit another account took."""
    with unmined(network):
        with pytest.raises(TransactionPending):
            DtnSession.start(DEPOSIT, cast.customer, network.ai, **start)
        (entry,) = executor.unfinished(network.ai, cast.customer)
        rpc.result(network.ai.provider, "anvil_dropTransaction", [entry.signed[1].hash])
    rpc.result(network.ai.provider, "evm_mine", [])
    theft = contract_call(network.ai.router, Router.start_user_session)
    transactions.send(network.ai.provider, cast.stranger, theft)
    with impatient(), pytest.raises(DepositTaken):
        DtnSession.start(DEPOSIT, cast.customer, network.ai, **start)
    return entry.signed


@pytest.mark.usefixtures("public")
def test_a_taken_deposit_ends_its_start_when_the_theft_is_final(
    network: LocalNetwork, cast: Cast
) -> None:
    start: Any = {"idempotency_key": KEY, "method": Method.TWO_STEP, "unsafe_two_step": True}
    deposit_taken(network, cast, start)
    (entry,) = executor.unfinished(network.ai, cast.customer)
    mine(network, ANVIL_FINAL_AFTER)

    with pytest.raises(DepositTaken):
        DtnSession.start(DEPOSIT, cast.customer, network.ai, **start)

    assert state_of(network, cast, entry) is State.CANCELLED


@pytest.mark.usefixtures("public")
def test_a_deposit_taken_in_a_reorganised_block_is_not_sent_twice(
    network: LocalNetwork, cast: Cast, balances: Balances
) -> None:
    start: Any = {"idempotency_key": KEY, "method": Method.TWO_STEP, "unsafe_two_step": True}
    snapshot = rpc.result(network.ai.provider, "evm_snapshot", [])
    deposit, started = deposit_taken(network, cast, start)
    rpc.result(network.ai.provider, "evm_revert", [snapshot])
    for signed in (deposit, started):
        rpc.result(network.ai.provider, SEND, [signed.raw])

    session = DtnSession.start(DEPOSIT, cast.customer, network.ai, **start)

    assert balances.of_network == session.balance
    assert len(DtnSession.list(cast.customer, network.ai)) == 1


# Refused transactions.


@pytest.mark.usefixtures("public")
def test_a_refused_transaction_is_rebroadcast_before_the_next_one(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry = refused_entry(network, funded, cast, through)
    assert nonce_of(network, cast.customer) == entry.signed[0].nonce
    assert "to accept transaction" in waiting_for(network, cast, entry)

    other = funded.request("Another?", idempotency_key="other")

    assert nonce_of(network, cast.customer) == entry.signed[0].nonce + 2
    first = funded.request(PROMPT, idempotency_key=KEY)
    assert nonce_of(network, cast.customer) == entry.signed[0].nonce + 2
    assert first.id != other.id
    assert request_count(network, funded) == 2


@pytest.mark.usefixtures("public")
def test_a_transaction_that_stays_refused_loses_its_nonce_to_the_next_one(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """Only one of the two is mined. The other is sent again when the nonce is final."""
    entry = refused_entry(network, funded, cast, through)
    (sent,) = entry.signed

    with through(refusing(sent.raw)) as ai:
        other = DtnSession(ai, funded.id, cast.customer).request("Another?")

    assert other.receipt is not None
    asked = ["eth_getTransactionByHash", [other.receipt.transaction]]
    mined = rpc.result(network.ai.provider, *asked)
    before = payload_of(sent.raw).fees
    assert as_int(mined["nonce"]) == sent.nonce
    assert as_int(mined["maxFeePerGas"]) * 8 >= before.max_fee * 9
    assert as_int(mined["maxPriorityFeePerGas"]) * 8 >= before.tip * 9
    with impatient(), pytest.raises(TransactionPending):
        funded.request(PROMPT, idempotency_key=KEY)
    mine(network, ANVIL_FINAL_AFTER)
    funded.request(PROMPT, idempotency_key=KEY)
    assert request_count(network, funded) == 2


def test_a_transaction_that_is_refused_again_is_replaced_with_higher_fees(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """The replacement has the same nonce, so only one of them can be mined."""
    entry = refused_entry(network, funded, cast, through)
    (sent,) = entry.signed

    with through(refusing(sent.raw)) as ai:
        request = DtnSession(ai, funded.id, cast.customer).request(PROMPT, idempotency_key=KEY)

    after = executor.journal_of(network.ai, cast.customer).entry(entry.id)
    assert [signed.nonce for signed in after.signed] == [sent.nonce] * 2
    first, second = (payload_of(signed.raw) for signed in after.signed)
    assert replace(second, fees=first.fees) == first
    assert second.fees == first.fees.outbidding([first.fees])
    assert request.receipt is not None
    assert request.receipt.transaction == after.signed[1].hash
    with suppress(Exception):
        rpc.result(network.ai.provider, SEND, [sent.raw])
    assert request_count(network, funded) == 1


@pytest.mark.usefixtures("public")
def test_fees_of_replacements_are_limited(
    network: LocalNetwork,
    funded: DtnSession,
    cast: Cast,
    through: Through,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither resuming a refused transaction nor sending the next one exceeds the limit."""
    monkeypatch.setattr(fees, "MAX_OVER_MARKET", 1.25)
    market = payload_of(refused_entry(network, funded, cast, through).signed[0].raw).fees

    with through(refusing()) as ai, impatient():
        for attempt in range(3):
            open_entries = executor.unfinished(ai, cast.customer)
            assert executor.resume(ai, cast.customer, open_entries, operation_of)
            with pytest.raises(TransactionRefused):
                DtnSession(ai, funded.id, cast.customer).request(f"Another {attempt}?")

    journal = executor.journal_of(network.ai, cast.customer)
    signed = [transaction for entry in journal.entries(State.OPEN) for transaction in entry.signed]
    tips = [payload_of(transaction.raw).fees.tip for transaction in signed]
    assert market.tip < max(tips) <= 1.25 * market.max_fee


def test_a_transaction_is_rebroadcast_if_the_balance_allows_no_higher_fees(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry = refused_entry(network, funded, cast, through)
    payload = payload_of(entry.signed[0].raw)
    enough = payload.gas_limit * payload.fees.max_fee
    balance = [str(cast.customer.address), hex(enough)]
    rpc.result(network.ai.provider, "anvil_setBalance", balance)
    refused: list[str] = []

    def refuse_first(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        if call["method"] != SEND or len(refused) == POLICY.send_attempts:
            return forward()
        refused.append(call["params"][0])
        return {"error": {"code": -32000, "message": REFUSALS[0]}}

    with through(each_call(refuse_first)) as ai:
        request = DtnSession(ai, funded.id, cast.customer).request(PROMPT, idempotency_key=KEY)

    assert request.receipt is not None
    assert request.receipt.transaction == entry.signed[0].hash


def test_a_replacement_keeps_the_delegation(
    network: LocalNetwork, cast: Cast, through: Through
) -> None:
    """The EIP-7702 authorization is part of the replacement."""
    start: Any = {"idempotency_key": KEY, "method": Method.DELEGATE}
    with through(refusing()) as ai, impatient(), pytest.raises(TransactionRefused):
        DtnSession.start(DEPOSIT, cast.customer, ai, **start)
    (entry,) = executor.unfinished(network.ai, cast.customer)

    with through(refusing(*(signed.raw for signed in entry.signed))) as ai:
        DtnSession.start(DEPOSIT, cast.customer, ai, **start)

    ((_, balance),) = DtnSession.list(cast.customer, network.ai)
    assert str(balance) == "25.00 USDT"
    after = executor.journal_of(network.ai, cast.customer).entry(entry.id)
    first, second, *_ = (payload_of(signed.raw) for signed in after.signed)
    assert replace(second, fees=first.fees) == first


def test_attempts_to_fill_a_nonce_gap_are_limited(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """The endpoint accepts the transactions that fill the gap, and drops them."""
    with unmined(network):
        for prompt in ("First?", PROMPT):
            with pytest.raises(TransactionPending):
                funded.request(prompt, idempotency_key=prompt)
        for entry in executor.unfinished(network.ai, cast.customer):
            rpc.result(network.ai.provider, "anvil_dropTransaction", [entry.signed[0].hash])
    sent: list[str] = []

    def swallow(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        if call["method"] != SEND or len(sent) > 300:
            return forward()
        sent.append(call["params"][0])
        return {"result": "0x" + keccak(hexstr=sent[-1]).hex()}

    with through(each_call(swallow)) as ai, impatient(), pytest.raises(TransactionPending):
        DtnSession(ai, funded.id, cast.customer).request(PROMPT, idempotency_key=PROMPT)

    assert len(sent) < 300
    assert request_count(network, funded) == 0


def test_fees_outbid_all_replaced_transactions() -> None:
    dear, odd, free = Fees(1_000, 80), Fees(7, 3), Fees(0, 0)

    assert Fees(10, 1).outbidding([]) == Fees(10, 1)
    assert Fees(10, 1).outbidding([dear, odd]) == Fees(1_125, 90)
    assert Fees(0, 0).outbidding([odd]) == Fees(8, 4)
    assert Fees(0, 0).outbidding([free]) == Fees(1, 1)


@pytest.mark.usefixtures("public")
def test_a_reverted_request_is_sent_again_when_the_revert_is_final(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    router, provider = network.ai.router, network.ai.provider
    code = rpc.result(provider, "eth_getCode", [router, "latest"])
    with unmined(network):
        with pytest.raises(TransactionPending):
            funded.request(PROMPT, idempotency_key=KEY)
        rpc.result(provider, "anvil_setCode", [router, "0x5f5ffd"])  # reverts
        rpc.result(provider, "evm_mine", [])
        rpc.result(provider, "anvil_setCode", [router, code])
    nonce = nonce_of(network, cast.customer)

    hints = []
    for _ in range(2):
        with impatient(), pytest.raises(ContractReverted) as raised:
            funded.request(PROMPT, idempotency_key=KEY)
        hints.append(raised.value.hint or "")
    assert ["nothing was sent now" in hint for hint in hints] == [False, True]
    assert nonce_of(network, cast.customer) == nonce
    mine(network, ANVIL_FINAL_AFTER)

    funded.request(PROMPT, idempotency_key=KEY)

    assert nonce_of(network, cast.customer) == nonce + 1
    assert request_count(network, funded) == 1


def reverting_after_preparation() -> Answer:
    """An endpoint at which gas estimates revert after the first transaction."""
    sent: list[str] = []

    def respond(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        if call["method"] == SEND:
            sent.append(call["params"][0])
        is_refused = call["method"] == "eth_estimateGas" and sent
        error = {"code": 3, "message": "execution reverted", "data": "0x"}
        return {"error": error} if is_refused else forward()

    return each_call(respond)


@pytest.mark.usefixtures("public")
def test_resuming_does_not_repeat_a_refused_operation(
    network: LocalNetwork, cast: Cast, through: Through
) -> None:
    """The preparation is not final. The user may have repeated the call after the error."""
    with through(reverting_after_preparation()) as ai, pytest.raises(ContractReverted):
        DtnSession.start(DEPOSIT, cast.customer, ai, method=Method.ALLOWANCE)
    (entry,) = executor.unfinished(network.ai, cast.customer)
    DtnSession.start(DEPOSIT, cast.customer, network.ai, method=Method.ALLOWANCE)

    ((_, outcome),) = executor.resume(network.ai, cast.customer, [entry], operation_of)

    assert isinstance(outcome, RefusedBefore)
    assert state_of(network, cast, entry) is State.OPEN
    mine(network, ANVIL_FINAL_AFTER)
    executor.resume(network.ai, cast.customer, [entry], operation_of)
    assert state_of(network, cast, entry) is State.CANCELLED
    assert len(DtnSession.list(cast.customer, network.ai)) == 1


@pytest.mark.usefixtures("public")
def test_a_repeated_call_repeats_a_refused_operation(
    network: LocalNetwork, cast: Cast, through: Through
) -> None:
    start: Any = {"idempotency_key": KEY, "method": Method.ALLOWANCE}
    with through(reverting_after_preparation()) as ai, pytest.raises(ContractReverted):
        DtnSession.start(DEPOSIT, cast.customer, ai, **start)

    session = DtnSession.start(DEPOSIT, cast.customer, network.ai, **start)

    assert executor.unfinished(network.ai, cast.customer) == []
    assert [opened.id for opened, _ in DtnSession.list(cast.customer, network.ai)] == [session.id]


# Budgets.


def test_a_refused_request_counts_in_budgets(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry = refused_entry(network, funded, cast, through)

    for limits in ({"account_limit": "0.25"}, {"day_limit": "0.25"}, {"session_limit": "0.25"}):
        options: Any = limits
        with pytest.raises(OverLimit):
            funded.request("Another?", **options)

    assert isinstance(
        executor.cancel(network.ai, cast.customer, entry, operation_of), PaymentCancelled
    )
    assert funded.request("Another?", account_limit="0.25", day_limit="0.25").id


# Cancellations.


def test_a_cancelled_request_is_never_mined(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry = refused_entry(network, funded, cast, through)
    (sent,) = entry.signed

    cancelled = executor.cancel(network.ai, cast.customer, entry, operation_of)

    assert isinstance(cancelled, PaymentCancelled)
    assert state_of(network, cast, entry) is State.CANCELLED
    assert nonce_of(network, cast.customer) == sent.nonce + 1
    with suppress(Exception):
        rpc.result(network.ai.provider, SEND, [sent.raw])
    assert request_count(network, funded) == 0
    funded.request(PROMPT, idempotency_key=KEY)
    assert request_count(network, funded) == 1


@pytest.mark.usefixtures("public")
def test_a_cancellation_ends_an_entry_only_when_it_is_final(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry = refused_entry(network, funded, cast, through)

    with impatient(), pytest.raises(TransactionPending):
        executor.cancel(network.ai, cast.customer, entry, operation_of)
    assert state_of(network, cast, entry) is State.OPEN
    nonce = nonce_of(network, cast.customer)
    with impatient(), pytest.raises(TransactionPending):
        funded.request(PROMPT, idempotency_key=KEY)
    mine(network, ANVIL_FINAL_AFTER)
    ((_, outcome),) = executor.resume(network.ai, cast.customer, [entry], operation_of)

    assert isinstance(outcome, PaymentCancelled)
    assert state_of(network, cast, entry) is State.CANCELLED
    assert nonce_of(network, cast.customer) == nonce
    assert request_count(network, funded) == 0


def test_a_request_mined_despite_its_cancellation_is_done(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry = refused_entry(network, funded, cast, through)
    with through(refusing()) as ai, impatient(), pytest.raises(TransactionRefused):
        executor.cancel(ai, cast.customer, entry, operation_of)
    rpc.result(network.ai.provider, SEND, [entry.signed[0].raw])
    nonce = nonce_of(network, cast.customer)

    ((_, outcome),) = executor.resume(network.ai, cast.customer, [entry], operation_of)

    assert isinstance(outcome, executor.OperationResult)
    assert nonce_of(network, cast.customer) == nonce
    assert request_count(network, funded) == 1
    with pytest.raises(NotCancellable, match="done already"):
        executor.cancel(network.ai, cast.customer, entry, operation_of)


def test_a_deposit_and_its_start_are_cancelled_together(
    network: LocalNetwork, cast: Cast, through: Through
) -> None:
    with through(refusing()) as ai, impatient(), pytest.raises(TransactionRefused):
        DtnSession.start(DEPOSIT, cast.customer, ai, method=Method.TWO_STEP)
    (entry,) = executor.unfinished(network.ai, cast.customer)

    assert isinstance(
        executor.cancel(network.ai, cast.customer, entry, operation_of), PaymentCancelled
    )

    assert nonce_of(network, cast.customer) == entry.signed[-1].nonce + 1
    assert DtnSession.list(cast.customer, network.ai) == []


def test_a_declined_cancellation_leaves_the_request_to_be_sent(
    network: LocalNetwork,
    funded: DtnSession,
    cast: Cast,
    through: Through,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entry = refused_entry(network, funded, cast, through)
    with monkeypatch.context() as patch:
        patch.setattr(type(cast.customer), "sign_transaction", lambda *_, **__: None)
        with pytest.raises(SigningDeclined):
            executor.cancel(network.ai, cast.customer, entry, operation_of)
    to_nobody = Transaction(str(cast.stranger.address), b"", 1)
    transactions.send(network.ai.provider, cast.customer, to_nobody)
    assert nonce_of(network, cast.customer) == entry.signed[0].nonce + 1

    ((_, outcome),) = executor.resume(network.ai, cast.customer, [entry], operation_of)

    assert isinstance(outcome, executor.OperationResult)
    assert request_count(network, funded) == 1


def test_a_cancelled_entry_with_a_used_nonce_is_not_sent_again(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    entry = entry_with_used_nonce(network, funded, cast)

    outcome = executor.cancel(network.ai, cast.customer, entry, operation_of)

    assert isinstance(outcome, PaymentCancelled)
    assert state_of(network, cast, entry) is State.CANCELLED
    assert request_count(network, funded) == 0


# Wallets, which send their transactions themselves.


class Stop(BaseException):
    """Interrupts like Ctrl-C."""


@pytest.fixture
def wallet(accounts: Any, cast: Cast) -> Any:
    return accounts.impersonate_account(cast.customer.address)


@contextmanager
def interrupted(wallet: Any, first: Callable[..., Any] = lambda _: None) -> Iterator[None]:
    """Interrupts the wallet when it gets a transaction, after ``first``."""

    def call(_: Any, txn: Any, *__: Any, **___: Any) -> Any:
        first(txn)
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(wallet), "call", call)
        try:
            yield
        except Stop:
            return
    pytest.fail("the wallet was not interrupted")


def broadcasting(network: LocalNetwork) -> Callable[[Any], None]:
    def broadcast(txn: Any) -> None:
        sent = {
            "from": str(txn.sender),
            "to": str(txn.receiver),
            "data": "0x" + bytes(txn.data).hex(),
            "nonce": hex(txn.nonce),
        }
        rpc.result(network.ai.provider, "eth_sendTransaction", [sent])

    return broadcast


def test_a_pending_transaction_of_a_wallet_is_not_sent_again(
    network: LocalNetwork, funded: DtnSession, wallet: Any
) -> None:
    with unmined(network):
        with interrupted(wallet, broadcasting(network)):
            funded.request(PROMPT, account=wallet, idempotency_key=KEY)
        (entry,) = executor.unfinished(network.ai, wallet)
        with pytest.raises(WalletPending) as raised:
            funded.request(PROMPT, account=wallet, idempotency_key=KEY)
        with pytest.raises(NotCancellable):
            executor.cancel(network.ai, wallet, entry, operation_of)
    assert raised.value.exit_code == 7
    assert "wallet" in (raised.value.hint or "")
    rpc.result(network.ai.provider, "evm_mine", [])
    nonce = nonce_of(network, wallet)

    funded.request(PROMPT, account=wallet, idempotency_key=KEY)

    assert nonce_of(network, wallet) == nonce
    assert request_count(network, funded) == 1


def test_a_transaction_that_a_wallet_did_not_send_is_sent_with_its_nonce(
    network: LocalNetwork, funded: DtnSession, wallet: Any
) -> None:
    nonce = nonce_of(network, wallet)
    with interrupted(wallet):
        funded.request(PROMPT, account=wallet, idempotency_key=KEY)

    funded.request(PROMPT, account=wallet, idempotency_key=KEY)

    assert nonce_of(network, wallet) == nonce + 1
    assert request_count(network, funded) == 1


def test_a_queued_transaction_of_a_wallet_is_not_sent_with_another_nonce(
    network: LocalNetwork, funded: DtnSession, cast: Cast, wallet: Any
) -> None:
    """With its key, the same account would use another nonce, and both would be mined."""
    with unmined(network):
        to_nobody = Transaction(str(cast.stranger.address), b"", 1)
        with pytest.raises(TransactionPending) as before:
            transactions.send(network.ai.provider, cast.customer, to_nobody)
        with interrupted(wallet, broadcasting(network)):
            funded.request(PROMPT, account=wallet, idempotency_key=KEY)
        rpc.result(network.ai.provider, "anvil_dropTransaction", before.value.transactions)

    with impatient(), pytest.raises(WalletPending):
        funded.request(PROMPT, account=cast.customer, idempotency_key=KEY)

    transactions.send(network.ai.provider, cast.customer, to_nobody)
    funded.request(PROMPT, account=cast.customer, idempotency_key=KEY)
    assert request_count(network, funded) == 1


def test_a_deposit_sent_by_a_wallet_is_not_sent_again(
    network: LocalNetwork, wallet: Any, balances: Balances
) -> None:
    start: Any = {"idempotency_key": KEY, "method": Method.TWO_STEP}
    with interrupted(wallet, broadcasting(network)):
        DtnSession.start(DEPOSIT, wallet, network.ai, **start)

    session = DtnSession.start(DEPOSIT, wallet, network.ai, **start)

    assert balances.of_network == session.balance


def test_a_transaction_declined_by_a_wallet_is_not_awaited(
    network: LocalNetwork, funded: DtnSession, wallet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decline(*_: Any, **__: Any) -> Any:
        raise SignatureError("declined")

    with monkeypatch.context() as patch:
        patch.setattr(type(wallet), "call", decline)
        with pytest.raises(RpcRefused):
            funded.request(PROMPT, account=wallet, idempotency_key=KEY)

    assert executor.unfinished(network.ai, wallet) == []


def test_a_wallet_sends_again_if_its_nonce_was_used_elsewhere(
    network: LocalNetwork,
    funded: DtnSession,
    cast: Cast,
    wallet: Any,
) -> None:
    with interrupted(wallet):
        funded.request(PROMPT, account=wallet, idempotency_key=KEY)
    to_nobody = Transaction(str(cast.stranger.address), b"", 1)
    transactions.send(network.ai.provider, cast.customer, to_nobody)

    funded.request(PROMPT, account=wallet, idempotency_key=KEY)

    assert request_count(network, funded) == 1


# Many requests.


@pytest.mark.parametrize("lag_in_nonces", [1, 3])
def test_many_requests_are_signed_again_if_the_endpoints_nonce_lags(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through, lag_in_nonces: int
) -> None:
    for _ in range(lag_in_nonces):
        funded.request("Before?")
    lagged: list[str] = []

    def lag(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        answer = forward()
        is_asked = call["method"] == "eth_getTransactionCount" and call["params"][1] == "pending"
        if is_asked and not lagged:
            lagged.append(answer["result"])
            return {"result": hex(int(answer["result"], 16) - lag_in_nonces)}
        return answer

    with through(each_call(lag)) as ai:
        sent = DtnSession(ai, funded.id, cast.customer).request_many(["One?", "Two?"])

    assert lagged
    assert [type(request) for request in sent] == [DtnRequest] * 2
    assert request_count(network, funded) == lag_in_nonces + 2
