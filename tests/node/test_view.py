"""What people see of a node on a terminal."""

from __future__ import annotations

import io

from ape_dtn import DtnNode, DtnSession
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.node.console import show_console
from tests.conftest import Cast

from .conftest import on_one


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@on_one
def test_the_sums_and_the_latest_events_are_drawn(
    network: LocalNetwork, paying: DtnSession, cast: Cast
) -> None:
    node, screen = DtnNode(network.ai, network.node.name, cast.worker), Terminal()

    with show_console(node, network.ai.token(), screen):
        request = paying.request("Hello [bold]?")
        node.answer_pending()

    drawn = screen.getvalue()
    assert network.node.name in drawn
    assert str(request.cost()).split()[0] in drawn  # earned
    assert "answered" in drawn
    assert f"request={request.id}" in drawn
