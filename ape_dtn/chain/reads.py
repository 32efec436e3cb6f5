"""Contract views, many in one HTTP request, and logs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eth_abi.exceptions import DecodingError
from eth_utils import to_checksum_address

from ape_dtn.chain import rpc, views
from ape_dtn.chain.errors import NoContractAtAddress, RpcRefused
from ape_dtn.chain.reverts import failure_error, untranslated
from ape_dtn.types.abi import Event, Function, Log
from ape_dtn.types.errors import DtnError
from ape_dtn.types.polling import POLICY, Deadline, patience
from ape_dtn.types.revert_translator import Translate
from ape_dtn.types.rpc import Failure, Refusal, Request, as_bytes, as_int

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


# The most queries of one search for logs, when the endpoint limits ranges: enough for 40 million
# blocks in ranges of 10,000.
MOST_LOG_QUERIES = 4096

# The most of these queries in one HTTP request: each can cost as much as a thousand views.
LOG_QUERIES_TOGETHER = 100


@dataclass(frozen=True)
class Call:
    """A view call.

    Attributes:
        address: The contract.
        function: Its function.
        args: The function's arguments.
        contract: The contract's role, for the error if it is missing.
        sender: The caller, if it matters.
        block: The block to read the state of; None for the latest.
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
    """Make view calls in one HTTP request, and decode their results.

    Raises:
        DtnError: The error of the first call that failed; see ``translate``.
    """
    return expect_all(try_read(provider, *calls, translate=translate))


def read_one(provider: ProviderAPI, call: Call, translate: Translate = untranslated) -> Any:
    """Make one view call; see :func:`read`."""
    (result,) = read(provider, call, translate=translate)
    return result


def expect_all(results: list[Any]) -> list[Any]:
    """Return the results of :func:`try_read` if none failed.

    Raises:
        DtnError: The first error among them.
    """
    for result in results:
        if isinstance(result, DtnError):
            raise result
    return results


def try_read(provider: ProviderAPI, *calls: Call, translate: Translate = untranslated) -> list[Any]:
    """Make view calls in one HTTP request, with errors in place of the results that failed.

    Raises:
        RpcRefused: The endpoint lags behind a block that is known.
    """
    return decode_all(calls, _ask(provider, [call.request for call in calls]), translate)


def _ask(provider: ProviderAPI, requests: list[Request]) -> list[Any]:
    """Send requests to views of the chain that have all known blocks."""
    if not requests or not views.known_block(provider):
        return rpc.ask(provider, requests)
    # The head takes one place in each batch.
    size = max(rpc.endpoint(provider).batch_limit - 1, 1)
    deadline = patience(POLICY.lag_patience)
    batches = [requests[start : start + size] for start in range(0, len(requests), size)]
    return [answer for batch in batches for answer in _ask_one_view(provider, batch, deadline)]


def _ask_one_view(
    provider: ProviderAPI, requests: list[Request], deadline: Deadline
) -> Sequence[Any]:
    attempts = 0
    while True:
        *answers, head = rpc.ask(provider, [*requests, _HEAD], as_one=True)
        try:
            views.check(provider, as_int(rpc.expect(head)), requests[0][0])
            return answers
        except RpcRefused:
            attempts += 1
            if deadline.is_over:
                raise
        deadline.sleep(POLICY.rpc_backoff.pause(attempts))


_HEAD: Request = ("eth_blockNumber", [])


def decode_all(
    calls: Sequence[Call], answers: Sequence[Any], translate: Translate = untranslated
) -> list[Any]:
    """Decode the answers to calls that were part of another batch; see :func:`try_read`."""
    return [_decoded(call, answer, translate) for call, answer in zip(calls, answers, strict=True)]


def logs(
    provider: ProviderAPI,
    address: str | Sequence[str] | None,
    topics: Sequence[str | Sequence[str] | None],
    from_block: int = 0,
    to_block: int | None = None,
) -> list[Log]:
    """The logs of contracts in a range of blocks, in the order of the chain.

    Endpoints limit ranges, some by blocks and some by results. A refused range is halved until one
    is accepted. The rest is then searched in ranges of that size, :data:`LOG_QUERIES_TOGETHER` in
    one HTTP request, and refused ones are halved again. A search makes at most
    :data:`MOST_LOG_QUERIES` queries. A limit on blocks is remembered for the connection.

    Args:
        provider: The connection.
        address: The contract, a list for any of several, or None for any at all.
        topics: As ``eth_getLogs`` takes them: None for any, a list for one of several.
        from_block: The first block that is searched.
        to_block: The last one; by default the latest.

    Raises:
        RpcRefused: The endpoint refused too often, or for another reason than the size.
    """
    if to_block is None:
        (head,) = _ask(provider, [_HEAD])
        to_block = as_int(rpc.expect(head))
    query = {"topics": list(topics)} | ({} if address is None else {"address": address})
    endpoint = rpc.endpoint(provider)
    size = max(to_block + 1 - from_block, 1)
    together = 1
    if endpoint.range_limit is not None and endpoint.range_limit < size:
        size, together = endpoint.range_limit, LOG_QUERIES_TOGETHER
    ranges = _ranges(from_block, to_block, size)
    found: list[Log] = []
    asked, is_limited = 0, False
    while ranges:
        if asked + len(ranges) > MOST_LOG_QUERIES:
            reason = f"the range of blocks from {from_block} to {to_block} is too large"
            raise _with_hint(RpcRefused("eth_getLogs", reason, Refusal.SMALLER_RANGE))
        now, ranges = ranges[:together], ranges[together:]
        asked += len(now)
        answers = rpc.ask(provider, [_log_query(query, *blocks) for blocks in now])
        refused: list[tuple[int, int]] = []
        for (first, last), answer in zip(now, answers, strict=True):
            if not isinstance(answer, Failure):
                found += [to_log(raw) for raw in answer]
            elif (
                first < last
                and answer.refusal in (Refusal.SMALLER_RANGE, Refusal.REFUSED)
                and not (address is None and _OF_ADDRESS.search(answer.message))
            ):
                refused += _ranges(first, last, (last - first) // 2 + 1)
                is_limited = is_limited or not _OF_RESULTS.search(answer.message)
            else:
                raise _with_hint(RpcRefused.of(answer))
        if together == 1 and not refused:  # the endpoint accepts ranges of this size
            size = now[0][1] + 1 - from_block
            together = LOG_QUERIES_TOGETHER
            ranges = _ranges(now[0][1] + 1, to_block, size)
            if is_limited:
                endpoint.range_limit = size
        ranges = refused + ranges
    return sorted(found, key=lambda log: (log.block_number, log.index))


# A limit on results depends on the search, and is not remembered.
_OF_RESULTS = re.compile(r"results?\b|\blogs\b|events?\b|response|\bsize\b|time", re.IGNORECASE)


# The refusal of a search of all contracts, whatever the range.
_OF_ADDRESS = re.compile(r"\baddress", re.IGNORECASE)


def _with_hint(error: RpcRefused) -> RpcRefused:
    if error.refusal in (Refusal.PRUNED, Refusal.SMALLER_RANGE, Refusal.REFUSED):
        error.hint = (
            "If the endpoint has pruned old blocks, use an archive node, or set `first_block` in "
            "the `dtn:` section of ape-config.yaml, or APE_DTN_FIRST_BLOCK, to the block to begin "
            "with: older events are then not found."
        )
    return error


def _ranges(first: int, last: int, size: int) -> list[tuple[int, int]]:
    """The blocks from first to last in ranges of a size."""
    return [(start, min(start + size - 1, last)) for start in range(first, last + 1, size)]


def _log_query(query: dict[str, Any], first: int, last: int) -> Request:
    return "eth_getLogs", [{**query, "fromBlock": hex(first), "toBlock": hex(last)}]


def events(
    provider: ProviderAPI, address: str, event: Event, *indexed: str | None, from_block: int = 0
) -> list[tuple[Log, dict[str, Any]]]:
    """The events with these indexed fields (None for any), each with its log."""
    return [
        (log, event.decode(log))
        for log in logs(provider, address, [event.topic, *indexed], from_block)
    ]


def transaction_logs(provider: ProviderAPI, transaction: str) -> list[Log]:
    """The logs of a mined transaction, in order."""
    receipt = rpc.result(provider, "eth_getTransactionReceipt", [transaction])
    if receipt is None:  # the endpoint lags, or a reorganisation
        reason = f"it does not know {transaction}"
        raise RpcRefused("eth_getTransactionReceipt", reason, Refusal.BEHIND)
    return [to_log(raw) for raw in receipt["logs"]]


def to_log(raw: Any) -> Log:
    """Parse a log of JSON-RPC."""
    return Log(
        address=to_checksum_address(raw["address"]),
        topics=tuple(as_bytes(topic) for topic in raw["topics"]),
        data=as_bytes(raw["data"]),
        block_number=as_int(raw["blockNumber"]),
        transaction="0x" + as_bytes(raw["transactionHash"]).hex(),
        index=as_int(raw["logIndex"]),
    )


def topic(value: int | bytes) -> str:
    """Encode an indexed number or hash as a topic."""
    data = value.to_bytes(32, "big") if isinstance(value, int) else value
    return "0x" + data.hex()


def _decoded(call: Call, answer: Any, translate: Translate) -> Any:
    if isinstance(answer, Failure):
        return failure_error(answer, translate)
    data = as_bytes(answer)
    try:
        # Ape patches eth_abi to decode empty data as a number.
        if data or not call.function.outputs:
            return call.function.decode(data)
    except (DecodingError, ValueError):  # another contract returns something else
        pass
    return NoContractAtAddress(call.address, call.contract)
