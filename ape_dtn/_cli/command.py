"""What all commands share: the network, ``--router``, ``--json``, errors and exit codes."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click
from ape.cli import NetworkOption, account_option, select_account, skip_confirmation_option
from ape.cli.commands import parse_network
from ape.exceptions import (
    AccountsError,
    ApeException,
    ConversionError,
    NetworkError,
    ProviderError,
)

from ape_dtn._cli.hints import with_options
from ape_dtn.types.errors import BadInput, DtnError, NoAccount, NoNetwork

_Function = TypeVar("_Function", bound=Callable[..., Any])

# Keys of what a running command keeps in its context.
_STDOUT, _AS_JSON, _MAY_ASK, _INDENT = (
    f"{__name__}.{key}" for key in ("stdout", "as_json", "may_ask", "indent")
)


class Interrupted(DtnError):
    """Ctrl-C, or a signal like it."""

    exit_code = 130

    def __init__(self, by: BaseException, hint: str | None = None, **fields: Any) -> None:
        super().__init__("Interrupted.", **fields)
        self.hint = hint or "If anything was being sent, `ape dtn resume` finishes it, once."
        if isinstance(by, SystemExit) and isinstance(by.code, int):
            self.exit_code = by.code  # type: ignore[misc]


class Aborted(DtnError):
    """The user said no, or left a question unanswered."""

    def __init__(self) -> None:
        super().__init__("Aborted.")


class NotConfirmed(BadInput):
    """There was nobody who could have been asked. Nothing was sent."""

    def __init__(self) -> None:
        super().__init__("Nobody confirmed it: nothing was sent.")
        self.hint = "Where there is no terminal, confirm with -y."


class AccountLocked(BadInput):
    """An account's key needs its passphrase, and nobody could be asked for it. Nothing was sent."""

    def __init__(self, alias: str) -> None:
        super().__init__(f"Account {alias} is locked: nothing was sent.")
        self.hint = f"Where there is no terminal, APE_ACCOUNTS_{alias}_PASSPHRASE unlocks it."


class DtnCommand(click.Command):
    """A command that is connected to the network and returns what ``--json`` prints.

    Standard output holds what was asked for and nothing else: what the command :func:`says <say>`,
    or under ``--json`` the JSON alone, which is what the command returned, or ``{"error": …}``.
    All else goes to standard error: questions, progress, whatever Ape has to tell.
    """

    def __init__(
        self,
        *args: Any,
        network: str | None = "auto",
        envvar: str | None = "APE_DTN_NETWORK",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if network is not None:
            # A name, not a class: parsing then imports nothing, and --help stays quick.
            self.params.append(
                NetworkOption(
                    base_type=str, default=network, envvar=envvar, show_envvar=envvar is not None
                )
            )
        self.params.append(
            click.Option(["--json", "as_json"], is_flag=True, help="Print nothing but JSON.")
        )

    def make_context(
        self, info_name: str | None, args: list[str], *more: Any, **extra: Any
    ) -> click.Context:
        given = list(args)
        try:
            return super().make_context(info_name, args, *more, **extra)
        except click.ClickException as err:
            if "--json" in given:
                _print_json(sys.stdout, _as_json(err))
            raise

    def invoke(self, ctx: click.Context) -> Any:
        as_json = ctx.params.pop("as_json")
        with _standard_output(ctx, as_json), contextlib.ExitStack() as connection:
            try:
                _connect(ctx, connection)
                result = super().invoke(ctx)
            except (ProviderError, NetworkError) as err:
                _fail(ctx, _not_connected(err))
            except DtnError as err:
                _fail(ctx, err)
            except (AccountsError, ConversionError) as err:
                _fail(ctx, BadInput(str(err)))
            except ApeException as err:
                _fail(ctx, DtnError(str(err)))
            except click.ClickException as err:
                print_json(_as_json(err))
                raise
            except click.Abort:
                _fail(ctx, Aborted())
            except (KeyboardInterrupt, SystemExit) as err:
                _fail(ctx, Interrupted(err))
            except click.exceptions.Exit:  # the command has told what there is to tell
                raise
            except Exception as err:  # a mistake of ours: people and scripts shall both see it
                print_json({"error": DtnError(repr(err)).as_dict()})
                raise
            if result is not None:
                print_json(result)


def dtn_command(
    name: str,
    network: str | None = "auto",
    *,
    deploys: bool = False,
    envvar: str | None = "APE_DTN_NETWORK",
) -> Callable[[_Function], DtnCommand]:
    """Makes a function a command.

    Args:
        name: The command's name.
        network: The network that it is connected to where none is named; by default Ape's. None
            for a command that needs none.
        deploys: Whether it makes a network of its own; all others take one's ``--router``.
        envvar: What names the network where the option does not.
    """
    option = click.option(
        "--router", "router", metavar="ADDRESS", help="The router, where it is not the known one."
    )

    def decorate(function: _Function) -> DtnCommand:
        given = function if deploys else option(function)
        return click.command(name, cls=DtnCommand, network=network, envvar=envvar)(given)

    return decorate


def signed(function: _Function) -> Any:
    """Adds Ape's ``--account`` and ``-y``. With ``-y`` nothing is asked, also by the account."""

    @functools.wraps(function)
    def with_account(*, account: Any, **params: Any) -> Any:
        return function(account=account or choose_account("the account that signs"), **params)

    account = account_option(prompt=None)
    yes = skip_confirmation_option(help="Ask nothing: not before sending, nor before signing.")
    return account(yes(with_account))


def choose_account(which: str) -> Any:
    """Lets the user choose an account, once the command runs."""
    with _question(without_terminal=NoAccount()):
        return select_account(f"Choose {which}")


def say(text: str) -> None:
    """Tells people on standard output what they asked for; nothing under ``--json``."""
    meta = click.get_current_context().meta
    if not meta[_AS_JSON]:
        click.echo(text, file=meta[_STDOUT])


def print_json(result: Any) -> None:
    """Prints the one JSON document, under ``--json`` only.

    For commands that go on afterwards and then return nothing.
    """
    meta = click.get_current_context().meta
    if meta[_AS_JSON]:
        _print_json(meta[_STDOUT], result, meta[_INDENT])


def terminal() -> TextIO | None:
    """Standard output, where it is a terminal and people look at it."""
    meta = click.get_current_context().meta
    stdout: TextIO = meta[_STDOUT]
    return None if meta[_AS_JSON] or not stdout.isatty() else stdout


def json_lines() -> None:
    """Prints each JSON document on a line of its own from now on, for commands that print many."""
    click.get_current_context().meta[_INDENT] = None


def confirm(question: str, account: Any, yes: bool) -> None:
    """Asks before money moves, unless told not to."""
    if not agrees(question, account, yes):
        raise click.Abort


def agrees(question: str, account: Any, yes: bool) -> bool:
    """Whether it is to be done; for commands that go on with something else where it is not."""
    click.get_current_context().meta[_MAY_ASK] = not yes
    if not yes:
        with _question(without_terminal=NotConfirmed()):
            return click.confirm(question, err=True)
    unlock(account)
    return True


def unlock(account: Any) -> None:
    """Lets the account sign without a question, by APE_ACCOUNTS_<alias>_PASSPHRASE as in Ape.

    For a Safe, its owners sign.
    """
    from ape_dtn.chain import safe
    from ape_dtn.chain.networks import connected

    if safe.is_safe(account):
        for owner in safe.owners_here(connected(), account):
            unlock(owner)
    elif hasattr(account, "set_autosign"):
        with _question(without_terminal=AccountLocked(account.alias)):
            account.set_autosign(True)


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Shows on standard error that something takes its time."""
    from rich.console import Console

    if click.get_current_context().meta[_MAY_ASK]:
        # The account may ask before it signs: nothing may spin over its questions.
        click.echo(f"{what} …", err=True)
        yield
        return
    with Console(stderr=True).status(what):
        yield


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Shows on standard error how far many things are; what it gives is called for each one."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn()
    # As in `working`: nothing may be drawn over the questions of the account.
    quiet = click.get_current_context().meta[_MAY_ASK]
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as shown:
        task = shown.add_task(what, total=total)
        yield lambda: shown.advance(task)


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Prints a table, or a line that says that there is nothing in it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        say(f"{title}: none")
        return
    say(title)  # as the table's own it would be folded to the table's width
    shown = Table()
    for place, column in enumerate(columns):
        # Names stay whole: they are there to be copied.
        shown.add_column(column, overflow="fold", no_wrap=place == 0)
    for row in rows:
        # Text as it is: names and descriptions come from whoever registered them.
        shown.add_row(*(Text(cell) for cell in row))
    meta = click.get_current_context().meta
    console = Console(file=meta[_STDOUT], quiet=meta[_AS_JSON])
    if not console.is_terminal:  # a pipe has no width
        console.width = 200
    console.print(shown)


@contextlib.contextmanager
def _question(without_terminal: DtnError) -> Iterator[None]:
    try:
        yield
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise without_terminal from None


def _connect(ctx: click.Context, connection: contextlib.ExitStack) -> None:
    if "network" not in ctx.params:
        return
    try:
        if provider := parse_network(ctx):
            connection.enter_context(provider)
    except OSError as err:  # some of Ape's providers let through what `requests` raises
        raise _not_connected(err) from err
    del ctx.params["network"]


def _not_connected(err: Exception) -> NoNetwork:
    from ape_dtn.types.redact import hide_secrets

    return NoNetwork(f"Could not connect: {hide_secrets(str(err))}")


@contextlib.contextmanager
def _standard_output(ctx: click.Context, as_json: bool) -> Iterator[None]:
    """Keeps standard output for what was asked for, whoever else may want to write to it.

    All is as it was afterwards: a command may run in a process that goes on.
    """
    ctx.meta.update({_STDOUT: sys.stdout, _AS_JSON: as_json, _MAY_ASK: False, _INDENT: 2})
    stdin = sys.stdin
    with (
        _logging_to_standard_error(),
        contextlib.redirect_stdout(sys.stderr),
        Path(os.devnull).open() as nobody,
    ):
        # Where it is closed, whoever asks shall find the end of input instead of nothing at all.
        sys.stdin = sys.stdin or nobody
        try:
            yield
        finally:
            sys.stdin = stdin


@contextlib.contextmanager
def _logging_to_standard_error() -> Iterator[None]:
    """Ape means to log to standard error, and looks it up under keys that are not there."""
    before = _log_to_standard_error()
    try:
        yield
    finally:
        for handler, echo_kwargs in before.items():
            handler.echo_kwargs = echo_kwargs
        _log_to_standard_error_at_exit()


def _log_to_standard_error() -> dict[Any, Any]:
    """Returns what each handler was told before."""
    handlers = [each for each in logging.getLogger("ape").handlers if hasattr(each, "echo_kwargs")]
    before = {handler: handler.echo_kwargs for handler in handlers}
    for handler in handlers:
        levels = ("debug", "info", "success", "warning", "error")
        handler.echo_kwargs = {level: {"err": True} for level in levels}
    return before


@functools.cache
def _log_to_standard_error_at_exit() -> None:
    """Ape still logs when Python ends and the processes that it started are stopped.

    What is registered last is called first: this has to be after Ape has started them.
    """
    atexit.register(_log_to_standard_error)


def _print_json(file: Any, result: Any, indent: int | None = 2) -> None:
    print(json.dumps(result, indent=indent), file=file, flush=True)


def _as_json(err: click.ClickException) -> dict[str, Any]:
    error = BadInput if isinstance(err, click.UsageError) else DtnError
    return {"error": error(err.format_message()).as_dict()}


def _fail(ctx: click.Context, err: DtnError) -> None:
    click.echo(f"{click.style('ERROR', fg='bright_red')}: {err.message}", err=True)
    if err.hint:
        err.hint = with_options(err.hint, ctx.command)
        click.echo(err.hint, err=True)
    print_json({"error": err.as_dict()})
    ctx.exit(err.exit_code)
