"""A command that runs in a process which goes on leaves it as it was."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import Any

import pytest

from ape_dtn._cli import cli
from ape_dtn.devnet.anvil import free_port
from ape_dtn.errors import PortTaken, UnknownChain

from .conftest import Network
from .in_process import InProcess
from .shell import CUSTOMER_ADDRESS, anvil


def state() -> dict[str, Any]:
    """What all of a process shares, and commands change meanwhile."""
    node = logging.getLogger("ape_dtn.node")
    return {
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "signals": [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)],
        "log": [getattr(each, "echo_kwargs", None) for each in logging.getLogger("ape").handlers],
        "node's log": (list(node.handlers), node.level, node.propagate),
        "environment": dict(os.environ),
    }


@pytest.mark.parametrize(
    "command",
    [
        ("info",),
        ("watch", "--owner", CUSTOMER_ADDRESS, "--timeout", "0"),
        ("node", "serve", "node.nobody.nothing", "--worker", "TEST::1"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_it_is_as_it_was(
    reference: Network, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # as where it is closed
    with reference.shell.at_home():
        before = state()
        cli.main(command, standalone_mode=False)

        assert state() == before


def test_a_devnet_that_cannot_be_leaves_all_as_it_was(shell: InProcess) -> None:
    with anvil(shell) as chain, shell.at_home():
        before = state()
        taken = ["--port", chain.url.rpartition(":")[2]]
        code = cli.main(["devnet", *taken], standalone_mode=False)
        # It is known only once Anvil runs and Ape is connected to it that there is no network.
        nothing_there = ["--port", str(free_port()), "--fork", chain.url]
        late = cli.main(["devnet", *nothing_there], standalone_mode=False)

        assert (code, late) == (PortTaken.exit_code, UnknownChain.exit_code)
        assert state() == before
