"""A contract that asks and takes its answers in a callback, and one that does what it is told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from eth_abi import encode

from ape_dtn.chain import rpc
from ape_dtn.chain.reads import transaction_logs
from ape_dtn.deployment.assemble import NODE, LocalNetwork, fund
from ape_dtn.network.abi import ERC20, Router, SessionManager
from ape_dtn.types.ids import id_of
from ape_dtn.types.rpc import Request
from tests.conftest import Cast

MODEL = "model.system.openai-gpt-5-nano"
FEE, MOST, DEPOSIT = 2, 2_000, 50_000
DIRECT, IPFS = 1, 0

# Enough for a callback that stores an answer of a few words, and too little for that.
ENOUGH, TOO_LITTLE = 150_000, 25_000

PLAYED = bytes.fromhex("12345678")  # any selector: the puppet takes them all


@pytest.fixture
def consumer(network: LocalNetwork, project: Any, cast: Cast) -> Any:
    """A consumer of the customer's, with an open session."""
    arguments = (network.ai.router, MODEL, NODE, FEE, MOST)
    contract = project.ReuseSession.deploy(*arguments, sender=cast.customer)
    fund(network.ai.provider, cast.owner, network.token, str(contract.address), DEPOSIT)
    contract.start(sender=cast.customer)
    return contract


@dataclass(frozen=True)
class ScriptedContract:
    """A contract with a session that makes the calls that it is given, and takes any callback."""

    network: LocalNetwork
    contract: Any
    session: int
    customer: Any

    @property
    def address(self) -> str:
        return str(self.contract.address)

    def asking(
        self,
        node: str = NODE,
        gas: int = ENOUGH,
        call: bytes | None = None,
        call_type: int = DIRECT,
        namespaces: Sequence[bytes] = (),
    ) -> tuple[str, int, bytes]:
        """A call that asks, with the puppet as the target of the callback."""
        inputs = encode(["string[]"], [["Hello?"]]) if call is None else call
        data = Router.request.encode(
            self.session,
            id_of(MODEL, "model"),
            (list(namespaces), [id_of(node, "node")], 1, 8, 0),
            (inputs, b"", call_type, FEE, FEE, MOST),
            (PLAYED, PLAYED, self.address),
            self.address,
            gas,
        )
        return self.network.ai.router, gas, data

    def plays(self, *calls: tuple[str, int, bytes], insists: bool = True) -> None:
        """Gives it its part: what it does in its callbacks."""
        self.contract.rehearse(list(calls), insists, sender=self.customer)


@pytest.fixture
def puppet(network: LocalNetwork, project: Any, cast: Cast) -> ScriptedContract:
    contract = project.ScriptedContract.deploy(sender=cast.customer)
    provider, contracts = network.ai.provider, network.ai.contracts()
    fund(provider, cast.owner, network.token, str(contract.address), DEPOSIT)
    deposit = ERC20.transfer.encode(contracts.fee_target, DEPOSIT)
    start = Router.start_user_session.encode()
    calls = [(network.token, 0, deposit), (network.ai.router, 0, start)]
    receipt = contract.act(calls, sender=cast.customer)
    logs = transaction_logs(provider, str(receipt.txn_hash))
    (started,) = SessionManager.session_started.find(logs)
    return ScriptedContract(network, contract, started["sessionId"], cast.customer)


@pytest.fixture
def untouched(network: LocalNetwork, cast: Cast, request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails the test where anything of the chain is otherwise afterwards."""
    for name in request.fixturenames:  # all that the test needs is there before
        if name not in ("untouched", "request"):
            request.getfixturevalue(name)
    provider = network.ai.provider

    def state() -> Any:
        accounts = [str(each.address) for each in (cast.customer, cast.worker, cast.owner)]
        asked: list[Request] = [("eth_getBlockByNumber", ["latest", False])]
        asked += [("txpool_status", [])]
        asked += [("eth_getTransactionCount", [each, "pending"]) for each in accounts]
        asked += [("eth_getBalance", [each, "latest"]) for each in accounts]
        return [rpc.expect(each) for each in rpc.ask(provider, asked)]

    before = state()
    yield
    assert state() == before
