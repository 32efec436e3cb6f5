"""Killed at any point, an operation is finished afterwards as if nothing had been: never twice."""

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

from .crash import LOST, RECEIPT, SEND, Did, Nursery, Stage, Told, Work

KEY = "once"
STEPS = {step.value for step in Step}


@dataclass(frozen=True)
class Operation:
    """What is killed.

    Attributes:
        work: What it is; see :data:`tests.sdk.crash.WORK`.
        arguments: What it takes.
        before: What is done before it; the first is the start of the session that it takes.
        by_safe: Whether a Safe of the customer's does it.
    """

    work: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    before: Sequence[Work] = ()
    by_safe: bool = False


DIRECT: Work = "start", {"method": "two-step"}
CLIENT: Work = "start", {"method": "authorization"}
ASKED: Work = "request", {"session": 1}
ANSWERED: Sequence[Work] = (ASKED, ("answer", {}))

OPERATIONS = {
    "start in two steps": Operation("start", {"method": "two-step"}),
    "start by allowance": Operation("start", {"method": "allowance"}),
    "start by delegate": Operation("start", {"method": "delegate"}),
    "start by authorization": Operation("start", {"method": "authorization"}),
    "start by permit": Operation("start", {"method": "permit"}),
    "start by batch": Operation("start", {"method": "batch"}, [("run_executor", {})]),
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

# `make crash` takes its time.
EVERY_POINT = bool(os.environ.get("KILLS"))


def operations(*names: str) -> pytest.MarkDecorator:
    """Runs a test with some of the operations only."""
    return pytest.mark.parametrize("scene", names, indirect=True, scope="module")


@dataclass(frozen=True)
class Uninterrupted:
    """One run that nobody interrupts.

    Attributes:
        points: Where it has been.
        before: What there was of the account's money and sessions before it.
        after: What there was after it.
        result: What it gave.
        entries: How many things the journal has of it.
        seconds: How long it took.
    """

    points: Sequence[str]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    result: Any
    entries: int
    seconds: float


@contextmanager
def set_for(stage: Stage, operation: Operation) -> Iterator[None]:
    """With all that is there before an operation."""
    with stage.taken_back(), stage.by_safe() if operation.by_safe else nullcontext():
        for work, given in operation.before:
            stage.do(work, **given)
        yield


def uninterrupted(stage: Stage, operation: Operation) -> Uninterrupted:
    before = stage.do("look")
    with stage.taken_back():
        (told,) = stage.run(stage.job(operation.work, key=KEY, **operation.arguments))
        entries = stage.do("journal")
        after = stage.do("look")
    assert {each["state"] for each in entries} == {"done"}
    assert after != before
    assert after["waiting"] == 0
    return Uninterrupted(told.points, before, after, told.result, len(entries), told.seconds)


@dataclass(frozen=True)
class Scene:
    """A chain with all that is there before an operation, and one run of it.

    Attributes:
        stage: Where the operation is done.
        operation: What is interrupted.
        whole: The run that nobody interrupted; it was taken back.
    """

    stage: Stage
    operation: Operation
    whole: Uninterrupted


@dataclass(frozen=True)
class Finished:
    """How something was finished.

    Attributes:
        signed: What had been signed for it before.
        sent: What was sent for it then.
    """

    signed: set[str]
    sent: list[str]

    @property
    def sent_again(self) -> list[str]:
        """What was sent as it had been signed before."""
        return [each for each in self.sent if each in self.signed]


def finish(
    stage: Stage,
    operation: Operation,
    whole: Uninterrupted,
    resumes: bool,
    same_nonce: bool = True,
) -> Finished:
    """Finishes what was interrupted, and checks that all is as after one whole run.

    Args:
        stage: The stage.
        operation: What was interrupted.
        whole: The uninterrupted run.
        resumes: Whether what is open is resumed first; else the same is just called again.
        same_nonce: Whether the account has sent as many transactions.
    """

    def seen(did: Did) -> Any:
        nonce = {} if same_nonce else {"nonce": whole.after["nonce"]}
        return {**did.result, **nonce}

    again: Work = (operation.work, {"key": KEY, **operation.arguments})
    resume: Work = ("resume", {})
    look: Work = ("look", {})
    journal: Work = ("journal", {})
    first = resume if resumes else ("nothing", {})
    was, resumed, between, done, after, entries = stage.several(
        journal, first, look, again, look, journal
    )
    noted = [each for each in was.result if each["state"] != "void"]
    if resumes:
        assert set(resumed.result) <= {"done"}
        if len(noted) == whole.entries:
            assert seen(between) == whole.after
        elif not noted and same_nonce:
            assert between.result == whole.before
    assert seen(after) == whole.after
    states = [each["state"] for each in entries.result if each["state"] != "void"]
    assert states == ["done"] * whole.entries
    if operation.work in ("start", "claim", "close"):
        assert done.result == whole.result
    resumed_again, done_again, at_last = stage.several(resume, again, look)
    assert (resumed_again.result, done_again.result) == ([], done.result)
    assert resumed_again.sent == done_again.sent == []
    assert at_last.result == after.result
    signed = {each for entry in noted for each, _ in entry["signed"]}
    return Finished(signed, [*resumed.sent, *done.sent])


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A chain that mines what was sent only when it was asked for it once in vain."""
    with own_anvil("--no-mining") as url, Nursery(url) as nursery:
        yield Stage(nursery, Variant.LIVE, True, tmp_path_factory.mktemp("crash"))


@pytest.fixture(scope="module", params=OPERATIONS)
def scene(stage: Stage, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """Each operation in turn, set up once for all tests of it."""
    operation = OPERATIONS[request.param]
    with set_for(stage, operation):
        yield Scene(stage, operation, uninterrupted(stage, operation))


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A chain that mines ten times a second, whatever happens."""
    with own_anvil("--block-time", "0.1") as url, Nursery(url) as nursery:
        yield Stage(nursery, Variant.REFERENCE, False, tmp_path_factory.mktemp("crash"))


# Kills.


def test_killed_at_any_point(scene: Scene) -> None:
    """At each step of the journal, and before and after HTTP requests: each, or each fourth."""
    stage, operation, whole = scene.stage, scene.operation, scene.whole
    assert set(whole.points) >= STEPS
    for at, point in enumerate(whole.points):
        if not (EVERY_POINT or point in STEPS or at % 4 == 0):
            continue
        with stage.taken_back(), about(f"killed at {at}, {point}"):
            told = interrupt(stage, operation, at)
            assert told.killed
            assert told.points == list(whole.points[: at + 1])
            finish(stage, operation, whole, resumes=bool(at // 4 % 2 if at % 4 == 0 else at % 2))


def test_killed_at_random(quick: Stage) -> None:
    seed = int(os.environ.get("SEED") or secrets.randbelow(10**9))
    wanted = int(os.environ.get("KILLS") or 24)
    chance = random.Random(seed)
    killed: Counter[str] = Counter()
    for number, (name, operation) in enumerate(OPERATIONS.items()):
        share = wanted * (number + 1) // len(OPERATIONS) - wanted * number // len(OPERATIONS)
        with set_for(quick, operation):
            whole = uninterrupted(quick, operation)
            kills = 0
            while kills < share:
                after, resumes = chance.uniform(0, whole.seconds), chance.random() < 0.5
                with quick.taken_back(), about(f"seed {seed}, {name}, killed after {after} s"):
                    given = {"key": KEY, **operation.arguments}
                    (told,) = quick.nursery.run(quick.job(operation.work, after=after, **given))
                    assert told.error is None, told
                    finished = finish(quick, operation, whole, resumes)
                kills += told.killed
                if told.killed:
                    past = [each for each in told.points if each in STEPS]
                    killed[f"killed {'after ' + past[-1] if past else 'before anything'}"] += 1
                    killed["sent before"] += len(set(told.sent))
                    killed["sent again as they were"] += len(finished.sent_again)
                    killed["signed after"] += len(set(finished.sent) - finished.signed)
    print(f"\nseed {seed}, {wanted} kills: {dict(sorted(killed.items()))}")


# Everything else.


@operations("start in two steps", "start by delegate", "request many")
def test_interrupted_at_any_point(scene: Scene) -> None:
    """By Ctrl-C."""
    stage, operation, whole = scene.stage, scene.operation, scene.whole
    for at, point in enumerate(whole.points):
        if point in STEPS or SEND in point or RECEIPT in point:
            with stage.taken_back(), about(f"interrupted at {at}, {point}"):
                told = interrupt(stage, operation, at, signal=SIGINT)
                assert told.error in ("KeyboardInterrupt", "SystemExit")
                finish(stage, operation, whole, resumes=bool(at % 2))


def test_its_connection_is_lost_once_it_is_sent(scene: Scene) -> None:
    stage, operation, whole = scene.stage, scene.operation, scene.whole
    for at, point in sendings(whole):
        with stage.taken_back(), about(f"lost at {at}, {point}"):
            told = interrupt(stage, operation, at, signal=LOST, patience=0.1)
            assert told.error or told.result
            finish(stage, operation, whole, resumes=bool(at % 2))


@pytest.mark.parametrize("resumes", [True, False])
def test_it_is_not_mined_in_time(scene: Scene, resumes: bool) -> None:
    stage, operation, whole = scene.stage, scene.operation, scene.whole
    with stage.taken_back():
        job = stage.job(operation.work, key=KEY, **operation.arguments)
        (told,) = stage.nursery.run(replace(job, mines=False, patience=0.1))
        assert told.error == "TransactionPending" or operation.work == "request_many"
        finish(stage, operation, whole, resumes)


def test_what_was_sent_is_dropped(scene: Scene) -> None:
    """Each of what waits to be mined, and all of it."""
    stage, operation, whole = scene.stage, scene.operation, scene.whole
    at, point = sendings(whole)[-1]
    for which in (0, -1, None):
        with stage.taken_back(), about(f"dropped {which} of what was sent by {at}, {point}"):
            waiting = waiting_after(stage, interrupt(stage, operation, at))
            for each in waiting if which is None else [waiting[which]]:
                stage.nursery.rpc("anvil_dropTransaction", each["hash"])
            finished = finish(stage, operation, whole, resumes=which == 0)
            assert set(finished.sent) <= finished.signed | set(finished.sent_again)


@operations(*(name for name in OPERATIONS if name != "start by delegate"))
def test_the_users_wallet_has_sped_it_up(scene: Scene) -> None:
    """The same call with the same nonce and a higher fee."""
    stage, operation, whole = scene.stage, scene.operation, scene.whole
    at, _ = sendings(whole)[-1]
    for which in (0, -1, None):
        with stage.taken_back(), about(f"{which} was sped up"):
            waiting = waiting_after(stage, interrupt(stage, operation, at))
            for each in waiting if which is None else [waiting[which]]:
                nonce, gas = int(each["nonce"], 16), int(each["gas"], 16)
                stage.do("transact", nonce=nonce, to=each["to"], data=each["input"], gas=gas)
            finish(stage, operation, whole, resumes=which == 0)


def test_the_users_wallet_has_cancelled_it(scene: Scene) -> None:
    """Another transaction with the same nonce and a higher fee."""
    stage, operation, whole = scene.stage, scene.operation, scene.whole
    at, _ = sendings(whole)[-1]
    for which in (0, -1, None):
        with stage.taken_back(), about(f"{which} was cancelled"):
            waiting = waiting_after(stage, interrupt(stage, operation, at))
            for each in waiting if which is None else [waiting[which]]:
                stage.do("transact", nonce=int(each["nonce"], 16))
            finish(stage, operation, whole, resumes=which == 0, same_nonce=False)


@operations("start in two steps")
@pytest.mark.parametrize("resumes", [True, False])
def test_the_users_wallet_has_sped_up_the_deposit_and_cancelled_the_start(
    scene: Scene, resumes: bool
) -> None:
    stage, operation, whole = scene.stage, scene.operation, scene.whole
    at, _ = sendings(whole)[-1]
    with stage.taken_back():
        deposit, start = waiting_after(stage, interrupt(stage, operation, at))
        nonce, gas = int(deposit["nonce"], 16), int(deposit["gas"], 16)
        stage.do("transact", nonce=nonce, to=deposit["to"], data=deposit["input"], gas=gas)
        stage.do("transact", nonce=int(start["nonce"], 16))
        finish(stage, operation, whole, resumes, same_nonce=False)


def test_its_nonces_are_used_elsewhere(scene: Scene) -> None:
    stage, operation, whole = scene.stage, scene.operation, scene.whole
    at = max(at for at, point in enumerate(whole.points) if point == Step.SIGNED.value)
    for used in (1, 2):
        with stage.taken_back(), about(f"{used} were used"):
            interrupt(stage, operation, at)
            for _ in range(used):
                stage.do("transact", nonce=stage.do("look")["nonce"])
                stage.nursery.rpc("evm_mine")
            finish(stage, operation, whole, resumes=used == 1, same_nonce=False)


@pytest.mark.parametrize("resumes", [True, False])
def test_a_reorganisation_takes_it_away(scene: Scene, resumes: bool) -> None:
    stage, operation, whole = scene.stage, scene.operation, scene.whole
    with stage.taken_back():
        before = stage.nursery.rpc("evm_snapshot")
        stage.do(operation.work, key=KEY, **operation.arguments)
        stage.nursery.rpc("evm_revert", before)
        finished = finish(stage, operation, whole, resumes)
        assert set(finished.sent) == finished.signed


@pytest.mark.parametrize("first", [True, False])
def test_a_node_behind_the_endpoint_lags(scene: Scene, first: bool) -> None:
    """Some answers are of the chain as it was before."""
    stage, operation, whole = scene.stage, scene.operation, scene.whole
    done = max(at for at, point in enumerate(whole.points) if point == Step.DONE.value)
    for at in (sendings(whole)[-1][0], done - 1, done):
        with stage.taken_back(), about(f"killed at {at}, {whole.points[at]}"):
            interrupt(stage, operation, at)
            stage.nursery.rpc("evm_mine")
            behind = whole.before["nonce"]
            resume = replace(stage.job("resume"), behind=behind, first=first, patience=2.0)
            (told,) = stage.nursery.run(resume)
            assert not {each for each in told.sent if each not in signed_on(stage)}
            finish(stage, operation, whole, resumes=True)


def signed_on(stage: Stage) -> set[str]:
    """What was signed for what happened."""
    return {
        each
        for entry in stage.do("journal")
        if entry["state"] != "void"
        for each, _ in entry["signed"]
    }


def interrupt(stage: Stage, operation: Operation, at: int, **how: Any) -> Told:
    """Does it until a point."""
    job = stage.job(operation.work, at, key=KEY, **operation.arguments)
    (told,) = stage.nursery.run(replace(job, **how))
    return told


def sendings(whole: Uninterrupted) -> list[tuple[int, str]]:
    """The points at which something has just been sent."""
    return [
        (at, point)
        for at, point in enumerate(whole.points)
        if point.startswith("after") and SEND in point
    ]


def waiting_after(stage: Stage, told: Told) -> list[Any]:
    """What was sent and waits to be mined, in the order of its nonces."""
    sent = [stage.nursery.rpc("eth_getTransactionByHash", each) for each in told.sent]
    return [each for each in sent if each["blockNumber"] is None]


@contextmanager
def about(what: str) -> Iterator[None]:
    """Says what a failure is about."""
    try:
        yield
    except AssertionError as err:
        raise AssertionError(f"{what}: {err}") from err
