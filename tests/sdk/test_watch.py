"""Watches: every answer is delivered once, also after reorganisations and failures."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from eth_abi import encode

from ape_dtn import Answer, DtnAi, DtnRequest, DtnSession, Status
from ape_dtn._cli.json_fields import outcome_fields
from ape_dtn.answers import scanner
from ape_dtn.chain import rpc, transactions
from ape_dtn.chain.reads import topic
from ape_dtn.client.watch import Outcome, Watch
from ape_dtn.deployment.assemble import LocalNetwork, Variant
from ape_dtn.errors import (
    InvalidAddress,
    InvalidCursor,
    NodeFailure,
    RequestStranded,
    SessionNotFound,
    UndecodableAnswer,
)
from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.types.serialization import to_json
from benchmarks.chain import connected_to
from benchmarks.rpc_counter import RpcCounter
from tests.conftest import Cast, on_live, replace_manager

from .bytecode import emitting
from .conftest import Respond, Through
from .test_history import mine_together, response, session_of_id
from .test_waiting import after_delay, mine

ROOT = Path(__file__).resolve().parent.parent.parent
PROMPT = "Hello?"
HERE = encode(["string"], ["Here."])

Reorganise = Callable[[], None]


def text_answer(text: str) -> bytes:
    return encode(["string"], [text])


def outcomes_until_now(ai: DtnAi, **target: Any) -> list[Outcome]:
    return list(Watch(ai, timeout=0, **target))


def ids(outcomes: Any) -> list[str]:
    return [outcome.request.id for outcome in outcomes]


def texts(outcomes: Any) -> list[str]:
    return [str(outcome.result) for outcome in outcomes]


@contextmanager
def reverted_later(network: LocalNetwork) -> Iterator[None]:
    """Reverts the chain at the end of the context, as a reorganisation does."""
    provider = network.ai.provider
    snapshot = rpc.result(provider, "evm_snapshot", [])
    yield
    assert rpc.result(provider, "evm_revert", [snapshot])


# Targets of a watch.


def test_answers_of_a_session_come_in_order(
    funded: DtnSession, respond: Respond, network: LocalNetwork, cast: Cast
) -> None:
    first, second, third = [funded.request(PROMPT) for _ in range(3)]
    elsewhere = DtnSession.start("1", cast.customer, network.ai).request(PROMPT)
    for request in (second, elsewhere, first):
        respond(request, HERE)

    watch = Watch(network.ai, session=funded.id, timeout=30)
    before = list(islice(watch, 2))
    respond(third, text_answer("Late."))
    after = next(watch)

    assert ids(before) == [second.id, first.id]
    assert (after.request.id, str(after.result)) == (third.id, "Late.")
    assert after.answer().text == "Late."


def test_later_requests_are_watched(
    funded: DtnSession, respond: Respond, network: LocalNetwork
) -> None:
    watch = Watch(network.ai, session=funded, timeout=30)
    for place in range(3):
        with after_delay(0.3, lambda: respond(funded.request(PROMPT), text_answer(str(place)))):  # noqa: B023
            assert str(next(watch).result) == str(place)


def test_a_watch_of_an_owner_delivers_answers_of_all_their_sessions(
    network: LocalNetwork, cast: Cast, respond: Respond
) -> None:
    mine_too = [DtnSession.start("1", cast.customer, network.ai) for _ in range(2)]
    others = DtnSession.start("1", cast.stranger, network.ai)
    asked = [session.request(PROMPT) for session in (*mine_too, others)]
    for request in asked:
        respond(request, HERE)

    watch = Watch(network.ai, owner=cast.customer, timeout=30)
    before = list(islice(watch, 2))
    # The watch also covers sessions that are started and closed between two polls.
    new = DtnSession.start("1", cast.customer, network.ai)
    theirs = others.request(PROMPT)
    request = new.request(PROMPT)
    respond(theirs, HERE)
    respond(request, HERE)
    new.close()

    assert ids(before) == ids_of(asked[:2])
    assert next(watch).request.id == request.id
    assert ids(outcomes_until_now(network.ai, owner=str(cast.stranger.address))) == [
        asked[2].id,
        theirs.id,
    ]


def ids_of(requests: Any) -> list[str]:
    return [request.id for request in requests]


def test_sessions_of_a_client_contract_belong_to_its_owner(
    network: LocalNetwork, cast: Cast
) -> None:
    session = DtnSession.start("1", cast.customer, network.ai, method="allowance")
    request = session.request(PROMPT)
    network.node.answer_pending()

    assert ids(outcomes_until_now(network.ai, owner=cast.customer)) == [request.id]
    assert outcomes_until_now(network.ai, owner=cast.stranger) == []


def test_an_owner_without_sessions_has_no_answers_yet(network: LocalNetwork, cast: Cast) -> None:
    assert outcomes_until_now(network.ai, owner=str(cast.worker.address)) == []


def test_an_owner_with_a_wrong_checksum_is_rejected(network: LocalNetwork, cast: Cast) -> None:
    mistyped = "0x" + str(cast.worker.address)[2:].swapcase()

    with pytest.raises(InvalidAddress):
        outcomes_until_now(network.ai, owner=mistyped)


def test_a_watch_of_requests_ends_after_their_answers(
    funded: DtnSession, respond: Respond, network: LocalNetwork
) -> None:
    requests = [funded.request(PROMPT) for _ in range(3)]
    respond(requests[1], HERE)

    watch = Watch(network.ai, requests=requests, timeout=30)
    first = next(watch)
    respond(requests[0], HERE)
    respond(requests[2], HERE)

    assert first.request is requests[1]
    assert sorted(ids(watch)) == sorted([requests[0].id, requests[2].id])
    assert list(watch) == []
    assert watch.cursor is None


def test_a_failure_of_a_node_does_not_end_a_watch(
    funded: DtnSession, respond: Respond, network: LocalNetwork
) -> None:
    failed, odd, fine = [funded.request(PROMPT) for _ in range(3)]
    respond(failed, status=Status.FAILURE, message="out of paper")
    respond(odd, b"no text")
    respond(fine, HERE)

    outcomes = outcomes_until_now(network.ai, session=funded)

    kinds = [type(outcome.result) for outcome in outcomes]
    assert kinds == [NodeFailure, UndecodableAnswer, Answer]
    with pytest.raises(NodeFailure, match="out of paper"):
        outcomes[0].answer()
    names = network.ai.names()
    failed, _, answered = (to_json(outcome_fields(outcome, names)) for outcome in outcomes)
    assert failed["error"]["reason"] == "out of paper"
    assert answered["answer"] == "Here."


def test_a_watch_ends_with_its_session_and_reports_stranded_requests(
    funded: DtnSession, respond: Respond, network: LocalNetwork
) -> None:
    answered, stranded = [funded.request(PROMPT) for _ in range(2)]
    watch = Watch(network.ai, session=funded, timeout=30)

    def answer_and_close() -> None:
        respond(answered, HERE)
        funded.close(force=True)

    with after_delay(0.5, answer_and_close):
        outcomes = list(watch)

    assert ids(outcomes) == [answered.id, stranded.id]
    assert isinstance(outcomes[1].result, RequestStranded)
    assert ids(outcomes_until_now(network.ai, session=funded)) == [answered.id, stranded.id]
    assert list(Watch(network.ai, session=funded, since=watch.cursor, timeout=30)) == []
    assert list(Watch(network.ai, session=funded, since="now", timeout=30)) == []


def test_an_unknown_session_cannot_be_watched(network: LocalNetwork) -> None:
    for session_id in (10**6, 2**256, -1):
        with pytest.raises(SessionNotFound):
            next(Watch(network.ai, session=session_id, timeout=0))


def test_a_watch_takes_exactly_one_target(network: LocalNetwork, funded: DtnSession) -> None:
    with pytest.raises(TypeError):
        Watch(network.ai)
    with pytest.raises(TypeError):
        Watch(network.ai, session=funded, requests=[])
    with pytest.raises(TypeError):
        Watch(network.ai, requests=[], since="now")
    with pytest.raises(InvalidAddress):
        Watch(network.ai, owner="alice")


def test_a_watch_can_skip_earlier_answers(
    funded: DtnSession, respond: Respond, network: LocalNetwork
) -> None:
    early, late = [funded.request(PROMPT) for _ in range(2)]
    respond(early, HERE)

    watch = Watch(network.ai, session=funded, since="now", timeout=30)
    with after_delay(0.5, lambda: respond(late, HERE)):
        assert next(watch).request.id == late.id
    again = Watch(network.ai, session=funded, since=watch.cursor, timeout=0)
    assert list(again) == []


def test_a_watch_can_be_iterated_asynchronously(
    funded: DtnSession, respond: Respond, network: LocalNetwork
) -> None:
    first, second = [funded.request(PROMPT) for _ in range(2)]
    respond(first, HERE)

    async def watch() -> list[str]:
        found = []
        async for outcome in Watch(network.ai, session=funded, timeout=30):
            found.append(outcome.request.id)
            if len(found) == 2:
                break
            await asyncio.to_thread(respond, second, HERE)
        return found

    assert asyncio.run(watch()) == [first.id, second.id]


def test_a_cancelled_step_loses_no_answer(
    funded: DtnSession, respond: Respond, network: LocalNetwork
) -> None:
    requests = [funded.request(PROMPT) for _ in range(5)]
    for request in requests:
        respond(request, HERE)

    async def watch() -> list[str]:
        found: list[str] = []
        watching, patience = Watch(network.ai, session=funded, timeout=0), 0.001
        while True:
            try:
                outcome = await asyncio.wait_for(watching.__anext__(), patience)
            except asyncio.TimeoutError:
                patience *= 1.1
            except StopAsyncIteration:
                return found
            else:
                found.append(outcome.request.id)

    assert asyncio.run(watch()) == ids_of(requests)


# Reorganisations.


@pytest.fixture
def moved(network: LocalNetwork) -> Callable[[str], None]:
    """Sends and mines a transaction again that a reorganisation removed."""
    provider = network.ai.provider

    def moved(raw: str) -> None:
        mine(network, 10)
        rpc.result(provider, "eth_sendRawTransaction", [raw])

    return moved


def raw_of(network: LocalNetwork, transaction: str) -> str:
    found: str = rpc.result(network.ai.provider, "eth_getRawTransactionByHash", [transaction])
    return found


def test_a_moved_answer_is_delivered_once(
    funded: DtnSession, respond: Respond, network: LocalNetwork, moved: Callable[[str], None]
) -> None:
    request, other = [funded.request(PROMPT) for _ in range(2)]
    watch = Watch(network.ai, session=funded, timeout=30)
    with reverted_later(network):
        transaction = respond(request, HERE).transaction
        raw = raw_of(network, transaction)
        first = next(watch)
        cursor = watch.cursor
    moved(raw)
    mine(network, 60)  # its earlier block is older than the window
    respond(other, HERE)

    assert (first.request.id, first.transaction) == (request.id, transaction)
    assert next(watch).request.id == other.id
    assert ids(outcomes_until_now(network.ai, session=funded, since=cursor)) == [other.id]
    assert outcomes_until_now(network.ai, session=funded, since=watch.cursor) == []
    assert ids(outcomes_until_now(network.ai, session=funded)) == [request.id, other.id]


def test_a_replaced_answer_is_delivered_again(
    funded: DtnSession, respond: Respond, network: LocalNetwork
) -> None:
    request = funded.request(PROMPT)
    watch = Watch(network.ai, session=funded, timeout=30)
    with reverted_later(network):
        respond(request, text_answer("First."))
        first = next(watch)
    mine(network, 5)
    respond(request, text_answer("Second."))

    assert texts([first, next(watch)]) == ["First.", "Second."]
    assert texts(outcomes_until_now(network.ai, session=funded)) == ["Second."]


def test_an_answer_in_reorganised_blocks_is_not_missed(
    funded: DtnSession, respond: Respond, network: LocalNetwork
) -> None:
    early, other = [funded.request(PROMPT) for _ in range(2)]
    watch = Watch(network.ai, session=funded, timeout=30)
    with reverted_later(network):
        mine(network, 20)
        respond(other, text_answer("Taken."))
        assert str(next(watch).result) == "Taken."  # the last block that it has read
    respond(early, text_answer("Early."))
    mine(network, 30)

    assert str(next(watch).result) == "Early."


def test_an_answer_removed_before_confirmation_is_not_delivered(
    funded: DtnSession, respond: Respond, network: LocalNetwork
) -> None:
    request = funded.request(PROMPT)
    watch = Watch(network.ai, session=funded, confirmations=2, timeout=30)

    def play() -> None:
        with reverted_later(network):
            respond(request, text_answer("First."))
            mine(network, 1)
            time.sleep(1)
        respond(request, text_answer("Second."))
        time.sleep(1)
        mine(network, 2)

    with after_delay(0.3, play):
        assert str(next(watch).result) == "Second."


def test_an_answer_replaced_before_it_is_read_is_delivered_as_replaced(
    funded: DtnSession, respond: Respond, network: LocalNetwork, through: Through
) -> None:
    request = funded.request(PROMPT)
    provider = network.ai.provider
    snapshots: list[str] = []

    def reorganising(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        if Router.get_request.selector.hex().encode() in body and snapshots:
            assert rpc.result(provider, "evm_revert", [snapshots.pop()])
            mine(network, 2)
            respond(request, text_answer("Second."))
        return ask(body)

    with through(reorganising) as ai:
        watch = Watch(ai, session=funded, timeout=30)
        snapshots.append(rpc.result(provider, "evm_snapshot", []))
        respond(request, text_answer("First."))

        assert str(next(watch).result) == "Second."
    assert snapshots == []


def test_a_request_that_is_removed_and_sent_again_is_answered(
    funded: DtnSession, respond: Respond, network: LocalNetwork
) -> None:
    watch = Watch(network.ai, session=funded, timeout=30)
    respond(funded.request(PROMPT), text_answer("Before."))
    assert str(next(watch).result) == "Before."

    with reverted_later(network):
        respond(funded.request(PROMPT), text_answer("Taken."))
        assert str(next(watch).result) == "Taken."
    mine(network, 1)
    request = funded.request(PROMPT)
    respond(request, text_answer("Again."))

    assert next(watch).answer().text == "Again."


def test_a_chain_that_is_reset_is_read_again(
    funded: DtnSession, respond: Respond, network: LocalNetwork
) -> None:
    request = funded.request(PROMPT)
    watch = Watch(network.ai, session=funded, timeout=30)
    with reverted_later(network):
        mine(network, 500)
        respond(request, text_answer("Taken."))
        assert str(next(watch).result) == "Taken."
    respond(request, text_answer("Again."))

    assert str(next(watch).result) == "Again."


# Cursors.


def test_a_cursor_delivers_answers_that_came_between_watches(
    funded: DtnSession, respond: Respond, network: LocalNetwork
) -> None:
    requests = [funded.request(PROMPT) for _ in range(6)]
    for request in requests[:3]:
        respond(request, HERE)
    mine(network, 200)
    watch = Watch(network.ai, session=funded, timeout=30)
    seen = list(islice(watch, 2))  # the third was read, but not delivered
    cursor = watch.cursor
    mine(network, 200)
    respond(requests[3], HERE)
    mine(network, 200)
    respond(requests[4], HERE)

    resumed = Watch(network.ai, session=funded, since=cursor, timeout=0)

    assert ids(seen) == ids_of(requests[:2])
    assert ids(resumed) == ids_of(requests[2:5])
    respond(requests[5], HERE)
    assert ids(outcomes_until_now(network.ai, session=funded, since=resumed.cursor)) == [
        requests[5].id
    ]


def test_every_outcome_is_delivered_once_across_cursors(
    funded: DtnSession, network: LocalNetwork
) -> None:
    """A new watch for each outcome, as if the process was killed after each."""
    requests = funded.request_many([PROMPT] * 20)
    network.node.answer_pending()  # many in one block
    found, cursor = [], None
    for _ in requests:
        watch = Watch(network.ai, session=funded, since=cursor, timeout=0)
        found.append(next(watch).request.id)
        cursor = watch.cursor

    assert sorted(found) == sorted(
        request.id for request in requests if isinstance(request, DtnRequest)
    )
    assert outcomes_until_now(network.ai, session=funded, since=cursor) == []


def test_a_cursor_stays_small(
    funded: DtnSession,
    respond: Respond,
    network: LocalNetwork,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scanner, "MOST_REMEMBERED", 10)
    *requests, last = [funded.request(PROMPT) for _ in range(31)]
    for request in requests:
        respond(request, HERE)

    watch = Watch(network.ai, session=funded, timeout=0)
    assert len(list(watch)) == 30
    assert len(json.loads(str(watch.cursor))["given"]) == 10
    respond(last, HERE)
    assert ids(outcomes_until_now(network.ai, session=funded, since=watch.cursor)) == [last.id]


def test_a_cursor_of_another_target_is_rejected(
    funded: DtnSession, network: LocalNetwork, cast: Cast
) -> None:
    watch = Watch(network.ai, session=funded, timeout=0)
    assert list(watch) == []
    made = json.loads(str(watch.cursor))
    other = DtnSession.start("1", cast.customer, network.ai)
    wrong = [
        "",
        "[]",
        "{}",
        "now or then",
        json.dumps({**made, "more": 1}),
        json.dumps({**made, "block": "1"}),
        json.dumps({**made, "block": -1}),
        json.dumps({**made, "block": 10**9}),
        json.dumps({**made, "given": [[]]}),
        json.dumps({**made, "given": None}),
        json.dumps({**made, "chain": "0x" + "00" * 32}),
        json.dumps({**made, "router": network.token}),
    ]

    for cursor in wrong:
        with pytest.raises(InvalidCursor):
            outcomes_until_now(network.ai, session=funded, since=cursor)
    for target in ({"session": other}, {"owner": cast.customer}):
        with pytest.raises(InvalidCursor, match=f"belongs to session {funded.id}"):
            outcomes_until_now(network.ai, since=watch.cursor, **target)
    assert outcomes_until_now(network.ai, session=funded, since=watch.cursor) == []


WATCHES = """
import sys
from pathlib import Path
from ape_dtn import DtnAi
from ape_dtn.client.watch import Watch
from benchmarks.chain import connected_to
from benchmarks.rpc_counter import RpcCounter

url, router, session, file = sys.argv[1:]
cursor, draft = Path(file), Path(file + ".draft")
with connected_to(url) as provider:
    since = cursor.read_text() if cursor.is_file() else None
    watch = Watch(DtnAi(router, provider), session=int(session), since=since)
    for outcome in watch:
        print(outcome.request.id, flush=True)
        draft.write_text(watch.cursor)
        draft.replace(cursor)
"""


def test_a_new_process_continues_after_a_killed_one(
    funded: DtnSession, network: LocalNetwork, respond: Respond, tmp_path: Path
) -> None:
    requests = [funded.request(PROMPT) for _ in range(3)]
    saved = tmp_path / "cursor"
    arguments = [network.ai.router, str(funded.id), str(saved)]
    command = [sys.executable, "-c", WATCHES, str(network.ai.provider.http_uri), *arguments]
    seen: list[str] = []

    for request in requests[:2]:
        respond(request, HERE)
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            seen.append(process.stdout.readline().strip())
            deadline = time.monotonic() + 10
            while not (
                saved.is_file() and len(json.loads(saved.read_text())["given"]) == len(seen)
            ):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.kill()
    respond(requests[2], HERE)

    assert seen == ids_of(requests[:2])
    assert ids(outcomes_until_now(network.ai, session=funded, since=saved.read_text())) == [
        requests[2].id
    ]


# Forged events and replaced session managers.


def test_events_of_other_contracts_are_ignored(
    funded: DtnSession, network: LocalNetwork, respond: Respond, cast: Cast
) -> None:
    request, later_on = [funded.request(PROMPT) for _ in range(2)]
    session_of_stranger = DtnSession.start("1", cast.stranger, network.ai)
    owner = "0x" + cast.customer.address[2:].lower().rjust(64, "0")
    number = bytes(31) + b"\1"
    forged = [
        # Forged: the customer's session is closed, and the stranger's session is the customer's.
        ([SessionManager.session_closed.topic, topic(funded.id)], number),
        ([SessionManager.session_started.topic, topic(session_of_stranger.id), owner], number),
        ([SessionManager.session_started.topic, topic(funded.id), owner], number),
    ]
    watch = Watch(network.ai, owner=cast.customer, timeout=30)
    respond(request, HERE)
    assert next(watch).request.id == request.id

    for topics, data in forged:
        transactions.create(network.ai.provider, cast.stranger, emitting(topics, data))
    respond(session_of_stranger.request(PROMPT), HERE)
    respond(later_on, HERE)

    assert next(watch).request.id == later_on.id
    assert ids(outcomes_until_now(network.ai, owner=cast.customer)) == [request.id, later_on.id]
    assert ids(outcomes_until_now(network.ai, session=funded)) == [request.id, later_on.id]


@on_live
def test_an_id_under_a_new_session_manager_is_another_session(
    funded: DtnSession, network: LocalNetwork, respond: Respond, cast: Cast
) -> None:
    before = network.ai.contracts().session_manager
    asked, asked_too = [funded.request(PROMPT) for _ in range(2)]
    respond(asked, HERE)
    owned = Watch(network.ai, owner=cast.customer, timeout=30)
    watched = Watch(network.ai, session=funded, timeout=4)
    end = time.monotonic() + 4
    assert [next(owned).request.id, next(watched).request.id] == [asked.id] * 2

    respond(asked_too, HERE)  # without a poll before it is replaced
    replace_manager(network, cast)
    again = session_of_id(funded.id, cast, network.ai)  # of the stranger
    of_stranger = again.request(PROMPT)
    respond(of_stranger, HERE)
    new = DtnSession.start("1", cast.customer, network.ai).request(PROMPT)
    respond(new, HERE)

    assert ids(islice(owned, 2)) == [asked_too.id, new.id]
    time.sleep(max(end - time.monotonic(), 0))  # one poll is left
    assert ids(watched) == [asked_too.id]
    with pytest.raises(InvalidCursor):
        outcomes_until_now(network.ai, session=funded, since=watched.cursor)
    ai = DtnAi(network.ai.router, network.ai.provider)
    ai.deployment = replace(ai.deployment, session_managers=(before,))
    assert ids(outcomes_until_now(ai, session=funded.id)) == [of_stranger.id]
    assert ids(outcomes_until_now(ai, owner=cast.customer)) == [asked.id, asked_too.id, new.id]
    assert ids(outcomes_until_now(ai, owner=cast.stranger)) == [of_stranger.id]


@on_live
def test_sessions_of_a_new_session_manager_are_found(
    network: LocalNetwork, respond: Respond, cast: Cast
) -> None:
    """The watch has not seen its start, and its id belonged to a stranger's session before."""
    first = DtnSession.start("1", cast.stranger, network.ai).id
    session = DtnSession.start("1", cast.customer, network.ai)
    watch = Watch(network.ai, owner=cast.customer, timeout=30)
    respond(session.request(PROMPT), HERE)
    next(watch)

    replace_manager(network, cast)
    new = DtnSession.start("1", cast.customer, network.ai)
    respond(new.request(PROMPT), text_answer("New."))

    assert new.id == first
    assert str(next(watch).result) == "New."


# HTTP requests and RPC calls.


RecordedRequests = list[tuple[float, list[str]]]


@contextmanager
def recording(through: Through) -> Iterator[tuple[DtnAi, RecordedRequests]]:
    """Records the methods of each HTTP request, and its time."""
    noted: RecordedRequests = []

    def note(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        calls = json.loads(body)
        methods = [call["method"] for call in (calls if isinstance(calls, list) else [calls])]
        noted.append((time.monotonic(), methods))
        return ask(body)

    with through(note) as ai:
        yield ai, noted


LOOK = ["eth_getBlockByNumber", "eth_getLogs"]


@pytest.mark.parametrize("how_many", [1, 200])
def test_a_poll_is_two_calls_for_any_number_of_requests(
    funded: DtnSession, network: LocalNetwork, through: Through, how_many: int
) -> None:
    sent = funded.request_many([PROMPT] * how_many, max_cost="0.01")
    requests = [
        DtnRequest.load(request.id, network.ai)
        for request in sent
        if not isinstance(request, Exception)
    ]
    with recording(through) as (ai, noted):
        for target in ({"requests": requests}, {"session": funded.id}, {"owner": funded.owner}):
            noted.clear()
            watch = Watch(ai, timeout=3, **target)
            assert list(watch) == []
            first, *others = [methods for _, methods in noted]
            looks = [methods for methods in others if "eth_getLogs" in methods and len(methods) > 1]
            assert first == ["eth_getBlockByNumber"] * 2
            assert noted[-1][1] == LOOK
            assert looks == [LOOK] * len(looks)
            # The first poll reads more; the later ones only this.
            assert len(others) - len(looks) <= 6
            # The block time is 0, and no block is mined.
            assert 4 <= len(looks) <= 3 / 0.1 + 1


def test_200_answers_are_read_in_one_http_request(
    funded: DtnSession, network: LocalNetwork, through: Through
) -> None:
    sent = funded.request_many([PROMPT] * 200, max_cost="0.01")
    requests = [request for request in sent if isinstance(request, DtnRequest)]
    with recording(through) as (ai, noted):
        watch = Watch(ai, requests=requests, timeout=30)
        with after_delay(1, network.node.answer_pending):
            outcomes = list(watch)

    read = [methods for _, methods in noted if "eth_call" in methods]
    assert sorted(ids(outcomes)) == sorted(ids_of(requests))
    # The first poll, then the answers in a few blocks, with one read per poll.
    assert sum(len(methods) for methods in read) <= 2 * 200 + 2 * len(read)
    assert len(read) <= sum(methods == LOOK for _, methods in noted) + 3


def test_pauses_follow_the_measured_block_time(
    network: LocalNetwork, funded: DtnSession, through: Through
) -> None:
    """Here, the configured block time is 0."""
    with recording(through) as (ai, noted):
        watch = Watch(ai, session=funded, timeout=6)
        with after_delay(1, lambda: mine(network)):  # one-second blocks
            assert list(watch) == []
    looks = [at for at, methods in noted if methods == LOOK]
    pauses = [after - before for before, after in pairwise(looks)]

    assert min(pauses[:5]) >= 0.1
    shortest, second, *_ = sorted(pauses[-5:-1])
    assert shortest < 0.8
    assert second > 0.4


def test_rejected_block_ranges_are_split(
    funded: DtnSession, network: LocalNetwork, through: Through, respond: Respond
) -> None:
    """A range can be too large after a long pause, or for an endpoint with a low limit."""
    request, other = [funded.request(PROMPT) for _ in range(2)]

    def ten_blocks(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        calls = json.loads(body)
        if isinstance(calls, dict):
            return json.dumps(answer(calls, ask)).encode()
        return json.dumps([answer(call, ask) for call in calls]).encode()

    def answer(call: dict[str, Any], ask: Callable[[bytes], bytes]) -> Any:
        if call["method"] == "eth_getLogs":
            first, last = call["params"][0]["fromBlock"], call["params"][0]["toBlock"]
            if last == "latest" or int(last, 16) - int(first, 16) >= 10:
                error = {"code": -32005, "message": "block range exceeds 10"}
                return {"jsonrpc": "2.0", "id": call["id"], "error": error}
        return json.loads(ask(json.dumps(call).encode()))

    with through(ten_blocks) as ai:
        watch = Watch(ai, session=funded, timeout=30)
        respond(request, HERE)
        assert next(watch).request.id == request.id
        mine(network, 300)
        respond(other, HERE)
        mine(network, 300)
        assert next(watch).request.id == other.id


def test_polls_share_a_connection(funded: DtnSession, network: LocalNetwork) -> None:
    """Each poll runs in its own thread; a connection for each would be slow."""
    connections = set()

    class KeepingAlive(RpcCounter):
        def __init__(self, upstream: str) -> None:
            super().__init__(upstream)
            server = self._server

            class Handler(server.RequestHandlerClass):  # type: ignore[misc,name-defined]
                protocol_version = "HTTP/1.1"

                def do_POST(self) -> None:
                    connections.add(self.client_address)
                    super().do_POST()

            server.RequestHandlerClass = Handler

    counter = KeepingAlive(str(network.ai.provider.http_uri))
    with counter, connected_to(counter.url) as provider:
        ai = DtnAi(network.ai.router, provider)
        connections.clear()
        with counter.counting() as count:
            assert list(Watch(ai, session=funded, timeout=2)) == []

    assert count.http > 5
    assert len(connections) <= 3


# Ape's in-process chain, which has no HTTP endpoint.


IN_PROCESS = """
import json
import ape
from ape_dtn import DtnSession
from ape_dtn.errors import RequestPending, RequestStranded
from ape_dtn.deployment.assemble import Variant, deploy, fund
from ape_dtn.client.watch import Watch
from ape_dtn.types.serialization import to_json


def caught(function):
    try:
        function()
    except (RequestPending, RequestStranded) as err:
        return to_json(err)


found = {}
with ape.networks.ethereum.local.use_provider("test"):
    owner, worker, customer = ape.accounts.test_accounts[:3]
    for variant in Variant:
        network = deploy(owner, worker, variant)
        fund(network.ai.provider, owner, network.token, str(customer.address), 10_000_000)
        session = DtnSession.start("5.00", customer, network.ai)
        first, second = session.request("One?"), session.request("Two?")
        network.node.answer_pending()
        watch = Watch(network.ai, owner=customer, timeout=0)
        third = session.request("Three?")
        now = found[variant.name] = {}
        now["waited"] = str(first.wait(timeout=0))
        now["watched"] = [str(outcome.result) for outcome in watch]
        now["pending"] = caught(lambda: third.wait(timeout=0.5))
        session.close(force=True)
        now["stranded"] = caught(third.wait)
        again = Watch(network.ai, owner=customer, since=watch.cursor, timeout=0)
        now["then"] = [outcome.request.id == third.id for outcome in again]
print(json.dumps(found))
"""


def test_a_watch_works_on_the_in_process_chain() -> None:
    command = [sys.executable, "-c", IN_PROCESS]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr

    found = json.loads(ran.stdout.splitlines()[-1])

    assert set(found) == {variant.name for variant in Variant}
    for result in found.values():
        assert result["waited"] == "You asked: One?"
        assert result["watched"] == ["You asked: One?", "You asked: Two?"]
        assert result["pending"]["code"] == "request_pending"
        assert result["pending"]["nodes"][0]["answers"] == 2
        assert result["stranded"]["code"] == "request_stranded"
        assert result["then"] == [True]


def test_a_cursor_can_be_in_the_middle_of_an_old_block(
    network: LocalNetwork, funded: DtnSession, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block has more answers than one HTTP request reads."""
    provider = network.ai.provider
    requests = funded.request_many([f"{place}?" for place in range(6)])
    mine_together(
        provider,
        [
            (cast.worker, response(network, request.id))
            for request in requests
            if isinstance(request, DtnRequest)
        ],
    )
    rpc.result(provider, "anvil_mine", [hex(300)])
    monkeypatch.setattr("ape_dtn.answers.scanner.READ_TOGETHER", 4)

    watching = network.ai.watch(session=funded.id)
    first = [next(watching).request.id for _ in range(5)]
    rest = network.ai.watch(session=funded.id, since=watching.cursor, timeout=0)

    assert [outcome.request.id for outcome in rest] == [
        request.id
        for request in requests
        if isinstance(request, DtnRequest) and request.id not in first
    ]
