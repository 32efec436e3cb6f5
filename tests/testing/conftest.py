"""A consumer contract, as a user of the plugin would test it."""

from __future__ import annotations

from typing import Any

import pytest

from ape_dtn.testing import DtnTestNetwork

collect_ignore = ["users_project"]

MODEL = "model.system.openai-gpt-5-nano"
FEE, MAX_COST = 2, 5_000


class Consumer:
    """The example contract `ReuseSession`, which stores answers in its callback."""

    def __init__(self, contract: Any, owner: Any) -> None:
        self.contract, self.owner = contract, owner

    def ask(self, prompt: str, gas: int = 200_000) -> bytes:
        self.contract.ask(prompt, value=gas, sender=self.owner)
        return bytes(self.contract.requestId())

    def answer(self, request: bytes) -> str:
        return str(self.contract.answers(request))

    def failure(self, request: bytes) -> str:
        return str(self.contract.failures(request))


@pytest.fixture
def reuse_session_consumer(dtn: DtnTestNetwork, project: Any, accounts: Any) -> Consumer:
    owner = accounts[0]
    arguments = (dtn.router, MODEL, dtn.node, FEE, MAX_COST)
    contract = project.ReuseSession.deploy(*arguments, sender=owner)
    dtn.fund(contract, "5.00")
    contract.start(sender=owner)
    return Consumer(contract, owner)
