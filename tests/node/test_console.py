"""The live view of a node on a terminal."""

from __future__ import annotations

import io
from dataclasses import replace

from rich.console import Console

from ape_dtn import DtnNode, DtnSession
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.node.console import NodeConsole, show_console
from ape_dtn.node.events import Event, EventKind
from tests.conftest import Cast

from .conftest import on_one_variant

# A window title, and an order of writing.
ODD = "a\x1b]0;title\x07 \u202eb"


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


def test_events_with_text_of_others_are_escaped(network: LocalNetwork, cast: Cast) -> None:
    terminal = Terminal()
    token = replace(network.ai.token(), symbol=ODD)
    view = NodeConsole(DtnNode(network.ai, network.node.name, cast.worker), token)
    view.listen(Event(EventKind.RETRIED, {"error": ODD}))

    Console(file=terminal, width=400).print(view)

    shown = terminal.getvalue()
    assert r"a\x1b]0;title\x07 \u202eb" in shown
    assert f"0.00 {token.address}" in shown
    assert not [command for command in ("\x1b]", "\x07", "\u202e") if command in shown]
