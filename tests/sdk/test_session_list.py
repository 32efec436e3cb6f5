"""Sessions of an account that has too many for one call are listed all the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ape_dtn import DtnSession
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.network.abi import SessionManager
from ape_dtn.sessions.reading import list_sessions
from tests.conftest import Cast

from .conftest import Through

Ask = Callable[[bytes], bytes]
SESSIONS = "0x" + SessionManager.get_user_sessions.selector.hex()
IDS = "0x" + SessionManager.get_user_session_ids.selector.hex()


def with_little_gas(selectors: tuple[str, ...]) -> Callable[[bytes, Ask], bytes]:
    """An endpoint on which these views run out of gas."""

    def answer(body: bytes, ask: Ask) -> bytes:
        calls: Any = json.loads(body)
        for call in calls if isinstance(calls, list) else [calls]:
            if call["method"] == "eth_call" and call["params"][0]["data"][:10] in selectors:
                call["params"][0]["gas"] = hex(30_000)
        return ask(json.dumps(calls).encode())

    return answer


def saying(selectors: tuple[str, ...], error: dict[str, Any]) -> Callable[[bytes, Ask], bytes]:
    """An endpoint that answers these views with an error."""

    def answer(body: bytes, ask: Ask) -> bytes:
        calls, answers = json.loads(body), json.loads(ask(body))
        if isinstance(calls, dict):
            return json.dumps(answers).encode()
        views = {
            call["id"]
            for call in calls
            if call["method"] == "eth_call" and call["params"][0]["data"][:10] in selectors
        }
        return json.dumps(
            [
                {"jsonrpc": "2.0", "id": found["id"], "error": error}
                if found["id"] in views
                else found
                for found in answers
            ]
        ).encode()

    return answer


@pytest.mark.parametrize("selectors", [(SESSIONS,), (SESSIONS, IDS), (IDS,)])
@pytest.mark.parametrize(
    "endpoint",
    [
        with_little_gas,
        lambda selectors: saying(selectors, {"code": -32000, "message": "out of gas"}),
        lambda selectors: saying(selectors, {"code": -32603, "message": "the answer is too long"}),
        lambda selectors: saying(selectors, {"code": 3, "message": "execution reverted"}),
    ],
)
def test_sessions_that_no_call_can_list_are_read_one_by_one(
    network: LocalNetwork,
    cast: Cast,
    through: Through,
    selectors: tuple[str, ...],
    endpoint: Callable[[tuple[str, ...]], Callable[[bytes, Ask], bytes]],
) -> None:
    DtnSession.start("1", cast.customer, network.ai).close()
    for deposit in ("2", "3"):
        DtnSession.start(deposit, cast.customer, network.ai)
    DtnSession.start("4", cast.customer, network.ai, method="allowance")  # the client's
    DtnSession.start("5", cast.stranger, network.ai)
    account = str(cast.customer.address)
    expected = list_sessions(network.ai, account)
    assert [str(session.balance) for session in expected] == ["2.00 USDT", "3.00 USDT", "4.00 USDT"]

    with through(endpoint(selectors)) as ai:
        assert list_sessions(ai, account) == expected
