"""Everything that the contracts show to the outside says what it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from eth_utils import keccak

from audit import sources

OUTSIDE = ("public", "external")


@pytest.fixture(scope="module")
def output() -> Any:
    return sources.described()


def own(output: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Our contracts, as syntax trees and as the compiler describes them."""
    for file, source in output["sources"].items():
        for node in source["ast"]["nodes"] if file.startswith("contracts/") else ():
            if node["nodeType"] == "ContractDefinition":
                yield node, output["contracts"][file][node["name"]]


def parts(contract: dict[str, Any], *kinds: str) -> list[dict[str, Any]]:
    return [node for node in contract["nodes"] if node["nodeType"] in kinds]


def told(described: Any, kind: str, selector: str) -> dict[str, Any]:
    """What users and developers are told of a function, an event or an error."""
    found: dict[str, Any] = {}
    for document in (described["userdoc"], described["devdoc"]):
        for signature, entry in document.get(kind, {}).items():
            if keccak(text=signature).hex().startswith(selector):
                found |= entry[0] if isinstance(entry, list) else entry
    return found


def missing(name: str, found: Any, inputs: Any, outputs: Any = ()) -> list[str]:
    """What is not told of something: what it is, what it takes, what it gives."""
    # OpenZeppelin, whose words some heirs inherit, has them for developers, all in one.
    if "details" in found and "notice" not in found and "params" not in found:
        return []
    params, returns = found.get("params", {}), found.get("returns", {})
    lines = [] if "notice" in found else [f"{name}: @notice"]
    takes = [each["name"] for each in inputs]
    if len(params) == len(takes):  # the compiler takes no others; an heir's names may differ
        takes = []
    gives = [each["name"] or f"_{i}" for i, each in enumerate(outputs)]
    lines += [f"{name}: @param {each}" for each in takes if each and each not in params]
    return lines + [f"{name}: @return {each}" for each in gives if each not in returns]


def test_every_contract_has_a_title(output: Any) -> None:
    found = [(contract["name"], described["devdoc"]) for contract, described in own(output)]

    assert len(found) > 30
    assert [name for name, document in found if not document.get("title")] == []


def test_every_function_says_what_it_does_takes_and_gives(output: Any) -> None:
    lines, seen = [], 0
    for contract, described in own(output):
        for node in parts(contract, "FunctionDefinition"):
            if node["visibility"] not in OUTSIDE or node["kind"] != "function":
                continue
            seen += 1
            lines += missing(
                f"{contract['name']}.{node['name']}",
                told(described, "methods", node["functionSelector"]),
                node["parameters"]["parameters"],
                node["returnParameters"]["parameters"],
            )
    assert seen > 150
    assert lines == []


def test_every_constructor_and_fallback_says_what_it_does_and_takes(output: Any) -> None:
    lines = []
    for contract, _ in own(output):
        for node in parts(contract, "FunctionDefinition"):
            inherited = node["kind"] == "constructor" and contract["abstract"]
            if node["kind"] in ("constructor", "receive", "fallback") and not inherited:
                lines += written(f"{contract['name']}.{node['kind']}", node, parameters(node))
    assert lines == []


def test_every_public_variable_says_what_it_is(output: Any) -> None:
    lines, seen = [], 0
    for contract, described in own(output):
        for node in parts(contract, "VariableDeclaration"):
            if node["visibility"] == "public":
                seen += 1
                found = told(described, "methods", node["functionSelector"])
                lines += missing(f"{contract['name']}.{node['name']}", found, ())
    assert seen > 20
    assert lines == []


@pytest.mark.parametrize(
    ("kind", "node_type", "selector", "least"),
    [
        ("events", "EventDefinition", "eventSelector", 15),
        ("errors", "ErrorDefinition", "errorSelector", 15),
    ],
)
def test_every_event_and_error_says_what_it_tells(
    output: Any, kind: str, node_type: str, selector: str, least: int
) -> None:
    lines, seen = [], 0
    for contract, described in own(output):
        for node in parts(contract, node_type):
            seen += 1
            found = told(described, kind, node[selector])
            lines += missing(f"{contract['name']}.{node['name']}", found, parameters(node))
    assert seen >= least
    assert lines == []


def test_every_struct_and_enum_says_what_it_is(output: Any) -> None:
    outside = shown(output)
    lines, seen = [], 0
    for contract, _ in own(output):
        for node in parts(contract, "StructDefinition", "EnumDefinition"):
            name = f"{contract['name']}.{node['name']}"
            if name in outside:
                seen += 1
                members = node["members"] if node["nodeType"] == "StructDefinition" else ()
                lines += written(name, node, members)
            elif not node.get("documentation"):
                lines.append(f"{name}: @dev")
    assert seen >= 10
    assert lines == []


def shown(output: Any) -> set[str]:
    """The structs and enums that callers come to see."""
    abis = [described["abi"] for _, described in own(output)]
    return set(re.findall(r"'internalType': '(?:struct|enum) (\w+\.\w+)", str(abis)))


def parameters(node: dict[str, Any]) -> Any:
    return node["parameters"]["parameters"]


def written(name: str, node: dict[str, Any], inputs: Any) -> list[str]:
    """What is missing in a comment that the compiler has in no document."""
    text = (node.get("documentation") or {}).get("text", "")
    has = {tag: re.findall(rf"@{tag} +(\S+)", text) for tag in ("notice", "dev", "param")}
    found = {"params": dict.fromkeys(has["param"])}
    # A constructor that only its contract's heirs and proxies see explains itself to developers.
    return missing(name, found | ({"notice": ""} if has["notice"] or has["dev"] else {}), inputs)
