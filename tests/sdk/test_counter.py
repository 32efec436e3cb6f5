"""RpcCounter counts requests and calls, and forwards them unchanged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from ape_dtn import DtnAi
from ape_dtn.chain import rpc
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.errors import RpcRefused
from ape_dtn.types.rpc import Failure, as_int
from benchmarks.chain import connected_to
from benchmarks.rpc_counter import TRACES, RpcCounter


@pytest.fixture
def counter(network: LocalNetwork) -> Iterator[RpcCounter]:
    with RpcCounter(str(network.ai.provider.http_uri), refuse=TRACES) as counter:
        yield counter


@pytest.fixture
def ai(network: LocalNetwork, counter: RpcCounter) -> Iterator[DtnAi]:
    with connected_to(counter.url) as provider:
        yield DtnAi(network.ai.router, provider)


def test_a_batch_is_one_http_request(ai: DtnAi, counter: RpcCounter) -> None:
    with counter.counting() as count:
        rpc.ask(ai.provider, [("eth_chainId", []), ("eth_blockNumber", []), ("eth_chainId", [])])

    assert (count.http, count.rpc) == (1, 3)
    assert count.methods == Counter(eth_chainId=2, eth_blockNumber=1)


def test_each_count_starts_at_zero(ai: DtnAi, counter: RpcCounter) -> None:
    for _ in range(2):
        with counter.counting() as count:
            rpc.result(ai.provider, "eth_chainId", [])
        rpc.result(ai.provider, "eth_chainId", [])
        assert (count.http, count.rpc) == (1, 1)


def test_answers_are_those_of_the_chain(
    network: LocalNetwork, ai: DtnAi, counter: RpcCounter
) -> None:
    assert ai.contracts() == network.ai.contracts()
    assert ai.token() == network.ai.token()


def test_refused_methods_are_counted_and_refused(ai: DtnAi, counter: RpcCounter) -> None:
    with counter.counting() as count, pytest.raises(RpcRefused, match="debug_traceTransaction"):
        rpc.result(ai.provider, "debug_traceTransaction", ["0x" + "00" * 32])

    assert count.traces == 1


def test_the_rest_of_a_batch_is_answered(ai: DtnAi) -> None:
    chain, trace = rpc.ask(ai.provider, [("eth_chainId", []), ("trace_block", ["latest"])])

    assert as_int(chain) == 31337
    assert isinstance(trace, Failure)
