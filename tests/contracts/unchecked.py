"""Transactions that are sent without checks, so that failing ones are mined, too."""

from __future__ import annotations

import time
from typing import Any

from ape_dtn.chain import reads, rpc
from ape_dtn.types.abi import Log
from ape_dtn.types.rpc import as_int

from .conftest import Net

GAS = 10_000_000


def send_unchecked(net: Net, sender: Any, *calls: tuple[bytes, int]) -> list[Any]:
    """Sends calls (data, wei) to the router one after the other and returns their receipts."""
    return [_send(net, sender, data, value) for data, value in calls]


def succeeded(receipt: Any) -> bool:
    return as_int(receipt["status"]) == 1


def logs_of(receipt: Any) -> tuple[Log, ...]:
    return tuple(reads.to_log(log) for log in receipt["logs"])


def _send(net: Net, sender: Any, data: bytes, value: int) -> Any:
    transaction = {
        "from": sender.address,
        "to": net.router,
        "data": "0x" + data.hex(),
        "value": hex(value),
        "gas": hex(GAS),
    }
    sent = rpc.result(net.provider, "eth_sendTransaction", [transaction])
    deadline = time.monotonic() + 20
    while not (receipt := rpc.result(net.provider, "eth_getTransactionReceipt", [sent])):
        assert time.monotonic() < deadline, "not mined"
        time.sleep(0.005)
    return receipt
