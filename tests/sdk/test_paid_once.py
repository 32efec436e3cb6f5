"""A transaction that an endpoint refuses and mines later is paid once, and counts until then."""

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
from tests.unkind import REFUSALS

from .conftest import Endpoint
from .crash import SEND, ForkServer, Sandbox
from .test_crash import (
    KEY,
    OPERATIONS,
    Operation,
    broadcast_points,
    finish_and_check,
    labelled,
    prepared,
    run_baseline,
)

# `make unkind` tries every message.
EVERY_MESSAGE = bool(os.environ.get("PLAYS"))

# Acceptance timeout of refused transactions, in seconds.
TIMEOUT = 0.2


class RefusingEndpoint(Endpoint):
    """A proxy that refuses one transaction, each time it is sent, until it delivers it.

    Attributes:
        received: The received transactions, in their order.
    """

    def __init__(self, upstream: str) -> None:
        super().__init__(upstream)
        self.received: list[str] = []
        self._refused: int | None = None
        self._message = ""

    def refuse_one(self, place: int | None, message: str = "") -> None:
        """Refuses the transaction with this index from now on, or none."""
        self.received, self._refused, self._message = [], place, message

    def deliver_refused(self) -> None:
        """Sends the refused transaction to the chain, and mines it."""
        assert self._refused is not None
        refused = self.received[self._refused]
        self.refuse_one(None)
        self._forward(SEND, [refused])
        self._forward("evm_mine", [])

    def answer(self, body: bytes) -> bytes:
        asked = json.loads(body)
        calls = asked if isinstance(asked, list) else [asked]
        if not any(call["method"] == SEND for call in calls):
            return super().answer(body)
        answers = [self._answer_to(call) for call in calls]
        return json.dumps(answers if isinstance(asked, list) else answers[0]).encode()

    def _answer_to(self, call: Any) -> Any:
        raw = call["params"][0] if call["method"] == SEND else None
        if raw is not None and raw not in self.received:
            self.received.append(raw)
        if raw is not None and self.received.index(raw) == self._refused:
            error = {"code": -32000, "message": self._message}
            return {"jsonrpc": "2.0", "id": call["id"], "error": error}
        return json.loads(super().answer(json.dumps(call).encode()))

    def _forward(self, method: str, params: Any) -> None:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        super().answer(json.dumps(call).encode())


@pytest.fixture(scope="module")
def endpoint() -> Iterator[RefusingEndpoint]:
    """A proxy for a chain that mines a block when a receipt is requested and missing."""
    with own_anvil("--no-mining") as url, RefusingEndpoint(url) as served:
        assert isinstance(served, RefusingEndpoint)
        yield served


@pytest.fixture(scope="module")
def sandbox(
    endpoint: RefusingEndpoint, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    with ForkServer(endpoint.url) as fork_server:
        yield Sandbox(fork_server, Variant.LIVE, True, tmp_path_factory.mktemp("refused"))


all_operations = pytest.mark.parametrize("name", OPERATIONS)
messages = itertools.cycle(REFUSALS)


def count_sent(sandbox: Sandbox, endpoint: RefusingEndpoint, operation: Operation) -> int:
    with sandbox.reverted():
        endpoint.refuse_one(None)
        sandbox.do(operation.task, key=KEY, **operation.arguments)
        return len(endpoint.received)


def test_the_package_recognises_none_of_the_messages() -> None:
    from pathlib import Path

    import ape_dtn

    text = "".join(file.read_text() for file in Path(ape_dtn.__file__).parent.rglob("*.py"))

    assert len(set(REFUSALS)) == 10
    assert not [message for message in REFUSALS if message.lower() in text.lower()]


@all_operations
@pytest.mark.parametrize("killed", [False, True])
def test_a_refused_transaction_that_is_mined_later_is_paid_once(
    sandbox: Sandbox, endpoint: RefusingEndpoint, name: str, killed: bool
) -> None:
    """Refuses each transaction of an operation in turn; may kill the process at the refusal."""
    operation = OPERATIONS[name]
    with prepared(sandbox, operation):
        baseline = run_baseline(sandbox, operation)
        steps = range(count_sent(sandbox, endpoint, operation))
        points = [at for at, _ in broadcast_points(baseline)]
        for step, _ in itertools.product(steps, REFUSALS if EVERY_MESSAGE else [None]):
            message = next(messages)
            with sandbox.reverted(), labelled(f"{step} refused with {message!r}"):
                endpoint.refuse_one(step, message)
                at = points[min(step, len(points) - 1)] if killed else None
                job = sandbox.job(operation.task, at, key=KEY, **operation.arguments)
                (report,) = sandbox.fork_server.run(replace(job, timeout=TIMEOUT))
                assert report.killed is killed
                endpoint.deliver_refused()
                finish_and_check(
                    sandbox, operation, baseline, resumes=bool(step % 2), same_nonce=False
                )


@pytest.mark.parametrize("name", ["start in two steps", "request", "request many", "close"])
def test_a_refused_transaction_that_is_mined_after_completion_is_paid_once(
    sandbox: Sandbox, endpoint: RefusingEndpoint, name: str
) -> None:
    """The endpoint accepts the newly signed transaction, and later the refused one."""
    operation = OPERATIONS[name]
    with prepared(sandbox, operation):
        baseline = run_baseline(sandbox, operation)
        for step in range(count_sent(sandbox, endpoint, operation)):
            with sandbox.reverted(), labelled(f"{step} refused"):
                endpoint.refuse_one(step, next(messages))
                again = {"key": KEY, **operation.arguments}
                job = replace(sandbox.job(operation.task, **again), timeout=TIMEOUT)
                sandbox.fork_server.run(job)
                (report,) = sandbox.fork_server.run(sandbox.job(operation.task, **again))
                assert report.error is None, report
                with suppress(IndexError):
                    endpoint.deliver_refused()
                finish_and_check(sandbox, operation, baseline, resumes=False, same_nonce=False)
