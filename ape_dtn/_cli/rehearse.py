"""``ape dtn rehearse``: what a transaction would do, tried on a copy of the chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ape_dtn._cli.command import choose_account, dtn_command, print_json, say, table, working

if TYPE_CHECKING:
    from ape_dtn.node.answering import Backend, Question
    from ape_dtn.rehearsal.report import Asked, Change, Rehearsed, Step


@dtn_command("rehearse")
@click.argument("contract")
@click.argument("method")
@click.argument("args", nargs=-1)
@click.option("--account", "sender", metavar="ALIAS", help="Who sends it: an alias or any address.")
@click.option("--value", default="0", help="The coin that goes with it, as in '0.1 ether'.")
@click.option("--gas-limit", type=click.IntRange(min=21_000), help="The gas that it may use.")
@click.option(
    "--abi",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the contract's ABI, where Ape does not know it.",
)
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="TEXT",
    help="What the node answers: text, 0x…, or @FILE. Several are taken in order.",
)
@click.option(
    "--fail", "failures", multiple=True, metavar="MESSAGE", help="What it fails with instead."
)
@click.option("--backend", help="What it asks for real answers; by default, an echo.")
@click.option(
    "--as-node", metavar="NAME", help="Play this node, registered and switched on if need be."
)
@click.option(
    "--depth",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="How deep callbacks may ask in callbacks.",
)
def rehearse(
    contract: str,
    method: str,
    args: tuple[str, ...],
    sender: str | None,
    value: str,
    gas_limit: int | None,
    abi: Path | None,
    answers: tuple[str, ...],
    failures: tuple[str, ...],
    backend: str | None,
    as_node: str | None,
    depth: int,
    router: str | None,
) -> dict[str, Any] | None:
    """Try a call and its callbacks on a copy of the chain.

    CONTRACT is an address, a contract of the project, whose latest deployment is meant, or
    NAME:ADDRESS. METHOD is a function's name or signature. ARGS are as they are typed in Ape:
    amounts as '1.5 ether', addresses as aliases, and arrays and structs as JSON. Write -- before
    them if one begins with a dash.

    The transaction is sent there as the account, a node is played for each request that it makes,
    and the real callbacks run at their real gas. Nobody signs anything, and nothing is sent to the
    chain itself. What fails is told with its cause, and the exit code is that of the first.

    \b
      ape dtn rehearse 0x… ask "What is two and two?" --account alice --value 200000
      ape dtn rehearse Oracle ask "Hello?" --account alice --answer "no" --json
      ape dtn rehearse Oracle:0x… ask "Hello?" --account 0x… --fail "the model is down"
    """  # noqa: D301 (for click, it has to be the character)
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.rehearsal import typed
    from ape_dtn.rehearsal.rehearsal import DtnRehearsal

    if sum(map(bool, (answers, failures, backend))) > 1:
        raise click.UsageError("Give one of --answer, --fail and --backend.")
    account = typed.address_of(sender) if sender else choose_account("the account that sends")
    with ExitStack() as opened:
        rehearsal = DtnRehearsal(
            account,
            DtnAi(router),
            answers=[typed.answer_of(each) for each in answers],
            failures=failures,
            backend=_backend(opened, backend) if backend else None,
            as_node=as_node,
            depth=depth,
            told=_shown_in(opened),
        )
        call = typed.call(contract, method, args, abi)
        shown = rehearsal.call(call, typed.amount_of(value), gas_limit)
    _show(shown)
    if shown.is_good:
        return shown.as_dict()
    for failure in shown.failures:
        click.echo(f"{click.style('FAILED', fg='bright_red')}: {failure.message}", err=True)
        if failure.hint:
            click.echo(failure.hint, err=True)
    print_json(shown.as_dict())
    click.get_current_context().exit(shown.failures[0].exit_code)
    return None


def _backend(opened: ExitStack, chosen: str) -> Backend:
    """The backend that was chosen for all models."""
    from ape_dtn.node.backends import configured

    backends = opened.enter_context(configured.of(None, chosen))

    def ask(question: Question) -> Any:
        return backends(question.model)(question)

    return ask


def _shown_in(opened: ExitStack) -> Callable[[str], None]:
    """Shows what is being done, until the next thing is."""
    shown = opened.enter_context(ExitStack())

    def told(what: str) -> None:
        shown.close()
        shown.enter_context(working(what))

    return told


def _show(shown: Rehearsed) -> None:
    table("Steps", ["step", "gas", "cost", "outcome"], [_step(each) for each in shown.steps])
    if shown.requests:
        columns = ["request", "asked", "answer", "max cost", "charged", "callback"]
        table("Requests", columns, [_request(each) for each in shown.requests])
    table("Events", ["of", "event"], [[each.label, str(each)] for each in shown.events])
    changes = [change for step in shown.steps for change in step.changes]
    table(
        "Changes",
        ["of", "what", "before", "after"],
        [each.row for each in changes if _is_for_people(each)],
    )
    for line in _notes(shown, changes):
        say(line)


def _step(step: Step) -> list[str]:
    gas = f"{step.gas_used:,}" if step.gas_used is not None else ""
    cost = str(step.gas_cost) if step.gas_cost is not None else ""
    return [step.what, gas, cost, step.failure.message if step.failure else "ok"]


def _request(asked: Asked) -> list[str]:
    return [
        f"{asked.id[:10]}…{asked.id[-4:]}\n{asked.model}",
        asked.text if asked.text is not None else "what nobody can decode",
        _answer(asked),
        str(asked.max_cost),
        str(asked.charged or ""),
        _callback(asked),
    ]


def _answer(asked: Asked) -> str:
    if asked.node is None:
        return asked.failure.message if asked.failure else "not answered: it is too deep"
    return f"{asked.status.name.lower()}: {asked.answer or ''}\nby {asked.node}"


def _callback(asked: Asked) -> str:
    found = asked.callback
    if found is None:
        return "none"
    used = "" if found.gas_used is None else f"{found.gas_used:,} of "
    outcome = found.failure.reason if found.failure else "ok"
    return f"{found.what}: {outcome}\n{used}{found.gas_limit:,} gas"


def _is_for_people(change: Change) -> bool:
    """Not the slots of the network's own contracts, of which each request fills a dozen."""
    network = ("router", "session manager", "node manager", "model manager", "fee token")
    return change.kind != "storage" or change.label not in network


def _notes(shown: Rehearsed, changes: list[Change]) -> Iterator[str]:
    hidden = sum(not _is_for_people(each) for each in changes)
    if hidden:
        yield f"{hidden} slots of the network's own contracts changed; --json has them."
    if shown.max_cost is not None:
        cost = shown.charged if shown.charged is not None else "nothing"
        yield f"The answers may cost {shown.max_cost} at most; these cost {cost}."
    yield f"Rehearsed on a copy of {shown.network} after block {shown.block}: nothing was sent."
