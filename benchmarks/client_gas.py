"""Measures what sessions cost in gas: bare, by the client of an account, and by the delegate.

``python benchmarks/client_gas.py`` prints it as JSON, for both behaviours of the network, paid in a
token like USDC on Base. It needs Anvil on the PATH and starts one of its own; nothing depends on
how fast the machine is.

Each method is used by an account of its own, which has used it once before: a first use fills slots
that are never empty again.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ape_dtn.chain import reads, rpc, sends
from ape_dtn.chain.abi import ERC20, Client, Delegate, Function, Router, SessionManager
from ape_dtn.local import Behaviour, deploy
from benchmarks.chain import connected_to, own_anvil
from tests.conftest import Cast
from tests.contracts.client import (
    APPROVE,
    DELEGATE_CODE,
    IMPLEMENTATION_CODE,
    Owned,
    Signature,
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

DEPOSIT = 25_000_000
BATCH = 10
MANY = 1_000

# The most that one transaction may use (EIP-7825), and how many requests that is enough for: each
# call keeps a 64th of the gas back from those that it makes.
TRANSACTION_CAP = 2**24
FITTING = 38

VALID_BEFORE = 2**48


class FeeToken(Enum):
    """As ``ape_dtn.local.FeeToken``: the artifact, and what it is created with."""

    USDC = ("TestUSDC", ())


def measure(behaviour: Behaviour) -> dict[str, Any]:
    """Gas of one behaviour, by what is done and how, on a chain that is started for it."""
    from ape.utils.basemodel import ManagerAccessMixin as access

    with ExitStack() as stack:
        provider = stack.enter_context(connected_to(stack.enter_context(own_anvil())))
        # Blocks of one second would share request ids on the deployed behaviour.
        rpc.result(provider, "anvil_setBlockTimestampInterval", [1])
        accounts = access.account_manager.test_accounts[:9]
        owner, worker, stranger, *customers = accounts
        network = deploy(owner, worker, behaviour, FeeToken.USDC)  # type: ignore[arg-type]
        net = Net(network, Cast(owner, worker, customers[0], stranger))
        for account in accounts[2:]:
            net.fund(account, 100 * DEPOSIT)
        net.open(stranger, DEPOSIT)  # the network is never empty
        return Measurement(net, customers).run()


class Measurement:
    """One network, all methods.

    Args:
        net: The network.
        customers: An account for each method.
    """

    def __init__(self, net: Net, customers: list[AccountAPI]) -> None:
        self.net = net
        self.token, self.target = net.contracts.fee_token, net.contracts.fee_target
        self.bare, self.allowed, *self.others = customers

    def run(self) -> dict[str, Any]:
        """Measures, and returns it as plain data."""
        return {
            "create": self._create(),
            "start": self._start(),
            "request": self._request(),
            "close": self._close(),
            "thousand": self._thousand(),
        }

    def _create(self) -> dict[str, int]:
        codes = {"implementation": IMPLEMENTATION_CODE, "delegate": DELEGATE_CODE}
        gas = {name: create(self.net, self.bare, code).gas_used for name, code in codes.items()}
        self.client = self._client(self.allowed)
        by_permit, by_authorization, self.delegated, passing = self.others
        self.permitting, self.authorizing = map(self._client, (by_permit, by_authorization))
        self.account = Owned(self.net, str(self.delegated.address), self.delegated)
        self.passing = Owned(self.net, str(passing.address), passing)
        gas["client"] = create(self.net, self.bare, client_code(str(passing.address))).gas_used
        return gas

    def _client(self, account: AccountAPI) -> Owned:
        create(self.net, account, client_code(str(account.address)))
        return Owned(self.net, client_address(str(account.address)), account)

    # Starting.

    def _start(self) -> dict[str, int]:
        methods = {
            "bare": self._start_bare,
            "client, by allowance": self._start_by_allowance,
            "client, by permit": self._start_by_permit,
            "client, by authorization": self._start_by_authorization,
            "client, from its own": self._start_from_here,
            "delegate": self._start_by_delegate,
            "delegate, with its delegation": self._start_with_delegation,
        }
        for method in methods.values():
            method(1)
        gas = {name: method(2) for name, method in methods.items()}
        approve = self._send(self.bare, self.token, APPROVE, self.client.address, DEPOSIT)
        self._send(self.bare, self.token, APPROVE, self.client.address, 0)
        transfer = self._send(self.bare, self.token, ERC20.transfer, self.target, DEPOSIT)
        start = self.net.send(self.bare, self.net.router, Router.start_user_session)
        self.net.close(self.bare, started(start))
        return {"approve": approve, "transfer": transfer, "start": start.gas_used, **gas}

    def _start_bare(self, time: int) -> int:
        transfer = self._send(self.bare, self.token, ERC20.transfer, self.target, DEPOSIT)
        receipt = self.net.send(self.bare, self.net.router, Router.start_user_session)
        self.net.close(self.bare, started(receipt))
        return transfer + receipt.gas_used

    def _start_by_allowance(self, time: int) -> int:
        """With an allowance for more than one session, as it is most often given."""
        if time == 1:
            self.client.approve(10 * DEPOSIT)
        return self._start_by(self.client, Client.start, DEPOSIT)

    def _start_by_permit(self, time: int) -> int:
        client = self.permitting
        signature = sign_permit(self.net, client.owner, client.address, DEPOSIT, VALID_BEFORE)
        arguments = (DEPOSIT, VALID_BEFORE, *signature.arguments)
        return self._start_by(client, Client.start_with_permit, *arguments)

    def _start_by_authorization(self, time: int) -> int:
        client, nonce = self.authorizing, bytes([time]) * 32
        signature: Signature = sign_authorization(
            self.net, client.owner, client.address, DEPOSIT, nonce, VALID_BEFORE
        )
        arguments = (DEPOSIT, 0, VALID_BEFORE, nonce, *signature.arguments)
        return self._start_by(client, Client.start_with_authorization, *arguments)

    def _start_from_here(self, time: int) -> int:
        self.net.fund(self.client.address, DEPOSIT)
        return self._start_by(self.client, Client.start_from_here, DEPOSIT)

    def _start_by_delegate(self, time: int) -> int:
        if time == 1:
            set_delegate(self.net, self.delegated)
        return self._start_by(self.account, Delegate.start, DEPOSIT)

    def _start_with_delegation(self, time: int) -> int:
        """For an account that ends the delegation again each time."""
        account = self.passing.owner
        delegation = sign_delegation(self.net, account, nonce_of(self.net, account) + 1)
        data = Delegate.start.encode(self.net.router, DEPOSIT)
        receipt = send_with_delegations(self.net, account, self.passing.address, data, delegation)
        set_delegate(self.net, account, NOBODY)
        (opened,) = SessionManager.session_started.find(map(reads.to_log, receipt["logs"]))
        self.net.close(account, opened["sessionId"])
        return rpc.as_int(receipt["gasUsed"])

    def _start_by(self, owned: Owned, function: Function, *args: Any) -> int:
        receipt = owned.call(function, self.net.router, *args)
        owned.close(started(receipt))
        return receipt.gas_used

    # Asking.

    def _request(self) -> dict[str, int]:
        session = self.net.open(self.bare, DEPOSIT)
        self.net.ask(self.bare, session)
        ask = Ask(user=str(self.bare.address)).arguments(session)
        gas = {"bare": self._send(self.bare, self.net.router, Router.request, *ask)}
        for name, owned in (("client", self.client), ("delegate", self.account)):
            session = owned.start(DEPOSIT)
            batch = [Ask()] * BATCH
            owned.ask(session)
            owned.ask_many(session, *batch)
            one = owned.call(Client.request, *owned.one(session, Ask()))
            ten = owned.call(Client.request_many, *owned.many(session, *batch))
            gas |= {name: one.gas_used, f"{name}, batch of {BATCH}": ten.gas_used}
        return gas

    def _thousand(self) -> dict[str, int]:
        """Requests in as few transactions as may hold them."""
        session = self.client.start(DEPOSIT)
        receipts = []
        for first in range(0, MANY, FITTING):
            batch = self.client.many(session, *[Ask()] * min(FITTING, MANY - first))
            receipts.append(
                self.client.call(Client.request_many, *batch, gas_limit=TRANSACTION_CAP)
            )
        ids = {each["requestId"] for receipt in receipts for each in requested(receipt.logs)}
        assert len(ids) == MANY
        used = [receipt.gas_used for receipt in receipts]
        return {"transactions": len(used), "largest": max(used), "together": sum(used)}

    # Closing.

    def _close(self) -> dict[str, int]:
        gas = {"bare": self.net.close(self.bare, self.net.open(self.bare, DEPOSIT)).gas_used}
        for name, owned in (("client", self.client), ("delegate", self.account)):
            if owned is self.client:
                owned.approve((BATCH + 3) * DEPOSIT)
            gas[name] = owned.close(owned.start(DEPOSIT)).gas_used
            sessions = [owned.start(DEPOSIT) for _ in range(BATCH)]
            closed = owned.call(Client.close_many, self.net.router, sessions)
            gas[f"{name}, batch of {BATCH}"] = closed.gas_used
        return gas

    def _send(self, account: AccountAPI, to: str, function: Function, *args: Any) -> int:
        receipt: sends.Receipt = self.net.send(account, to, function, *args)
        return receipt.gas_used


def main() -> None:
    """Prints the measurement."""
    found = {behaviour.value.lower(): measure(behaviour) for behaviour in Behaviour}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
