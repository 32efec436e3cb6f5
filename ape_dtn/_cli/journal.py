"""``ape dtn resume`` and ``journal``: the operations that were recorded before they were sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ape_dtn._cli.command import (
    DtnGroup,
    account_choice,
    choose_account,
    choose_signer,
    confirm,
    dtn_command,
    exit_with,
    signed,
)
from ape_dtn._cli.hints import hint_for
from ape_dtn._cli.json_fields import entry_fields, typed_outcome
from ape_dtn._cli.json_output import print_json
from ape_dtn._cli.screen import say, show_error, table, working

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.client.ai import DtnAi
    from ape_dtn.journal.executor import OperationResult
    from ape_dtn.journal.store import Entry, Journal, UnreadableEntry
    from ape_dtn.types.amount import Token
    from ape_dtn.types.errors import DtnError


@dtn_command("resume")
@signed
def resume(
    account: AccountAPI | None, skip_confirmation: bool, router: str | None
) -> dict[str, Any] | None:
    """Finish interrupted operations, and pay nothing twice.

    Use it after a crash, Ctrl-C, a lost connection or a timeout. Each operation that moves money is
    recorded in a journal before it is sent. For each that is open, this shows what it waits for,
    reads its effect from the chain, and sends only what is missing. Operations that another process
    is executing are left to that process.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.journal import executor, status
    from ape_dtn.journal.errors import PaymentCancelled
    from ape_dtn.journal.store import State
    from ape_dtn.sessions.operations import operation_of
    from ape_dtn.types.errors import DtnError

    account = choose_signer(account)
    ai = DtnAi(router)
    entries = executor.unfinished(ai, account)
    journal = executor.journal_of(ai, account)
    unreadable = [entry for entry in journal.unreadable() if entry.may_be_open]
    waits = status.waits_for(ai, journal, entries)
    rows = [_row(entry) for entry in entries]
    table(f"Unfinished operations of {account.address}", ["entry", "operation", "sent"], rows)
    for entry, waiting in zip(entries, waits, strict=True):
        say(f"{entry.id} waits for {waiting}.")
    if unreadable and not entries:
        raise journal.error_of(*unreadable)
    if not entries:
        say("To find open sessions: `ape dtn rescue`.")
        return {"entries": [], "unreadable": []}
    confirm(f"Finish {len(entries)}?", account, skip_confirmation)
    with working("Reading the chain and finishing operations"):
        found = executor.resume(ai, account, entries, operation_of)
    now = [journal.entry(entry.id) for entry, _ in found]
    still_open = [entry for entry in now if entry.state is State.OPEN]
    waits_by_id = dict(
        zip(
            (entry.id for entry in still_open),
            status.waits_for(ai, journal, still_open),
            strict=True,
        )
    )
    tokens = _Tokens(ai)
    shown = []
    for entry, (_, outcome) in zip(now, found, strict=True):
        waiting_for = waits_by_id.get(entry.id)
        say(f"{entry.id}: {_describe_outcome(entry, outcome, tokens)}")
        if waiting_for:
            say(f"{entry.id} waits for {waiting_for}.")
        shown.append({**_result_fields(entry, outcome, tokens), "waits_for": waiting_for})
    failures = [outcome for _, outcome in found if isinstance(outcome, DtnError)]
    failed = [error for error in failures if not isinstance(error, PaymentCancelled)]
    if unreadable:
        failed.append(journal.error_of(*unreadable))
        show_error(failed[-1])
    result = {"entries": shown, "unreadable": _unreadable_fields(journal, unreadable)}
    if failed:
        print_json(result)
        exit_with(failed[0])
    return result


class _JournalGroup(DtnGroup):
    """A group that lists where no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = [_LIST, *args]
        return super().parse_args(ctx, args)


_LIST = "list"


@click.group("journal", cls=_JournalGroup, short_help="List operations, and cancel stuck ones")
def journal() -> None:
    """List the operations of an account, and cancel those that are stuck.

    Without a command, lists them.
    """


@dtn_command(_LIST)
@account_choice()
@click.option("--all", "everything", is_flag=True, help="Include operations that have ended.")
def list_entries(
    account: AccountAPI | None, everything: bool, router: str | None
) -> dict[str, Any]:
    """List the operations of an account that move money on this network.

    Each entry was recorded before anything was sent, with its idempotency key if it has one.
    `ape dtn resume` finishes the open ones. Standard error names entries that cannot be read.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.journal.executor import journal_of
    from ape_dtn.journal.store import State

    account = choose_account(account)
    ai = DtnAi(router)
    states = list(State) if everything else [State.OPEN]
    journal = journal_of(ai, account)
    entries, unreadable = journal.entries(*states), journal.unreadable()
    tokens = _Tokens(ai)
    columns = ["entry", "operation", "sent", "state", "key", "outcome"]
    rows = [
        [
            *_row(entry),
            entry.state.name.lower(),
            entry.key or "",
            _outcome_text(entry, entry.outcome or {}, tokens),
        ]
        for entry in entries
    ]
    table(f"{'All' if everything else 'Open'} operations of {account.address}", columns, rows)
    if unreadable:
        show_error(journal.error_of(*unreadable))
    return {
        "entries": [entry_fields(entry, tokens.of(entry)) for entry in entries],
        "unreadable": _unreadable_fields(journal, unreadable),
    }


@dtn_command("cancel")
@signed
@click.argument("key")
def cancel(
    key: str, account: AccountAPI | None, skip_confirmation: bool, router: str | None
) -> dict[str, Any]:
    """Replace the stuck transactions of KEY with empty ones.

    KEY is an idempotency key, or the number of an entry that `ape dtn journal` shows. An empty
    transaction has the same nonce and a higher fee, so only one of the two can be mined. The entry
    ends when that block is final.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.journal import executor, status
    from ape_dtn.journal.errors import PaymentCancelled
    from ape_dtn.journal.store import State
    from ape_dtn.sessions.operations import operation_of
    from ape_dtn.types.errors import InvalidOption

    account = choose_signer(account)
    ai = DtnAi(router)
    journal = executor.journal_of(ai, account)
    entry = journal.by_key_or_id(key)
    if entry is None:
        raise InvalidOption("key", f"{account.address} has no operation '{key}' on this network")
    (waiting,) = status.waits_for(ai, journal, [entry])
    table(f"To cancel, of {account.address}", ["entry", "operation", "sent"], [_row(entry)])
    if entry.state is State.OPEN:
        say(f"{entry.id} waits for {waiting}.")
    question = "Replace its transactions with empty ones, which cost gas?"
    confirm(question, account, skip_confirmation)
    with working("Cancelling"):
        outcome = executor.cancel(ai, account, entry, operation_of)
    tokens = _Tokens(ai)
    say(f"{entry.id}: {_describe_outcome(entry, outcome, tokens)}")
    is_cancelled = isinstance(outcome, PaymentCancelled)
    fields = _result_fields(journal.entry(entry.id), outcome, tokens)
    return {**fields, "cancelled": is_cancelled}


for command in (list_entries, cancel):
    journal.add_command(command)


class _Tokens:
    """The tokens of the amounts in outcomes.

    The journal keeps the token of a deposit. For other amounts it is the network's fee token, which
    is read once, and only if there are such amounts.
    """

    def __init__(self, ai: DtnAi) -> None:
        self._ai = ai
        self._fee_token: Token | None = None

    def of(self, entry: Entry, outcome: Mapping[str, Any] | None = None) -> Token | None:
        outcome = outcome or entry.outcome or {}
        if not {"balance", "refund"} & outcome.keys():
            return None
        if "deposit" in entry.payload:
            from ape_dtn.funding.bare_deposit import deposit_of

            return deposit_of(entry).token
        self._fee_token = self._fee_token or self._ai.token()
        return self._fee_token


def _unreadable_fields(
    journal: Journal, unreadable: Sequence[UnreadableEntry]
) -> list[dict[str, Any]]:
    return [
        {
            "id": entry.id,
            "transactions": [signed.hash for signed in entry.signed],
            "error": journal.error_of(entry),
        }
        for entry in unreadable
    ]


def _row(entry: Entry) -> list[str]:
    sent = ", ".join(signed.hash for signed in entry.signed)
    return [str(entry.id), _operation(entry), sent or "nothing"]


def _operation(entry: Entry) -> str:
    session = entry.payload.get("session")
    if session is not None:
        return f"{entry.kind} on session {session}"
    if "deposit" in entry.payload:
        from ape_dtn.funding.bare_deposit import deposit_of

        return f"{entry.kind} with {deposit_of(entry)}"
    return entry.kind


def _outcome_text(entry: Entry, outcome: Mapping[str, Any], tokens: _Tokens) -> str:
    shown = typed_outcome(outcome, tokens.of(entry, outcome))
    return ", ".join(
        f"{name} {value}" for name, value in shown.items() if name not in ("block", "transaction")
    )


def _describe_outcome(entry: Entry, outcome: OperationResult | DtnError, tokens: _Tokens) -> str:
    from ape_dtn.types.errors import DtnError

    if isinstance(outcome, DtnError):
        return f"{_operation(entry)}: {outcome.message} {hint_for(outcome) or ''}".strip()
    return f"{_operation(entry)}: done, {_outcome_text(entry, outcome.outcome, tokens)}"


def _result_fields(
    entry: Entry, outcome: OperationResult | DtnError, tokens: _Tokens
) -> dict[str, Any]:
    from ape_dtn.types.errors import DtnError

    fields = entry_fields(entry, tokens.of(entry))
    if isinstance(outcome, DtnError):
        return {**fields, "error": outcome}
    done = typed_outcome(outcome.outcome, tokens.of(entry, outcome.outcome))
    return {**fields, "state": "done", "outcome": done, "error": None}
