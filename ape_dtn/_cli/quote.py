"""``ape dtn quote``: the cost of a request before it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ape_dtn._cli.command import account_choice, dtn_command
from ape_dtn._cli.inputs import input_options, to_inputs, to_prompts
from ape_dtn._cli.json_fields import quote_fields
from ape_dtn._cli.options import DEFAULT_MODEL, FEE_HELP, MAX_COST_HELP, NODE_HELP
from ape_dtn._cli.screen import say, table

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.requests.quote import Quote


@dtn_command("quote")
@click.argument("prompt", nargs=-1)
@click.option(
    "--model",
    "models",
    multiple=True,
    help=f"Full name of a model; repeatable. By default as configured, else {DEFAULT_MODEL}.",
)
@click.option(
    "--direct/--ipfs",
    "is_direct",
    default=None,
    help="Whether the answer is stored on chain or on IPFS. By default, both are quoted.",
)
@click.option("--session", "session_id", type=int, help="The session that would pay.")
@account_choice(help="The account that would sign, by its alias.")
@input_options
@click.option("--node", "nodes", multiple=True, help=NODE_HELP)
@click.option(
    "--answer-bytes",
    type=click.IntRange(min=0),
    help="Expected size of the answer. By default the median of the model's latest answers.",
)
@click.option("--fee-per-byte", help=FEE_HELP)
@click.option("--max-cost", "max_cost", help=MAX_COST_HELP)
def quote(
    prompt: tuple[str, ...],
    models: tuple[str, ...],
    is_direct: bool | None,
    session_id: int | None,
    account: AccountAPI | None,
    inputs: dict[str, str],
    values: tuple[str, ...],
    nodes: tuple[str, ...],
    answer_bytes: int | None,
    fee_per_byte: str | None,
    max_cost: str | None,
    router: str | None,
) -> dict[str, Any]:
    """Show the cost of PROMPT. Nothing is signed or sent.

    Several PROMPTs are the lines of one prompt. With --session, the gas is that of the request;
    with --account, also that of starting a session. The chain estimates it.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.requests.options import QuoteOptions
    from ape_dtn.requests.quote import BOTH, quote_inputs
    from ape_dtn.types.answer import CallType

    if not (prompt or inputs):
        raise click.UsageError("Give a PROMPT, or the inputs of the model with --input.")
    prompts = to_prompts(prompt, values)
    quotes = quote_inputs(
        DtnAi(router),
        lambda api: to_inputs(api, prompts, inputs),
        session_id,
        account,
        QuoteOptions(
            models=models or None,
            call_types=BOTH if is_direct is None else CallType(is_direct),
            answer_bytes=answer_bytes,
            nodes=nodes,
            fee_per_byte=fee_per_byte,
            max_cost=max_cost,
        ),
    )
    problems = [quote.problem for quote in quotes if quote.problem]
    if len(problems) == len(quotes):
        raise problems[0]
    _show(quotes)
    return {"quotes": [quote_fields(quote) for quote in quotes]}


def _show(quotes: list[Quote]) -> None:
    table(
        "Cost",
        ["model", "answer", "bytes", "expected", "max cost"],
        [_row(quote) for quote in quotes if not quote.problem],
    )
    # A note that holds for several quotes is printed once.
    for text in dict.fromkeys(text for quote in quotes for text in _notes(quote)):
        say(text)


def _row(quote: Quote) -> list[str]:
    gas = quote.gas
    return [
        quote.model,
        quote.call_type.name.lower(),
        f"{quote.bytes_asked:,} asked, {quote.bytes_answered:,} answered\n{_basis(quote)}",
        f"{quote.expected}\n+ {gas.expected}" if gas else str(quote.expected),
        f"{quote.max_cost}\n+ {gas.max_cost}" if gas else str(quote.max_cost),
    ]


def _basis(quote: Quote) -> str:
    from ape_dtn.requests.quote import Basis

    if quote.basis is Basis.ANSWERS:
        return f"median of {quote.answers_seen} answers"
    return "as given" if quote.basis is Basis.GIVEN else "by default: no answers yet"


def _notes(quote: Quote) -> Iterator[str]:
    if quote.problem:
        yield f"{quote.model} cannot be asked this: {quote.problem.message}"
    if quote.why_no_gas:
        yield f"The gas is not known: {quote.why_no_gas}"
    if quote.gas and "start" in quote.gas.used:
        yield "The gas is that of starting a session and of the request."
    if quote.balance is not None:
        covered = (
            f"which covers at least {quote.requests_at_max_cost} such requests"
            if quote.suffices
            else "less than the max cost"
        )
        yield f"Session {quote.session_id} has {quote.balance}, {covered}."
    if quote.over_limit:
        yield f"The request would be refused: {quote.over_limit.message}"
