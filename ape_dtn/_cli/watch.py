"""``ape dtn watch``: answers as they arrive, from a cursor on."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ape_dtn._cli.command import account_choice, dtn_command
from ape_dtn._cli.inputs import address_of
from ape_dtn._cli.json_fields import outcome_fields
from ape_dtn._cli.json_output import print_json, print_json_lines
from ape_dtn._cli.screen import note, say
from ape_dtn.types.files import write_whole

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.client.watch import Outcome
    from ape_dtn.types.errors import DtnError
    from ape_dtn.types.ids import Names


@dtn_command("watch")
@click.option("--session", type=int, metavar="ID", help="Watch this session.")
@click.option(
    "--owner", metavar="ADDRESS", help="Watch all sessions of this owner, instead of --account."
)
@account_choice(help="Watch all sessions of this account, an alias of `ape accounts list`.")
@click.option(
    "--cursor",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Save the position to this file. The next watch with this file continues from there.",
)
@click.option(
    "--since",
    type=click.Choice(["start", "now"]),
    default="start",
    show_default=True,
    help="Where to begin without a saved position.",
)
@click.option("--timeout", type=float, help="Seconds after which to end. By default never.")
@click.option(
    "--confirmations",
    type=click.IntRange(min=0),
    help="Blocks that must follow the block of an answer. By default as configured, else 0.",
)
def watch(
    session: int | None,
    owner: str | None,
    account: AccountAPI | None,
    cursor: Path | None,
    since: str,
    timeout: float | None,
    confirmations: int | None,
    router: str | None,
) -> None:
    """Print answers as they arrive.

    Prints those of a session, or of all sessions of an owner; earlier answers come first. Ends when
    the session is closed, after --timeout, or with Ctrl-C. With --json, each line is a JSON
    document with an answer or an error.

    \b
      ape dtn watch --session 7 --cursor seven.json     continues where it ended
    """  # noqa: D301 (click wants the character)
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.client.watch import Watch

    print_json_lines()
    if sum(given is not None for given in (session, owner, account)) != 1:
        raise click.UsageError("Give one of --session, --owner and --account.")
    if owner is not None:
        owner = address_of(owner)
    saved = cursor.read_text(errors="replace") if cursor and cursor.is_file() else None
    ai = DtnAi(router)
    names = ai.names()
    watching = Watch(
        ai,
        session=session,
        owner=owner or account,
        since=saved or ("now" if since == "now" else None),
        confirmations=confirmations,
        timeout=timeout,
    )
    note("Watching. Press Ctrl-C to stop it.")
    printed = None
    with _ending_on_sigterm():
        try:
            for outcome in watching:
                _print(outcome, names)
                printed = outcome
                _save(cursor, watching.cursor)
        except (KeyboardInterrupt, SystemExit):  # Ape turns Ctrl-C into SystemExit
            pass
        finally:
            # Do not save past an outcome that was not printed.
            if watching.latest is printed:
                _save(cursor, watching.cursor)


@contextlib.contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Ends by SIGTERM, which stops services, as by Ctrl-C."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _print(outcome: Outcome, names: Names) -> None:
    from ape_dtn.types.answer import Answer

    result = outcome.result
    error: DtnError | None
    if isinstance(result, Answer):
        say(f"{outcome.request.id}  {result}")
        error = result.callback_error
    else:
        error = result
    if error is not None:
        say(error.message, label="ERROR", before=f"{outcome.request.id}  ")
    print_json(outcome_fields(outcome, names))


def _save(cursor: Path | None, text: str | None) -> None:
    """Saves the cursor atomically."""
    if cursor is None or text is None:
        return
    try:
        write_whole(cursor, text)
    except OSError as err:
        raise click.FileError(str(cursor), err.strerror) from err
