"""The live view of a node on a terminal."""

from __future__ import annotations

import io

from ape_dtn import DtnNode, DtnSession
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.node.console import show_console
from tests.conftest import Cast

from .conftest import on_one_variant


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@on_one_variant
def test_counters_and_latest_events_are_drawn(
    network: LocalNetwork, session: DtnSession, cast: Cast
) -> None:
    node, terminal = DtnNode(network.ai, network.node.name, cast.worker), Terminal()

    with show_console(node, network.ai.token(), terminal):
        request = session.request("Hello [bold]?")
        node.answer_pending()

    output = terminal.getvalue()
    assert network.node.name in output
    assert str(request.cost()).split()[0] in output  # earned
    assert "answered" in output
    assert f"request={request.id}" in output
