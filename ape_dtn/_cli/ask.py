"""``ape dtn ask``, ``ask-many`` and ``answer``: from prompts to their answers."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from ape_dtn._cli.command import (
    Interrupted,
    confirm,
    dtn_command,
    print_json,
    progress,
    say,
    signed,
    unlock,
    working,
)
from ape_dtn._cli.inputs import input_options, to_inputs, to_prompts
from ape_dtn._cli.options import request_options
from ape_dtn._cli.session import key_option, method_option, show_plan, two_step_option
from ape_dtn.network.errors import RequestPending
from ape_dtn.types.errors import BadInput, DtnError, NoNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ape.api.accounts import AccountAPI

    from ape_dtn.client.request import DtnRequest
    from ape_dtn.requests.options import Options
    from ape_dtn.requests.purchase import Purchase
    from ape_dtn.requests.sending import SentRequest
    from ape_dtn.types.answer import Answer


timeout_option = click.option(
    "--timeout", default=120.0, show_default=True, help="Seconds to wait for the answer."
)
confirmations_option = click.option(
    "--confirmations",
    type=click.IntRange(min=0),
    help="Blocks that have to follow an answer's before it counts.",
)
output_option = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the answer to this file, as for an image, instead of printing it.",
)


@dtn_command("ask")
@signed
@click.argument("prompt", nargs=-1)
@input_options
@click.option("--session", "session_id", type=int, help="Ask on this session of yours.")
@click.option(
    "--deposit",
    help="Without --session: what the new session is opened with. By default, what the answer may "
    "cost at most.",
)
@click.option("--keep", is_flag=True, help="Leave the new session open afterwards.")
@request_options
@timeout_option
@confirmations_option
@output_option
@method_option
@two_step_option
@key_option
def ask(
    prompt: tuple[str, ...],
    account: AccountAPI,
    skip_confirmation: bool,
    session_id: int | None,
    deposit: str | None,
    keep: bool,
    inputs: dict[str, str],
    values: tuple[str, ...],
    options: Options,
    timeout: float,
    confirmations: int | None,
    output: Path | None,
    method: str | None,
    unsafe_two_step: bool,
    key: str | None,
    router: str | None,
) -> dict[str, Any]:
    """Ask PROMPT, wait for the answer, and print it.

    Several PROMPTs are the lines of one. Without --session a session is opened for it, and closed
    and refunded afterwards. What the answer may cost at most is shown before anything is sent.

    \b
      ape dtn ask "What is two and two?"
      ape dtn ask "Is {0:address} older than {1:uint8}?" --value 0x… --value 26
      ape dtn ask "A cat" --model model.system.openai-gpt-image-1 \\
          --input width=1024 --input height=1024 --output cat.png
    """  # noqa: D301 (for click, it has to be the character)
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.requests.purchase import Keys, NewSession, prepare

    session_id = session_id or None  # 0 stands for a session of its own, as in the contracts
    if session_id is not None and (deposit or keep):
        raise click.UsageError("--deposit and --keep are for a new session, not for --session.")
    if not (prompt or inputs):
        raise click.UsageError("Give a PROMPT, or the inputs of the model with --input.")
    if output is not None and not output.parent.is_dir():
        raise click.UsageError(f"There is no folder {output.parent} to write {output.name} to.")
    ai = DtnAi(router)
    asked: Sequence[Any] = to_prompts(prompt, values)
    if inputs:
        api = ai.model(options.get("model") or ai.config.model).api
        asked = to_inputs(api, asked, inputs)
    if key is not None and skip_confirmation:
        unlock(account)  # what was begun under the key is finished first
    payer = session_id or NewSession(deposit or None, method, unsafe_two_step)
    purchase = prepare(ai, account, [asked], options, payer, Keys.of_steps(key))
    if purchase.drafts:
        if purchase.plan:
            show_plan(purchase.plan)
        _show_worst_case(purchase)
        confirm("Send it?", account, skip_confirmation)
    if purchase.plan:
        with working("Depositing and starting the session"):
            purchase.open()
        assert purchase.opened is not None
        balance = purchase.opened.balance
        click.echo(f"Session {purchase.session_id} is open with {balance}.", err=True)
    wait = {"timeout": timeout, "confirmations": confirmations}
    return _execute(purchase, wait, output, close=session_id is None and not keep)


@dtn_command("ask-many")
@signed
@click.argument("prompts", type=click.File(encoding="utf-8"), metavar="FILE")
@click.option("--session", "session_id", type=int, required=True, help="The session that pays.")
@request_options
@timeout_option
@confirmations_option
@key_option
def ask_many(
    prompts: IO[str],
    account: AccountAPI,
    skip_confirmation: bool,
    session_id: int,
    options: Options,
    timeout: float,
    confirmations: int | None,
    key: str | None,
    router: str | None,
) -> list[dict[str, Any]]:
    """Ask every line of FILE as a prompt, all at once.

    FILE is - for standard input. Prints the answers in the order of the lines. What befalls one
    leaves the others alone: it is told in its place, and the command then ends with that error's
    exit code.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.requests.purchase import Keys, prepare

    lines = [line.rstrip("\n") for line in prompts if line.strip()]
    if not lines:
        raise click.UsageError("There is no prompt in FILE.")
    if key is not None and skip_confirmation:
        unlock(account)  # what was begun under the key is finished first
    keys = Keys.of_requests(key, len(lines))
    inputs = [[line] for line in lines]
    purchase = prepare(DtnAi(router), account, inputs, options, session_id, keys)
    if purchase.drafts:
        _show_worst_case(purchase)
        confirm(f"Send {len(purchase.drafts)} requests?", account, skip_confirmation)
    later = f"`ape dtn session history {session_id}` shows what is sent, `ape dtn watch` the rest."
    try:
        with progress("Sending the requests", len(lines)) as advance:
            sent = purchase.send_each(lambda _place, _sent: advance())
        with working(f"Waiting for {len(sent)} answers"):
            outcomes = purchase.wait(timeout, confirmations)
    except (KeyboardInterrupt, SystemExit) as err:
        raise Interrupted(err, later, session_id=session_id) from err
    except DtnError as err:
        err.hint = f"{err.hint or ''} {later}".strip()
        raise
    shown = [_in_its_place(*each) for each in zip(lines, sent, outcomes, strict=True)]
    for line, outcome in zip(lines, outcomes, strict=True):
        say(f"{line}\n  {outcome.message if isinstance(outcome, DtnError) else outcome.text}")
    failed = [outcome for outcome in outcomes if isinstance(outcome, DtnError)]
    if failed:
        click.echo(f"{len(failed)} of {len(lines)} have no answer.", err=True)
        print_json(shown)
        click.get_current_context().exit(failed[0].exit_code)
    return shown


@dtn_command("answer")
@click.argument("request_id", metavar="ID")
@timeout_option
@confirmations_option
@output_option
def answer(
    request_id: str,
    timeout: float,
    confirmations: int | None,
    output: Path | None,
    router: str | None,
) -> dict[str, Any]:
    """Print the answer to request ID.

    Waits for it if there is none yet.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.client.request import DtnRequest

    request = DtnRequest.load(request_id, DtnAi(router))
    with working("Waiting for the answer"):
        got = request.wait(timeout, confirmations)
    return _shown(request, got, output)


def _in_its_place(
    line: str, sent: SentRequest | DtnError, outcome: Answer | DtnError
) -> dict[str, Any]:
    request_id = None if isinstance(sent, DtnError) else sent.id
    if isinstance(outcome, DtnError):
        return {"prompt": line, "request": request_id, "error": outcome.as_dict()}
    return {"prompt": line, **outcome.as_dict(), "error": None}


def _execute(
    purchase: Purchase, wait: dict[str, Any], output: Path | None, *, close: bool
) -> dict[str, Any]:
    """Sends the request and waits; whatever happens, tells what there is and what is left to do."""
    from ape_dtn.client.request import to_request

    result: dict[str, Any] = {"session": purchase.session_id}
    finish = [f"`ape dtn session close {purchase.session_id}`"] if close else []
    try:
        with working("Sending the request"):
            request = to_request(purchase.ai, purchase.send())
        click.echo(f"Request {request.id} is sent.", err=True)
        result["request"] = request.id
        finish.insert(0, f"`ape dtn answer {request.id}`")
        try:
            with working("Waiting for the answer"):
                (got,) = purchase.wait(**wait)
            if isinstance(got, DtnError):
                raise got
            result |= _shown(request, got, output)
        finally:
            # With an answer of any kind the request is complete: nothing is lost by closing.
            if close and purchase.is_answered():
                del finish[0]
                result["refund"] = _closed(purchase)
                finish.clear()
    except BaseException as err:
        raise _unfinished(err, finish, result) from err
    return result


def _closed(purchase: Purchase) -> dict[str, Any]:
    with working("Closing the session"):
        refund = purchase.close()
    click.echo(f"Session {purchase.session_id} is closed. Refunded: {refund}.", err=True)
    return refund.as_dict()


def _unfinished(err: BaseException, finish: list[str], result: dict[str, Any]) -> BaseException:
    """The error, with what was reached until then and the commands that finish it."""
    if isinstance(err, KeyboardInterrupt | SystemExit):
        err = Interrupted(err)
    hint = f"Session {result['session']} stays open." if "refund" not in result else ""
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


def _shown(request: DtnRequest, got: Answer, output: Path | None) -> dict[str, Any]:
    if got.callback_error:
        click.echo(got.callback_error.message, err=True)
    if output is None:
        say(got.text)
    else:
        try:
            got.save(output)
        except OSError as err:
            error = BadInput(f"The answer cannot be written to {output}: {err.strerror}.")
            error.hint = f"It is there: `ape dtn answer {request.id}`."
            raise error from err
        say(f"Written to {output}: {len(bytes(got))} bytes.")
    result = {**got.as_dict(), "cost": None}
    if output is not None:
        result["file"] = str(output)
    try:
        cost = request.cost()
    except (NoNetwork, RequestPending) as err:  # an endpoint can lag behind
        click.echo(f"What it cost is not known: {err}", err=True)
        return result
    click.echo(f"It cost {cost}.", err=True)
    return {**result, "cost": cost.as_dict()}


def _show_worst_case(purchase: Purchase) -> None:
    drafts = list(purchase.drafts.values())
    first, count = drafts[0], len(drafts)
    paid_from = (
        f"session {first.session_id}, which has {purchase.funds}"
        if first.session_id is not None
        else f"a new session with {purchase.funds}; the rest is refunded"
    )
    most = f"{purchase.max_cost}" if count == 1 else f"{purchase.max_cost} for {count} requests"
    asked = sum(draft.bytes_asked for draft in drafts)
    names = [node.name for node in first.nodes] + list(first.routing.namespaces)
    for name, value in {
        "model": first.model.name,
        "nodes": ", ".join(names),
        "fee": f"{first.fee_per_byte} for each byte; {asked} bytes are asked",
        "worst case": f"{most}, and gas",
        "paid from": paid_from,
    }.items():
        click.echo(f"{name:>10}  {value}", err=True)
