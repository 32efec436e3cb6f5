"""Endpoints that behave as public ones do: limited, unordered or not JSON-RPC at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ape_dtn import DtnAi, DtnSession
from ape_dtn.chain import reads, rpc
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.errors import ChainUnreachable, RpcRefused, SessionAlreadyClosed, SessionNotFound
from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.types.polling import POLICY

from .conftest import Answer, Through


def error(code: int, message: str, **fields: Any) -> bytes:
    return json.dumps(
        {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message, **fields}}
    ).encode()


def refusing(method: str) -> Answer:
    """Refuses a method as public endpoints do."""

    def answer(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        return error(-32601, f"{method} is not served") if method.encode() in body else ask(body)

    return answer


def test_an_endpoint_without_batches(through: Through, network: LocalNetwork) -> None:
    def singles_only(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        return error(-32014, "maximum 1 calls in 1 batch") if body[:1] == b"[" else ask(body)

    with through(singles_only) as ai:
        assert ai.contracts() == network.ai.contracts()


def test_answers_of_a_batch_may_come_in_any_order(through: Through, network: LocalNetwork) -> None:
    def reversed_(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        found = json.loads(ask(body))
        return json.dumps(found[::-1] if isinstance(found, list) else found).encode()

    with through(reversed_) as ai:
        assert ai.contracts() == network.ai.contracts()


def test_a_chain_without_a_first_block_is_refused(through: Through, network: LocalNetwork) -> None:
    def without_it(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        if b"eth_getBlockByNumber" not in body or b'"0x0"' not in body:
            return ask(body)
        return json.dumps({"jsonrpc": "2.0", "id": json.loads(body)["id"], "result": None}).encode()

    with through(without_it), pytest.raises(RpcRefused, match="the chain's first block"):
        DtnAi()


def test_a_null_error_is_no_error(through: Through, network: LocalNetwork) -> None:
    def with_null(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        return ask(body).replace(b'{"jsonrpc"', b'{"error":null,"jsonrpc"')

    with through(with_null) as ai:
        assert ai.contracts() == network.ai.contracts()


@pytest.mark.parametrize(
    "page",
    [b"<html>Sorry</html>", b"", b'{"message": "slow down"}', b"[]", b'[{"id": 1}]', b"null", b"5"],
)
def test_a_response_that_is_not_json_rpc_is_refused(
    through: Through, page: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(POLICY, "rpc_patience", 0.3)
    with through(lambda *_: page) as ai:
        for attempt in (
            ai.contracts,
            lambda: rpc.result(ai.provider, "eth_chainId", []),
        ):
            with pytest.raises(ChainUnreachable):
                attempt()


def test_without_logs_only_known_models_are_listed(through: Through) -> None:
    with through(refusing("eth_getLogs")) as ai:
        found = {model.name for model in ai.models()}

    assert found == {*ai.deployment.models, ai.config.model}


def test_without_logs_a_closed_session_is_not_found(through: Through, closed: DtnSession) -> None:
    with through(refusing("eth_getLogs")) as ai, pytest.raises(SessionNotFound) as raised:
        DtnSession.load(closed.id, ai=ai)

    assert not isinstance(raised.value, SessionAlreadyClosed)


def test_a_search_for_logs_is_limited(through: Through, network: LocalNetwork) -> None:
    topics = [Router.request_created.topic]

    with through(refusing("eth_getLogs")) as ai, pytest.raises(RpcRefused, match="eth_getLogs"):
        reads.logs(ai.provider, ai.router, topics)


@pytest.mark.parametrize(
    "data",
    ["0x{}", {"data": "0x{}"}, "Reverted 0x{}", {"result": "0x{}"}],
    ids=["plain", "wrapped", "as text", "as a result"],
)
def test_reverts_are_found_in_the_formats_of_all_endpoints(through: Through, data: Any) -> None:
    revert = SessionManager.invalid_session.selector.hex() + f"{7:064x}"
    given = json.loads(json.dumps(data).replace("{}", revert))
    answer = error(3, "execution reverted", data=given)

    with through(lambda *_: answer) as ai, pytest.raises(SessionNotFound) as raised:
        ai.read_one(reads.Call(ai.router, Router.fee_token))

    assert raised.value.session_id == 7


def test_a_transaction_that_is_known_already_was_sent(through: Through, funded: DtnSession) -> None:
    def again(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        if b"eth_sendRawTransaction" in body:
            ask(body)
            return error(-32000, "already known")
        return ask(body)

    with through(again) as ai:
        refund = DtnSession(ai, funded.id, funded.account).close()

    assert str(refund) == "25.00 USDT"
