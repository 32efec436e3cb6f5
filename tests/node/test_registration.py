"""Registering and changing a node sends only the transactions still needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ape_dtn import DtnError, DtnSession
from ape_dtn.chain import rpc
from ape_dtn.deployment.assemble import NODE, LocalNetwork
from ape_dtn.errors import InvalidName, ModelNotFound, NodeNotFound, NotNodeOwner, NotTheWorker
from ape_dtn.node.node import DtnNode
from ape_dtn.node.registration import (
    Step,
    model_steps,
    registration_steps,
    send_steps,
    status_steps,
)
from ape_dtn.types.ids import id_of
from ape_dtn.types.rpc import as_int
from tests.conftest import Cast

NANO, MINI = (f"model.system.openai-gpt-5-{size}" for size in ("nano", "mini"))
OWN_NODE = "node.tester.first"
ADDRESS = "0x" + "5e" * 20


def test_a_node_is_registered_once_and_answers(network: LocalNetwork, cast: Cast) -> None:
    worker = str(cast.stranger.address)

    def steps(name: str = OWN_NODE) -> list[Step]:
        return registration_steps(network.ai, cast.customer, name, worker, [NANO])

    assert len(send_steps(network.ai, cast.customer, steps())) == 3
    assert steps() == []
    assert len(send_steps(network.ai, cast.customer, steps("node.tester.second"))) == 2  # no user

    node = network.ai.node(OWN_NODE)
    assert (node.owner, node.worker, node.is_active, node.models) == (
        str(cast.customer.address),
        worker,
        True,
        (id_of(NANO, "model"),),
    )
    request = DtnSession.start("5", cast.customer, network.ai).request("Who?", nodes=[OWN_NODE])
    assert DtnNode(network.ai, OWN_NODE, cast.stranger).answer_pending() == [request.id]


def test_models_and_status_are_sent_only_if_they_differ(network: LocalNetwork, cast: Cast) -> None:
    ai, owner = network.ai, cast.customer
    send_steps(ai, owner, registration_steps(ai, owner, OWN_NODE, str(owner.address), [NANO]))

    def models() -> set[bytes]:
        return set(ai.node(OWN_NODE).models)

    send_steps(ai, owner, model_steps(ai, owner, OWN_NODE, add=[MINI]))
    assert models() == {id_of(NANO, "model"), id_of(MINI, "model")}
    send_steps(ai, owner, model_steps(ai, owner, OWN_NODE, remove=[NANO]))
    assert models() == {id_of(MINI, "model")}
    assert model_steps(ai, owner, OWN_NODE, exactly=[MINI]) == []

    send_steps(ai, owner, status_steps(ai, owner, OWN_NODE, False))
    assert ai.node(OWN_NODE).is_active is False
    assert status_steps(ai, owner, OWN_NODE, False) == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda ai, who: registration_steps(ai, who, "alice", ADDRESS), InvalidName),
        (lambda ai, who: registration_steps(ai, who, "node.a.b.c", ADDRESS), InvalidName),
        (
            lambda ai, who: registration_steps(ai, who, OWN_NODE, ADDRESS, ["model.system.none"]),
            ModelNotFound,
        ),
        (lambda ai, who: registration_steps(ai, who, NODE, ADDRESS), NotNodeOwner),
        (lambda ai, who: registration_steps(ai, who, "node.local.other", ADDRESS), NotNodeOwner),
        (lambda ai, who: model_steps(ai, who, NODE, add=[NANO]), NotNodeOwner),
        (lambda ai, who: status_steps(ai, who, OWN_NODE, True), NodeNotFound),
    ],
)
def test_invalid_changes_are_refused_before_sending(
    network: LocalNetwork,
    cast: Cast,
    change: Callable[[Any, Any], object],
    error: type[DtnError],
) -> None:
    before = nonce(network, cast.customer)

    with pytest.raises(error):
        change(network.ai, cast.customer)

    assert nonce(network, cast.customer) == before


def test_the_worker_cannot_be_changed(network: LocalNetwork, cast: Cast) -> None:
    with pytest.raises(NotTheWorker, match=", not 0x"):
        registration_steps(network.ai, cast.owner, NODE, str(cast.stranger.address))


def nonce(network: LocalNetwork, account: Any) -> int:
    count = rpc.result(
        network.ai.provider, "eth_getTransactionCount", [str(account.address), "latest"]
    )
    return as_int(count)
