"""A consumer contract with callbacks, and a scripted contract that makes any calls."""

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

# The gas that a callback needs to store a short answer, and too little for that.
ENOUGH, TOO_LITTLE = 150_000, 25_000

CALLBACK = bytes.fromhex("12345678")  # the scripted contract accepts any selector


@pytest.fixture
def consumer(network: LocalNetwork, project: Any, cast: Cast) -> Any:
    """A consumer contract of the customer, with an open session."""
    arguments = (network.ai.router, MODEL, NODE, FEE, MOST)
    contract = project.ReuseSession.deploy(*arguments, sender=cast.customer)
    fund(network.ai.provider, cast.owner, network.token, str(contract.address), DEPOSIT)
    contract.start(sender=cast.customer)
    return contract


@dataclass(frozen=True)
class ScriptedContract:
    """A contract with a session. It makes given calls, and accepts any callback."""

    network: LocalNetwork
    contract: Any
    session: int
    customer: Any

    @property
    def address(self) -> str:
        return str(self.contract.address)

    def request_call(
        self,
        node: str = NODE,
        gas: int = ENOUGH,
        call: bytes | None = None,
        call_type: int = DIRECT,
        namespaces: Sequence[bytes] = (),
    ) -> tuple[str, int, bytes]:
        """Return a call that requests an answer, with this contract as the callback's target."""
        inputs = encode(["string[]"], [["Hello?"]]) if call is None else call
        data = Router.request.encode(
            self.session,
            id_of(MODEL, "model"),
            (list(namespaces), [id_of(node, "node")], 1, 8, 0),
            (inputs, b"", call_type, FEE, FEE, MOST),
            (CALLBACK, CALLBACK, self.address),
            self.address,
            gas,
        )
        return self.network.ai.router, gas, data

    def set_callback(self, *calls: tuple[str, int, bytes], insists: bool = True) -> None:
        """Set the calls that it makes in its callbacks."""
        self.contract.rehearse(list(calls), insists, sender=self.customer)


@pytest.fixture
def scripted(network: LocalNetwork, project: Any, cast: Cast) -> ScriptedContract:
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
def unchanged_chain(
    network: LocalNetwork, cast: Cast, request: pytest.FixtureRequest
) -> Iterator[None]:
    """Check that the test does not change the chain."""
    for name in request.fixturenames:  # set up the other fixtures first
        if name not in ("unchanged_chain", "request"):
            request.getfixturevalue(name)
    provider = network.ai.provider

    def state() -> Any:
        accounts = [str(account.address) for account in (cast.customer, cast.worker, cast.owner)]
        requests: list[Request] = [("eth_getBlockByNumber", ["latest", False])]
        requests += [("txpool_status", [])]
        requests += [("eth_getTransactionCount", [account, "pending"]) for account in accounts]
        requests += [("eth_getBalance", [account, "latest"]) for account in accounts]
        return [rpc.expect(answer) for answer in rpc.ask(provider, requests)]

    before = state()
    yield
    assert state() == before
