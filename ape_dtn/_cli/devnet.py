"""``ape dtn devnet``: a whole network on this machine."""

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

from ape_dtn._cli.command import dtn_command
from ape_dtn._cli.hints import CommandHint
from ape_dtn._cli.inputs import address_of
from ape_dtn._cli.json_fields import token_fields
from ape_dtn._cli.json_output import print_json
from ape_dtn._cli.local import token_choice, variant_choice
from ape_dtn._cli.screen import escape_log_record, note, say, table
from ape_dtn.types.polling import POLICY

if TYPE_CHECKING:
    from ape_dtn.devnet.devnet import Devnet


@dtn_command("devnet", network=None, deploys=True)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8545,
    show_default=True,
    help="Port of the chain, on 127.0.0.1.",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Save the chain to this file, and load it from there the next time.",
)
@click.option(
    "--block-time",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="Interval of blocks. By default each transaction is mined at once.",
)
@click.option(
    "--accounts",
    type=click.IntRange(min=3),
    metavar="NUMBER",
    help="Number of funded test accounts. By default that of Ape's tests, 10.",
)
@click.option(
    "--fund",
    "funded",
    multiple=True,
    metavar="ACCOUNT",
    help="Fund this account too, by its alias or address; repeatable. It stays locked.",
)
@variant_choice(default=None, note=" By default reference.")
@token_choice(default=None, note=" By default usdt.")
@click.option(
    "--backend",
    metavar="TEXT",
    help="Backend of the node, as in `ape dtn node serve`. By default an echo.",
)
@click.option(
    "--fork",
    metavar="NETWORK",
    help="Copy a live chain: a network that Ape knows, such as `base`, or the URL of an endpoint.",
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
    """Run a whole network on this machine until Ctrl-C.

    Starts a chain (Anvil), the contracts, models, a node that answers, an IPFS gateway, and
    accounts with native currency and tokens. The printed `export` lines connect other terminals.

    \b
      ape dtn devnet
      ape dtn devnet --state chain.json          continue the chain of the last time
      ape dtn devnet --fork base                 a free copy of Base as it is now
      ape dtn devnet --fork base --fund alice    with funds for your own account
    """  # noqa: D301 (click wants the character)
    from ape_dtn.deployment import assemble
    from ape_dtn.devnet.devnet import DevnetOptions, opened, serve

    if fork and (state or variant or test_token):
        raise click.UsageError(
            "--fork copies the live chain each time: leave out --state, --variant and --token."
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
        with _logging_events():
            serve(running, signals.stopping)
        signals.ignore()
    note("The devnet is stopped.")


def _addresses(funded: Sequence[str]) -> dict[str, str]:
    """The accounts of --fund: the names that they were given by, by address."""
    from ape_dtn.types.errors import InvalidAddress

    try:
        return {address_of(name): name for name in funded}
    except InvalidAddress as err:
        err.hint = CommandHint(
            "--fund takes an alias that `ape accounts list` shows, or an address."
        )
        raise


class Signals:
    """Handles Ctrl-C, SIGTERM and SIGHUP.

    While the devnet starts, a signal interrupts. While it serves, the first one makes
    :meth:`stopping` true, and a second one interrupts. Later ones are ignored, so that Anvil can
    save its chain.
    """

    def __init__(self) -> None:
        self._numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under `nohup`
            self._numbers.remove(signal.SIGHUP)
        self._is_serving = self._is_signalled = False
        self._first = 0.0
        self._before = {number: signal.signal(number, self._on_signal) for number in self._numbers}

    def __enter__(self) -> Signals:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_signalled:  # the process ends now, and more signals may come
            return
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def stopping(self) -> bool:
        """Whether a signal has come. From the first call on, signals no longer interrupt."""
        self._is_serving = True
        if self._is_signalled:
            note("Stopping …")
        return self._is_signalled

    def ignore(self) -> None:
        """Ignores all further signals."""
        for number in self._numbers:
            signal.signal(number, signal.SIG_IGN)

    def _on_signal(self, number: int, _frame: Any) -> None:
        now = time.monotonic()
        is_second = self._is_signalled and now - self._first > POLICY.signal_debounce
        self._first = self._first or now
        self._is_signalled = True
        if is_second or not self._is_serving:
            self.ignore()
            sys.exit(128 + number)


@contextlib.contextmanager
def _logging_events() -> Iterator[None]:
    """Logs the events of the node to standard error, one per line."""
    log = logging.getLogger("ape_dtn.node")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    handler.addFilter(escape_log_record)
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


def _fields(running: Devnet) -> dict[str, Any]:
    from ape_dtn.devnet import network

    ai = running.ai
    contracts = ai.contracts()
    funds = network.balances(ai, running.token, running.accounts)
    return {
        "rpc": running.anvil.url,
        "chain_id": ai.provider.chain_id,
        "variant": ai.deployment.variant,
        "router": ai.router,
        "session_manager": contracts.session_manager,
        "model_manager": contracts.model_manager,
        "node_manager": contracts.node_manager,
        "fee_token": token_fields(running.token),
        "node": running.node.name,
        "worker": str(running.node.worker.address),
        "models": list(running.models),
        "ipfs_gateways": list(ai.deployment.gateways),
        "accounts": [
            {"alias": alias, "address": running.accounts.funded[alias], "funds": amount}
            for alias, amount in funds.items()
        ],
        "environment": running.environment,
    }


def _show(running: Devnet) -> None:
    """Shows the addresses, and the lines to type in another terminal."""
    shown = _fields(running)
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
        "node",
        "models",
        "ipfs_gateways",
    ):
        value = shown[name]
        text = ", ".join(value) if isinstance(value, list) else value
        if text:
            say(f"{name.replace('_', ' '):>16}  {text}")
    say(f"{'fee token':>16}  {running.token.symbol}, {running.token.address}")
    for model, problem in running.health_problems.items():
        note(f"{model}: {problem}")
    say("")
    rows = [
        [account["alias"], account["address"], str(account["funds"])]
        for account in shown["accounts"]
    ]
    table("Accounts", ["alias", "address", "funds"], rows)
    say("\nIn another terminal:\n")
    for variable, value in shown["environment"].items():
        say(f"  export {variable}={value}")
    say('  ape dtn ask "What is two and two?" --account TEST::2')
    say(f"\n{running.node.name} answers. Press Ctrl-C to stop the devnet.")
