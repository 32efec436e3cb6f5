"""Transactions before and after signing, and their receipts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ape_dtn.types.abi import Function, Log
from ape_dtn.types.payload import payload_of
from ape_dtn.types.rpc import SEND, Request

# The gas limit in percent of the estimate: a response with exactly its estimate can run out of gas.
GAS_MARGIN_PERCENT = 120


@dataclass(frozen=True)
class Transaction:
    """A transaction to be sent.

    Attributes:
        to: The called contract; None to create one.
        data: The call data, or the code of the new contract.
        value: The native currency that it transfers, in wei.
        gas_limit: Its gas limit; None to estimate it, which also detects a revert.
        extra_gas: Gas beyond the estimate, for inner calls that may fail without a revert.
        delegate: The contract that the sender delegates to from this transaction on (EIP-7702);
            None to leave its delegation unchanged.
    """

    to: str | None
    data: bytes
    value: int = 0
    gas_limit: int | None = None
    extra_gas: int = 0
    delegate: str | None = None

    def as_call(self, sender: str) -> dict[str, str]:
        """The fields of a JSON-RPC call, to estimate or simulate it."""
        fields = {"from": sender, "data": "0x" + self.data.hex(), "value": hex(self.value)}
        return {**fields, "to": self.to} if self.to else fields

    def limit_for(self, used: int) -> int:
        """The gas limit to sign, for an estimate of the gas used."""
        if self.gas_limit is not None:
            return self.gas_limit
        return used * GAS_MARGIN_PERCENT // 100 + self.extra_gas


@dataclass(frozen=True)
class Receipt:
    """A mined transaction that succeeded.

    Attributes:
        transaction: Its hash.
        block_number: Its block.
        gas_used: The gas that it used.
        gas_price: The price of a unit of gas, in wei.
        logs: Its logs, in order.
        contract: The address of the contract that it created, if any.
    """

    transaction: str
    block_number: int
    gas_used: int
    gas_price: int
    logs: tuple[Log, ...]
    contract: str | None


@dataclass(frozen=True)
class Signed:
    """A signed transaction. It runs at most once, however often it is broadcast.

    Attributes:
        hash: Its hash.
        sender: The account that signed it.
        nonce: Its nonce.
        raw: Its bytes as ``0x…``; empty if the account's wallet sent it.
    """

    hash: str
    sender: str
    nonce: int
    raw: str

    @property
    def sending(self) -> Request:
        """The request that broadcasts it."""
        return SEND, [self.raw]

    @property
    def is_empty(self) -> bool:
        """Whether its only effect is to use its nonce."""
        if not self.raw:
            return False
        payload = payload_of(self.raw)
        return payload.to == self.sender and not payload.data and not payload.value


# Receives signed transactions, by position, before any of them is broadcast.
OnSigned = Callable[[Mapping[int, Signed]], None]


def contract_call(
    address: str, function: Function, *args: Any, value: int = 0, gas_limit: int | None = None
) -> Transaction:
    """A transaction that calls a contract's function."""
    return Transaction(address, function.encode(*args), value, gas_limit)
