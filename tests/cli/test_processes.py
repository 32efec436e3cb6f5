"""Every command as a process of its own: its exit code, and nothing but JSON on standard output."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click
import pytest

from ape_dtn._cli import cli

from .conftest import Network
from .processes import ELSEWHERE, TRIED
from .shell import CUSTOMER


def commands(group: click.Group) -> set[tuple[str, ...]]:
    """The names of all commands, with those of their groups."""
    found: set[tuple[str, ...]] = set()
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= {(name, *words) for words in commands(command)}
        else:
            found.add((name,))
    return found


def test_every_command_is_in_the_table() -> None:
    assert TRIED.keys() | ELSEWHERE.keys() == commands(cli)
    assert not TRIED.keys() & ELSEWHERE.keys()


@pytest.mark.parametrize("where", ELSEWHERE.values(), ids=map(" ".join, ELSEWHERE))
def test_the_tests_of_the_table_exist(where: str) -> None:
    module, _, name = where.rpartition(".")

    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("command", TRIED, ids=" ".join)
def test_it_exits_with_its_code_and_prints_one_document(
    live: Network, command: tuple[str, ...], tmp_path: Path
) -> None:
    given, code = TRIED[command]
    by_customer = ("--account", CUSTOMER, "-y", "--json")
    known = {}
    if "SESSION" in given or "REQUEST" in given:
        started = live.dtn("session", "start", "5", *by_customer)
        known["SESSION"] = str(started.json["session"])
    if "REQUEST" in given:
        with live.answering():
            asked = live.dtn("ask", "Hello?", "--session", known["SESSION"], *by_customer)
        known["REQUEST"] = asked.json["request"]
    if "PROMPTS" in given:
        prompts = tmp_path / "prompts.txt"
        prompts.write_text("Hello?\n")
        known["PROMPTS"] = str(prompts)

    done = live.shell.run(
        "ape", "dtn", *command, *(known.get(word, word) for word in given), "--json"
    )

    assert done.code == code, done.err
    assert done.json is not None
    assert "Traceback" not in done.err
