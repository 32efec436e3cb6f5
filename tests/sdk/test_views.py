"""Read your own writes: reads from a state older than a known block are rejected."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from ape_dtn import DtnAi, DtnSession
from ape_dtn.chain import rpc, views
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.errors import RpcRefused
from ape_dtn.types.polling import POLICY
from ape_dtn.types.rpc import Refusal, as_int
from tests.conftest import Cast

from .conftest import Through

Ask = Callable[[bytes], bytes]


class Lagging:
    """An endpoint that answers the first HTTP requests from an older block."""

    def __init__(self, network: LocalNetwork) -> None:
        self.provider = network.ai.provider
        self.left = self.blocks = 0

    def lag(self, requests: int, blocks: int = 4) -> None:
        self.left, self.blocks = requests, blocks

    def __call__(self, body: bytes, ask: Ask) -> bytes:
        if not self.left:
            return ask(body)
        self.left -= 1
        old = hex(as_int(rpc.result(self.provider, "eth_blockNumber", [])) - self.blocks)
        calls = json.loads(body)
        for call in calls if isinstance(calls, list) else [calls]:
            call["params"] = [old if param == "latest" else param for param in call["params"]]
        found = json.loads(ask(json.dumps(calls).encode()))
        for item in found if isinstance(found, list) else [found]:
            (call,) = (
                candidate
                for candidate in (calls if isinstance(calls, list) else [calls])
                if candidate["id"] == item["id"]
            )
            if call["method"] == "eth_blockNumber":
                item["result"] = old
            elif call["method"] == "eth_getLogs" and item["result"]:
                item["result"] = [
                    log for log in item["result"] if as_int(log["blockNumber"]) <= as_int(old)
                ]
        return json.dumps(found).encode()


@pytest.fixture(autouse=True)
def patient_with_local_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(POLICY, "local_lag_patience", 3600.0)


def test_a_session_that_was_opened_is_found(
    through: Through, network: LocalNetwork, cast: Cast
) -> None:
    endpoint = Lagging(network)
    with through(endpoint) as ai:
        session = DtnSession.start("1", cast.customer, ai)

        endpoint.lag(3)
        assert DtnSession.load(session.id, ai=ai).id == session.id
        endpoint.lag(3)
        assert session.id in [opened.id for opened, _ in DtnSession.list(cast.customer, ai)]
        endpoint.lag(2)
        assert session.balance == session.opened_with
        endpoint.lag(3)
        session.request("Hello?")


def test_an_endpoint_that_stays_behind_is_an_error_and_no_news(
    through: Through, network: LocalNetwork, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(POLICY, "lag_patience", 0.5)
    endpoint = Lagging(network)
    with through(endpoint) as ai:
        session = DtnSession.start("1", cast.customer, ai)
        endpoint.lag(1000)
        begun = time.monotonic()
        with pytest.raises(RpcRefused) as raised:
            DtnSession.load(session.id, ai=ai)

    assert raised.value.refusal is Refusal.BEHIND
    assert raised.value.retryable
    assert time.monotonic() - begun < 5


def test_a_local_chain_that_was_set_back_is_believed(
    network: LocalNetwork, cast: Cast, chain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(POLICY, "local_lag_patience", 0.3)
    before = len(DtnSession.list(cast.customer, network.ai))
    snapshot = chain.snapshot()
    DtnSession.start("1", cast.customer, network.ai)
    chain.restore(snapshot)

    assert len(DtnSession.list(cast.customer, network.ai)) == before
    assert views.known_block(network.ai.provider) == 0


def test_no_call_is_added_before_anything_is_known(network: LocalNetwork, through: Through) -> None:
    seen: list[str] = []

    def noted(body: bytes, ask: Ask) -> bytes:
        seen.append(body.decode())
        return ask(body)

    with through(noted) as ai:
        seen.clear()
        DtnAi(ai.router, ai.provider).contracts()

    assert not any("eth_blockNumber" in body for body in seen)
