"""Played against an endpoint that misbehaves at random, everything is paid once, and told truly.

``make unkind`` plays 300 times; ``PLAYS=1 SEED=number`` repeats the play of that number.
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
from tests.unkind import Rule, Unkind, draw

from .crash import Nursery, Stage, Told, Work

METHODS = ("two-step", "allowance", "delegate", "authorization")

# The exit codes of what is not known, or could not be done, because of the endpoint.
NOT_KNOWN = (3, 7)

NO_NETWORK = ("ChainUnreachable", "RpcRefused")

# For how many seconds a transaction is waited for while the endpoint is unkind.
PATIENCE = 0.25

# More points than a process comes by.
MOST_POINTS = 120

# The plays are dealt out to as many tests, so that workers can share them.
PARTS = 4


def opening(method: str) -> list[Work]:
    """A session, and what is asked on it."""
    return [
        ("start", {"method": method, "key": "start"}),
        ("request", {"session": 1, "key": "ask"}),
        ("request_each", {"session": 1, "key": "many"}),
    ]


CLOSING: Sequence[Work] = (
    ("watch", {"session": 1}),
    ("close", {"session": 1, "key": "close"}),
)
RESUME: Work = "resume", {}


class Theatre:
    """A network of each variant, on one chain behind one endpoint, and what is played there."""

    def __init__(self, endpoint: Unkind, nursery: Nursery, folders: Path) -> None:
        self.endpoint = endpoint
        self.stages = {
            variant: Stage(nursery, variant, True, folders / variant.value) for variant in Variant
        }
        self._whole: dict[tuple[Variant, str], Mapping[str, Any]] = {}

    def whole(self, variant: Variant, method: str) -> Mapping[str, Any]:
        """What there is after an uninterrupted run against a kind endpoint."""
        if (variant, method) not in self._whole:
            stage = self.stages[variant]
            with stage.taken_back():
                stage.do("several", works=[*opening(method), ("answer", {}), *CLOSING])
                self._whole[variant, method] = money(stage.do("look"))
        return self._whole[variant, method]


def money(seen: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was moved. An account may have sent more: what is cancelled uses a nonce."""
    return {name: found for name, found in seen.items() if name != "nonce"}


@pytest.fixture(scope="module")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    """A chain that mines what was sent only when it was asked for it once in vain."""
    with (
        own_anvil("--no-mining") as url,
        Unkind(url) as endpoint,
        Nursery(endpoint.url) as nursery,
    ):
        assert isinstance(endpoint, Unkind)
        yield Theatre(endpoint, nursery, tmp_path_factory.mktemp("unkind"))


@dataclass
class Play:
    """One play.

    Attributes:
        theatre: Where.
        seed: What is drawn with.
        told: What was told of each key, each time it was told.
    """

    theatre: Theatre
    seed: int
    told: dict[str, list[Any]] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.variant = self.chance.choice(list(Variant))
        self.method = self.chance.choice(METHODS)
        self.stage = self.theatre.stages[self.variant]
        self.theatre.endpoint.late.clear()

    def run(self) -> None:
        """Plays it, and looks whether all is as after an uninterrupted run."""
        whole = self.theatre.whole(self.variant, self.method)
        works = opening(self.method)
        with self.stage.taken_back():
            self._unkindly(works)
            self._unkindly([RESUME, *works] if self.chance.random() < 0.5 else works)
            self._kindly([RESUME, *works, ("answer", {})])
            self._unkindly(CLOSING)
            self._kindly([RESUME, *CLOSING])
            seen, entries, again = self.stage.do(
                "attempt", works=[("look", {}), ("journal", {}), RESUME]
            )
        assert money(seen["result"]) == whole
        states = Counter(each["state"] for each in entries["result"])
        assert (states["done"], states["open"]) == (6, 0)
        assert again["result"] == []
        for key, told in self.told.items():
            assert all(each == told[-1] for each in told), (key, told)

    def _unkindly(self, works: Sequence[Work]) -> None:
        """Attempts it while the endpoint misbehaves; it may be killed at any point."""
        rules = draw(self.chance)
        self.rules += [replace(each) for each in rules]
        at = self.chance.randrange(MOST_POINTS) if self.chance.random() < 0.5 else None
        self.theatre.endpoint.be_unkind(rules, self.chance.randrange(10**9))
        job = replace(self.stage.job("attempt", at, works=works), patience=PATIENCE)
        (told,) = self.stage.nursery.run(job)
        self.theatre.endpoint.be_kind()
        self._note(works, told, NOT_KNOWN)
        if self.chance.random() < 0.5:
            self.theatre.endpoint.take_late()

    def _kindly(self, works: Sequence[Work]) -> None:
        """Does it, and sends then what the endpoint had refused before."""
        (told,) = self.stage.nursery.run(self.stage.job("attempt", works=works))
        assert not told.killed
        self._note(works, told, ())
        self.theatre.endpoint.take_late()
        self.stage.nursery.rpc("evm_mine")

    def _note(self, works: Sequence[Work], told: Told, allowed: Sequence[int]) -> None:
        # Where not even the chain's first block was told, nothing was attempted.
        assert told.error is None or (allowed and told.error in NO_NETWORK), told
        for (work, given), outcome in zip(works, told.result or [], strict=False):
            if "error" in outcome:
                assert outcome["exit"] in allowed, (work, outcome)
                self.errors[outcome["error"]] += 1
            elif "key" in given and None not in (outcome["result"], *listed(outcome["result"])):
                self.told.setdefault(given["key"], []).append(outcome["result"])


def listed(result: Any) -> list[Any]:
    return result if isinstance(result, list) else []


@contextmanager
def about(play: Play) -> Iterator[None]:
    """Says which play a failure is of."""
    try:
        yield
    except AssertionError as err:
        what = f"SEED={play.seed} PLAYS=1, {play.variant.value}, {play.method}"
        raise AssertionError(f"{what}, {play.rules}: {err}") from err


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_the_endpoint_does_all_is_paid_once(theatre: Theatre, part: int) -> None:
    seed = int(os.environ.get("SEED") or secrets.randbelow(10**9))
    plays = int(os.environ.get("PLAYS") or 40)
    print(f"\nSEED={seed} PLAYS={plays}, part {part + 1} of {PARTS}")
    met: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for number in range(part, plays, PARTS):
        play = Play(theatre, seed + number)
        with about(play):
            play.run()
        met.update(each.fault.name for each in play.rules)
        errors += play.errors
    print(f"drawn: {dict(sorted(met.items()))}\ntold: {dict(sorted(errors.items()))}")
