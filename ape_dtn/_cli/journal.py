"""``ape dtn resume`` and ``journal``: what was begun, finished; and what was written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from ape.cli import account_option

from ape_dtn._cli.command import (
    choose_account,
    confirm,
    dtn_command,
    print_json,
    say,
    signed,
    table,
    working,
)

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.errors import DtnError
    from ape_dtn.journal.book import Entry
    from ape_dtn.journal.once import Done


@dtn_command("resume")
@signed
def resume(
    account: AccountAPI, skip_confirmation: bool, router: str | None
) -> list[dict[str, Any]] | None:
    """Finish what was interrupted, and pay nothing twice.

    It is for what a crash, Ctrl-C, a lost connection or a time-out has left half done. Whatever
    moves money is written to a journal before it is sent. This looks at the chain for each thing
    that was begun and is not known to have ended, and sends only what the chain shows has not
    happened. What other processes are at is left to them.
    """
    from ape_dtn.ai import DtnAi
    from ape_dtn.errors import DtnError
    from ape_dtn.journal import once

    ai = DtnAi(router)
    entries = once.unfinished(ai, account)
    rows = [_row(each) for each in entries]
    table(f"Begun by {account.address} and not finished", ["entry", "what", "sent"], rows)
    if not entries:
        say("`ape dtn rescue` finds sessions that were left open.")
        return []
    confirm(f"Finish {len(entries)}?", account, skip_confirmation)
    with working("Looking at the chain, and finishing"):
        found = once.resume(ai, account, entries)
    for entry, outcome in found:
        say(f"{entry.id}: {_told(entry, outcome)}")
    shown = [_shown(*each) for each in found]
    failed = [outcome for _, outcome in found if isinstance(outcome, DtnError)]
    if failed:
        print_json(shown)
        click.get_current_context().exit(failed[0].exit_code)
    return shown


@dtn_command("journal")
@account_option(prompt=None)
@click.option("--all", "everything", is_flag=True, help="Also what has ended.")
def journal(
    account: AccountAPI | None, everything: bool, router: str | None
) -> list[dict[str, Any]]:
    """Show what an account has begun, and what came of it.

    It lists what moves money on this network, as it was written down before it was sent, and the
    idempotency keys with what they stand for. `ape dtn resume` finishes what is open.
    """
    from ape_dtn.ai import DtnAi
    from ape_dtn.journal.book import State
    from ape_dtn.journal.once import journal_of

    account = account or choose_account("the account")
    states = list(State) if everything else [State.OPEN]
    entries = journal_of(DtnAi(router), account).entries(*states)
    columns = ["entry", "what", "sent", "state", "key", "outcome"]
    rows = [
        [*_row(each), each.state.value, each.key or "", _outcome(each.outcome or {})]
        for each in entries
    ]
    table(f"{'All' if everything else 'Open'} entries of {account.address}", columns, rows)
    return [as_dict(each) for each in entries]


def as_dict(entry: Entry) -> dict[str, Any]:
    """An entry as plain data. What was signed is left out: whoever has it can send it."""
    return {
        "id": entry.id,
        "kind": entry.kind,
        "key": entry.key,
        "state": entry.state.value,
        "meant": dict(entry.meant),
        "outcome": dict(entry.outcome) if entry.outcome else None,
        "transactions": [each.hash for each in entry.signed],
    }


def _row(entry: Entry) -> list[str]:
    sent = ", ".join(each.hash for each in entry.signed)
    return [str(entry.id), _what(entry), sent or "nothing"]


def _what(entry: Entry) -> str:
    session = entry.meant.get("session")
    if session is not None:
        return f"{entry.kind} on session {session}"
    if "deposit" in entry.meant:
        from ape_dtn.starting.two_step import deposit_of

        return f"{entry.kind} with {deposit_of(entry)}"
    return entry.kind


def _outcome(outcome: Any) -> str:
    shown = {name: value for name, value in outcome.items() if name not in ("block", "transaction")}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def _told(entry: Entry, outcome: Done | DtnError) -> str:
    from ape_dtn.errors import DtnError

    if isinstance(outcome, DtnError):
        return f"{_what(entry)}: {outcome.message} {outcome.hint or ''}".strip()
    return f"{_what(entry)}: done, {_outcome(outcome.outcome)}"


def _shown(entry: Entry, outcome: Done | DtnError) -> dict[str, Any]:
    from ape_dtn.errors import DtnError

    if isinstance(outcome, DtnError):
        return {**as_dict(entry), "error": outcome.as_dict()}
    return {**as_dict(entry), "state": "done", "outcome": dict(outcome.outcome), "error": None}
