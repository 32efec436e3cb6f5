"""``ape dtn rescue``: everything that an account has on the network, and its recovery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from ape.cli import skip_confirmation_option

from ape_dtn._cli.command import (
    AccountLocked,
    NotConfirmed,
    account_choice,
    choose_account,
    dtn_command,
    is_confirmed,
)
from ape_dtn._cli.inputs import address_of
from ape_dtn._cli.json_fields import answer_fields, finding_fields, session_fields
from ape_dtn._cli.json_output import print_json
from ape_dtn._cli.screen import note, say, show_error, table, working
from ape_dtn.rescue.errors import ConsentMissing
from ape_dtn.sessions.errors import RequestsPending
from ape_dtn.types.errors import DtnError

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.rescue.finding import Finding
    from ape_dtn.rescue.rescue import DtnRescue, Rescued


@dtn_command("rescue")
@account_choice()
@click.option("--owner", metavar="ADDRESS", help="Look at this owner, instead of --account.")
@click.option("--do", is_flag=True, help="Execute the remedies, one after the other.")
@click.option("--force", is_flag=True, help="Close sessions even if requests are pending.")
@click.option(
    "--claim",
    is_flag=True,
    help="Start a session with the deposit at the fee target, which may belong to someone else.",
)
@click.option(
    "--since",
    type=click.IntRange(min=0),
    metavar="BLOCK",
    help="Show events that need no remedy from this block on. By default the latest 302,400 "
    "blocks.",
)
@click.option(
    "--token",
    "tokens",
    multiple=True,
    metavar="ADDRESS",
    help="Another token to sweep from your client contract; repeatable.",
)
@skip_confirmation_option(help="With --do, skip all confirmation prompts.")
def rescue(
    account: AccountAPI | None,
    owner: str | None,
    do: bool,
    force: bool,
    claim: bool,
    since: int | None,
    tokens: Sequence[str],
    skip_confirmation: bool,
    router: str | None,
) -> dict[str, Any] | None:
    """Find everything that you have on the network, and recover it.

    Reads the chain alone, for your account and its client contract: open sessions, sessions of a
    replaced session manager, deposits without a session, tokens in the client contract, requests
    that cannot be answered, failed callbacks, and answers.

    Nothing is sent without --do, which asks before each remedy. A session with pending requests is
    closed with --force only, and the deposit at the fee target is taken with --claim only, since it
    may belong to someone else.

    \b
      ape dtn rescue --account alice          show what was found
      ape dtn rescue --account alice --do     and execute the remedies
    """  # noqa: D301 (click wants the character)
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.rescue.rescue import DtnRescue

    if do and owner is not None:
        raise click.UsageError("--do needs an --account that signs; --owner is for looking only.")
    holder = address_of(owner) if owner is not None else choose_account(account)
    rescuing = DtnRescue(holder, DtnAi(router))
    with working("Reading the chain"):
        found = rescuing.findings(since=since, tokens=[address_of(token) for token in tokens])
    _show(rescuing, found)
    shown = {
        "account": rescuing.owner,
        "client": rescuing.client,
        "findings": [finding_fields(finding) for finding in found],
    }
    if not do:
        if any(finding.remedy for finding in found):
            note("To execute the remedies: --account ALIAS --do.")
        return shown
    done, codes = [], []
    for finding in found:
        if finding.remedy:
            result = _execute(rescuing, finding, force, claim, skip_confirmation)
            done.append(result)
            if isinstance(error := result.get("error"), DtnError):
                codes.append(error.exit_code)
    print_json({**shown, "done": done})
    if codes:
        click.get_current_context().exit(codes[0])
    return None


def _show(rescuing: DtnRescue, found: Sequence[Finding]) -> None:
    table(
        f"What {rescuing.owner} has, with its client {rescuing.client}",
        ["kind", "which", "amount", "explanation"],
        [
            [
                finding.kind.value,
                finding.about,
                "" if finding.amount is None else str(finding.amount),
                " ".join(filter(None, (finding.explanation, _command(finding)))),
            ]
            for finding in found
        ],
    )


def _command(finding: Finding) -> str:
    """The command to suggest for a finding that --do cannot recover."""
    from ape_dtn.rescue.finding import Kind, Remedy

    if finding.kind is Kind.PENDING_REQUEST or finding.remedy is Remedy.READ:
        return f"`ape dtn answer {finding.request_id}`"
    if finding.kind is Kind.UNKNOWN_TOKENS:
        return f"`ape dtn rescue --token {finding.contract}`"
    if finding.kind is Kind.WAITING_DEPOSIT and finding.remedy is None and not finding.transaction:
        return "`ape dtn session start --claim`"
    return ""


def _execute(
    rescuing: DtnRescue, finding: Finding, force: bool, claim: bool, yes: bool
) -> dict[str, Any]:
    """Executes one remedy and prints its outcome. A failure does not prevent the next one."""
    from ape_dtn.rescue.finding import Remedy

    assert finding.remedy is not None
    about = {"remedy": finding.remedy, "about": finding.about}
    try:
        _check(finding, force, claim)
        is_read = finding.remedy is Remedy.READ
        if not (is_read or is_confirmed(_question(finding), rescuing.account, yes)):
            return {**about, "result": None}
        with working(_WORKING[finding.remedy.value]):
            rescued = rescuing.apply(finding, force=force, claim=claim)
    except (NotConfirmed, AccountLocked):  # the next one would fail in the same way
        raise
    except DtnError as err:
        show_error(err)
        return {**about, "error": err}
    return {**about, "result": _show_result(rescuing, finding, rescued)}


_WORKING = {
    "close": "Closing the session",
    "claim": "Starting a session with the deposit",
    "sweep": "Sweeping the client contract",
    "read": "Reading the answer",
}


def _check(finding: Finding, force: bool, claim: bool) -> None:
    """Refuses, before any question, what :meth:`DtnRescue.apply` would refuse."""
    from ape_dtn.rescue.finding import Remedy

    if finding.remedy is Remedy.CLOSE and finding.requests and not force:
        assert finding.session_id is not None
        raise RequestsPending(finding.session_id, list(finding.requests))
    if finding.remedy is Remedy.CLAIM and not claim:
        raise ConsentMissing


def _question(finding: Finding) -> str:
    from ape_dtn.rescue.finding import Remedy

    if finding.remedy is Remedy.SWEEP:
        return f"Send {finding.amount} from your client contract to your account?"
    if finding.remedy is Remedy.CLAIM:
        deposit = finding.amount or "the whole deposit"
        return f"Start a session with {deposit}, part of which may belong to someone else?"
    question = f"Close {finding.about}, which has {finding.amount}?"
    if not finding.requests:
        return question
    requests = ", ".join(finding.requests)
    return f"These requests of {finding.about} will never be answered: {requests}. {question}"


def _show_result(rescuing: DtnRescue, finding: Finding, rescued: Rescued) -> Any:
    from ape_dtn.types.amount import Amount
    from ape_dtn.types.answer import Answer

    if isinstance(rescued, Answer):
        say(f"{finding.about}\n  {rescued.text}")
        return answer_fields(rescued, rescuing.ai.names())
    if isinstance(rescued, Amount):
        verb = "Refunded" if finding.session_id is not None else "Sent to your account"
        say(f"{verb}: {rescued} ({finding.about}).")
        return rescued
    say(f"Session {rescued.id} is open with {rescued.opened_with}.")
    say(f"Use it, or close it for a refund: ape dtn session close {rescued.id}")
    assert rescued.opened_with is not None
    owner = rescued.holder or rescuing.owner
    return session_fields(rescued.id, owner, rescued.opened_with)
