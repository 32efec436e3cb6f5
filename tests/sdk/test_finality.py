"""What was signed is open until its nonce is used for good: stuck, met, overtaken or cancelled."""

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
from ape_dtn.types.rpc import SEND, as_int
from ape_dtn.types.transactions import Signed, Transaction, contract_call
from ape_dtn.types.waiting import POLICY
from tests.conftest import Balances, Cast
from tests.unkind import REFUSALS

from .conftest import DEPOSIT, Answer, Through
from .test_journal import impatient, nonce_of, unmined
from .test_swallowed import each_call

pytestmark = pytest.mark.usefixtures("own_journal")

PROMPT = "Hello?"
KEY = "paid"

# How far Anvil's finalized block is behind its latest.
ANVIL_FINAL_AFTER = 64


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that is not one's own: others make its blocks, and nobody sets it back."""
    for module in (spending, reorgs, finality):
        monkeypatch.setattr(module, "is_local", lambda _: False)


def refusing(*refused: str) -> Answer:
    """An endpoint that takes no transaction, or none of these."""

    def told(call: dict[str, Any], really: Callable[[], Any]) -> Any:
        if call["method"] != SEND or (refused and call["params"][0] not in refused):
            return really()
        return {"error": {"code": -32000, "message": REFUSALS[0]}}

    return each_call(told)


def mine(network: LocalNetwork, blocks: int) -> None:
    rpc.result(network.ai.provider, "anvil_mine", [hex(blocks)])


def asked_on(network: LocalNetwork, session: DtnSession) -> int:
    """How many requests the chain has of a session."""
    return len(session.history().requests)


def stuck(network: LocalNetwork, session: DtnSession, cast: Cast, through: Through) -> Any:
    """The entry of a request that the endpoint refuses, and nobody has."""
    with through(refusing()) as ai, impatient(), pytest.raises(TransactionRefused) as raised:
        DtnSession(ai, session.id, cast.customer).request(PROMPT, idempotency_key=KEY)
    assert raised.value.exit_code == 7
    assert "journal cancel" in (raised.value.hint or "")
    (entry,) = executor.unfinished(network.ai, cast.customer)
    assert raised.value.transaction == entry.signed[0].hash
    return entry


def overtaken(network: LocalNetwork, session: DtnSession, cast: Cast) -> Any:
    """The entry of a request whose nonce another program has used, in the latest block."""
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
    (told,) = status.waits_for(network.ai, journal, [journal.entry(entry.id)])
    return told


def state_of(network: LocalNetwork, cast: Cast, entry: Any) -> State:
    return executor.journal_of(network.ai, cast.customer).entry(entry.id).state


# Overtaken.


@pytest.mark.usefixtures("public")
def test_a_nonce_that_is_used_is_not_believed_before_that_is_final(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    entry = overtaken(network, funded, cast)
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
    assert asked_on(network, funded) == 1


@pytest.mark.usefixtures("public")
def test_a_reorganisation_brings_back_what_was_overtaken(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    snapshot = rpc.result(network.ai.provider, "evm_snapshot", [])
    entry = overtaken(network, funded, cast)
    with impatient(), pytest.raises(TransactionPending):
        funded.request(PROMPT, idempotency_key=KEY)
    rpc.result(network.ai.provider, "evm_revert", [snapshot])
    rpc.result(network.ai.provider, SEND, [entry.signed[0].raw])
    nonce = nonce_of(network, cast.customer)

    funded.request(PROMPT, idempotency_key=KEY)

    assert nonce_of(network, cast.customer) == nonce
    assert asked_on(network, funded) == 1


@pytest.mark.usefixtures("public")
def test_where_the_chain_does_not_say_what_is_final_the_registry_does(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    overtaken(network, funded, cast)

    def no_tag(call: dict[str, Any], really: Callable[[], Any]) -> Any:
        is_tag = call["params"][:1] == ["finalized"]
        return {"error": {"code": -32602, "message": "unknown block"}} if is_tag else really()

    def attempt() -> DtnRequest:
        with through(each_call(no_tag)) as ai, impatient():
            ai.deployment = replace(ai.deployment, final_after=5)
            return DtnSession(ai, funded.id, cast.customer).request(PROMPT, idempotency_key=KEY)

    mine(network, 3)
    with pytest.raises(TransactionPending):
        attempt()
    assert asked_on(network, funded) == 0
    mine(network, 3)

    attempt()

    assert asked_on(network, funded) == 1


@pytest.mark.usefixtures("public")
def test_where_the_chain_says_that_block_0_is_final_blocks_are_counted(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    overtaken(network, funded, cast)

    def genesis(call: dict[str, Any], really: Callable[[], Any]) -> Any:
        if call["params"][:1] != ["finalized"]:
            return really()
        return {"result": rpc.result(network.ai.provider, call["method"], ["0x0", False])}

    with through(each_call(genesis)) as ai, impatient():
        ai.deployment = replace(ai.deployment, final_after=5)
        session = DtnSession(ai, funded.id, cast.customer)
        with pytest.raises(TransactionPending):
            session.request(PROMPT, idempotency_key=KEY)
        mine(network, 6)
        session.request(PROMPT, idempotency_key=KEY)

    assert asked_on(network, funded) == 1


def test_what_is_not_in_the_journal_is_not_said_to_be_resumed(
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
def test_a_view_that_is_older_than_what_is_known_is_not_believed(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry = overtaken(network, funded, cast)
    mine(network, ANVIL_FINAL_AFTER)
    journal = executor.journal_of(network.ai, cast.customer)
    (other,) = journal.record_intents(
        [Intent("close", {"session": "0"}, {"from_block": journal.head})]
    )
    journal.end(other, State.DONE, {"block": str(journal.head), "transaction": "0x"})

    def behind(call: dict[str, Any], really: Callable[[], Any]) -> Any:
        head = call["method"] == "eth_blockNumber"
        return {"result": hex(journal.head - 1)} if head else really()

    with through(each_call(behind)) as ai, impatient(), pytest.raises(TransactionPending):
        DtnSession(ai, funded.id, cast.customer).request(PROMPT, idempotency_key=KEY)

    assert state_of(network, cast, entry) is State.OPEN
    assert asked_on(network, funded) == 0


def test_one_node_that_tells_of_another_nonce_is_not_believed(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """It waits to be mined, and is: what one answer said of it would have had it paid twice."""
    with unmined(network):
        with pytest.raises(TransactionPending):
            funded.request(PROMPT, idempotency_key=KEY)
        (entry,) = executor.unfinished(network.ai, cast.customer)
        (sent,) = entry.signed
        lies: list[str] = []

        def lie_once(call: dict[str, Any], really: Callable[[], Any]) -> Any:
            if call["method"] != "eth_getTransactionCount" or call["params"][1] == "pending":
                return really()
            if call["params"][1] != "latest":
                lies.append(call["params"][1])
                return {"result": hex(sent.nonce + 1)} if len(lies) % 2 else really()
            return {"result": hex(sent.nonce + 1)}

        with through(each_call(lie_once)) as ai, impatient(), pytest.raises(TransactionPending):
            DtnSession(ai, funded.id, cast.customer).request(PROMPT, idempotency_key=KEY)
    assert len(lies) > 1
    rpc.result(network.ai.provider, "evm_mine", [])

    funded.request(PROMPT, idempotency_key=KEY)

    assert asked_on(network, funded) == 1


def no_archive(network: LocalNetwork) -> Answer:
    """A node that has no state that is older than ten blocks."""

    def told(call: dict[str, Any], really: Callable[[], Any]) -> Any:
        at = call["params"][-1] if call["method"] == "eth_getTransactionCount" else "latest"
        head = as_int(rpc.result(network.ai.provider, "eth_blockNumber", []))
        if at.startswith("0x") and as_int(at) < head - 10:
            return {"error": {"code": -32000, "message": "missing trie node"}}
        return really()

    return each_call(told)


@pytest.mark.usefixtures("public")
def test_a_node_without_old_states_tells_what_is_used_for_good(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """On Base a block is final after 900, and most nodes keep the states of 128."""
    overtaken(network, funded, cast)

    with through(no_archive(network)) as ai, impatient():
        session = DtnSession(ai, funded.id, cast.customer)
        with pytest.raises(TransactionPending):
            session.request(PROMPT, idempotency_key=KEY)
        mine(network, ANVIL_FINAL_AFTER - 2)
        with pytest.raises(TransactionPending):
            session.request(PROMPT, idempotency_key=KEY)
        mine(network, 2)
        session.request(PROMPT, idempotency_key=KEY)

    assert asked_on(network, funded) == 1


@pytest.mark.usefixtures("public")
def test_a_node_without_old_states_does_not_take_what_a_reorganisation_has_taken_back_for_used(
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

    assert asked_on(network, funded) == 1
    assert nonce_of(network, cast.customer) == entry.signed[0].nonce + 1


@pytest.mark.usefixtures("public")
def test_a_node_without_old_states_tells_of_a_wallets_nonce(
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

    assert asked_on(network, funded) == 1


@pytest.mark.usefixtures("public")
def test_a_nonce_that_is_known_to_be_used_is_not_signed_with(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """It would stay open until that nonce is final: for half an hour, on Base."""
    for attempt in range(2):
        funded.request("Before?")
        lagged: list[str] = []

        def lag(call: dict[str, Any], really: Callable[[], Any], lagged: Any = lagged) -> Any:
            answer = really()
            pending = call["method"] == "eth_getTransactionCount" and call["params"][1] == "pending"
            if pending and not lagged:
                lagged.append(answer)
                return {"result": hex(int(answer["result"], 16) - 1)}
            return answer

        with through(each_call(lag)) as ai, impatient():
            session = DtnSession(ai, funded.id, cast.customer)
            found = session.request_many(["One?", "Two?"]) if attempt else [session.request("One?")]
        assert lagged
        assert [type(each) for each in found] == [DtnRequest] * (1 + attempt)

    journal = executor.journal_of(network.ai, cast.customer)
    asked = [each for each in journal.entries(*State) if each.kind == "request"]
    assert [len(each.signed) for each in asked] == [1] * 5


@pytest.mark.usefixtures("public")
def test_a_reorganisation_frees_a_nonce_that_was_known_to_be_used(
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
    """What was signed for a start whose deposit somebody else has taken."""
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
def test_a_deposit_that_was_taken_ends_its_start_once_that_is_final(
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
def test_a_deposit_that_was_taken_in_a_block_that_is_taken_back_is_not_made_twice(
    network: LocalNetwork, cast: Cast, balances: Balances
) -> None:
    start: Any = {"idempotency_key": KEY, "method": Method.TWO_STEP, "unsafe_two_step": True}
    snapshot = rpc.result(network.ai.provider, "evm_snapshot", [])
    deposit, started = deposit_taken(network, cast, start)
    rpc.result(network.ai.provider, "evm_revert", [snapshot])
    for each in (deposit, started):
        rpc.result(network.ai.provider, SEND, [each.raw])

    session = DtnSession.start(DEPOSIT, cast.customer, network.ai, **start)

    assert balances.of_network == session.balance
    assert len(DtnSession.list(cast.customer, network.ai)) == 1


# Stuck, and met.


@pytest.mark.usefixtures("public")
def test_what_is_stuck_is_sent_before_the_next(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry = stuck(network, funded, cast, through)
    assert nonce_of(network, cast.customer) == entry.signed[0].nonce
    assert "to accept transaction" in waiting_for(network, cast, entry)

    other = funded.request("Another?", idempotency_key="other")

    assert nonce_of(network, cast.customer) == entry.signed[0].nonce + 2
    first = funded.request(PROMPT, idempotency_key=KEY)
    assert nonce_of(network, cast.customer) == entry.signed[0].nonce + 2
    assert first.id != other.id
    assert asked_on(network, funded) == 2


@pytest.mark.usefixtures("public")
def test_what_stays_stuck_loses_its_nonce_to_the_next(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """Nobody is locked out, and only one of the two is mined; the other is sent anew once final."""
    entry = stuck(network, funded, cast, through)
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
    assert asked_on(network, funded) == 2


def test_what_is_refused_again_is_offered_more(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """As by an endpoint whose nodes take nothing so cheap: the nonce stays, and so it is once."""
    entry = stuck(network, funded, cast, through)
    (sent,) = entry.signed

    with through(refusing(sent.raw)) as ai:
        request = DtnSession(ai, funded.id, cast.customer).request(PROMPT, idempotency_key=KEY)

    after = executor.journal_of(network.ai, cast.customer).entry(entry.id)
    assert [each.nonce for each in after.signed] == [sent.nonce] * 2
    first, second = (payload_of(each.raw) for each in after.signed)
    assert replace(second, fees=first.fees) == first
    assert second.fees == first.fees.outbidding([first.fees])
    assert request.receipt is not None
    assert request.receipt.transaction == after.signed[1].hash
    with suppress(Exception):
        rpc.result(network.ai.provider, SEND, [sent.raw])
    assert asked_on(network, funded) == 1


@pytest.mark.usefixtures("public")
def test_an_endpoint_that_refuses_all_is_not_offered_more_for_ever(
    network: LocalNetwork,
    funded: DtnSession,
    cast: Cast,
    through: Through,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither for what is stuck, each time that it is resumed, nor for what comes after it."""
    monkeypatch.setattr(fees, "MAX_OVER_MARKET", 1.25)
    market = payload_of(stuck(network, funded, cast, through).signed[0].raw).fees

    with through(refusing()) as ai, impatient():
        for attempt in range(3):
            left = executor.unfinished(ai, cast.customer)
            assert executor.resume(ai, cast.customer, left, operation_of)
            with pytest.raises(TransactionRefused):
                DtnSession(ai, funded.id, cast.customer).request(f"Another {attempt}?")

    journal = executor.journal_of(network.ai, cast.customer)
    signed = [one for each in journal.entries(State.OPEN) for one in each.signed]
    tips = [payload_of(one.raw).fees.tip for one in signed]
    assert market.tip < max(tips) <= 1.25 * market.max_fee


def test_what_cannot_be_offered_more_is_sent_as_it_is(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry = stuck(network, funded, cast, through)
    payload = payload_of(entry.signed[0].raw)
    enough = payload.gas_limit * payload.fees.max_fee
    balance = [str(cast.customer.address), hex(enough)]
    rpc.result(network.ai.provider, "anvil_setBalance", balance)
    refused: list[str] = []

    def refuse_first(call: dict[str, Any], really: Callable[[], Any]) -> Any:
        if call["method"] != SEND or len(refused) == POLICY.send_attempts:
            return really()
        refused.append(call["params"][0])
        return {"error": {"code": -32000, "message": REFUSALS[0]}}

    with through(each_call(refuse_first)) as ai:
        request = DtnSession(ai, funded.id, cast.customer).request(PROMPT, idempotency_key=KEY)

    assert request.receipt is not None
    assert request.receipt.transaction == entry.signed[0].hash


def test_a_code_change_is_offered_more_as_it_was(
    network: LocalNetwork, cast: Cast, through: Through
) -> None:
    """EIP-7702: what the account has signed of its code is part of what is signed again."""
    start: Any = {"idempotency_key": KEY, "method": Method.DELEGATE}
    with through(refusing()) as ai, impatient(), pytest.raises(TransactionRefused):
        DtnSession.start(DEPOSIT, cast.customer, ai, **start)
    (entry,) = executor.unfinished(network.ai, cast.customer)

    with through(refusing(*(each.raw for each in entry.signed))) as ai:
        DtnSession.start(DEPOSIT, cast.customer, ai, **start)

    ((_, balance),) = DtnSession.list(cast.customer, network.ai)
    assert str(balance) == "25.00 USDT"
    after = executor.journal_of(network.ai, cast.customer).entry(entry.id)
    first, second, *_ = (payload_of(each.raw) for each in after.signed)
    assert replace(second, fees=first.fees) == first


def test_a_hole_that_an_endpoint_only_says_to_fill_is_not_filled_for_ever(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """It takes all and mines nothing, as where what it has is dropped."""
    with unmined(network):
        for prompt in ("First?", PROMPT):
            with pytest.raises(TransactionPending):
                funded.request(prompt, idempotency_key=prompt)
        for entry in executor.unfinished(network.ai, cast.customer):
            rpc.result(network.ai.provider, "anvil_dropTransaction", [entry.signed[0].hash])
    sent: list[str] = []

    def swallow(call: dict[str, Any], really: Callable[[], Any]) -> Any:
        if call["method"] != SEND or len(sent) > 300:
            return really()
        sent.append(call["params"][0])
        return {"result": "0x" + keccak(hexstr=sent[-1]).hex()}

    with through(each_call(swallow)) as ai, impatient(), pytest.raises(TransactionPending):
        DtnSession(ai, funded.id, cast.customer).request(PROMPT, idempotency_key=PROMPT)

    assert len(sent) < 300
    assert asked_on(network, funded) == 0


def test_fees_of_what_replaces_others() -> None:
    dear, odd, free = Fees(1_000, 80), Fees(7, 3), Fees(0, 0)

    assert Fees(10, 1).outbidding([]) == Fees(10, 1)
    assert Fees(10, 1).outbidding([dear, odd]) == Fees(1_125, 90)
    assert Fees(0, 0).outbidding([odd]) == Fees(8, 4)
    assert Fees(0, 0).outbidding([free]) == Fees(1, 1)


@pytest.mark.usefixtures("public")
def test_a_reverted_request_is_sent_anew_once_the_revert_is_final(
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
    assert asked_on(network, funded) == 1


def refusing_once_prepared() -> Answer:
    """A contract that reverts after the first transaction."""
    prepared: list[str] = []

    def told(call: dict[str, Any], really: Callable[[], Any]) -> Any:
        if call["method"] == SEND:
            prepared.append(call["params"][0])
        is_refused = call["method"] == "eth_estimateGas" and prepared
        error = {"code": 3, "message": "execution reverted", "data": "0x"}
        return {"error": error} if is_refused else really()

    return each_call(told)


@pytest.mark.usefixtures("public")
def test_what_was_refused_is_not_begun_again_by_resuming(
    network: LocalNetwork, cast: Cast, through: Through
) -> None:
    """What prepares it is not final yet. Whoever was told so may have asked for it once more."""
    with through(refusing_once_prepared()) as ai, pytest.raises(ContractReverted):
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
def test_what_was_refused_is_begun_again_where_it_is_asked_for(
    network: LocalNetwork, cast: Cast, through: Through
) -> None:
    start: Any = {"idempotency_key": KEY, "method": Method.ALLOWANCE}
    with through(refusing_once_prepared()) as ai, pytest.raises(ContractReverted):
        DtnSession.start(DEPOSIT, cast.customer, ai, **start)

    session = DtnSession.start(DEPOSIT, cast.customer, network.ai, **start)

    assert executor.unfinished(network.ai, cast.customer) == []
    assert [each.id for each, _ in DtnSession.list(cast.customer, network.ai)] == [session.id]


# Budgets.


def test_what_was_refused_counts_in_the_budgets(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry = stuck(network, funded, cast, through)

    for limits in ({"account_limit": "0.25"}, {"day_limit": "0.25"}, {"session_limit": "0.25"}):
        options: Any = limits
        with pytest.raises(OverLimit):
            funded.request("Another?", **options)

    assert isinstance(
        executor.cancel(network.ai, cast.customer, entry, operation_of), PaymentCancelled
    )
    assert funded.request("Another?", account_limit="0.25", day_limit="0.25").id


# Cancelled.


def test_what_is_cancelled_never_happens(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry = stuck(network, funded, cast, through)
    (sent,) = entry.signed

    cancelled = executor.cancel(network.ai, cast.customer, entry, operation_of)

    assert isinstance(cancelled, PaymentCancelled)
    assert state_of(network, cast, entry) is State.CANCELLED
    assert nonce_of(network, cast.customer) == sent.nonce + 1
    with suppress(Exception):
        rpc.result(network.ai.provider, SEND, [sent.raw])
    assert asked_on(network, funded) == 0
    funded.request(PROMPT, idempotency_key=KEY)
    assert asked_on(network, funded) == 1


@pytest.mark.usefixtures("public")
def test_a_cancellation_ends_nothing_before_it_is_final(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry = stuck(network, funded, cast, through)

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
    assert asked_on(network, funded) == 0


def test_what_is_mined_in_spite_of_its_cancellation_is_done(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    entry = stuck(network, funded, cast, through)
    with through(refusing()) as ai, impatient(), pytest.raises(TransactionRefused):
        executor.cancel(ai, cast.customer, entry, operation_of)
    rpc.result(network.ai.provider, SEND, [entry.signed[0].raw])
    nonce = nonce_of(network, cast.customer)

    ((_, outcome),) = executor.resume(network.ai, cast.customer, [entry], operation_of)

    assert isinstance(outcome, executor.OperationResult)
    assert nonce_of(network, cast.customer) == nonce
    assert asked_on(network, funded) == 1
    with pytest.raises(NotCancellable, match="done already"):
        executor.cancel(network.ai, cast.customer, entry, operation_of)


def test_both_of_a_deposit_and_its_start_are_cancelled(
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
    entry = stuck(network, funded, cast, through)
    with monkeypatch.context() as patch:
        patch.setattr(type(cast.customer), "sign_transaction", lambda *_, **__: None)
        with pytest.raises(SigningDeclined):
            executor.cancel(network.ai, cast.customer, entry, operation_of)
    to_nobody = Transaction(str(cast.stranger.address), b"", 1)
    transactions.send(network.ai.provider, cast.customer, to_nobody)
    assert nonce_of(network, cast.customer) == entry.signed[0].nonce + 1

    ((_, outcome),) = executor.resume(network.ai, cast.customer, [entry], operation_of)

    assert isinstance(outcome, executor.OperationResult)
    assert asked_on(network, funded) == 1


def test_a_cancelled_entry_is_not_sent_anew_where_its_nonce_is_used(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    entry = overtaken(network, funded, cast)

    outcome = executor.cancel(network.ai, cast.customer, entry, operation_of)

    assert isinstance(outcome, PaymentCancelled)
    assert state_of(network, cast, entry) is State.CANCELLED
    assert asked_on(network, funded) == 0


# Accounts that send in their own way.


class Stop(BaseException):
    """As Ctrl-C."""


@pytest.fixture
def wallet(accounts: Any, cast: Cast) -> Any:
    return accounts.impersonate_account(cast.customer.address)


@contextmanager
def interrupted(wallet: Any, first: Callable[..., Any] = lambda _: None) -> Iterator[None]:
    """The wallet stops once it has done something with what it was given."""

    def call(_: Any, txn: Any, *__: Any, **___: Any) -> Any:
        first(txn)
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(wallet), "call", call)
        try:
            yield
        except Stop:
            return
    pytest.fail("it did not stop")


def sends_it(network: LocalNetwork) -> Callable[[Any], None]:
    def sends_it(txn: Any) -> None:
        sent = {
            "from": str(txn.sender),
            "to": str(txn.receiver),
            "data": "0x" + bytes(txn.data).hex(),
            "nonce": hex(txn.nonce),
        }
        rpc.result(network.ai.provider, "eth_sendTransaction", [sent])

    return sends_it


def test_what_a_wallet_has_in_the_mempool_is_not_sent_again(
    network: LocalNetwork, funded: DtnSession, wallet: Any
) -> None:
    with unmined(network):
        with interrupted(wallet, sends_it(network)):
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
    assert asked_on(network, funded) == 1


def test_what_a_wallet_has_not_sent_is_sent_with_the_same_nonce(
    network: LocalNetwork, funded: DtnSession, wallet: Any
) -> None:
    nonce = nonce_of(network, wallet)
    with interrupted(wallet):
        funded.request(PROMPT, account=wallet, idempotency_key=KEY)

    funded.request(PROMPT, account=wallet, idempotency_key=KEY)

    assert nonce_of(network, wallet) == nonce + 1
    assert asked_on(network, funded) == 1


def test_what_waits_in_a_wallet_for_a_nonce_before_it_is_not_sent_by_another(
    network: LocalNetwork, funded: DtnSession, cast: Cast, wallet: Any
) -> None:
    """The same account with its key at hand: it would use another nonce, and both were mined."""
    with unmined(network):
        to_nobody = Transaction(str(cast.stranger.address), b"", 1)
        with pytest.raises(TransactionPending) as before:
            transactions.send(network.ai.provider, cast.customer, to_nobody)
        with interrupted(wallet, sends_it(network)):
            funded.request(PROMPT, account=wallet, idempotency_key=KEY)
        rpc.result(network.ai.provider, "anvil_dropTransaction", before.value.transactions)

    with impatient(), pytest.raises(WalletPending):
        funded.request(PROMPT, account=cast.customer, idempotency_key=KEY)

    transactions.send(network.ai.provider, cast.customer, to_nobody)
    funded.request(PROMPT, account=cast.customer, idempotency_key=KEY)
    assert asked_on(network, funded) == 1


def test_a_deposit_that_a_wallet_has_sent_is_not_sent_again(
    network: LocalNetwork, wallet: Any, balances: Balances
) -> None:
    start: Any = {"idempotency_key": KEY, "method": Method.TWO_STEP}
    with interrupted(wallet, sends_it(network)):
        DtnSession.start(DEPOSIT, wallet, network.ai, **start)

    session = DtnSession.start(DEPOSIT, wallet, network.ai, **start)

    assert balances.of_network == session.balance


def test_what_a_wallet_declines_is_not_waited_for(
    network: LocalNetwork, funded: DtnSession, wallet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decline(*_: Any, **__: Any) -> Any:
        raise SignatureError("declined")

    with monkeypatch.context() as patch:
        patch.setattr(type(wallet), "call", decline)
        with pytest.raises(RpcRefused):
            funded.request(PROMPT, account=wallet, idempotency_key=KEY)

    assert executor.unfinished(network.ai, wallet) == []


def test_where_the_nonce_was_used_by_something_else_a_wallet_sends_anew(
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

    assert asked_on(network, funded) == 1


# Many.


@pytest.mark.parametrize("behind", [1, 3])
def test_many_are_signed_anew_where_the_endpoints_nonce_lags(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through, behind: int
) -> None:
    for _ in range(behind):
        funded.request("Before?")
    lagged: list[str] = []

    def lag(call: dict[str, Any], really: Callable[[], Any]) -> Any:
        answer = really()
        is_asked = call["method"] == "eth_getTransactionCount" and call["params"][1] == "pending"
        if is_asked and not lagged:
            lagged.append(answer["result"])
            return {"result": hex(int(answer["result"], 16) - behind)}
        return answer

    with through(each_call(lag)) as ai:
        sent = DtnSession(ai, funded.id, cast.customer).request_many(["One?", "Two?"])

    assert lagged
    assert [type(each) for each in sent] == [DtnRequest] * 2
    assert asked_on(network, funded) == behind + 2
