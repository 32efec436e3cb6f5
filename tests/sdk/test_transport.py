"""The transport, with endpoints that are busy, limited, malformed, slow, or behind a broken
proxy."""

from __future__ import annotations

import json
import random
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from ape_dtn import DtnAi, DtnSession
from ape_dtn.chain import reads, rpc
from ape_dtn.deployment.assemble import LocalNetwork, Variant
from ape_dtn.errors import ChainUnreachable, DtnError, NoNetwork, RpcRefused
from ape_dtn.types.polling import POLICY, Backoff, limited
from ape_dtn.types.rpc import Failure, Refusal
from benchmarks.chain import connected_to
from benchmarks.rpc_counter import Disconnected, Dripping, HttpError
from tests.conftest import Cast

from .conftest import Answer, Through

Ask = Callable[[bytes], bytes]

CHAIN: Any = ("eth_chainId", [])
BLOCK: Any = ("eth_blockNumber", [])
MANY = [CHAIN, BLOCK] * 4


@pytest.fixture
def variant() -> Variant:
    """One variant is enough: the transport does not depend on the network."""
    return Variant.REFERENCE


@pytest.fixture(autouse=True)
def of_network(network: LocalNetwork) -> None:
    """Ape reverts the transactions of each test."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(POLICY, "rpc_patience", 4.0)
    monkeypatch.setattr(POLICY, "lag_patience", 1.0)


def error(code: int, message: str, number: Any = None) -> Any:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


class Times:
    """Answers the first requests in one way, and forwards the later ones to the chain."""

    def __init__(self, times: int, answer: Callable[[Any], bytes]) -> None:
        self.left, self.made, self.sizes = times, answer, list[int]()

    def __call__(self, body: bytes, ask: Ask) -> bytes:
        calls = json.loads(body)
        self.sizes.append(len(calls) if isinstance(calls, list) else 1)
        if self.left:
            self.left -= 1
            return self.made(calls)
        return ask(body)


def http(status: int, body: bytes, **headers: str) -> Callable[[Any], bytes]:
    def answer(_: Any) -> bytes:
        raise HttpError(status, body, {name.replace("_", "-"): headers[name] for name in headers})

    return answer


def whole(code: int, message: str) -> Callable[[Any], bytes]:
    return lambda _: json.dumps(error(code, message)).encode()


def listed(code: int, message: str) -> Callable[[Any], bytes]:
    return lambda _: json.dumps([error(code, message)]).encode()


def by_item(code: int, message: str) -> Callable[[Any], bytes]:
    def answer(calls: Any) -> bytes:
        return json.dumps([error(code, message, call["id"]) for call in calls]).encode()

    return answer


BUSY = {
    "429 in JSON": http(429, json.dumps(error(-32005, "too many requests")).encode()),
    "429 in HTML": http(429, b"<html>Too Many Requests</html>"),
    "429 without a body": http(429, b""),
    "503 in text": http(503, b"no healthy upstream"),
    "502 in HTML": http(502, b"<html>Bad Gateway</html>"),
    "an object": whole(-32005, "rate limit exceeded"),
    "an object with HTTP 400": http(400, json.dumps(error(-32005, "slow down")).encode()),
    "a list": listed(-32005, "rate limit exceeded"),
    "items": by_item(-32016, "over rate limit"),
    "text": lambda _: b"rate limit exceeded, slow down",
    "a message": lambda _: b'{"message": "Too Many Requests"}',
}


@pytest.mark.parametrize("how", BUSY)
def test_a_busy_endpoint_is_asked_again_and_its_batches_stay_whole(
    through: Through, how: str
) -> None:
    endpoint = Times(2, BUSY[how])

    with through(endpoint) as ai:
        endpoint.sizes.clear()
        answers = rpc.ask(ai.provider, MANY)

    assert not any(isinstance(answer, Failure) for answer in answers)
    assert endpoint.sizes == [len(MANY)] * 3


@pytest.mark.parametrize("how", BUSY)
def test_an_endpoint_that_stays_busy_is_left_in_time(
    through: Through, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(POLICY, "rpc_patience", 0.5)
    endpoint = Times(1000, BUSY[how])

    with through(endpoint) as ai:
        endpoint.sizes.clear()
        begun = time.monotonic()
        with pytest.raises(NoNetwork) as raised:
            ai.contracts()

    assert time.monotonic() - begun < 3
    assert raised.value.exit_code == 3
    assert raised.value.retryable
    assert set(endpoint.sizes) == {5}


def test_one_limit_holds_for_all_requests_of_an_operation(through: Through) -> None:
    endpoint = Times(1000, BUSY["429 in HTML"])

    with through(endpoint) as ai:
        begun = time.monotonic()
        with limited(0.5):
            for _ in range(5):
                with pytest.raises(ChainUnreachable, match="429"):
                    ai.contracts()

    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_kept_to_in_both_forms(through: Through, form: str) -> None:
    def answer(_: Any) -> bytes:
        then = datetime.now(timezone.utc) + timedelta(seconds=2)
        value = "2" if form == "seconds" else format_datetime(then, usegmt=True)
        raise HttpError(429, b"", {"Retry-After": value})

    with through(Times(1, answer)) as ai:
        begun = time.monotonic()
        ai.contracts()

    assert 0.9 < time.monotonic() - begun < 4


def test_an_endpoint_is_not_waited_for_that_wants_more_time_than_there_is(
    through: Through,
) -> None:
    with through(Times(1, http(503, b"", Retry_After="3600"))) as ai:
        begun = time.monotonic()
        with pytest.raises(ChainUnreachable):
            ai.contracts()

    assert time.monotonic() - begun < 1


STINGY: dict[str, Callable[[Any], bytes]] = {
    "an object": whole(-32014, "maximum 3 calls in 1 batch"),
    "an object with HTTP 400": http(400, json.dumps(error(-32600, "batch too large")).encode()),
    "a list": listed(-32000, "batch limit 3 exceeded"),
    "items": by_item(31, "Batch of more than 3 requests are not allowed on free tier"),
    "413 in HTML": http(413, b"<html>Request Entity Too Large</html>"),
    "words of its own": whole(-32099, "quite a handful"),
}


@pytest.mark.parametrize("how", STINGY)
def test_the_batch_that_an_endpoint_takes_is_learnt_once(through: Through, how: str) -> None:
    sizes: list[int] = []

    def stingy(body: bytes, ask: Ask) -> bytes:
        calls = json.loads(body)
        sizes.append(len(calls) if isinstance(calls, list) else 1)
        return STINGY[how](calls) if sizes[-1] > 3 else ask(body)

    with through(stingy) as ai:
        sizes.clear()
        first = rpc.ask(ai.provider, MANY)
        learnt = len(sizes)
        second = rpc.ask(ai.provider, MANY)

    assert not any(isinstance(answer, Failure) for answer in [*first, *second])
    assert max(sizes[learnt:]) <= 3


def test_what_is_refused_for_good_is_not_asked_request_by_request(through: Through) -> None:
    endpoint = Times(10**6, whole(-32099, "we do not like you"))

    with through(endpoint) as ai:
        endpoint.sizes.clear()
        answers = rpc.ask(ai.provider, [CHAIN] * 400)

    assert {answer.refusal for answer in answers} == {Refusal.REFUSED}
    assert len(endpoint.sizes) < 20


def with_ids(change: Callable[[list[Any]], Any]) -> Answer:
    def answer(body: bytes, ask: Ask) -> bytes:
        calls = json.loads(body)
        found = json.loads(ask(body))
        return json.dumps(change(found) if isinstance(calls, list) else found).encode()

    return answer


def test_answers_of_a_batch_are_paired_by_their_ids_in_any_order(through: Through) -> None:
    with through(with_ids(lambda found: found[::-1])) as ai:
        chain, block = rpc.ask(ai.provider, [CHAIN, BLOCK])

    assert int(chain, 16) == 31337 != int(block, 16)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found[:1],
        lambda found: [found[0], {**found[1], "id": found[0]["id"]}],
        lambda found: [*found, found[1]],
        lambda found: [found[0], {**found[1], "id": 10**9}],
        lambda found: [{**result, "id": str(result["id"])} for result in found],
        lambda found: [{**result, "id": None} for result in found],
        lambda found: [{**result, "id": float(result["id"])} for result in found],
        lambda found: [found[0], "x"],
    ],
    ids=["missing", "swapped", "doubled", "foreign", "text", "null", "float", "no object"],
)
def test_answers_that_cannot_be_paired_are_refused(
    through: Through, network: LocalNetwork, change: Callable[[list[Any]], Any]
) -> None:
    head = int(rpc.result(network.ai.provider, *BLOCK), 16)

    with through(with_ids(change)) as ai:
        try:
            answers = rpc.ask(ai.provider, [CHAIN, BLOCK])
        except ChainUnreachable:
            return

    # Unpaired calls are repeated, in the end in requests of one call.
    for answer, right in zip(answers, (31337, head), strict=True):
        assert (
            answer.refusal is Refusal.MALFORMED
            if isinstance(answer, Failure)
            else int(answer, 16) == right
        )


def test_an_answer_with_another_id_is_none(through: Through) -> None:
    def answer(body: bytes, ask: Ask) -> bytes:
        return json.dumps({**json.loads(ask(body)), "id": 10**9}).encode()

    with through(answer) as ai, pytest.raises(ChainUnreachable):
        rpc.result(ai.provider, *CHAIN)


SHAPES: list[Any] = [
    None, True, 5, -1, 1.5, "", "x", "0x", "0xzz", "0x-1", "0x" + "f" * 70, [], {}, [None], [{}],
    {"number": None}, {"number": "0x"}, {"baseFeePerGas": []}, "0x" + "00" * 64,
]  # fmt: skip

METHODS = (
    "eth_blockNumber", "eth_call", "eth_chainId", "eth_estimateGas", "eth_feeHistory",
    "eth_getBalance", "eth_getBlockByNumber", "eth_getCode", "eth_getLogs",
    "eth_getTransactionByHash", "eth_getTransactionCount", "eth_getTransactionReceipt",
    "eth_maxPriorityFeePerGas", "eth_sendRawTransaction",
)  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_no_result_of_another_shape_breaks_anything(
    through: Through,
    network: LocalNetwork,
    cast: Cast,
    funded: DtnSession,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(POLICY, "rpc_patience", 0.05)
    monkeypatch.setattr(POLICY, "lag_patience", 0.05)
    monkeypatch.setattr(POLICY, "rpc_backoff", Backoff(0.01, 0.02))
    asked = funded.request("Hello?")
    network.node.answer_pending()
    pending = funded.request("Hello?")
    shape: Any = None

    def misshapen(body: bytes, ask: Ask) -> bytes:
        calls, found = json.loads(body), json.loads(ask(body))
        if not isinstance(calls, list):
            calls, found = [calls], [found]
        for call, item in zip(calls, found, strict=True):
            if call["method"] == method:
                item.pop("error", None)
                item["result"] = shape
        return json.dumps(found if len(found) > 1 else found[0]).encode()

    with through(misshapen) as ai:
        network_type = type(ai.provider.network)
        monkeypatch.setattr(network_type, "transaction_acceptance_timeout", 0.2)
        session = DtnSession(ai, funded.id, funded.account)
        works: list[Callable[[], Any]] = [
            ai.contracts,
            ai.token,
            ai.models,
            ai.nodes,
            lambda: DtnAi(ai.router, ai.provider),
            lambda: DtnSession.list(cast.customer, ai),
            lambda: DtnSession.load(funded.id, ai=ai),
            lambda: session.balance,
            lambda: session.draft("Hello?"),
            lambda: type(asked).load(asked.id, ai).answer(),
            lambda: type(asked).load(pending.id, ai).wait(timeout=0.2),
            lambda: list(session.watch(timeout=0.2)),
            lambda: session.history(),
            lambda: session.request("Hello?"),
        ]
        for shape in [None, *random.Random(method).sample(SHAPES[1:], 5)]:  # noqa: B007  # what the endpoint answers
            for work in works:
                with suppress(DtnError):
                    work()


@pytest.mark.parametrize("in_head", [True, False])
def test_an_answer_that_drips_is_left_in_time(network: LocalNetwork, in_head: bool) -> None:
    from .conftest import Endpoint

    def drips(body: bytes, ask: Ask) -> bytes:
        raise Dripping(ask(body) + b" " * 10_000, in_head)

    with Endpoint(str(network.ai.provider.http_uri)) as endpoint:
        assert isinstance(endpoint, Endpoint)
        with connected_to(endpoint.url) as provider:
            rpc.endpoint(provider).longest = 1.0
            ai = DtnAi(network.ai.router, provider)
            endpoint.script = drips
            begun = time.monotonic()
            with limited(0), pytest.raises(ChainUnreachable, match="no answer within 1 s"):
                ai.contracts()

    assert time.monotonic() - begun < 3


def test_what_an_archive_alone_has_is_not_asked_in_parts(through: Through) -> None:
    asked: list[int] = []

    def pruned(body: bytes, ask: Ask) -> bytes:
        if b"eth_getLogs" not in body:
            return ask(body)
        asked.append(1)
        number = json.loads(body)["id"]
        return json.dumps(error(-32701, "History has been pruned for this block", number)).encode()

    with through(pruned) as ai, pytest.raises(RpcRefused) as raised:
        reads.logs(ai.provider, ai.router, [])

    assert raised.value.refusal is Refusal.PRUNED
    assert not raised.value.retryable
    assert "archive" in str(raised.value.hint)
    assert len(asked) == 1


def test_the_range_that_an_endpoint_searches_is_learnt_once(through: Through) -> None:
    ranges: list[int] = []

    def limited_to_three(body: bytes, ask: Ask) -> bytes:
        calls = json.loads(body)
        found = json.loads(ask(body))
        calls, found = (calls, found) if isinstance(calls, list) else ([calls], [found])
        for place, call in enumerate(calls):
            if call["method"] == "eth_getLogs":
                blocks = [int(call["params"][0][name], 16) for name in ("fromBlock", "toBlock")]
                ranges.append(blocks[1] - blocks[0] + 1)
                if ranges[-1] > 3:
                    found[place] = error(-32005, "limit exceeded", call["id"])
        return json.dumps(found if len(found) > 1 else found[0]).encode()

    with through(limited_to_three) as ai:
        first = reads.logs(ai.provider, ai.router, [])
        ranges.clear()
        second = reads.logs(ai.provider, ai.router, [])

    assert first == second
    assert max(ranges) <= 3


def test_a_connection_that_is_reset_is_named_as_the_cause(through: Through) -> None:
    def cut(_body: bytes, _ask: Ask) -> bytes:
        raise Disconnected

    with through(cut) as ai, pytest.raises(ChainUnreachable, match="connection was reset"):
        ai.contracts()


def test_a_lost_answer_is_asked_for_again(through: Through) -> None:
    def cut(_: Any) -> bytes:
        raise Disconnected(b'{"jsonrpc"')

    with through(Times(2, cut)) as ai:
        ai.contracts()


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", json.dumps(error(-1, "no")).encode()])
def test_a_key_that_is_not_taken_is_named_as_the_cause(
    through: Through, status: int, body: bytes
) -> None:
    with through(Times(1000, http(status, body))) as ai, pytest.raises(NoNetwork) as raised:
        ai.contracts()

    assert str(status) in raised.value.message or raised.value.message.endswith("no")
    assert not raised.value.retryable


@contextmanager
def tls_server(folder: Path) -> Iterator[str]:
    """A server with a self-signed certificate."""
    pem = folder / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-subj", "/CN=localhost", "-keyout", str(pem), "-out", f"{pem}.cert"]
    subprocess.run(command, check=True, capture_output=True)
    pem.write_text(pem.read_text() + Path(f"{pem}.cert").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"https://127.0.0.1:{server.getsockname()[1]}"


def cause_of(url: str) -> str:
    from ape_dtn.chain.endpoint import Endpoint, Unanswered

    with pytest.raises(Unanswered) as raised:
        Endpoint(url, {"timeout": 2}).call([CHAIN])
    return str(raised.value)


def test_a_certificate_that_nobody_trusts_is_named_as_the_cause(tmp_path: Path) -> None:
    with tls_server(tmp_path) as url:
        assert "its TLS certificate is not trusted" in cause_of(url)


@pytest.mark.parametrize("setting", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_list_of_certificates_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(setting, str(tmp_path / "missing.pem"))

    with tls_server(tmp_path) as url:
        cause = cause_of(url)

    assert setting in cause
    assert "missing.pem" in cause


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1", "SOCKS"),
        ("HTTP_PROXY", "http://user:SECRET@127.0.0.1:1", "did not answer"),
        ("HTTP_PROXY", "ftp://127.0.0.1:1", "not a proxy URL"),
        ("HTTP_PROXY", "http://", "not a proxy URL"),
    ],
)
def test_a_proxy_that_cannot_work_is_named(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, reason: str
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv(setting, value)

    cause = cause_of("http://rpc.example:8545")

    assert setting in cause
    assert reason in cause
    assert "SECRET" not in cause


def test_an_address_where_nothing_listens_is_named_as_the_cause() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    assert "nothing listens there" in cause_of(f"http://127.0.0.1:{port}")
    assert "cannot be resolved" in cause_of("http://no-such-host.invalid")


@pytest.fixture
def dripping() -> Iterator[str]:
    """A service that sends one byte at a time, just before each read would time out."""
    from .conftest import Endpoint

    def drips(_body: bytes, _ask: Ask) -> bytes:
        raise Dripping(b"{" * 10_000, in_head=True)

    with Endpoint("http://127.0.0.1:1") as endpoint:
        assert isinstance(endpoint, Endpoint)
        endpoint.script = drips
        yield endpoint.url


def test_a_store_that_drips_is_left_in_time(dripping: str) -> None:
    from ape_dtn.ipfs.errors import StoreUnavailable
    from ape_dtn.ipfs.http_client import call
    from ape_dtn.types.http import make_client

    begun = time.monotonic()
    with make_client() as client, pytest.raises(StoreUnavailable, match="no answer within 1 s"):
        call(client, "POST", dripping, 1.0, json={})

    assert time.monotonic() - begun < 3


def test_a_backend_that_drips_is_left_in_time(dripping: str) -> None:
    from ape_dtn.ipfs.errors import BackendUnavailable
    from ape_dtn.node.backends.openai import OpenAi

    backend = OpenAi(url=dripping, model="m", timeout=1.0)
    begun = time.monotonic()
    with pytest.raises(BackendUnavailable, match="No answer within 1 s"):
        backend.request("POST", "/chat/completions", {})

    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    ("setting", "value"),
    [("ALL_PROXY", "socks5://127.0.0.1:1"), ("SSL_CERT_FILE", "/nowhere/missing.pem")],
)
def test_a_setting_that_cannot_work_is_named_by_all_clients(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str
) -> None:
    from ape_dtn.errors import ContentUnavailable
    from ape_dtn.ipfs import fetching
    from ape_dtn.types.http import HttpUnusable, make_client

    monkeypatch.setenv(setting, value)

    with pytest.raises(HttpUnusable, match=setting):
        make_client()
    with pytest.raises(ContentUnavailable, match=setting):
        fetching.fetch("bafkqaaa", ["https://gateway.example"], limit=10, timeout=1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http(401, b""), "401"),
        (http(429, b"<html>"), "too many requests"),
        (lambda _: b"<html></html>", "not JSON-RPC"),
        (whole(-32000, "go away"), "go away"),
    ],
    ids=["401", "429", "a page", "an error"],
)
def test_why_ape_cannot_connect_is_found_out(
    network: LocalNetwork, answer: Callable[[Any], bytes], reason: str
) -> None:
    from ape_dtn.chain.networks import why_not_connected

    from .conftest import Endpoint

    with Endpoint(str(network.ai.provider.http_uri)) as endpoint:
        assert isinstance(endpoint, Endpoint)
        endpoint.script = Times(10, answer)
        err = RuntimeError(f"No node found on '{endpoint.url}'.")

        assert reason in why_not_connected(err, "ethereum:mainnet:node")
        assert reason in why_not_connected(RuntimeError("no"), f"ethereum:local:{endpoint.url}/KEY")
        assert "KEY" not in why_not_connected(err, f"ethereum:local:{endpoint.url}/KEY")
