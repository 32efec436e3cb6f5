"""``ape dtn devnet``: a whole network on one machine."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ape_dtn._cli.command import dtn_command, print_json, say, table
from ape_dtn._cli.inputs import address_of
from ape_dtn._cli.local import token_choice, variant_choice
from ape_dtn.types.waiting import POLICY

if TYPE_CHECKING:
    from ape_dtn.devnet.devnet import Devnet


@dtn_command("devnet", network=None, deploys=True)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8545,
    show_default=True,
    help="Where the chain listens, on this machine alone.",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep the chain in this file, and go on with it the next time.",
)
@click.option(
    "--block-time",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="Mine a block so often; by default one for each transaction, at once.",
)
@click.option(
    "--accounts",
    type=click.IntRange(min=3),
    metavar="NUMBER",
    help="How many accounts get coin and tokens; by default as many as Ape tests with, ten.",
)
@click.option(
    "--fund",
    "funded",
    multiple=True,
    metavar="ACCOUNT",
    help="Give as much to an account of yours too: its alias, or any address. It need not be "
    "unlocked.",
)
@variant_choice(default=None, note=" By default reference.")
@token_choice(default=None, note=" By default usdt.")
@click.option(
    "--backend",
    metavar="TEXT",
    help="What the node answers with: as in `ape dtn node serve`. By default an echo.",
)
@click.option(
    "--fork",
    metavar="NETWORK",
    help="Start from a live chain: a network that Ape knows, as in `base`, or the URL of an "
    "endpoint.",
)
def devnet(
    port: int,
    state: Path | None,
    block_time: int | None,
    accounts: int | None,
    funded: tuple[str, ...],
    variant: str | None,
    test_token: str | None,
    backend: str | None,
    fork: str | None,
) -> None:
    """Run a whole network on this machine, until Ctrl-C.

    A chain (Anvil), the contracts, accounts with coin and tokens, models, a node that answers, and
    IPFS. All commands in other terminals find it. Ctrl-C stops all of it.

    \b
      ape dtn devnet                             and the lines to type in another terminal
      ape dtn devnet --state chain.json          goes on where it was left
      ape dtn devnet --fork base                 Base as it is now, where nothing costs anything
      ape dtn devnet --fork base --fund alice    and your own account has coin and tokens there
    """  # noqa: D301 (for click, it has to be the character)
    from ape_dtn.deployment import assemble
    from ape_dtn.devnet.devnet import DevnetOptions, opened, serve

    if fork and (state or variant or test_token):
        raise click.UsageError(
            "--fork starts from what is on the live chain each time: leave out --state, "
            "--variant and --token."
        )
    options = DevnetOptions(
        port,
        state,
        block_time,
        accounts,
        _addresses(funded),
        assemble.Variant[variant.upper()] if variant else None,
        assemble.FeeToken[test_token.upper()] if test_token else None,
        backend,
        fork,
    )
    with Signals() as signals, opened(options, say) as running:
        _show(running)
        with _logging_to_terminal():
            serve(running, signals.stopping)
        signals.ignore()
    click.echo("All of it is stopped.", err=True)


def _addresses(funded: Sequence[str]) -> dict[str, str]:
    """What else gets funds, by its address: what it was called."""
    from ape_dtn.types.errors import InvalidAddress

    try:
        return {address_of(each): each for each in funded}
    except InvalidAddress as err:
        err.hint = "--fund takes an alias that `ape accounts list` shows, or an address."
        raise


class Signals:
    """Ctrl-C, and the signals that services get: what is not served yet they interrupt.

    Once it is served they are waited for. A second one does not wait for the node, and none that
    comes later keeps Anvil from writing its chain.
    """

    def __init__(self) -> None:
        self._numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as `nohup` has it
            self._numbers.remove(signal.SIGHUP)
        self._are_waited_for = self._have_come = False
        self._first = 0.0
        self._before = {each: signal.signal(each, self._on_signal) for each in self._numbers}

    def __enter__(self) -> Signals:
        return self

    def __exit__(self, *_: object) -> None:
        if self._have_come:  # this process is about to end, and others may still come
            return
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def stopping(self) -> bool:
        """Whether one has come. From now on they are waited for."""
        self._are_waited_for = True
        if self._have_come:
            click.echo("Stopping …", err=True)
        return self._have_come

    def ignore(self) -> None:
        """What was started is being stopped: nothing is to interrupt that."""
        for each in self._numbers:
            signal.signal(each, signal.SIG_IGN)

    def _on_signal(self, number: int, _frame: Any) -> None:
        now = time.monotonic()
        is_second = self._have_come and now - self._first > POLICY.signal_debounce
        self._first = self._first or now
        self._have_come = True
        if is_second or not self._are_waited_for:
            self.ignore()
            sys.exit(128 + number)


@contextlib.contextmanager
def _logging_to_terminal() -> Iterator[None]:
    """Tells what the node does, a line for each thing."""
    log = logging.getLogger("ape_dtn.node")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]


def _show(running: Devnet) -> None:
    """Where all of it is, and what to type elsewhere."""
    shown = running.as_dict()
    print_json(shown)
    say("")
    for name in (
        "rpc",
        "chain_id",
        "variant",
        "router",
        "session_manager",
        "model_manager",
        "node_manager",
        "token",
        "node",
        "models",
        "ipfs_gateways",
    ):
        value = shown[name]
        text = ", ".join(value) if isinstance(value, list) else value
        if text:
            say(f"{name.replace('_', ' '):>16}  {text}")
    for model, health_check in running.health_problems.items():
        click.echo(f"{model}: {health_check}", err=True)
    say("")
    rows = [[each["alias"], each["address"], each["funds"]["text"]] for each in shown["accounts"]]
    table("Accounts", ["alias", "address", "holds"], rows)
    say("\nIn another terminal:\n")
    for variable, value in shown["environment"].items():
        say(f"  export {variable}={value}")
    say('  ape dtn ask "What is two and two?" --account TEST::2')
    say(f"\n{running.node.name} answers. Press Ctrl-C to stop all of it.")
