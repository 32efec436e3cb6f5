"""``ape dtn session …``: open, list, show and close sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ape_dtn._cli.bill import history, report
from ape_dtn._cli.command import (
    DtnGroup,
    account_choice,
    choose_account,
    choose_signer,
    confirm,
    dtn_command,
    signed,
    unlock,
)
from ape_dtn._cli.inputs import address_of
from ape_dtn._cli.json_fields import session_fields
from ape_dtn._cli.screen import note, say, table, working

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.client.ai import DtnAi
    from ape_dtn.client.session import DtnSession
    from ape_dtn.funding.methods import Plan


METHODS = ("batch", "delegate", "authorization", "permit", "allowance", "two-step")

two_step_option = click.option(
    "--unsafe-two-step",
    is_flag=True,
    help="Deposit and start in two transactions. On a public network, a front-runner can claim the "
    "deposit between them.",
)
method_option = click.option(
    "--method",
    type=click.Choice(METHODS),
    help="How the deposit and the start become one transaction. By default the first method that "
    "the account, the token and the chain support.",
)


def _not_empty(_ctx: click.Context, _param: click.Parameter, key: str | None) -> str | None:
    if key is not None and not key.strip():
        raise click.BadParameter("It is empty. Is a variable not set?")
    return key


key_option = click.option(
    "--idempotency-key",
    "key",
    metavar="KEY",
    callback=_not_empty,
    help="Execute this once per KEY. The same command with the same KEY resumes it, or prints its "
    "outcome again.",
)


@click.group(cls=DtnGroup, short_help="Open, list, show and close sessions")
def session() -> None:
    """Open, list, show and close sessions.

    A session is a deposit that pays for requests. Only the account that opened it can use it, close
    it and receive the refund.
    """


@dtn_command("start")
@signed
@method_option
@two_step_option
@key_option
@click.option(
    "--claim",
    is_flag=True,
    help="Start with the deposit that an interrupted start left at the fee target.",
)
@click.argument("amount", required=False)
def start(
    amount: str | None,
    account: AccountAPI | None,
    skip_confirmation: bool,
    claim: bool,
    method: str | None,
    unsafe_two_step: bool,
    key: str | None,
    router: str | None,
) -> dict[str, Any]:
    """Open a session with a deposit of AMOUNT.

    AMOUNT is such as 25 or "25.00 USDC". Closing the session refunds what is left of it.

    A deposit is not tied to its sender: the account that starts a session next owns it. So both
    happen in one transaction: by the batch of a smart account, by EIP-7702 (delegate), or by a
    client contract that your account owns, and that takes the deposit by a signed authorization, a
    permit or an allowance.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.client.session import DtnSession
    from ape_dtn.funding.methods import plan
    from ape_dtn.sessions.opening import opened_before

    if (amount is None) != claim:
        raise click.UsageError("Give either an AMOUNT or --claim.")
    account = choose_signer(account)
    ai = DtnAi(router)
    if amount is None:
        confirm("Start a session with the deposit at the fee target?", account, skip_confirmation)
        with working("Starting the session"):
            opened = DtnSession.claim(account, ai, idempotency_key=key)
    else:
        if key is not None and skip_confirmation:
            unlock(account)  # finishing an interrupted operation signs
        before = opened_before(ai, account, amount, key)
        opened = (
            DtnSession.opened(ai, account, before)
            if before
            else _confirm_and_open(
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
    fields = session_fields(opened.id, opened.holder or opened.owner, balance)
    return {**fields, "method": used}


def _confirm_and_open(
    plan: Plan, account: AccountAPI, ai: DtnAi, skip_confirmation: bool, key: str | None
) -> DtnSession:
    from ape_dtn.client.session import DtnSession

    show_plan(plan, ai)
    question = f"Deposit {plan.deposit} of {account.address} on {ai.network}?"
    confirm(question, account, skip_confirmation)
    with working("Depositing and starting the session"):
        return DtnSession.open(plan, account, ai, key)


def show_plan(plan: Plan, ai: DtnAi) -> None:
    """Shows how a session will be started, and the transactions that come before."""
    from ape_dtn.chain.networks import is_local
    from ape_dtn.funding.methods import Method
    from ape_dtn.network.client_contract import delegate

    description = plan.method.description
    if plan.method is Method.TWO_STEP and is_local(ai.provider):
        # On a local chain nobody else can claim the deposit: omit the warning.
        description = "deposit and start in two transactions"
    note(f"Method: {plan.method.value}, {description}.")
    if plan.holder.is_client:
        note(f"The session will belong to your client contract {plan.holder.address}.")
    if plan.delegates:
        note(
            f"Your account will delegate to the code of DtnDelegate, {delegate()}, from then on "
            "(EIP-7702). That code accepts calls of your account only."
        )
    for preparation in plan.preparations:
        note(f"First: {preparation}.")


@dtn_command("list")
@click.option("--owner", metavar="ADDRESS", help="The owner, instead of --account.")
@account_choice()
def list_sessions(
    account: AccountAPI | None, owner: str | None, router: str | None
) -> dict[str, Any]:
    """List the open sessions of an account with their balances."""
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.client.session import DtnSession

    holder = str(choose_account(account).address) if owner is None else address_of(owner)
    found = DtnSession.list(holder, DtnAi(router))
    table(
        f"Open sessions of {holder}",
        ["session", "balance"],
        [[str(session.id), str(balance)] for session, balance in found],
    )
    return {
        "sessions": [
            session_fields(session.id, session.holder or holder, balance)
            for session, balance in found
        ]
    }


@dtn_command("show")
@click.argument("session_id", type=int, metavar="ID")
def show(session_id: int, router: str | None) -> dict[str, Any]:
    """Show the owner and the balance of session ID."""
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.client.session import DtnSession

    found = DtnSession.load(session_id, ai=DtnAi(router))
    owner, balance = found.owner, found.balance
    say(f"Session {found.id} of {owner} has {balance}.")
    return session_fields(found.id, owner, balance)


@dtn_command("close")
@signed
@click.option(
    "--force",
    is_flag=True,
    help="Close it even if requests are pending. They are never answered then.",
)
@key_option
@click.argument("session_id", type=int, metavar="ID")
def close(
    session_id: int,
    account: AccountAPI | None,
    skip_confirmation: bool,
    force: bool,
    key: str | None,
    router: str | None,
) -> dict[str, Any]:
    """Close session ID and receive the refund.

    A closed session cannot pay for answers. So this is refused while requests are pending, unless
    with --force.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.sessions import closing

    account = choose_signer(account)
    ai = DtnAi(router)
    if key is not None and skip_confirmation:
        unlock(account)  # finishing an interrupted operation signs
    refund = closing.closed_before(ai, account, session_id, key)
    if refund is None:
        found = closing.check_close(ai, account, session_id, force=force)
        question = f"Close session {session_id}, which has {found.balance}?"
        confirm(question, account, skip_confirmation)
        with working("Closing the session"):
            refund, _ = closing.close(ai, account, session_id, force=force, key=key)
    say(f"Session {session_id} is closed. Refunded: {refund}.")
    return {"session": session_id, "refund": refund}


for command in (start, list_sessions, show, close, history, report):
    session.add_command(command)
