"""``ape dtn node …``: register, inspect and run a node."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from ape_dtn._cli.command import (
    DtnGroup,
    Interrupted,
    account_choice,
    choose_signer,
    confirm,
    dtn_command,
    signed,
    unlock,
    yes_option,
)
from ape_dtn._cli.inputs import address_of
from ape_dtn._cli.json_fields import event_fields
from ape_dtn._cli.json_output import print_json, print_json_lines
from ape_dtn._cli.screen import escape_log_record, note, say, terminal, working
from ape_dtn.types.polling import POLICY

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.client.ai import DtnAi
    from ape_dtn.network.registry import Node
    from ape_dtn.node.answering import Backend, Store
    from ape_dtn.node.events import Event
    from ape_dtn.node.node import DtnNode
    from ape_dtn.node.registration import Step
    from ape_dtn.types.amount import Token


@click.group(cls=DtnGroup, short_help="Run a node: answer requests and be paid")
def node() -> None:
    """Run a node: answer requests and be paid.

    A node belongs to the account that registered it. Its worker, which can be another account,
    sends the answers and is paid for them.

    \b
      ape dtn node register node.alice.first --model model.system.openai-gpt-5-nano --account alice
      ape dtn node serve node.alice.first --worker alice
    """  # noqa: D301 (click wants the character)


@dtn_command("register")
@signed
@click.argument("name", metavar="NODE")
@click.option(
    "--worker",
    metavar="TEXT",
    help="The account that answers and is paid, by its address or alias. By default --account.",
)
@click.option(
    "--model", "models", multiple=True, help="Full name of a model that it serves; repeatable."
)
def register(
    name: str,
    worker: str | None,
    models: tuple[str, ...],
    account: AccountAPI | None,
    skip_confirmation: bool,
    router: str | None,
) -> dict[str, Any]:
    """Register a node by its full name, such as node.alice.first.

    Registers the user name in it (alice) too, if it is free. What is registered already is not sent
    again. With --model, the node serves exactly those models.
    """
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.node.registration import registration_steps

    account = choose_signer(account)
    ai = DtnAi(router)
    address = address_of(worker) if worker else str(account.address)
    steps = registration_steps(ai, account, name, address, models)
    sent = _send(ai, account, steps, skip_confirmation)
    say(f"{name} is registered.")
    return {**_node_fields(ai, ai.node(name)), "transactions": sent}


@dtn_command("models")
@account_choice(help="The account that owns the node, to change its models.")
@yes_option
@click.argument("name", metavar="NODE")
@click.option("--add", multiple=True, metavar="MODEL", help="Serve this model too; repeatable.")
@click.option(
    "--remove", multiple=True, metavar="MODEL", help="No longer serve this model; repeatable."
)
@click.option(
    "--set", "exactly", multiple=True, metavar="MODEL", help="Serve only this model; repeatable."
)
def models(
    name: str,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    exactly: tuple[str, ...],
    account: AccountAPI | None,
    skip_confirmation: bool,
    router: str | None,
) -> dict[str, Any]:
    """List the models that a node serves, or change them.

    \b
      ape dtn node models node.alice.first
      ape dtn node models node.alice.first --add model.system.openai-gpt-5 --account alice
    """  # noqa: D301 (click wants the character)
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.node.registration import model_steps

    if exactly and (add or remove):
        raise click.UsageError("Give either --set, or --add and --remove.")
    ai = DtnAi(router)
    sent: list[str] = []
    if add or remove or exactly:
        account = choose_signer(account, "the account that owns the node")
        steps = model_steps(ai, account, name, add, remove, exactly or None)
        sent = _send(ai, account, steps, skip_confirmation)
    shown = _node_fields(ai, ai.node(name))
    for model in shown["models"]:
        say(model)
    return {**shown, "transactions": sent}


@dtn_command("status")
@account_choice(help="The account that owns the node, to change its state.")
@yes_option
@click.argument("name", metavar="NODE")
@click.option(
    "--active/--inactive",
    default=None,
    help="Activate or deactivate the node. An inactive node is not paid.",
)
def status(
    name: str,
    active: bool | None,
    account: AccountAPI | None,
    skip_confirmation: bool,
    router: str | None,
) -> dict[str, Any]:
    """Show a node: owner, models, pending requests, earnings."""
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.node.registration import status_steps
    from ape_dtn.node.status import count_pending, native_balance, total_earned
    from ape_dtn.requests.gas import native_currency

    ai = DtnAi(router)
    sent: list[str] = []
    if active is not None:
        account = choose_signer(account, "the account that owns the node")
        sent = _send(ai, account, status_steps(ai, account, name, active), skip_confirmation)
    found = ai.node(name)
    contracts = ai.contracts()
    token = ai.token(contracts)
    earned = total_earned(ai, contracts, found.worker)
    balance = native_balance(ai, found.worker)
    shown = {
        **_node_fields(ai, found),
        "worker_balance": native_currency(ai.provider).units(balance),
        "trusted_until": {
            "0x" + namespace.hex(): _time(until) for namespace, until in found.namespaces.items()
        },
        "pending": count_pending(ai, name),
        "earned": None if earned is None else token.units(earned),
    }
    _show_status(shown)
    return {**shown, "transactions": sent}


@dtn_command("serve")
@click.argument("name", metavar="NODE")
@account_choice("--worker", help="The account of the node's worker, by its alias.")
@click.option(
    "--backend",
    metavar="TEXT",
    help="Backend for all models, such as echo or command:./answer.sh. By default those under "
    "`dtn: backends:` in ape-config.yaml.",
)
@click.option(
    "--ipfs-store",
    metavar="TEXT",
    help="Where answers are stored on IPFS. By default that of `dtn: ipfs_store:`.",
)
@click.option(
    "--minimum-fee",
    default="0",
    show_default=True,
    help="Lowest fee per byte to accept, in the fee token. Requests with a lower fee wait.",
)
@click.option(
    "--at-once",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Number of requests to answer at the same time.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="Seconds after which a backend has failed.",
)
@click.option(
    "--metrics",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Serve Prometheus metrics on http://127.0.0.1:PORT/metrics; 0 picks a free port.",
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

    Open requests are read from the chain, and each is answered once, also after a crash, and by
    several processes of one node. The first Ctrl-C completes what is being sent; the second one
    stops at once. With --json, each line is an event.

    \b
      ape dtn node serve node.alice.first --worker alice --backend command:./answer.sh
    """  # noqa: D301 (click wants the character)
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.node.errors import NotTheWorker
    from ape_dtn.node.node import DtnNode
    from ape_dtn.node.queue import AcceptanceTerms
    from ape_dtn.node.store import open_ledger

    print_json_lines()
    worker = choose_signer(worker, "the node's worker")
    ai = DtnAi(router)
    found = ai.node(name)
    if found.worker != str(worker.address):
        raise NotTheWorker(name, found.worker, str(worker.address))
    token = ai.token()
    terms = AcceptanceTerms(token.amount(minimum_fee, zero=True).units)
    with contextlib.ExitStack() as stack:
        running = DtnNode(
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

            port = stack.enter_context(serve_metrics(running, token.decimals, metrics))
            note(f"Metrics are at http://127.0.0.1:{port}/metrics")
        stack.enter_context(_printing_events(running, token))
        stop = stack.enter_context(stopping())
        note(f"{name} answers. Press Ctrl-C to stop it.")
        try:
            running.serve(stop)
        except KeyboardInterrupt as err:
            hint = "Run it again to answer the requests that are still open, each once."
            raise Interrupted(err, hint) from err
    note(f"{name} is stopped.")


@contextlib.contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Yields a function that is true after the first Ctrl-C or SIGTERM. A second one interrupts."""
    signalled = threading.Event()
    first = 0.0

    def on_signal(*_: object) -> None:
        nonlocal first
        if signalled.is_set() and time.monotonic() - first > POLICY.signal_debounce:
            raise KeyboardInterrupt
        first = first or time.monotonic()
        signalled.set()

    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield signalled.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextlib.contextmanager
def _printing_events(running: DtnNode, token: Token) -> Iterator[None]:
    """Prints the events of a node: drawn on a terminal, as lines elsewhere, as JSON with --json."""
    details = logging.StreamHandler()
    details.addFilter(lambda record: not hasattr(record, "event"))  # events are printed already
    details.addFilter(escape_log_record)
    log = logging.getLogger("ape_dtn.node")
    log.addHandler(details)
    try:
        if screen := terminal():
            from ape_dtn.node.console import show_console

            with show_console(running, token, screen):
                yield
        else:
            from ape_dtn.requests.gas import native_currency

            native = native_currency(running.ai.provider)
            running.listeners.append(lambda event: _print(event, token, native))
            yield
    finally:
        log.removeHandler(details)


def _print(event: Event, token: Token, native: Token) -> None:
    say(str(event))
    print_json(event_fields(event, token, native))


@contextlib.contextmanager
def _backend(ai: DtnAi, served: Node, chosen: str | None) -> Iterator[Backend]:
    """The backend of each model that the node serves.

    If a backend is not available yet, a warning is printed, and the node serves all the same.
    """
    from ape_dtn.node.backends import selection
    from ape_dtn.node.queue import read_models

    models = read_models(ai, served.models, ai.contracts()).values()
    with selection.of(ai.config.backends, chosen) as backends:
        with working("Checking the backends"):
            health_problems = backends.health_problems(model.name for model in models)
        for model, problem in health_problems.items():
            note(f"{model}: {problem}")
        yield lambda question: backends(question.model)(question)


@contextlib.contextmanager
def _store(ai: DtnAi, chosen: str | None) -> Iterator[Store | None]:
    """The IPFS store for answers, if there is one."""
    from ape_dtn.ipfs import content_store

    with content_store.opened(chosen or ai.config.ipfs_store) as store:
        if store and store.gateway:
            note(f"IPFS gateway: {store.gateway}")
        yield store


def _send(ai: DtnAi, account: AccountAPI, steps: Sequence[Step], yes: bool) -> list[str]:
    """Sends the missing transactions after a confirmation; returns their hashes."""
    from ape_dtn.node.registration import send_steps

    if not steps:
        say("There is nothing to send.")
        return []
    for step in steps:
        say(f"  {step.description}")
    count = f"{len(steps)} transaction{'s' * (len(steps) > 1)}"
    confirm(f"Send {count} from {account.address}?", account, yes)
    with working("Sending"):
        return [receipt.transaction for receipt in send_steps(ai, account, steps)]


def _node_fields(ai: DtnAi, found: Node) -> dict[str, Any]:
    from ape_dtn.node.queue import read_models

    names = ai.names()
    served = read_models(ai, found.models, ai.contracts())
    return {
        "name": found.name,
        "id": found.id,
        "owner": found.owner,
        "worker": found.worker,
        "is_active": found.is_active,
        "models": [
            served[model_id].name if model_id in served else names.of(model_id)
            for model_id in found.models
        ],
    }


def _show_status(shown: dict[str, Any]) -> None:
    balance, earned = shown["worker_balance"], shown["earned"]
    for title, text in (
        ("owner", shown["owner"]),
        ("worker", shown["worker"]),
        ("balance", f"{balance}" + ("" if balance else ": the worker cannot pay for gas")),
        ("active", "yes" if shown["is_active"] else "no"),
        ("models", ", ".join(shown["models"]) or "none"),
        ("trusted by", ", ".join(shown["trusted_until"]) or "its name alone"),
        ("pending", shown["pending"]),
        ("earned", "not known: the endpoint limits its logs" if earned is None else earned),
    ):
        say(f"{title:>10}  {text}")


def _time(seconds: int) -> datetime | str:
    """A timestamp from a contract, which can be any number."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc)
    except (OverflowError, ValueError, OSError):
        return str(seconds)


for command in (register, models, status, serve):
    node.add_command(command)
