"""Measure many requests of one session in flight: sent, answered by a node process, awaited.

``python benchmarks/flight.py [how many]`` prints the HTTP requests, RPC calls and seconds of the
requesting side as JSON, for both variants of the network. It needs Anvil on the PATH, and starts a
private one and a node process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ape_dtn import DtnRequest, DtnSession
from ape_dtn.chain import reads
from ape_dtn.client.request import wait_all
from ape_dtn.deployment.assemble import Variant, deploy, fund
from ape_dtn.network.abi import Router
from benchmarks.chain import connected_to, own_anvil
from benchmarks.rpc_counter import TRACES, Count, RpcCounter

HOW_MANY = 200
READ = 999  # beside the head of the chain, as many as one HTTP request takes
NODE = """
import sys
from ape import accounts, networks
from ape_dtn import DtnAi
from ape_dtn.deployment.assemble import NODE
from ape_dtn.node.node import DtnNode

with networks.parse_network_choice("ethereum:local:foundry"):
    DtnNode(DtnAi(sys.argv[1]), NODE, accounts.test_accounts[1]).serve()
"""

_T = TypeVar("_T")


def measure(variant: Variant, how_many: int = HOW_MANY) -> dict[str, Any]:
    """Send the requests, wait for the answers, and return the counts and the results."""
    from ape.utils.basemodel import ManagerAccessMixin as access

    with ExitStack() as stack:
        chain = stack.enter_context(own_anvil())
        counter = RpcCounter(chain, refuse=TRACES, hold_receipts=True)
        stack.enter_context(counter)
        provider = stack.enter_context(connected_to(counter.url))
        owner, worker, customer = access.account_manager.test_accounts[:3]
        network = deploy(owner, worker, variant)
        ai = network.ai
        fund(provider, owner, network.token, str(customer.address), 1_000_000_000)
        session = DtnSession.start("100", customer, ai)
        stack.enter_context(_node(chain, ai.router))

        prompts = [f"What is {place}?" for place in range(how_many)]
        sent, sending = _timed(counter, lambda: session.request_many(prompts))
        answers, waiting = _timed(counter, lambda: wait_all(sent, timeout=120))
        ids = [request.id for request in sent if isinstance(request, DtnRequest)]
        # Reading a request twice costs as much as reading two: repeat the ids to get as many.
        repeated = (ids * (READ // len(ids) + 1))[:READ]
        _, reading = _timed(counter, lambda: DtnRequest.load_many(repeated, ai))
        completed = reads.logs(provider, ai.router, [Router.request_completed.topic])
        return {
            "asked": how_many,
            "ids": len(set(ids)),
            "completed": len(completed),
            "right": sum(
                str(answer) == f"You asked: {prompt}"
                for answer, prompt in zip(answers, prompts, strict=True)
            ),
            "sending": sending,
            "waiting": waiting,
            "reading": reading,
        }


def _timed(counter: RpcCounter, operation: Callable[[], _T]) -> tuple[_T, dict[str, Any]]:
    started = time.monotonic()
    with counter.counting() as count:
        result = operation()
    return result, {"seconds": round(time.monotonic() - started, 2), **_plain(count)}


def _plain(count: Count) -> dict[str, Any]:
    return {name: value for name, value in count.as_dict().items() if name != "traces"}


@contextmanager
def _node(chain: str, router: str) -> Iterator[None]:
    """Run a node in another process until the context ends."""
    environment = {**os.environ, "APE_FOUNDRY_HOST": chain}
    process = subprocess.Popen(
        [sys.executable, "-c", NODE, router], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Print the figures of both variants."""
    how_many = int(sys.argv[1]) if len(sys.argv) > 1 else HOW_MANY
    found = {variant.value.lower(): measure(variant, how_many) for variant in Variant}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
