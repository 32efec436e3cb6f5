"""Requests on the chain, answered by independent servers."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from ape_dtn import DtnSession, Prompt
from ape_dtn.chain import transactions
from ape_dtn.deployment.assemble import NODE, LocalNetwork
from ape_dtn.errors import NodeFailure
from ape_dtn.network.abi import NodeManager
from ape_dtn.node.backends import selection
from ape_dtn.node.node import DtnNode
from ape_dtn.types.ids import id_of
from ape_dtn.types.transactions import contract_call
from tests.backends.servers import aimock, llama
from tests.conftest import Cast

TEXT = "model.system.openai-gpt-5-nano"
IMAGE = "model.system.openai-gpt-image-1"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


@pytest.fixture
def both_models(network: LocalNetwork, cast: Cast) -> None:
    """Registers a text model and an image model for the node."""
    model_ids = [id_of(TEXT, "model"), id_of(IMAGE, "model")]
    manager = network.ai.contracts().node_manager
    call = contract_call(manager, NodeManager.set_node_models, network.node.id, model_ids)
    transactions.send(network.ai.provider, cast.owner, call)


def test_a_language_model_and_an_image_server_answer(
    network: LocalNetwork, both_models: None, cast: Cast, tmp_path: Path, key_from: str
) -> None:
    session = DtnSession.start("25.00", cast.customer, network.ai)
    capital = session.request(Prompt("The capital of {0}? In one word.", "France"), model=TEXT)
    cat = session.request(["A cat"], inputs={"width": 1, "height": 1}, model=IMAGE)
    dog = session.request(["A dog"], inputs={"width": 1, "height": 1}, model=IMAGE)

    image_reply = {"image": {"b64Json": base64.b64encode(PNG).decode()}}
    refusal = {"error": {"message": "No dogs."}, "status": 400}
    fixtures = [
        {"match": {"userMessage": "A cat", "endpoint": "image"}, "response": image_reply},
        {"match": {"userMessage": "A dog", "endpoint": "image"}, "response": refusal},
    ]
    with llama(tmp_path) as texts, aimock(tmp_path, fixtures) as images:
        sampling = {"temperature": 0, "max_tokens": 16}
        settings = {
            TEXT: {"openai": {"url": texts, "model": "smollm2", "key_from": key_from, **sampling}},
            IMAGE: {"openai": {"url": images, "model": "gpt-image-1", "key_from": key_from}},
        }
        with selection.of(settings, None) as backends:
            assert backends.health_problems([TEXT]) == {}
            node = DtnNode(
                network.ai,
                NODE,
                network.node.worker,
                lambda question: backends(question.model)(question),
            )
            assert len(node.answer_pending()) == 3

    assert "Paris" in capital.answer().text
    assert cat.answer().image_type == "image/png"
    assert cat.answer().value == PNG
    with pytest.raises(NodeFailure, match="The backend refused: No dogs"):
        dog.answer()
