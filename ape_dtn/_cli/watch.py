"""``ape dtn watch``: every answer as it comes, also those that came while nobody watched."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from ape.cli import account_option

from ape_dtn._cli.command import dtn_command, json_lines, print_json, say
from ape_dtn.types.files import write_whole

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.client.watch import Outcome


@dtn_command("watch")
@click.option("--session", type=int, metavar="ID", help="Watch this session.")
@click.option(
    "--owner", metavar="ADDRESS", help="Watch all sessions of this address, or of --account."
)
@account_option(prompt=None)
@click.option(
    "--cursor",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file that remembers what was printed. The next watch with it goes on from there.",
)
@click.option(
    "--since",
    type=click.Choice(["start", "now"]),
    default="start",
    show_default=True,
    help="Where to begin, as long as the cursor remembers nothing.",
)
@click.option("--timeout", type=float, help="Seconds after which it ends.")
@click.option(
    "--confirmations",
    type=click.IntRange(min=0),
    help="Blocks that have to follow an answer's; by default as configured.",
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
    """Print answers as they come.

    Those of a session, or of all sessions of an owner; the ones that have come already are first.
    It ends with the session, after --timeout, or with Ctrl-C. With --json, each line is a JSON
    document: an answer, or an error in its place.

    \b
      ape dtn watch --session 7 --cursor seven.json     go on where it was left
    """  # noqa: D301 (for click, it has to be the character)
    from ape.types import AddressType
    from ape.utils.basemodel import ManagerAccessMixin as access

    from ape_dtn.client.ai import DtnAi
    from ape_dtn.client.watch import Watch

    json_lines()
    if sum(each is not None for each in (session, owner, account)) != 1:
        raise click.UsageError("Name what to watch: --session, --owner or --account.")
    if owner is not None:
        owner = str(access.conversion_manager.convert(owner, AddressType))
    saved = cursor.read_text(errors="replace") if cursor and cursor.is_file() else None
    watching = Watch(
        DtnAi(router),
        session=session,
        owner=owner or account,
        since=saved or ("now" if since == "now" else None),
        confirmations=confirmations,
        timeout=timeout,
    )
    click.echo("Watching. Press Ctrl-C to stop it.", err=True)
    printed = None
    with _ending_on_sigterm():
        try:
            for outcome in watching:
                _print(outcome)
                printed = outcome
                _save(cursor, watching.cursor)
        except (KeyboardInterrupt, SystemExit):  # Ape turns Ctrl-C into SystemExit
            pass
        finally:
            if watching.latest is printed:  # and not interrupted just before it could be printed
                _save(cursor, watching.cursor)


@contextlib.contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Ends as by Ctrl-C also on the signal that services are stopped with."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _print(outcome: Outcome) -> None:
    from ape_dtn.types.answer import Answer

    result: Any = outcome.result
    if isinstance(result, Answer):
        say(f"{outcome.request.id}  {result}")
        result = result.callback_error
    if result is not None:
        say(f"{outcome.request.id}  {click.style('ERROR', fg='bright_red')}: {result.message}")
    print_json(outcome.as_dict())


def _save(cursor: Path | None, text: str | None) -> None:
    """Saves the cursor, all of it or nothing."""
    if cursor is None or text is None:
        return
    try:
        write_whole(cursor, text)
    except OSError as err:
        raise click.FileError(str(cursor), err.strerror) from err
