"""A node at work, drawn on a terminal."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

from ape_dtn.node.events import Event

if TYPE_CHECKING:
    from ape_dtn.node.node import DtnNode
    from ape_dtn.types.amount import Token


LATEST = 10
PER_SECOND = 4


class NodeConsole:
    """The sums, and the latest events below them.

    Args:
        node: The node.
        token: The fee token.
    """

    def __init__(self, node: DtnNode, token: Token) -> None:
        self.node = node
        self.token = token
        self._latest: deque[Event] = deque(maxlen=LATEST)

    def listen(self, event: Event) -> None:
        """Keeps an event among the latest."""
        self._latest.append(event)

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        tally = self.node.tally
        earned = self.token.units(tally.earned)
        sums = Table(title=self.node.name, title_justify="left")
        shown = {
            "answered": tally.answered,
            "failed": tally.failed,
            "in flight": tally.in_flight,
            "waiting": tally.waiting,
            "behind": f"{tally.seconds_behind:.0f} s",
            "earned": earned,
            "gas spent": f"{tally.gas_spent / 10**18:.9f}",
        }
        for name in shown:
            sums.add_column(name, justify="right")
        sums.add_row(*(str(value) for value in shown.values()))
        lines = [
            Text(f"{datetime.fromtimestamp(each.time):%H:%M:%S}  {each}", overflow="ellipsis")
            for each in list(self._latest)
        ]
        return Group(sums, *lines)


@contextmanager
def shown(node: DtnNode, token: Token, file: IO[str]) -> Iterator[None]:
    """Draws the node as long as the context lasts."""
    from rich.console import Console
    from rich.live import Live

    view = NodeConsole(node, token)
    node.listeners.append(view.listen)
    with Live(view, console=Console(file=file), refresh_per_second=PER_SECOND):
        yield
