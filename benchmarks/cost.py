"""Measure the gas of a session, and the RPC calls of each SDK operation.

``python benchmarks/cost.py`` prints both as JSON, for both variants of the network. It needs Anvil
on the PATH and starts a private one. The figures do not depend on the speed of the machine.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ape_dtn import DtnAi, DtnRequest, DtnSession
from ape_dtn.chain import reads, rpc
from ape_dtn.deployment.assemble import LocalNetwork, Variant, deploy, fund
from ape_dtn.network.abi import Router
from ape_dtn.types.abi import Event
from ape_dtn.types.rpc import as_int
from benchmarks.chain import connected_to, open_sessions, own_anvil
from benchmarks.rpc_counter import TRACES, RpcCounter

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI

PROMPT = "What is a deep trust network?"
DEPOSIT = "25.00"
MANY = 1000
OPENED_TOGETHER = 100
TRANSFERRED = Event("Transfer(address indexed from, address indexed to, uint256 value)")

# A request id of the live variant is a hash of the time and the user, and each zero byte in it
# makes the response 12 gas cheaper. A fixed time and user give the same id, and gas, in each run.
MEASURED_AT = 4_000_000_000

_T = TypeVar("_T")


def measure(variant: Variant) -> dict[str, Any]:
    """Gas and call counts of one variant, on a new chain."""
    with ExitStack() as stack:
        chain = stack.enter_context(own_anvil())
        counter = stack.enter_context(RpcCounter(chain, refuse=TRACES, hold_receipts=True))
        provider = stack.enter_context(connected_to(counter.url))
        return Measurement(counter, provider, variant).run()


class Measurement:
    """All operations on one network, in the order in which users call them.

    Args:
        counter: The proxy that the provider is connected through.
        provider: The connection.
        variant: The variant of the contracts.
    """

    def __init__(self, counter: RpcCounter, provider: ProviderAPI, variant: Variant) -> None:
        from ape.utils.basemodel import ManagerAccessMixin as access

        self.counter = counter
        self.provider = provider
        self.calls: dict[str, Any] = {}
        owner, worker, *customers = access.account_manager.test_accounts[:5]
        self.customer, self.collector, self.other = customers
        self.network: LocalNetwork = deploy(owner, worker, variant)
        for account in customers:
            fund(provider, owner, self.network.token, str(account.address), 1_000_000_000)

    def run(self) -> dict[str, Any]:
        """Return gas and calls as plain data."""
        self._warm_up()
        ai = self._count("DtnAi()", DtnAi)
        self._count("info", lambda: ai.token(ai.contracts()))
        self._count("models", ai.models)
        self._count("nodes", ai.nodes)
        self._count_lists(ai)
        gas = self._measure_session(ai)
        return {"gas": gas, "calls": self.calls}

    def _warm_up(self) -> None:
        """Fill the storage slots that only the first use of a network pays for."""
        ai, node = self.network.ai, self.network.node
        DtnSession.start(DEPOSIT, self.other, ai).request(PROMPT)
        node.answer_pending()

    def _measure_session(self, ai: DtnAi) -> dict[str, int]:
        customer, node = self.customer, self.network.node
        session = self._count("start", lambda: DtnSession.start(DEPOSIT, customer, ai))
        assert session.receipt is not None
        gas = {"transfer": self._transfer_gas(customer), "start": session.receipt.gas_used}
        self._count("load", lambda: DtnSession.load(session.id, customer, ai))
        self._count("balance", lambda: session.balance)
        self._count("draft", lambda: session.draft(PROMPT))
        self._count("request", lambda: session.request(PROMPT))
        node.answer_pending()
        rpc.result(self.provider, "evm_setNextBlockTimestamp", [MEASURED_AT])
        request = session.request(PROMPT, user=str(customer.address))
        assert request.receipt is not None
        gas["request"] = request.receipt.gas_used
        (answered,) = self._count("respond", node.answer_pending)
        gas["respond"] = self._respond_gas(ai, answered)
        self._count("load request", lambda: DtnRequest.load(request.id, ai))
        self._count("answer", request.answer)
        self._count("cost", request.cost)
        self._count("quote", lambda: session.quote(PROMPT))
        self._count("history", session.history)
        self._count("close", session.close)
        gas["close"] = session.receipt.gas_used
        return gas

    def _count_lists(self, ai: DtnAi) -> None:
        for how_many in (1, MANY):
            existing = len(DtnSession.list(self.collector, ai))
            for start in range(existing, how_many, OPENED_TOGETHER):
                open_sessions(ai, self.collector, min(OPENED_TOGETHER, how_many - start))
            found = self._count(f"list of {how_many}", lambda: DtnSession.list(self.collector, ai))
            assert len(found) == how_many

    def _count(self, name: str, operation: Callable[[], _T]) -> _T:
        with self.counter.counting() as count:
            result = operation()
        self.calls[name] = count.as_dict()
        return result

    def _transfer_gas(self, payer: AccountAPI) -> int:
        sender = reads.topic(bytes.fromhex(str(payer.address)[2:]).rjust(32, b"\0"))
        return self._gas_of(self.network.token, [TRANSFERRED.topic, sender])

    def _respond_gas(self, ai: DtnAi, request_id: str) -> int:
        return self._gas_of(ai.router, [Router.request_completed.topic, request_id])

    def _gas_of(self, contract: str, topics: list[str | None]) -> int:
        """The gas of the latest transaction with a log of these topics."""
        transaction = reads.logs(self.provider, contract, topics)[-1].transaction
        receipt = rpc.result(self.provider, "eth_getTransactionReceipt", [transaction])
        return as_int(receipt["gasUsed"])


def main() -> None:
    """Print the figures of both variants."""
    print(json.dumps({variant.value.lower(): measure(variant) for variant in Variant}, indent=2))


if __name__ == "__main__":
    main()
