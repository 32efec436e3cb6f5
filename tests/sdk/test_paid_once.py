"""What an endpoint has refused may be mined later: it is paid once, and counted meanwhile."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from ape_dtn.deployment.assemble import Variant
from benchmarks.chain import own_anvil
from tests.unkind import WORDINGS

from .conftest import Endpoint
from .crash import SEND, Nursery, Stage
from .test_crash import (
    KEY,
    OPERATIONS,
    Operation,
    about,
    finish,
    sendings,
    set_for,
    uninterrupted,
)

# `make unkind` takes its time.
EVERY_WORDING = bool(os.environ.get("PLAYS"))

# For how many seconds a transaction is waited for that is refused.
PATIENCE = 0.2


class Refusing(Endpoint):
    """An endpoint that refuses one transaction however often it comes, until it takes it.

    Attributes:
        seen: The transactions that came, in their order.
        wording: What it says.
    """

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.seen: list[str] = []
        self._refused: int | None = None
        self._wording = ""

    def refuse_one(self, place: int | None, wording: str = "") -> None:
        """Refuses the one of this place among those that come from now on; None for none."""
        self.seen, self._refused, self._wording = [], place, wording

    def take(self) -> None:
        """Takes now what it has refused."""
        assert self._refused is not None
        late = self.seen[self._refused]
        self.refuse_one(None)
        self._pass(SEND, [late])
        self._pass("evm_mine", [])

    def answer(self, body: bytes) -> bytes:
        asked = json.loads(body)
        calls = asked if isinstance(asked, list) else [asked]
        if not any(call["method"] == SEND for call in calls):
            return super().answer(body)
        answers = [self._answer_to(call) for call in calls]
        return json.dumps(answers if isinstance(asked, list) else answers[0]).encode()

    def _answer_to(self, call: Any) -> Any:
        raw = call["params"][0] if call["method"] == SEND else None
        if raw is not None and raw not in self.seen:
            self.seen.append(raw)
        if raw is not None and self.seen.index(raw) == self._refused:
            error = {"code": -32000, "message": self._wording}
            return {"jsonrpc": "2.0", "id": call["id"], "error": error}
        return json.loads(super().answer(json.dumps(call).encode()))

    def _pass(self, method: str, params: Any) -> None:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        super().answer(json.dumps(call).encode())


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Refusing]:
    """Before a chain that mines what was sent only when it was asked for it once in vain."""
    with own_anvil("--no-mining") as url, Refusing(url) as served:
        assert isinstance(served, Refusing)
        yield served


@pytest.fixture(scope="module")
def stage(endpoint: Refusing, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Nursery(endpoint.url) as nursery:
        yield Stage(nursery, Variant.LIVE, True, tmp_path_factory.mktemp("refused"))


each_operation = pytest.mark.parametrize("name", OPERATIONS)
wordings = itertools.cycle(WORDINGS)


def sent_by(stage: Stage, endpoint: Refusing, operation: Operation) -> int:
    """How many transactions an operation sends."""
    with stage.taken_back():
        endpoint.refuse_one(None)
        stage.do(operation.work, key=KEY, **operation.arguments)
        return len(endpoint.seen)


def test_the_product_does_not_know_the_wordings() -> None:
    from pathlib import Path

    import ape_dtn

    text = "".join(each.read_text() for each in Path(ape_dtn.__file__).parent.rglob("*.py"))

    assert len(set(WORDINGS)) == 10
    assert not [each for each in WORDINGS if each.lower() in text.lower()]


@each_operation
@pytest.mark.parametrize("killed", [False, True])
def test_refused_then_mined(stage: Stage, endpoint: Refusing, name: str, killed: bool) -> None:
    """Each of its transactions in turn; killed as soon as the refusal is read, or not."""
    operation = OPERATIONS[name]
    with set_for(stage, operation):
        whole = uninterrupted(stage, operation)
        steps = range(sent_by(stage, endpoint, operation))
        points = [at for at, _ in sendings(whole)]
        for step, _ in itertools.product(steps, WORDINGS if EVERY_WORDING else [None]):
            wording = next(wordings)
            with stage.taken_back(), about(f"{step} refused with {wording!r}"):
                endpoint.refuse_one(step, wording)
                at = points[min(step, len(points) - 1)] if killed else None
                job = stage.job(operation.work, at, key=KEY, **operation.arguments)
                (told,) = stage.nursery.run(replace(job, patience=PATIENCE))
                assert told.killed is killed
                endpoint.take()
                finish(stage, operation, whole, resumes=bool(step % 2), same_nonce=False)


@pytest.mark.parametrize("name", ["start in two steps", "request", "request many", "close"])
def test_mined_after_it_was_finished(stage: Stage, endpoint: Refusing, name: str) -> None:
    """By an endpoint that takes what is signed anew, and what it has refused afterwards."""
    operation = OPERATIONS[name]
    with set_for(stage, operation):
        whole = uninterrupted(stage, operation)
        for step in range(sent_by(stage, endpoint, operation)):
            with stage.taken_back(), about(f"{step} refused"):
                endpoint.refuse_one(step, next(wordings))
                again = {"key": KEY, **operation.arguments}
                job = replace(stage.job(operation.work, **again), patience=PATIENCE)
                stage.nursery.run(job)
                (told,) = stage.nursery.run(stage.job(operation.work, **again))
                assert told.error is None, told
                with suppress(IndexError):
                    endpoint.take()
                finish(stage, operation, whole, resumes=False, same_nonce=False)
