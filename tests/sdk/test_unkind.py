"""Through an endpoint with random faults, every operation is paid once.

``make unkind`` runs 300 plays; ``PLAYS=1 SEED=number`` repeats one of them.
"""

from __future__ import annotations

import os
import random
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from ape_dtn.deployment.assemble import Variant
from benchmarks.chain import own_anvil
from tests.unkind import FaultyEndpoint, Rule, draw_rules

from .crash import ForkServer, ProcessReport, Sandbox, Task

METHODS = ("two-step", "allowance", "delegate", "authorization")

# Exit codes that a faulty endpoint may cause: no network, and unknown outcome.
ALLOWED_EXIT_CODES = (3, 7)

NO_NETWORK = ("ChainUnreachable", "RpcRefused")

# Acceptance timeout of transactions while the endpoint has faults, in seconds.
TIMEOUT = 0.25

# More interruption points than a process reaches.
MAX_POINTS = 120

# The plays are divided among this many tests, so that workers run them in parallel.
PARTS = 4


def opening(method: str) -> list[Task]:
    return [
        ("start", {"method": method, "key": "start"}),
        ("request", {"session": 1, "key": "ask"}),
        ("request_many_or_none", {"session": 1, "key": "many"}),
    ]


CLOSING: Sequence[Task] = (
    ("watch", {"session": 1}),
    ("close", {"session": 1, "key": "close"}),
)
RESUME: Task = "resume", {}


class Networks:
    """A network of each variant, on one chain behind one faulty endpoint."""

    def __init__(self, endpoint: FaultyEndpoint, fork_server: ForkServer, folders: Path) -> None:
        self.endpoint = endpoint
        self.sandboxes = {
            variant: Sandbox(fork_server, variant, True, folders / variant.value)
            for variant in Variant
        }
        self._baselines: dict[tuple[Variant, str], Mapping[str, Any]] = {}

    def baseline(self, variant: Variant, method: str) -> Mapping[str, Any]:
        """The account's state after a run without faults and interruption."""
        if (variant, method) not in self._baselines:
            sandbox = self.sandboxes[variant]
            with sandbox.reverted():
                sandbox.do("run_all", tasks=[*opening(method), ("answer", {}), *CLOSING])
                self._baselines[variant, method] = without_nonce(sandbox.do("read_state"))
        return self._baselines[variant, method]


def without_nonce(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """The account's state without its nonce, because cancelled transactions use nonces, too."""
    return {name: value for name, value in state.items() if name != "nonce"}


@pytest.fixture(scope="module")
def networks_behind_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Networks]:
    """A chain that mines a block when a receipt is requested and missing."""
    with (
        own_anvil("--no-mining") as url,
        FaultyEndpoint(url) as endpoint,
        ForkServer(endpoint.url) as fork_server,
    ):
        assert isinstance(endpoint, FaultyEndpoint)
        yield Networks(endpoint, fork_server, tmp_path_factory.mktemp("unkind"))


@dataclass
class Play:
    """A run of all tasks with random faults.

    Attributes:
        networks: The networks.
        seed: The seed of its random choices.
        results: The results of each idempotency key, one for each run of its operation.
        rules: The drawn rules.
        errors: The codes of the errors that were raised.
    """

    networks: Networks
    seed: int
    results: dict[str, list[Any]] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.variant = self.chance.choice(list(Variant))
        self.method = self.chance.choice(METHODS)
        self.sandbox = self.networks.sandboxes[self.variant]
        self.networks.endpoint.refused.clear()

    def run(self) -> None:
        """Runs the tasks, and asserts the same state as after the baseline."""
        baseline = self.networks.baseline(self.variant, self.method)
        tasks = opening(self.method)
        with self.sandbox.reverted():
            self._run_with_faults(tasks)
            self._run_with_faults([RESUME, *tasks] if self.chance.random() < 0.5 else tasks)
            self._run_without_faults([RESUME, *tasks, ("answer", {})])
            self._run_with_faults(CLOSING)
            self._run_without_faults([RESUME, *CLOSING])
            state, entries, resumed = self.sandbox.do(
                "run_all_or_errors", tasks=[("read_state", {}), ("journal", {}), RESUME]
            )
        assert without_nonce(state["result"]) == baseline
        states = Counter(entry["state"] for entry in entries["result"])
        assert (states["done"], states["open"]) == (6, 0)
        assert resumed["result"] == []
        for key, results in self.results.items():
            assert all(result == results[-1] for result in results), (key, results)

    def _run_with_faults(self, tasks: Sequence[Task]) -> None:
        """Runs tasks while the endpoint has faults; may kill the process at any point."""
        rules = draw_rules(self.chance)
        self.rules += [replace(rule) for rule in rules]
        at = self.chance.randrange(MAX_POINTS) if self.chance.random() < 0.5 else None
        self.networks.endpoint.start_faults(rules, self.chance.randrange(10**9))
        job = replace(self.sandbox.job("run_all_or_errors", at, tasks=tasks), timeout=TIMEOUT)
        (report,) = self.sandbox.fork_server.run(job)
        self.networks.endpoint.stop_faults()
        self._record(tasks, report, ALLOWED_EXIT_CODES)
        if self.chance.random() < 0.5:
            self.networks.endpoint.deliver_refused()

    def _run_without_faults(self, tasks: Sequence[Task]) -> None:
        """Runs tasks, then delivers the transactions that the endpoint refused before."""
        (report,) = self.sandbox.fork_server.run(self.sandbox.job("run_all_or_errors", tasks=tasks))
        assert not report.killed
        self._record(tasks, report, ())
        self.networks.endpoint.deliver_refused()
        self.sandbox.fork_server.rpc("evm_mine")

    def _record(self, tasks: Sequence[Task], report: ProcessReport, allowed: Sequence[int]) -> None:
        # Without the chain's first block, no task is run.
        assert report.error is None or (allowed and report.error in NO_NETWORK), report
        for (task, arguments), outcome in zip(tasks, report.result or [], strict=False):
            if "error" in outcome:
                assert outcome["exit"] in allowed, (task, outcome)
                self.errors[outcome["error"]] += 1
            elif "key" in arguments and None not in (
                outcome["result"],
                *as_list(outcome["result"]),
            ):
                self.results.setdefault(arguments["key"], []).append(outcome["result"])


def as_list(result: Any) -> list[Any]:
    return result if isinstance(result, list) else []


@contextmanager
def labelled(play: Play) -> Iterator[None]:
    """Adds the play to the message of a failed assertion."""
    try:
        yield
    except AssertionError as err:
        label = f"SEED={play.seed} PLAYS=1, {play.variant.value}, {play.method}"
        raise AssertionError(f"{label}, {play.rules}: {err}") from err


@pytest.mark.parametrize("part", range(PARTS))
def test_every_operation_is_paid_once_through_a_faulty_endpoint(
    networks_behind_proxy: Networks, part: int
) -> None:
    seed = int(os.environ.get("SEED") or secrets.randbelow(10**9))
    plays = int(os.environ.get("PLAYS") or 40)
    print(f"\nSEED={seed} PLAYS={plays}, part {part + 1} of {PARTS}")
    faults: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for number in range(part, plays, PARTS):
        play = Play(networks_behind_proxy, seed + number)
        with labelled(play):
            play.run()
        faults.update(rule.fault.name for rule in play.rules)
        errors += play.errors
    print(f"faults: {dict(sorted(faults.items()))}\nerrors: {dict(sorted(errors.items()))}")
