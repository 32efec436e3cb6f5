"""``ape dtn session …``: open, look at and close sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from ape.cli import account_option

from ape_dtn._cli.bill import history, report
from ape_dtn._cli.command import (
    choose_account,
    confirm,
    dtn_command,
    say,
    signed,
    table,
    unlock,
    working,
)

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.client.ai import DtnAi
    from ape_dtn.client.session import DtnSession
    from ape_dtn.funding.methods import Plan
    from ape_dtn.types.amount import Amount


METHODS = ("batch", "delegate", "authorization", "permit", "allowance", "two-step")

two_step_option = click.option(
    "--unsafe-two-step",
    is_flag=True,
    help="Deposit and start in two transactions, between which anybody can take the deposit.",
)
method_option = click.option(
    "--method",
    type=click.Choice(METHODS),
    help="How to deposit and start in one transaction; by default the best way there is.",
)


def _not_empty(_ctx: click.Context, _param: click.Parameter, key: str | None) -> str | None:
    if key is not None and not key.strip():
        raise click.BadParameter("It is empty, as where a variable is not set.")
    return key


key_option = click.option(
    "--idempotency-key",
    "key",
    metavar="KEY",
    callback=_not_empty,
    help="Do it once under this key: given again, it goes on where it was, or tells what came of "
    "it.",
)


@click.group(short_help="Open, look at and close sessions")
def session() -> None:
    """Open, look at and close sessions.

    A session belongs to the account that opened it. Only that account can spend it, close it and be
    refunded.
    """


@dtn_command("start")
@signed
@method_option
@two_step_option
@key_option
@click.option(
    "--claim",
    is_flag=True,
    help="Deposit nothing: start with what an interrupted start left at the fee target.",
)
@click.argument("amount", required=False)
def start(
    amount: str | None,
    account: AccountAPI,
    skip_confirmation: bool,
    claim: bool,
    method: str | None,
    unsafe_two_step: bool,
    key: str | None,
    router: str | None,
) -> dict[str, Any]:
    """Open a session with a deposit of AMOUNT, as in 25 or "25.00 USDC".

    What is not spent comes back when the session is closed.

    Whoever is the next to start a session owns a deposit, so that both are done in one transaction:
    by the batch of a smart account, by EIP-7702 (delegate), or by a client contract that belongs to
    your account alone and takes the deposit by a signed authorization, a permit or an allowance.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.client.session import DtnSession
    from ape_dtn.funding.methods import plan
    from ape_dtn.sessions.opening import opened_before

    if (amount is None) != claim:
        raise click.UsageError("Give either an AMOUNT or --claim.")
    ai = DtnAi(router)
    if amount is None:
        confirm("Start a session with what is at the fee target?", account, skip_confirmation)
        with working("Starting the session"):
            opened = DtnSession.claim(account, ai, idempotency_key=key)
    else:
        if key is not None and skip_confirmation:
            unlock(account)  # what was begun under the key is finished first
        before = opened_before(ai, account, amount, key)
        opened = (
            DtnSession.opened(ai, account, before)
            if before
            else _open(
                plan(ai, account, amount, method, unsafe_two_step),
                account,
                ai,
                skip_confirmation,
                key,
            )
        )
    balance = opened.opened_with
    assert balance is not None
    say(f"Session {opened.id} is open with {balance}.")
    say(f'Ask on it: ape dtn ask "…" --session {opened.id}')
    used = opened.method.value if opened.method else None
    return {**_shown(opened, opened.holder or opened.owner, balance), "method": used}


def _open(
    plan: Plan, account: AccountAPI, ai: DtnAi, skip_confirmation: bool, key: str | None
) -> DtnSession:
    from ape_dtn.client.session import DtnSession

    show_plan(plan)
    question = f"Deposit {plan.deposit} of {account.address} on {ai.network}?"
    confirm(question, account, skip_confirmation)
    with working("Depositing and starting the session"):
        return DtnSession.open(plan, account, ai, key)


def show_plan(plan: Plan) -> None:
    """Tells how a session will be started, and what is sent before."""
    from ape_dtn.network.client_contract import delegate

    click.echo(f"Method: {plan.method.value}, {plan.method.description}.", err=True)
    if plan.holder.is_client:
        click.echo(f"The session will belong to your client {plan.holder.address}.", err=True)
    if plan.delegates:
        click.echo(
            f"Your account will run the code of DtnDelegate, {delegate()}, from then on, which "
            "lets in nobody but itself. In `ape console`, account.remove_delegate() undoes it.",
            err=True,
        )
    for what in plan.preparations:
        click.echo(f"First: {what}.", err=True)


@dtn_command("list")
@click.option("--owner", metavar="ADDRESS", help="Whose sessions, where it is not --account.")
@account_option(prompt=None)
def list_sessions(
    account: AccountAPI | None, owner: str | None, router: str | None
) -> list[dict[str, Any]]:
    """List the open sessions of an account, with their balances."""
    from ape.types import AddressType
    from ape.utils.basemodel import ManagerAccessMixin as access

    from ape_dtn.client.ai import DtnAi
    from ape_dtn.client.session import DtnSession

    if owner is None:
        owner = str((account or choose_account("the account")).address)
    else:
        owner = str(access.conversion_manager.convert(owner, AddressType))
    found = DtnSession.list(owner, DtnAi(router))
    table(
        f"Open sessions of {owner}",
        ["session", "balance"],
        [[str(each.id), str(balance)] for each, balance in found],
    )
    return [_shown(each, each.holder or owner, balance) for each, balance in found]


@dtn_command("show")
@click.argument("session_id", type=int, metavar="ID")
def show(session_id: int, router: str | None) -> dict[str, Any]:
    """Show the owner and the balance of session ID."""
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.client.session import DtnSession

    found = DtnSession.load(session_id, ai=DtnAi(router))
    owner, balance = found.owner, found.balance
    say(f"Session {found.id} of {owner} has {balance}.")
    return _shown(found, owner, balance)


@dtn_command("close")
@signed
@click.option("--force", is_flag=True, help="Close it also while requests have no answer.")
@key_option
@click.argument("session_id", type=int, metavar="ID")
def close(
    session_id: int,
    account: AccountAPI,
    skip_confirmation: bool,
    force: bool,
    key: str | None,
    router: str | None,
) -> dict[str, Any]:
    """Close session ID and get what is left of it.

    Requests on it that have no answer yet would never get one: it is refused while there are any,
    unless by --force.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.sessions import closing

    ai = DtnAi(router)
    if key is not None and skip_confirmation:
        unlock(account)  # what was begun under the key is finished first
    refund = closing.closed_before(ai, account, session_id, key)
    if refund is None:
        found = closing.check_close(ai, account, session_id, force=force)
        question = f"Close session {session_id}, which has {found.balance}?"
        confirm(question, account, skip_confirmation)
        with working("Closing the session"):
            refund, _ = closing.close(ai, account, session_id, force=force, key=key)
    say(f"Session {session_id} is closed. Refunded: {refund}.")
    return {"session": session_id, "refund": refund.as_dict()}


def _shown(session: DtnSession, owner: str, balance: Amount) -> dict[str, Any]:
    return {"session": session.id, "owner": owner, "balance": balance.as_dict()}


for command in (start, list_sessions, show, close, history, report):
    session.add_command(command)
