"""Fixtures for nodes that serve in threads of the test process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ape_dtn import DtnNode, DtnSession
from ape_dtn.chain import reads
from ape_dtn.deployment.assemble import NODE, LocalNetwork, Variant
from ape_dtn.network.abi import Router
from ape_dtn.node.events import Event, EventKind
from tests.conftest import Cast

# For tests whose result does not depend on the variant of the contracts.
on_one_variant = pytest.mark.parametrize("variant", [Variant.REFERENCE], indirect=True)


class EventLog(list[Event]):
    def of(self, kind: EventKind) -> list[Event]:
        return [event for event in self if event.kind is kind]

    def wait_for(self, kind: EventKind, times: int = 1, seconds: float = 20) -> list[Event]:
        until(lambda: len(self.of(kind)) >= times, seconds, self)
        return self.of(kind)


@pytest.fixture
def session(network: LocalNetwork, cast: Cast) -> DtnSession:
    return DtnSession.start("25.00", cast.customer, network.ai)


@pytest.fixture
def events() -> EventLog:
    return EventLog()


@pytest.fixture
def make_node(network: LocalNetwork, cast: Cast, events: EventLog) -> Callable[..., DtnNode]:
    def make_node(**arguments: Any) -> DtnNode:
        ai = arguments.pop("ai", network.ai)
        return DtnNode(ai, NODE, cast.worker, listeners=[events.append], **arguments)

    return make_node


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Redirects Ape's data folder to a temporary folder."""
    from ape.utils.basemodel import ManagerAccessMixin as access

    monkeypatch.setattr(access.config_manager, "DATA_FOLDER", tmp_path)
    return tmp_path


@contextmanager
def serving(node: DtnNode, poll: float | None = None) -> Iterator[None]:
    """Serves in a thread, and asserts that it stops when asked to."""
    stop = threading.Event()
    thread = threading.Thread(target=node.serve, args=(stop.is_set, poll), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive(), "the node does not stop"


def until(condition: Callable[[], Any], seconds: float = 20, details: object = "") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"timed out: {details}"
        time.sleep(0.02)


def completed_ids(network: LocalNetwork) -> list[str]:
    """Ids of the completed requests, one per completion event."""
    logs = reads.logs(network.ai.provider, network.ai.router, [Router.request_completed.topic])
    return ["0x" + log.topics[1].hex() for log in logs]
