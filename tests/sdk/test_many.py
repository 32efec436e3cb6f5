"""Many requests at once: in order, and each failing alone."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ape_dtn import DtnRequest, DtnSession, Status
from ape_dtn.chain import rpc
from ape_dtn.deployment.assemble import LocalNetwork, fund
from ape_dtn.errors import (
    ContractReverted,
    DtnError,
    EmptyPrompt,
    InsufficientFunds,
    InvalidOption,
    RpcRefused,
    TransactionPending,
)
from ape_dtn.network.abi import ERC20, Router
from ape_dtn.types.ids import to_address
from ape_dtn.types.rpc import as_int
from tests.conftest import Cast

from .conftest import Through

PROMPTS = [f"What is {place}?" for place in range(10)]


def texts(network: LocalNetwork, requests: Any) -> list[str]:
    """The answers, read by the connection of the tests: that of the requests may be closed."""
    return [DtnRequest.load(request.id, network.ai).answer().text for request in requests]


def test_results_keep_the_order_of_the_requests(network: LocalNetwork, funded: DtnSession) -> None:
    requests = funded.request_many(PROMPTS)
    network.node.answer_pending()

    assert texts(network, requests) == [f"You asked: {prompt}" for prompt in PROMPTS]
    assert len({request.id for request in requests if isinstance(request, DtnRequest)}) == 10


def test_on_sent_is_called_for_each_request(funded: DtnSession) -> None:
    reported: dict[int, Any] = {}

    requests = funded.request_many(PROMPTS, on_sent=reported.__setitem__)

    assert [reported[place] for place in range(10)] == requests


def test_no_requests_send_nothing(funded: DtnSession, nothing_moves: None) -> None:
    assert funded.request_many([]) == []


def test_the_balance_must_cover_all_requests(funded: DtnSession, nothing_moves: None) -> None:
    with pytest.raises(InsufficientFunds, match=r"has 25\.00 USDT, and 30\.00 USDT is needed"):
        funded.request_many(PROMPTS, max_cost="3.00")


def test_an_invalid_request_stops_all_before_the_first(
    funded: DtnSession, nothing_moves: None
) -> None:
    with pytest.raises(EmptyPrompt):
        funded.request_many([*PROMPTS, " "])


def calls_in(body: bytes) -> list[dict[str, Any]]:
    """The JSON-RPC calls of an HTTP request."""
    calls = json.loads(body)
    return calls if isinstance(calls, list) else [calls]


def sent_in(body: bytes) -> list[str]:
    """The signed transactions that an HTTP request sends."""
    return [
        call["params"][0] for call in calls_in(body) if call["method"] == "eth_sendRawTransaction"
    ]


def but_for(refused: list[str], why: str, body: bytes, chain: Callable[[bytes], bytes]) -> bytes:
    """The responses of the chain, with an error for calls that send a refused transaction."""
    answers = []
    for call in calls_in(body):
        if refused and call["params"][:1] == refused:
            error = {"code": -32000, "message": why}
            answers.append({"jsonrpc": "2.0", "id": call["id"], "error": error})
        else:
            answers.append(json.loads(chain(json.dumps(call).encode())))
    return json.dumps(answers if body.startswith(b"[") else answers[0]).encode()


def test_a_request_refused_by_the_endpoint_fails_alone(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """Its nonce must be used all the same: later transactions would wait forever."""
    refused: list[str] = []

    def refuse_the_third(body: bytes, chain: Callable[[bytes], bytes]) -> bytes:
        sent = sent_in(body)
        if not refused and len(sent) == 10:
            refused.append(sent[2])
        return but_for(refused, "txpool is full", body, chain)

    with through(refuse_the_third) as ai:
        requests = DtnSession(ai, funded.id, cast.customer).request_many(PROMPTS)

    assert refused
    failed = requests.pop(2)  # type: ignore[attr-defined]
    assert isinstance(failed, RpcRefused)
    assert "txpool is full" in failed.message
    network.node.answer_pending()
    assert texts(network, requests) == [
        f"You asked: {prompt}" for prompt in PROMPTS if "2" not in prompt
    ]


def test_requests_whose_responses_are_lost_are_not_sent_twice(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    lost: list[int] = []

    def lose_what_was_sent(body: bytes, chain: Callable[[bytes], bytes]) -> bytes:
        answer = chain(body)
        if b"eth_sendRawTransaction" in body and not lost:
            lost.append(body.count(b"eth_sendRawTransaction"))
            raise OSError("the connection dropped")
        return answer

    with through(lose_what_was_sent) as ai:
        requests = DtnSession(ai, funded.id, cast.customer).request_many(PROMPTS)

    assert lost == [10]
    assert all(isinstance(request, DtnRequest) for request in requests)
    assert len(network.node.answer_pending()) == 10


def test_a_request_that_reverts_fails_alone(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """All of them revert, because the session is closed while they are pending."""
    closed: list[bool] = []

    def close_before_they_are_sent(body: bytes, chain: Callable[[bytes], bytes]) -> bytes:
        if b"eth_sendRawTransaction" in body and not closed:
            closed.append(True)
            close = Router.close_user_session.encode(funded.id)
            DtnSession(network.ai, funded.id, cast.customer)
            rpc.result(
                network.ai.provider,
                "eth_sendTransaction",
                [
                    {
                        "from": str(cast.customer.address),
                        "to": network.ai.router,
                        "data": "0x" + close.hex(),
                        "nonce": hex(cast.customer.nonce),
                    }
                ],
            )
        return chain(body)

    with through(close_before_they_are_sent) as ai:
        outcomes = DtnSession(ai, funded.id, cast.customer).request_many(PROMPTS[:3])

    # The close has used the nonce of the first, and the others find the session closed.
    assert all(isinstance(outcome, DtnError) for outcome in outcomes)


def test_several_threads_ask_on_one_session(network: LocalNetwork, funded: DtnSession) -> None:
    start = threading.Barrier(8)

    def ask(place: int) -> DtnRequest:
        start.wait()
        return funded.request(f"{place}?")

    with ThreadPoolExecutor(8) as threads:
        requests = list(threads.map(ask, range(8)))
    network.node.answer_pending()

    assert texts(network, requests) == [f"You asked: {place}?" for place in range(8)]


IN_ANOTHER_PROCESS = """
    import sys
    from ape import accounts, networks
    from ape_dtn import DtnAi, DtnSession

    router, session_id, name = sys.argv[1:]
    with networks.parse_network_choice("ethereum:local:foundry"):
        session = DtnSession(DtnAi(router), int(session_id), accounts.test_accounts[2])
        print("ready", flush=True)
        sys.stdin.readline()
        for place in range(5):
            print(session.request(f"{name}, {place}?").id, flush=True)
"""


def test_several_processes_ask_on_one_session(
    network: LocalNetwork, funded: DtnSession, tmp_path: Path
) -> None:
    script = tmp_path / "ask.py"
    script.write_text(textwrap.dedent(IN_ANOTHER_PROCESS))
    command = [sys.executable, str(script), network.ai.router, str(funded.id)]
    processes = [
        subprocess.Popen(
            [*command, name],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two", "three")
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            while (line := process.stdout.readline().strip()) != "ready":
                assert process.poll() is None, line
        done = [process.communicate("go\n", timeout=60) for process in processes]
    finally:
        for process in processes:
            process.kill()

    ids = [line for out, _ in done for line in out.splitlines() if line.startswith("0x")]
    assert len(set(ids)) == 15, done
    found = DtnRequest.load_many(ids, network.ai)
    assert {record.session_id for _, record in found} == {funded.id}
    assert len(network.node.answer_pending()) == 15
    assert {record.status for _, record in DtnRequest.load_many(ids, network.ai)} == {
        Status.SUCCESS
    }


def test_a_nonce_that_another_program_used_is_not_used_again(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    used: list[int] = []

    def use_it_first(body: bytes, chain: Callable[[bytes], bytes]) -> bytes:
        if b"eth_sendRawTransaction" in body and not used:
            sender = [str(cast.customer.address), "pending"]
            pending = rpc.result(network.ai.provider, "eth_getTransactionCount", sender)
            used.append(as_int(pending))
            transfer = {"from": str(cast.customer.address), "to": str(cast.stranger.address)}
            rpc.result(network.ai.provider, "eth_sendTransaction", [transfer])
        return chain(body)

    with through(use_it_first) as ai:
        request = DtnSession(ai, funded.id, cast.customer).request("Hello?")

    assert DtnRequest(network.ai, request._id).status is Status.PENDING
    assert request.receipt is not None
    (mined,) = rpc.ask(
        network.ai.provider, [("eth_getTransactionByHash", [request.receipt.transaction])]
    )
    assert as_int(mined["nonce"]) == used[0] + 1


def use_nonces(network: LocalNetwork, cast: Cast, how_many: int) -> None:
    """Mines another transaction of the customer, as another program might."""
    ask, customer = network.ai.provider, str(cast.customer.address)
    first = as_int(rpc.result(ask, "eth_getTransactionCount", [customer, "latest"]))
    for nonce in range(first, first + how_many):
        transfer = {"from": customer, "to": str(cast.stranger.address), "nonce": hex(nonce)}
        rpc.result(ask, "eth_sendTransaction", [transfer])
    rpc.result(ask, "evm_mine", [])


def test_requests_whose_nonces_another_program_used_are_signed_again(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    sent: list[int] = []

    def use_three_first(body: bytes, chain: Callable[[bytes], bytes]) -> bytes:
        if b"eth_sendRawTransaction" in body:
            if not sent:
                use_nonces(network, cast, 3)
            sent.append(body.count(b"eth_sendRawTransaction"))
        return chain(body)

    with through(use_three_first) as ai:
        session = DtnSession(ai, funded.id, cast.customer)
        requests = session.request_many(PROMPTS, idempotency_key="ten")

    assert sent == [10, 3]
    assert len(network.node.answer_pending()) == 10
    assert texts(network, requests) == [f"You asked: {prompt}" for prompt in PROMPTS]


def test_a_request_accepted_late_is_not_reported_as_refused(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """The endpoint refuses it, does not know it, and accepts it all the same."""
    late: list[str] = []
    accepted: list[str] = []

    def take_the_last_late(body: bytes, chain: Callable[[bytes], bytes]) -> bytes:
        sent = sent_in(body)
        if not late and len(sent) == 10:
            late.append(sent[-1])
        answered = but_for([] if accepted else late, "request timed out", body, chain)
        if late and not accepted and calls_in(body)[0]["method"] == "eth_getTransactionByHash":
            accepted.append(late[0])  # after the endpoint has said that it does not know it
            send = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": late}
            assert "result" in json.loads(chain(json.dumps(send).encode()))
        return answered

    with through(take_the_last_late) as ai:
        requests = DtnSession(ai, funded.id, cast.customer).request_many(PROMPTS)

    assert accepted
    assert all(isinstance(request, DtnRequest) for request in requests)
    assert len(network.node.answer_pending()) == 10


def test_a_request_mined_during_the_lookup_is_not_reported_as_refused(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """The endpoint answers two calls of one HTTP request from states before and after a block."""
    late: list[str] = []
    mined: list[str] = []

    def result(chain: Callable[[bytes], bytes], method: str, params: list[str]) -> Any:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return json.loads(chain(json.dumps(call).encode()))["result"]

    def mine_between(body: bytes, chain: Callable[[bytes], bytes]) -> bytes:
        sent, calls = sent_in(body), calls_in(body)
        if not late and len(sent) == 10:
            late.append(sent[-1])
        methods = [call["method"] for call in calls]
        if mined or methods[:2] != ["eth_getTransactionReceipt", "eth_getTransactionCount"]:
            return but_for([] if mined else late, "request timed out", body, chain)
        receipt = json.loads(chain(json.dumps(calls[0]).encode()))
        mined.append(result(chain, "eth_sendRawTransaction", late))
        while result(chain, "eth_getTransactionReceipt", mined) is None:
            time.sleep(0.01)
        return json.dumps(
            [receipt, *(json.loads(chain(json.dumps(call).encode())) for call in calls[1:])]
        ).encode()

    with through(mine_between) as ai:
        requests = DtnSession(ai, funded.id, cast.customer).request_many(PROMPTS)

    assert mined
    assert all(isinstance(request, DtnRequest) for request in requests)
    assert len(network.node.answer_pending()) == 10


def test_balances_after_many_requests(
    network: LocalNetwork, funded: DtnSession, cast: Cast
) -> None:
    """Each request is charged once, and nothing else is."""
    funded.request_many(PROMPTS)
    network.node.answer_pending()
    left = funded.balance

    assert funded.close() == left
    held = rpc.result(
        network.ai.provider,
        "eth_call",
        [
            {
                "to": network.token,
                "data": "0x" + ERC20.balance_of.encode(str(cast.customer.address)).hex(),
            },
            "latest",
        ],
    )
    spent = left.token.amount("25.00") - left
    assert as_int(held) == 1_000_000_000 - spent.units


def test_one_prompt_in_place_of_a_list_is_refused(funded: DtnSession, nothing_moves: None) -> None:
    with pytest.raises(InvalidOption, match="it is a single prompt"):
        funded.request_many("Hello?")


def test_many_cannot_share_a_user(funded: DtnSession, cast: Cast, nothing_moves: None) -> None:
    with pytest.raises(InvalidOption, match="would have the same id"):
        funded.request_many(PROMPTS, user=str(cast.stranger.address))


def test_the_error_names_the_invalid_request(funded: DtnSession, nothing_moves: None) -> None:
    with pytest.raises(EmptyPrompt) as raised:
        funded.request_many([*PROMPTS, ""])

    assert raised.value.fields["place"] == 10
    assert "Request 11 of 11." in (raised.value.hint or "")


def test_on_sent_may_send_another_request(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """The callback runs without the nonce lock."""
    refused: list[bool] = []

    def refuse_one_estimate(body: bytes, chain: Callable[[bytes], bytes]) -> bytes:
        answer = chain(body)
        if body.count(b"eth_estimateGas") > 1 and not refused:
            refused.append(True)
            answers = json.loads(answer)
            answers[-1] = {"jsonrpc": "2.0", "id": answers[-1]["id"], "error": {"message": "no"}}
            return json.dumps(answers).encode()
        return answer

    again: list[DtnRequest] = []
    with through(refuse_one_estimate) as ai:
        session = DtnSession(ai, funded.id, cast.customer)

        def ask_again(place: int, sent: DtnRequest | DtnError) -> None:
            if isinstance(sent, DtnError):
                again.append(session.request(PROMPTS[place]))

        session.request_many(PROMPTS, on_sent=ask_again)

    assert len(again) == 1
    assert len(network.node.answer_pending()) == 10


def test_a_request_accepted_late_is_not_sent_again(
    network: LocalNetwork, funded: DtnSession, cast: Cast, through: Through
) -> None:
    """The endpoint refuses it, does not know it, and accepts it all the same."""
    accepted: list[bytes] = []

    def take_it_late(body: bytes, chain: Callable[[bytes], bytes]) -> bytes:
        call = json.loads(body)
        if isinstance(call, dict) and call["method"] == "eth_sendRawTransaction" and not accepted:
            accepted.append(body)
            error = {"code": -32000, "message": "request timed out"}
            return json.dumps({"jsonrpc": "2.0", "id": call["id"], "error": error}).encode()
        answer = chain(body)
        if isinstance(call, dict) and call["method"] == "eth_getTransactionByHash":
            chain(accepted[0])  # after the endpoint has said that it does not know it
        return answer

    with through(take_it_late) as ai:
        DtnSession(ai, funded.id, cast.customer).request("Once?")

    assert accepted
    assert len(network.node.answer_pending()) == 1


def test_a_failure_of_unknown_cause_is_reported(
    network: LocalNetwork,
    funded: DtnSession,
    cast: Cast,
    through: Through,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[bool] = []

    def close_it_and_fail(body: bytes, chain: Callable[[bytes], bytes]) -> bytes:
        if b"eth_sendRawTransaction" in body and not closed:
            closed.append(True)
            rpc.result(network.ai.provider, "evm_setAutomine", [False])
            answer = chain(body)
            close = {
                "from": str(cast.customer.address),
                "to": network.ai.router,
                "data": "0x" + Router.close_user_session.encode(funded.id).hex(),
                "gas": hex(200_000),
                "maxPriorityFeePerGas": hex(10**11),
                "maxFeePerGas": hex(10**12),
                "nonce": hex(
                    as_int(
                        rpc.result(
                            network.ai.provider,
                            "eth_getTransactionCount",
                            [str(cast.customer.address), "latest"],
                        )
                    )
                ),
            }
            rpc.result(network.ai.provider, "eth_sendTransaction", [close])
            rpc.result(network.ai.provider, "evm_setAutomine", [True])
            rpc.result(network.ai.provider, "evm_mine", [])
            return answer
        if closed and b"eth_call" in body:
            raise OSError("the connection dropped")
        return chain(body)

    with through(close_it_and_fail) as ai:
        # The close has used the nonce of the first, whose outcome is not known in time.
        monkeypatch.setattr(type(ai.provider.network), "transaction_acceptance_timeout", 1)
        outcomes = DtnSession(ai, funded.id, cast.customer).request_many(PROMPTS[:3])

    kinds = [TransactionPending, ContractReverted, ContractReverted]
    assert [type(outcome) for outcome in outcomes] == kinds


def test_an_impersonated_account_asks(network: LocalNetwork, accounts: Any, cast: Cast) -> None:
    owner = "0x" + "7e" * 20
    fund(network.ai.provider, cast.owner, network.token, owner, 100_000_000)
    rpc.result(network.ai.provider, "anvil_setBalance", [owner, hex(10**20)])
    account = accounts.impersonate_account(to_address(owner))

    session = DtnSession.start("10", account, network.ai)
    requests = session.request_many(PROMPTS[:3])
    network.node.answer_pending()

    assert texts(network, requests) == [f"You asked: {prompt}" for prompt in PROMPTS[:3]]
    assert str(session.owner) == to_address(owner)


def test_a_session_with_pending_requests_is_not_closed_at_the_end(
    network: LocalNetwork, cast: Cast
) -> None:
    with DtnSession.start("10", cast.customer, network.ai) as session:
        request = session.request("Hello?")

    assert session.is_open
    network.node.answer_pending()
    assert request.wait(timeout=30).text == "You asked: Hello?"
