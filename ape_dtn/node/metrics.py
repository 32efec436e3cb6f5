"""A node's sums in Prometheus' format, served on this machine alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ape_dtn.types.errors import InvalidOption, MissingExtra

if TYPE_CHECKING:
    from ape_dtn.node.node import DtnNode


HOST = "127.0.0.1"


class Sums:
    """What Prometheus collects, read from the tally when it asks.

    Args:
        node: The node.
        decimals: Of the fee token.
    """

    def __init__(self, node: DtnNode, decimals: int) -> None:
        self.node = node
        self.decimals = decimals

    def collect(self) -> Iterator[Any]:
        """The metrics as they are now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        tally = self.node.tally
        # Prometheus knows no exact numbers: the bill is on the chain.
        earned = float(Decimal(tally.earned).scaleb(-self.decimals))
        for name, text, value in (
            ("answered", "Successes on the chain", tally.answered),
            ("failed", "Failures on the chain", tally.failed),
            ("refused", "Requests that the contracts took no response to", tally.refused),
            ("earned_tokens", "Paid by sessions, in the fee token", earned),
            ("gas_spent_wei", "Spent on responses, in wei", tally.gas_spent),
        ):
            yield CounterMetricFamily(f"dtn_node_{name}", text, value=value)
        for name, text, value in (
            ("in_flight", "Requests that are taken and not responded to", tally.in_flight),
            ("lag_requests", "Requests that are found and not responded to", tally.behind),
            ("lag_seconds", "How long the oldest of them is known", tally.seconds_behind),
        ):
            yield GaugeMetricFamily(f"dtn_node_{name}", text, value=value)


@contextmanager
def served(node: DtnNode, decimals: int, port: int) -> Iterator[int]:
    """Serves ``http://127.0.0.1:<port>/metrics`` as long as the context lasts.

    Args:
        node: The node.
        decimals: Of the fee token.
        port: The port; 0 for any that is free. It is given back.

    Raises:
        MissingExtra: The client of Prometheus is not installed.
        InvalidOption: Something else listens there.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as err:
        raise MissingExtra("node", "--metrics") from err
    registry = CollectorRegistry()
    registry.register(Sums(node, decimals))
    try:
        server, thread = start_http_server(port, HOST, registry)
    except OSError as err:
        raise InvalidOption("metrics", f"port {port} cannot be used: {err.strerror}") from err
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
