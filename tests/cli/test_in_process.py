"""A command restores the state of a process that goes on after it."""

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
    """The global state that commands change while they run."""
    node = logging.getLogger("ape_dtn.node")
    return {
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "log": [
            getattr(handler, "echo_kwargs", None) for handler in logging.getLogger("ape").handlers
        ],
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
def test_a_command_restores_the_state_of_the_process(
    reference: Network, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # as in a process whose input is closed
    with reference.shell.at_home():
        before = state()
        cli.main(command, standalone_mode=False)

        assert state() == before


def test_a_devnet_that_fails_to_start_restores_the_state_of_the_process(shell: InProcess) -> None:
    with anvil(shell) as chain, shell.at_home():
        before = state()
        taken = ["--port", chain.url.rpartition(":")[2]]
        code = cli.main(["devnet", *taken], standalone_mode=False)
        # This fails late: when no router is found, Anvil is running and Ape is connected.
        nothing_there = ["--port", str(free_port()), "--fork", chain.url]
        late = cli.main(["devnet", *nothing_there], standalone_mode=False)

        assert (code, late) == (PortTaken.exit_code, UnknownChain.exit_code)
        assert state() == before
