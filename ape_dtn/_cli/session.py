"""``ape dtn session …``: open, look at and close sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from ape.cli import account_option

from ape_dtn._cli.bill import history, report
from ape_dtn._cli.command import choose_account, confirm, dtn_command, say, signed, table, working

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.amount import Amount
    from ape_dtn.session import DtnSession

two_step_option = click.option(
    "--unsafe-two-step",
    is_flag=True,
    help="On a public network: deposit and start in two transactions, between which anybody can "
    "take the deposit.",
)


@click.group(short_help="Open, look at and close sessions")
def session() -> None:
    """Open, look at and close sessions.

    A session belongs to the account that opened it. Only that account can spend it, close it and be
    refunded.
    """


@dtn_command("start")
@signed
@two_step_option
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
    unsafe_two_step: bool,
    router: str | None,
) -> dict[str, Any]:
    """Open a session with a deposit of AMOUNT, as in 25 or "25.00 USDC".

    What is not spent comes back when the session is closed.
    """
    from ape_dtn.ai import DtnAi
    from ape_dtn.session import DtnSession

    if (amount is None) != claim:
        raise click.UsageError("Give either an AMOUNT or --claim.")
    ai = DtnAi(router)
    if amount is None:
        confirm("Start a session with what is at the fee target?", account, skip_confirmation)
        with working("Starting the session"):
            opened = DtnSession.claim(account, ai)
    else:
        deposit = DtnSession.check_deposit(amount, account, ai, unsafe_two_step=unsafe_two_step)
        question = f"Deposit {deposit} of {account.address} on {ai.network}?"
        confirm(question, account, skip_confirmation)
        with working("Depositing and starting the session"):
            opened = DtnSession.start(deposit, account, ai, unsafe_two_step=unsafe_two_step)
    balance = opened.opened_with
    assert balance is not None
    say(f"Session {opened.id} is open with {balance}.")
    say(f'Ask on it: ape dtn ask "…" --session {opened.id}')
    return _shown(opened, str(account.address), balance)


@dtn_command("list")
@click.option("--owner", metavar="ADDRESS", help="Whose sessions, where it is not --account.")
@account_option(prompt=None)
def list_sessions(
    account: AccountAPI | None, owner: str | None, router: str | None
) -> list[dict[str, Any]]:
    """List the open sessions of an account, with their balances."""
    from ape.types import AddressType
    from ape.utils.basemodel import ManagerAccessMixin as access

    from ape_dtn.ai import DtnAi
    from ape_dtn.session import DtnSession

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
    return [_shown(each, owner, balance) for each, balance in found]


@dtn_command("show")
@click.argument("session_id", type=int, metavar="ID")
def show(session_id: int, router: str | None) -> dict[str, Any]:
    """Show the owner and the balance of session ID."""
    from ape_dtn.ai import DtnAi
    from ape_dtn.session import DtnSession

    found = DtnSession.load(session_id, ai=DtnAi(router))
    owner, balance = found.owner, found.balance
    say(f"Session {found.id} of {owner} has {balance}.")
    return _shown(found, owner, balance)


@dtn_command("close")
@signed
@click.argument("session_id", type=int, metavar="ID")
def close(
    session_id: int, account: AccountAPI, skip_confirmation: bool, router: str | None
) -> dict[str, Any]:
    """Close session ID and get what is left of it.

    Requests on it that have no answer yet will never get one.
    """
    from ape_dtn.ai import DtnAi
    from ape_dtn.session import DtnSession

    found = DtnSession.load(session_id, account, DtnAi(router))
    confirm(f"Close session {session_id}, which has {found.balance}?", account, skip_confirmation)
    with working("Closing the session"):
        refund = found.close()
    say(f"Session {session_id} is closed. Refunded: {refund}.")
    return {"session": session_id, "refund": refund.as_dict()}


def _shown(session: DtnSession, owner: str, balance: Amount) -> dict[str, Any]:
    return {"session": session.id, "owner": owner, "balance": balance.as_dict()}


for command in (start, list_sessions, show, close, history, report):
    session.add_command(command)
