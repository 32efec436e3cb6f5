"""Nodes in processes of their own, killed and started again, several of them with one id."""

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

from .conftest import completed, until

HOW_MANY = 200
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


class Site:
    """A network on an Anvil of its own, and a folder where its node is served."""

    def __init__(self, network: LocalNetwork, shell: Shell) -> None:
        self.network, self.shell = network, shell
        self.asked = shell.folder / "asked.txt"
        self.answers = shell.folder / "answers.py"
        self.answers.write_text(ANSWERS)

    @contextmanager
    def serving(self, *options: str, seconds: float = 0) -> Iterator[Running]:
        backend = f"function:{self.answers}:answer"
        command = ("ape", "dtn", "node", "serve", NODE, "--worker", "TEST::1", "--json")
        where = ("--router", self.network.ai.router, "--backend", backend)
        having = self.shell.having(ASKED=str(self.asked), SECONDS=str(seconds))
        with having.running(*command, *where, *options) as running:
            running.until(lambda: "started" in running.out)
            yield running

    def questions(self) -> Counter[str]:
        return Counter(self.asked.read_text().splitlines() if self.asked.exists() else ())

    def sent(self, worker: Any) -> int:
        """How many transactions the worker has sent."""
        provider = self.network.ai.provider
        return as_int(
            rpc.result(provider, "eth_getTransactionCount", [str(worker.address), "latest"])
        )


Sites = Callable[[Variant], Site]


@pytest.fixture
def site_of(cast: Cast, tmp_path: Path) -> Iterator[Sites]:
    with ExitStack() as stack:

        def site_of(variant: Variant) -> Site:
            url = stack.enter_context(own_anvil())
            provider = stack.enter_context(connected_to(url))
            network = deploy(cast.owner, cast.worker, variant)
            fund(provider, cast.owner, network.token, str(cast.customer.address), 10**9)
            shell = Shell(tmp_path).having(APE_FOUNDRY_HOST=url, APE_DTN_NETWORK=FOUNDRY)
            return Site(network, shell)

        yield site_of


def test_two_processes_of_one_node_killed_three_times_answer_all_once(
    site_of: Sites, cast: Cast
) -> None:
    site = site_of(Variant.LIVE)
    network = site.network
    session = DtnSession.start("100", cast.customer, network.ai)
    options = {"seconds": 0.4}
    with ExitStack() as stack:

        def start() -> Running:
            return stack.enter_context(site.serving("--at-once", str(AT_ONCE), **options))

        running = [start(), start()]
        prompts = [f"What is {place}?" for place in range(HOW_MANY)]
        requests = [each for each in session.request_many(prompts) if isinstance(each, DtnRequest)]
        for kill, reached in enumerate((20, 60, 100)):
            until(lambda reached=reached: len(completed(network)) >= reached, 60)
            victim = running[kill % 2]
            victim.process.send_signal(signal.SIGKILL)
            victim.process.wait()
            running[kill % 2] = start()
        answers = wait_all(requests, timeout=90)
        for each in running:
            each.process.send_signal(signal.SIGTERM)
        codes = [each.process.wait(30) for each in running]

    assert [str(each) for each in answers] == [f"You asked: {each}" for each in prompts]
    assert sorted(completed(network)) == sorted(each.id for each in requests)
    assert site.sent(cast.worker) == HOW_MANY  # nothing was sent twice, nor in vain
    assert codes == [0, 0]
    asked = site.questions()
    assert set(asked) == set(prompts)
    # What was being asked when a process was killed is asked again, and nothing else.
    assert asked.total() - HOW_MANY <= 3 * AT_ONCE
    for each in running:
        events = [json.loads(line) for line in each.out.splitlines()]
        assert (events[0]["event"], events[-1]["event"]) == ("started", "stopped")
        assert events[-1]["left"] == 0


def test_an_answer_that_was_paid_for_outlives_its_process(site_of: Sites, cast: Cast) -> None:
    site = site_of(Variant.REFERENCE)
    provider, worker = site.network.ai.provider, str(cast.worker.address)
    session = DtnSession.start("5", cast.customer, site.network.ai)
    request = session.request("Once?")
    rpc.result(provider, "anvil_setBalance", [worker, "0x0"])  # nothing can be sent

    with site.serving() as running:
        running.until(lambda: "retried" in running.out)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
    rpc.result(provider, "anvil_setBalance", [worker, hex(10**20)])
    with site.serving() as running:
        assert str(request.wait(timeout=30)) == "You asked: Once?"

    assert site.questions() == {"Once?": 1}


def test_a_response_that_was_sent_before_a_kill_is_not_sent_again(
    site_of: Sites, cast: Cast
) -> None:
    site = site_of(Variant.REFERENCE)
    provider = site.network.ai.provider
    session = DtnSession.start("5", cast.customer, site.network.ai)
    request = session.request("Once?")
    rpc.result(provider, "evm_setAutomine", [False])

    def pending() -> int:
        found = rpc.result(
            provider, "eth_getTransactionCount", [str(cast.worker.address), "pending"]
        )
        return as_int(found)

    with site.serving() as running:
        running.until(lambda: pending() == 1)
        running.process.send_signal(signal.SIGKILL)
        running.process.wait()
    with site.serving() as running:
        time.sleep(1)  # in which it could send what it must not
        assert pending() == 1
        rpc.result(provider, "evm_setAutomine", [True])
        rpc.result(provider, "evm_mine", [])
        running.until(lambda: "answered" in running.out)

    assert str(request.answer()) == "You asked: Once?"
    assert site.sent(cast.worker) == 1
    assert site.questions() == {"Once?": 1}
