"""Measure how many requests a node answers per second, by its way of signing.

``python benchmarks/serving.py`` prints, as JSON, for signing with coincurve, in pure Python, and in
pure Python with the signer recovered from each signature, as Ape does it by itself:

- the milliseconds of processor time that signing and serializing one transaction takes;
- for both variants of the network, and for 1, 20 and 200 requests in flight, the answers per
  second of a node process with the echo backend, and, as an upper bound, of the same transactions
  signed beforehand and sent to the same chain, up to 64 in one HTTP request;
- on Linux, the milliseconds of processor time that the node took for each answer, without its
  start.

Only the node's way of signing differs between runs. Time counts from when the requests are on the
chain until the last of them is completed. It needs Anvil on the PATH, and starts a private one and
a node process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from eth_abi import encode

from ape_dtn import DtnRequest, DtnSession, Status
from ape_dtn.chain import reads, rpc
from ape_dtn.deployment.assemble import Variant, deploy, fund
from ape_dtn.network.abi import Router
from ape_dtn.network.requests import read_records
from ape_dtn.node.answering import Result, response_transaction
from ape_dtn.types.ids import id_of
from ape_dtn.types.rpc import as_int
from benchmarks.chain import HIGH_GAS_PRICE, connected_to, own_anvil

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn import DtnAi
    from ape_dtn.deployment.assemble import LocalNetwork

COINCURVE = "eth_keys.backends.coincurve.CoinCurveECCBackend"
PURE_PYTHON = "eth_keys.backends.native.main.NativeECCBackend"
RECOVERING = """
from ape_dtn.chain import signers
signers.serialize = lambda _, signed: bytes(signed.serialize_transaction())
"""

# For each way, the value of ECC_BACKEND_CLASS, which eth-keys reads, and code to run first.
WAYS = {
    "coincurve": (COINCURVE, ""),
    "pure Python": (PURE_PYTHON, ""),
    "pure Python, recovering": (PURE_PYTHON, RECOVERING),
}

# Requests in flight: number of measurements.
FLIGHTS = {1: 7, 20: 3, 200: 1}

# Transactions that do not fit into one block can stay in Anvil's queue for ever.
PER_BLOCK = 64
RESPONSE_GAS = 450_000
# Seconds.
POLL_INTERVAL = 0.01
PAUSE_BEFORE_MEASURING = 0.5
TIMEOUT = 120
NODE = """
import sys
from ape import accounts, networks
from ape_dtn import DtnAi, DtnNode
from ape_dtn.deployment.assemble import NODE

with networks.parse_network_choice("ethereum:local:foundry"):
    DtnNode(DtnAi(sys.argv[1]), NODE, accounts.test_accounts[1]).serve()
"""

# The first signature is not measured: Ape recovers its signer.
SIGNATURES = 200
SIGNING = """
import sys, time
from ape import networks
from ape_dtn.chain.signers import sign
from ape_test.accounts import TestAccount
from eth_account import Account

key = bytes([1] * 32)
address = Account.from_key(key).address
account = TestAccount(index=0, address_str=address, private_key="0x" + key.hex())
unsigned = networks.ethereum.create_transaction(
    type=2, chain_id=1, sender=address, receiver=address, nonce=0, gas_limit=450_000,
    max_fee=10**9, max_priority_fee=1, data=bytes(500),
)
sign(account, unsigned)
begun = time.process_time()
for _ in range(int(sys.argv[1])):
    sign(account, unsigned)
print(time.process_time() - begun)
"""


def sign(way: str) -> float:
    """Milliseconds of processor time that signing and serializing one transaction takes."""
    backend, before = WAYS[way]
    command = [sys.executable, "-c", before + SIGNING, str(SIGNATURES)]
    environment = {**os.environ, "ECC_BACKEND_CLASS": backend}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return round(1000 * float(ran.stdout) / SIGNATURES, 3)


def measure(way: str, variant: Variant, in_flight: int, times: int) -> dict[str, float]:
    """Answers per second of the node and of the bare chain, measured in turn on one new chain.

    A new chain for each call, since Anvil slows down with the length of its history.
    """
    from ape.utils.basemodel import ManagerAccessMixin as access

    with ExitStack() as stack:
        chain = stack.enter_context(own_anvil())
        provider = stack.enter_context(connected_to(chain))
        owner, worker, customer = access.account_manager.test_accounts[:3]
        network = deploy(owner, worker, variant)
        fund(provider, owner, network.token, str(customer.address), 1_000_000_000)
        session = DtnSession.start("1000", customer, network.ai)
        node = stack.enter_context(_node(way, chain, network.ai.router))
        # The node has started once it answers.
        _until_completed(network.ai, _completed(network.ai), len(_asked(session, 1)))
        node.send_signal(signal.SIGSTOP)
        seconds: dict[str, list[float]] = {"node": [], "bare chain": []}
        used_before = _processor_seconds(node)
        for _ in range(times):
            seconds["bare chain"].append(_bare(session, network, worker, in_flight))
            seconds["node"].append(_by_node(session, node, in_flight))
        found = {who: round(in_flight / median(values), 1) for who, values in seconds.items()}
        if used := _processor_seconds(node) - used_before:
            found["node's processor ms"] = round(1000 * used / (in_flight * times), 1)
        return found


def _processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """Seconds of processor time that a process has used so far; 0 on systems without /proc."""
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.exists():
        return 0
    after_name = stat.read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in after_name[11:13]) / os.sysconf("SC_CLK_TCK")


def _by_node(session: DtnSession, node: subprocess.Popen[bytes], how_many: int) -> float:
    """Seconds that the node takes; it is stopped while the requests are sent."""
    before = _completed(session.ai)
    _asked(session, how_many)
    time.sleep(PAUSE_BEFORE_MEASURING)
    node.send_signal(signal.SIGCONT)
    started = time.monotonic()
    _until_completed(session.ai, before, how_many)
    seconds = time.monotonic() - started
    node.send_signal(signal.SIGSTOP)
    return seconds


def _bare(session: DtnSession, network: LocalNetwork, worker: AccountAPI, how_many: int) -> float:
    """Seconds that the same responses take when they are already signed."""
    ai, before = session.ai, _completed(session.ai)
    raw = _signed(network, worker, _asked(session, how_many))
    time.sleep(PAUSE_BEFORE_MEASURING)
    started = time.monotonic()
    for start in range(0, how_many, PER_BLOCK):
        sending = [
            ("eth_sendRawTransaction", [signed]) for signed in raw[start : start + PER_BLOCK]
        ]
        for answer in rpc.ask(ai.provider, sending):
            rpc.expect(answer)
        _until_completed(ai, before, start + len(sending))
    return time.monotonic() - started


def _asked(session: DtnSession, how_many: int) -> list[DtnRequest]:
    sent = session.request_many([f"What is {place}?" for place in range(how_many)])
    return [request for request in sent if isinstance(request, DtnRequest)]


def _signed(network: LocalNetwork, worker: AccountAPI, requests: list[DtnRequest]) -> list[str]:
    """The node's responses to these requests, signed by its worker."""
    ai, address = network.ai, str(worker.address)
    provider = ai.provider
    ids = [id_of(request.id, "request") for request in requests]
    count = rpc.result(provider, "eth_getTransactionCount", [address, "latest"])
    raw = []
    for place, (request_id, record) in enumerate(zip(ids, read_records(ai, ids), strict=True)):
        answer = encode(["string"], [f"You asked: What is {place}?"])
        result = Result(Status.SUCCESS, "", answer)
        response = response_transaction(ai.router, network.node.id, request_id, record, result)
        unsigned = provider.network.ecosystem.create_transaction(
            type=2,
            chain_id=provider.chain_id,
            sender=address,
            receiver=response.to,
            nonce=as_int(count) + place,
            gas_limit=RESPONSE_GAS,
            max_fee=HIGH_GAS_PRICE,
            max_priority_fee=1,
            data=response.data,
        )
        signed = worker.sign_transaction(unsigned)
        assert signed is not None
        raw.append("0x" + bytes(signed.serialize_transaction()).hex())
    return raw


def _completed(ai: DtnAi) -> int:
    length = reads.Call(ai.router, Router.get_completed_requests_length)
    return int(ai.read_one(length))


def _until_completed(ai: DtnAi, before: int, how_many: int) -> None:
    deadline = time.monotonic() + TIMEOUT
    while _completed(ai) < before + how_many:
        assert time.monotonic() < deadline, "the node has not answered in time"
        time.sleep(POLL_INTERVAL)


@contextmanager
def _node(way: str, chain: str, router: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a node in another process until the context ends."""
    backend, before = WAYS[way]
    environment = {**os.environ, "APE_FOUNDRY_HOST": chain, "ECC_BACKEND_CLASS": backend}
    process = subprocess.Popen(
        [sys.executable, "-c", before + NODE, router], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Print the figures of each way of signing."""
    found = {
        way: {
            "signing ms": sign(way),
            **{
                variant.value.lower(): {
                    str(in_flight): measure(way, variant, in_flight, times)
                    for in_flight, times in FLIGHTS.items()
                }
                for variant in Variant
            },
        }
        for way in WAYS
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
