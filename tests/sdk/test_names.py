"""Full names, their ids, and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ape_dtn.chain import reads
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.errors import BadInput, InvalidName
from ape_dtn.network.abi import Router
from ape_dtn.types.ids import Names, as_hex, id_of

MODEL = "model.system.openai-gpt-5"


def test_the_router_gives_a_model_the_same_id(network: LocalNetwork) -> None:
    call = reads.Call(network.ai.router, Router.model_id, (MODEL,))

    assert network.ai.read_one(call) == id_of(MODEL, "model")


@given(st.binary(min_size=32, max_size=32))
def test_an_id_stands_for_itself(value: bytes) -> None:
    assert id_of(value, "model") == value
    assert id_of(as_hex(value), "node") == value
    assert id_of("0x" + value.hex().upper(), "request") == value


@pytest.mark.parametrize("name", ["node.alice.first", "node.a.b.c", "node.ålice.日本"])
def test_full_names_of_nodes_have_ids(name: str) -> None:
    assert len(id_of(name, "node")) == 32


@pytest.mark.parametrize(
    "name",
    [
        *("", "node", "node.alice", "node..first", "node.alice.", ".node.alice.first"),
        *("alice.first", "node.alice.the first", "node.alice.first\n", "NODE.alice.first", MODEL),
        *("0x", "5e" * 32, "0X" + "5e" * 32, "0x" + "5g" * 32),
        *("0x" + "5e" * 31, "0x" + "5e" * 33),
        *(b"", b"5" * 31, b"5" * 33, 5, None),
    ],
)
def test_an_invalid_node_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidName) as raised:
        id_of(name, "node")

    assert isinstance(raised.value, BadInput)
    assert raised.value.name == str(name)
    assert "node.alice.first" in raised.value.message


def test_requests_have_no_names() -> None:
    with pytest.raises(InvalidName, match="is not a valid request name"):
        id_of("request.alice.first", "request")


def test_known_ids_get_their_names_back() -> None:
    names = Names(MODEL, "node.alice.first")

    assert names.of(id_of(MODEL, "model")) == MODEL
    assert names.of(id_of("node.alice.first", "node")) == "node.alice.first"


def test_unknown_ids_stay_ids() -> None:
    assert Names(MODEL).of(bytes(32)) == "0x" + "00" * 32
