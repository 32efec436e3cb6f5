"""The search for logs, through endpoints that refuse large ranges, each in its own way."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ape_dtn.chain import reads, rpc
from ape_dtn.chain.reads import LOG_QUERIES_TOGETHER
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.errors import RpcRefused
from ape_dtn.network.abi import ModelManager, Router, SessionManager
from ape_dtn.network.config import DtnConfig
from ape_dtn.types.rpc import as_int
from tests.conftest import Cast

from .conftest import Through

Ask = Callable[[bytes], bytes]
Range = tuple[int, int]


class Limited:
    """An endpoint that refuses queries for logs, and remembers the ranges of each HTTP request."""

    def __init__(self, refuses: Callable[[Range, Any], str | None]) -> None:
        self.refuses = refuses
        self.asked: list[list[Range]] = []
        self.answered: list[Range] = []

    def __call__(self, body: bytes, ask: Ask) -> bytes:
        asked = json.loads(body)
        calls = asked if isinstance(asked, list) else [asked]
        if calls[0]["method"] != "eth_getLogs":
            return ask(body)
        self.asked.append([])
        answers = [self.answer(call, ask) for call in calls]
        return json.dumps(answers if isinstance(asked, list) else answers[0]).encode()

    def answer(self, call: Any, ask: Ask) -> Any:
        (query,) = call["params"]
        blocks = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        self.asked[-1].append(blocks)
        answer = json.loads(ask(json.dumps(call).encode()))
        if message := self.refuses(blocks, answer["result"]):
            error = {"code": -32005, "message": message}
            return {"jsonrpc": "2.0", "id": call["id"], "error": error}
        self.answered.append(blocks)
        return answer


def blocks_at_most(most: int) -> Limited:
    def refuses(blocks: Range, _: Any) -> str | None:
        first, last = blocks
        return f"query exceeds max block range {most}" if last - first >= most else None

    return Limited(refuses)


def results_at_most(most: int) -> Limited:
    return Limited(
        lambda _, found: f"query returned more than {most} results" if len(found) > most else None
    )


def each_block_once(ranges: list[Range], last: int) -> bool:
    blocks = [block for first, end in ranges for block in range(first, end + 1)]
    return sorted(blocks) == list(range(last + 1))


@pytest.fixture
def searched(network: LocalNetwork) -> tuple[list[Any], int]:
    """All that the model manager has logged, and the latest block."""
    provider, manager = network.ai.provider, network.ai.contracts().model_manager
    found = reads.logs(provider, manager, [])
    assert len(found) > 5
    return found, as_int(rpc.result(provider, "eth_blockNumber", []))


def test_an_endpoint_without_limits_is_asked_once(
    through: Through, searched: tuple[list[Any], int]
) -> None:
    logs, head = searched
    endpoint = blocks_at_most(10**9)

    with through(endpoint) as ai:
        assert reads.logs(ai.provider, logs[0].address, []) == logs

    assert endpoint.asked == [[(0, head)]]


@pytest.mark.parametrize("most", [1, 2, 3, 10])
def test_the_size_that_is_accepted_is_learnt_once(
    through: Through, searched: tuple[list[Any], int], most: int
) -> None:
    logs, head = searched
    endpoint = blocks_at_most(most)

    with through(endpoint) as ai:
        assert reads.logs(ai.provider, logs[0].address, []) == logs

    learnt = next(place for place, queries in enumerate(endpoint.asked) if len(queries) > 1)
    learning, together = endpoint.asked[:learnt], endpoint.asked[learnt:]
    assert max(map(len, together)) <= LOG_QUERIES_TOGETHER
    assert len(together) <= head // (LOG_QUERIES_TOGETHER * most) + 1
    assert len(learning) <= head.bit_length() + 1
    assert each_block_once(endpoint.answered, head)
    refused = len([query for queries in endpoint.asked for query in queries]) - len(
        endpoint.answered
    )
    assert refused == len(learning) - 1


def test_what_is_refused_among_others_is_split_alone(
    through: Through, searched: tuple[list[Any], int]
) -> None:
    logs, head = searched
    endpoint = results_at_most(3)

    with through(endpoint) as ai:
        found = reads.logs(ai.provider, logs[0].address, [], from_block=0)

    assert found == logs
    assert each_block_once(endpoint.answered, head)


def test_a_block_alone_that_is_refused_is_an_error(
    through: Through, searched: tuple[list[Any], int]
) -> None:
    logs, _ = searched

    with (
        through(results_at_most(0)) as ai,
        pytest.raises(RpcRefused, match="more than 0 results"),
    ):
        reads.logs(ai.provider, logs[0].address, [])


def test_a_search_that_would_take_too_many_queries_ends_before_them(
    through: Through, monkeypatch: pytest.MonkeyPatch, searched: tuple[list[Any], int]
) -> None:
    logs, _ = searched
    endpoint = blocks_at_most(1)
    monkeypatch.setattr(reads, "MOST_LOG_QUERIES", 20)

    with through(endpoint) as ai, pytest.raises(RpcRefused, match="is too large"):
        reads.logs(ai.provider, logs[0].address, [])

    assert len(endpoint.asked) < 10


def test_the_bound_is_stated() -> None:
    assert reads.MOST_LOG_QUERIES * 10_000 > 40_000_000


def test_several_contracts_and_topics_are_searched_at_once(
    network: LocalNetwork, cast: Cast
) -> None:
    from ape_dtn import DtnSession

    session = DtnSession.start("1", cast.customer, network.ai)
    session.request("Hello?")
    contracts, provider = network.ai.contracts(), network.ai.provider
    kinds = [SessionManager.session_started, Router.request_created, ModelManager.model_registered]
    wanted = [kinds[0].topic, kinds[1].topic]
    addresses = [contracts.session_manager, contracts.model_manager, network.ai.router]

    found = reads.logs(provider, addresses, [wanted])
    anywhere = reads.logs(provider, None, [wanted])

    assert {log.address for log in found} == {contracts.session_manager, network.ai.router}
    assert [log.address for log in found[-2:]] == [contracts.session_manager, network.ai.router]
    assert set(found) <= set(anywhere)


def test_a_range_ends_where_it_is_told_to(searched: tuple[list[Any], int], network: Any) -> None:
    logs, head = searched
    provider, address, middle = network.ai.provider, logs[0].address, logs[4].block_number

    first = reads.logs(provider, address, [], to_block=middle)
    rest = reads.logs(provider, address, [], from_block=middle + 1)

    assert first + rest == logs
    assert reads.logs(provider, address, [], from_block=head + 1) == []


# Endpoints that demand an address, or no longer have old blocks.


def refusing_logs(refuses: Callable[[Any], str | None]) -> Callable[[bytes, Ask], bytes]:
    """An endpoint that refuses queries for logs with a message."""

    def answer(body: bytes, ask: Ask) -> bytes:
        calls, answers = json.loads(body), json.loads(ask(body))
        is_batch = isinstance(calls, list)
        by_id = {one["id"]: one for one in (answers if is_batch else [answers])}
        for call in calls if is_batch else [calls]:
            if call["method"] == "eth_getLogs" and (message := refuses(call["params"][0])):
                error = {"code": -32602, "message": message}
                by_id[call["id"]] = {"jsonrpc": "2.0", "id": call["id"], "error": error}
        return json.dumps(list(by_id.values()) if is_batch else by_id[calls["id"]]).encode()

    return answer


@pytest.mark.parametrize("message", ["Please specify an address", "query is too broad"])
def test_known_session_managers_are_searched_where_an_address_is_demanded(
    network: LocalNetwork, cast: Cast, through: Through, message: str
) -> None:
    from ape_dtn import DtnRescue, DtnSession
    from ape_dtn.billing.history import history

    session = DtnSession.start("1", cast.customer, network.ai)
    expected = history(network.ai, session.id)
    asked: list[Any] = []

    def refuses(query: Any) -> str | None:
        asked.append(query)
        return None if query.get("address") else message

    with through(refusing_logs(refuses)) as ai:
        found = history(ai, session.id)
        findings = str(DtnRescue(cast.customer, ai).findings())

    assert [one.id for one in found.sessions] == [one.id for one in expected.sessions]
    assert found.charged == expected.charged
    assert str(session.id) in findings
    if "address" in message:  # known at once
        assert len([query for query in asked if not query.get("address")]) <= 4


@pytest.mark.parametrize("by_chain", [False, True])
def test_the_user_says_where_the_search_for_logs_begins(
    network: LocalNetwork,
    cast: Cast,
    through: Through,
    project: Any,
    by_chain: bool,
) -> None:
    from ape_dtn import DtnAi, DtnSession

    provider = network.ai.provider
    rpc.result(provider, "anvil_mine", ["0x10"])
    pruned = as_int(rpc.result(provider, "eth_blockNumber", []))
    session = DtnSession.start("1", cast.customer, network.ai)

    def refuses(query: Any) -> str | None:
        return "history is pruned" if int(query["fromBlock"], 16) <= pruned else None

    with through(refusing_logs(refuses)) as ai:
        with pytest.raises(RpcRefused) as raised:
            session_of(ai, session.id)
        begin = {ai.provider.chain_id: pruned + 1} if by_chain else pruned + 1
        with project.temp_config(dtn={"first_block": begin}):
            assert session_of(DtnAi(ai.router, ai.provider), session.id) == session.id

    assert "pruned" in raised.value.message
    assert "first_block" in (raised.value.hint or "")


def session_of(ai: Any, session_id: int) -> int:
    from ape_dtn.billing.history import history

    (found,) = history(ai, session_id).sessions
    return int(found.id)


@pytest.mark.parametrize(("text", "block"), [("7", 7), ('{"8453": 7}', {8453: 7})])
def test_the_first_block_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, text: str, block: Any
) -> None:
    monkeypatch.setenv("APE_DTN_FIRST_BLOCK", text)

    assert DtnConfig().first_block == block
