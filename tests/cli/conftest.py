"""Fixtures: a shell with an empty home, and networks on the chain of the tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ape_dtn.deployment.assemble import LocalNetwork, Variant
from ape_dtn.network import deployments
from ape_dtn.network.abi import Router
from ape_dtn.types.answer import Status
from ape_dtn.types.ids import id_of
from tests.node.conftest import serving

from .in_process import InProcess
from .shell import FOUNDRY, OWNER_ADDRESS, Chain, Done

# Polling interval of the node, in seconds.
POLL = 0.05


@dataclass(frozen=True)
class Network:
    """A network on the chain of the tests, and a shell whose commands find it."""

    local: LocalNetwork
    chain: Chain
    shell: InProcess

    def dtn(self, *command: str, answers: str | None = None) -> Done:
        return self.shell.dtn(*command, answers=answers)

    def on_terminal(self) -> Network:
        """The network with a shell that prints on a terminal."""
        return replace(self, shell=replace(self.shell, has_terminal=True))

    def in_encoding(self, encoding: str) -> Network:
        """The network with a shell whose standard output has an encoding."""
        return replace(self, shell=replace(self.shell, encoding=encoding))

    @property
    def router(self) -> str:
        return self.local.ai.router

    @property
    def token(self) -> str:
        return self.local.token

    @property
    def node(self) -> str:
        return self.local.node.name

    @property
    def worker(self) -> str:
        return str(self.local.node.worker.address)

    def held_by(self, address: str) -> int:
        """The token balance of an address, by a bare call."""
        data = "0x70a08231" + address[2:].rjust(64, "0")  # balanceOf(address)
        return int(self.chain.rpc("eth_call", {"to": self.token, "data": data}, "latest"), 16)

    def mint(self, address: str, units: int) -> None:
        data = f"0x40c10f19{address[2:]:0>64}{units:064x}"  # mint(address,uint256)
        self.chain.send(OWNER_ADDRESS, self.token, data)

    def fail(self, request: str, reason: str) -> None:
        """Answers a request with a failure of the node."""
        given: tuple[Any, ...] = (bytes.fromhex(request[2:]), Status.FAILURE, reason, b"")
        data = Router.respond_to_request.encode(*given, id_of(self.node, "node"), 0, 0)
        self.chain.send(self.worker, self.router, "0x" + data.hex())

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Runs the node in the context; outside of it, nothing is answered."""
        with serving(self.local.node, POLL):
            yield


@pytest.fixture
def shell(tmp_path: Path) -> InProcess:
    """A shell with an empty home."""
    if shutil.which("ape") is None or shutil.which("anvil") is None:
        pytest.fail("`ape` and `anvil` have to be on PATH: use `make test`")
    folder = tmp_path / "home"
    folder.mkdir()
    return InProcess(folder)


@pytest.fixture
def connected(shell: InProcess, networks: Any) -> InProcess:
    """A shell that is connected to the chain of the tests."""
    url = str(networks.active_provider.http_uri)
    return shell.having(APE_FOUNDRY_HOST=url, APE_DTN_NETWORK=FOUNDRY)


@pytest.fixture
def network_of(
    local_networks: dict[Variant, LocalNetwork], connected: InProcess
) -> Callable[[Variant], Network]:
    """The network of a variant, recorded in the shell's home as `ape dtn deploy` records it."""

    def network_of(variant: Variant) -> Network:
        local = local_networks[variant]
        local.node.forget()  # Ape has reverted the requests of other tests
        with connected.at_home():
            deployments.remember(local.ai.provider, local.ai.deployment)
        return Network(local, Chain(str(local.ai.provider.http_uri)), connected)

    return network_of


@pytest.fixture
def network(network_of: Callable[[Variant], Network], variant: Variant) -> Network:
    """The network of each variant."""
    return network_of(variant)


@pytest.fixture
def reference(network_of: Callable[[Variant], Network]) -> Network:
    """The reference variant, for tests of what both variants have in common."""
    return network_of(Variant.REFERENCE)


@pytest.fixture
def live(network_of: Callable[[Variant], Network]) -> Network:
    """The live variant, as on public chains."""
    return network_of(Variant.LIVE)
