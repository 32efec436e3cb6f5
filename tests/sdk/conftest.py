"""Fixtures: sessions in each state, scripted endpoints, and answers of a node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak

from ape_dtn import DtnAi, DtnRequest, DtnSession, Status
from ape_dtn.chain import rpc, transactions
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.network import reverts
from ape_dtn.network.abi import Router
from ape_dtn.network.registry import serving_call, to_serving
from ape_dtn.types.ids import id_of
from ape_dtn.types.transactions import Receipt, contract_call
from benchmarks.chain import connected_to
from benchmarks.rpc_counter import RpcCounter
from tests.conftest import Balances, Cast
from tests.contracts.conftest import erc7201

DEPOSIT = "25.00"

Respond = Callable[..., Receipt]


# Answers the body of a request; the second argument forwards a body to the chain.
Answer = Callable[[bytes, Callable[[bytes], bytes]], bytes]
Through = Callable[[Answer], AbstractContextManager[DtnAi]]


class Endpoint(RpcCounter):
    """A proxy that answers with ``script``, if it is set."""

    script: Answer | None = None

    def answer(self, body: bytes) -> bytes:
        return self.script(body, super().answer) if self.script else super().answer(body)


@pytest.fixture
def own_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A separate journal, because Ape reverts the payments in the journals of other tests."""
    from ape.utils.basemodel import ManagerAccessMixin as access

    monkeypatch.setattr(access.config_manager, "DATA_FOLDER", tmp_path)


@pytest.fixture
def through(network: LocalNetwork) -> Through:
    @contextmanager
    def through(script: Answer) -> Iterator[DtnAi]:
        endpoint = Endpoint(str(network.ai.provider.http_uri))
        with endpoint, connected_to(endpoint.url) as provider:
            ai = DtnAi(network.ai.router, provider)
            endpoint.script = script
            yield ai

    return through


@pytest.fixture
def funded(network: LocalNetwork, cast: Cast) -> DtnSession:
    """An open session of the customer.

    Not called `session`: Ape identifies fixtures by name, and does not revert a fixture if another
    one of this name has a wider scope.
    """
    return DtnSession.start(DEPOSIT, cast.customer, network.ai)


@pytest.fixture
def closed(network: LocalNetwork, cast: Cast) -> DtnSession:
    session = DtnSession.start(DEPOSIT, cast.customer, network.ai)
    session.close()
    return session


@pytest.fixture
def crowded(network: LocalNetwork) -> str:
    """A model with more nodes than an endpoint has gas to list."""
    return crowd(network)


def crowd(network: LocalNetwork) -> str:
    """Gives a model too many nodes, by setting the length of their set in storage."""
    contracts, model = network.ai.contracts(), network.ai.config.model
    nodes_of = erc7201("ape-dtn.NodeManager") + 4
    slot = keccak(encode(["bytes32", "uint256"], [id_of(model, "model"), nodes_of]))
    length = "0x" + (20_000).to_bytes(32, "big").hex()
    rpc.result(
        network.ai.provider,
        "anvil_setStorageAt",
        [contracts.node_manager, "0x" + slot.hex(), length],
    )
    listing = serving_call(contracts, id_of(model, "model"))
    (result,) = network.ai.try_read(listing)
    assert to_serving(result) is None
    return model


@pytest.fixture
def respond(network: LocalNetwork, cast: Cast) -> Respond:
    """Answers a request as the node's worker, with any data, status and sizes."""

    def respond(
        request: DtnRequest,
        data: bytes = b"",
        status: Status = Status.SUCCESS,
        message: str = "",
        sizes: tuple[int, int] = (0, 0),
    ) -> Receipt:
        response: Any = (status, message, data, network.node.id, *sizes)
        transaction = contract_call(
            network.ai.router,
            Router.respond_to_request,
            id_of(request.id, "request"),
            *response,
        )
        return transactions.send(network.ai.provider, cast.worker, transaction, reverts.NO_CONTEXT)

    return respond


@pytest.fixture
def nothing_moves(request: pytest.FixtureRequest, balances: Balances) -> None:
    """The fixture of all tests, set up after the test's other fixtures.

    Ape sets fixtures up in the order of their definition, not in the order of the test's arguments.
    """
    for name in request.fixturenames:
        if name not in {"nothing_moves", "request"}:
            request.getfixturevalue(name)
    request.getfixturevalue("nothing_moves")
