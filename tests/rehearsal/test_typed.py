"""Parsing calls, addresses, amounts and answers as users type them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from eth_abi import decode

from ape_dtn.errors import BadInput, InvalidAddress, UnknownContract, UnknownMethod
from ape_dtn.node.answering import Question
from ape_dtn.rehearsal import typed
from tests.cli.shell import CUSTOMER_ADDRESS, STRANGER_ADDRESS

ADDRESS = "0x" + "5e" * 20

PART = {
    "type": "tuple[]",
    "name": "parts",
    "components": [{"type": "address", "name": "to"}, {"type": "uint256", "name": "amount"}],
}
ABI = [
    {"type": "function", "name": name, "inputs": inputs, "outputs": [], "stateMutability": kind}
    for name, inputs, kind in (
        ("pay", [{"type": "address", "name": "to"}, {"type": "uint8", "name": "n"}], "payable"),
        ("give", [{"type": "address", "name": "to"}, {"type": "uint256", "name": "n"}], "payable"),
        ("give", [{"type": "uint256", "name": "n"}], "payable"),
        ("give", [{"type": "string", "name": "what"}], "payable"),
        ("share", [PART], "nonpayable"),
        ("held", [], "view"),
    )
]


@pytest.fixture
def abi(tmp_path: Path) -> Path:
    path = tmp_path / "abi.json"
    path.write_text(json.dumps({"abi": ABI}))
    return path


@pytest.mark.parametrize(
    ("method", "args", "kinds", "values"),
    [
        ("pay", ["TEST::2", "7"], ["address", "uint8"], (CUSTOMER_ADDRESS, 7)),
        ("give", [ADDRESS, "1.5 ether"], ["address", "uint256"], (ADDRESS, 15 * 10**17)),
        ("give(uint256)", ["0x10"], ["uint256"], (16,)),
        ("give(string)", ["0x10"], ["string"], ("0x10",)),
        (
            "share",
            [f'[{{"to": "TEST::3", "amount": "2 gwei"}}, ["{ADDRESS}", 5]]'],
            ["(address,uint256)[]"],
            (((STRANGER_ADDRESS, 2 * 10**9), (ADDRESS, 5)),),
        ),
    ],
)
def test_arguments_are_parsed_by_their_types(
    abi: Path, method: str, args: list[str], kinds: list[str], values: Any
) -> None:
    call = typed.call(ADDRESS, method, args, abi)
    assert call.to.lower() == ADDRESS
    assert json.dumps(decode(kinds, call.data[4:])) == json.dumps(values).replace(
        CUSTOMER_ADDRESS, CUSTOMER_ADDRESS.lower()
    ).replace(STRANGER_ADDRESS, STRANGER_ADDRESS.lower())


@pytest.mark.parametrize(
    ("method", "args", "reason"),
    [
        ("gvie", [], "no such function"),
        ("held", [], "a view"),
        ("pay", ["TEST::2"], "does not take 1 arguments"),
        ("give", ["5"], "give the signature"),
        ("pay", ["TEST::2", "many"], "for n, 'many' is not a valid uint8"),
        ("pay", ["nobody", "1"], "for to, 'nobody' is not a valid address"),
        ("pay", ["TEST::2", "256"], "256"),
        ("share", ['[{"to": "TEST::3"}]'], "for parts"),
        ("share", ["TEST::3"], "for parts"),
    ],
)
def test_a_call_that_does_not_fit_is_rejected(
    abi: Path, method: str, args: list[str], reason: str
) -> None:
    with pytest.raises(UnknownMethod) as caught:
        typed.call(ADDRESS, method, args, abi)
    assert reason in caught.value.message
    if method == "gvie":
        assert caught.value.methods == [
            "pay(address,uint8)",
            "give(address,uint256)",
            "give(uint256)",
            "give(string)",
            "share((address,uint256)[])",
        ]


def test_contracts_of_the_project_are_found_by_name_and_address(consumer: Any) -> None:
    latest = typed.call("ReuseSession", "ask", ["Hello?"])
    named = typed.call(f"ReuseSession:{consumer.address}", "ask", ["Hello?"])
    known = typed.call(str(consumer.address), "ask", ["Hello?"])  # deployed by Ape
    assert latest.to == named.to == known.to == consumer.address
    assert latest.data == named.data == known.data == bytes(consumer.ask.encode_input("Hello?"))


@pytest.mark.parametrize(
    ("contract", "reason"),
    [
        (ADDRESS, "its ABI is not known"),
        ("Nothing", "neither an address nor a contract"),
        (f"Nothing:{ADDRESS}", "no contract Nothing"),
        ("LiveRouter", "no deployment of this contract is known"),
    ],
)
def test_an_unknown_contract_is_rejected(contract: str, reason: str) -> None:
    with pytest.raises(UnknownContract, match=reason) as caught:
        typed.call(contract, "ask", ["Hello?"])
    assert "pass its ABI" in str(caught.value.hint)


def test_amounts_and_addresses_are_parsed() -> None:
    assert typed.amount_of("0.1 ether") == 10**17
    assert typed.amount_of("200000") == 200_000
    with pytest.raises(BadInput):
        typed.amount_of("much")
    assert typed.address_of("TEST::2") == CUSTOMER_ADDRESS
    for invalid in ("TEST::x", "TEST::99", "nobody", "0x12"):
        with pytest.raises(InvalidAddress):
            typed.address_of(invalid)


def test_answers_are_parsed_by_the_output_type(tmp_path: Path) -> None:
    def question(output: str) -> Question:
        return Question("0x00", "model.system.x", ("string[]",), (["Hello?"],), output)

    file = tmp_path / "answer"
    file.write_bytes(b"four")
    assert typed.answer_of("0x00ff")(question("string")) == "0x00ff"
    assert typed.answer_of("0x00ff")(question("bytes")) == b"\x00\xff"
    assert typed.answer_of("4")(question("uint8")) == 4
    assert typed.answer_of(f"@{file}")(question("string")) == "four"
    assert typed.answer_of(f"@{file}")(question("bytes")) == b"four"
    for text, output in (("four", "bytes"), ("four", "uint8"), ("@nothing", "string")):
        with pytest.raises(BadInput):
            typed.answer_of(text)(question(output))
