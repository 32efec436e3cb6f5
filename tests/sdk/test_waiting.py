"""Waiting for answers: before and during the wait, with failing endpoints, and timeouts."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread, Timer
from typing import Any
from urllib.parse import urlsplit

import pytest
from eth_abi import encode

from ape_dtn import Answer, Callback, DtnAi, DtnRequest, DtnSession, Status
from ape_dtn.chain import rpc, transactions
from ape_dtn.client.request import wait_all, wait_all_async
from ape_dtn.deployment.assemble import NODE, NODE_MODELS, LocalNetwork
from ape_dtn.errors import (
    CallbackFailed,
    ChainUnreachable,
    DtnError,
    EmptyPrompt,
    NodeFailure,
    NoNetwork,
    RequestNotFound,
    RequestPending,
    RequestStranded,
    RpcRefused,
)
from ape_dtn.network import reverts
from ape_dtn.network.abi import NodeManager, Router
from ape_dtn.types.abi import Function
from ape_dtn.types.ids import as_hex, id_of
from ape_dtn.types.rpc import as_bytes
from ape_dtn.types.serialization import to_json
from ape_dtn.types.transactions import contract_call
from benchmarks.chain import connected_to
from tests.conftest import Cast, on_live, replace_manager

from .bytecode import deploying
from .conftest import Respond, Through
from .test_swallowed import each_call

ROOT = Path(__file__).resolve().parent.parent.parent
PROMPT, ANSWER = "Hello?", "You asked: Hello?"
HERE = encode(["string"], ["Here."])


def mine(network: LocalNetwork, blocks: int = 1) -> None:
    rpc.result(network.ai.provider, "anvil_mine", [hex(blocks)])


@contextmanager
def after_delay(seconds: float, action: Callable[[], Any]) -> Iterator[None]:
    """Runs a function after a delay; the context waits for it at its end."""
    timer = Timer(seconds, action)
    timer.start()
    try:
        yield
    finally:
        timer.join()


# Answers.


def test_a_wait_returns_an_earlier_answer_at_once(
    funded: DtnSession, network: LocalNetwork
) -> None:
    request = funded.request(PROMPT)
    network.node.answer_pending()
    mine(network, 200)

    assert request.wait(timeout=0).text == ANSWER


def test_a_wait_returns_an_answer_when_it_arrives(
    funded: DtnSession, network: LocalNetwork
) -> None:
    request = funded.request(PROMPT)

    with after_delay(1, network.node.answer_pending):
        assert request.wait(timeout=10).text == ANSWER


def test_a_wait_finds_an_answer_in_the_block_of_its_request(
    funded: DtnSession, network: LocalNetwork, cast: Cast
) -> None:
    """The block is the latest one when the wait begins."""
    asked = funded.draft(PROMPT).transaction()
    call = {"from": cast.customer.address, "to": asked.to, "data": "0x" + asked.data.hex()}
    request_id = as_bytes(rpc.result(network.ai.provider, "eth_call", [call, "pending"]))
    given: Any = (request_id, Status.SUCCESS, "", HERE, network.node.id, 0, 0)
    answer = Router.respond_to_request.encode(*given)
    respond = {"from": cast.worker.address, "to": asked.to, "data": "0x" + answer.hex()}
    together = mined_together(network, call, respond)

    request = DtnRequest.load(as_hex(request_id), network.ai)

    assert [receipt["status"] for receipt in together] == ["0x1", "0x1"]
    assert together[0]["blockNumber"] == together[1]["blockNumber"]
    assert request.wait(timeout=0).text == "Here."


def mined_together(network: LocalNetwork, *calls: dict[str, Any]) -> list[Any]:
    """Mines transactions in one block in this order, and returns their receipts."""
    provider = network.ai.provider
    rpc.result(provider, "evm_setAutomine", [False])
    try:
        prices = [hex((100 - place) * 10**9) for place in range(len(calls))]
        hashes = [
            rpc.result(
                provider, "eth_sendTransaction", [{**call, "gas": "0x200000", "gasPrice": price}]
            )
            for call, price in zip(calls, prices, strict=True)
        ]
        mine(network)
    finally:
        rpc.result(provider, "evm_setAutomine", [True])
    return [rpc.result(provider, "eth_getTransactionReceipt", [hash_]) for hash_ in hashes]


def test_an_answer_is_awaited_by_another_process(
    funded: DtnSession, network: LocalNetwork, tmp_path: Path
) -> None:
    request = funded.request(PROMPT)
    script = """
import sys
from ape_dtn import DtnAi, DtnRequest
from ape_dtn.types.serialization import to_json
from benchmarks.chain import connected_to

url, router, request_id = sys.argv[1:]
with connected_to(url) as provider:
    request = DtnRequest.load(request_id, DtnAi(router, provider))
    print("waiting", flush=True)
    print(request.wait(timeout=30))
"""
    command = [sys.executable, "-c", script, str(network.ai.provider.http_uri)]
    waiting = [
        subprocess.Popen(
            [*command, network.ai.router, request.id], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in waiting:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
    network.node.answer_pending()

    assert [process.communicate(timeout=60)[0] for process in waiting] == [f"{ANSWER}\n"] * 2


@pytest.mark.parametrize("confirmations", [1, 3])
def test_an_answer_counts_after_its_confirmations(
    funded: DtnSession, network: LocalNetwork, confirmations: int
) -> None:
    request = funded.request(PROMPT)
    network.node.answer_pending()
    mine(network, confirmations - 1)

    with pytest.raises(RequestPending) as raised:
        request.wait(timeout=0, confirmations=confirmations)
    with after_delay(1, lambda: mine(network)):
        answer = request.wait(timeout=10, confirmations=confirmations)

    assert "not confirmed yet" in str(raised.value.hint)
    assert answer.text == ANSWER


def test_confirmations_can_be_configured(
    funded: DtnSession, network: LocalNetwork, project: Any
) -> None:
    request = funded.request(PROMPT)
    network.node.answer_pending()

    with project.temp_config(dtn={"confirmations": 2}):
        with pytest.raises(RequestPending):
            request.wait(timeout=0)
        assert request.wait(timeout=0, confirmations=0).text == ANSWER
        mine(network, 2)
        assert request.wait(timeout=0).text == ANSWER


# Many at once, and asynchronously.


def test_many_requests_are_awaited_together_in_order(
    funded: DtnSession, network: LocalNetwork, respond: Respond
) -> None:
    first, second, third, fourth = [funded.request(PROMPT) for _ in range(4)]
    respond(third, status=Status.FAILURE, message="E0042: out of paper")
    respond(first, HERE)
    refused = EmptyPrompt()

    found = wait_all([first, second, refused, third, first], timeout=0)

    assert [str(found[place]) for place in (0, 4)] == ["Here."] * 2
    assert isinstance(found[1], RequestPending)
    assert found[1].request_id == second.id
    assert found[2] is refused
    assert isinstance(found[3], NodeFailure)
    assert fourth.status is Status.PENDING


def test_a_wait_for_no_requests_ends_at_once(network: LocalNetwork) -> None:
    assert wait_all([]) == []


def test_200_requests_in_flight_get_200_answers(funded: DtnSession, network: LocalNetwork) -> None:
    prompts = [f"What is {place}?" for place in range(200)]
    requests = funded.request_many(prompts, max_cost="0.01")

    with after_delay(0.5, network.node.answer_pending):
        found = wait_all(requests, timeout=60)

    assert [str(answer) for answer in found] == [f"You asked: {prompt}" for prompt in prompts]


def test_waiting_does_not_block_the_event_loop(funded: DtnSession, network: LocalNetwork) -> None:
    request = funded.request(PROMPT)

    async def wait() -> tuple[Answer, int]:
        waiting = asyncio.ensure_future(request.wait_async(timeout=10))
        ticks = 0
        while not waiting.done():
            await asyncio.sleep(0.01)
            ticks += 1
            if ticks == 50:
                await asyncio.to_thread(network.node.answer_pending)
        return await waiting, ticks

    answer, ticks = asyncio.run(wait())

    assert answer.text == ANSWER
    assert ticks >= 50


def test_many_requests_are_awaited_asynchronously(
    funded: DtnSession, network: LocalNetwork, respond: Respond
) -> None:
    answered, failed, pending = [funded.request(PROMPT) for _ in range(3)]
    respond(answered, HERE)
    respond(failed, status=Status.FAILURE, message="out of paper")

    found = asyncio.run(wait_all_async([answered, failed, pending], timeout=0))

    assert str(found[0]) == "Here."
    assert isinstance(found[1], NodeFailure)
    assert isinstance(found[2], RequestPending)


def test_a_cancelled_wait_can_be_repeated(funded: DtnSession, network: LocalNetwork) -> None:
    request = funded.request(PROMPT)

    async def impatiently() -> Answer:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(request.wait_async(), 0.5)
        await asyncio.to_thread(network.node.answer_pending)
        return await request.wait_async()

    assert asyncio.run(impatiently()).text == ANSWER


# Endpoints that fail.


@dataclass
class FlakyEndpoint:
    """An endpoint that applies one planned fault per request, and then passes requests on."""

    upstream: str
    plan: list[str] = field(default_factory=list)
    met: list[str] = field(default_factory=list)
    ended: Event = field(default_factory=Event)

    @contextmanager
    def serving(self) -> Iterator[str]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), flaky_handler(self))
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            self.ended.set()
            server.shutdown()
            server.server_close()


def flaky_handler(endpoint: FlakyEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fault = endpoint.plan.pop(0) if endpoint.plan else ""
            endpoint.met.append(fault)
            if fault == "dropped":
                self.connection.close()
            elif fault == "hangs":
                endpoint.ended.wait(60)
            elif fault:
                self.send_error(int(fault))
            else:
                self.pass_on(body)

        def pass_on(self, body: bytes) -> None:
            where = urlsplit(endpoint.upstream)
            chain = HTTPConnection(str(where.hostname), where.port, timeout=30)
            chain.request("POST", "/", body, {"Content-Type": "application/json"})
            answer = chain.getresponse().read()
            chain.close()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def flaky(network: LocalNetwork) -> Iterator[tuple[FlakyEndpoint, DtnAi]]:
    endpoint = FlakyEndpoint(str(network.ai.provider.http_uri))
    with endpoint.serving() as url, connected_to(url) as provider:
        yield endpoint, DtnAi(network.ai.router, provider)


@pytest.mark.parametrize("fault", ["dropped", "429", "502", "504"])
def test_a_wait_survives_transient_errors(
    flaky: tuple[FlakyEndpoint, DtnAi], funded: DtnSession, network: LocalNetwork, fault: str
) -> None:
    endpoint, ai = flaky
    request = DtnRequest.load(funded.request(PROMPT).id, ai)

    def fail_and_answer() -> None:
        endpoint.plan += [fault] * 3
        network.node.answer_pending()

    with after_delay(1, fail_and_answer):
        answer = request.wait(timeout=30)

    assert endpoint.met.count(fault) == 3
    assert answer.text == ANSWER


@pytest.mark.parametrize("place", range(4))
def test_a_failure_at_any_call_loses_nothing(
    flaky: tuple[FlakyEndpoint, DtnAi], funded: DtnSession, network: LocalNetwork, place: int
) -> None:
    """The failing call can also be the one that reads the API to decode the answer."""
    endpoint, ai = flaky
    request = DtnRequest.load(funded.request(PROMPT).id, ai)
    network.node.answer_pending()
    endpoint.plan += [*[""] * place, "dropped"]

    assert request.wait(timeout=20).text == ANSWER
    assert endpoint.plan == []


def test_pauses_grow_while_the_endpoint_fails(
    flaky: tuple[FlakyEndpoint, DtnAi], funded: DtnSession
) -> None:
    endpoint, ai = flaky
    request = DtnRequest.load(funded.request(PROMPT).id, ai)
    endpoint.met.clear()
    endpoint.plan += ["429"] * 1000

    with pytest.raises(ChainUnreachable, match="429"):
        request.wait(timeout=3)

    assert 3 <= len(endpoint.met) <= 8


def test_a_hanging_endpoint_does_not_extend_the_timeout(
    flaky: tuple[FlakyEndpoint, DtnAi], funded: DtnSession
) -> None:
    endpoint, ai = flaky
    request = DtnRequest.load(funded.request(PROMPT).id, ai)
    start = time.monotonic()

    with (
        after_delay(0.5, lambda: endpoint.plan.append("hangs")),
        pytest.raises(NoNetwork) as raised,
    ):
        request.wait(timeout=4)

    assert time.monotonic() - start < 20
    assert "no response" in raised.value.message


def test_answers_found_are_kept_when_the_connection_fails(
    flaky: tuple[FlakyEndpoint, DtnAi], funded: DtnSession, respond: Respond
) -> None:
    endpoint, ai = flaky
    answered, pending = [DtnRequest.load(funded.request(PROMPT).id, ai) for _ in range(2)]
    respond(answered, HERE)

    with after_delay(4, lambda: endpoint.plan.extend(["dropped"] * 1000)):
        found = wait_all([answered, pending], timeout=7)

    assert str(found[0]) == "Here."
    assert isinstance(found[1], ChainUnreachable)


# Sessions that are closed.


def test_a_request_whose_session_was_closed_is_not_awaited(
    funded: DtnSession, network: LocalNetwork
) -> None:
    request = funded.request(PROMPT)
    funded.close(force=True)
    mine(network, 200)
    start = time.monotonic()

    with pytest.raises(RequestStranded) as raised:
        request.wait(timeout=60)

    assert time.monotonic() - start < 10
    assert raised.value.session_id == funded.id
    assert raised.value.exit_code == 4
    assert to_json(raised.value)["session_id"] == funded.id


def test_a_wait_ends_when_the_session_is_closed(funded: DtnSession) -> None:
    request = funded.request(PROMPT)
    start = time.monotonic()

    with after_delay(1, lambda: funded.close(force=True)), pytest.raises(RequestStranded):
        request.wait(timeout=60)

    assert time.monotonic() - start < 15


def test_a_request_answered_before_the_session_was_closed_has_its_answer(
    funded: DtnSession, network: LocalNetwork
) -> None:
    request = funded.request(PROMPT)

    def answer_and_close() -> None:
        network.node.answer_pending()
        funded.close()

    with after_delay(1, answer_and_close):
        assert request.wait(timeout=20).text == ANSWER
    assert request.wait(timeout=0).text == ANSWER


@on_live
def test_a_session_of_a_replaced_manager_pays_nothing_more(
    funded: DtnSession, network: LocalNetwork, cast: Cast
) -> None:
    request = funded.request(PROMPT)
    replace_manager(network, cast)

    with pytest.raises(RequestStranded):
        request.wait(timeout=0)


# Timeouts and their diagnosis.


def test_a_timeout_reports_the_state_of_the_nodes(
    funded: DtnSession, network: LocalNetwork, respond: Respond, cast: Cast
) -> None:
    respond(funded.request(PROMPT), HERE)
    respond(funded.request(PROMPT), HERE)
    request = funded.request(PROMPT, fee_per_byte="0.00002")
    mine(network, 7)

    with pytest.raises(RequestPending) as raised:
        request.wait(timeout=0.5)

    (node,) = raised.value.nodes or []
    assert node == {
        "node": NODE,
        "is_active": True,
        "serves_model": True,
        "answers": 2,
        "last_answer": 8,  # a second a block
    }
    assert {name: str(amount) for name, amount in (raised.value.offer or {}).items()} == {
        "fee_per_byte_asked": "0.00002 USDT",
        "fee_per_byte_answered": "0.00002 USDT",
        "max_cost": "0.25 USDT",
    }
    assert raised.value.waited == 0.5
    assert raised.value.message == (
        f"Request {request.id} has no answer after 0.5 seconds. It offers 0.00002 USDT a byte, and "
        f"0.25 USDT at most. {NODE} is active and serves the model; its last answer came 8 seconds "
        "ago."
    )
    assert f"DtnRequest.load('{request.id}')" in str(raised.value.hint)


def test_an_inactive_node_is_reported(
    funded: DtnSession, network: LocalNetwork, cast: Cast
) -> None:
    request = funded.request(PROMPT)
    manager = network.ai.contracts().node_manager
    for change in (
        contract_call(manager, NodeManager.set_node_status, network.node.id, False),
        contract_call(
            manager,
            NodeManager.remove_models_from_node,
            network.node.id,
            [id_of(name, "model") for name in NODE_MODELS],
        ),
    ):
        transactions.send(network.ai.provider, cast.owner, change, reverts.NO_CONTEXT)

    with pytest.raises(
        RequestPending, match="is not active and does not serve the model"
    ) as raised:
        request.wait(timeout=0)

    (node,) = raised.value.nodes or []
    assert (node["is_active"], node["serves_model"]) == (False, False)
    assert (node["answers"], node["last_answer"]) == (0, None)


def test_an_unregistered_node_is_reported(funded: DtnSession) -> None:
    nobody = "0x" + "77" * 32
    request = funded.request(PROMPT, nodes=[nobody], may_never_complete=True)

    with pytest.raises(RequestPending, match=f"{nobody} is not active"):
        request.wait(timeout=0)


def test_a_refusing_endpoint_leaves_the_diagnosis_unknown(
    through: Through, funded: DtnSession
) -> None:
    request = funded.request(PROMPT)

    def no_answers_of_nodes(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        if Router.response_received.topic.encode() not in body:
            return ask(body)
        error = {"code": -32005, "message": "query exceeds the range"}
        return json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()

    with through(no_answers_of_nodes) as ai, pytest.raises(RequestPending) as raised:
        DtnRequest.load(request.id, ai).wait(timeout=0)

    (node,) = raised.value.nodes or []
    assert (node["answers"], node["last_answer"]) == (None, None)
    assert "recent answers are unknown" in raised.value.message


def test_members_of_a_trusted_namespace_may_answer(
    funded: DtnSession, network: LocalNetwork
) -> None:
    request = funded.request(PROMPT, namespaces=["namespace.nobody.in"], may_never_complete=True)

    with pytest.raises(RequestPending, match="No node may answer it"):
        request.wait(timeout=0)


@pytest.mark.usefixtures("crowded")
def test_named_nodes_are_reported_when_there_are_too_many_nodes(funded: DtnSession) -> None:
    members = {"namespaces": ["namespace.nobody.in"], "may_never_complete": True}
    of_members, of_one_more = (
        funded.request(PROMPT, nodes=nodes, **members) for nodes in ([], [NODE])
    )

    with pytest.raises(RequestPending) as raised:
        of_members.wait(timeout=0)
    assert raised.value.nodes is None
    assert "No node may" not in raised.value.message

    with pytest.raises(RequestPending, match=f"{NODE} is active and serves the model"):
        of_one_more.wait(timeout=0)


def test_an_unknown_request_is_not_pending(network: LocalNetwork) -> None:
    nothing = DtnRequest(network.ai, b"\7" * 32)

    with pytest.raises(RequestNotFound):
        nothing.wait(timeout=0)


# Failures.


def test_a_failure_of_the_node_ends_the_wait(funded: DtnSession, respond: Respond) -> None:
    request = funded.request(PROMPT)
    respond(request, status=Status.FAILURE, message="P0011: Call not parsable")

    with pytest.raises(NodeFailure, match="could not decode the call") as raised:
        request.wait(timeout=0)

    assert raised.value.reason == "P0011: Call not parsable"
    assert raised.value.callback_error is None


@pytest.fixture
def reverting(network: LocalNetwork, cast: Cast) -> Callable[[bytes], Callback]:
    """Callbacks to contracts that revert every call with this data."""

    def reverting(data: bytes) -> Callback:
        words = [data[start : start + 32].ljust(32, b"\0") for start in range(0, len(data), 32)]
        stored = b"".join(
            b"\x7f" + word + b"\x60" + bytes([32 * place]) + b"\x52"
            for place, word in enumerate(words)
        )
        code = stored + bytes.fromhex(f"60{len(data):02x}5ffd")
        target = transactions.create(network.ai.provider, cast.customer, deploying(code))
        return Callback(target, "onAnswer(bytes32)", "onFailure(bytes32)", 100_000)

    return reverting


CUSTOM = Function("TooLate(uint256)").encode(7)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (Function("Error(string)").encode("not now"), "not now"),
        (Function("Panic(uint256)").encode(0x11), "Panic(code=17)"),
        (Function("InvalidSession(uint256)").encode(9), "InvalidSession(sessionId=9)"),
        (CUSTOM, "0x" + CUSTOM.hex()),
        (b"", "it gave no reason, and may have run out of gas"),
    ],
)
def test_a_reverting_callback_is_explained_beside_the_answer(
    funded: DtnSession,
    respond: Respond,
    network: LocalNetwork,
    reverting: Callable[[bytes], Callback],
    data: bytes,
    reason: str,
) -> None:
    callback = reverting(data)
    request = funded.request(PROMPT, callback=callback)

    with after_delay(0.5, lambda: respond(request, HERE)):
        answer = request.wait(timeout=10)
    mine(network, 100)

    assert answer.text == "Here."
    assert isinstance(answer.callback_error, CallbackFailed)
    assert answer.callback_error.reason == reason
    assert answer.callback_error.target == callback.target
    assert answer.callback_error.revert is not None
    assert answer.callback_error.revert.data == data
    for again in (request.answer(), request.wait(timeout=0)):  # these nodes do not have its block
        assert again.callback_error is not None
        assert again.callback_error.reason == reason


def test_a_callback_that_reverts_on_a_failure_is_reported(
    funded: DtnSession, respond: Respond, reverting: Callable[[bytes], Callback]
) -> None:
    request = funded.request(PROMPT, callback=reverting(CUSTOM))
    respond(request, status=Status.FAILURE, message="out of paper")

    with pytest.raises(NodeFailure, match="out of paper") as raised:
        request.wait(timeout=0)

    assert raised.value.callback_error is not None
    assert to_json(raised.value)["callback_error"]["revert"]["data"] == "0x" + CUSTOM.hex()


def test_errors_of_the_project_are_named(
    funded: DtnSession,
    respond: Respond,
    network: LocalNetwork,
    cast: Cast,
    project: Any,
    reverting: Callable[[bytes], Callback],
) -> None:
    """The error is one of ``contracts/examples/Example.sol``."""
    project.load_contracts()
    data = Function("SessionOpen(uint256)").encode(3)
    request = funded.request(PROMPT, callback=reverting(data))
    respond(request, HERE)

    answer = request.wait(timeout=0)

    assert answer.callback_error is not None
    assert answer.callback_error.reason == "SessionOpen(sessionId=3)"


def test_only_requests_with_a_callback_read_its_failure(
    funded: DtnSession, respond: Respond, through: Through, reverting: Callable[[bytes], Callback]
) -> None:
    plain, with_callback = funded.request(PROMPT), funded.request(PROMPT, callback=reverting(b""))
    for request in (plain, with_callback):
        respond(request, HERE)
    queries: list[bytes] = []

    def noted(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        queries.extend([body] if b"eth_getLogs" in body else [])
        return ask(body)

    with through(noted) as ai:
        assert DtnRequest.load(plain.id, ai).wait(timeout=0).callback_error is None
        assert queries == []
        assert DtnRequest.load(with_callback.id, ai).wait(timeout=0).callback_error is not None
        assert len(queries) == 1


def test_an_answer_is_returned_when_a_lagging_node_misses_its_block(
    funded: DtnSession, respond: Respond, through: Through, reverting: Callable[[bytes], Callback]
) -> None:
    request = funded.request(PROMPT, callback=reverting(b""))
    respond(request, HERE)

    def behind(call: dict[str, Any], forward: Callable[[], Any]) -> Any:
        is_block = call["method"] == "eth_getBlockByNumber"
        is_one_of_them = is_block and call["params"][0] not in ("0x0", "latest")
        return {"result": None} if is_one_of_them else forward()

    with through(each_call(behind)) as ai:
        answer = DtnRequest.load(request.id, ai).wait(timeout=0)

    assert str(answer) == "Here."
    assert answer.callback_error is None  # a warning says that the failure is unknown


def test_waiting_for_failed_requests_makes_no_calls() -> None:
    errors: list[DtnRequest | DtnError] = [RpcRefused("eth_sendRawTransaction", "no")] * 2

    assert wait_all(errors) == errors
    assert wait_all([]) == []
