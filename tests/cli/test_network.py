"""What is there: info, models, nodes."""

from __future__ import annotations

from .shell import FOUNDRY, Network


def test_info_is_of_the_network_that_was_deployed(network: Network) -> None:
    done = network.dtn("info", "--json")

    assert done.code == 0
    assert done.json["network"] == FOUNDRY
    assert done.json["chain_id"] == 31337
    assert done.json["router"] == network.deployed["router"]
    assert done.json["fee_token"] == {
        "address": network.deployed["token"],
        "symbol": "USDT",
        "decimals": 6,
    }


def test_info_for_people(documented: Network) -> None:
    done = documented.dtn("info", "--network", FOUNDRY)

    assert (done.code, done.err) == (0, "")
    assert f"router  {documented.deployed['router']}" in done.out
    assert "fee token  USDT, 6 decimals" in done.out


def test_models_and_how_they_are_called(documented: Network) -> None:
    done = documented.dtn("models", "--json")

    specs = {model["name"]: model["specs"] for model in done.json}
    assert specs["model.system.openai-gpt-5-nano"] == "string[] -> string"
    assert specs["model.system.openai-gpt-image-1"] == "string[], uint64, uint64 -> bytes"


def test_names_of_models_can_be_copied_from_the_table(documented: Network) -> None:
    done = documented.dtn("models")

    words = done.out.split()
    assert "model.system.openai-gpt-5-nano" in words
    assert "model.system.openai-gpt-image-1" in words


def test_nodes_and_what_they_serve(documented: Network) -> None:
    done = documented.dtn("nodes", "--model", "model.system.openai-gpt-5", "--json")

    (node,) = done.json
    assert node["name"] == documented.deployed["node"]
    assert node["worker"] == documented.deployed["worker"]
    assert node["is_active"] is True
    assert "model.system.openai-gpt-5-nano" in node["models"]


def test_nodes_for_people(documented: Network) -> None:
    done = documented.dtn("nodes")

    assert documented.deployed["node"] in done.out.split()
    assert documented.deployed["worker"] in done.out.split()
