"""Sessions and requests that fail or take an unusual course."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Timer
from typing import Any

import pytest
import rlp  # type: ignore[import-untyped]
from eth_abi import encode
from eth_utils import keccak, to_checksum_address

from ape_dtn import Answer, Callback, CallType, DtnAi, DtnRequest, DtnSession, Status
from ape_dtn.chain import reads, rpc, transactions
from ape_dtn.deployment.assemble import NODE, NODE_MODELS, LocalNetwork
from ape_dtn.errors import (
    DepositTaken,
    DepositWaiting,
    NobodyTrusted,
    NodeFailure,
    NothingDeposited,
    NotSessionOwner,
    RequestPending,
    SessionNotFound,
    UndecodableAnswer,
    UnsafeDeposit,
)
from ape_dtn.network import reverts
from ape_dtn.network.abi import ERC20, NodeManager, Router
from ape_dtn.requests.draft import draft_request
from ape_dtn.types.amount import Token
from ape_dtn.types.ids import id_of
from ape_dtn.types.rpc import as_int
from ape_dtn.types.transactions import Transaction, contract_call
from benchmarks.chain import connected_to, open_sessions
from benchmarks.rpc_counter import RpcCounter
from tests.conftest import Balances, Cast, on_live, replace_manager
from tests.sdk.conftest import DEPOSIT, Respond

# The default fee per byte, in units: 0.00001 USDT.
FEE_PER_BYTE = 10
MOST = "0.25"
PROMPT = "Hello?"
ANSWER = "You asked: Hello?"

Intervene = Callable[[RpcCounter], object]
Through = Callable[[Intervene], AbstractContextManager[DtnAi]]


def deposit(network: LocalNetwork, account: Any, units: int) -> None:
    """A transfer to the fee target without a start after it."""
    target = network.ai.contracts().fee_target
    transfer = contract_call(network.token, ERC20.transfer, target, units)
    transactions.send(network.ai.provider, account, transfer, reverts.NO_CONTEXT)


# Deposits.


@pytest.fixture
def between(network: LocalNetwork, balances: Balances) -> Through:
    """A connection that runs a function between a deposit and its start."""

    @contextmanager
    def between(intervene: Intervene) -> Iterator[DtnAi]:
        before, sent = balances.of_network, 0

        def watch(method: str, _: list[Any]) -> None:
            nonlocal sent
            sent += method == "eth_sendRawTransaction"
            if method == "eth_sendRawTransaction" and sent == 2:
                deadline = time.monotonic() + 30
                while balances.of_network == before:
                    assert time.monotonic() < deadline, "the deposit does not arrive"
                intervene(proxy)

        proxy = RpcCounter(str(network.ai.provider.http_uri), before=watch)
        with proxy, connected_to(proxy.url) as provider:
            yield DtnAi(network.ai.router, provider)

    return between


def test_another_account_starts_with_the_deposit(
    network: LocalNetwork, cast: Cast, between: Through
) -> None:
    claimed: list[DtnSession] = []

    with (
        between(lambda _: claimed.append(DtnSession.claim(cast.stranger, network.ai))) as ai,
        pytest.raises(DepositTaken) as raised,
    ):
        DtnSession.start(DEPOSIT, cast.customer, ai)

    assert str(raised.value.fields["deposit"]) == "25.00 USDT"
    assert str(claimed[0].balance) == "25.00 USDT"
    assert claimed[0].owner == cast.stranger.address
    assert raised.value.taken_by == cast.stranger.address
    assert claimed[0].receipt is not None
    assert raised.value.taken_in == claimed[0].receipt.transaction


def test_another_account_takes_a_part_of_the_deposit(
    network: LocalNetwork, cast: Cast, between: Through
) -> None:
    def intervene(_: RpcCounter) -> None:
        DtnSession.claim(cast.stranger, network.ai)
        deposit(network, cast.stranger, 5)

    with between(intervene) as ai, pytest.raises(DepositTaken) as raised:
        DtnSession.start(DEPOSIT, cast.customer, ai)

    ((left, balance),) = DtnSession.list(cast.customer, network.ai)
    assert balance.units == 5
    assert raised.value.hint == f"The rest is in session {left.id}: 0.000005 USDT."


def test_a_deposit_whose_start_cannot_be_sent_is_claimed_later(
    network: LocalNetwork, cast: Cast, between: Through
) -> None:
    def intervene(proxy: RpcCounter) -> None:
        proxy.refuse = ("eth_sendRawTransaction",)

    with between(intervene) as ai, pytest.raises(DepositWaiting) as raised:
        DtnSession.start(DEPOSIT, cast.customer, ai)

    assert str(raised.value.fields["deposit"]) == "25.00 USDT"
    assert raised.value.hint is not None
    assert "DtnSession.claim" in raised.value.hint
    assert str(DtnSession.claim(cast.customer, network.ai).balance) == "25.00 USDT"


def test_a_claim_takes_deposits_of_any_sender(network: LocalNetwork, cast: Cast) -> None:
    deposit(network, cast.customer, 3)
    deposit(network, cast.stranger, 4)

    session = DtnSession.claim(cast.customer, network.ai)

    assert session.balance.units == 7
    assert session.close().units == 7


def test_a_claim_without_a_deposit_is_refused(
    network: LocalNetwork, cast: Cast, funded: DtnSession, nothing_moves: None
) -> None:
    with pytest.raises(NothingDeposited):
        DtnSession.claim(cast.customer, network.ai)


def test_a_start_includes_deposits_that_wait(network: LocalNetwork, cast: Cast) -> None:
    deposit(network, cast.stranger, 5)

    assert str(DtnSession.start("1", cast.customer, network.ai).balance) == "1.000005 USDT"


def test_a_public_network_needs_the_risk_accepted(
    network: LocalNetwork, cast: Cast, nothing_moves: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ape_dtn.funding.methods.is_local", lambda _: False)

    with pytest.raises(UnsafeDeposit) as raised:
        DtnSession.start(DEPOSIT, cast.customer, network.ai, method="two-step")

    assert "another account can claim the deposit" in raised.value.message
    assert raised.value.hint is not None
    assert "unsafe_two_step=True" in raised.value.hint


def test_a_public_network_with_the_risk_accepted(
    network: LocalNetwork, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ape_dtn.funding.methods.is_local", lambda _: False)

    session = DtnSession.start(DEPOSIT, cast.customer, network.ai, unsafe_two_step=True)

    assert str(session.balance) == "25.00 USDT"


def test_a_public_network_needs_its_nodes_named(
    funded: DtnSession, nothing_moves: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ape_dtn.requests.preflight.is_local", lambda _: False)

    with pytest.raises(NobodyTrusted, match="No trusted nodes are named"):
        funded.request(PROMPT)
    assert [node.name for node in funded.draft(PROMPT, nodes=[NODE]).nodes] == [NODE]


# Sessions.


def test_an_exception_in_the_body_hides_a_failed_close(
    funded: DtnSession, cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = DtnSession.load(funded.id, cast.stranger, funded.ai)

    with pytest.raises(ZeroDivisionError), theirs:
        _ = 1 / 0

    assert funded.is_open
    (message,) = caplog.messages
    assert message.startswith(f"Session {funded.id} is still open")
    assert message.endswith("Close it with session.close().")


def test_a_failed_close_is_raised_after_a_body_without_exception(
    funded: DtnSession, cast: Cast
) -> None:
    theirs = DtnSession.load(funded.id, cast.stranger, funded.ai)

    with pytest.raises(NotSessionOwner), theirs:
        pass


def test_the_body_may_close_the_session_itself(funded: DtnSession) -> None:
    with funded:
        refund = funded.close()

    assert str(refund) == "25.00 USDT"


def test_a_hundred_sessions_are_listed(network: LocalNetwork, cast: Cast) -> None:
    open_sessions(network.ai, cast.customer, 100, units=3)

    found = DtnSession.list(cast.customer, network.ai)

    assert len({session.id for session, _ in found}) == 100
    assert {balance.units for _, balance in found} == {3}
    last, _ = found[-1]
    assert last.close().units == 3
    assert len(DtnSession.list(cast.customer, network.ai)) == 99


def test_a_closed_session_is_not_listed(network: LocalNetwork, cast: Cast) -> None:
    """Live session managers keep it in their list, with owner zero."""
    first, closed, last = (DtnSession.start("1", cast.customer, network.ai) for _ in range(3))
    closed.close()

    listed = DtnSession.list(cast.customer, network.ai)

    assert [session.id for session, _ in listed] == [first.id, last.id]
    assert not closed.is_open


def test_sessions_of_an_address_are_read_only(funded: DtnSession, cast: Cast) -> None:
    ((found, balance),) = DtnSession.list(str(cast.customer.address), funded.ai)

    assert (found.id, found.account) == (funded.id, None)
    assert balance == funded.balance


def test_an_account_without_sessions_lists_none(network: LocalNetwork, cast: Cast) -> None:
    assert DtnSession.list(cast.stranger, network.ai) == []


@pytest.fixture
def replaced(network: LocalNetwork, funded: DtnSession, cast: Cast) -> str:
    """A new session manager, with which the router's owner has replaced the old one."""
    return replace_manager(network, cast)


@on_live
def test_a_replaced_session_manager_is_used_at_once(
    network: LocalNetwork, cast: Cast, replaced: str
) -> None:
    assert network.ai.contracts().session_manager == replaced
    assert network.ai.contracts().fee_target == replaced
    session = DtnSession.start("1", cast.customer, network.ai)
    request = session.request(PROMPT)
    network.node.answer_pending()
    assert request.answer().text == ANSWER
    assert str(session.close() + request.cost()) == "1.00 USDT"


@on_live
def test_sessions_of_a_replaced_session_manager_are_gone(
    funded: DtnSession, replaced: str, nothing_moves: None
) -> None:
    for attempt in (funded.close, lambda: funded.request(PROMPT), lambda: funded.balance):
        with pytest.raises(SessionNotFound) as raised:
            attempt()
        assert raised.value.session_id == funded.id
    assert not funded.is_open
    assert DtnSession.list(funded.account, funded.ai) == []  # type: ignore[arg-type]


# Requests.


def test_a_request_that_was_drafted_before_its_session(
    network: LocalNetwork, cast: Cast, token: Token
) -> None:
    checked = draft_request(network.ai, cast.customer, [PROMPT], None, {})
    session = DtnSession.start(checked.max_cost, cast.customer, network.ai)

    request = session.send(checked)

    assert request.session_id == session.id
    assert checked.max_cost == token.amount(MOST)
    assert [node.name for node in checked.nodes] == [NODE]
    assert len(checked.call) == checked.bytes_asked


def test_a_request_on_behalf_of_somebody_else(funded: DtnSession, cast: Cast) -> None:
    request = funded.request(PROMPT, user=str(cast.stranger.address))

    call = reads.Call(funded.ai.router, Router.get_request, (id_of(request.id, "request"),))
    assert funded.ai.read_one(call)[1] == cast.stranger.address


def test_each_of_several_requests_has_its_answer_and_cost(
    funded: DtnSession, network: LocalNetwork
) -> None:
    requests = [funded.request(prompt) for prompt in ("One?", "Two?" * 20)]
    network.node.answer_pending()

    answers = [request.answer().text for request in requests]
    costs = [request.cost() for request in requests]

    assert answers == ["You asked: One?", "You asked: " + "Two?" * 20]
    assert costs[0] < costs[1]
    assert funded.balance == funded.ai.token().amount(DEPOSIT) - costs[0] - costs[1]


def test_a_node_that_overstates_sizes_is_paid_at_most_max_cost(
    funded: DtnSession, respond: Respond, token: Token
) -> None:
    request = funded.request(PROMPT)

    respond(request, encode(["string"], ["short"]), sizes=(10**12, 10**12))

    assert request.answer().text == "short"
    assert request.cost() == token.amount(MOST)


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("E0042: out of paper", "The node failed: E0042: out of paper."),
        ("", "The node failed: it gave no reason."),
        (
            "P0011: Call not parsable",
            "The node failed: P0011: Call not parsable "
            "(the node could not decode the call by the model's API).",
        ),
    ],
)
def test_a_failure_has_the_message_of_the_node(
    funded: DtnSession, respond: Respond, reason: str, message: str
) -> None:
    request = funded.request(PROMPT)
    respond(request, status=Status.FAILURE, message=reason, sizes=(7, 5))

    for attempt in (request.answer, request.wait):
        with pytest.raises(NodeFailure) as raised:
            attempt()
        assert raised.value.message == message
        assert raised.value.fields == {
            "request_id": request.id,
            "reason": reason,
            "callback_error": None,
        }

    assert request.status is Status.FAILURE
    # A failure is charged one unit per byte, regardless of the fee offered.
    assert request.cost().units == 12


def test_the_node_says_that_it_cannot_read_a_call(
    funded: DtnSession, network: LocalNetwork
) -> None:
    checked = funded.draft(PROMPT)
    object.__setattr__(checked, "call", b"no call")
    request = funded.send(checked)
    network.node.answer_pending()

    with pytest.raises(NodeFailure, match="P0011: Call not parsable"):
        request.answer()


@pytest.mark.parametrize("data", [b"", b"plain text", encode(["uint256"], [7])])
def test_an_undecodable_answer_has_its_data(
    funded: DtnSession, respond: Respond, data: bytes
) -> None:
    request = funded.request(PROMPT)
    respond(request, data)

    with pytest.raises(UndecodableAnswer) as raised:
        request.answer()

    assert raised.value.fields == {
        "request_id": request.id,
        "output": "string",
        "data": "0x" + data.hex(),
    }
    assert request.status is Status.SUCCESS


def test_the_local_node_stores_nothing_on_ipfs(funded: DtnSession, network: LocalNetwork) -> None:
    request = funded.request(PROMPT, call_type=CallType.IPFS)
    network.node.answer_pending()

    with pytest.raises(NodeFailure, match="stores nothing on IPFS"):
        request.answer()


def test_an_answer_is_text_and_bytes() -> None:
    text = Answer("0x", "héllo", b"", "0x", CallType.DIRECT)
    data = Answer("0x", "héllo".encode(), b"", "0x", CallType.DIRECT)

    assert (text.text, str(text)) == ("héllo", "héllo")
    assert (data.text, str(data)) == ("0x68c3a96c6c6f", "0x68c3a96c6c6f")
    assert bytes(text) == bytes(data) == "héllo".encode()
    assert Answer("0x", 5, b"", "0x", CallType.DIRECT).text == "5"


# Waiting.


def test_a_wait_can_be_repeated_after_a_timeout(funded: DtnSession, network: LocalNetwork) -> None:
    request = funded.request(PROMPT)

    with pytest.raises(RequestPending) as raised:
        request.wait(timeout=0.3)
    network.node.answer_pending()

    assert raised.value.message.startswith(f"Request {request.id} has no answer after 0.3 seconds.")
    assert raised.value.hint is not None
    assert f"DtnRequest.load('{request.id}')" in raised.value.hint
    assert request.wait(timeout=0).text == ANSWER
    assert DtnRequest.load(request.id, network.ai).wait().text == ANSWER


def test_a_wait_ends_when_the_answer_comes(funded: DtnSession, network: LocalNetwork) -> None:
    request = funded.request(PROMPT)
    later = Timer(0.3, network.node.answer_pending)
    later.start()

    answer = request.wait(timeout=10)

    later.join()
    assert answer.text == ANSWER


def test_a_wait_ends_at_its_timeout(funded: DtnSession) -> None:
    request = funded.request(PROMPT)
    start = time.monotonic()

    with pytest.raises(RequestPending):
        request.wait(timeout=0.2)

    assert time.monotonic() - start < 5


def test_there_is_no_cost_before_there_is_an_answer(funded: DtnSession) -> None:
    request = funded.request(PROMPT)

    with pytest.raises(RequestPending):
        request.cost()


def test_a_request_on_a_closed_session_does_not_block_the_node(
    funded: DtnSession, network: LocalNetwork, cast: Cast
) -> None:
    stranded = funded.request(PROMPT)
    funded.close(force=True)
    request = DtnSession.start("1", cast.customer, network.ai).request(PROMPT)

    assert network.node.answer_pending() == [request.id]

    assert request.answer().text == ANSWER
    assert stranded.status is Status.PENDING


# Callbacks.


@pytest.fixture
def contract(network: LocalNetwork, cast: Cast, project: Any) -> Any:
    """``contracts/examples/ReuseSession.sol``, which stores the arguments of its callbacks."""
    return project.ReuseSession.deploy(
        network.ai.router, NODE_MODELS[0], NODE, FEE_PER_BYTE, 250_000, sender=cast.customer
    )


def callback(contract: Any, gas: int = 200_000) -> Callback:
    return Callback(str(contract.address), "onAnswer(bytes32)", "onFailure(bytes32)", gas)


def test_a_contract_is_called_back_with_the_answer(
    funded: DtnSession, network: LocalNetwork, contract: Any
) -> None:
    request = funded.request(PROMPT, callback=callback(contract))
    network.node.answer_pending()

    assert contract.answers(request.id) == ANSWER
    assert request.answer().text == ANSWER


def test_a_contract_is_called_back_with_the_failure(
    funded: DtnSession, respond: Respond, contract: Any
) -> None:
    request = funded.request(PROMPT, callback=callback(contract))
    respond(request, status=Status.FAILURE, message="E0042: out of paper")

    assert contract.failures(request.id) == "E0042: out of paper"


def test_the_gas_of_a_callback_is_paid_in_the_native_currency(
    funded: DtnSession, network: LocalNetwork, contract: Any
) -> None:
    funded.request(PROMPT, callback=callback(contract, gas=123_456))

    balance = rpc.result(network.ai.provider, "eth_getBalance", [network.ai.router, "latest"])
    assert as_int(balance) == 123_456


def test_a_callback_that_fails_does_not_lose_the_answer(
    funded: DtnSession, respond: Respond, contract: Any
) -> None:
    request = funded.request(PROMPT, callback=callback(contract, gas=1000))
    receipt = respond(request, encode(["string"], ["Here."]))

    (failed,) = Router.success_callback_failed.find(receipt.logs, funded.ai.router)
    assert failed["requestId"] == id_of(request.id, "request")
    assert contract.answers(request.id) == ""
    assert request.answer().text == "Here."


def test_a_contract_pays_for_its_own_request(
    network: LocalNetwork, cast: Cast, contract: Any
) -> None:
    units = 1_000_000
    transfer = contract_call(network.token, ERC20.transfer, str(contract.address), units)
    transactions.send(network.ai.provider, cast.customer, transfer, reverts.NO_CONTEXT)
    contract.start(sender=cast.customer)
    contract.ask(PROMPT, sender=cast.customer, value=200_000)
    network.node.answer_pending()

    request = DtnRequest.load("0x" + contract.requestId().hex(), network.ai)

    assert request.answer().text == contract.answers(request.id) == ANSWER
    loaded = DtnSession.load(contract.sessionId(), ai=network.ai)
    assert loaded.owner == contract.address
    assert loaded.balance.units == units - request.cost().units


# Several answers in one transaction.


def calls_all(router: str, calls: list[bytes]) -> bytes:
    """Creation code that makes these calls in sequence and deploys nothing."""

    def size_of(value: int) -> bytes:
        return b"\x63" + value.to_bytes(4, "big")  # PUSH4

    # CODECOPY the call from behind the code to memory, then CALL with it.
    length = (5 + 5 + 1 + 1) + (1 + 1 + 5 + 1 + 1 + 21 + 1 + 1 + 1)
    place = len(calls) * length + 1
    code = b""
    for call in calls:
        code += size_of(len(call)) + size_of(place) + b"\x5f\x39"
        code += b"\x5f\x5f" + size_of(len(call)) + b"\x5f\x5f"
        code += b"\x73" + bytes.fromhex(router[2:]) + b"\x5a\xf1\x50"
        place += len(call)
    return code + b"\0" + b"".join(calls)


@pytest.fixture
def answered_together(network: LocalNetwork, cast: Cast) -> Callable[..., None]:
    """A node whose worker is a contract, which answers several requests in one transaction."""
    ai, node_id = network.ai, id_of("node.contract.all", "node")
    nonce = cast.worker.nonce
    sender = bytes.fromhex(str(cast.worker.address)[2:])
    worker = to_checksum_address(keccak(rlp.encode([sender, nonce]))[12:])
    models = [id_of(name, "model") for name in NODE_MODELS]
    owner = str(cast.owner.address)
    for call in (
        (NodeManager.register_user, "contract", owner),
        (NodeManager.register_node, "contract", "all", worker),
        (NodeManager.set_node_models, node_id, models),
    ):
        transaction = contract_call(ai.contracts().node_manager, *call)
        transactions.send(ai.provider, cast.owner, transaction, reverts.NO_CONTEXT)

    def answered_together(*answers: tuple[DtnRequest, int, int]) -> None:
        calls = [
            Router.respond_to_request.encode(
                id_of(request.id, "request"), Status.SUCCESS, "", b"", node_id, *sizes
            )
            for request, *sizes in answers
        ]
        code = calls_all(ai.router, calls)
        transactions.send(
            ai.provider,
            cast.worker,
            Transaction(None, code, gas_limit=3_000_000),
            reverts.NO_CONTEXT,
        )

    return answered_together


def test_answers_of_one_transaction_have_separate_costs(
    funded: DtnSession, answered_together: Callable[..., None]
) -> None:
    nodes = ["node.contract.all"]
    requests = [funded.request(PROMPT, nodes=nodes) for _ in range(3)]

    answered_together((requests[1], 10, 0), (requests[0], 3, 4), (requests[2], 0, 0))

    assert [request.cost().units for request in requests] == [
        7 * FEE_PER_BYTE,
        10 * FEE_PER_BYTE,
        0,
    ]
