"""What all commands share: the network, ``--router``, ``--json``, accounts, errors, exit codes."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import logging
import os
import sys
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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

from ape_dtn._cli.hints import CommandHint
from ape_dtn._cli.json_output import print_error, print_json, usage_error, write_json
from ape_dtn._cli.output import Output, current_output, set_output
from ape_dtn._cli.screen import escape_log_record, show_error
from ape_dtn.types.errors import BadInput, DtnError, NoAccount, NoNetwork
from ape_dtn.types.printable import printable

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

_Function = TypeVar("_Function", bound=Callable[..., Any])

ACCOUNT_HELP = "An account that `ape accounts list` shows, by its alias."
SIGNER_HELP = "The account that signs and pays: an alias that `ape accounts list` shows."
YES_HELP = "Skip all confirmation prompts, those of the account too."


class Interrupted(DtnError):
    """Ctrl-C, or a signal like it."""

    exit_code = 130

    def __init__(self, by: BaseException, hint: str | None = None, **fields: Any) -> None:
        super().__init__("Interrupted.", **fields)
        self.hint = hint or "If a transaction was being sent, `ape dtn resume` completes it."
        if isinstance(by, SystemExit) and isinstance(by.code, int):
            self.exit_code = by.code  # type: ignore[misc]


class Aborted(DtnError):
    """The user said no, or left a question unanswered."""

    def __init__(self) -> None:
        super().__init__("Aborted.")


class NotConfirmed(BadInput):
    """A confirmation is required, and there is no terminal to ask on. Nothing was sent."""

    def __init__(self) -> None:
        super().__init__("Not confirmed, since there is no terminal to ask on. Nothing was sent.")
        self.hint = "To confirm in advance, add -y."


class AccountLocked(BadInput):
    """An account needs its passphrase, and there is no terminal to ask on. Nothing was sent."""

    def __init__(self, alias: str) -> None:
        super().__init__(f"Account {alias} is locked. Nothing was sent.")
        self.hint = f"Without a terminal, set APE_ACCOUNTS_{alias}_PASSPHRASE to unlock it."


class DtnCommand(click.Command):
    """A command that is connected to a network and returns the JSON that ``--json`` prints.

    Standard output holds the result only: the lines that the command :func:`says
    <ape_dtn._cli.screen.say>`, or with ``--json`` one JSON document, which is the mapping that the
    command returns or ``{"error": …}``. Prompts, progress and Ape's own log go to standard error.
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
            # A name instead of a class keeps --help quick: parsing then imports nothing.
            self.params.append(
                NetworkOption(
                    base_type=str, default=network, envvar=envvar, show_envvar=envvar is not None
                )
            )
        self.params.append(
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON and nothing else.")
        )

    def make_context(
        self, info_name: str | None, args: list[str], *more: Any, **extra: Any
    ) -> click.Context:
        given = list(args)
        try:
            return super().make_context(info_name, args, *more, **extra)
        except click.ClickException as err:
            if "--json" in given:
                write_json(sys.stdout, {"error": usage_error(err)})
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
                print_error(usage_error(err))
                raise
            except click.Abort:
                _fail(ctx, Aborted())
            except (KeyboardInterrupt, SystemExit) as err:
                _fail(ctx, Interrupted(err))
            except click.exceptions.Exit:  # the command has printed its own outcome
                raise
            except Exception as err:  # a bug: scripts get JSON, and people the traceback
                print_error(DtnError(repr(err)))
                raise
            if result is not None:
                print_json(result)


class DtnGroup(click.Group):
    """A group of commands that suggests a command for a name that is mistyped."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as err:
            if args and not args[0].startswith("-"):
                # Avoid click's wording, at which Ape would suggest one of its own commands.
                err.message = f"`{ctx.command_path}` has no command '{args[0]}'."
                if similar := get_close_matches(args[0], self.list_commands(ctx), n=1):
                    err.message += f" Did you mean '{similar[0]}'?"
            if "--json" in args:
                write_json(sys.stdout, {"error": usage_error(err)})
            raise


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
        network: The default of ``--network``; None for a command without a connection.
        deploys: Whether the command creates a network, and so has no ``--router``.
        envvar: The environment variable for ``--network``.
    """
    option = click.option(
        "--router",
        "router",
        metavar="ADDRESS",
        help="Address of the router. By default the configured or known one of the chain.",
    )

    def decorate(function: _Function) -> DtnCommand:
        given = function if deploys else option(function)
        return click.command(name, cls=DtnCommand, network=network, envvar=envvar)(given)

    return decorate


def account_choice(*declarations: str, help: str = ACCOUNT_HELP) -> Callable[[Any], Any]:
    """Ape's ``--account``, or another option for an account; None if it is not given."""
    option = account_option(*declarations, prompt=None)

    def decorate(function: Any) -> Any:
        decorated = option(function)
        decorated.__click_params__[-1].help = help  # Ape's option takes no help text
        return decorated

    return decorate


yes_option = skip_confirmation_option(help=YES_HELP)


def signed(function: _Function) -> Any:
    """Adds ``--account``, which is prompted for if it is missing, and ``-y``.

    The command calls :func:`choose_signer` itself, after checking its other input.
    """
    return account_choice(help=SIGNER_HELP)(yes_option(function))


def choose_signer(account: AccountAPI | None, which: str = "the account that signs") -> AccountAPI:
    """The account of ``--account``, or the one that the user chooses now.

    Raises:
        NoAccount: There is no terminal to ask on.
    """
    return account or _choose(which, NoAccount())


def choose_account(account: AccountAPI | None) -> AccountAPI:
    """The account of ``--account``, or the one that the user chooses now. Nothing is signed.

    Raises:
        NoAccount: There is no terminal to ask on.
    """
    error = NoAccount("No account was given.")
    error.hint = CommandHint("Name the account: --account ALIAS.")
    return account or _choose("the account", error)


def confirm(question: str, account: Any, yes: bool) -> None:
    """Asks for a confirmation, unless ``-y`` is given.

    Raises:
        Abort: The user said no.
        NotConfirmed: There is no terminal to ask on.
    """
    if not is_confirmed(question, account, yes):
        raise click.Abort


def is_confirmed(question: str, account: Any, yes: bool) -> bool:
    """Like :func:`confirm`, for commands that continue if the user says no."""
    current_output().may_ask = not yes
    if not yes:
        with _question(without_terminal=NotConfirmed()):
            return click.confirm(printable(question), err=True)
    unlock(account)
    return True


def unlock(account: Any) -> None:
    """Unlocks an account by ``APE_ACCOUNTS_<alias>_PASSPHRASE``, so that it signs without a prompt.

    For a Safe, unlocks those of its owners that are accounts here.
    """
    from ape_dtn.chain import safe
    from ape_dtn.chain.networks import connected

    if safe.is_safe(account):
        for owner in safe.owners_here(connected(), account):
            unlock(owner)
    elif hasattr(account, "set_autosign"):
        with _question(without_terminal=AccountLocked(account.alias)):
            account.set_autosign(True)


def exit_with(err: DtnError) -> None:
    """Ends the command with an error's exit code, once the result is printed."""
    click.get_current_context().exit(err.exit_code)


def _choose(which: str, without_terminal: DtnError) -> AccountAPI:
    with _question(without_terminal):
        account: AccountAPI = select_account(f"Choose {which}")
        return account


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
    choice = str(ctx.params["network"])
    try:
        if provider := parse_network(ctx):
            connection.enter_context(provider)
    except (ProviderError, NetworkError) as err:
        raise _not_connected(err, choice) from err
    except (ApeException, click.ClickException):
        raise
    except Exception as err:  # Ape's providers let errors of web3 and `requests` through
        raise _not_connected(err, choice) from err
    del ctx.params["network"]


def _not_connected(err: Exception, choice: str = "") -> NoNetwork:
    from ape_dtn.chain.networks import why_not_connected

    return NoNetwork(f"Could not connect: {why_not_connected(err, choice)}")


@contextlib.contextmanager
def _standard_output(ctx: click.Context, as_json: bool) -> Iterator[None]:
    """Reserves standard output for the result; whatever else is printed goes to standard error.

    Restores the streams afterwards: a command may run in a process that goes on.
    """
    set_output(ctx, Output(sys.stdout, as_json))
    stdin = sys.stdin
    with (
        _encodable(sys.stdout),
        _logging_to_standard_error(),
        contextlib.redirect_stdout(sys.stderr),
        Path(os.devnull).open() as empty,
    ):
        # Python sets a closed standard input to None, but prompts need a stream that ends.
        sys.stdin = sys.stdin or empty
        try:
            yield
        finally:
            sys.stdin = stdin


@contextlib.contextmanager
def _encodable(stream: Any) -> Iterator[None]:
    """Prints an escape for a character that the stream's encoding lacks, in place of failing.

    The answer that would be lost with it is paid.
    """
    if not isinstance(stream, io.TextIOWrapper):
        yield
        return
    before = stream.errors
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(errors=before)


@contextlib.contextmanager
def _logging_to_standard_error() -> Iterator[None]:
    """Makes Ape log to standard error, where Ape means to log but does not."""
    before = _log_to_standard_error()
    handlers = [*before, *([logging.lastResort] if logging.lastResort else [])]
    for handler in handlers:
        handler.addFilter(escape_log_record)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(escape_log_record)
        for handler, echo_kwargs in before.items():
            handler.echo_kwargs = echo_kwargs
        _log_to_standard_error_at_exit()


def _log_to_standard_error() -> dict[Any, Any]:
    """Changes the handlers of Ape's log; returns the former settings of each."""
    handlers = [
        handler for handler in logging.getLogger("ape").handlers if hasattr(handler, "echo_kwargs")
    ]
    before = {handler: handler.echo_kwargs for handler in handlers}
    for handler in handlers:
        levels = ("debug", "info", "success", "warning", "error")
        handler.echo_kwargs = {level: {"err": True} for level in levels}
    return before


@functools.cache
def _log_to_standard_error_at_exit() -> None:
    """Repeats this at exit, when Ape logs that it stops the processes it started.

    The last handler that is registered runs first, so this has to be registered after Ape's.
    """
    atexit.register(_log_to_standard_error)


def _fail(ctx: click.Context, err: DtnError) -> None:
    show_error(err)
    print_error(err)
    ctx.exit(err.exit_code)
