"""All that is asked of the chain: contract views, many in one HTTP request, and logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eth_abi.exceptions import DecodingError
from eth_utils import to_checksum_address

from ape_dtn.chain import reverts, rpc
from ape_dtn.chain.abi import Event, Function, Log
from ape_dtn.errors import DtnError, NoContractAtAddress, RpcRefused

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI

# How many queries one search for logs may become when an endpoint refuses large ranges.
MOST_LOG_QUERIES = 64


@dataclass(frozen=True)
class Call:
    """A view call.

    Attributes:
        address: The contract.
        function: Its function.
        args: The function's arguments.
        contract: What the contract is, for the error when it is not there.
        sender: Who calls, where that matters.
    """

    address: str
    function: Function
    args: tuple[Any, ...] = ()
    contract: str = "contract of the network"
    sender: str | None = None

    @property
    def request(self) -> rpc.Request:
        """The call as a JSON-RPC request, on the latest block."""
        data = "0x" + self.function.encode(*self.args).hex()
        call = {"to": self.address, "data": data}
        return "eth_call", [{**call, "from": self.sender} if self.sender else call, "latest"]


def read(provider: ProviderAPI, *calls: Call, about: reverts.About = reverts.NOTHING) -> list[Any]:
    """Makes view calls in one HTTP request and decodes what they return.

    Raises:
        DtnError: The error of the first call that failed; see :mod:`ape_dtn.chain.reverts`.
    """
    results = try_read(provider, *calls, about=about)
    for result in results:
        if isinstance(result, DtnError):
            raise result
    return results


def read_one(provider: ProviderAPI, call: Call, about: reverts.About = reverts.NOTHING) -> Any:
    """Makes one view call; see :func:`read`."""
    (result,) = read(provider, call, about=about)
    return result


def try_read(
    provider: ProviderAPI, *calls: Call, about: reverts.About = reverts.NOTHING
) -> list[Any]:
    """Makes view calls in one HTTP request, with an error in the place of each that failed."""
    answers = rpc.ask(provider, [call.request for call in calls])
    return [_decoded(call, answer, about) for call, answer in zip(calls, answers, strict=True)]


def logs(
    provider: ProviderAPI,
    address: str,
    topics: Sequence[str | Sequence[str] | None],
    from_block: int = 0,
) -> list[Log]:
    """The logs of a contract up to the latest block, in the order of the chain.

    Endpoints refuse ranges that are too large, each in its own words, so a refused range is halved
    until it is answered, within :data:`MOST_LOG_QUERIES` queries.

    Args:
        provider: The connection.
        address: The contract.
        topics: As ``eth_getLogs`` takes them: None for any, a list for one of several.
        from_block: The first block that is searched.

    Raises:
        RpcRefused: The endpoint refused too often.
    """
    head = rpc.as_int(rpc.result(provider, "eth_blockNumber", []))
    found: list[Log] = []
    ranges = [(from_block, head)]
    for _ in range(MOST_LOG_QUERIES):
        if not ranges:
            return found
        first, last = ranges.pop()
        query = {"address": address, "topics": list(topics)}
        query |= {"fromBlock": hex(first), "toBlock": hex(last)}
        (answer,) = rpc.ask(provider, [("eth_getLogs", [query])])
        if isinstance(answer, rpc.Failure):
            if first >= last:
                raise RpcRefused(answer.method, answer.message)
            middle = (first + last) // 2
            ranges += [(middle + 1, last), (first, middle)]
        else:
            found += [to_log(raw) for raw in answer]
    raise RpcRefused("eth_getLogs", f"the range of blocks from {from_block} to {head} is too large")


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
    return [to_log(raw) for raw in receipt["logs"]]


def to_log(raw: Any) -> Log:
    """A log as JSON-RPC gives it."""
    return Log(
        address=to_checksum_address(raw["address"]),
        topics=tuple(rpc.as_bytes(topic) for topic in raw["topics"]),
        data=rpc.as_bytes(raw["data"]),
        block_number=rpc.as_int(raw["blockNumber"]),
        transaction="0x" + rpc.as_bytes(raw["transactionHash"]).hex(),
        index=rpc.as_int(raw["logIndex"]),
    )


def topic(value: int | bytes) -> str:
    """An indexed number or hash, as a log's topic has it."""
    data = value.to_bytes(32, "big") if isinstance(value, int) else value
    return "0x" + data.hex()


def _decoded(call: Call, answer: Any, about: reverts.About) -> Any:
    if isinstance(answer, rpc.Failure):
        return reverts.failure_error(answer, about)
    data = rpc.as_bytes(answer)
    try:
        # Ape has taught eth_abi to read a number from nothing.
        if data or not call.function.outputs:
            return call.function.decode(data)
    except (DecodingError, ValueError):  # another contract returns something else
        pass
    return NoContractAtAddress(call.address, call.contract)
