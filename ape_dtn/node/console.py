"""A live view of a running node on the terminal: its counters and its latest events."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

from ape_dtn.node.events import Event
from ape_dtn.types.printable import printable

if TYPE_CHECKING:
    from ape_dtn.node.node import DtnNode
    from ape_dtn.types.amount import Token


EVENTS_SHOWN = 10
REFRESHES_PER_SECOND = 4


class NodeConsole:
    """A rich renderable of the counters, with the latest events below them."""

    def __init__(self, node: DtnNode, token: Token) -> None:
        self.node = node
        self.token = token
        self._latest: deque[Event] = deque(maxlen=EVENTS_SHOWN)

    def listen(self, event: Event) -> None:
        """Remember an event for the display."""
        self._latest.append(event)

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        counters = self.node.counters
        earned = self.token.units(counters.earned)
        table = Table(title=Text(printable(self.node.name)), title_justify="left")
        columns = {
            "answered": counters.answered,
            "failed": counters.failed,
            "in flight": counters.in_flight,
            "waiting": counters.waiting,
            "behind": f"{counters.lag_seconds:.0f} s",
            "earned": earned,
            "gas spent": f"{counters.gas_spent / 10**18:.9f}",
        }
        for name in columns:
            table.add_column(name, justify="right")
        table.add_row(*(Text(printable(str(value))) for value in columns.values()))
        lines = [
            Text(
                f"{datetime.fromtimestamp(event.time):%H:%M:%S}  {printable(str(event))}",
                overflow="ellipsis",
            )
            for event in list(self._latest)
        ]
        return Group(table, *lines)


@contextmanager
def show_console(node: DtnNode, token: Token, file: IO[str]) -> Iterator[None]:
    """Draw the node on the terminal while the context is open."""
    from rich.console import Console
    from rich.live import Live

    view = NodeConsole(node, token)
    node.listeners.append(view.listen)
    with Live(view, console=Console(file=file), refresh_per_second=REFRESHES_PER_SECOND):
        yield
