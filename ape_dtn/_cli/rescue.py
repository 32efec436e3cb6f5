"""``ape dtn rescue``: all that an account has anywhere on the network, and bringing it home."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from ape.cli import account_option, skip_confirmation_option

from ape_dtn._cli.command import (
    AccountLocked,
    NotConfirmed,
    agrees,
    choose_account,
    dtn_command,
    print_json,
    say,
    table,
    working,
)
from ape_dtn.rescue.errors import ConsentMissing
from ape_dtn.sessions.errors import RequestsPending
from ape_dtn.types.errors import DtnError

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.rescue.finding import Finding
    from ape_dtn.rescue.rescue import DtnRescue, Rescued


@dtn_command("rescue")
@account_option(prompt=None)
@click.option("--owner", metavar="ADDRESS", help="Whose, where it is not --account: to look only.")
@click.option("--do", is_flag=True, help="Do what can be done, one thing after the other.")
@click.option("--force", is_flag=True, help="Close sessions also while requests have no answer.")
@click.option(
    "--claim",
    is_flag=True,
    help="Start a session with what waits at the fee target, which may be somebody else's.",
)
@click.option(
    "--since",
    type=click.IntRange(min=0),
    metavar="BLOCK",
    help="From which block on what is over is shown; by default of the latest 302,400.",
)
@click.option(
    "--token",
    "tokens",
    multiple=True,
    metavar="ADDRESS",
    help="A token to be swept from your client contract, besides the network's own.",
)
@skip_confirmation_option(help="With --do, ask nothing: not before sending, nor before signing.")
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
    """Find all that you have on the network, and bring it home.

    It looks on the chain alone, for your account and its client contract: open sessions, sessions
    that a replaced session manager holds, deposits that no session was started with, what is in the
    client, requests that no answer can come to, callbacks that failed, and answers that are there.

    Nothing is sent without --do, which asks before each thing. A session whose requests have no
    answer yet is closed with --force only, and what waits at the fee target is taken with --claim
    only, since it may be somebody else's.

    \b
      ape dtn rescue --account alice          show what there is
      ape dtn rescue --account alice --do     and do what can be done
    """  # noqa: D301 (for click, it has to be the character)
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.rescue.rescue import DtnRescue

    if do and owner is not None:
        raise click.UsageError("An --owner is looked at only: to --do it, name the --account.")
    whose = _address(owner) if owner is not None else account or choose_account("the account")
    rescuing = DtnRescue(whose, DtnAi(router))
    with working("Looking at the chain"):
        found = rescuing.findings(since=since, tokens=[_address(each) for each in tokens])
    _show(rescuing, found)
    shown = {
        "account": rescuing.owner,
        "client": rescuing.client,
        "findings": [each.as_dict() for each in found],
    }
    if not do:
        if any(each.remedy for each in found):
            click.echo("To do what can be done: --account ALIAS --do.", err=True)
        return shown
    done = [_done(rescuing, each, force, claim, skip_confirmation) for each in found if each.remedy]
    failed = [each for each in done if "exit_code" in each]
    codes = [each.pop("exit_code") for each in failed]
    print_json({**shown, "done": done})
    if codes:
        click.get_current_context().exit(codes[0])
    return None


def _show(rescuing: DtnRescue, found: Sequence[Finding]) -> None:
    table(
        f"What {rescuing.owner} has, with its client {rescuing.client}",
        ["what", "which", "amount", "what that means"],
        [
            [
                each.kind.value,
                each.about,
                "" if each.amount is None else str(each.amount),
                each.explanation,
            ]
            for each in found
        ],
    )


def _done(
    rescuing: DtnRescue, finding: Finding, force: bool, claim: bool, yes: bool
) -> dict[str, Any]:
    """Does one thing, and tells what came of it; what fails does not keep from the next."""
    from ape_dtn.rescue.finding import Remedy

    assert finding.remedy is not None
    about = {"remedy": finding.remedy.value, "about": finding.about}
    try:
        _check(finding, force, claim)
        is_read = finding.remedy is Remedy.READ
        if not (is_read or agrees(_question(finding), rescuing.account, yes)):
            return {**about, "result": None}
        with working(_WORKING[finding.remedy.value]):
            rescued = rescuing.apply(finding, force=force, claim=claim)
    except (NotConfirmed, AccountLocked):  # nobody is there: nor would be for the next
        raise
    except DtnError as err:
        click.echo(f"{click.style('ERROR', fg='bright_red')}: {err.message}", err=True)
        if err.hint:
            click.echo(err.hint, err=True)
        return {**about, "error": err.as_dict(), "exit_code": err.exit_code}
    return {**about, "result": _told(finding, rescued)}


_WORKING = {
    "close": "Closing the session",
    "claim": "Starting a session with what waits",
    "sweep": "Sweeping the client",
    "read": "Reading the answer",
}


def _check(finding: Finding, force: bool, claim: bool) -> None:
    """Refuses, before anybody is asked, what :meth:`DtnRescue.apply` would."""
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
        waits = finding.amount or "all that waits"
        return f"Start a session with {waits}, some of which may be somebody else's?"
    question = f"Close {finding.about}, which has {finding.amount}?"
    if not finding.requests:
        return question
    return f"Of {finding.about} these would never be answered: {', '.join(finding.requests)}. " + (
        question
    )


def _told(finding: Finding, rescued: Rescued) -> dict[str, Any]:
    """Says what came back, and gives it as plain data."""
    from ape_dtn.types.amount import Amount
    from ape_dtn.types.answer import Answer

    if isinstance(rescued, Answer):
        say(f"{finding.about}\n  {rescued.text}")
        return rescued.as_dict()
    if isinstance(rescued, Amount):
        came = "Refunded" if finding.session_id is not None else "Sent to your account"
        say(f"{came}: {rescued} ({finding.about}).")
        return rescued.as_dict()
    say(f"Session {rescued.id} is open with {rescued.opened_with}.")
    say(f"Use it, or be refunded: ape dtn session close {rescued.id}")
    assert rescued.opened_with is not None
    return {"session": rescued.id, "balance": rescued.opened_with.as_dict()}


def _address(given: str) -> str:
    from ape.types import AddressType
    from ape.utils.basemodel import ManagerAccessMixin as access

    return str(access.conversion_manager.convert(given, AddressType))
