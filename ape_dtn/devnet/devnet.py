"""A whole network on one machine, from its chain to its node; taken down in the other order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import rpc
from ape_dtn.deployment import assemble
from ape_dtn.devnet import anvil, forking, network
from ape_dtn.devnet.anvil import Anvil
from ape_dtn.devnet.network import Cast
from ape_dtn.ipfs import content_store
from ape_dtn.node.backends.configured import Backends
from ape_dtn.node.backends.configured import of as backends_of
from ape_dtn.node.backends.echo import echo
from ape_dtn.node.errors import NoBackend
from ape_dtn.node.node import DtnNode
from ape_dtn.node.registration import registration_steps, send_steps

if TYPE_CHECKING:
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.types.amount import Token
    from ape_dtn.types.model import Model


# Where Ape looks for an Anvil, and the variable that names another place.
APE_PORT, APE_HOST = 8545, "APE_FOUNDRY_HOST"
NETWORK = "ethereum:local:foundry"

# On any free port: where it is, is remembered with the network.
IPFS = {"embedded": {"port": 0}}

# Owner, worker, and somebody who asks.
FEWEST_ACCOUNTS = 3


@dataclass(frozen=True)
class Wish:
    """What a devnet is to be.

    Attributes:
        port: Where its chain listens.
        state: The file that keeps its chain; None to forget it.
        block_time: Seconds between blocks; None for a block as soon as there is a transaction.
        accounts: How many accounts of Ape's tests get funds; None for as many as there are.
        funded: What else gets funds, by its address: what it is called.
        variant: How the network behaves; None for the reference one, or as the kept chain has it.
        fee_token: What it is paid in; None for USDT, or as the kept chain has it.
        backend: What the node answers with; None for what is configured, or else the echo.
        fork: The network, or the URL of an endpoint, that it starts from; None for a chain of its
            own.
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
    """A devnet that is up.

    Attributes:
        anvil: Its chain.
        ai: Its network.
        node: Its node; see :func:`serve`.
        models: Full names of the models that the node serves.
        health_problems: Why models would hardly be answered for, by their names.
        token: What it is paid in.
        cast: Its accounts.
    """

    anvil: Anvil
    ai: DtnAi
    node: DtnNode
    models: tuple[str, ...]
    health_problems: dict[str, str]
    token: Token
    cast: Cast

    @property
    def environment(self) -> dict[str, str]:
        """What other commands need, to find it."""
        return {"APE_DTN_NETWORK": NETWORK, APE_HOST: self.anvil.url}

    def as_dict(self) -> dict[str, Any]:
        """Where all of it is, as plain data."""
        contracts = self.ai.contracts()
        held = network.balances(self.ai, self.token, self.cast)
        return {
            "rpc": self.anvil.url,
            "chain_id": self.ai.provider.chain_id,
            "variant": self.ai.deployment.variant,
            "router": self.ai.router,
            "session_manager": contracts.session_manager,
            "model_manager": contracts.model_manager,
            "node_manager": contracts.node_manager,
            "token": self.token.address,
            "symbol": self.token.symbol,
            "node": self.node.name,
            "worker": str(self.node.worker.address),
            "models": list(self.models),
            "ipfs_gateways": list(self.ai.deployment.gateways),
            "accounts": [
                {"alias": alias, "address": self.cast.funded[alias], "funds": amount.as_dict()}
                for alias, amount in held.items()
            ],
            "environment": self.environment,
        }


@contextmanager
def opened(wish: Wish, say: Callable[[str], None]) -> Iterator[Devnet]:
    """Starts all of it but the node's answering, and stops it when the context ends.

    Args:
        wish: What it is to be.
        say: Told what is being done.

    Raises:
        DtnError: Whatever of it cannot be; what was started is stopped.
    """
    from ape.utils.basemodel import ManagerAccessMixin as access

    from ape_dtn.network.config import configured

    settings = configured()
    with ExitStack() as stack:
        backends = stack.enter_context(backends_of(settings.backends, wish.backend))
        store = stack.enter_context(content_store.opened(settings.ipfs_store or IPFS))
        say(f"Starting Anvil{' on a fork' if wish.fork else ''}")
        chain = stack.enter_context(anvil.running(wish.port, *_options(wish), state=wish.state))
        stack.enter_context(_ape_connects_to(chain.url))
        provider = stack.enter_context(
            access.network_manager.ethereum.local.use_provider(
                "foundry", provider_settings={"manage_process": False}, disconnect_after=True
            )
        )
        cast = _cast(wish)
        if wish.fork:
            ai = network.of_fork(provider, cast)
        else:
            ai = network.of(provider, cast, wish.variant, wish.fee_token, say)
        say("Giving coin and tokens to the accounts")
        token = network.fund(ai, cast, forked=bool(wish.fork))
        name = network.FORK_NODE if wish.fork else assemble.NODE
        models = tuple(model.name for model in ai.models() if _answers(backends, model))
        steps = registration_steps(ai, cast.owner, name, str(cast.worker.address), models)
        send_steps(ai, cast.owner, steps)
        gateways = [store.gateway] if store and store.gateway else []
        ai = network.remember(ai, name, models, gateways)
        node = DtnNode(ai, name, cast.worker, lambda asked: backends(asked.model)(asked), store)
        if wish.block_time:
            rpc.result(provider, "evm_setIntervalMining", [wish.block_time])
        yield Devnet(chain, ai, node, models, backends.health_problems(models), token, cast)


@contextmanager
def _ape_connects_to(url: str) -> Iterator[None]:
    """Has Ape connect to this Anvil meanwhile, whatever its configuration says."""
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
    """Lets the node answer until told to stop.

    Raises:
        AnvilFailed: The chain has ended.
    """

    def look() -> bool:
        devnet.anvil.check()
        return stop()

    devnet.node.serve(look)


def _answers(backends: Backends, model: Model) -> bool:
    """Whether there is a backend for a model; the echo answers nothing but text."""
    try:
        return backends(model.name) is not echo or model.api.output == "string"
    except NoBackend:
        return False


def _options(wish: Wish) -> list[str]:
    """Anvil's options: the accounts of Ape's tests, and where it is forked from."""
    from ape.utils.basemodel import ManagerAccessMixin as access

    accounts = access.account_manager.test_accounts
    found = ["--mnemonic", accounts.mnemonic, "--derivation-path", accounts.hd_path]
    found += ["--accounts", str(_number_of_accounts(wish))]
    return [*found, "--fork-url", forking.endpoint(wish.fork)] if wish.fork else found


def _cast(wish: Wish) -> Cast:
    from ape.utils.basemodel import ManagerAccessMixin as access
    from ape.utils.testing import generate_dev_accounts

    accounts = access.account_manager.test_accounts
    known = generate_dev_accounts(
        accounts.mnemonic, _number_of_accounts(wish), hd_path=accounts.hd_path
    )
    addresses = {f"TEST::{place}": str(each.address) for place, each in enumerate(known)}
    own = {name: each for each, name in wish.funded.items() if each not in addresses.values()}
    return Cast(accounts[0], accounts[1], addresses, own)


def _number_of_accounts(wish: Wish) -> int:
    from ape.utils.basemodel import ManagerAccessMixin as access

    return wish.accounts or max(
        access.account_manager.test_accounts.number_of_accounts, FEWEST_ACCOUNTS
    )
