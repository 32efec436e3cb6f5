"""A restarted node does not read settled requests again."""

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

from .conftest import on_one_variant

COUNT = 100


@on_one_variant
def test_a_restart_reads_only_unsettled_requests(
    network: LocalNetwork,
    session: DtnSession,
    make_node: Callable[..., DtnNode],
    data_folder: Path,
) -> None:
    provider = network.ai.provider
    first = make_node(ledger=open_ledger(network.ai, network.node.id))
    session.request_many([f"{number}" for number in range(COUNT)])
    assert len(first.answer_pending()) == COUNT
    rpc.result(provider, "anvil_mine", [hex(WATCH_SECONDS + 1)])  # one second per block
    first.scan()
    last = session.request("And this?")
    assert count_pending(network.ai, first.name) == 1

    def restarted(ledger: Ledger) -> tuple[list[str], Count]:
        counter = RpcCounter(str(provider.http_uri))
        with counter, connected_to(counter.url) as counted:
            node = make_node(ai=DtnAi(network.ai.router, counted), ledger=ledger)
            with counter.counting() as count:
                node.scan()
            return ["0x" + id.hex() for id in node.queue.open], count

    first_ids, count = restarted(open_ledger(network.ai, network.node.id))
    second_ids, from_the_start = restarted(Ledger())

    assert first_ids == second_ids == [last.id]
    assert count.methods["eth_call"] < 40 < COUNT < from_the_start.methods["eth_call"]


@on_one_variant
def test_requests_are_read_in_pages(
    session: DtnSession, make_node: Callable[..., DtnNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ape_dtn.node import queue

    requests = session.request_many([f"{number}" for number in range(7)])
    monkeypatch.setattr(queue, "PAGE_SIZE", 3)
    answered = make_node().answer_pending()

    assert sorted(answered) == sorted(request.id for request in requests)  # type: ignore[union-attr]
