"""Sessions in each state, and nodes and endpoints that say whatever they are told to."""

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


# What an endpoint makes of a request's body, given how the chain itself would answer it.
Answer = Callable[[bytes, Callable[[bytes], bytes]], bytes]
Through = Callable[[Answer], AbstractContextManager[DtnAi]]


class Endpoint(RpcCounter):
    """A proxy with an opinion of its own, once it has one."""

    opinion: Answer | None = None

    def answer(self, body: bytes) -> bytes:
        return self.opinion(body, super().answer) if self.opinion else super().answer(body)


@pytest.fixture
def own_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal of the test's own: what others have in it, Ape has taken back from the chain."""
    from ape.utils.basemodel import ManagerAccessMixin as access

    monkeypatch.setattr(access.config_manager, "DATA_FOLDER", tmp_path)


@pytest.fixture
def through(network: LocalNetwork) -> Through:
    @contextmanager
    def through(opinion: Answer) -> Iterator[DtnAi]:
        endpoint = Endpoint(str(network.ai.provider.http_uri))
        with endpoint, connected_to(endpoint.url) as provider:
            ai = DtnAi(network.ai.router, provider)
            endpoint.opinion = opinion
            yield ai

    return through


@pytest.fixture
def funded(network: LocalNetwork, cast: Cast) -> DtnSession:
    """An open session of the customer.

    Not called `session`: Ape knows fixtures by name alone, and would take back nothing of one whose
    name a fixture of a wider scope has elsewhere.
    """
    return DtnSession.start(DEPOSIT, cast.customer, network.ai)


@pytest.fixture
def closed(network: LocalNetwork, cast: Cast) -> DtnSession:
    """A session of the customer that was closed."""
    session = DtnSession.start(DEPOSIT, cast.customer, network.ai)
    session.close()
    return session


@pytest.fixture
def crowded(network: LocalNetwork) -> str:
    """A model that so many nodes serve that an endpoint's gas is not enough to list them."""
    return crowd(network)


def crowd(network: LocalNetwork) -> str:
    """Has too many nodes serve a model: they are a set, and it is its length alone that is set."""
    contracts, model = network.ai.contracts(), network.ai.config.model
    nodes_of = erc7201("ape-dtn.NodeManager") + 4
    slot = keccak(encode(["bytes32", "uint256"], [id_of(model, "model"), nodes_of]))
    length = "0x" + (20_000).to_bytes(32, "big").hex()
    where = [contracts.node_manager, "0x" + slot.hex(), length]
    rpc.result(network.ai.provider, "anvil_setStorageAt", where)
    listing = serving_call(contracts, id_of(model, "model"))
    (result,) = network.ai.try_read(listing)
    assert to_serving(result) is None
    return model


@pytest.fixture
def respond(network: LocalNetwork, cast: Cast) -> Respond:
    """Answers a request as the node's worker, with whatever is given."""

    def respond(
        request: DtnRequest,
        data: bytes = b"",
        status: Status = Status.SUCCESS,
        message: str = "",
        sizes: tuple[int, int] = (0, 0),
    ) -> Receipt:
        given: Any = (id_of(request.id, "request"), status, message, data, network.node.id, *sizes)
        transaction = contract_call(network.ai.router, Router.respond_to_request, *given)
        return transactions.send(network.ai.provider, cast.worker, transaction, reverts.NO_CONTEXT)

    return respond


@pytest.fixture
def nothing_moves(request: pytest.FixtureRequest, balances: Balances) -> None:
    """The one of all tests, once everything else that the test names is there.

    Ape sets fixtures up in the order in which they are written, and not as a test names them.
    """
    for name in request.fixturenames:
        if name not in {"nothing_moves", "request"}:
            request.getfixturevalue(name)
    request.getfixturevalue("nothing_moves")
