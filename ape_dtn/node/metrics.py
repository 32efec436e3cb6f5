"""A node's counters in Prometheus' format, served on the loopback address only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ape_dtn.types.errors import InvalidOption, MissingExtra

if TYPE_CHECKING:
    from ape_dtn.node.node import DtnNode


HOST = "127.0.0.1"


class NodeCollector:
    """A Prometheus collector that reads the node's counters on every scrape."""

    def __init__(self, node: DtnNode, decimals: int) -> None:
        self.node = node
        self.decimals = decimals

    def collect(self) -> Iterator[Any]:
        """Yield the current metrics."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        counters = self.node.counters
        # Prometheus only has floating-point numbers; exact amounts are on the chain.
        earned = float(Decimal(counters.earned).scaleb(-self.decimals))
        for name, text, value in (
            ("answered", "SUCCESS responses mined", counters.answered),
            ("failed", "FAILURE responses mined", counters.failed),
            ("refused", "Requests to which the contracts rejected a response", counters.refused),
            ("earned_tokens", "Fees paid by sessions, in the fee token", earned),
            ("gas_spent_wei", "Gas cost of responses, in wei", counters.gas_spent),
        ):
            yield CounterMetricFamily(f"dtn_node_{name}", text, value=value)
        for name, text, value in (
            ("in_flight", "Requests claimed and not yet responded to", counters.in_flight),
            ("lag_requests", "Requests found and not yet responded to", counters.lag),
            ("lag_seconds", "Age of the oldest unanswered request", counters.lag_seconds),
        ):
            yield GaugeMetricFamily(f"dtn_node_{name}", text, value=value)


@contextmanager
def serve_metrics(node: DtnNode, decimals: int, port: int) -> Iterator[int]:
    """Serve ``http://127.0.0.1:<port>/metrics`` while the context is open; yields the port.

    Args:
        node: The node.
        decimals: Decimals of the fee token.
        port: The port; 0 for any free port.

    Raises:
        MissingExtra: ``prometheus_client`` is not installed.
        InvalidOption: The port cannot be bound.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as err:
        raise MissingExtra("node", "metrics") from err
    registry = CollectorRegistry()
    registry.register(NodeCollector(node, decimals))
    try:
        server, thread = start_http_server(port, HOST, registry)
    except OSError as err:
        raise InvalidOption("metrics", f"cannot listen on port {port}: {err.strerror}") from err
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
