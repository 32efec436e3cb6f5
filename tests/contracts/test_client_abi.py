"""Python's interfaces of clients and delegates are those of the compiled contracts."""

from __future__ import annotations

from typing import Any

import pytest

from ape_dtn import artifacts
from ape_dtn.network.abi import Client, Delegate, members
from ape_dtn.types.abi import Error, Event, Function

from .client import CHANGES, Owned, every_change

# Its interface.


def of_kind(artifact: str, kind: str) -> list[Any]:
    return [entry for entry in artifacts.load(artifact)["abi"] if entry["type"] == kind]


def kinds(values: list[Any]) -> str:
    return ",".join(
        f"({kinds(value['components'])}){value['type'].removeprefix('tuple')}"
        if value["type"].startswith("tuple")
        else value["type"]
        for value in values
    )


def declared(entry: Any) -> str:
    fields = (
        f"{kinds([field])} {'indexed ' if field.get('indexed') else ''}{field['name']}"
        for field in entry["inputs"]
    )
    return f"{entry['name']}({', '.join(fields)})"


TABLES = [("DtnClient", Client), ("DtnDelegate", Delegate)]
each_table = pytest.mark.parametrize(("artifact", "table"), TABLES, ids=str)

# Called on an account's delegate by other contracts, never by its owner.
HOOKS = {"onERC721Received", "onERC1155Received", "onERC1155BatchReceived", "supportsInterface"}


@each_table
def test_python_has_every_function(artifact: str, table: type) -> None:
    compiled = {
        f"{entry['name']}({kinds(entry['inputs'])})": kinds(entry["outputs"])
        for entry in of_kind(artifact, "function")
        if entry["name"] not in HOOKS
    }

    assert {
        function.signature: function.output for function in members(table, Function).values()
    } == compiled


@each_table
def test_python_has_every_event(artifact: str, table: type) -> None:
    compiled = {declared(entry) for entry in of_kind(artifact, "event")}

    assert {event.declaration for event in members(table, Event).values()} == compiled


@each_table
def test_pythons_errors_are_the_contracts(artifact: str, table: type) -> None:
    compiled = {declared(entry) for entry in of_kind(artifact, "error")}

    assert {error.declaration for error in members(table, Error).values()} <= compiled


def test_every_function_that_changes_anything_is_tried_by_strangers(client: Owned) -> None:
    writing = [
        entry["name"]
        for entry in of_kind("DtnClient", "function")
        if entry["stateMutability"] in ("payable", "nonpayable")
    ]

    assert sorted(CHANGES) == sorted(writing)
    assert sorted(every_change(client)) == sorted(writing)
