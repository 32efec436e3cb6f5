"""What a node remembers of what it has read, so that it does not read it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ape_dtn import DtnAi, DtnNode, DtnSession
from ape_dtn.chain import rpc
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.node.queue import WATCH_SECONDS
from ape_dtn.node.status import count_pending
from ape_dtn.node.store import Ledger, open_ledger
from benchmarks.chain import connected_to
from benchmarks.rpc_counter import Count, RpcCounter

from .conftest import on_one

HOW_MANY = 100


@on_one
def test_a_restart_reads_only_what_is_not_settled(
    network: LocalNetwork,
    paying: DtnSession,
    node_of: Callable[..., DtnNode],
    own_data: Path,
) -> None:
    provider = network.ai.provider
    first = node_of(ledger=open_ledger(network.ai, network.node.id))
    paying.request_many([f"{each}" for each in range(HOW_MANY)])
    assert len(first.answer_pending()) == HOW_MANY
    rpc.result(provider, "anvil_mine", [hex(WATCH_SECONDS + 1)])  # a second each
    first.scan()
    last = paying.request("And this?")
    assert count_pending(network.ai, first.name) == 1

    def restarted(ledger: Ledger) -> tuple[list[str], Count]:
        counter = RpcCounter(str(provider.http_uri))
        with counter, connected_to(counter.url) as counted:
            node = node_of(ai=DtnAi(network.ai.router, counted), ledger=ledger)
            with counter.counting() as count:
                node.scan()
            return ["0x" + each.hex() for each in node.queue.open], count

    found, count = restarted(open_ledger(network.ai, network.node.id))
    again, from_the_start = restarted(Ledger())

    assert found == again == [last.id]
    assert count.methods["eth_call"] < 40 < HOW_MANY < from_the_start.methods["eth_call"]


@on_one
def test_requests_are_read_in_pages(
    paying: DtnSession, node_of: Callable[..., DtnNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ape_dtn.node import queue

    requests = paying.request_many([f"{each}" for each in range(7)])
    monkeypatch.setattr(queue, "PAGE_SIZE", 3)
    answered = node_of().answer_pending()

    assert sorted(answered) == sorted(each.id for each in requests)  # type: ignore[union-attr]
