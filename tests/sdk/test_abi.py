"""The small ABI of ours: what it encodes, and how it writes addresses."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import encode
from eth_abi.exceptions import DecodingError
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st

from ape_dtn.network.abi import ERC20, Router, SessionManager
from ape_dtn.types.abi import Error, Event, Function, Log

CHECKSUMMED = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
LOWER = CHECKSUMMED.lower()
OTHER = "0x45B80f551646fDaC777A4991FbdA748Fc5A72194"


def log(*topics: bytes, data: bytes = b"", address: str = CHECKSUMMED) -> Log:
    return Log(address, topics, data, 1, "0x" + "00" * 32, 0)


def test_call_data_is_the_selector_and_the_arguments() -> None:
    data = ERC20.transfer.encode(LOWER, 5)

    assert data == keccak(text="transfer(address,uint256)")[:4] + encode(
        ["address", "uint256"], [LOWER, 5]
    )


def test_structs_are_encoded_as_tuples() -> None:
    routing = ([b"\1" * 32], [b"\2" * 32], 1, 8, 0)
    request = (b"call", b"", 1, 10, 10, 250)
    callback = (b"\1\2\3\4", b"\0" * 4, OTHER)

    data = Router.request.encode(7, b"\3" * 32, routing, request, callback, CHECKSUMMED, 9)

    kinds = [
        "uint256",
        "bytes32",
        "(bytes32[],bytes32[],uint32,uint8,uint8)",
        "(bytes,bytes,uint8,uint256,uint256,uint256)",
        "(bytes4,bytes4,address)",
        "address",
        "uint256",
    ]
    values = [7, b"\3" * 32, routing, request, callback, CHECKSUMMED, 9]
    assert Router.request.inputs == kinds
    assert data[4:] == encode(kinds, values)


@pytest.mark.parametrize(
    ("output", "returned", "decoded"),
    [
        ("", [], ()),
        ("uint256", [5], 5),
        ("uint8,string,bytes", [1, "", b"x"], (1, "", b"x")),
        ("address", [LOWER], CHECKSUMMED),
        ("address[]", [[LOWER, LOWER]], (CHECKSUMMED, CHECKSUMMED)),
        ("address[1][]", [[[LOWER]]], ((CHECKSUMMED,),)),
        ("(address,uint256)[]", [[(LOWER, 5)]], ((CHECKSUMMED, 5),)),
        ("(uint8,(address[],bool))", [(1, ([LOWER], True))], (1, ((CHECKSUMMED,), True))),
    ],
)
def test_addresses_are_checksummed_wherever_they_are(
    output: str, returned: list[Any], decoded: Any
) -> None:
    function = Function("any()", output)

    assert function.decode(encode(function.outputs, returned)) == decoded


@given(st.integers(0, 2**256 - 1), st.binary(min_size=20, max_size=20))
def test_sessions_are_read_back(balance: int, owner: bytes) -> None:
    data = encode(["(address,uint256)[]"], [[(owner, balance)]])

    ((address, units),) = SessionManager.get_user_sessions.decode(data)

    assert bytes.fromhex(address[2:]) == owner
    assert units == balance


@pytest.mark.parametrize("data", [b"", b"\1", b"\1" * 31])
@pytest.mark.parametrize("function", [Router.fee_token, Router.get_request, ERC20.symbol])
def test_too_little_data_is_not_decoded(function: Function, data: bytes) -> None:
    with pytest.raises(DecodingError):
        function.decode(data)


def test_an_event_is_decoded_from_topics_and_data() -> None:
    started = SessionManager.session_started
    owner = bytes.fromhex(LOWER[2:]).rjust(32, b"\0")
    topics = (bytes.fromhex(started.topic[2:]), (5).to_bytes(32, "big"), owner)

    found = started.decode(log(*topics, data=encode(["uint256"], [25])))

    assert found == {"sessionId": 5, "owner": CHECKSUMMED, "balance": 25}


def test_indexed_fields_may_stand_anywhere() -> None:
    charged = SessionManager.session_charged
    worker = bytes.fromhex(LOWER[2:]).rjust(32, b"\0")
    topics = (bytes.fromhex(charged.topic[2:]), (5).to_bytes(32, "big"), worker)

    found = charged.decode(log(*topics, data=encode(["uint256"], [25])))

    assert found == {"sessionId": 5, "amount": 25, "to": CHECKSUMMED}


def test_events_of_other_kinds_and_contracts_are_passed_over() -> None:
    event = Event("Happened(uint256 what)")
    topic = bytes.fromhex(event.topic[2:])
    logs = [
        log(),
        log(b"\1" * 32),
        log(topic, data=encode(["uint256"], [1])),
        log(topic, data=encode(["uint256"], [2]), address=OTHER),
    ]

    assert event.find(logs) == [{"what": 1}, {"what": 2}]
    assert event.find(logs, OTHER) == [{"what": 2}]


def test_an_error_is_decoded_by_name() -> None:
    error = SessionManager.unauthorized

    found = error.decode(encode(["address", "address"], [LOWER, OTHER.lower()]))

    assert error.selector == keccak(text="Unauthorized(address,address)")[:4]
    assert found == {"caller": CHECKSUMMED, "owner": OTHER}


def test_an_error_without_fields_has_none() -> None:
    error = Error("InvalidAmount()")

    assert error.fields == []
    assert error.decode(b"") == {}
    assert error.selector == keccak(text="InvalidAmount()")[:4]
