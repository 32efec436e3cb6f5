"""``ape dtn rehearse``: the effect of a transaction, tried on a copy of the chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ape_dtn._cli.command import choose_account, dtn_command, exit_with
from ape_dtn._cli.json_fields import rehearsal_fields
from ape_dtn._cli.json_output import print_json
from ape_dtn._cli.screen import say, show_error, table, working

if TYPE_CHECKING:
    from ape_dtn.node.answering import Backend, Question
    from ape_dtn.rehearsal.report import Change, RehearsalResult, RehearsedRequest, Step


@dtn_command("rehearse")
@click.argument("contract")
@click.argument("method")
@click.argument("args", nargs=-1)
@click.option(
    "--account", "sender", metavar="ALIAS", help="The sender: an alias, or any address at all."
)
@click.option(
    "--value",
    default="0",
    show_default=True,
    help="Native currency to send with it, as in '0.1 ether'.",
)
@click.option("--gas-limit", type=click.IntRange(min=21_000), help="Gas limit of the transaction.")
@click.option(
    "--abi",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the contract's ABI, if Ape does not know it.",
)
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="TEXT",
    help="Answer of the node: text, 0x…, or @FILE. Several are given in order.",
)
@click.option(
    "--fail", "failures", multiple=True, metavar="MESSAGE", help="Failure of the node instead."
)
@click.option("--backend", help="Backend that gives real answers. By default an echo.")
@click.option(
    "--as-node",
    metavar="NAME",
    help="Answer as this node; the rehearsal registers and activates it if necessary.",
)
@click.option(
    "--depth",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="How deep requests of callbacks are followed.",
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

    CONTRACT is an address, a contract of the project (its latest deployment), or NAME:ADDRESS.
    METHOD is the name or signature of a function. ARGS are typed as in Ape: amounts as '1.5 ether',
    addresses as aliases, arrays and structs as JSON. If one begins with a dash, put -- before them.

    The account sends the transaction on the copy, a node answers each request that it makes, and
    the callbacks run with their real gas. Nothing is signed, and nothing is sent to the chain
    itself. The exit code is that of the first failure.

    \b
      ape dtn rehearse 0x… ask "What is two and two?" --account alice --value 200000
      ape dtn rehearse Oracle ask "Hello?" --account alice --answer "no" --json
      ape dtn rehearse Oracle:0x… ask "Hello?" --account 0x… --fail "the model is down"
    """  # noqa: D301 (click wants the character)
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.rehearsal import typed
    from ape_dtn.rehearsal.rehearsal import DtnRehearsal

    if sum(map(bool, (answers, failures, backend))) > 1:
        raise click.UsageError("Give one of --answer, --fail and --backend.")
    account = typed.address_of(sender) if sender else choose_account(None)
    with ExitStack() as stack:
        rehearsal = DtnRehearsal(
            account,
            DtnAi(router),
            answers=[typed.answer_of(text) for text in answers],
            failures=failures,
            backend=_backend(stack, backend) if backend else None,
            as_node=as_node,
            depth=depth,
            on_progress=_spinner(stack),
        )
        call = typed.call(contract, method, args, abi)
        rehearsed = rehearsal.call(call, typed.amount_of(value), gas_limit)
    _show(rehearsed)
    if rehearsed.is_good:
        return rehearsal_fields(rehearsed)
    for failure in rehearsed.failures:
        show_error(failure, label="FAILED")
    print_json(rehearsal_fields(rehearsed))
    exit_with(rehearsed.failures[0])
    return None


def _backend(stack: ExitStack, chosen: str) -> Backend:
    """The backend of --backend, for all models."""
    from ape_dtn.node.backends import selection

    backends = stack.enter_context(selection.of(None, chosen))

    def ask(question: Question) -> Any:
        return backends(question.model)(question)

    return ask


def _spinner(stack: ExitStack) -> Callable[[str], None]:
    """A function that shows the current task until it is called with the next one."""
    current = stack.enter_context(ExitStack())

    def show(task: str) -> None:
        current.close()
        current.enter_context(working(task))

    return show


def _show(rehearsed: RehearsalResult) -> None:
    steps = [_step(step) for step in rehearsed.steps]
    table("Steps", ["step", "gas", "cost", "outcome"], steps)
    if rehearsed.requests:
        columns = ["request", "asked", "answer", "max cost", "charged", "callback"]
        table("Requests", columns, [_request(request) for request in rehearsed.requests])
    events = [[event.label, str(event)] for event in rehearsed.events]
    table("Events", ["contract", "event"], events)
    changes = [change for step in rehearsed.steps for change in step.changes]
    table(
        "Changes",
        ["contract", "value", "before", "after"],
        [change.row for change in changes if _is_for_people(change)],
    )
    for line in _notes(rehearsed, changes):
        say(line)


def _step(step: Step) -> list[str]:
    gas = f"{step.gas_used:,}" if step.gas_used is not None else ""
    cost = str(step.gas_cost) if step.gas_cost is not None else ""
    return [step.what, gas, cost, step.failure.message if step.failure else "ok"]


def _request(request: RehearsedRequest) -> list[str]:
    return [
        f"{request.id[:10]}…{request.id[-4:]}\n{request.model}",
        request.text if request.text is not None else "cannot be decoded by the model's API",
        _answer(request),
        str(request.max_cost),
        str(request.charged or ""),
        _callback(request),
    ]


def _answer(request: RehearsedRequest) -> str:
    if request.node is None:
        return request.failure.message if request.failure else "not answered: it is too deep"
    return f"{request.status.name.lower()}: {request.answer or ''}\nby {request.node}"


def _callback(request: RehearsedRequest) -> str:
    callback = request.callback
    if callback is None:
        return "none"
    used = "" if callback.gas_used is None else f"{callback.gas_used:,} of "
    outcome = callback.failure.reason if callback.failure else "ok"
    return f"{callback.what}: {outcome}\n{used}{callback.gas_limit:,} gas"


def _is_for_people(change: Change) -> bool:
    """Leaves out the storage of the network's own contracts: a request changes a dozen slots."""
    network = ("router", "session manager", "node manager", "model manager", "fee token")
    return change.kind != "storage" or change.label not in network


def _notes(rehearsed: RehearsalResult, changes: list[Change]) -> Iterator[str]:
    hidden = sum(not _is_for_people(change) for change in changes)
    if hidden:
        yield f"{hidden} storage slots of the network's own contracts changed; see --json."
    if rehearsed.max_cost is not None:
        cost = rehearsed.charged if rehearsed.charged is not None else "nothing"
        yield f"The max cost of the answers is {rehearsed.max_cost}; these cost {cost}."
    where = f"a copy of {rehearsed.network} after block {rehearsed.block}"
    yield f"Rehearsed on {where}: nothing was sent."
