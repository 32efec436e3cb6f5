"""Eight processes that share one account and one journal, all at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ape_dtn.deployment.assemble import Variant
from benchmarks.chain import own_anvil

from .crash import Nursery, Stage

PROCESSES, OPERATIONS = 8, 25
UNITS = 25_000_000  # of each deposit

# What a request may cost, and how many fit into a limit.
CAP, FITTING = 250_000, 40
LIMIT = "10.00"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A chain that mines ten times a second."""
    with own_anvil("--block-time", "0.1") as url, Nursery(url) as nursery:
        yield Stage(nursery, Variant.LIVE, False, tmp_path_factory.mktemp("processes"))


def test_no_nonce_is_lost(shared: Stage) -> None:
    with shared.taken_back():
        shared.do("close", session=shared.do("start", method="authorization"))
        before = shared.do("look")
        methods = ("two-step", "authorization")

        told = shared.run(
            *(
                shared.job("start_ask_and_close", method=methods[each % 2], operations=OPERATIONS)
                for each in range(PROCESSES)
            )
        )

        after = shared.do("look")
        started = [session for each in told for session in each.result]
        sent = {transaction for each in told for transaction in each.sent}
        # A quarter of the operations starts sessions, half of these in two transactions.
        assert after["nonce"] == before["nonce"] + len(sent) == shared.do("succeeded")
        assert len(sent) == PROCESSES * OPERATIONS + len(started) // 2
        assert len(set(started)) == len(started) == PROCESSES * 7
        assert len(after["requests"]) == PROCESSES * 12
        assert {int(units) for _, _, units in after["started"]} == {UNITS}
        assert {session for session, _ in after["sessions"]} == {each.result[-1] for each in told}
        assert after["held"] == before["held"] - PROCESSES * UNITS
        assert (after["waiting"], after["held by the client"]) == (0, 0)
        assert {each["state"] for each in shared.do("journal")} == {"done"}


@pytest.mark.parametrize(
    ("limit", "times"), [("session_limit", OPERATIONS), ("day_limit", 8), ("account_limit", 8)]
)
def test_no_budget_is_broken(shared: Stage, limit: str, times: int) -> None:
    with shared.taken_back():
        is_session = limit == "session_limit"
        sessions = [shared.do("start") for _ in range(1 if is_session else PROCESSES)]
        before = shared.do("look")
        options: Any = {limit: LIMIT}

        told = shared.run(
            *(
                shared.job("ask_often", session=session, times=times, **options)
                for session in (sessions * PROCESSES)[:PROCESSES]
            )
        )

        asked = sum(each.result for each in told)
        after = shared.do("look")
        assert len(after["requests"]) == asked
        assert after["nonce"] == before["nonce"] + asked
        # What one process has on the chain already counts twice while another reads it.
        assert asked == FITTING or (is_session and FITTING // 2 < asked < FITTING)
        assert asked + shared.do("ask_often", session=sessions[0], times=FITTING, **options) == (
            FITTING
        )
        assert sum(sum(shared.do("bill", session=each)) for each in sessions) == FITTING * CAP


def test_what_is_answered_makes_room_within_the_budget(shared: Stage) -> None:
    with shared.taken_back():
        session = shared.do("start")

        *told, _ = shared.run(
            *(
                shared.job("ask_often", session=session, times=OPERATIONS, session_limit="1.00")
                for _ in range(PROCESSES - 1)
            ),
            shared.job("answer_often", times=20, pause=0.1),
        )

        charged, may_still_cost = shared.do("bill", session=session)
        assert charged + may_still_cost <= 1_000_000
        assert sum(each.result for each in told) > 4


@pytest.mark.parametrize("method", ["two-step", "allowance", "delegate"])
def test_a_key_of_all_processes_starts_one_session(shared: Stage, method: str) -> None:
    with shared.taken_back():
        told = shared.run(
            *(shared.job("start", method=method, key="the same") for _ in range(PROCESSES))
        )

        (session,) = {each.result for each in told}
        assert [each for each, _ in shared.do("look")["sessions"]] == [session]
        assert len([each for each in told if each.sent]) == 1


@pytest.mark.parametrize("work", ["request", "request_many", "close"])
def test_a_key_of_all_processes_happens_once(shared: Stage, work: str) -> None:
    with shared.taken_back():
        session = shared.do("start")

        told = shared.run(
            *(shared.job(work, session=session, key="the same") for _ in range(PROCESSES))
        )

        assert all(each.result == told[0].result for each in told)
        after = shared.do("look")
        assert len(after["requests"]) == {"request": 1, "request_many": 3, "close": 0}[work]
        assert len(after["closed"]) == (work == "close")
        assert len([each for each in told if each.sent]) == 1
