"""The structure of the package: layers, no import cycles, and few parameters."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import ape_dtn

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = Path(ape_dtn.__file__).parent

# From the highest to the lowest. The layers of one row do not import each other.
CONTRACT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))
LAYERS = [
    set(row.split(" | ")) for row in CONTRACT["tool"]["importlinter"]["contracts"][0]["layers"]
]
# The modules that re-export public names. Nothing inside the package imports from them.
FACADES = {"ape_dtn", "ape_dtn.errors"}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {name_of(path): path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


def imported(source: str, modules: Mapping[str, object]) -> Iterator[str]:
    """The modules that a source imports, also inside functions and under ``TYPE_CHECKING``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                if submodule in modules:
                    yield submodule
                elif node.module in modules:
                    yield node.module


def graph(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """The imports of each module, without the facades."""
    return {
        name: set(imported(source, sources)) - {name}
        for name, source in sources.items()
        if name not in FACADES
    }


GRAPH = graph(SOURCES)


def upward(imports: Mapping[str, set[str]]) -> list[str]:
    """The imports from a layer above or beside the importing module."""
    levels = {layer: level for level, row in enumerate(LAYERS) for layer in row}

    def layer_of(module: str) -> str:
        return module.split(".")[1]

    return sorted(
        f"{module} -> {imported_}"
        for module, imported_modules in imports.items()
        for imported_ in imported_modules
        if layer_of(module) != layer_of(imported_)
        and levels[layer_of(module)] >= levels[layer_of(imported_)]
    )


def cycle(imports: Mapping[str, set[str]]) -> list[str]:
    """The modules of an import cycle, if there is one."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as err:
        return list(err.args[1])
    return []


def test_every_module_belongs_to_a_layer() -> None:
    layers = {layer for row in LAYERS for layer in row}
    assert {name.split(".")[1] for name in GRAPH} | {"errors"} == layers


def test_nothing_imports_upward() -> None:
    assert upward({name: found - FACADES for name, found in GRAPH.items()}) == []


def test_there_is_no_import_cycle() -> None:
    assert cycle(GRAPH) == []


def test_no_module_imports_the_facades() -> None:
    assert {name: found & FACADES for name, found in GRAPH.items() if found & FACADES} == {}


@pytest.mark.parametrize(
    "source",
    [
        "from ape_dtn.chain import rpc",
        "from ape_dtn.chain.rpc import ask",
        "import ape_dtn.chain.rpc",
        "def late() -> None:\n    from ape_dtn.chain import rpc",
        "if TYPE_CHECKING:\n    from ape_dtn.chain.rpc import ask",
    ],
)
def test_all_kinds_of_imports_are_found(source: str) -> None:
    sources = {"ape_dtn.types.ids": source, "ape_dtn.chain.rpc": "from ape_dtn.types import ids"}
    found = graph(sources | {"ape_dtn.types": "", "ape_dtn.chain": ""})
    assert upward(found) == ["ape_dtn.types.ids -> ape_dtn.chain.rpc"]
    assert set(cycle(found)) == {"ape_dtn.types.ids", "ape_dtn.chain.rpc"}


MAX_PARAMETERS = 6


def parameters(source: str) -> dict[str, int]:
    """How many parameters each function of a source has, ``self`` and ``cls`` not counted."""
    counts = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            names = [arg.arg for arg in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            names += [arg.arg for arg in (given.vararg, given.kwarg) if arg]
            counts[f"{node.name} (line {node.lineno})"] = len(names) - (names[:1] in OWN)
    return counts


OWN = (["self"], ["cls"])


def test_no_function_has_too_many_parameters() -> None:
    too_many = {
        f"{module}: {function}": count
        for module, source in SOURCES.items()
        if not module.startswith("ape_dtn._cli")  # a command has a parameter for each option
        for function, count in parameters(source).items()
        if count > MAX_PARAMETERS
    }

    assert too_many == {}


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("def f(a, b): ...", 2),
        ("def f(self, a): ...", 1),
        ("def f(a, /, b, *c, d, **e): ...", 5),
        ("async def f(cls, *, a=1): ...", 1),
    ],
)
def test_parameters_are_counted(source: str, count: int) -> None:
    assert list(parameters(source).values()) == [count]
