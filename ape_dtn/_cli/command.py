"""What all commands share: the network, ``--ai``, ``--json``, errors and exit codes."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click
from ape.cli import NetworkOption, account_option, skip_confirmation_option
from ape.cli.commands import parse_network
from ape.exceptions import ApeException, NetworkError, ProviderError

from ape_dtn.errors import DtnError, NoNetwork

_Function = TypeVar("_Function", bound=Callable[..., Any])


class DtnCommand(click.Command):
    """A command that is connected to the network and returns what ``--json`` prints.

    What it writes for people goes to standard output, or to standard error under ``--json``, where
    standard output holds the JSON alone: what the command returned, or ``{"error": …}``.
    """

    def __init__(self, *args: Any, network: str = "auto", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [
            # A name, not a class: parsing then imports nothing, and --help stays quick.
            NetworkOption(base_type=str, default=network, envvar="APE_DTN_NETWORK"),
            click.Option(["--json", "as_json"], is_flag=True, help="Print nothing but JSON."),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        as_json = ctx.params.pop("as_json")
        with _standard_output(as_json) as print_json:
            try:
                connection = parse_network(ctx)
                del ctx.params["network"]
                with connection or contextlib.nullcontext():
                    result = super().invoke(ctx)
            except (ProviderError, NetworkError) as err:
                _fail(ctx, NoNetwork(f"Could not connect: {err}"), print_json)
            except DtnError as err:
                _fail(ctx, err, print_json)
            except ApeException as err:
                if not as_json:
                    raise
                _fail(ctx, DtnError(str(err)), print_json)
            else:
                print_json(result)


def dtn_command(name: str, network: str = "auto") -> Callable[[_Function], DtnCommand]:
    """Makes a function a command, with ``--ai`` among its options.

    Args:
        name: The command's name.
        network: The network that it is connected to where none is named; by default Ape's.
    """
    option = click.option(
        "--ai", "router", metavar="ADDRESS", help="The router, where it is not the known one."
    )

    def decorate(function: _Function) -> DtnCommand:
        return click.command(name, cls=DtnCommand, network=network)(option(function))

    return decorate


def signed(function: _Function) -> Any:
    """Adds Ape's ``--account`` and ``-y``. With ``-y`` nothing is asked, also by the account."""
    account = account_option(prompt="Choose the account that signs")
    yes = skip_confirmation_option(help="Ask nothing: not before sending, nor before signing.")
    return account(yes(function))


def confirm(question: str, account: Any, yes: bool) -> None:
    """Asks before money moves, unless told not to."""
    if yes:
        # Keys are then unlocked by APE_ACCOUNTS_<alias>_PASSPHRASE, as Ape does it.
        if hasattr(account, "set_autosign"):
            account.set_autosign(True)
        return
    click.confirm(question, abort=True, err=True)


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Shows on standard error that something takes its time."""
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Prints a table, or a line that says that there is nothing in it."""
    from rich.console import Console
    from rich.table import Table

    if not rows:
        click.echo(f"{title}: none")
        return
    shown = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        # Names stay whole: they are there to be copied.
        shown.add_column(column, overflow="fold", no_wrap=place == 0)
    for row in rows:
        shown.add_row(*row)
    console = Console(file=sys.stdout)
    if not console.is_terminal:  # a pipe has no width
        console.width = 200
    console.print(shown)


@contextlib.contextmanager
def _standard_output(as_json: bool) -> Iterator[Callable[[Any], None]]:
    """Keeps standard output for JSON, whoever else may want to write to it."""
    if not as_json:
        yield lambda _: None
        return
    real = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        yield lambda result: print(json.dumps(result, indent=2), file=real)


def _fail(ctx: click.Context, err: DtnError, print_json: Callable[[Any], None]) -> None:
    click.echo(f"{click.style('ERROR', fg='bright_red')}: {err.message}", err=True)
    if err.hint:
        click.echo(err.hint, err=True)
    print_json({"error": err.as_dict()})
    ctx.exit(err.exit_code)
