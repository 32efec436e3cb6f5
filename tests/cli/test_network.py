"""`ape dtn info`, `models` and `nodes`."""

from __future__ import annotations

from .conftest import Network
from .shell import FOUNDRY


def test_info_shows_the_deployed_network(network: Network) -> None:
    done = network.dtn("info", "--json")

    assert done.code == 0
    assert done.json["network"] == FOUNDRY
    assert done.json["chain_id"] == 31337
    assert done.json["router"] == network.router
    assert done.json["fee_token"] == {
        "address": network.token,
        "symbol": "USDT",
        "decimals": 6,
    }


def test_info_for_people(reference: Network) -> None:
    done = reference.dtn("info", "--network", FOUNDRY)

    assert (done.code, done.err) == (0, "")
    assert f"router  {reference.router}" in done.out
    assert "fee token  USDT, 6 decimals" in done.out


def test_models_have_their_specs(reference: Network) -> None:
    done = reference.dtn("models", "--json")

    specs = {model["name"]: model["specs"] for model in done.json["models"]}
    assert specs["model.system.openai-gpt-5-nano"] == "string[] -> string"
    assert specs["model.system.openai-gpt-image-1"] == "string[], uint64, uint64 -> bytes"


def test_names_of_models_are_not_wrapped(reference: Network) -> None:
    done = reference.dtn("models")

    words = done.out.split()
    assert "model.system.openai-gpt-5-nano" in words
    assert "model.system.openai-gpt-image-1" in words


def test_nodes_have_their_models(reference: Network) -> None:
    done = reference.dtn("nodes", "--model", "model.system.openai-gpt-5", "--json")

    (node,) = done.json["nodes"]
    assert node["name"] == reference.node
    assert node["worker"] == reference.worker
    assert node["is_active"] is True
    assert "model.system.openai-gpt-5-nano" in node["models"]


def test_nodes_for_people(reference: Network) -> None:
    done = reference.dtn("nodes")

    assert reference.node in done.out.split()
    assert reference.worker in done.out.split()
