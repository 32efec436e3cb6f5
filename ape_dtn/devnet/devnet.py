"""Starting a whole network on one machine, and stopping it in reverse order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ape_dtn.chain import rpc
from ape_dtn.deployment import assemble
from ape_dtn.devnet import anvil, forking, network
from ape_dtn.devnet.anvil import Anvil
from ape_dtn.devnet.network import Accounts
from ape_dtn.ipfs import content_store
from ape_dtn.node.backends.echo import echo
from ape_dtn.node.backends.selection import Backends
from ape_dtn.node.backends.selection import of as backends_of
from ape_dtn.node.errors import NoBackend
from ape_dtn.node.node import DtnNode
from ape_dtn.node.registration import registration_steps, send_steps

if TYPE_CHECKING:
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.types.amount import Token
    from ape_dtn.types.model import Model


# The port of Anvil in Ape's defaults, and the environment variable that overrides its URL.
APE_PORT, APE_HOST = 8545, "APE_FOUNDRY_HOST"
NETWORK = "ethereum:local:foundry"

# Any free port: the gateway's URL is recorded with the deployment.
IPFS = {"embedded": {"port": 0}}

# The owner, the worker and a user.
MIN_ACCOUNTS = 3


@dataclass(frozen=True)
class DevnetOptions:
    """Options of a devnet.

    Attributes:
        port: The port of Anvil.
        state: The file to save the chain to; None to discard it.
        block_time: Seconds between blocks; None to mine each transaction at once.
        accounts: The number of Ape's test accounts to fund; None for all.
        funded: Further accounts to fund: their names by address.
        variant: The variant of the contracts; by default that of a saved chain, or the reference.
        fee_token: The fee token; by default that of a saved chain, or USDT.
        backend: The backend of the node; None for the configured one, or the echo.
        fork: A network, or the URL of an endpoint, to fork; None for a new chain.
    """

    port: int = APE_PORT
    state: Path | None = None
    block_time: int | None = None
    accounts: int | None = None
    funded: Mapping[str, str] = field(default_factory=dict)
    variant: assemble.Variant | None = None
    fee_token: assemble.FeeToken | None = None
    backend: str | None = None
    fork: str | None = None


@dataclass(frozen=True)
class Devnet:
    """A running devnet.

    Attributes:
        node: The node, which answers while :func:`serve` runs.
        models: Full names of the models that the node serves.
        health_problems: Failed health checks of backends, by model name.
    """

    anvil: Anvil
    ai: DtnAi
    node: DtnNode
    models: tuple[str, ...]
    health_problems: dict[str, str]
    token: Token
    accounts: Accounts

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that make other commands use this devnet."""
        return {"APE_DTN_NETWORK": NETWORK, APE_HOST: self.anvil.url}


@contextmanager
def opened(options: DevnetOptions, say: Callable[[str], None]) -> Iterator[Devnet]:
    """Start a devnet, and stop it when the context ends. :func:`serve` runs its node.

    ``say`` is called with each step before it begins.

    Raises:
        DtnError: A part cannot be started; the parts that were started are stopped.
    """
    from ape.utils.basemodel import ManagerAccessMixin as access

    from ape_dtn.network.config import configured

    settings = configured()
    with ExitStack() as stack:
        backends = stack.enter_context(backends_of(settings.backends, options.backend))
        store = stack.enter_context(content_store.opened(settings.ipfs_store or IPFS))
        say(f"Starting Anvil{' on a fork' if options.fork else ''}")
        anvil_options = _anvil_options(options)
        chain = stack.enter_context(
            anvil.running(options.port, *anvil_options, state=options.state)
        )
        stack.enter_context(_ape_connected_to(chain.url))
        provider = stack.enter_context(
            access.network_manager.ethereum.local.use_provider(
                "foundry", provider_settings={"manage_process": False}, disconnect_after=True
            )
        )
        accounts = _accounts(options)
        if options.fork:
            ai = network.of_fork(provider, accounts)
        else:
            ai = network.of(provider, accounts, options.variant, options.fee_token, say)
        say("Funding the accounts")
        token = network.fund(ai, accounts, forked=bool(options.fork))
        name = network.FORK_NODE if options.fork else assemble.NODE
        models = tuple(model.name for model in ai.models() if _can_answer(backends, model))
        steps = registration_steps(ai, accounts.owner, name, str(accounts.worker.address), models)
        send_steps(ai, accounts.owner, steps)
        gateways = [store.gateway] if store and store.gateway else []
        ai = network.remember(ai, name, models, gateways)
        node = DtnNode(
            ai, name, accounts.worker, lambda question: backends(question.model)(question), store
        )
        if options.block_time:
            rpc.result(provider, "evm_setIntervalMining", [options.block_time])
        yield Devnet(chain, ai, node, models, backends.health_problems(models), token, accounts)


@contextmanager
def _ape_connected_to(url: str) -> Iterator[None]:
    """Make Ape connect to this Anvil while the context is open, whatever its configuration."""
    before = os.environ.get(APE_HOST)
    os.environ[APE_HOST] = url
    try:
        yield
    finally:
        if before is None:
            del os.environ[APE_HOST]
        else:
            os.environ[APE_HOST] = before


def serve(devnet: Devnet, stop: Callable[[], bool]) -> None:
    """Run the node until ``stop`` returns True.

    Raises:
        AnvilFailed: Anvil has exited.
    """

    def check_and_stop() -> bool:
        devnet.anvil.check()
        return stop()

    devnet.node.serve(check_and_stop)


def _can_answer(backends: Backends, model: Model) -> bool:
    """Whether a backend can answer for a model; the echo can only return text."""
    try:
        return backends(model.name) is not echo or model.api.output == "string"
    except NoBackend:
        return False


def _anvil_options(options: DevnetOptions) -> list[str]:
    from ape.utils.basemodel import ManagerAccessMixin as access

    accounts = access.account_manager.test_accounts
    arguments = ["--mnemonic", accounts.mnemonic, "--derivation-path", accounts.hd_path]
    arguments += ["--accounts", str(_number_of_accounts(options))]
    if options.fork:
        arguments += ["--fork-url", forking.endpoint(options.fork)]
    return arguments


def _accounts(options: DevnetOptions) -> Accounts:
    from ape.utils.basemodel import ManagerAccessMixin as access
    from ape.utils.testing import generate_dev_accounts

    accounts = access.account_manager.test_accounts
    test_accounts = generate_dev_accounts(
        accounts.mnemonic, _number_of_accounts(options), hd_path=accounts.hd_path
    )
    known = {f"TEST::{index}": str(account.address) for index, account in enumerate(test_accounts)}
    own = {
        name: address for address, name in options.funded.items() if address not in known.values()
    }
    return Accounts(accounts[0], accounts[1], known, own)


def _number_of_accounts(options: DevnetOptions) -> int:
    from ape.utils.basemodel import ManagerAccessMixin as access

    return options.accounts or max(
        access.account_manager.test_accounts.number_of_accounts, MIN_ACCOUNTS
    )
