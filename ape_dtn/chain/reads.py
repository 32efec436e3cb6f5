"""All that is asked of the chain: contract views, many in one HTTP request, and logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eth_abi.exceptions import DecodingError
from eth_utils import to_checksum_address

from ape_dtn.chain import rpc
from ape_dtn.chain.errors import NoContractAtAddress, RpcRefused
from ape_dtn.chain.reverts import failure_error, untranslated
from ape_dtn.types.abi import Event, Function, Log
from ape_dtn.types.errors import DtnError
from ape_dtn.types.rpc import Failure, Request, as_bytes, as_int
from ape_dtn.types.translate import Translate

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


# How many queries one search for logs may become when an endpoint refuses large ranges: 40 million
# blocks where it takes 10,000 at a time.
MOST_LOG_QUERIES = 4096

# How many of them travel in one HTTP request: each can be as much work as a thousand views.
LOG_QUERIES_TOGETHER = 100


@dataclass(frozen=True)
class Call:
    """A view call.

    Attributes:
        address: The contract.
        function: Its function.
        args: The function's arguments.
        contract: What the contract is, for the error when it is not there.
        sender: Who calls, where that matters.
        block: The block whose state answers; None for the latest.
    """

    address: str
    function: Function
    args: tuple[Any, ...] = ()
    contract: str = "contract of the network"
    sender: str | None = None
    block: int | None = None

    @property
    def request(self) -> Request:
        """The call as a JSON-RPC request."""
        block = "latest" if self.block is None else hex(self.block)
        data = "0x" + self.function.encode(*self.args).hex()
        call = {"to": self.address, "data": data}
        return "eth_call", [{**call, "from": self.sender} if self.sender else call, block]


def read(provider: ProviderAPI, *calls: Call, translate: Translate = untranslated) -> list[Any]:
    """Makes view calls in one HTTP request and decodes what they return.

    Raises:
        DtnError: The error of the first call that failed; see ``translate``.
    """
    return expect_all(try_read(provider, *calls, translate=translate))


def read_one(provider: ProviderAPI, call: Call, translate: Translate = untranslated) -> Any:
    """Makes one view call; see :func:`read`."""
    (result,) = read(provider, call, translate=translate)
    return result


def expect_all(results: list[Any]) -> list[Any]:
    """The results of :func:`try_read`, where none may have failed.

    Raises:
        DtnError: The first of them that is one.
    """
    for result in results:
        if isinstance(result, DtnError):
            raise result
    return results


def try_read(provider: ProviderAPI, *calls: Call, translate: Translate = untranslated) -> list[Any]:
    """Makes view calls in one HTTP request, with an error in the place of each that failed."""
    return decode_all(calls, rpc.ask(provider, [call.request for call in calls]), translate)


def decode_all(
    calls: Sequence[Call], answers: Sequence[Any], translate: Translate = untranslated
) -> list[Any]:
    """What calls returned that were asked beside other things, or their errors in their places."""
    return [_decoded(call, answer, translate) for call, answer in zip(calls, answers, strict=True)]


def logs(
    provider: ProviderAPI,
    address: str | Sequence[str] | None,
    topics: Sequence[str | Sequence[str] | None],
    from_block: int = 0,
    to_block: int | None = None,
) -> list[Log]:
    """The logs of contracts in a range of blocks, in the order of the chain.

    Endpoints refuse ranges that are too large, each in its own words, and some by the number of
    results. So a refused range is halved until one is accepted. The rest is then asked for in
    ranges of that size, :data:`LOG_QUERIES_TOGETHER` in one HTTP request, of which each that is
    refused is halved by itself; within :data:`MOST_LOG_QUERIES` queries in all.

    Args:
        provider: The connection.
        address: The contract, a list for any of several, or None for any at all.
        topics: As ``eth_getLogs`` takes them: None for any, a list for one of several.
        from_block: The first block that is searched.
        to_block: The last one; by default the latest.

    Raises:
        RpcRefused: The endpoint refused too often.
    """
    if to_block is None:
        to_block = as_int(rpc.result(provider, "eth_blockNumber", []))
    query = {"topics": list(topics)} | ({} if address is None else {"address": address})
    found: list[Log] = []
    ranges = _ranges(from_block, to_block, max(to_block + 1 - from_block, 1))
    together, asked = 1, 0
    while ranges:
        if asked + len(ranges) > MOST_LOG_QUERIES:
            what = f"the range of blocks from {from_block} to {to_block} is too large"
            raise RpcRefused("eth_getLogs", what)
        now, ranges = ranges[:together], ranges[together:]
        asked += len(now)
        answers = rpc.ask(provider, [_log_query(query, *each) for each in now])
        refused: list[tuple[int, int]] = []
        for (first, last), answer in zip(now, answers, strict=True):
            if not isinstance(answer, Failure):
                found += [to_log(raw) for raw in answer]
            elif first < last:
                refused += _ranges(first, last, (last - first) // 2 + 1)
            else:
                raise RpcRefused(answer.method, answer.message)
        if together == 1 and not refused:  # so large a range is accepted
            together = LOG_QUERIES_TOGETHER
            ranges = _ranges(now[0][1] + 1, to_block, now[0][1] + 1 - from_block)
        ranges = refused + ranges
    return sorted(found, key=lambda log: (log.block_number, log.index))


def _ranges(first: int, last: int, size: int) -> list[tuple[int, int]]:
    """The blocks from first to last in ranges of a size."""
    return [(start, min(start + size - 1, last)) for start in range(first, last + 1, size)]


def _log_query(query: dict[str, Any], first: int, last: int) -> Request:
    return "eth_getLogs", [{**query, "fromBlock": hex(first), "toBlock": hex(last)}]


def events(
    provider: ProviderAPI, address: str, event: Event, *indexed: str | None, from_block: int = 0
) -> list[tuple[Log, dict[str, Any]]]:
    """The events of one kind with these indexed fields (None for any), each with its log."""
    return [
        (log, event.decode(log))
        for log in logs(provider, address, [event.topic, *indexed], from_block)
    ]


def transaction_logs(provider: ProviderAPI, transaction: str) -> list[Log]:
    """The logs that a mined transaction left, in their order."""
    receipt = rpc.result(provider, "eth_getTransactionReceipt", [transaction])
    if receipt is None:  # an endpoint that lags behind, or a reorganisation
        raise RpcRefused("eth_getTransactionReceipt", f"it does not know {transaction}")
    return [to_log(raw) for raw in receipt["logs"]]


def to_log(raw: Any) -> Log:
    """A log as JSON-RPC gives it."""
    return Log(
        address=to_checksum_address(raw["address"]),
        topics=tuple(as_bytes(topic) for topic in raw["topics"]),
        data=as_bytes(raw["data"]),
        block_number=as_int(raw["blockNumber"]),
        transaction="0x" + as_bytes(raw["transactionHash"]).hex(),
        index=as_int(raw["logIndex"]),
    )


def topic(value: int | bytes) -> str:
    """An indexed number or hash, as a log's topic has it."""
    data = value.to_bytes(32, "big") if isinstance(value, int) else value
    return "0x" + data.hex()


def _decoded(call: Call, answer: Any, translate: Translate) -> Any:
    if isinstance(answer, Failure):
        return failure_error(answer, translate)
    data = as_bytes(answer)
    try:
        # Ape has taught eth_abi to read a number from nothing.
        if data or not call.function.outputs:
            return call.function.decode(data)
    except (DecodingError, ValueError):  # another contract returns something else
        pass
    return NoContractAtAddress(call.address, call.contract)
