"""Where the contracts keep their state, compared with what is recorded in ``layouts.json``.

``python -m audit.layouts`` compares, ``python -m audit.layouts record`` takes up what was added.
What has moved or changed its type is recorded only by ``record --anew``: an upgrade would then
read the state of a chain wrong, so it is for layouts that are on no chain yet.
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
# All that is upgradeable, and beside it the proxy, the client and the delegate.
WATCHED = ("contracts/network/", "contracts/client/")

# "slot 0, byte 20: uint64" by the name of a member. What a mapping or an array holds has names that
# go on behind {} and [], and slots that are counted from the beginning of each value.
Members = dict[str, str]


class Placed(NamedTuple):
    """A struct of state, and where the code puts it."""

    namespace: str
    struct: str  # Contract.Struct
    file: str
    location: str | None  # None where no code puts it anywhere


def location(namespace: str) -> str:
    """Where a namespace lives, by ERC-7201."""
    inner = int.from_bytes(keccak(text=namespace), "big") - 1
    return "0x" + (keccak(inner.to_bytes(32, "big"))[:31] + b"\0").hex()


def placed(output: Any) -> list[Placed]:
    """All structs that are annotated with a namespace, or are put somewhere by assembly."""
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
    """By the id of a struct, the value of the constant that assembly makes its slot."""
    found = {}
    for block in sources.nodes(tree):
        if block["nodeType"] != "InlineAssembly":
            continue
        # What is outside the file, such as a struct of another, cannot be put anywhere here.
        seen = [(ref, by_id.get(ref["declaration"])) for ref in block["externalReferences"]]
        pointers = [node for ref, node in seen if ref.get("suffix") == "slot" and node]
        values = [node["value"]["value"] for _, node in seen if node and node.get("constant")]
        if len(pointers) == len(values) == 1:
            name = pointers[0]["typeName"].get("referencedDeclaration")
            found[name] = values[0]
    return found


def layouts(texts: Mapping[str, str], output: Any) -> dict[str, Any]:
    """The layout of each namespace, and where each contract that is watched keeps its state.

    Args:
        texts: The sources by path.
        output: What the compiler says of them.
    """
    structs = {each.struct: each for each in placed(output) if each.namespace}
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
        mine = [each for name, each in structs.items() if name.partition(".")[0] in line]
        regular = output["contracts"][file][contract["name"]]["storageLayout"]
        found["contracts"][contract["name"]] = {
            "namespaces": sorted(each.namespace for each in mine),
            "variables": flattened(regular),
        }
        for each in mine:
            found["namespaces"][each.namespace] = {
                "location": location(each.namespace),
                "members": members[each.struct],
            }
    return {kind: dict(sorted(found[kind].items())) for kind in found}


def _members_of(structs: list[Placed], sources_: Mapping[str, str]) -> dict[str, Members]:
    """The members of structs, as the compiler lays them out in a contract with nothing else."""
    probes = [
        f'import {{{each.struct.partition(".")[0]}}} from "{each.file}";\n'
        f"contract Probe {{ {each.struct} internal probed; }}"
        for each in structs
    ]
    texts = {f"probe/{i}.sol": f"pragma solidity *;\n{probe}" for i, probe in enumerate(probes)}
    output = {name: {"Probe": ["storageLayout"]} for name in texts}
    contracts = sources.compiled({**sources_, **texts}, output)["contracts"]
    return {
        each.struct: {
            name.removeprefix("probed."): at
            for name, at in flattened(contracts[f"probe/{i}.sol"]["Probe"]["storageLayout"]).items()
        }
        for i, each in enumerate(structs)
    }


def flattened(layout: Any) -> Members:
    """A layout of the compiler's, with a line for each member down to the last."""
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
    """How far apart the elements of an array are; 0 for what is none."""
    return int(types[kind["base"]]["numberOfBytes"]) if "base" in kind else 0


def changes(recorded: Any, found: Any) -> list[str]:
    """What an upgrade from the recorded layouts to the found ones would read wrong."""
    told = []
    for name, contract in recorded["contracts"].items():
        now = found["contracts"].get(name)
        if now is None:
            told.append(f"{name} is gone.")
            continue
        for lost in sorted(set(contract["namespaces"]) - set(now["namespaces"])):
            told.append(f"{name} does not use {lost} any more: its state there is out of reach.")
        told += _moved(name, contract["variables"], now["variables"])
    for name, namespace in recorded["namespaces"].items():
        now = found["namespaces"].get(name)
        if now is None:
            told.append(f"{name} is gone.")
            continue
        if now["location"] != namespace["location"]:
            told.append(f"{name} was at {namespace['location']}, and is at {now['location']}.")
        told += _moved(name, namespace["members"], now["members"])
    return told


def _moved(name: str, before: Members, after: Members) -> list[str]:
    told = []
    for member, at in before.items():
        if member not in after:
            told.append(f"{name}: `{member}` was at {at}, and is gone.")
        elif after[member] != at:
            told.append(f"{name}: `{member}` was at {at}, and is at {after[member]}.")
    taken = {_place(member, at): member for member, at in before.items()}
    for member in after.keys() - before.keys():
        if (was := taken.get(_place(member, after[member]))) and after.get(was) != before[was]:
            told.append(f"{name}: `{member}` is now where `{was}` was.")
    return told


def _place(member: str, at: str) -> tuple[str, str]:
    """What the slots of a member are counted from, and where it begins."""
    return member[: max(member.rfind("}"), member.rfind("]")) + 1], at.partition(":")[0]


def additions(recorded: Any, found: Any) -> list[str]:
    """What is there and not recorded."""
    told = []
    for kind, what in (("contracts", "variables"), ("namespaces", "members")):
        for name, entry in found[kind].items():
            known = recorded[kind].get(name)
            if known is None:
                told.append(f"{name} is new.")
                continue
            new = entry[what].keys() - known[what].keys()
            told += [
                f"{name}: `{member}` is new at {entry[what][member]}." for member in sorted(new)
            ]
            if kind == "contracts":
                more = set(entry["namespaces"]) - set(known["namespaces"])
                told += [f"{name} uses {namespace} too." for namespace in sorted(more)]
    return told


def main(arguments: list[str]) -> None:
    """Compares or records, as the command line says."""
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
