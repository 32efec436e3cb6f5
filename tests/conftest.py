"""The networks that the tests use.

Both variants are deployed once, before the first test, on the Anvil that Ape starts. Ape reverts
the transactions of each test. ``--dtn-target FILE`` runs the conformance tests on another network.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ape_dtn import DtnAi, DtnNode, artifacts
from ape_dtn.chain import rpc, transactions
from ape_dtn.deployment.assemble import (
    NODE,
    FeeToken,
    LocalNetwork,
    Variant,
    create_token,
    deploy,
    fund,
)
from ape_dtn.network import reverts
from ape_dtn.testing import workers
from ape_dtn.types.abi import Function
from ape_dtn.types.amount import Amount, Token
from ape_dtn.types.transactions import contract_call

pytest_plugins = ["pytester", "tests.processor_time"]

# Tests and their processes use no proxy. The search for one takes `requests` a third of the time of
# each request.
os.environ["no_proxy"] = "127.0.0.1,localhost"

# Only the live variant can replace its session manager, and supports several answers to a request.
on_live = pytest.mark.parametrize("variant", [Variant.LIVE], indirect=True)
# Some operations are refused by the reference variant only.
on_reference = pytest.mark.parametrize("variant", [Variant.REFERENCE], indirect=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--dtn-target",
        default=os.environ.get("DTN_TARGET"),
        metavar="FILE",
        help="run the conformance tests against the network that this file describes",
    )


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Escapes text that is not valid UTF-8 in the reports of workers."""
    return _utf8((yield))


def _utf8(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _utf8(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_utf8(item) for item in value)
    return value


@dataclass(frozen=True)
class Cast:
    """The accounts of local networks."""

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

    If a later test deployed them, Ape would revert them after it.
    """
    if hasattr(config, "workerinput"):
        workers.separate()
    functions = [item for item in items if isinstance(item, pytest.Function)]
    if any(local_networks.__name__ in item.fixturenames for item in functions):
        for item in functions:
            if local_networks.__name__ not in item.fixturenames:
                item.fixturenames.insert(0, local_networks.__name__)


@pytest.fixture(scope="session")
def local_networks(networks: Any, cast: Cast) -> dict[Variant, LocalNetwork]:
    """Networks of both variants on one chain."""
    provider = networks.active_provider
    if provider.http_uri:
        # On the live variant, blocks of the same second would share request ids.
        rpc.result(provider, "anvil_setBlockTimestampInterval", [1])
    deployed = {variant: deploy(cast.owner, cast.worker, variant) for variant in Variant}
    for network in deployed.values():
        for account in (cast.customer, cast.stranger):
            fund(provider, cast.owner, network.token, str(account.address), 1_000_000_000)
    return deployed


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A separate folder for records of local chains, which Ape does not revert."""
    monkeypatch.setenv("APE_DTN_LOCAL_FOLDER", str(tmp_path / "local"))


@pytest.fixture(params=list(Variant), ids=lambda variant: variant.value.lower())
def variant(request: pytest.FixtureRequest) -> Variant:
    found: Variant = request.param
    return found


@pytest.fixture
def network(local_networks: dict[Variant, LocalNetwork], variant: Variant) -> LocalNetwork:
    """A network of each variant in turn, in which customer and stranger have 1,000 USDT."""
    # Ape reverted the requests of other tests, so the node must forget them.
    found = local_networks[variant]
    found.node.forget()
    return found


def paid_in(network: LocalNetwork, variant: Variant, cast: Cast, token: str) -> LocalNetwork:
    """The network with another fee token, by a new router (reference) or session manager (live)."""
    if variant is Variant.REFERENCE:
        found = _behind_new_router(network, cast, token)
    else:
        replace_manager(network, cast, token)
        found = replace(network, token=token)
    thousand = 1000 * 10 ** found.ai.token().decimals
    for account in (cast.customer, cast.stranger):
        fund(found.ai.provider, cast.owner, token, str(account.address), thousand)
    return found


def _behind_new_router(network: LocalNetwork, cast: Cast, token: str) -> LocalNetwork:
    """A reference network with a new router, and the nodes and models of another one."""
    provider, contracts = network.ai.provider, network.ai.contracts()
    code = transactions.create(
        provider, cast.owner, artifacts.creation_code("ReferenceRouter", token)
    )
    initialize = Function("initialize(address)").encode(str(cast.owner.address))
    proxy = artifacts.creation_code("DtnProxy", code, initialize)
    router = transactions.create(provider, cast.owner, proxy)
    set_managers = Function("setManagers(address,address)")
    managers = (contracts.node_manager, contracts.model_manager)
    transactions.send(
        provider, cast.owner, contract_call(router, set_managers, *managers), reverts.NO_CONTEXT
    )
    ai = DtnAi(router, provider)
    ai.deployment = replace(network.ai.deployment, router=router)
    return LocalNetwork(ai, DtnNode(ai, NODE, cast.worker), token)


def replace_manager(network: LocalNetwork, cast: Cast, token: str | None = None) -> str:
    """Puts a new session manager behind a deployed router; it counts sessions from 1 again."""
    provider, owner = network.ai.provider, cast.owner
    code = transactions.create(provider, owner, artifacts.creation_code("LiveSessionManager"))
    initialize = Function("initialize(address,address,address)")
    call = initialize.encode(str(owner.address), token or network.token, network.ai.router)
    manager = transactions.create(provider, owner, artifacts.creation_code("DtnProxy", code, call))
    use_manager(network, cast, manager)
    return manager


def use_manager(network: LocalNetwork, cast: Cast, manager: str) -> None:
    contracts = network.ai.contracts()
    managers = (contracts.node_manager, manager, contracts.model_manager)
    set_managers = Function("setManagers(address,address,address)")
    call = contract_call(network.ai.router, set_managers, *managers)
    transactions.send(network.ai.provider, cast.owner, call, reverts.NO_CONTEXT)


@pytest.fixture
def usdc_network(network: LocalNetwork, variant: Variant, cast: Cast) -> LocalNetwork:
    """The network with a fee token that supports permits and authorizations, like USDC."""
    token = create_token(network.ai.provider, cast.owner, FeeToken.USDC)
    return paid_in(network, variant, cast, token)


@pytest.fixture
def token(network: LocalNetwork) -> Token:
    return network.ai.token()


@pytest.fixture
def balances(network: LocalNetwork, cast: Cast, token: Token) -> Balances:
    return Balances(network, token)


class Balances:
    def __init__(self, network: LocalNetwork, token: Token) -> None:
        self.network, self.token = network, token

    def of(self, account: Any) -> Amount:
        from ape_dtn.chain import reads
        from ape_dtn.network.abi import ERC20

        address = account if isinstance(account, str) else str(account.address)
        call = reads.Call(self.token.address, ERC20.balance_of, (address,))
        return self.token.units(self.network.ai.read_one(call))

    @property
    def of_network(self) -> Amount:
        return self.of(self.network.ai.contracts().fee_target)


@pytest.fixture
def nothing_moves(balances: Balances, cast: Cast) -> Iterator[None]:
    """Asserts that the test moves no tokens, and that customer and stranger send nothing."""

    def state() -> tuple[Any, ...]:
        accounts = (cast.customer, cast.stranger, cast.worker)
        held = tuple(balances.of(account).units for account in accounts)
        return (*held, balances.of_network.units, cast.customer.nonce, cast.stranger.nonce)

    before = state()
    yield
    assert state() == before
