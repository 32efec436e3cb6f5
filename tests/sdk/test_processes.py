"""Eight parallel processes that share one account and one journal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ape_dtn.deployment.assemble import Variant
from benchmarks.chain import own_anvil

from .crash import ForkServer, Sandbox

PROCESSES, OPERATIONS = 8, 25
DEPOSIT_UNITS = 25_000_000

# The maximum cost of a request in units, and how many requests fit into the limit.
MAX_COST, REQUESTS_WITHIN_LIMIT = 250_000, 40
LIMIT = "10.00"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A chain that mines ten blocks a second."""
    with own_anvil("--block-time", "0.1") as url, ForkServer(url) as fork_server:
        yield Sandbox(fork_server, Variant.LIVE, False, tmp_path_factory.mktemp("processes"))


def test_parallel_processes_share_the_nonces_of_an_account(shared: Sandbox) -> None:
    with shared.reverted():
        shared.do("close", session=shared.do("start", method="authorization"))
        before = shared.do("read_state")
        methods = ("two-step", "authorization")

        reports = shared.run(
            *(
                shared.job("start_ask_and_close", method=methods[number % 2], operations=OPERATIONS)
                for number in range(PROCESSES)
            )
        )

        after = shared.do("read_state")
        started = [session for report in reports for session in report.result]
        sent = {transaction for report in reports for transaction in report.sent}
        # A quarter of the operations start sessions, half of them in two transactions.
        assert after["nonce"] == before["nonce"] + len(sent) == shared.do("count_successes")
        assert len(sent) == PROCESSES * OPERATIONS + len(started) // 2
        assert len(set(started)) == len(started) == PROCESSES * 7
        assert len(after["requests"]) == PROCESSES * 12
        assert {int(units) for _, _, units in after["started"]} == {DEPOSIT_UNITS}
        assert {session for session, _ in after["sessions"]} == {
            report.result[-1] for report in reports
        }
        assert after["held"] == before["held"] - PROCESSES * DEPOSIT_UNITS
        assert (after["unclaimed"], after["held by the client"]) == (0, 0)
        assert {entry["state"] for entry in shared.do("journal")} == {"done"}


@pytest.mark.parametrize(
    ("limit", "times"), [("session_limit", OPERATIONS), ("day_limit", 8), ("account_limit", 8)]
)
def test_parallel_processes_stay_within_a_budget(shared: Sandbox, limit: str, times: int) -> None:
    with shared.reverted():
        is_session = limit == "session_limit"
        sessions = [shared.do("start") for _ in range(1 if is_session else PROCESSES)]
        before = shared.do("read_state")
        options: Any = {limit: LIMIT}

        reports = shared.run(
            *(
                shared.job("request_until_limit", session=session, times=times, **options)
                for session in (sessions * PROCESSES)[:PROCESSES]
            )
        )

        asked = sum(report.result for report in reports)
        after = shared.do("read_state")
        assert len(after["requests"]) == asked
        assert after["nonce"] == before["nonce"] + asked
        # A request of one process can count twice while another process reads the chain.
        assert asked == REQUESTS_WITHIN_LIMIT or (
            is_session and REQUESTS_WITHIN_LIMIT // 2 < asked < REQUESTS_WITHIN_LIMIT
        )
        assert asked + shared.do(
            "request_until_limit", session=sessions[0], times=REQUESTS_WITHIN_LIMIT, **options
        ) == (REQUESTS_WITHIN_LIMIT)
        assert (
            sum(sum(shared.do("costs", session=session)) for session in sessions)
            == REQUESTS_WITHIN_LIMIT * MAX_COST
        )


def test_answers_release_budget_for_parallel_processes(shared: Sandbox) -> None:
    with shared.reverted():
        session = shared.do("start")

        *reports, _ = shared.run(
            *(
                shared.job(
                    "request_until_limit", session=session, times=OPERATIONS, session_limit="1.00"
                )
                for _ in range(PROCESSES - 1)
            ),
            shared.job("answer_repeatedly", times=20, pause=0.1),
        )

        charged, may_still_cost = shared.do("costs", session=session)
        assert charged + may_still_cost <= 1_000_000
        assert sum(report.result for report in reports) > 4


@pytest.mark.parametrize("method", ["two-step", "allowance", "delegate"])
def test_parallel_starts_with_one_key_open_one_session(shared: Sandbox, method: str) -> None:
    with shared.reverted():
        reports = shared.run(
            *(shared.job("start", method=method, key="the same") for _ in range(PROCESSES))
        )

        (session,) = {report.result for report in reports}
        assert [opened for opened, _ in shared.do("read_state")["sessions"]] == [session]
        assert len([report for report in reports if report.sent]) == 1


@pytest.mark.parametrize("task", ["request", "request_many", "close"])
def test_parallel_operations_with_one_key_run_once(shared: Sandbox, task: str) -> None:
    with shared.reverted():
        session = shared.do("start")

        reports = shared.run(
            *(shared.job(task, session=session, key="the same") for _ in range(PROCESSES))
        )

        assert all(report.result == reports[0].result for report in reports)
        after = shared.do("read_state")
        assert len(after["requests"]) == {"request": 1, "request_many": 3, "close": 0}[task]
        assert len(after["closed"]) == (task == "close")
        assert len([report for report in reports if report.sent]) == 1
