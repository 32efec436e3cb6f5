"""Endpoints that forget, drop or falsely refuse transactions: each payment is made once."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import ape
import pytest

from ape_dtn import DtnAi, DtnSession
from ape_dtn.chain import broadcast, rpc, transactions
from ape_dtn.chain.receipts import succeeded
from ape_dtn.deployment.assemble import NODE, LocalNetwork
from ape_dtn.errors import (
    DepositWaiting,
    NothingDeposited,
    OverLimit,
    PartlySent,
    RequestsPending,
    RpcRefused,
    TransactionPending,
)
from ape_dtn.funding import bare_deposit
from ape_dtn.funding.methods import Method
from ape_dtn.journal import executor, reorgs
from ape_dtn.journal.operation import to_transaction
from ape_dtn.journal.store import State
from ape_dtn.network import deployments, reverts
from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.sessions import spending
from ape_dtn.sessions.operations import operation_of
from ape_dtn.types.rpc import SEND, Failure, as_int
from tests.conftest import Balances, Cast

from .conftest import DEPOSIT, Answer, Through
from .test_journal import impatient, nonce_of, pending_start, sends_created, unmined
from .test_many import calls_in

pytestmark = pytest.mark.usefixtures("own_journal")

PROMPT = "Hello?"

# More blocks than endpoints are expected to keep.
LONG = reorgs.REORGANISED_BLOCKS + 10


def each_call(respond: Callable[[dict[str, Any], Callable[[], Any]], Any]) -> Answer:
    """An endpoint that answers every call of a batch with the result or error of ``respond``."""

    def script(body: bytes, chain: Callable[[bytes], bytes]) -> bytes:
        answers = []
        for call in calls_in(body):

            def forward(call: dict[str, Any] = call) -> Any:
                return json.loads(chain(json.dumps(call).encode()))

            found = respond(call, forward)
            answers.append({"jsonrpc": "2.0", "id": call["id"], **found})
        return json.dumps(answers if body.startswith(b"[") else answers[0]).encode()

    return script


def forgetting(network: LocalNetwork, has_logs: bool) -> Answer:
    """An endpoint that has forgotten all earlier transactions, and optionally their logs."""
    horizon = as_int(rpc.result(network.ai.provider, "eth_blockNumber", []))

    def respond(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        answer = forward()
        found = answer.get("result")
        if call["method"] in ("eth_getTransactionReceipt", "eth_getTransactionByHash"):
            is_old = found and as_int(found["blockNumber"]) <= horizon
            return {"result": None} if is_old else answer
        return {"result": []} if call["method"] == "eth_getLogs" and not has_logs else answer

    return each_call(respond)


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the package take the chain for one that tests do not revert."""
    for module in (spending, reorgs):
        monkeypatch.setattr(module, "is_local", lambda _: False)


def pass_time(network: LocalNetwork) -> None:
    rpc.result(network.ai.provider, "anvil_mine", [hex(LONG)])


@pytest.mark.usefixtures("public")
@pytest.mark.parametrize("has_logs", [True, False])
def test_an_operation_done_long_ago_is_not_repeated(
    network: LocalNetwork, cast: Cast, balances: Balances, through: Through, has_logs: bool
) -> None:
    first = DtnSession.start(DEPOSIT, cast.customer, network.ai, idempotency_key="long ago")
    pass_time(network)
    nonce, held = nonce_of(network, cast.customer), balances.of(cast.customer)

    with through(forgetting(network, has_logs)) as ai:
        again = DtnSession.start(DEPOSIT, cast.customer, ai, idempotency_key="long ago")
        assert executor.unfinished(ai, cast.customer) == []

    assert again.id == first.id
    assert (nonce_of(network, cast.customer), balances.of(cast.customer)) == (nonce, held)


@pytest.mark.usefixtures("public")
def test_a_transaction_sent_long_ago_is_found_by_its_logs(
    network: LocalNetwork, cast: Cast, balances: Balances, through: Through
) -> None:
    pending_start(network, cast.customer, idempotency_key="long ago")
    pass_time(network)
    nonce, held = nonce_of(network, cast.customer), balances.of(cast.customer)

    with through(forgetting(network, has_logs=True)) as ai:
        session = DtnSession.start(DEPOSIT, cast.customer, ai, idempotency_key="long ago")

    ((only, _),) = DtnSession.list(cast.customer, network.ai)
    assert session.id == only.id
    assert (nonce_of(network, cast.customer), balances.of(cast.customer)) == (nonce, held)


@pytest.mark.usefixtures("public")
def test_an_old_transaction_of_unknown_outcome_is_not_sent_again(
    network: LocalNetwork, cast: Cast, balances: Balances, through: Through
) -> None:
    pending_start(network, cast.customer, idempotency_key="long ago")
    (entry,) = executor.unfinished(network.ai, cast.customer)
    pass_time(network)
    nonce, held = nonce_of(network, cast.customer), balances.of(cast.customer)

    with (
        through(forgetting(network, has_logs=False)) as ai,
        pytest.raises(RpcRefused, match="as old as block") as raised,
    ):
        DtnSession.start(DEPOSIT, cast.customer, ai, idempotency_key="long ago")

    assert "archive" in (raised.value.hint or "")
    assert executor.journal_of(network.ai, cast.customer).entry(entry.id).state is State.OPEN
    assert (nonce_of(network, cast.customer), balances.of(cast.customer)) == (nonce, held)
    session = DtnSession.start(DEPOSIT, cast.customer, network.ai, idempotency_key="long ago")
    assert nonce_of(network, cast.customer) == nonce
    assert str(session.balance) == "25.00 USDT"


def test_an_endpoint_that_hides_accepted_transactions_is_not_retried_forever(
    network: LocalNetwork, cast: Cast, through: Through
) -> None:
    pending_start(network, cast.customer, slice(2))
    (entry,) = executor.unfinished(network.ai, cast.customer)
    sent: list[str] = []

    def swallow(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        if call["method"] != SEND:
            return forward()
        sent.append(call["params"][0])
        return {"result": next(signed.hash for signed in entry.signed if signed.raw == sent[-1])}

    with through(each_call(swallow)) as ai, impatient():
        ((_, found),) = executor.resume(ai, cast.customer, [entry], operation_of)

    assert isinstance(found, TransactionPending)
    assert set(sent) == {signed.raw for signed in entry.signed}
    assert len(sent) < 200


@pytest.mark.parametrize(
    ("is_lost", "why"),
    [
        (True, "txpool is full"),
        (False, "already known"),
        (False, "ALREADY_EXISTS: known transaction"),
    ],
)
def test_a_transaction_that_may_be_pending_is_not_reported_as_refused(
    network: LocalNetwork,
    funded: DtnSession,
    cast: Cast,
    through: Through,
    is_lost: bool,
    why: str,
) -> None:
    """One node has the transaction, and timed out or reports it as known; the others lack it."""
    first: list[str] = []

    def refuse(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        if call["method"] != SEND:
            return forward()
        if not first:
            first.append(call["params"][0])
            if is_lost:
                raise OSError("the connection dropped")
        return {"error": {"code": -32000, "message": why}}

    with through(each_call(refuse)) as ai, impatient(), pytest.raises(TransactionPending):
        DtnSession(ai, funded.id, cast.customer).request(PROMPT, idempotency_key="on its way")
    rpc.result(network.ai.provider, SEND, first)
    nonce = nonce_of(network, cast.customer)

    request = funded.request(PROMPT, idempotency_key="on its way")

    assert nonce_of(network, cast.customer) == nonce
    assert request.record.session_id == funded.id


def test_a_deposit_that_may_be_pending_is_not_reported_as_waiting(
    network: LocalNetwork, cast: Cast, through: Through, balances: Balances
) -> None:
    """A hint to claim the deposit could lead the user to claim another account's deposit."""
    sent: list[str] = []

    def lose(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        if call["method"] != SEND:
            return forward()
        sent.append(call["params"][0])
        if len(sent) == 1:
            raise OSError("the connection dropped")
        return {"error": {"code": -32000, "message": "txpool is full"}}

    options: Any = {"idempotency_key": "perhaps", "method": Method.TWO_STEP}
    with through(each_call(lose)) as ai, impatient(), pytest.raises(PartlySent):
        DtnSession.start(DEPOSIT, cast.customer, ai, **options)

    session = DtnSession.start(DEPOSIT, cast.customer, network.ai, **options)
    assert balances.of_network == session.balance
    assert nonce_of(network, cast.customer) == 2


@pytest.mark.parametrize(
    "why",
    [
        "unknown transaction type: 4",
        "nonce already in use",
        "a transaction with the same nonce is already in the pool",
        "account already exists",
        "txpool is full",
    ],
)
def test_a_transaction_refused_for_another_reason_is_refused(why: str) -> None:
    failure = Failure(SEND, why, None)

    assert not broadcast.says_to_have_it(failure)


@pytest.mark.parametrize(
    "why",
    [
        "already known",
        "AlreadyKnown",
        "ALREADY_EXISTS: already known",
        "TRANSACTION_ALREADY_KNOWN",
        "Known transaction",
        "known transaction: 0x12",
        "transaction already imported",
        "Transaction with the same hash was already imported.",
        "transaction already exists in the mempool",
        "already in mempool",
        "INTERNAL_ERROR: existing tx with same hash",
    ],
)
def test_a_transaction_already_known_is_not_refused(why: str) -> None:
    assert broadcast.says_to_have_it(Failure(SEND, why, None))


def test_a_lost_response_is_recognised_with_an_endpoint_found_by_web3(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    """Web3's AutoProvider, which Ape's node provider uses, repeats a call without a response."""
    from .conftest import Endpoint

    sent: list[str] = []

    def lose(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        if call["method"] != SEND:
            return forward()
        sent.append(call["params"][0])
        if len(sent) == 1:
            raise OSError("the connection dropped")
        return {"error": {"code": -32000, "message": "txpool is full"}}

    endpoint = Endpoint(str(network.ai.provider.http_uri))
    with (
        endpoint,
        ape.networks.parse_network_choice(endpoint.url) as provider,
    ):
        session = DtnSession(DtnAi(network.ai.router, provider), funded.id, cast.customer)
        assert session.balance == funded.balance  # web3 has found the endpoint by now
        endpoint.script = each_call(lose)
        with impatient(), pytest.raises(TransactionPending):
            session.request(PROMPT, nodes=[NODE], idempotency_key="lost")
        endpoint.script = None
        rpc.result(network.ai.provider, SEND, sent[:1])
        nonce = nonce_of(network, cast.customer)

        request = session.request(PROMPT, nodes=[NODE], idempotency_key="lost")

        assert nonce_of(network, cast.customer) == nonce
        assert request.record.session_id == funded.id
    assert set(sent) == {sent[0]}


def test_a_payment_replaced_by_a_wallet_is_not_repeated_by_a_lagging_node(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """The log is there, but not yet the transaction with its sender."""
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

    def lag(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        is_it = call["params"] == [replaced.transaction]
        is_asked = call["method"] == "eth_getTransactionByHash"
        return {"result": None} if is_it and is_asked else forward()

    with through(each_call(lag)) as ai, pytest.raises(RpcRefused, match="not the transaction"):
        DtnSession(ai, funded.id, cast.customer).request(PROMPT, idempotency_key="sped up")

    assert nonce_of(network, cast.customer) == nonce
    request = funded.request(PROMPT, idempotency_key="sped up")
    assert [request.id] == sends_created(network, replaced)


def test_a_deposit_missing_on_a_lagging_node_is_not_reported_as_taken(
    network: LocalNetwork, cast: Cast, through: Through
) -> None:
    height = as_int(rpc.result(network.ai.provider, "eth_blockNumber", []))
    sent: list[str] = []

    def take_one(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        if call["method"] == SEND:
            sent.append(call["params"][0])
        is_next = sent and call["method"] == SEND and sent[0] != call["params"][0]
        return {"error": {"code": -32000, "message": "busy"}} if is_next else forward()

    def lag(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        if Router.start_user_session.selector.hex() not in json.dumps(call["params"]):
            return forward()
        if call["method"] == "eth_call" and call["params"][1] != "latest":
            assert int(call["params"][1], 16) > height
            return {"error": {"code": -32000, "message": "header not found"}}
        call["params"] = [call["params"][0], hex(height)]
        return forward()

    with through(each_call(take_one)) as ai, pytest.raises(DepositWaiting):
        DtnSession.start(DEPOSIT, cast.customer, ai)
    (entry,) = executor.unfinished(network.ai, cast.customer)
    receipts = succeeded(network.ai.provider, entry.signed)
    with through(each_call(lag)) as ai:
        explained = bare_deposit.explain(ai, entry, NothingDeposited(), receipts)

    assert isinstance(explained, DepositWaiting)
    assert str(DtnSession.claim(cast.customer, network.ai).balance) == "25.00 USDT"


@pytest.mark.usefixtures("public")
def test_a_session_is_not_closed_while_a_lagging_node_misses_a_request(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    height = as_int(rpc.result(network.ai.provider, "eth_blockNumber", []))
    request = funded.request(PROMPT, nodes=[NODE])
    asks_for_it = Router.get_request.selector.hex()

    def lag(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        if call["method"] == "eth_getLogs":
            call["params"][0]["toBlock"] = hex(height)
        if call["method"] == "eth_call" and asks_for_it in json.dumps(call["params"]):
            call["params"][1] = hex(height)
        return forward()

    with through(each_call(lag)) as ai:
        session = DtnSession(ai, funded.id, cast.customer)
        with pytest.raises(RequestsPending) as raised:
            session.close()
        assert raised.value.requests == [request.id]
        assert funded.is_open

        session.close(force=True)

    assert not funded.is_open


def test_max_cost_counts_while_a_lagging_node_misses_the_charge(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    request = funded.request(PROMPT, nodes=[NODE], account_limit="0.50")
    network.node.answer_pending()
    limit = request.cost() + network.ai.token().amount("0.25")
    charged = SessionManager.session_charged.topic

    def lag(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        answer = forward()
        if call["method"] == "eth_getLogs":
            answer["result"] = [log for log in answer["result"] if log["topics"][0] != charged]
        return answer

    with through(each_call(lag)) as ai, pytest.raises(OverLimit):
        DtnSession(ai, funded.id, cast.customer).request(PROMPT, nodes=[NODE], account_limit=limit)

    funded.request(PROMPT, nodes=[NODE], account_limit=limit)


def test_a_sent_preparation_is_not_reported_as_a_deposit(
    network: LocalNetwork, cast: Cast, through: Through, balances: Balances
) -> None:
    """A hint to claim a deposit that was never sent could lead to claiming those of others."""
    refused: list[str] = []

    def refuse_the_second(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        if call["method"] != SEND:
            return forward()
        if refused == [call["params"][0]] or (
            not refused and nonce_of(network, cast.customer) == nonce + 1
        ):
            refused[:] = call["params"]
            return {"error": {"code": -32000, "message": "txpool is full"}}
        return forward()

    nonce = nonce_of(network, cast.customer)
    options: Any = {"idempotency_key": "partly", "method": Method.ALLOWANCE}
    with through(each_call(refuse_the_second)) as ai, pytest.raises(PartlySent) as raised:
        DtnSession.start(DEPOSIT, cast.customer, ai, **options)

    assert not isinstance(raised.value, DepositWaiting)
    assert "Do not send it again" in (raised.value.hint or "")
    assert balances.of_network.units == 0
    session = DtnSession.start(DEPOSIT, cast.customer, network.ai, **options)
    assert balances.of_network == session.balance


def test_an_operation_on_a_fork_is_not_repeated_on_the_original(
    network: LocalNetwork, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fork has the chain id and first block of its original: signatures are valid on both."""
    DtnSession.start(DEPOSIT, cast.customer, network.ai, idempotency_key="november")
    assert executor.journal_of(network.ai, cast.customer).by_key("november")

    monkeypatch.setattr(executor, "is_local", lambda _: False)

    assert executor.journal_of(network.ai, cast.customer).entries(*State) == []


def test_a_fork_funds_sessions_by_the_method_of_its_original(
    network: LocalNetwork, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert DtnSession.plan("1", cast.customer, network.ai).method is Method.TWO_STEP
    original = deployments.Deployment("chain:original", network.ai.router)
    monkeypatch.setitem(deployments.PUBLIC, network.ai.provider.chain_id, original)

    assert DtnSession.plan("1", cast.customer, network.ai).is_atomic


def test_an_entry_that_could_not_be_written_is_not_waited_for(
    network: LocalNetwork, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full, so the file still has the claim of this process."""
    journal = executor.journal_of(network.ai, cast.customer)
    pending_start(network, cast.customer, idempotency_key="full")
    (entry,) = executor.unfinished(network.ai, cast.customer)
    claimed = journal.claim(entry)
    assert claimed is not None
    assert journal.is_claimed(claimed)

    journal.drop_claim(claimed)

    stale = journal.entry(entry.id)
    assert stale.worker == claimed.worker
    with ThreadPoolExecutor(8) as pool:
        again = [entry for entry in pool.map(journal.claim, [stale] * 8) if entry]
    assert len(again) == 1
    assert journal.is_claimed(stale)
    journal.release(again[0])
    session = DtnSession.start(DEPOSIT, cast.customer, network.ai, idempotency_key="full")
    assert str(session.balance) == "25.00 USDT"
    assert succeeded(network.ai.provider, entry.signed)
