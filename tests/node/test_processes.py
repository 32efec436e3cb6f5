"""One node served by several processes, which are killed and restarted."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ape_dtn import DtnRequest, DtnSession
from ape_dtn.chain import rpc
from ape_dtn.client.request import wait_all
from ape_dtn.deployment.assemble import NODE, LocalNetwork, Variant, deploy, fund
from ape_dtn.types.rpc import as_int
from benchmarks.chain import connected_to, own_anvil
from tests.cli.shell import FOUNDRY, Running, Shell
from tests.conftest import Cast

from .conftest import completed_ids, until

COUNT = 200
AT_ONCE = 8
ANSWERS = """
import os, time
from pathlib import Path

def answer(question):
    with Path(os.environ["ASKED"]).open("a") as asked:
        asked.write(question.text + "\\n")
    time.sleep(float(os.environ.get("SECONDS", "0")))
    return f"You asked: {question.text}"
"""


class Host:
    """A network on its own Anvil, and a folder in which to serve its node."""

    def __init__(self, network: LocalNetwork, shell: Shell) -> None:
        self.network, self.shell = network, shell
        self.questions_file = shell.folder / "asked.txt"
        self.answers = shell.folder / "answers.py"
        self.answers.write_text(ANSWERS)

    @contextmanager
    def serving(self, *options: str, seconds: float = 0) -> Iterator[Running]:
        backend = f"function:{self.answers}:answer"
        command = ("ape", "dtn", "node", "serve", NODE, "--worker", "TEST::1", "--json")
        options_of_host = ("--router", self.network.ai.router, "--backend", backend)
        shell = self.shell.having(ASKED=str(self.questions_file), SECONDS=str(seconds))
        with shell.running(*command, *options_of_host, *options) as running:
            running.until(lambda: "started" in running.out)
            yield running

    def questions(self) -> Counter[str]:
        return Counter(
            self.questions_file.read_text().splitlines() if self.questions_file.exists() else ()
        )

    def transactions_sent(self, worker: Any) -> int:
        provider = self.network.ai.provider
        return as_int(
            rpc.result(provider, "eth_getTransactionCount", [str(worker.address), "latest"])
        )


Hosts = Callable[[Variant], Host]


@pytest.fixture
def make_host(cast: Cast, tmp_path: Path) -> Iterator[Hosts]:
    with ExitStack() as stack:

        def make_host(variant: Variant) -> Host:
            url = stack.enter_context(own_anvil())
            provider = stack.enter_context(connected_to(url))
            network = deploy(cast.owner, cast.worker, variant)
            fund(provider, cast.owner, network.token, str(cast.customer.address), 10**9)
            shell = Shell(tmp_path).having(APE_FOUNDRY_HOST=url, APE_DTN_NETWORK=FOUNDRY)
            return Host(network, shell)

        yield make_host


def test_two_processes_answer_every_request_once_despite_kills(
    make_host: Hosts, cast: Cast
) -> None:
    host = make_host(Variant.LIVE)
    network = host.network
    session = DtnSession.start("100", cast.customer, network.ai)
    options = {"seconds": 0.4}
    with ExitStack() as stack:

        def start() -> Running:
            return stack.enter_context(host.serving("--at-once", str(AT_ONCE), **options))

        running = [start(), start()]
        prompts = [f"What is {number}?" for number in range(COUNT)]
        requests = [item for item in session.request_many(prompts) if isinstance(item, DtnRequest)]
        for kill, reached in enumerate((20, 60, 100)):
            until(lambda reached=reached: len(completed_ids(network)) >= reached, 60)
            victim = running[kill % 2]
            victim.process.send_signal(signal.SIGKILL)
            victim.process.wait()
            running[kill % 2] = start()
        answers = wait_all(requests, timeout=90)
        for process in running:
            process.process.send_signal(signal.SIGTERM)
        codes = [process.process.wait(30) for process in running]

    assert [str(answer) for answer in answers] == [f"You asked: {prompt}" for prompt in prompts]
    assert sorted(completed_ids(network)) == sorted(request.id for request in requests)
    assert host.transactions_sent(cast.worker) == COUNT  # no duplicates, no reverts
    assert codes == [0, 0]
    questions = host.questions()
    assert set(questions) == set(prompts)
    # Only questions in flight at a kill are asked again.
    assert questions.total() - COUNT <= 3 * AT_ONCE
    for process in running:
        events = [json.loads(line) for line in process.out.splitlines()]
        assert (events[0]["event"], events[-1]["event"]) == ("started", "stopped")
        assert events[-1]["left"] == 0


def test_a_stored_answer_survives_a_kill(make_host: Hosts, cast: Cast) -> None:
    host = make_host(Variant.REFERENCE)
    provider, worker = host.network.ai.provider, str(cast.worker.address)
    session = DtnSession.start("5", cast.customer, host.network.ai)
    request = session.request("Once?")
    rpc.result(provider, "anvil_setBalance", [worker, "0x0"])  # the worker cannot pay for gas

    with host.serving() as running:
        running.until(lambda: "retried" in running.out)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
    rpc.result(provider, "anvil_setBalance", [worker, hex(10**20)])
    with host.serving() as running:
        assert str(request.wait(timeout=30)) == "You asked: Once?"

    assert host.questions() == {"Once?": 1}


def test_a_response_sent_before_a_kill_is_not_sent_again(make_host: Hosts, cast: Cast) -> None:
    host = make_host(Variant.REFERENCE)
    provider = host.network.ai.provider
    session = DtnSession.start("5", cast.customer, host.network.ai)
    request = session.request("Once?")
    rpc.result(provider, "evm_setAutomine", [False])

    def pending() -> int:
        count = rpc.result(
            provider, "eth_getTransactionCount", [str(cast.worker.address), "pending"]
        )
        return as_int(count)

    with host.serving() as running:
        running.until(lambda: pending() == 1)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
    with host.serving() as running:
        time.sleep(1)  # time in which it could send a duplicate
        assert pending() == 1
        rpc.result(provider, "evm_setAutomine", [True])
        rpc.result(provider, "evm_mine", [])
        running.until(lambda: "answered" in running.out)

    assert str(request.answer()) == "You asked: Once?"
    assert host.transactions_sent(cast.worker) == 1
    assert host.questions() == {"Once?": 1}
