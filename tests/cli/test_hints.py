"""Hints name options on the command line, and arguments in Python; never the other way round."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import ape_dtn
from ape_dtn import errors
from ape_dtn._cli.hints import HINTS, CommandHint, hint_for, with_options
from ape_dtn.errors import (
    CallbackOutOfGas,
    DtnError,
    NodeNotFound,
    NotCancellable,
    PartlySent,
    PortTaken,
    RequestPending,
    SigningDeclined,
    TransactionPending,
    TransactionRefused,
)
from ape_dtn.types.serialization import to_json
from tests.sdk.test_errors import CLASSES, made

PACKAGE = Path(ape_dtn.__file__).parent
# Packages whose messages may name options; users of `testing` pass options to pytest.
FOR_THE_SHELL = {"_cli", "testing", "scaffold", "artifacts"}

# An option in a sentence, or an `ape dtn` command; not a dash, and not an argument of a program.
_OPTION = re.compile(r"(?<![\w\"'`-])--[a-z][a-z-]+|`?\bape dtn\b")
_PYTHON = re.compile(r"\b[a-z_]+=(?:…|\[|True|False|None|\"|')|\b[A-Z]\w+\([^)]*\)|\b\w+\.\w+\(")


def sentences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The strings of a module that contain a space, except its docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
            yield node.lineno, "…".join(map(str, parts))
        elif isinstance(node, ast.Constant) and id(node) not in docstrings and _is_prose(node):
            yield node.lineno, str(node.value)


def _is_prose(node: ast.Constant) -> bool:
    """Whether a string is text for people, and not a name, a style sheet or another tool's
    command."""
    text = node.value
    return isinstance(text, str) and " " in text and not re.search(r":root|npm install", text)


def modules(*, for_the_shell: bool) -> list[Path]:
    return [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if (path.relative_to(PACKAGE).parts[0] in FOR_THE_SHELL) == for_the_shell
    ]


def found(path: Path, pattern: re.Pattern[str]) -> list[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for line, text in sentences(tree)
        if pattern.search(text)
    ]


def test_the_sdk_names_no_options_or_commands() -> None:
    assert [line for path in modules(for_the_shell=False) for line in found(path, _OPTION)] == []


def test_the_command_line_names_no_python() -> None:
    in_cli = [path for path in modules(for_the_shell=True) if path.parent.name == "_cli"]

    assert [line for path in in_cli for line in found(path, _PYTHON)] == []


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("Name the account: --account ALIAS.", _OPTION),
        ("Run `ape dtn info`.", _OPTION),
        ("Pass account=… to sign.", _PYTHON),
        ("Pass nodes=[…] or force=True", _PYTHON),
        ("Give the values: Prompt(text, owner, 26).", _PYTHON),
        ("Close it with session.close().", _PYTHON),
    ],
)
def test_the_scan_finds_both(text: str, pattern: re.Pattern[str]) -> None:
    assert pattern.search(text)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_hint_can_be_rendered(kind: type[DtnError]) -> None:
    hint = hint_for(made(kind)) or ""

    assert not _PYTHON.search(hint)
    assert "{" not in hint.replace("{0:address}", "").replace("{1:uint8}", "")


def test_every_hint_of_the_table_is_of_an_error() -> None:
    assert set(HINTS) <= {kind.__name__ for kind in CLASSES}
    assert all(issubclass(getattr(errors, name), DtnError) for name in HINTS)


def test_a_hint_of_the_sdk_is_replaced_by_options() -> None:
    err = RequestPending("0x01")

    assert "DtnRequest.load('0x01')" in (err.hint or "")
    assert to_json(err)["hint"] == err.hint
    assert hint_for(err) == "Wait for it again: `ape dtn answer 0x01`."


def test_the_hint_of_a_command_comes_before_that_of_the_class() -> None:
    err = NodeNotFound("node.alice.first")
    err.hint = CommandHint("Use another one.")

    assert hint_for(err) == "Use another one."


def test_the_context_of_an_error_stays() -> None:
    err = NodeNotFound("node.alice.first")
    err.add_context("Request 2 of 5.")

    assert hint_for(err) == "Request 2 of 5. List the nodes: `ape dtn nodes`."
    assert (err.hint or "").startswith("Request 2 of 5. List the nodes: DtnAi().nodes()")


def test_an_error_whose_hint_was_removed_has_none() -> None:
    err = CallbackOutOfGas("0x01", "0x02", 1, 2)
    err.hint = ""

    assert hint_for(err) is None


@pytest.mark.parametrize(
    ("err", "hint"),
    [
        (NotCancellable("start", "…", "ended"), "`ape dtn journal --all`"),
        (NotCancellable("start", "…", "in_progress"), "Stop the other process"),
        (NotCancellable("start", "…", "sent_by_wallet"), "`ape dtn resume`"),
        (PortTaken(8545, "anvil/v1"), "`ape dtn deploy --serve`"),
        (SigningDeclined("0x01", "the delegation"), "--method"),
    ],
)
def test_hints_depend_on_the_fields_of_the_error(err: DtnError, hint: str) -> None:
    assert hint in (hint_for(err) or "")


@pytest.mark.parametrize(
    "err",
    [
        PartlySent(["0x01"], "…"),
        TransactionPending("0x01"),
        TransactionRefused("eth_sendRawTransaction", "…", "0x01"),
    ],
)
def test_only_transactions_of_the_journal_are_resumed(
    err: PartlySent | TransactionPending | TransactionRefused,
) -> None:
    outside = hint_for(err)
    err.is_resumable = True

    assert outside == err.hint
    assert "`ape dtn resume`" in (hint_for(err) or "")


@pytest.mark.parametrize(
    "err", [TransactionRefused("eth_sendRawTransaction", "…"), SigningDeclined("0x01")]
)
def test_an_error_without_a_hint_has_none_here(err: DtnError) -> None:
    assert hint_for(err) is None


COMMAND = click.Command(
    "close",
    params=[
        click.Option(["--force"], is_flag=True),
        click.Option(["--node", "nodes"], multiple=True),
        click.Option(["--as-node"]),
        click.Argument(["session_id"]),
    ],
)


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("Close it with `force=True`.", "Close it with `--force`."),
        ("Name them in `nodes`.", "Name them in `--node`."),
        ("Rehearse with `as_node=NAME`.", "Rehearse with `--as-node NAME`."),
        ("Look at `ai.nodes()`.", "Look at `ape dtn nodes`."),
        (
            "Look at `ai.nodes('model.system.text')`.",
            "Look at `ape dtn nodes --model model.system.text`.",
        ),
        ("Raise `day_limit`, which is configured.", "Raise `day_limit`, which is configured."),
        ("It is `session_id`.", "It is `session_id`."),
        ("Set `dtn: nodes:` in the file.", "Set `dtn: nodes:` in the file."),
        ("force=True", "force=True"),
    ],
)
def test_python_in_a_hint_becomes_options_and_commands(hint: str, shown: str) -> None:
    assert with_options(hint, COMMAND) == shown
