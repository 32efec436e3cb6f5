"""Compares the storage layout of the contracts with the one recorded in ``layouts.json``.

``python -m audit.layouts`` compares, ``python -m audit.layouts record`` records additions. Members
that moved or changed their type are recorded only by ``record --anew``: an upgrade of a deployed
contract would misread its state, so this is for layouts that are not deployed yet.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from eth_utils import keccak

from audit import sources

RECORD = sources.ROOT / "audit" / "layouts.json"
ANNOTATION = re.compile(r"@custom:storage-location erc7201:(\S+)")
# The upgradeable contracts, the proxy, the client and the delegate.
WATCHED = ("contracts/network/", "contracts/client/")

# "slot 0, byte 20: uint64" by the name of a member. What a mapping or an array holds has names that
# go on behind {} and [], and slots that are counted from the beginning of each value.
Members = dict[str, str]


class Placed(NamedTuple):
    """A storage struct and its location in the code."""

    namespace: str
    struct: str  # Contract.Struct
    file: str
    location: str | None  # None if no code sets its slot


def location(namespace: str) -> str:
    """Returns the location of a namespace by ERC-7201."""
    inner = int.from_bytes(keccak(text=namespace), "big") - 1
    return "0x" + (keccak(inner.to_bytes(32, "big"))[:31] + b"\0").hex()


def placed(output: Any) -> list[Placed]:
    """Returns the structs that are annotated with a namespace, or whose slot assembly sets."""
    found = []
    for file, source in output["sources"].items():
        by_id = {node["id"]: node for node in sources.nodes(source["ast"]) if "id" in node}
        constants = _constants(source["ast"], by_id)
        for contract in sources.nodes(source["ast"]):
            if contract["nodeType"] != "ContractDefinition":
                continue
            for struct in contract["nodes"]:
                if struct["nodeType"] != "StructDefinition":
                    continue
                text = (struct.get("documentation") or {}).get("text", "")
                annotation = ANNOTATION.search(text)
                at = constants.get(struct["id"])
                if annotation or at:
                    namespace = annotation.group(1) if annotation else ""
                    name = f"{contract['name']}.{struct['name']}"
                    found.append(Placed(namespace, name, file, at))
    return found


def _constants(tree: Any, by_id: dict[int, Any]) -> dict[int, str]:
    """Returns the constants that assembly sets slots to, by the id of the struct."""
    found = {}
    for block in sources.nodes(tree):
        if block["nodeType"] != "InlineAssembly":
            continue
        # Declarations of other files, such as structs, have no slot in this one.
        seen = [(ref, by_id.get(ref["declaration"])) for ref in block["externalReferences"]]
        pointers = [node for ref, node in seen if ref.get("suffix") == "slot" and node]
        values = [node["value"]["value"] for _, node in seen if node and node.get("constant")]
        if len(pointers) == len(values) == 1:
            name = pointers[0]["typeName"].get("referencedDeclaration")
            found[name] = values[0]
    return found


def layouts(texts: Mapping[str, str], output: Any) -> dict[str, Any]:
    """Returns the layout of each namespace, and the namespaces and variables of each contract.

    Args:
        texts: The sources by path.
        output: The compiler's output for them.
    """
    structs = {placement.struct: placement for placement in placed(output) if placement.namespace}
    members = _members_of(list(structs.values()), texts)
    found: dict[str, Any] = {"contracts": {}, "namespaces": {}}
    files = {source["id"]: file for file, source in output["sources"].items()}
    by_id = {
        node["id"]: node
        for source in output["sources"].values()
        for node in sources.nodes(source["ast"])
        if node["nodeType"] == "ContractDefinition"
    }
    for contract in by_id.values():
        if contract["abstract"] or contract["contractKind"] != "contract":
            continue
        file = files[int(contract["src"].rpartition(":")[2])]
        line = [by_id[base]["name"] for base in contract["linearizedBaseContracts"]]
        if not file.startswith(WATCHED) and "UUPSUpgradeable" not in line:
            continue
        mine = [placement for name, placement in structs.items() if name.partition(".")[0] in line]
        regular = output["contracts"][file][contract["name"]]["storageLayout"]
        found["contracts"][contract["name"]] = {
            "namespaces": sorted(struct.namespace for struct in mine),
            "variables": flattened(regular),
        }
        for placement in mine:
            found["namespaces"][placement.namespace] = {
                "location": location(placement.namespace),
                "members": members[placement.struct],
            }
    return {kind: dict(sorted(found[kind].items())) for kind in found}


def _members_of(structs: list[Placed], sources_: Mapping[str, str]) -> dict[str, Members]:
    """Returns the members of structs, by the layout of a contract with such a variable alone."""
    probes = [
        f'import {{{placement.struct.partition(".")[0]}}} from "{placement.file}";\n'
        f"contract Probe {{ {placement.struct} internal probed; }}"
        for placement in structs
    ]
    texts = {f"probe/{i}.sol": f"pragma solidity *;\n{probe}" for i, probe in enumerate(probes)}
    output = {name: {"Probe": ["storageLayout"]} for name in texts}
    contracts = sources.compiled({**sources_, **texts}, output)["contracts"]
    return {
        placement.struct: {
            name.removeprefix("probed."): at
            for name, at in flattened(contracts[f"probe/{i}.sol"]["Probe"]["storageLayout"]).items()
        }
        for i, placement in enumerate(structs)
    }


def flattened(layout: Any) -> Members:
    """Returns a layout of the compiler with one line for each member, nested ones included."""
    types = layout["types"] or {}
    return {
        name: line
        for entry in layout["storage"]
        for name, line in _lines(entry["label"], 0, entry, types)
    }


def _lines(name: str, base: int, entry: Any, types: Any) -> list[tuple[str, str]]:
    slot, kind = base + int(entry["slot"]), types[entry["type"]]
    if "members" in kind:
        inner = [_lines(f"{name}.{m['label']}", slot, m, types) for m in kind["members"]]
        return [line for lines in inner for line in lines]
    size = f", {held} bytes each" if (held := _bytes_each(kind, types)) else ""
    at = [(name, f"slot {slot}, byte {entry['offset']}: {kind['label']}{size}")]
    for key, suffix in (("value", "{}"), ("base", "[]")):
        if key in kind and types[kind[key]].keys() & {"members", "value", "base"}:
            value = {"slot": 0, "offset": 0, "type": kind[key]}
            at += _lines(name + suffix, 0, value, types)
    return at


def _bytes_each(kind: Any, types: Any) -> int:
    """Returns the distance of an array's elements in bytes; 0 for other types."""
    return int(types[kind["base"]]["numberOfBytes"]) if "base" in kind else 0


def changes(recorded: Any, found: Any) -> list[str]:
    """Returns the members that an upgrade from the recorded layouts would misread."""
    messages = []
    for name, contract in recorded["contracts"].items():
        now = found["contracts"].get(name)
        if now is None:
            messages.append(f"{name} is gone.")
            continue
        for lost in sorted(set(contract["namespaces"]) - set(now["namespaces"])):
            messages.append(
                f"{name} does not use {lost} any more: its state there is out of reach."
            )
        messages += _moved(name, contract["variables"], now["variables"])
    for name, namespace in recorded["namespaces"].items():
        now = found["namespaces"].get(name)
        if now is None:
            messages.append(f"{name} is gone.")
            continue
        if now["location"] != namespace["location"]:
            messages.append(f"{name} was at {namespace['location']}, and is at {now['location']}.")
        messages += _moved(name, namespace["members"], now["members"])
    return messages


def _moved(name: str, before: Members, after: Members) -> list[str]:
    messages = []
    for member, at in before.items():
        if member not in after:
            messages.append(f"{name}: `{member}` was at {at}, and is gone.")
        elif after[member] != at:
            messages.append(f"{name}: `{member}` was at {at}, and is at {after[member]}.")
    taken = {_place(member, at): member for member, at in before.items()}
    for member in after.keys() - before.keys():
        if (was := taken.get(_place(member, after[member]))) and after.get(was) != before[was]:
            messages.append(f"{name}: `{member}` is now where `{was}` was.")
    return messages


def _place(member: str, at: str) -> tuple[str, str]:
    """Returns the base of a member's slots, and its place."""
    return member[: max(member.rfind("}"), member.rfind("]")) + 1], at.partition(":")[0]


def additions(recorded: Any, found: Any) -> list[str]:
    """Returns the members that are not recorded."""
    messages = []
    for kind, what in (("contracts", "variables"), ("namespaces", "members")):
        for name, entry in found[kind].items():
            known = recorded[kind].get(name)
            if known is None:
                messages.append(f"{name} is new.")
                continue
            new = entry[what].keys() - known[what].keys()
            messages += [
                f"{name}: `{member}` is new at {entry[what][member]}." for member in sorted(new)
            ]
            if kind == "contracts":
                more = set(entry["namespaces"]) - set(known["namespaces"])
                messages += [f"{name} uses {namespace} too." for namespace in sorted(more)]
    return messages


def main(arguments: list[str]) -> None:
    """Compares or records."""
    found = layouts(sources.contracts(), sources.described())
    recorded = json.loads(RECORD.read_text())
    moved, added = changes(recorded, found), additions(recorded, found)
    print("\n".join(moved + added) or f"{len(found['namespaces'])} namespaces are as recorded.")
    if arguments[:1] != ["record"]:
        sys.exit(1 if moved or added else 0)
    if moved and "--anew" not in arguments:
        sys.exit("Not recorded: an upgrade would read the state of a chain wrong.")
    RECORD.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
