"""The networks under test: both local variants, or the one that ``--dtn-target`` describes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ConfigDict

from ape_dtn import DtnAi, DtnSession
from ape_dtn.deployment.assemble import NODE, Variant
from ape_dtn.node.node import DtnNode
from ape_dtn.types.amount import Amount, Token


class Target(BaseModel):
    """The content of the ``--dtn-target`` file: an existing network and the accounts to use."""

    model_config = ConfigDict(extra="forbid")

    router: str
    """The router's address."""
    token: str
    """The fee token's address."""
    customer: str
    """Alias of an account with fee tokens and native currency."""
    stranger: str
    """Alias of another account with native currency."""
    node: str
    """Full name or id of a node that serves the model."""
    worker: str | None = None
    """Alias of the node's worker; without it, the network's own node has to answer."""
    model: str = "model.system.openai-gpt-5-nano"
    """The text model to use."""
    deposit: str = "1.00"
    """The deposit of each session."""
    fee_per_byte: str = "0.00001"
    """The fee per byte, of prompt and answer."""
    max_cost: str = "0.10"
    """The maximum cost of one request."""
    timeout: float = 60
    """Seconds to wait for an answer."""


@dataclass(frozen=True)
class Subject:
    """A network under test and its accounts."""

    ai: DtnAi
    token: Token
    customer: Any
    stranger: Any
    node: DtnNode | None
    target: Target

    @property
    def options(self) -> dict[str, Any]:
        target = self.target
        return {
            "model": target.model,
            "nodes": [target.node],
            "fee_per_byte": target.fee_per_byte,
            "max_cost": target.max_cost,
        }

    def start(self) -> DtnSession:
        return DtnSession.start(self.target.deposit, self.customer, self.ai, unsafe_two_step=True)

    def answer_pending(self) -> None:
        if self.node is not None:
            self.node.answer_pending()

    def token_balance(self, account: Any) -> Amount:
        from ape_dtn.chain import reads
        from ape_dtn.network.abi import ERC20

        call = reads.Call(self.token.address, ERC20.balance_of, (str(account.address),))
        return self.token.units(self.ai.read_one(call))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "subject" in metafunc.fixturenames:
        file = metafunc.config.getoption("--dtn-target")
        subjects = [Path(file)] if file else list(Variant)
        names = [
            target.stem if isinstance(target, Path) else target.value.lower() for target in subjects
        ]
        metafunc.parametrize("subject", subjects, ids=names, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deploy the local networks before the first test: Ape reverts what a test deploys."""
    if not config.getoption("--dtn-target"):
        for item in items:
            if isinstance(item, pytest.Function) and "subject" in item.fixturenames:
                item.fixturenames.insert(0, "local_networks")


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> Subject:
    if isinstance(request.param, Path):
        return _existing_network(Target(**yaml.safe_load(request.param.read_text())))
    networks = request.getfixturevalue("local_networks")
    cast = request.getfixturevalue("cast")
    local = networks[request.param]
    local.node.forget()
    target = Target(
        router=local.ai.router, token=local.token, customer="", stranger="", node=NODE, timeout=5
    )
    return Subject(local.ai, local.ai.token(), cast.customer, cast.stranger, local.node, target)


def _existing_network(target: Target) -> Subject:
    from ape.cli import AccountAliasPromptChoice

    def account(alias: str) -> Any:
        loaded = AccountAliasPromptChoice().convert(alias, None, None)
        if hasattr(loaded, "set_autosign"):
            loaded.set_autosign(True)
        return loaded

    ai = DtnAi(target.router)
    token = ai.token()
    assert token.address == target.token, "the router's fee token is not the one in the file"
    node = DtnNode(ai, target.node, account(target.worker)) if target.worker else None
    return Subject(ai, token, account(target.customer), account(target.stranger), node, target)


@pytest.fixture
def sessions(subject: Subject) -> Iterator[Callable[[], DtnSession]]:
    """Starts sessions; closes those that the test leaves open."""
    started: list[DtnSession] = []

    def start() -> DtnSession:
        started.append(subject.start())
        return started[-1]

    yield start
    for session in started:
        if session.is_open:
            session.close(force=True)
