"""An operation that is interrupted at any point can be completed, and is never paid twice."""

from __future__ import annotations

import os
import random
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from signal import SIGINT
from typing import Any

import pytest

from ape_dtn.deployment.assemble import Variant
from ape_dtn.journal.store import Step
from benchmarks.chain import own_anvil

from .crash import (
    CONNECTION_LOST,
    RECEIPT,
    SEND,
    ForkServer,
    ProcessReport,
    Sandbox,
    Task,
    TaskResult,
)

KEY = "once"
STEPS = {step.value for step in Step}


@dataclass(frozen=True)
class Operation:
    """An operation to interrupt.

    Attributes:
        task: Its task; see :data:`tests.sdk.crash.TASKS`.
        arguments: Arguments of the task.
        before: Tasks that run before it; the first one starts the session that it uses.
        by_safe: Whether the customer's Safe runs it.
    """

    task: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    before: Sequence[Task] = ()
    by_safe: bool = False


DIRECT: Task = "start", {"method": "two-step"}
CLIENT: Task = "start", {"method": "authorization"}
ASKED: Task = "request", {"session": 1}
ANSWERED: Sequence[Task] = (ASKED, ("answer", {}))

OPERATIONS = {
    "start in two steps": Operation("start", {"method": "two-step"}),
    "start by allowance": Operation("start", {"method": "allowance"}),
    "start by delegate": Operation("start", {"method": "delegate"}),
    "start by authorization": Operation("start", {"method": "authorization"}),
    "start by permit": Operation("start", {"method": "permit"}),
    "start by batch": Operation("start", {"method": "batch"}, [("delegate_to_executor", {})]),
    "start by batch of a Safe": Operation("start", {"method": "batch"}, by_safe=True),
    "claim": Operation("claim", before=[("deposit", {})]),
    "request": Operation("request", {"session": 1}, [DIRECT]),
    "request by client": Operation("request", {"session": 1}, [CLIENT]),
    "request many": Operation("request_many", {"session": 1}, [DIRECT]),
    "request many by client": Operation("request_many", {"session": 1}, [CLIENT]),
    "close": Operation("close", {"session": 1}, [DIRECT, *ANSWERED]),
    "close by client": Operation("close", {"session": 1}, [CLIENT, *ANSWERED]),
    "ask": Operation("ask"),
}

# `make crash` kills at every point.
EVERY_POINT = bool(os.environ.get("KILLS"))


def operations(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("scenario", names, indirect=True, scope="module")


@dataclass(frozen=True)
class Baseline:
    """A run without interruption, to compare interrupted runs with.

    Attributes:
        points: The points that it reached.
        before: The account's state before it; see :func:`tests.sdk.crash.read_state`.
        after: The account's state after it.
        result: Its result.
        entries: Number of its journal entries.
        seconds: Its duration.
    """

    points: Sequence[str]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    result: Any
    entries: int
    seconds: float


@contextmanager
def prepared(sandbox: Sandbox, operation: Operation) -> Iterator[None]:
    """Runs the tasks before an operation; reverts them at the end."""
    with sandbox.reverted(), sandbox.by_safe() if operation.by_safe else nullcontext():
        for task, given in operation.before:
            sandbox.do(task, **given)
        yield


def run_baseline(sandbox: Sandbox, operation: Operation) -> Baseline:
    before = sandbox.do("read_state")
    with sandbox.reverted():
        (report,) = sandbox.run(sandbox.job(operation.task, key=KEY, **operation.arguments))
        entries = sandbox.do("journal")
        after = sandbox.do("read_state")
    assert {entry["state"] for entry in entries} == {"done"}
    assert after != before
    assert after["unclaimed"] == 0
    return Baseline(report.points, before, after, report.result, len(entries), report.seconds)


@dataclass(frozen=True)
class Scenario:
    """An operation on a sandbox that is prepared for it.

    Attributes:
        sandbox: The sandbox.
        operation: The operation.
        baseline: A run without interruption, which was reverted.
    """

    sandbox: Sandbox
    operation: Operation
    baseline: Baseline


@dataclass(frozen=True)
class Finished:
    """Transactions of an operation that was completed after an interruption.

    Attributes:
        signed: Hashes that were signed before the interruption.
        sent: Hashes that were sent after it.
    """

    signed: set[str]
    sent: list[str]

    @property
    def sent_again(self) -> list[str]:
        """Hashes that were signed before, and sent after the interruption."""
        return [transaction for transaction in self.sent if transaction in self.signed]


def finish_and_check(
    sandbox: Sandbox,
    operation: Operation,
    baseline: Baseline,
    resumes: bool,
    same_nonce: bool = True,
) -> Finished:
    """Completes an interrupted operation, and asserts the same state as after the baseline.

    Args:
        sandbox: The sandbox.
        operation: The interrupted operation.
        baseline: Its run without interruption.
        resumes: Whether to resume open journal entries before the operation is called again.
        same_nonce: Whether the account's nonce must be that of the baseline.
    """

    def state(found: TaskResult) -> Any:
        nonce = {} if same_nonce else {"nonce": baseline.after["nonce"]}
        return {**found.result, **nonce}

    again: Task = (operation.task, {"key": KEY, **operation.arguments})
    resume: Task = ("resume", {})
    read_state: Task = ("read_state", {})
    journal: Task = ("journal", {})
    resume_or_not = resume if resumes else ("no_op", {})
    interrupted, resumed, between, done, after, entries = sandbox.run_all(
        journal, resume_or_not, read_state, again, read_state, journal
    )
    recorded = [entry for entry in interrupted.result if entry["state"] != "void"]
    if resumes:
        assert set(resumed.result) <= {"done"}
        if len(recorded) == baseline.entries:
            assert state(between) == baseline.after
        elif not recorded and same_nonce:
            assert between.result == baseline.before
    assert state(after) == baseline.after
    states = [entry["state"] for entry in entries.result if entry["state"] != "void"]
    assert states == ["done"] * baseline.entries
    if operation.task in ("start", "claim", "close"):
        assert done.result == baseline.result
    resumed_again, done_again, final = sandbox.run_all(resume, again, read_state)
    assert (resumed_again.result, done_again.result) == ([], done.result)
    assert resumed_again.sent == done_again.sent == []
    assert final.result == after.result
    signed = {transaction for entry in recorded for transaction, _ in entry["signed"]}
    return Finished(signed, [*resumed.sent, *done.sent])


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A chain that mines a block when a receipt is requested and missing."""
    with own_anvil("--no-mining") as url, ForkServer(url) as fork_server:
        yield Sandbox(fork_server, Variant.LIVE, True, tmp_path_factory.mktemp("crash"))


@pytest.fixture(scope="module", params=OPERATIONS)
def scenario(sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[Scenario]:
    """Each operation, prepared once for all of its tests."""
    operation = OPERATIONS[request.param]
    with prepared(sandbox, operation):
        yield Scenario(sandbox, operation, run_baseline(sandbox, operation))


@pytest.fixture(scope="module")
def fast_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A chain that mines ten blocks a second."""
    with own_anvil("--block-time", "0.1") as url, ForkServer(url) as fork_server:
        yield Sandbox(fork_server, Variant.REFERENCE, False, tmp_path_factory.mktemp("crash"))


# Killed processes.


def test_an_operation_killed_at_any_point_completes_once(scenario: Scenario) -> None:
    """Kills at each step of the journal and at every fourth point; `make crash` at every point."""
    sandbox, operation, baseline = scenario.sandbox, scenario.operation, scenario.baseline
    assert set(baseline.points) >= STEPS
    for at, point in enumerate(baseline.points):
        if not (EVERY_POINT or point in STEPS or at % 4 == 0):
            continue
        with sandbox.reverted(), labelled(f"killed at {at}, {point}"):
            report = interrupt(sandbox, operation, at)
            assert report.killed
            assert report.points == list(baseline.points[: at + 1])
            finish_and_check(
                sandbox, operation, baseline, resumes=bool(at // 4 % 2 if at % 4 == 0 else at % 2)
            )


def test_an_operation_killed_at_a_random_moment_completes_once(fast_sandbox: Sandbox) -> None:
    seed = int(os.environ.get("SEED") or secrets.randbelow(10**9))
    wanted = int(os.environ.get("KILLS") or 24)
    chance = random.Random(seed)
    killed: Counter[str] = Counter()
    for number, (name, operation) in enumerate(OPERATIONS.items()):
        share = wanted * (number + 1) // len(OPERATIONS) - wanted * number // len(OPERATIONS)
        with prepared(fast_sandbox, operation):
            baseline = run_baseline(fast_sandbox, operation)
            kills = 0
            while kills < share:
                kill_after = chance.uniform(0, baseline.seconds)
                resumes = chance.random() < 0.5
                with (
                    fast_sandbox.reverted(),
                    labelled(f"seed {seed}, {name}, killed after {kill_after} s"),
                ):
                    given = {"key": KEY, **operation.arguments}
                    (report,) = fast_sandbox.fork_server.run(
                        fast_sandbox.job(operation.task, kill_after=kill_after, **given)
                    )
                    assert report.error is None, report
                    finished = finish_and_check(fast_sandbox, operation, baseline, resumes)
                kills += report.killed
                if report.killed:
                    steps = [point for point in report.points if point in STEPS]
                    killed[f"killed {'after ' + steps[-1] if steps else 'before any step'}"] += 1
                    killed["sent before the kill"] += len(set(report.sent))
                    killed["rebroadcast"] += len(finished.sent_again)
                    killed["signed after the kill"] += len(set(finished.sent) - finished.signed)
    print(f"\nseed {seed}, {wanted} kills: {dict(sorted(killed.items()))}")


# Other interruptions.


@operations("start in two steps", "start by delegate", "request many")
def test_an_operation_interrupted_by_ctrl_c_completes_once(scenario: Scenario) -> None:
    sandbox, operation, baseline = scenario.sandbox, scenario.operation, scenario.baseline
    for at, point in enumerate(baseline.points):
        if point in STEPS or SEND in point or RECEIPT in point:
            with sandbox.reverted(), labelled(f"interrupted at {at}, {point}"):
                report = interrupt(sandbox, operation, at, signal=SIGINT)
                assert report.error in ("KeyboardInterrupt", "SystemExit")
                finish_and_check(sandbox, operation, baseline, resumes=bool(at % 2))


def test_an_operation_completes_once_after_its_connection_is_lost(scenario: Scenario) -> None:
    sandbox, operation, baseline = scenario.sandbox, scenario.operation, scenario.baseline
    for at, point in broadcast_points(baseline):
        with sandbox.reverted(), labelled(f"lost at {at}, {point}"):
            report = interrupt(sandbox, operation, at, signal=CONNECTION_LOST, timeout=0.1)
            assert report.error or report.result
            finish_and_check(sandbox, operation, baseline, resumes=bool(at % 2))


@pytest.mark.parametrize("resumes", [True, False])
def test_an_operation_that_times_out_completes_once(scenario: Scenario, resumes: bool) -> None:
    sandbox, operation, baseline = scenario.sandbox, scenario.operation, scenario.baseline
    with sandbox.reverted():
        job = sandbox.job(operation.task, key=KEY, **operation.arguments)
        (report,) = sandbox.fork_server.run(replace(job, mines_on_demand=False, timeout=0.1))
        assert report.error == "TransactionPending" or operation.task == "request_many"
        finish_and_check(sandbox, operation, baseline, resumes)


def test_dropped_transactions_are_rebroadcast(scenario: Scenario) -> None:
    """The first, the last and all of the pending transactions."""
    sandbox, operation, baseline = scenario.sandbox, scenario.operation, scenario.baseline
    at, point = broadcast_points(baseline)[-1]
    for which in (0, -1, None):
        with sandbox.reverted(), labelled(f"dropped {which} of what was sent by {at}, {point}"):
            pending = pending_after(sandbox, interrupt(sandbox, operation, at))
            for transaction in pending if which is None else [pending[which]]:
                sandbox.fork_server.rpc("anvil_dropTransaction", transaction["hash"])
            finished = finish_and_check(sandbox, operation, baseline, resumes=which == 0)
            assert set(finished.sent) <= finished.signed | set(finished.sent_again)


@operations(*(name for name in OPERATIONS if name != "start by delegate"))
def test_transactions_that_the_wallet_sped_up_are_recognised(scenario: Scenario) -> None:
    sandbox, operation, baseline = scenario.sandbox, scenario.operation, scenario.baseline
    at, _ = broadcast_points(baseline)[-1]
    for which in (0, -1, None):
        with sandbox.reverted(), labelled(f"{which} was sped up"):
            pending = pending_after(sandbox, interrupt(sandbox, operation, at))
            for transaction in pending if which is None else [pending[which]]:
                sandbox.do("transact", **same_call(transaction))
            finish_and_check(sandbox, operation, baseline, resumes=which == 0)


def test_transactions_that_the_wallet_cancelled_are_replaced(scenario: Scenario) -> None:
    """Another transaction with the same nonce and a higher fee."""
    sandbox, operation, baseline = scenario.sandbox, scenario.operation, scenario.baseline
    at, _ = broadcast_points(baseline)[-1]
    for which in (0, -1, None):
        with sandbox.reverted(), labelled(f"{which} was cancelled"):
            pending = pending_after(sandbox, interrupt(sandbox, operation, at))
            for transaction in pending if which is None else [pending[which]]:
                sandbox.do("transact", nonce=int(transaction["nonce"], 16))
            finish_and_check(sandbox, operation, baseline, resumes=which == 0, same_nonce=False)


@operations("start in two steps")
@pytest.mark.parametrize("resumes", [True, False])
def test_a_sped_up_deposit_with_a_cancelled_start_is_completed(
    scenario: Scenario, resumes: bool
) -> None:
    sandbox, operation, baseline = scenario.sandbox, scenario.operation, scenario.baseline
    at, _ = broadcast_points(baseline)[-1]
    with sandbox.reverted():
        deposit, start = pending_after(sandbox, interrupt(sandbox, operation, at))
        sandbox.do("transact", **same_call(deposit))
        sandbox.do("transact", nonce=int(start["nonce"], 16))
        finish_and_check(sandbox, operation, baseline, resumes, same_nonce=False)


def test_transactions_whose_nonces_are_used_are_replaced(scenario: Scenario) -> None:
    sandbox, operation, baseline = scenario.sandbox, scenario.operation, scenario.baseline
    at = max(at for at, point in enumerate(baseline.points) if point == Step.SIGNED.value)
    for used in (1, 2):
        with sandbox.reverted(), labelled(f"{used} were used"):
            interrupt(sandbox, operation, at)
            for _ in range(used):
                sandbox.do("transact", nonce=sandbox.do("read_state")["nonce"])
                sandbox.fork_server.rpc("evm_mine")
            finish_and_check(sandbox, operation, baseline, resumes=used == 1, same_nonce=False)


@pytest.mark.parametrize("resumes", [True, False])
def test_transactions_that_a_reorganisation_removes_are_rebroadcast(
    scenario: Scenario, resumes: bool
) -> None:
    sandbox, operation, baseline = scenario.sandbox, scenario.operation, scenario.baseline
    with sandbox.reverted():
        before = sandbox.fork_server.rpc("evm_snapshot")
        sandbox.do(operation.task, key=KEY, **operation.arguments)
        sandbox.fork_server.rpc("evm_revert", before)
        finished = finish_and_check(sandbox, operation, baseline, resumes)
        assert set(finished.sent) == finished.signed


@pytest.mark.parametrize("lags_first", [True, False])
def test_a_lagging_node_causes_no_second_payment(scenario: Scenario, lags_first: bool) -> None:
    sandbox, operation, baseline = scenario.sandbox, scenario.operation, scenario.baseline
    done = max(at for at, point in enumerate(baseline.points) if point == Step.DONE.value)
    for at in (broadcast_points(baseline)[-1][0], done - 1, done):
        with sandbox.reverted(), labelled(f"killed at {at}, {baseline.points[at]}"):
            interrupt(sandbox, operation, at)
            sandbox.fork_server.rpc("evm_mine")
            lagging_nonce = baseline.before["nonce"]
            resume = replace(
                sandbox.job("resume"),
                lagging_nonce=lagging_nonce,
                lags_first=lags_first,
                timeout=2.0,
            )
            (report,) = sandbox.fork_server.run(resume)
            assert set(report.sent) <= signed_hashes(sandbox)
            finish_and_check(sandbox, operation, baseline, resumes=True)


def signed_hashes(sandbox: Sandbox) -> set[str]:
    """Hashes of the signed transactions in the journal, without cancelled entries."""
    return {
        transaction
        for entry in sandbox.do("journal")
        if entry["state"] != "void"
        for transaction, _ in entry["signed"]
    }


def interrupt(sandbox: Sandbox, operation: Operation, at: int, **changes: Any) -> ProcessReport:
    """Runs an operation, and interrupts it at a point."""
    job = sandbox.job(operation.task, at, key=KEY, **operation.arguments)
    (report,) = sandbox.fork_server.run(replace(job, **changes))
    return report


def broadcast_points(baseline: Baseline) -> list[tuple[int, str]]:
    """The points directly after a broadcast, with their indexes."""
    return [
        (at, point)
        for at, point in enumerate(baseline.points)
        if point.startswith("after") and SEND in point
    ]


def pending_after(sandbox: Sandbox, report: ProcessReport) -> list[Any]:
    """The sent transactions that are not mined, in the order of their nonces."""
    sent = [sandbox.fork_server.rpc("eth_getTransactionByHash", hash_) for hash_ in report.sent]
    return [transaction for transaction in sent if transaction["blockNumber"] is None]


def same_call(transaction: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the task ``transact`` for the same call with the same nonce."""
    nonce, gas = int(transaction["nonce"], 16), int(transaction["gas"], 16)
    return {"nonce": nonce, "to": transaction["to"], "data": transaction["input"], "gas": gas}


@contextmanager
def labelled(label: str) -> Iterator[None]:
    """Adds a label to the message of a failed assertion."""
    try:
        yield
    except AssertionError as err:
        raise AssertionError(f"{label}: {err}") from err
