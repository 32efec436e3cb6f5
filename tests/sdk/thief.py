"""A thief in a process of its own: it claims every deposit that lies open, and tries to make some.

It is as good as one can be who sees all that is pending and pays what it likes for its place in a
block: the fees of a network order what is in it. It knows nothing of the SDK but what anybody can
read in the mempool.

``python -m tests.sdk.thief URL`` reads its targets and keys from one line of standard input, works
until that ends, and prints what it has done as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import requests
from eth_account import Account
from eth_utils import to_checksum_address

from ape_dtn.network.abi import ERC20, Router

ROOT = Path(__file__).parents[2]

START = "0x" + Router.start_user_session.encode().hex()
TRANSFER = "0x" + ERC20.transfer.selector.hex()

# For how many seconds it sleeps between two looks.
PAUSE = 0.01

# More than anybody else pays for a unit of gas, in wei.
HIGHEST_FEE = 1000 * 10**9

# What starting a session may use.
CLAIM_GAS = 250_000

# What a victim's own start may use: a block with less room than that has to leave it out, and still
# has room for a transfer and a claim.
ROOM_IN_A_FULL_BLOCK = 399_000

# What it takes a transaction for.
DEPOSIT, BEGINNING = "deposit", "start"

# The most that one transaction may use (EIP-7825), and a contract that uses whatever it is given.
MOST_GAS = 2**24
WASTE = "0xfe"


@dataclass(frozen=True)
class Target:
    """A network to steal from."""

    router: str
    token: str
    fee_target: str


@dataclass(frozen=True)
class Attack:
    """What it did about a transaction that was pending when it saw it.

    Attributes:
        prey: Hash of that transaction.
        kind: What it took it for: "deposit" or "start".
        claims: Hashes of what it sent to get the money, copies of the prey included.
    """

    prey: str
    kind: str
    claims: list[str]


@dataclass
class Report:
    """What a thief has done.

    Attributes:
        accounts: Its addresses.
        attacks: What it did about pending transactions.
        blocks: In how many blocks it looked for open deposits.
        finds: How many it found and claimed there. What it claims while the deposit is still
            pending is not among them.
    """

    accounts: list[str]
    attacks: list[Attack] = field(default_factory=list)
    blocks: int = 0
    finds: int = 0

    def attacked(self, kind: str) -> dict[str, Attack]:
        """Its attacks on one kind of prey, by the prey's hash."""
        return {each.prey: each for each in self.attacks if each.kind == kind}


@contextmanager
def thief(url: str, targets: Sequence[Target], keys: Sequence[str]) -> Iterator[Report]:
    """Lets a thief loose on the chain at a URL; its report is complete when the context ends.

    Args:
        url: The chain.
        targets: The networks to steal from.
        keys: Its keys, as many as it has ranks; their accounts have coin.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.sdk.thief", url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.fspath(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    report = Report([str(Account.from_key(key).address) for key in keys])
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        given = {"targets": [asdict(each) for each in targets], "keys": list(keys)}
        process.stdin.write(json.dumps(given) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "watching\n"
        yield report
        done = json.loads(process.communicate(timeout=30)[0])
        report.attacks = [Attack(**each) for each in done.pop("attacks")]
        vars(report).update(done)
    finally:
        process.kill()
        process.wait()


class Chain:
    """Its own connection."""

    def __init__(self, url: str) -> None:
        self.url, self.http = url, requests.Session()
        self.id = int(self.ask(("eth_chainId", []))[0], 16)

    def ask(self, *asked: tuple[str, list[Any]]) -> list[Any]:
        """Each one's result, in one HTTP request; None where the chain refuses it."""
        batch = [
            {"jsonrpc": "2.0", "id": place, "method": method, "params": params}
            for place, (method, params) in enumerate(asked)
        ]
        answers = self.http.post(self.url, json=batch, timeout=10).json()
        by_id = {answer["id"]: answer.get("result") for answer in answers}
        return [by_id[place] for place in range(len(asked))]


class Rank:
    """One of its accounts, which numbers what it sends and waits for nothing."""

    def __init__(self, chain: Chain, key: str) -> None:
        self.chain, self.account = chain, Account.from_key(key)
        self.nonce = self._count()

    def send(self, to: str | None, data: str, gas: int, fee: int) -> list[str]:
        """Sends something at a fee, in wei for each unit of gas; its hash, if it was taken."""
        signed: Any = self.account.sign_transaction(
            {
                "type": 2,
                "chainId": self.chain.id,
                "nonce": self.nonce,
                **({"to": to_checksum_address(to)} if to else {}),
                "data": data,
                "value": 0,
                "gas": gas,
                "maxFeePerGas": fee,
                "maxPriorityFeePerGas": fee,
            }
        )
        (sent,) = self.chain.ask(("eth_sendRawTransaction", [signed.raw_transaction.to_0x_hex()]))
        self.nonce = self.nonce + 1 if sent else self._count()
        return [sent] if sent else []

    def _count(self) -> int:
        (count,) = self.chain.ask(("eth_getTransactionCount", [self.account.address, "pending"]))
        return int(count, 16)


class Thief:
    """Looks, and strikes."""

    def __init__(self, url: str, targets: Sequence[Target], keys: Sequence[str]) -> None:
        self.chain, self.targets = Chain(url), targets
        self.before, self.after, self.copier, self.waster = (Rank(self.chain, key) for key in keys)
        self.report = Report([rank.account.address for rank in self._ranks])
        self.own = {address.lower() for address in self.report.accounts}
        (self.pending,) = self.chain.ask(("eth_newPendingTransactionFilter", []))
        self.head = ""

    @property
    def _ranks(self) -> Sequence[Rank]:
        return self.before, self.after, self.copier, self.waster

    def look(self) -> None:
        """One look at the mempool and at the latest block."""
        hashes, head = self.chain.ask(
            ("eth_getFilterChanges", [self.pending]), ("eth_blockNumber", [])
        )
        if head != self.head:
            self.head = head
            self._look_for_open_deposits()
        if hashes:
            found = self.chain.ask(*(("eth_getTransactionByHash", [each]) for each in hashes))
            for transaction in found:
                is_pending = transaction and transaction["blockNumber"] is None
                if is_pending and transaction["from"].lower() not in self.own:
                    self._consider(transaction)

    def _look_for_open_deposits(self) -> None:
        """There is one wherever it could start a session now."""
        trial = {"from": self.report.accounts[0], "data": START}
        started = self.chain.ask(
            *(("eth_call", [{**trial, "to": each.router}]) for each in self.targets)
        )
        self.report.blocks += 1
        for target, session in zip(self.targets, started, strict=True):
            if session:
                self.report.finds += 1
                self._claim(self.before, target, HIGHEST_FEE)

    def _consider(self, prey: dict[str, Any]) -> None:
        """Attacks what has to do with a network: it pays to it, starts on it, or names it."""
        to, data = (prey["to"] or "").lower(), prey["input"]
        for target in self.targets:
            if to == target.token and data.startswith(TRANSFER) and target.fee_target[2:] in data:
                self._attack_deposit(prey, target)
            elif (to == target.router and data == START) or target.router[2:] in data:
                self._attack_start(prey, target)

    def _attack_deposit(self, prey: dict[str, Any], target: Target) -> None:
        """Fills the block so that the start does not fit, and claims behind the deposit."""
        fee = _fee(prey)
        claims = self._claim(self.after, target, fee - 1)
        (block,) = self.chain.ask(("eth_getBlockByNumber", ["latest", False]))
        waste = int(block["gasLimit"], 16) - ROOM_IN_A_FULL_BLOCK
        while waste > 0:
            gas = min(waste, MOST_GAS)
            self.waster.send(None, WASTE, gas, fee + 1)
            waste -= gas
        self.report.attacks.append(Attack(prey["hash"], DEPOSIT, claims))

    def _attack_start(self, prey: dict[str, Any], target: Target) -> None:
        """Claims before it and behind it, and does before it what it does."""
        claims = self._claim(self.before, target, HIGHEST_FEE)
        claims += self._claim(self.after, target, _fee(prey) - 1)
        claims += self.copier.send(prey["to"], prey["input"], int(prey["gas"], 16), HIGHEST_FEE)
        self.report.attacks.append(Attack(prey["hash"], BEGINNING, claims))

    def _claim(self, rank: Rank, target: Target, fee: int) -> list[str]:
        return rank.send(target.router, START, CLAIM_GAS, fee)


def _fee(transaction: dict[str, Any]) -> int:
    """What the network orders a transaction by."""
    return int(transaction.get("maxFeePerGas") or transaction["gasPrice"], 16)


def main() -> None:
    """Steals until standard input ends."""
    given = json.loads(sys.stdin.readline())
    found = Thief(sys.argv[1], [Target(**each) for each in given["targets"]], given["keys"])
    print("watching", flush=True)
    ended = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    while not ended.wait(PAUSE):
        found.look()
    print(json.dumps(asdict(found.report)))


if __name__ == "__main__":
    main()
