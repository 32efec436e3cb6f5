"""The public interface of the contracts is documented, and errors are custom errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from eth_utils import keccak

from audit import sources

OUTSIDE = ("public", "external")
ROOT = sources.ROOT
ARTIFACTS = ROOT / "ape_dtn" / "artifacts"
# The sources that have the strings of the live contracts.
LIVE = (
    "contracts/network/live/LiveRouter.sol",
    "contracts/network/live/LiveSessionManager.sol",
    "contracts/network/ModelManager.sol",
    "contracts/network/NamespaceManager.sol",
    "contracts/network/NodeManager.sol",
    "contracts/WithDtnAi.sol",
)


@pytest.fixture(scope="module")
def output() -> Any:
    return sources.described()


def own(output: Any) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The compiler's syntax trees and NatSpec documentation of our contracts."""
    for file, source in output["sources"].items():
        for node in source["ast"]["nodes"] if file.startswith("contracts/") else ():
            if node["nodeType"] == "ContractDefinition":
                yield node, output["contracts"][file][node["name"]]


def parts(contract: dict[str, Any], *kinds: str) -> list[dict[str, Any]]:
    return [node for node in contract["nodes"] if node["nodeType"] in kinds]


def documentation(described: Any, kind: str, selector: str) -> dict[str, Any]:
    """The documentation of a function, an event or an error, for users and developers."""
    found: dict[str, Any] = {}
    for document in (described["userdoc"], described["devdoc"]):
        for signature, entry in document.get(kind, {}).items():
            if keccak(text=signature).hex().startswith(selector):
                found |= entry[0] if isinstance(entry, list) else entry
    return found


def missing(name: str, found: Any, inputs: Any, outputs: Any = ()) -> list[str]:
    """Tags that the documentation of something lacks."""
    # OpenZeppelin's comments, which derived contracts inherit, have only one `@dev` text.
    if "details" in found and "notice" not in found and "params" not in found:
        return []
    params, returns = found.get("params", {}), found.get("returns", {})
    lines = [] if "notice" in found else [f"{name}: @notice"]
    takes = [parameter["name"] for parameter in inputs]
    if len(params) == len(takes):  # checked by the compiler; a derived contract's names may differ
        takes = []
    gives = [output["name"] or f"_{i}" for i, output in enumerate(outputs)]
    lines += [
        f"{name}: @param {parameter}"
        for parameter in takes
        if parameter and parameter not in params
    ]
    return lines + [
        f"{name}: @return {parameter}" for parameter in gives if parameter not in returns
    ]


def test_every_contract_has_a_title(output: Any) -> None:
    found = [(contract["name"], described["devdoc"]) for contract, described in own(output)]

    assert len(found) > 30
    assert [name for name, document in found if not document.get("title")] == []


def test_every_function_is_documented(output: Any) -> None:
    lines, seen = [], 0
    for contract, described in own(output):
        for node in parts(contract, "FunctionDefinition"):
            if node["visibility"] not in OUTSIDE or node["kind"] != "function":
                continue
            seen += 1
            lines += missing(
                f"{contract['name']}.{node['name']}",
                documentation(described, "methods", node["functionSelector"]),
                node["parameters"]["parameters"],
                node["returnParameters"]["parameters"],
            )
    assert seen > 150
    assert lines == []


def test_every_constructor_and_fallback_is_documented(output: Any) -> None:
    lines = []
    for contract, _ in own(output):
        for node in parts(contract, "FunctionDefinition"):
            inherited = node["kind"] == "constructor" and contract["abstract"]
            if node["kind"] in ("constructor", "receive", "fallback") and not inherited:
                lines += written(f"{contract['name']}.{node['kind']}", node, parameters(node))
    assert lines == []


def test_every_public_variable_is_documented(output: Any) -> None:
    lines, seen = [], 0
    for contract, described in own(output):
        for node in parts(contract, "VariableDeclaration"):
            if node["visibility"] == "public":
                seen += 1
                found = documentation(described, "methods", node["functionSelector"])
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
def test_every_event_and_error_is_documented(
    output: Any, kind: str, node_type: str, selector: str, least: int
) -> None:
    lines, seen = [], 0
    for contract, described in own(output):
        for node in parts(contract, node_type):
            seen += 1
            found = documentation(described, kind, node[selector])
            lines += missing(f"{contract['name']}.{node['name']}", found, parameters(node))
    assert seen >= least
    assert lines == []


def test_every_struct_and_enum_is_documented(output: Any) -> None:
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
    """Structs and enums in the interface of contracts."""
    abis = [described["abi"] for _, described in own(output)]
    return set(re.findall(r"'internalType': '(?:struct|enum) (\w+\.\w+)", str(abis)))


def parameters(node: dict[str, Any]) -> Any:
    return node["parameters"]["parameters"]


def written(name: str, node: dict[str, Any], inputs: Any) -> list[str]:
    """Tags that are missing in a comment of the source."""
    text = (node.get("documentation") or {}).get("text", "")
    has = {tag: re.findall(rf"@{tag} +(\S+)", text) for tag in ("notice", "dev", "param")}
    found = {"params": dict.fromkeys(has["param"])}
    # A constructor may have `@dev` in place of `@notice`: users do not see it.
    return missing(name, found | ({"notice": ""} if has["notice"] or has["dev"] else {}), inputs)


def test_every_deployable_contract_has_a_security_contact(output: Any) -> None:
    missing_contact = [
        contract["name"]
        for contract, described in own(output)
        if (ARTIFACTS / f"{contract['name']}.json").exists()
        and not contract["name"].startswith("Test")
        and not described["devdoc"].get("custom:security-contact")
    ]

    assert missing_contact == []


def test_only_live_contracts_and_test_tokens_revert_with_strings(output: Any) -> None:
    """Ours revert with custom errors, except where the live contracts have a string."""
    strings = {
        text
        for path in LIVE
        for text in re.findall(r'"([^"\n]+)"', "".join(_requires((ROOT / path).read_text())))
    }
    assert len(strings) > 10

    for path in sorted((ROOT / "contracts").rglob("*.sol")):
        if path.is_relative_to(ROOT / "contracts" / "mocks") or ".cache" in path.parts:
            continue
        source = path.read_text()
        for text in re.findall(r'"([^"\n]+)"', "".join(_requires(source))):
            assert text in strings, f"{path.name}: {text}"


def _requires(source: str) -> list[str]:
    """The statements that revert with a string."""
    return re.findall(r"\b(?:require|revert)\((?:[^;]|\n)*?\);", source)
