"""Prints for people: results on standard output, progress and errors on standard error.

A terminal gets text with its control characters escaped: most of it was written by others. Files
and pipes get it as it is.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

import click

from ape_dtn._cli.hints import hint_for
from ape_dtn._cli.output import current_output
from ape_dtn.types.errors import DtnError
from ape_dtn.types.printable import printable

# A pipe has no width: rows stay on one line, for `grep` and `awk`.
PIPE_WIDTH = 200


def say(text: str, label: str = "", before: str = "") -> None:
    """Prints a line of the result on standard output; nothing under ``--json``.

    Args:
        text: The line.
        label: What stands before it in red, such as ``ERROR``.
        before: What stands before the label.
    """
    output = current_output()
    if not output.as_json:
        _print(before + _red(label, output.stdout) + _shown(text, output.stdout), output.stdout)


def note(text: str, label: str = "") -> None:
    """Prints a line on standard error, with or without ``--json``; see :func:`say`."""
    _print(_red(label, sys.stderr) + for_terminal(text, sys.stderr), sys.stderr)


def show_error(err: DtnError, label: str = "ERROR") -> None:
    """Prints an error and its hint on standard error."""
    note(err.message, label)
    if hint := hint_for(err):
        note(hint)


def for_terminal(text: str, stream: TextIO | None) -> str:
    """The text with its control characters escaped if the stream is a terminal."""
    return printable(text) if _is_terminal(stream) else text


def escape_log_record(record: logging.LogRecord) -> bool:
    """Escapes the control characters of a record on a terminal: a filter for handlers."""
    if _is_terminal(sys.stderr):
        record.msg, record.args = printable(record.getMessage()), None
    return True


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _print(text: str, stream: TextIO) -> None:
    # With colours, also where there are none: click would cut sequences out of the text of others.
    click.echo(text, file=stream, color=True)


def _red(label: str, stream: TextIO) -> str:
    if not label:
        return ""
    return f"{click.style(label, fg='bright_red') if _is_terminal(stream) else label}: "


def _shown(text: str, stdout: TextIO) -> str:
    """A text of the result. Reports characters that are printed as escapes for lack of others."""
    shown = for_terminal(text, stdout)
    output, encoding = current_output(), getattr(stdout, "encoding", None) or "utf-8"
    try:
        shown.encode(encoding)
    except UnicodeEncodeError:
        if not output.is_lossy:
            output.is_lossy = True
            note(
                f"Standard output is encoded in {encoding}: characters that it lacks are printed "
                "as escapes. For the exact text, set PYTHONIOENCODING=utf-8 or use --json."
            )
        shown = shown.encode(encoding, "backslashreplace").decode(encoding)
    return shown


def terminal() -> TextIO | None:
    """Standard output, if it is a terminal and the command prints text."""
    output = current_output()
    return None if output.as_json or not output.stdout.isatty() else output.stdout


@contextlib.contextmanager
def working(task: str) -> Iterator[None]:
    """Shows a spinner on standard error while the context lasts."""
    from rich.console import Console
    from rich.markup import escape

    if current_output().may_ask:
        # The account may prompt before it signs, and a spinner would overwrite the prompt.
        note(f"{task} …")
        yield
        return
    with Console(stderr=True).status(escape(printable(task))):
        yield


@contextlib.contextmanager
def progress(task: str, total: int) -> Iterator[Callable[[], None]]:
    """Shows a counter on standard error; the function that it yields advances it by one."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn()
    # As in `working`: it would overwrite the prompts of the account.
    hidden = current_output().may_ask
    with Progress(*columns, console=Console(stderr=True), disable=hidden) as shown:
        row = shown.add_task(task, total=total)
        yield lambda: shown.advance(row)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table, or one line if it has no rows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        say(f"{title}: none")
        return
    output = current_output()
    say(title)  # rich would wrap a title of its own at the table's width
    shown = Table()
    for index, column in enumerate(columns):
        # Names in the first column stay in one piece, so that they can be copied.
        shown.add_column(column, overflow="fold", no_wrap=index == 0)
    for row in rows:
        # Without markup: anybody can register a name or a description.
        shown.add_row(*(Text(_shown(cell, output.stdout)) for cell in row))
    console = Console(file=output.stdout, quiet=output.as_json)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(shown)
