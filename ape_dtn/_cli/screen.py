"""Prints for people: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

import click

from ape_dtn._cli.hints import hint_for
from ape_dtn._cli.output import current_output
from ape_dtn.types.errors import DtnError

# A pipe has no width: rows stay on one line, for `grep` and `awk`.
PIPE_WIDTH = 200


def say(text: str) -> None:
    """Prints a line of the result on standard output; nothing under ``--json``."""
    output = current_output()
    if not output.as_json:
        click.echo(text, file=output.stdout)


def note(text: str) -> None:
    """Prints a line on standard error, with or without ``--json``."""
    click.echo(text, err=True)


def show_error(err: DtnError) -> None:
    """Prints an error and its hint on standard error."""
    note(f"{click.style('ERROR', fg='bright_red')}: {err.message}")
    if hint := hint_for(err):
        note(hint)


def terminal() -> TextIO | None:
    """Standard output, if it is a terminal and the command prints text."""
    output = current_output()
    return None if output.as_json or not output.stdout.isatty() else output.stdout


@contextlib.contextmanager
def working(task: str) -> Iterator[None]:
    """Shows a spinner on standard error while the context lasts."""
    from rich.console import Console

    if current_output().may_ask:
        # The account may prompt before it signs, and a spinner would overwrite the prompt.
        note(f"{task} …")
        yield
        return
    with Console(stderr=True).status(task):
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
    say(title)  # rich would wrap a title of its own at the table's width
    shown = Table()
    for index, column in enumerate(columns):
        # Names in the first column stay in one piece, so that they can be copied.
        shown.add_column(column, overflow="fold", no_wrap=index == 0)
    for row in rows:
        # Without markup: anybody can register a name or a description.
        shown.add_row(*(Text(cell) for cell in row))
    output = current_output()
    console = Console(file=output.stdout, quiet=output.as_json)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(shown)
