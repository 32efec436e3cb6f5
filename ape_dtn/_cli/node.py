"""``ape dtn node …``: a node of one's own, registered, looked at and served."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
from ape.cli import account_option, skip_confirmation_option

from ape_dtn._cli.command import (
    Interrupted,
    choose_account,
    confirm,
    dtn_command,
    json_lines,
    print_json,
    say,
    signed,
    terminal,
    unlock,
    working,
)
from ape_dtn._cli.inputs import address_of
from ape_dtn.types.waiting import POLICY

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.client.ai import DtnAi
    from ape_dtn.network.registry import Node
    from ape_dtn.node.answering import Backend, Store
    from ape_dtn.node.events import Event
    from ape_dtn.node.node import DtnNode
    from ape_dtn.node.registration import Step
    from ape_dtn.types.amount import Amount, Token


@click.group(short_help="Run a node: answer requests and be paid")
def node() -> None:
    """Run a node: answer requests and be paid.

    A node belongs to the account that registered it. Its worker, which can be another account,
    answers and is paid.

    \b
      ape dtn node register node.alice.first --model model.system.openai-gpt-5-nano --account alice
      ape dtn node serve node.alice.first --worker alice
    """  # noqa: D301 (for click, it has to be the character)


yes_option = skip_confirmation_option(help="Ask nothing: not before sending, nor before signing.")


@dtn_command("register")
@signed
@click.argument("name", metavar="NODE")
@click.option(
    "--worker",
    metavar="TEXT",
    help="Who answers and is paid: an address or an alias; by default the account that signs.",
)
@click.option(
    "--model", "models", multiple=True, help="Full name of a model that it serves; any number."
)
def register(
    name: str,
    worker: str | None,
    models: tuple[str, ...],
    account: AccountAPI,
    skip_confirmation: bool,
    router: str | None,
) -> dict[str, Any]:
    """Register a node by its full name, as in node.alice.first.

    Its user is registered too, where nobody has that name yet. What is there already is not sent
    again. With --model it serves these models, and no others.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.node.registration import registration_steps

    ai = DtnAi(router)
    address = address_of(worker) if worker else str(account.address)
    steps = registration_steps(ai, account, name, address, models)
    sent = _take(ai, account, steps, skip_confirmation)
    say(f"{name} is registered.")
    return {**_registered(ai, ai.node(name)), "transactions": sent}


@dtn_command("models")
@account_option(prompt=None)
@yes_option
@click.argument("name", metavar="NODE")
@click.option("--add", multiple=True, metavar="MODEL", help="Serve this model too.")
@click.option("--remove", multiple=True, metavar="MODEL", help="Serve this model no more.")
@click.option("--set", "exactly", multiple=True, metavar="MODEL", help="Serve this one, no other.")
def models(
    name: str,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    exactly: tuple[str, ...],
    account: AccountAPI | None,
    skip_confirmation: bool,
    router: str | None,
) -> dict[str, Any]:
    """Show the models that a node serves, or change them.

    Each option can be given any number of times.

    \b
      ape dtn node models node.alice.first
      ape dtn node models node.alice.first --add model.system.openai-gpt-5 --account alice
    """  # noqa: D301 (for click, it has to be the character)
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.node.registration import model_steps

    if exactly and (add or remove):
        raise click.UsageError("Either --set, or --add and --remove.")
    ai = DtnAi(router)
    sent: list[str] = []
    if add or remove or exactly:
        account = account or choose_account("the account that owns the node")
        steps = model_steps(ai, account, name, add, remove, exactly or None)
        sent = _take(ai, account, steps, skip_confirmation)
    shown = _registered(ai, ai.node(name))
    for model in shown["models"]:
        say(model)
    return {**shown, "transactions": sent}


@dtn_command("status")
@account_option(prompt=None)
@yes_option
@click.argument("name", metavar="NODE")
@click.option(
    "--active/--inactive", default=None, help="Let it answer, or not. Inactive nodes are not paid."
)
def status(
    name: str,
    active: bool | None,
    account: AccountAPI | None,
    skip_confirmation: bool,
    router: str | None,
) -> dict[str, Any]:
    """Show a node: whose it is, what it serves, what waits for it, what it has earned."""
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.node.registration import status_steps
    from ape_dtn.node.status import count_pending, native_balance, total_earned

    ai = DtnAi(router)
    sent: list[str] = []
    if active is not None:
        account = account or choose_account("the account that owns the node")
        sent = _take(ai, account, status_steps(ai, account, name, active), skip_confirmation)
    found = ai.node(name)
    contracts = ai.contracts()
    token = ai.token(contracts)
    earned = total_earned(ai, contracts, found.worker)
    shown = {
        **_registered(ai, found),
        "worker_coin": native_balance(ai, found.worker),
        "trusted_until": {"0x" + each.hex(): until for each, until in found.namespaces.items()},
        "pending": count_pending(ai, name),
        "earned": None if earned is None else token.units(earned).as_dict(),
    }
    _say_status(shown, None if earned is None else token.units(earned))
    return {**shown, "transactions": sent}


@dtn_command("serve")
@click.argument("name", metavar="NODE")
@account_option("--worker", prompt=None)
@click.option(
    "--backend",
    metavar="TEXT",
    help="What answers, for all models, as in echo or command:./answer.sh; by default as `dtn: "
    "backends:` of ape-config.yaml says, model by model.",
)
@click.option(
    "--ipfs-store",
    metavar="TEXT",
    help="What keeps answers on IPFS; by default as `dtn: ipfs_store:` says.",
)
@click.option(
    "--minimum-fee",
    default="0",
    show_default=True,
    help="What has to be offered for each byte, in the fee token; requests below it wait.",
)
@click.option(
    "--at-once",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Answers that are waited for at a time.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds after which an answer has failed.",
)
@click.option(
    "--metrics",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve metrics for Prometheus on http://127.0.0.1:PORT/metrics; 0 for any free port.",
)
def serve(
    name: str,
    worker: AccountAPI | None,
    backend: str | None,
    ipfs_store: str | None,
    minimum_fee: str,
    at_once: int,
    timeout: float,
    metrics: int | None,
    router: str | None,
) -> None:
    """Answer requests until Ctrl-C.

    What is open is found on the chain and answered once, also where this was killed before, and by
    several processes with one node. A first Ctrl-C finishes what is being sent; a second stops at
    once. With --json, each line is an event.

    \b
      ape dtn node serve node.alice.first --worker alice --backend command:./answer.sh
    """  # noqa: D301 (for click, it has to be the character)
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.node.errors import NotTheWorker
    from ape_dtn.node.node import DtnNode
    from ape_dtn.node.queue import AcceptanceTerms
    from ape_dtn.node.store import open_ledger

    json_lines()
    worker = worker or choose_account("the node's worker")
    ai = DtnAi(router)
    found = ai.node(name)
    if found.worker != str(worker.address):
        raise NotTheWorker(name, found.worker, str(worker.address))
    token = ai.token()
    terms = AcceptanceTerms(token.amount(minimum_fee, zero=True).units)
    with contextlib.ExitStack() as stack:
        serving = DtnNode(
            ai,
            name,
            worker,
            stack.enter_context(_backend(ai, found, backend)),
            stack.enter_context(_store(ai, ipfs_store)),
            terms=terms,
            ledger=open_ledger(ai, found.id),
            at_once=at_once,
            timeout=timeout,
        )
        unlock(worker)
        if metrics is not None:
            from ape_dtn.node.metrics import serve_metrics

            port = stack.enter_context(serve_metrics(serving, token.decimals, metrics))
            click.echo(f"Metrics are at http://127.0.0.1:{port}/metrics", err=True)
        stack.enter_context(_telling(serving, token))
        stop = stack.enter_context(stopping())
        click.echo(f"{name} answers. Press Ctrl-C to stop it.", err=True)
        try:
            serving.serve(stop)
        except KeyboardInterrupt as err:
            raise Interrupted(err, "Served again, it answers what is open, once.") from err
    click.echo(f"{name} is stopped.", err=True)


@contextlib.contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Whether it is to stop: at the first Ctrl-C or SIGTERM. A second one interrupts."""
    told = threading.Event()
    first = 0.0

    def on_signal(*_: object) -> None:
        nonlocal first
        if told.is_set() and time.monotonic() - first > POLICY.signal_debounce:
            raise KeyboardInterrupt
        first = first or time.monotonic()
        told.set()

    before = {each: signal.signal(each, on_signal) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield told.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextlib.contextmanager
def _telling(serving: DtnNode, token: Token) -> Iterator[None]:
    """Shows all that happens: drawn on a terminal, line by line elsewhere, as JSON where asked."""
    details = logging.StreamHandler()
    details.addFilter(lambda record: not hasattr(record, "event"))  # those are shown already
    log = logging.getLogger("ape_dtn.node")
    log.addHandler(details)
    try:
        if screen := terminal():
            from ape_dtn.node.console import show_console

            with show_console(serving, token, screen):
                yield
        else:
            serving.listeners.append(_print)
            yield
    finally:
        log.removeHandler(details)


def _print(event: Event) -> None:
    say(str(event))
    print_json(event.as_dict())


@contextlib.contextmanager
def _backend(ai: DtnAi, served: Node, chosen: str | None) -> Iterator[Backend]:
    """What answers, by the model that is asked; for each that the node serves there has to be one.

    What is not there yet may come: that is told, and no reason not to serve.
    """
    from ape_dtn.node.backends import configured
    from ape_dtn.node.queue import read_models

    models = read_models(ai, served.models, ai.contracts()).values()
    with configured.of(ai.config.backends, chosen) as backends:
        with working("Looking at the backends"):
            health_problems = backends.health_problems(model.name for model in models)
        for model, health_check in health_problems.items():
            click.echo(f"{model}: {health_check}", err=True)
        yield lambda question: backends(question.model)(question)


@contextlib.contextmanager
def _store(ai: DtnAi, chosen: str | None) -> Iterator[Store | None]:
    """What keeps answers on IPFS, if anything does."""
    from ape_dtn.ipfs import content_store

    with content_store.opened(chosen or ai.config.ipfs_store) as store:
        if store and store.gateway:
            click.echo(f"What it keeps is served at {store.gateway}", err=True)
        yield store


def _take(ai: DtnAi, account: AccountAPI, steps: Sequence[Step], yes: bool) -> list[str]:
    """Sends what is missing, once it is confirmed; the hashes of what was sent."""
    from ape_dtn.node.registration import send_steps

    if not steps:
        say("Nothing has to be sent.")
        return []
    for step in steps:
        say(f"  {step.description}")
    count = f"{len(steps)} transaction{'s' * (len(steps) > 1)}"
    confirm(f"Send {count} from {account.address}?", account, yes)
    with working("Sending"):
        return [receipt.transaction for receipt in send_steps(ai, account, steps)]


def _registered(ai: DtnAi, found: Node) -> dict[str, Any]:
    names = ai.names()
    from ape_dtn.node.queue import read_models

    served = read_models(ai, found.models, ai.contracts())
    return {
        "name": found.name,
        "id": "0x" + found.id.hex(),
        "owner": found.owner,
        "worker": found.worker,
        "is_active": found.is_active,
        "models": [
            served[each].name if each in served else names.of(each) for each in found.models
        ],
    }


def _say_status(shown: dict[str, Any], earned: Amount | None) -> None:
    coin = shown["worker_coin"]
    for title, text in (
        ("owner", shown["owner"]),
        ("worker", shown["worker"]),
        ("coin", f"{coin / 10**18:.6f}" + ("" if coin else ": it cannot pay for gas")),
        ("active", "yes" if shown["is_active"] else "no"),
        ("models", ", ".join(shown["models"]) or "none"),
        ("trust", ", ".join(shown["trusted_until"]) or "by its name alone"),
        ("pending", shown["pending"]),
        ("earned", "not known here" if earned is None else earned),
    ):
        say(f"{title:>10}  {text}")


for command in (register, models, status, serve):
    node.add_command(command)
