"""Where the running command prints: its real standard output, as text or as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TextIO

import click

_KEY = f"{__name__}.output"


@dataclass
class Output:
    """How the running command prints.

    Attributes:
        stdout: Standard output. While a command runs, ``sys.stdout`` is standard error, so that
            nothing but the command's result gets there.
        as_json: Whether ``--json`` is given.
        indent: Indentation of the JSON; None for one document per line.
        may_ask: Whether the account may ask for a passphrase or a confirmation while it signs.
        is_lossy: Whether it is reported that standard output lacks characters of the result.
    """

    stdout: TextIO
    as_json: bool
    indent: int | None = 2
    may_ask: bool = False
    is_lossy: bool = False


def set_output(context: click.Context, output: Output) -> None:
    """Sets the output of a command that is about to run."""
    context.meta[_KEY] = output


def current_output() -> Output:
    """The output of the running command."""
    output: Output = click.get_current_context().meta[_KEY]
    return output
