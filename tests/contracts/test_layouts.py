"""Upgrades find the state of the contracts where it was.

The state is at ERC-7201 locations, with the layout in ``audit/layouts.json``. ``make layouts``
records additions.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import Any

import pytest

from ape_dtn.chain import transactions
from ape_dtn.network.abi import SessionManager
from ape_dtn.types.abi import Function
from audit import layouts, sources
from tests.conftest import Cast

from .conftest import Net

SESSIONS = "contracts/network/live/LiveSessionManager.sol"
KEPT = """
pragma solidity ^0.8.24;
contract Kept {
    struct Item { address owner; uint96 paid; }
    /// @custom:storage-location erc7201:kept
    struct KeptStorage {
        address owner;
        uint64 count;
        bytes32[] ids;
        mapping(uint256 => Item) items;
    }
    uint256 variable;
}
"""
OWNER = Function("owner()", "address")
GET_ADDED = Function("getAdded()", "uint256")
ADDED = """
    function setAdded(uint256 added) external { _storage().added = added; }
    function getAdded() external view returns (uint256) { return _storage().added; }
"""
RECORDED: Any = json.loads(layouts.RECORD.read_text())


@pytest.fixture(scope="module")
def output() -> Any:
    return sources.described()


@pytest.fixture(scope="module")
def found(output: Any) -> Any:
    return layouts.layouts(sources.contracts(), output)


@cache
def kept(*replacements: tuple[str, str]) -> Any:
    """Layout of a small contract after replacements."""
    text = KEPT
    for before, after in replacements:
        assert before in text
        text = text.replace(before, after)
    texts = {"contracts/network/Kept.sol": text}
    return layouts.layouts(texts, sources.compiled(texts))


def test_the_formula_is_that_of_erc_7201() -> None:
    example = "0x183a6125c38840424c4a85fa12bab2ab606c4b6d0e7cc73c0c06ba5300eab500"

    assert layouts.location("example.main") == example


def test_every_namespace_is_where_its_name_says(output: Any) -> None:
    structs = layouts.placed(output)

    assert len([struct for struct in structs if struct.file.startswith("contracts/")]) >= 8
    for placement in structs:
        assert placement.namespace, f"{placement.struct} is put somewhere, and has no name"
        if placement.location or placement.file.startswith(
            "contracts/"
        ):  # OpenZeppelin has other ways too
            assert placement.location == layouts.location(placement.namespace), placement


def test_no_two_structs_share_a_namespace(output: Any) -> None:
    counts = Counter(struct.namespace for struct in layouts.placed(output))

    assert {name: count for name, count in counts.items() if count > 1} == {}


def test_everything_is_where_it_is_recorded(found: Any) -> None:
    moved = layouts.changes(RECORDED, found)
    added = layouts.additions(RECORDED, found)

    assert moved == [], "An upgrade would read state wrong"
    assert added == [], "Record it: make layouts"


def test_nothing_of_the_network_or_the_delegate_is_in_regular_storage(output: Any) -> None:
    checked = 0
    for file, contracts in output["contracts"].items():
        if file.startswith("contracts/network/") or file == "contracts/client/DtnDelegate.sol":
            for contract in contracts.values():
                assert contract["storageLayout"]["storage"] == []
                checked += 1
    assert checked >= 10


def test_moved_and_retyped_members_are_reported() -> None:
    now = kept(
        ("uint64 count;", "bool on; uint64 count;"),
        ("bytes32[] ids", "uint64[] ids"),
        ("address owner; uint96 paid;", "uint96 paid; address owner;"),
        ("uint256 variable;", "bool first; uint256 variable;"),
    )
    changes = layouts.changes(kept(), now)
    items = [change for change in changes if "items{}" in change]

    assert sorted(changes) == [
        "Kept: `first` is now where `variable` was.",
        "Kept: `variable` was at slot 0, byte 0: uint256, and is at slot 1, byte 0: uint256.",
        "kept: `count` was at slot 0, byte 20: uint64, and is at slot 0, byte 21: uint64.",
        "kept: `ids` was at slot 1, byte 0: bytes32[], 32 bytes each, "
        "and is at slot 1, byte 0: uint64[], 8 bytes each.",
        *items,
        "kept: `on` is now where `count` was.",
    ]
    assert items == [
        "kept: `items{}.owner` was at slot 0, byte 0: address, and is at slot 0, byte 12: address.",
        "kept: `items{}.paid` was at slot 0, byte 20: uint96, and is at slot 0, byte 0: uint96.",
    ]


def test_a_removed_member_is_reported() -> None:
    assert layouts.changes(kept(), kept(("uint64 count;", "uint64 times;"))) == [
        "kept: `count` was at slot 0, byte 20: uint64, and is gone.",
        "kept: `times` is now where `count` was.",
    ]


def test_an_unused_namespace_is_reported() -> None:
    assert layouts.changes(kept(), kept(("erc7201:kept", "erc7201:other"))) == [
        "Kept does not use kept any more: its state there is out of reach.",
        "kept is gone.",
    ]


def test_a_member_after_all_others_is_no_change_but_has_to_be_recorded() -> None:
    more = kept(("items;", "items; bool on;"))

    assert layouts.changes(kept(), more) == []
    assert layouts.additions(kept(), more) == ["kept: `on` is new at slot 3, byte 0: bool."]


def test_an_upgrade_that_adds_a_member_finds_all_that_was_there(deployed: Net, cast: Cast) -> None:
    text = (sources.ROOT / SESSIONS).read_text()
    last, getter = "uint256[]) sessionIds;", "    function _storage"
    for before, added in ((last, last + "uint256 added;"), (getter, ADDED + getter)):
        assert text.count(before) == 1
        text = text.replace(before, added)
    output = {SESSIONS: {"LiveSessionManager": ["evm.bytecode.object"]}}
    made = sources.compiled({SESSIONS: text}, output, viaIR=False)["contracts"][SESSIONS]
    code = bytes.fromhex(made["LiveSessionManager"]["evm"]["bytecode"]["object"])
    session_id = deployed.open(cast.customer, 1_000)
    sessions = deployed.contracts.session_manager

    def state() -> list[Any]:
        return [
            deployed.contracts,
            deployed.session(session_id),
            deployed.read(sessions, SessionManager.get_user_sessions, cast.customer.address),
            deployed.read(sessions, OWNER),
        ]

    before = state()
    implementation = transactions.create(deployed.provider, cast.owner, code)
    deployed.send(cast.owner, sessions, "upgradeToAndCall(address,bytes)", implementation, b"")
    assert deployed.read(sessions, GET_ADDED) == 0
    deployed.send(cast.owner, sessions, "setAdded(uint256)", 2**256 - 1)

    assert state() == before
    assert deployed.read(sessions, GET_ADDED) == 2**256 - 1
    held = deployed.held(cast.customer)
    deployed.close(cast.customer, session_id)
    assert deployed.held(cast.customer) == held + 1_000
