"""Measures the gas of all operations on a network and records it in ``gas.json``.

``python benchmarks/gas.py`` prints the figures of both variants as JSON. With ``--write``
(``make gas``) it records them, together with the tables in ``docs/gas.md``; a test compares them.
It needs Anvil on the PATH, and starts instances of its own. Their chains are deterministic, down to
the timestamps, so the figures do not depend on the machine.

Sessions are paid in ``TestToken``, OpenZeppelin's ERC-20. Methods to start a session that it does
not support are measured with ``TestUSDC``, a token like USDC on Base. Payer and payee have tokens
before and after, except for the first answer of a worker.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from eth_abi import encode

from ape_dtn import artifacts
from ape_dtn.chain import reads, rpc
from ape_dtn.deployment.assemble import Variant, deploy
from ape_dtn.network.abi import ERC20, Client, Delegate, Router, SessionManager
from ape_dtn.types.abi import Function
from ape_dtn.types.rpc import as_int
from ape_dtn.types.transactions import Receipt
from benchmarks.chain import connected_to, own_anvil
from tests.conftest import Cast
from tests.contracts.client import (
    APPROVE,
    DELEGATE_CODE,
    IMPLEMENTATION_CODE,
    Owned,
    client_address,
    client_code,
    create,
    nonce_of,
    requested,
    send_with_delegations,
    set_delegate,
    sign_authorization,
    sign_delegation,
    sign_permit,
    started,
)
from tests.contracts.conftest import NOBODY, Ask, Net

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

# By variant, by what is done, and by how.
Gas = dict[str, int]
Figures = dict[str, dict[str, Gas]]

ROOT = Path(__file__).resolve().parent.parent
SNAPSHOT = ROOT / "benchmarks" / "gas.json"
DOCUMENT = ROOT / "docs" / "gas.md"

# Ids of the live network are hashes of the time, and what is sent is priced by its zero bytes.
BEGINNING = 4_000_000_000

DEPOSIT = 25_000_000
MOST = 10_000
TEXT = "What follows from what we know, and what would change our minds?"
PROMPTS = {"64 B": TEXT, "1 KB": 16 * TEXT}
SHORT = "yes"
BATCHES = (1, 10, 100)
SEVERAL = 10

# The most that one transaction may use (EIP-7825), and what of it calls can use together: each
# keeps a 64th of the gas back from those that it makes.
TRANSACTION_CAP = 2**24
USABLE = TRANSACTION_CAP * 15 // 16

REQUEST_GAS = 1_000_000
VALID_BEFORE = 2**48

# What the contracts that are deployed on public networks are known to use, and what was aimed at
# for the reference variant.
AIMS = {
    ("start", "directly, later"): (182_004, 90_000),
    ("request", "directly, 64 B, later"): (530_596, 150_000),
    ("response", "64 B, short, later"): (571_242, 150_000),
    ("close", "directly, the only one"): (61_657, 45_000),
}

# What the document shows, between two marks.
BEGIN, END = "<!-- make gas writes this -->\n", "<!-- until here -->\n"
MAIN = {
    "create": ("together",),
    "start": (
        "transfer, later",
        "directly, later",
        "directly, with another open",
        "client, by allowance, later",
        "delegate, later",
    ),
    "request": (
        "directly, 64 B, later",
        "directly, 1 KB, later",
        "client, 64 B, later",
    ),
    "response": (
        "64 B, short, later",
        "64 B, short, each sixth",
        "64 B, short, first of the worker",
        "64 B, as long",
        "1 KB, as long",
    ),
    "close": (
        "directly, the only one",
        "directly, the newest of four",
        "directly, the second of four",
        "client, the only one",
        "client, 10 together",
    ),
    "batch": ("client, 10", "directly, 100", "client, 100"),
}


class FeeToken(Enum):
    """As ``ape_dtn.deployment.assemble.FeeToken``: the artifact and its constructor arguments."""

    PLAIN = ("TestToken", ("Test Dollar", "TEST", 6))
    USDC = ("TestUSDC", ())


def measure(variant: Variant) -> dict[str, Gas]:
    """Measures one variant on chains that are started for it; gas by operation and method."""
    with _network(variant, FeeToken.PLAIN) as (net, accounts):
        found = {"create": _created(net, variant), **Measurement(net, accounts).run()}
    with _network(variant, FeeToken.USDC) as (net, accounts):
        found["start in USDC"] = Measurement(net, accounts).starts(signed=True)
    return found


@contextmanager
def _network(variant: Variant, token: FeeToken) -> Iterator[tuple[Net, list[AccountAPI]]]:
    """A network on a chain of its own, and accounts without tokens."""
    from ape.utils.basemodel import ManagerAccessMixin as access

    with own_anvil("--timestamp", str(BEGINNING)) as url, connected_to(url) as provider:
        # Blocks of one second would share request ids on the live variant.
        rpc.result(provider, "anvil_setBlockTimestampInterval", [1])
        owner, worker, stranger, *others = access.account_manager.test_accounts[:10]
        network = deploy(owner, worker, variant, token)  # type: ignore[arg-type]
        yield Net(network, Cast(owner, worker, others[0], stranger)), others


def _created(net: Net, variant: Variant) -> Gas:
    """Gas of creating the network's contracts, by artifact."""
    codes = {
        artifacts.load(path.stem)["bytecode"]: path.stem
        for path in (ROOT / "ape_dtn" / "artifacts").glob("*.json")
        if not path.stem.startswith("Test")
    }
    height = as_int(rpc.result(net.provider, "eth_blockNumber", []))
    blocks = rpc.ask(
        net.provider, [("eth_getBlockByNumber", [hex(i), True]) for i in range(1, height + 1)]
    )
    gas: Counter[str] = Counter()
    for block in blocks:
        (sent,) = rpc.expect(block)["transactions"]
        for code, name in codes.items():
            if sent["to"] is None and sent["input"].startswith(code):
                used = as_int(rpc.expect(block)["gasUsed"])
                gas.update({name.removeprefix(variant.value): used, "together": used})
    return gas


class Measurement:
    """One network, and all that is done with it.

    Args:
        net: The network, in which nothing was done before.
        accounts: Accounts, one for each way to do it.
    """

    def __init__(self, net: Net, accounts: list[AccountAPI]) -> None:
        self.net = net
        self.token, self.target = net.contracts.fee_token, net.contracts.fee_target
        self.worker, self.account, self.allowing, *signing, delegated, passing = accounts
        self.by_permit, self.by_authorization = signing
        self.delegated = Owned(net, str(delegated.address), delegated)
        self.passing = Owned(net, str(passing.address), passing)
        for payer in (net.cast.stranger, *accounts[1:]):
            net.fund(payer, 1000 * DEPOSIT)

    def run(self) -> dict[str, Gas]:
        """Measures all operations and returns plain data."""
        return {
            "start": self.starts(),
            "client": self.created,
            "request": self._requests(),
            "response": self._responses(),
            "close": self._closes(),
            "batch": self._batches(),
        }

    # Starting. The deposit's transfer is counted where one transaction makes both.

    def starts(self, signed: bool = False) -> Gas:
        """Starts directly, and by the methods that need signatures, or by the others."""
        methods = self._methods(signed)
        stranger, account = self.net.cast.stranger, self.account
        gas = {"transfer, first of the network": self._transfer(stranger)}
        opened = self.net.send(stranger, self.net.router, Router.start_user_session)
        gas["directly, first of the network"] = opened.gas_used
        for name, when in (("first", "first of the account"), ("later", "later")):
            gas[f"transfer, {name}"] = self._transfer(account)
            receipt = self.net.send(account, self.net.router, Router.start_user_session)
            gas[f"directly, {when}"] = receipt.gas_used
            if name == "first":
                self.net.close(account, started(receipt))
        self._transfer(account)
        beside = self.net.send(account, self.net.router, Router.start_user_session)
        gas["directly, with another open"] = beside.gas_used
        for start in (receipt, beside):
            self.net.close(account, started(start))
        gas["approve"] = self._send(
            self.allowing, self.token, APPROVE, self.client.address, DEPOSIT
        )
        for name, method in methods.items():
            gas[f"{name}, first"], gas[f"{name}, later"] = method(1), method(2)
        return gas

    def _methods(self, signed: bool) -> dict[str, Any]:
        account = self.account
        codes = {
            "implementation of all clients": IMPLEMENTATION_CODE,
            "client of an account": client_code(str(self.allowing.address)),
            "delegate of all accounts": DELEGATE_CODE,
        }
        self.created = {
            name: create(self.net, account, code).gas_used for name, code in codes.items()
        }
        self.client = self._client(self.allowing)
        methods = {
            "client, by allowance": self._start_by_allowance,
            "client, from its own": self._start_from_here,
            "delegate": self._start_by_delegate,
            "delegate, with its delegation": self._start_with_delegation,
        }
        if not signed:
            return methods
        for owner in (self.by_permit, self.by_authorization):
            create(self.net, account, client_code(str(owner.address)))
        return {
            "client, by permit": self._start_by_permit,
            "client, by authorization": self._start_by_authorization,
        }

    def _client(self, owner: AccountAPI) -> Owned:
        return Owned(self.net, client_address(str(owner.address)), owner)

    def _transfer(self, account: AccountAPI) -> int:
        return self._send(account, self.token, ERC20.transfer, self.target, DEPOSIT)

    def _start_by_allowance(self, nth: int) -> int:
        """With an allowance for more than one session, which is the usual case."""
        if nth == 1:
            self.client.approve(1000 * DEPOSIT)
        return self._start_by(self.client, Client.start, DEPOSIT)

    def _start_from_here(self, nth: int) -> int:
        self.net.fund(self.client.address, DEPOSIT)
        return self._start_by(self.client, Client.start_from_here, DEPOSIT)

    def _start_by_permit(self, nth: int) -> int:
        client = self._client(self.by_permit)
        signature = sign_permit(self.net, client.owner, client.address, DEPOSIT, VALID_BEFORE)
        arguments = (DEPOSIT, VALID_BEFORE, *signature.arguments)
        return self._start_by(client, Client.start_with_permit, *arguments)

    def _start_by_authorization(self, nth: int) -> int:
        client, nonce = self._client(self.by_authorization), bytes([nth]) * 32
        signature = sign_authorization(
            self.net, client.owner, client.address, DEPOSIT, nonce, VALID_BEFORE
        )
        arguments = (DEPOSIT, 0, VALID_BEFORE, nonce, *signature.arguments)
        return self._start_by(client, Client.start_with_authorization, *arguments)

    def _start_by_delegate(self, nth: int) -> int:
        if nth == 1:
            set_delegate(self.net, self.delegated.owner)
        return self._start_by(self.delegated, Delegate.start, DEPOSIT)

    def _start_with_delegation(self, nth: int) -> int:
        """For an account that ends the delegation each time."""
        account = self.passing.owner
        delegation = sign_delegation(self.net, account, nonce_of(self.net, account) + 1)
        data = Delegate.start.encode(self.net.router, DEPOSIT)
        receipt = send_with_delegations(self.net, account, self.passing.address, data, delegation)
        set_delegate(self.net, account, NOBODY)
        (opened,) = SessionManager.session_started.find(map(reads.to_log, receipt["logs"]))
        self.net.close(account, opened["sessionId"])
        return as_int(receipt["gasUsed"])

    def _start_by(self, owned: Owned, function: Function, *args: Any) -> int:
        receipt = owned.call(function, self.net.router, *args)
        owned.close(started(receipt))
        return receipt.gas_used

    # Asking.

    def _requests(self) -> Gas:
        self.node_id = self.net.add_node("second", self.worker)
        gas = {"directly, 64 B, first of the network": self._request(self._open(), "64 B").gas_used}
        for name in PROMPTS:
            session = self._open()
            for when in ("first of a session", "later"):
                gas[f"directly, {name}, {when}"] = self._request(session, name).gas_used
        for how, owned in (("client", self.client), ("delegate", self.delegated)):
            first = owned.call(Client.request, *owned.one(owned.start(DEPOSIT), self._ask("64 B")))
            gas[f"{how}, 64 B, first of the {how}"] = first.gas_used
            for name in PROMPTS:
                session = owned.start(DEPOSIT)
                for when in ("first of a session", "later"):
                    ask = owned.one(session, self._ask(name))
                    receipt = owned.call(Client.request, *ask)
                    gas[f"{how}, {name}, {when}"] = receipt.gas_used
        return gas

    def _request(self, session: int, prompt: str) -> Receipt:
        ask = self._ask(prompt).arguments(session)
        return self.net.send(self.account, self.net.router, Router.request, *ask)

    def _open(self) -> int:
        """Opens the only session of the account."""
        session_ids = (self.net.contracts.session_manager, SessionManager.get_user_session_ids)
        for session_id in self.net.read(*session_ids, str(self.account.address)):
            if self.net.balance(session_id):  # live session managers list closed sessions too
                self.net.close(self.account, session_id)
        return self.net.open(self.account, DEPOSIT)

    def _ask(self, prompt: str) -> Ask:
        call = encode(["string[]"], [[PROMPTS[prompt]]])
        return Ask(call=call, nodes=(self.node_id,), most=MOST, user=str(self.account.address))

    # Answering. Six answers share a word of the reference network's list of them, and so the word
    # begins with the first and the seventh.

    def _responses(self) -> Gas:
        session = self._open()
        self.net.reply(self.net.ask(self.account, session))
        answers = {
            "64 B, short, first of the worker": ("64 B", SHORT),
            "64 B, short, later": ("64 B", SHORT),
            "64 B, as long": ("64 B", PROMPTS["64 B"]),
            "1 KB, short": ("1 KB", SHORT),
            "1 KB, as long": ("1 KB", PROMPTS["1 KB"]),
            "64 B, short, each sixth": ("64 B", SHORT),
        }
        asked = [self._request(session, prompt) for prompt, _ in answers.values()]
        gas = {
            how: self._reply(requested(receipt.logs)[0]["requestId"], *answer)
            for (how, answer), receipt in zip(answers.items(), asked, strict=True)
        }
        (created,) = requested(
            self.client.call(
                Client.request, *self.client.one(self.client.start(DEPOSIT), self._ask("64 B"))
            ).logs
        )
        return gas | {"64 B, short, to a client": self._reply(created["requestId"], "64 B", SHORT)}

    def _reply(self, request_id: bytes, prompt: str, answer: str) -> int:
        receipt = self.net.reply(
            request_id,
            worker=self.worker,
            node=self.node_id,
            response=encode(["string"], [answer]),
            asked=len(PROMPTS[prompt]),
            answered=len(answer),
        )
        return receipt.gas_used

    # Closing.

    def _closes(self) -> Gas:
        account = self.allowing  # its client's sessions are not its own
        one = self.net.open(account, DEPOSIT)
        gas = {"directly, the only one": self.net.close(account, one).gas_used}
        sessions = [self.net.open(account, DEPOSIT) for _ in range(3)]
        for place, name in ((3, "newest"), (1, "second"), (0, "oldest")):
            sessions.append(self.net.open(account, DEPOSIT))
            closed = self.net.close(account, sessions.pop(place))
            gas[f"directly, the {name} of four"] = closed.gas_used
        for session in sessions:
            self.net.close(account, session)
        for how, owned in (("client", self.client), ("delegate", self.passing)):
            if how == "delegate":
                set_delegate(self.net, owned.owner)
            gas[f"{how}, the only one"] = owned.close(owned.start(DEPOSIT)).gas_used
            sessions = [owned.start(DEPOSIT) for _ in range(SEVERAL)]
            together = owned.call(Client.close_many, self.net.router, sessions)
            gas[f"{how}, {SEVERAL} together"] = together.gas_used
        return gas

    # Asking much.

    def _batches(self) -> Gas:
        session, most = self._open(), max(BATCHES)
        used = [self._ask_directly(session) for _ in range(most)]
        gas = {f"directly, {size}": sum(used[:size]) for size in BATCHES}
        fitting = USABLE // max(used)
        for how, owned in (("client", self.client), ("delegate", self.delegated)):
            session = owned.start(DEPOSIT)
            for size in BATCHES:
                parts = [min(fitting, size - first) for first in range(0, size, fitting)]
                used = [self._ask_together(owned, session, part) for part in parts]
                gas[f"{how}, {size}"] = sum(used)
            gas[f"{how}, {most}, transactions"] = len(parts)
        return gas

    def _ask_directly(self, session: int) -> int:
        """Without gas estimates, because there are many requests."""
        transaction = {
            "from": str(self.account.address),
            "to": self.net.router,
            "data": "0x" + Router.request.encode(*self._ask("64 B").arguments(session)).hex(),
            "gas": hex(REQUEST_GAS),
        }
        sent = rpc.result(self.net.provider, "eth_sendTransaction", [transaction])
        deadline = time.monotonic() + 10
        while not (receipt := rpc.result(self.net.provider, "eth_getTransactionReceipt", [sent])):
            assert time.monotonic() < deadline, "the transaction is not mined"
            time.sleep(0.002)
        assert as_int(receipt["status"]) == 1
        return as_int(receipt["gasUsed"])

    def _ask_together(self, owned: Owned, session: int, how_many: int) -> int:
        batch = owned.many(session, *[self._ask("64 B")] * how_many)
        receipt = owned.call(Client.request_many, *batch, gas_limit=TRANSACTION_CAP)
        assert len({event["requestId"] for event in requested(receipt.logs)}) == how_many
        return receipt.gas_used

    def _send(self, account: AccountAPI, to: str, function: Function, *args: Any) -> int:
        return self.net.send(account, to, function, *args).gas_used


# Keeping.


def recorded() -> Figures:
    """The recorded figures."""
    found: Figures = json.loads(SNAPSHOT.read_text())
    return found


def changes(before: Figures, now: Figures) -> list[str]:
    """Changes of figures, one line each."""
    old, new = _flat(before), _flat(now)
    return [
        f"{name}: {_told(old.get(name))} -> {_told(new.get(name))}"
        + (f" ({new[name] - old[name]:+,})" if name in old and name in new else "")
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    ]


def _flat(figures: Figures) -> Gas:
    return {
        f"{variant}, {what}: {how}": gas
        for variant, found in figures.items()
        for what, ways in found.items()
        for how, gas in ways.items()
    }


def _told(gas: int | None) -> str:
    return "none" if gas is None else f"{gas:,}"


def tables(figures: Figures) -> str:
    """The tables of the document, first the figures with a target."""
    live, reference = (figures[variant] for variant in ("live", "reference"))
    lines = [
        "| | live contracts | our copy of them | reference | aim |",
        "|---|--:|--:|--:|--:|",
    ]
    for (what, how), (known, aim) in AIMS.items():
        ours = f"{live[what][how]:,} | {reference[what][how]:,}"
        lines.append(f"| {what}: {how} | {known:,} | {ours} | {aim:,} |")
    lines += ["", "| | live | reference | less |", "|---|--:|--:|--:|"]
    for what, ways in MAIN.items():
        for how in ways:
            one, other = live[what][how], reference[what][how]
            lines.append(f"| {what}: {how} | {one:,} | {other:,} | {1 - other / one:.0%} |")
    return "\n".join(lines) + "\n"


def with_tables(document: str, figures: Figures) -> str:
    """The document with the tables of these figures."""
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + tables(figures) + END + after


def main() -> None:
    """Prints or records the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="record it")
    write = parser.parse_args().write
    found = {variant.value.lower(): measure(variant) for variant in Variant}
    if not write:
        print(json.dumps(found, indent=2, sort_keys=True))
        return
    for change in changes(recorded() if SNAPSHOT.exists() else {}, found):
        print(change)
    SNAPSHOT.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(), found))


if __name__ == "__main__":
    main()
