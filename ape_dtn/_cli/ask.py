"""``ape dtn ask``, ``ask-many`` and ``answer``: from prompts to their answers."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from ape_dtn._cli.command import (
    Interrupted,
    choose_signer,
    confirm,
    dtn_command,
    exit_with,
    signed,
    unlock,
)
from ape_dtn._cli.hints import CommandHint, hint_for
from ape_dtn._cli.inputs import input_options, to_inputs, to_prompts
from ape_dtn._cli.json_fields import answer_fields
from ape_dtn._cli.json_output import print_json
from ape_dtn._cli.options import request_options
from ape_dtn._cli.screen import note, progress, say, working
from ape_dtn._cli.session import key_option, method_option, show_plan, two_step_option
from ape_dtn.types.errors import BadInput, DtnError, NoNetwork

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ape.api.accounts import AccountAPI

    from ape_dtn.client.request import DtnRequest
    from ape_dtn.requests.options import Options
    from ape_dtn.requests.purchase import Purchase
    from ape_dtn.requests.sending import SentRequest
    from ape_dtn.types.amount import Amount
    from ape_dtn.types.answer import Answer
    from ape_dtn.types.ids import Names


timeout_option = click.option(
    "--timeout", default=120.0, show_default=True, help="Seconds to wait for the answer."
)
confirmations_option = click.option(
    "--confirmations",
    type=click.IntRange(min=0),
    help="Blocks that must follow the block of an answer. By default as configured, else 0.",
)
output_option = click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the answer, such as an image, to this file instead of printing it.",
)


@dtn_command("ask")
@signed
@click.argument("prompt", nargs=-1)
@input_options
@click.option("--session", "session_id", type=int, help="Pay from this open session of yours.")
@click.option(
    "--deposit",
    help="Amount that a new session is opened with. By default the max cost of the answer.",
)
@click.option("--keep", is_flag=True, help="Leave the new session open.")
@request_options
@timeout_option
@confirmations_option
@output_option
@method_option
@two_step_option
@key_option
def ask(
    prompt: tuple[str, ...],
    account: AccountAPI | None,
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
    """Send PROMPT to a model, wait for the answer and print it.

    Several PROMPTs are the lines of one prompt. Without --session, a session is opened for this
    request, then closed and refunded. The max cost is shown before anything is sent.

    \b
      ape dtn ask "What is two and two?"
      ape dtn ask "Is {0:address} older than {1:uint8}?" --value 0x… --value 26
      ape dtn ask "A cat" --model model.system.openai-gpt-image-1 \\
          --input width=1024 --input height=1024 --output cat.png
    """  # noqa: D301 (click wants the character)
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.requests.purchase import Keys, NewSession, prepare

    session_id = session_id or None  # in the contracts, 0 stands for no session
    if session_id is not None and (deposit or keep):
        raise click.UsageError("--deposit and --keep are for a new session, not for --session.")
    if not (prompt or inputs):
        raise click.UsageError("Give a PROMPT, or the inputs of the model with --input.")
    if output is not None and not output.parent.is_dir():
        raise click.UsageError(f"There is no folder {output.parent} to write {output.name} to.")
    account = choose_signer(account)
    ai = DtnAi(router)
    model_inputs: Sequence[Any] = to_prompts(prompt, values)
    if inputs:
        api = ai.model(options.get("model") or ai.config.model).api
        model_inputs = to_inputs(api, model_inputs, inputs)
    if key is not None and skip_confirmation:
        unlock(account)  # `prepare` may finish an interrupted operation
    payer = session_id or NewSession(deposit or None, method, unsafe_two_step)
    purchase = prepare(ai, account, [model_inputs], options, payer, Keys.of_steps(key))
    if purchase.drafts:
        if purchase.plan:
            show_plan(purchase.plan, ai)
        _show_max_cost(purchase)
        confirm("Send it?", account, skip_confirmation)
    if purchase.plan:
        with working("Depositing and starting the session"):
            purchase.open()
        assert purchase.opened is not None
        note(f"Session {purchase.session_id} is open with {purchase.opened.balance}.")
    wait = {"timeout": timeout, "confirmations": confirmations}
    return _send_and_finish(purchase, wait, output, close=session_id is None and not keep)


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
    account: AccountAPI | None,
    skip_confirmation: bool,
    session_id: int,
    options: Options,
    timeout: float,
    confirmations: int | None,
    key: str | None,
    router: str | None,
) -> dict[str, Any] | None:
    """Send every line of FILE as a prompt of its own, all at once.

    FILE is - for standard input. The answers are printed in the order of the lines. A failure of
    one request does not affect the others: its error is printed in place of its answer, and the
    exit code is that of the first error.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.requests.purchase import Keys, prepare

    lines = [line.rstrip("\n") for line in prompts if line.strip()]
    if not lines:
        raise click.UsageError("There is no prompt in FILE.")
    account = choose_signer(account)
    if key is not None and skip_confirmation:
        unlock(account)  # finishing an interrupted operation signs
    ai = DtnAi(router)
    keys = Keys.of_requests(key, len(lines))
    purchase = prepare(ai, account, [[line] for line in lines], options, session_id, keys)
    if purchase.drafts:
        _show_max_cost(purchase)
        confirm(f"Send {len(purchase.drafts)} requests?", account, skip_confirmation)
    later = (
        f"`ape dtn session history {session_id}` lists what was sent, and `ape dtn watch --session "
        f"{session_id}` prints its answers."
    )
    try:
        with progress("Sending the requests", len(lines)) as advance:
            sent = purchase.send_each(lambda _index, _sent: advance())
        with working(f"Waiting for {len(sent)} answers"):
            outcomes = purchase.wait(timeout, confirmations)
    except (KeyboardInterrupt, SystemExit) as err:
        raise Interrupted(err, later, session_id=session_id) from err
    except DtnError as err:
        err.hint = CommandHint(f"{hint_for(err) or ''} {later}".strip())
        raise
    names = ai.names()
    result = {
        "answers": [
            _outcome_fields(line, request, outcome, names)
            for line, request, outcome in zip(lines, sent, outcomes, strict=True)
        ]
    }
    for line, outcome in zip(lines, outcomes, strict=True):
        say(f"{line}\n  {outcome.message if isinstance(outcome, DtnError) else outcome.text}")
    failed = [outcome for outcome in outcomes if isinstance(outcome, DtnError)]
    if not failed:
        return result
    note(f"{len(failed)} of {len(lines)} requests have no answer.")
    print_json(result)
    exit_with(failed[0])
    return None


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

    If there is none yet, waits for it.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.client.request import DtnRequest

    request = DtnRequest.load(request_id, DtnAi(router))
    with working("Waiting for the answer"):
        found = request.wait(timeout, confirmations)
    return _print_answer(request, found, output)


def _outcome_fields(
    line: str, sent: SentRequest | DtnError, outcome: Answer | DtnError, names: Names
) -> dict[str, Any]:
    request_id = None if isinstance(sent, DtnError) else sent.id
    if isinstance(outcome, DtnError):
        return {"prompt": line, "request": request_id, "error": outcome}
    return {"prompt": line, **answer_fields(outcome, names), "error": None}


def _send_and_finish(
    purchase: Purchase, wait: dict[str, Any], output: Path | None, *, close: bool
) -> dict[str, Any]:
    """Sends the request, waits, and closes the session; an error says what is left to do."""
    from ape_dtn.client.request import to_request

    result: dict[str, Any] = {"session": purchase.session_id}
    commands = [f"`ape dtn session close {purchase.session_id}`"] if close else []
    is_new = bool(purchase.drafts)
    try:
        with working("Sending the request"):
            request = to_request(purchase.ai, purchase.send())
        if is_new:
            note(f"Request {request.id} is sent.")
        else:
            note(f"Request {request.id} was sent under this key before. Nothing is sent again.")
        result["request"] = request.id
        commands.insert(0, f"`ape dtn answer {request.id}`")
        try:
            with working("Waiting for the answer"):
                (found,) = purchase.wait(**wait)
            if isinstance(found, DtnError):
                raise found
            result |= _print_answer(request, found, output)
        finally:
            # A request with an answer of any kind is complete: nothing is lost by closing.
            if close and purchase.is_answered():
                del commands[0]
                result["refund"] = _close(purchase)
                commands.clear()
    except BaseException as err:
        raise _unfinished(err, commands, result) from err
    return result


def _close(purchase: Purchase) -> Amount:
    with working("Closing the session"):
        refund = purchase.close()
    note(f"Session {purchase.session_id} is closed. Refunded: {refund}.")
    return refund


def _unfinished(
    err: BaseException, commands: Sequence[str], result: dict[str, Any]
) -> BaseException:
    """The error, with what was reached so far and the commands that finish the rest."""
    from ape_dtn.network.errors import RequestPending

    if isinstance(err, KeyboardInterrupt | SystemExit):
        err = Interrupted(err)
    hint = f"Session {result['session']} stays open." if "refund" not in result else ""
    if commands:
        hint += f" To finish: {' and then '.join(commands)}."
    if not isinstance(err, DtnError):
        note(hint)
        return err
    kept = "" if isinstance(err, RequestPending | NoNetwork) else hint_for(err) or ""
    err.hint = CommandHint(f"{kept} {hint}".strip())
    field_names = {"session": "session_id", "request": "request_id"}
    err.fields |= {field_names.get(name, name): value for name, value in result.items()}
    return err


def _print_answer(request: DtnRequest, answer: Answer, output: Path | None) -> dict[str, Any]:
    from ape_dtn.network.errors import RequestPending

    if answer.callback_error:
        note(answer.callback_error.message)
    if output is None:
        say(answer.text)
    else:
        try:
            answer.save(output)
        except OSError as err:
            error = BadInput(f"The answer cannot be written to {output}: {err.strerror}.")
            error.hint = CommandHint(f"To print it: `ape dtn answer {request.id}`.")
            raise error from err
        say(f"Written to {output}: {len(bytes(answer))} bytes.")
    result = {**answer_fields(answer, request.ai.names()), "cost": None}
    if output is not None:
        result["file"] = output
    try:
        cost = request.cost()
    except (NoNetwork, RequestPending) as err:  # an endpoint can lag behind
        note(f"The cost is not known yet: {err}")
        return result
    note(f"It cost {cost}.")
    return {**result, "cost": cost}


def _show_max_cost(purchase: Purchase) -> None:
    drafts = list(purchase.drafts.values())
    first, count = drafts[0], len(drafts)
    paid_from = (
        f"session {first.session_id}, which has {purchase.funds}"
        if first.session_id is not None
        else f"a new session with {purchase.funds}; the rest is refunded"
    )
    max_cost = f"{purchase.max_cost}" if count == 1 else f"{purchase.max_cost} for {count} requests"
    size = sum(draft.bytes_asked for draft in drafts)
    names = [node.name for node in first.nodes] + list(first.routing.namespaces)
    for name, value in {
        "model": first.model.name,
        "nodes": ", ".join(names),
        "fee": f"{first.fee_per_byte} per byte; the request has {size} bytes",
        "max cost": f"{max_cost}, plus gas",
        "paid from": paid_from,
    }.items():
        note(f"{name:>10}  {value}")
