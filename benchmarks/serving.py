"""Measures how many requests a node answers per second, by how it signs.

``python benchmarks/serving.py`` prints, as JSON, for signing with coincurve, in pure Python, and in
pure Python with the signer recovered from each signature, as Ape does it by itself:

- the milliseconds of processor time that signing and serializing one transaction takes;
- for both variants of the network, and for 1, 20 and 200 requests in flight, the answers per
  second of a node process with the echo backend, and of the same transactions signed beforehand and
  sent to the same chain, up to 64 in one HTTP request;
- on Linux, the milliseconds of processor time that the node took for each answer, without its
  start.

Only the node signs in that way: what asks it is the same each time. Time counts from when the
requests are on the chain until the last of them is completed. It needs Anvil on the PATH, and
starts one of its own and a node in a process of its own.
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
from ape_dtn.node.answering import Result, responding
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

# By their names: what eth-keys takes from ECC_BACKEND_CLASS, and what is run before all else.
WAYS = {
    "coincurve": (COINCURVE, ""),
    "pure Python": (PURE_PYTHON, ""),
    "pure Python, recovering": (PURE_PYTHON, RECOVERING),
}

# How many requests are in flight, and how often that is measured.
FLIGHTS = {1: 7, 20: 3, 200: 1}

# What does not fit into one block can stay in Anvil's queue for ever.
TOGETHER = 64
RESPONSE_GAS = 450_000
LOOK = 0.01
# For how many seconds the chain is left alone after it was asked.
SETTLING = 0.5
PATIENCE = 120
NODE = """
import sys
from ape import accounts, networks
from ape_dtn import DtnAi, DtnNode
from ape_dtn.deployment.assemble import NODE

with networks.parse_network_choice("ethereum:local:foundry"):
    DtnNode(DtnAi(sys.argv[1]), NODE, accounts.test_accounts[1]).serve()
"""

# The first signature is left out: Ape recovers its signer.
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
    """Answers per second of the node and of the bare chain, in turn on a chain that is new.

    Anvil grows slower with all that it keeps.
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
        # It has started when it has answered.
        _until_completed(network.ai, _completed(network.ai), len(_asked(session, 1)))
        node.send_signal(signal.SIGSTOP)
        seconds: dict[str, list[float]] = {"node": [], "bare chain": []}
        used_before = _processor_seconds(node)
        for _ in range(times):
            seconds["bare chain"].append(_bare(session, network, worker, in_flight))
            seconds["node"].append(_by_node(session, node, in_flight))
        found = {who: round(in_flight / median(each), 1) for who, each in seconds.items()}
        if used := _processor_seconds(node) - used_before:
            found["node's processor ms"] = round(1000 * used / (in_flight * times), 1)
        return found


def _processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """Seconds of processor time that a process has used so far; 0 where only Linux would say."""
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.exists():
        return 0
    after_name = stat.read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in after_name[11:13]) / os.sysconf("SC_CLK_TCK")


def _by_node(session: DtnSession, node: subprocess.Popen[bytes], how_many: int) -> float:
    """Seconds that the node takes, which sleeps while it is asked."""
    before = _completed(session.ai)
    _asked(session, how_many)
    time.sleep(SETTLING)
    node.send_signal(signal.SIGCONT)
    begun = time.monotonic()
    _until_completed(session.ai, before, how_many)
    seconds = time.monotonic() - begun
    node.send_signal(signal.SIGSTOP)
    return seconds


def _bare(session: DtnSession, network: LocalNetwork, worker: AccountAPI, how_many: int) -> float:
    """Seconds that the same transactions take which are signed already."""
    ai, before = session.ai, _completed(session.ai)
    raw = _signed(network, worker, _asked(session, how_many))
    time.sleep(SETTLING)
    begun = time.monotonic()
    for start in range(0, how_many, TOGETHER):
        sending = [("eth_sendRawTransaction", [each]) for each in raw[start : start + TOGETHER]]
        for answer in rpc.ask(ai.provider, sending):
            rpc.expect(answer)
        _until_completed(ai, before, start + len(sending))
    return time.monotonic() - begun


def _asked(session: DtnSession, how_many: int) -> list[DtnRequest]:
    sent = session.request_many([f"What is {place}?" for place in range(how_many)])
    return [each for each in sent if isinstance(each, DtnRequest)]


def _signed(network: LocalNetwork, worker: AccountAPI, requests: list[DtnRequest]) -> list[str]:
    """What the node would respond, signed by its worker."""
    ai, address = network.ai, str(worker.address)
    provider = ai.provider
    ids = [id_of(each.id, "request") for each in requests]
    count = rpc.result(provider, "eth_getTransactionCount", [address, "latest"])
    raw = []
    for place, (request_id, record) in enumerate(zip(ids, read_records(ai, ids), strict=True)):
        said = encode(["string"], [f"You asked: What is {place}?"])
        result = Result(Status.SUCCESS, "", said)
        response = responding(ai.router, network.node.id, request_id, record, result)
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
    deadline = time.monotonic() + PATIENCE
    while _completed(ai) < before + how_many:
        assert time.monotonic() < deadline, "they are not answered"
        time.sleep(LOOK)


@contextmanager
def _node(way: str, chain: str, router: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node that answers from a process of its own, until the context ends."""
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
    """Prints the measurement."""
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
