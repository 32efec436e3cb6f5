"""The networks that the tests run against.

Both behaviours are deployed once, before anything else, on the Anvil that Ape starts; Ape takes
every test's transactions back. ``--dtn-target FILE`` points the conformance tests elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from ape_dtn import DtnAi, DtnNode, artifacts
from ape_dtn.amount import Amount, Token
from ape_dtn.chain import rpc, sends
from ape_dtn.chain.abi import Function
from ape_dtn.local import NODE, Behaviour, FeeToken, LocalNetwork, create_token, deploy, fund
from ape_dtn.testing import workers

pytest_plugins = ["pytester", "tests.processor_time"]

# Nothing that the tests talk to is behind a proxy of whoever runs them. To look for one takes
# `requests` a third of the time of each request.
requests.sessions.get_environ_proxies = lambda *_, **__: {}

# What only these contracts let happen: the session manager is replaced, or an answer is not the
# only one that is wanted.
on_deployed = pytest.mark.parametrize("behaviour", [Behaviour.DEPLOYED], indirect=True)
# What only these refuse.
on_documented = pytest.mark.parametrize("behaviour", [Behaviour.DOCUMENTED], indirect=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--dtn-target",
        default=os.environ.get("DTN_TARGET"),
        metavar="FILE",
        help="run the conformance tests against the network that this file describes",
    )


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Lets a worker report what no UTF-8 can hold, as hostile text in a log."""
    return _utf8((yield))


def _utf8(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _utf8(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_utf8(each) for each in value)
    return value


@dataclass(frozen=True)
class Cast:
    """Who is who, on local networks."""

    owner: Any
    worker: Any
    customer: Any
    stranger: Any


@pytest.fixture(scope="session")
def cast(accounts: Any) -> Cast:
    return Cast(*accounts[:4])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deploys the networks before the first test, if any test uses them.

    Ape takes back whatever a fixture of the session sends after that. A test of nothing but Python
    does not wait for them.
    """
    if hasattr(config, "workerinput"):
        workers.separate()
    functions = [item for item in items if isinstance(item, pytest.Function)]
    if any(local_networks.__name__ in item.fixturenames for item in functions):
        for item in functions:
            if local_networks.__name__ not in item.fixturenames:
                item.fixturenames.insert(0, local_networks.__name__)


@pytest.fixture(scope="session")
def local_networks(networks: Any, cast: Cast) -> dict[Behaviour, LocalNetwork]:
    """Both, on one chain, whose every block is a second after the one before."""
    provider = networks.active_provider
    if provider.http_uri:
        # Blocks of one second would share request ids on the deployed behaviour.
        rpc.result(provider, "anvil_setBlockTimestampInterval", [1])
    found = {behaviour: deploy(cast.owner, cast.worker, behaviour) for behaviour in Behaviour}
    for network in found.values():
        for account in (cast.customer, cast.stranger):
            fund(provider, cast.owner, network.token, str(account.address), 1_000_000_000)
    return found


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of local chains is the test's own: Ape takes back only what they hold."""
    monkeypatch.setenv("APE_DTN_LOCAL_FOLDER", str(tmp_path / "remembered"))


@pytest.fixture(params=list(Behaviour), ids=lambda behaviour: behaviour.value.lower())
def behaviour(request: pytest.FixtureRequest) -> Behaviour:
    found: Behaviour = request.param
    return found


@pytest.fixture
def network(local_networks: dict[Behaviour, LocalNetwork], behaviour: Behaviour) -> LocalNetwork:
    """A network of each behaviour in turn, in which customer and stranger have 1,000 USDT."""
    # Its node begins each test with nothing seen: Ape has taken back what other tests asked.
    found = local_networks[behaviour]
    found.node.forget()
    return found


def paid_in(network: LocalNetwork, behaviour: Behaviour, cast: Cast, token: str) -> LocalNetwork:
    """The network, paid in this token: of a new router, where the router itself keeps the tokens,
    and of a new session manager elsewhere."""
    if behaviour is Behaviour.DOCUMENTED:
        found = _behind_new_router(network, cast, token)
    else:
        replace_manager(network, cast, token)
        found = replace(network, token=token)
    thousand = 1000 * 10 ** found.ai.token().decimals
    for account in (cast.customer, cast.stranger):
        fund(found.ai.provider, cast.owner, token, str(account.address), thousand)
    return found


def _behind_new_router(network: LocalNetwork, cast: Cast, token: str) -> LocalNetwork:
    """A documented network with a router of its own, and with the nodes and models of another."""
    provider, contracts = network.ai.provider, network.ai.contracts()
    code = sends.create(provider, cast.owner, artifacts.creation_code("DocumentedRouter", token))
    initialize = Function("initialize(address)").encode(str(cast.owner.address))
    proxy = artifacts.creation_code("DtnProxy", code, initialize)
    router = sends.create(provider, cast.owner, proxy)
    set_managers = Function("setManagers(address,address)")
    managers = (contracts.node_manager, contracts.model_manager)
    sends.send(provider, cast.owner, sends.call(router, set_managers, *managers))
    ai = DtnAi(router, provider)
    ai.deployment = replace(network.ai.deployment, router=router)
    return LocalNetwork(ai, DtnNode(ai, NODE, cast.worker), token)


def replace_manager(network: LocalNetwork, cast: Cast, token: str | None = None) -> str:
    """Puts a new session manager behind a deployed router; it counts sessions from 1 again."""
    provider, owner = network.ai.provider, cast.owner
    code = sends.create(provider, owner, artifacts.creation_code("DeployedSessionManager"))
    initialize = Function("initialize(address,address,address)")
    call = initialize.encode(str(owner.address), token or network.token, network.ai.router)
    manager = sends.create(provider, owner, artifacts.creation_code("DtnProxy", code, call))
    use_manager(network, cast, manager)
    return manager


def use_manager(network: LocalNetwork, cast: Cast, manager: str) -> None:
    """Has a deployed router keep its sessions in this session manager."""
    contracts = network.ai.contracts()
    managers = (contracts.node_manager, manager, contracts.model_manager)
    set_managers = Function("setManagers(address,address,address)")
    call = sends.call(network.ai.router, set_managers, *managers)
    sends.send(network.ai.provider, cast.owner, call)


@pytest.fixture
def usdc_network(network: LocalNetwork, behaviour: Behaviour, cast: Cast) -> LocalNetwork:
    """The network, paid in a token that takes permits and authorizations, as USDC does."""
    token = create_token(network.ai.provider, cast.owner, FeeToken.USDC)
    return paid_in(network, behaviour, cast, token)


@pytest.fixture
def token(network: LocalNetwork) -> Token:
    return network.ai.token()


@pytest.fixture
def balances(network: LocalNetwork, cast: Cast, token: Token) -> Balances:
    return Balances(network, token)


class Balances:
    """Reads and compares what accounts and the network hold of the token."""

    def __init__(self, network: LocalNetwork, token: Token) -> None:
        self.network, self.token = network, token

    def of(self, account: Any) -> Amount:
        from ape_dtn.chain import reads
        from ape_dtn.chain.abi import ERC20

        address = account if isinstance(account, str) else str(account.address)
        call = reads.Call(self.token.address, ERC20.balance_of, (address,))
        return self.token.units(reads.read_one(self.network.ai.provider, call))

    @property
    def of_network(self) -> Amount:
        return self.of(self.network.ai.contracts().fee_target)


@pytest.fixture
def nothing_moves(balances: Balances, cast: Cast) -> Iterator[None]:
    """Fails the test when any token changed hands in it, or the customer sent anything at all."""

    def state() -> tuple[Any, ...]:
        accounts = (cast.customer, cast.stranger, cast.worker)
        held = tuple(balances.of(account).units for account in accounts)
        return (*held, balances.of_network.units, cast.customer.nonce, cast.stranger.nonce)

    before = state()
    yield
    assert state() == before
