"""``ape dtn ask`` and ``answer``: from a prompt to its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ape_dtn._cli.command import Interrupted, confirm, dtn_command, say, signed, working
from ape_dtn._cli.session import two_step_option
from ape_dtn.errors import DtnError, InsufficientFunds, NoNetwork, RequestPending

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.draft import Draft
    from ape_dtn.request import DtnRequest
    from ape_dtn.session import DtnSession

timeout_option = click.option(
    "--timeout", default=120.0, show_default=True, help="Seconds to wait for the answer."
)


@dtn_command("ask")
@signed
@click.argument("prompt")
@click.option("--session", "session_id", type=int, help="Ask on this session of yours.")
@click.option(
    "--deposit",
    help="Without --session: what the new session is opened with. By default, what the answer may "
    "cost at most.",
)
@click.option("--keep", is_flag=True, help="Leave the new session open afterwards.")
@click.option("--model", help="Full name of the model.")
@click.option("--node", "nodes", multiple=True, help="Full name of a node that may answer.")
@click.option("--fee-per-byte", help="Offered for each byte, asked and answered.")
@click.option("--cap", "most_it_may_cost", help="The most that the answer may cost.")
@timeout_option
@two_step_option
def ask(
    prompt: str,
    account: AccountAPI,
    skip_confirmation: bool,
    session_id: int | None,
    deposit: str | None,
    keep: bool,
    nodes: tuple[str, ...],
    timeout: float,
    unsafe_two_step: bool,
    router: str | None,
    model: str | None,
    fee_per_byte: str | None,
    most_it_may_cost: str | None,
) -> dict[str, Any]:
    """Ask PROMPT, wait for the answer, and print it.

    Without --session a session is opened for it, and closed and refunded afterwards. What the
    answer may cost at most is shown before anything is sent.
    """
    from ape_dtn.ai import DtnAi
    from ape_dtn.draft import Options, draft
    from ape_dtn.session import DtnSession

    if session_id is not None and (deposit or keep):
        raise click.UsageError("--deposit and --keep are for a new session, not for --session.")
    ai = DtnAi(router)
    options = Options(
        model=model, nodes=nodes, fee_per_byte=fee_per_byte, most_it_may_cost=most_it_may_cost
    )
    checked = draft(ai, account, prompt, session_id, options)
    most = checked.most_it_may_cost
    if session_id is None:
        funds = DtnSession.check_deposit(
            deposit or most, account, ai, unsafe_two_step=unsafe_two_step
        )
        if funds < most:
            raise InsufficientFunds("the new session", most, funds)
    else:
        funds = checked.balance or most
    _show_worst_case(checked, str(funds))
    confirm("Send it?", account, skip_confirmation)

    if session_id is not None:
        session = DtnSession(ai, session_id, account)
    else:
        with working(f"Opening a session with {funds}"):
            session = DtnSession.start(funds, account, ai, unsafe_two_step=unsafe_two_step)
        click.echo(f"Session {session.id} is open with {funds}.", err=True)
    return _ask(session, checked, timeout, close=session_id is None and not keep)


@dtn_command("answer")
@click.argument("request_id", metavar="ID")
@timeout_option
def answer(request_id: str, timeout: float, router: str | None) -> dict[str, Any]:
    """Print the answer to request ID.

    Waits for it if there is none yet.
    """
    from ape_dtn.ai import DtnAi
    from ape_dtn.request import DtnRequest

    return _answered(DtnRequest.load(request_id, DtnAi(router)), timeout)


def _ask(session: DtnSession, checked: Draft, timeout: float, close: bool) -> dict[str, Any]:
    """Sends the request and waits; whatever happens, tells what there is and what is left to do."""
    from ape_dtn.request import Status

    result: dict[str, Any] = {"session": session.id}
    finish = [f"`ape dtn session close {session.id}`"] if close else []
    try:
        with working("Sending the request"):
            request = session.send(checked)
        click.echo(f"Request {request.id} is sent.", err=True)
        result["request"] = request.id
        finish.insert(0, f"`ape dtn answer {request.id}`")
        try:
            result |= _answered(request, timeout)
        finally:
            # With an answer of any kind the request is complete: nothing is lost by closing.
            if close and request.status is not Status.PENDING:
                del finish[0]
                result["refund"] = _closed(session)
                finish.clear()
    except BaseException as err:
        raise _unfinished(err, session, finish, result) from err
    return result


def _closed(session: DtnSession) -> dict[str, Any]:
    with working("Closing the session"):
        refund = session.close()
    click.echo(f"Session {session.id} is closed. Refunded: {refund}.", err=True)
    return refund.as_dict()


def _unfinished(
    err: BaseException, session: DtnSession, finish: list[str], result: dict[str, Any]
) -> BaseException:
    """The error, with what was reached until then and the commands that finish it."""
    if isinstance(err, KeyboardInterrupt | SystemExit):
        err = Interrupted(err)
    hint = f"Session {session.id} stays open." if "refund" not in result else ""
    if finish:
        hint += f" Finish it: {' and then '.join(finish)}."
    if not isinstance(err, DtnError):
        click.echo(hint, err=True)
        return err
    kept = "" if isinstance(err, RequestPending | NoNetwork) else err.hint or ""
    err.hint = f"{kept} {hint}".strip() or None
    known_as = {"session": "session_id", "request": "request_id"}
    err.fields |= {known_as.get(name, name): value for name, value in result.items()}
    return err


def _answered(request: DtnRequest, timeout: float) -> dict[str, Any]:
    with working("Waiting for the answer"):
        got = request.wait(timeout)
    say(got.text)
    result = {"request": request.id, "answer": got.text, "node": got.node, "cost": None}
    try:
        cost = request.cost()
    except NoNetwork as err:
        click.echo(f"What it cost is not known: {err}", err=True)
        return result
    click.echo(f"It cost {cost}.", err=True)
    return {**result, "cost": cost.as_dict()}


def _show_worst_case(checked: Draft, funds: str) -> None:
    paid_from = (
        f"session {checked.session_id}, which has {checked.balance}"
        if checked.session_id is not None
        else f"a new session with {funds}; the rest is refunded"
    )
    for name, value in {
        "model": checked.model.name,
        "nodes": ", ".join(node.name for node in checked.nodes),
        "fee": f"{checked.fee_per_byte} for each byte; {checked.bytes_asked} bytes are asked",
        "worst case": f"{checked.most_it_may_cost}, and gas",
        "paid from": paid_from,
    }.items():
        click.echo(f"{name:>10}  {value}", err=True)
