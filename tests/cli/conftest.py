"""Both behaviours, each on an Anvil of its own, deployed and served by `ape dtn deploy --serve`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ape_dtn.local import Behaviour

from .shell import FOUNDRY, Network, Shell, anvil, parsed

Networks = Callable[[Behaviour], Network]


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    if shutil.which("ape") is None or shutil.which("anvil") is None:
        pytest.fail("`ape` and `anvil` have to be on PATH: use `make test`")
    return Shell(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def _networks(shell: Shell) -> Iterator[Networks]:
    found: dict[Behaviour, Network] = {}
    with ExitStack() as running:

        def network(behaviour: Behaviour) -> Network:
            if behaviour not in found:
                chain = running.enter_context(anvil(shell))
                here = shell.having(APE_FOUNDRY_HOST=chain.url, APE_DTN_NETWORK=FOUNDRY)
                deploy = ("deploy", "--serve", "--json", "--behaviour", behaviour.name.lower())
                node = running.enter_context(here.running("ape", "dtn", *deploy))
                deployed = node.until(lambda: parsed(node.out))
                found[behaviour] = Network(chain, here, node, deployed)
            return found[behaviour]

        yield network


@pytest.fixture(scope="module", params=list(Behaviour), ids=lambda each: each.name.lower())
def network(_networks: Networks, request: pytest.FixtureRequest) -> Network:
    """A network of each behaviour in turn, with an Anvil and a node of its own."""
    return _networks(request.param)


@pytest.fixture(scope="module")
def documented(_networks: Networks) -> Network:
    """Where the behaviour makes no difference."""
    return _networks(Behaviour.DOCUMENTED)


@pytest.fixture(scope="module")
def deployed(_networks: Networks) -> Network:
    """As the network is on public chains."""
    return _networks(Behaviour.DEPLOYED)
