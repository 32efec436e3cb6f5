"""``ape dtn resume`` and ``journal``: what was begun, finished or cancelled, and written down."""

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

    from ape_dtn.journal.executor import OperationResult
    from ape_dtn.journal.store import Entry
    from ape_dtn.types.errors import DtnError


@dtn_command("resume")
@signed
def resume(
    account: AccountAPI, skip_confirmation: bool, router: str | None
) -> list[dict[str, Any]] | None:
    """Finish what was interrupted, and pay nothing twice.

    It is for what a crash, Ctrl-C, a lost connection or a time-out has left half done. Whatever
    moves money is written to a journal before it is sent. This looks at the chain for each thing
    that was begun and is not known to have ended, tells what it waits for, and sends only what the
    chain shows has not happened. What other processes are at is left to them.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.journal import executor, status
    from ape_dtn.journal.errors import PaymentCancelled
    from ape_dtn.journal.store import State
    from ape_dtn.sessions.operations import operation_of
    from ape_dtn.types.errors import DtnError

    ai = DtnAi(router)
    entries = executor.unfinished(ai, account)
    waits = status.waits_for(ai, executor.journal_of(ai, account), entries)
    rows = [_row(each) for each in entries]
    table(f"Begun by {account.address} and not finished", ["entry", "what", "sent"], rows)
    for entry, waiting in zip(entries, waits, strict=True):
        say(f"{entry.id} waits for {waiting}.")
    if not entries:
        say("`ape dtn rescue` finds sessions that were left open.")
        return []
    confirm(f"Finish {len(entries)}?", account, skip_confirmation)
    with working("Looking at the chain, and finishing"):
        found = executor.resume(ai, account, entries, operation_of)
    journal = executor.journal_of(ai, account)
    now = [journal.entry(entry.id) for entry, _ in found]
    still = iter(status.waits_for(ai, journal, [each for each in now if each.state is State.OPEN]))
    shown = []
    for entry, (_, outcome) in zip(now, found, strict=True):
        left = next(still) if entry.state is State.OPEN else None
        say(f"{entry.id}: {_told(entry, outcome)}")
        if left:
            say(f"{entry.id} waits for {left}.")
        shown.append({**_shown(entry, outcome), "waits_for": left})
    failures = [outcome for _, outcome in found if isinstance(outcome, DtnError)]
    failed = [each for each in failures if not isinstance(each, PaymentCancelled)]
    if failed:
        print_json(shown)
        click.get_current_context().exit(failed[0].exit_code)
    return shown


class _Journal(click.Group):
    """A group whose first command is what it does where none is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] != ["--help"] and not (args and args[0] in self.commands):
            args = [_LIST, *args]
        return super().parse_args(ctx, args)


_LIST = "list"


@click.group("journal", cls=_Journal, short_help="Show what was begun, and cancel what is stuck")
def journal() -> None:
    """Show what an account has begun, and what came of it; or cancel what is stuck.

    Without a command, it lists.
    """


@dtn_command(_LIST)
@account_option(prompt=None)
@click.option("--all", "everything", is_flag=True, help="Also what has ended.")
def list_entries(
    account: AccountAPI | None, everything: bool, router: str | None
) -> list[dict[str, Any]]:
    """Show what an account has begun, and what came of it.

    It lists what moves money on this network, as it was written down before it was sent, and the
    idempotency keys with what they stand for. `ape dtn resume` finishes what is open.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.journal.executor import journal_of
    from ape_dtn.journal.store import State

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


@dtn_command("cancel")
@signed
@click.argument("key")
def cancel(
    key: str, account: AccountAPI, skip_confirmation: bool, router: str | None
) -> dict[str, Any]:
    """Replace what was sent for KEY, and is stuck, by an empty transaction.

    KEY is an idempotency key, or the number of an entry, as `ape dtn journal` shows it. The empty
    transaction has the same nonce and pays more, so that either it is mined or what was sent
    before. The entry ends when that is final.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.journal import executor, status
    from ape_dtn.journal.errors import PaymentCancelled
    from ape_dtn.journal.store import State
    from ape_dtn.sessions.operations import operation_of
    from ape_dtn.types.errors import InvalidOption

    ai = DtnAi(router)
    journal = executor.journal_of(ai, account)
    entry = journal.by_key_or_id(key)
    if entry is None:
        raise InvalidOption("key", f"{account.address} has begun nothing under '{key}' here")
    (waiting,) = status.waits_for(ai, journal, [entry])
    table(f"To be cancelled, of {account.address}", ["entry", "what", "sent"], [_row(entry)])
    if entry.state is State.OPEN:
        say(f"{entry.id} waits for {waiting}.")
    confirm("Replace it by empty transactions, which cost gas?", account, skip_confirmation)
    with working("Cancelling"):
        outcome = executor.cancel(ai, account, entry, operation_of)
    say(f"{entry.id}: {_told(entry, outcome)}")
    is_cancelled = isinstance(outcome, PaymentCancelled)
    return {**_shown(journal.entry(entry.id), outcome), "cancelled": is_cancelled}


for command in (list_entries, cancel):
    journal.add_command(command)


def as_dict(entry: Entry) -> dict[str, Any]:
    """An entry as plain data. What was signed is left out: whoever has it can send it."""
    return {
        "id": entry.id,
        "kind": entry.kind,
        "key": entry.key,
        "state": entry.state.value,
        "meant": dict(entry.payload),
        "outcome": dict(entry.outcome) if entry.outcome else None,
        "transactions": [each.hash for each in entry.signed],
    }


def _row(entry: Entry) -> list[str]:
    sent = ", ".join(each.hash for each in entry.signed)
    return [str(entry.id), _what(entry), sent or "nothing"]


def _what(entry: Entry) -> str:
    session = entry.payload.get("session")
    if session is not None:
        return f"{entry.kind} on session {session}"
    if "deposit" in entry.payload:
        from ape_dtn.funding.bare_deposit import deposit_of

        return f"{entry.kind} with {deposit_of(entry)}"
    return entry.kind


def _outcome(outcome: Any) -> str:
    shown = {name: value for name, value in outcome.items() if name not in ("block", "transaction")}
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def _told(entry: Entry, outcome: OperationResult | DtnError) -> str:
    from ape_dtn.types.errors import DtnError

    if isinstance(outcome, DtnError):
        return f"{_what(entry)}: {outcome.message} {outcome.hint or ''}".strip()
    return f"{_what(entry)}: done, {_outcome(outcome.outcome)}"


def _shown(entry: Entry, outcome: OperationResult | DtnError) -> dict[str, Any]:
    from ape_dtn.types.errors import DtnError

    if isinstance(outcome, DtnError):
        return {**as_dict(entry), "error": outcome.as_dict()}
    return {**as_dict(entry), "state": "done", "outcome": dict(outcome.outcome), "error": None}
