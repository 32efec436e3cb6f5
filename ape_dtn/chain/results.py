"""The shapes of JSON-RPC results. A result of another shape is malformed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA = re.compile(r"0x([0-9a-fA-F]{2})*")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")

# Above all block numbers, timestamps, indices and amounts of gas.
_MOST = 2**63

_Check: TypeAlias = Callable[[Any], bool]


def _matches(pattern: re.Pattern[str]) -> _Check:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _or_none(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _list_of(check: _Check) -> _Check:
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


def _object(**fields: _Check) -> _Check:
    """An object with at least these fields. A field that may be None may be missing."""

    def check(value: Any) -> bool:
        return isinstance(value, dict) and all(
            is_right(value.get(name)) for name, is_right in fields.items()
        )

    return check


_quantity = _matches(_QUANTITY)
_data = _matches(_DATA)
_hash = _matches(_HASH)
_address = _matches(_ADDRESS)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return _quantity(value) and int(value, 16) < _MOST


_log = _object(
    address=_address,
    topics=_list_of(_hash),
    data=_data,
    blockNumber=_number,
    transactionHash=_hash,
    logIndex=_number,
)

_receipt = _object(
    transactionHash=_hash,
    blockNumber=_or_none(_number),
    gasUsed=_number,
    effectiveGasPrice=_or_none(_quantity),
    logs=_list_of(_log),
    contractAddress=_or_none(_address),
    status=_or_none(_number),
)

_transaction = _object(
    to=_or_none(_address), input=_data, value=_quantity, blockNumber=_or_none(_number)
)

_block = _object(
    number=_number,
    hash=_hash,
    timestamp=_number,
    baseFeePerGas=_or_none(_quantity),
    gasLimit=_or_none(_number),
    transactions=_or_none(_list_of(lambda value: _hash(value) or isinstance(value, dict))),
)

_fee_history = _object(
    baseFeePerGas=_list_of(_quantity), reward=_or_none(_list_of(_or_none(_list_of(_quantity))))
)

_simulated = _object(
    calls=_list_of(_object(returnData=_data, status=_number, gasUsed=_number)), number=_number
)

_SHAPES: Mapping[str, _Check] = {
    "eth_accounts": _list_of(_address),
    "eth_blockNumber": _number,
    "eth_call": _data,
    "eth_chainId": _number,
    "eth_estimateGas": _number,
    "eth_feeHistory": _fee_history,
    "eth_gasPrice": _quantity,
    "eth_getBalance": _quantity,
    "eth_getBlockByNumber": _or_none(_block),
    "eth_getCode": _data,
    "eth_getLogs": _list_of(_log),
    "eth_getStorageAt": _data,
    "eth_getTransactionByHash": _or_none(_transaction),
    "eth_getTransactionCount": _number,
    "eth_getTransactionReceipt": _or_none(_receipt),
    "eth_maxPriorityFeePerGas": _quantity,
    "eth_sendRawTransaction": _hash,
    "eth_sendTransaction": _hash,
    "eth_simulateV1": _list_of(_simulated),
    "web3_clientVersion": _text,
}


def is_result(method: str, params: list[Any], result: Any) -> bool:
    """Whether a value has the shape of a method's result. Unknown methods may return anything."""
    check = _SHAPES.get(method)
    if check is None:
        return True
    if result is None and method == "eth_getBlockByNumber":
        return params[:1] not in (["latest"], ["pending"])  # these always exist
    if method == "eth_simulateV1" and check(result):  # as many blocks and calls as were sent
        asked = [len(block["calls"]) for block in params[0]["blockStateCalls"]]
        return asked == [len(block["calls"]) for block in result]
    return check(result)
