"""``ape dtn quote``: what a request would cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from ape.cli import account_option

from ape_dtn._cli.command import dtn_command, say, table
from ape_dtn._cli.inputs import input_options, to_inputs, to_prompts

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.requests.quote import Quote


@dtn_command("quote")
@click.argument("prompt", nargs=-1)
@click.option("--model", "models", multiple=True, help="Full name of a model; any number of them.")
@click.option(
    "--direct/--ipfs", "is_direct", default=None, help="How the answer travels; by default, both."
)
@click.option("--session", "session_id", type=int, help="The session that would pay.")
@account_option(prompt=None)
@input_options
@click.option("--node", "nodes", multiple=True, help="Full name of a node that may answer.")
@click.option(
    "--answer-bytes",
    type=click.IntRange(min=0),
    help="How long the answer will be. By default, as the model's answers were lately.",
)
@click.option("--fee-per-byte", help="Offered for each byte, asked and answered.")
@click.option("--max-cost", "max_cost", help="The most that the answer may cost.")
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
) -> list[dict[str, Any]]:
    """Show what it would cost to ask PROMPT.

    Several PROMPTs are the lines of one. Nothing is signed or sent. The gas is the chain's own
    estimate. It is told for --session, or for an --account that would have to start one first.
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
    problems = [each.problem for each in quotes if each.problem]
    if len(problems) == len(quotes):
        raise problems[0]
    _show(quotes)
    return [each.as_dict() for each in quotes]


def _show(quotes: list[Quote]) -> None:
    table(
        "What it would cost",
        ["model", "answer", "bytes", "expected", "max cost"],
        [_row(each) for each in quotes if not each.problem],
    )
    # What holds for several of them is told once.
    for note in dict.fromkeys(note for each in quotes for note in _notes(each)):
        say(note)


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
        return f"the middle of {quote.answers_seen} seen"
    return "as you say" if quote.basis is Basis.GIVEN else "by default: none was seen"


def _notes(quote: Quote) -> Iterator[str]:
    if quote.problem:
        yield f"{quote.model} cannot be asked this: {quote.problem.message}"
    if quote.why_no_gas:
        yield f"The gas is not known: {quote.why_no_gas}"
    if quote.gas and "start" in quote.gas.used:
        yield "The gas is that of starting a session and of the request."
    if quote.balance is not None:
        enough = (
            f"enough for {quote.requests_at_max_cost} at their max cost"
            if quote.suffices
            else "less than one may cost"
        )
        yield f"Session {quote.session_id} has {quote.balance}, {enough}."
    if quote.over_limit:
        yield f"It would be refused: {quote.over_limit.message}"
