"""Nodes at work in threads of this process, on the networks that all tests share."""

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

# Where the variant of the contracts makes no difference.
on_one = pytest.mark.parametrize("variant", [Variant.REFERENCE], indirect=True)


class Listening(list[Event]):
    """All that a node has told."""

    def of(self, kind: EventKind) -> list[Event]:
        return [each for each in self if each.kind is kind]

    def wait_for(self, kind: EventKind, times: int = 1, seconds: float = 20) -> list[Event]:
        until(lambda: len(self.of(kind)) >= times, seconds, self)
        return self.of(kind)


@pytest.fixture
def paying(network: LocalNetwork, cast: Cast) -> DtnSession:
    """An open session of the customer."""
    return DtnSession.start("25.00", cast.customer, network.ai)


@pytest.fixture
def heard() -> Listening:
    return Listening()


@pytest.fixture
def node_of(network: LocalNetwork, cast: Cast, heard: Listening) -> Callable[..., DtnNode]:
    """Makes the network's node, with whatever is given."""

    def node_of(**given: Any) -> DtnNode:
        ai = given.pop("ai", network.ai)
        return DtnNode(ai, NODE, cast.worker, listeners=[heard.append], **given)

    return node_of


@pytest.fixture
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own."""
    from ape.utils.basemodel import ManagerAccessMixin as access

    monkeypatch.setattr(access.config_manager, "DATA_FOLDER", tmp_path)
    return tmp_path


@contextmanager
def at_work(node: DtnNode, poll: float | None = None) -> Iterator[None]:
    """Serves in a thread of its own, which has to end by itself when it is told to."""
    told = threading.Event()
    thread = threading.Thread(target=node.serve, args=(told.is_set, poll), daemon=True)
    thread.start()
    try:
        yield
    finally:
        told.set()
        thread.join(30)
        assert not thread.is_alive(), "it does not stop"


def until(reached: Callable[[], Any], seconds: float = 20, shown: object = "") -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"it takes too long: {shown}"
        time.sleep(0.02)


def completed(network: LocalNetwork) -> list[str]:
    """Ids of the requests that were completed, as often as they were."""
    logs = reads.logs(network.ai.provider, network.ai.router, [Router.request_completed.topic])
    return ["0x" + log.topics[1].hex() for log in logs]
