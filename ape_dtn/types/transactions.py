"""Transactions: to be sent, signed, and mined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ape_dtn.types.abi import Function, Log
from ape_dtn.types.payload import payload_of
from ape_dtn.types.rpc import SEND, Request

# What a transaction may use beyond its estimate: a response that was given exactly what was
# estimated for it can run out of gas.
GAS_MARGIN_PERCENT = 120


@dataclass(frozen=True)
class Transaction:
    """A transaction to be sent.

    Attributes:
        to: The contract; None to create one.
        data: The call data, or the code to create.
        value: The chain's coin that goes with it, in wei.
        gas_limit: The gas it may use; None to estimate it, which also finds out if it would revert.
        extra_gas: Gas beyond the estimate, for what may fail without reverting the transaction.
        delegate: The contract whose code the sender runs as its own from this transaction on
            (EIP-7702); None to leave it as it is.
    """

    to: str | None
    data: bytes
    value: int = 0
    gas_limit: int | None = None
    extra_gas: int = 0
    delegate: str | None = None

    def as_call(self, sender: str) -> dict[str, str]:
        """The transaction as it is estimated, simulated and called, in JSON-RPC's fields."""
        fields = {"from": sender, "data": "0x" + self.data.hex(), "value": hex(self.value)}
        return {**fields, "to": self.to} if self.to else fields

    def limit_for(self, used: int) -> int:
        """The gas limit that is signed, where so much would be used."""
        if self.gas_limit is not None:
            return self.gas_limit
        return used * GAS_MARGIN_PERCENT // 100 + self.extra_gas


@dataclass(frozen=True)
class Receipt:
    """A mined transaction that succeeded.

    Attributes:
        transaction: Its hash.
        block_number: The block that holds it.
        gas_used: The gas it used.
        gas_price: What each unit of gas cost, in wei.
        logs: What it left, in order.
        contract: The address of the contract that it created.
    """

    transaction: str
    block_number: int
    gas_used: int
    gas_price: int
    logs: tuple[Log, ...]
    contract: str | None


@dataclass(frozen=True)
class Signed:
    """A signed transaction: nothing can change it any more, and sent twice it runs once.

    Attributes:
        hash: Its hash.
        sender: Who signed it.
        nonce: Its nonce.
        raw: What is sent.
    """

    hash: str
    sender: str
    nonce: int
    raw: str

    @property
    def sending(self) -> Request:
        """What sends it."""
        return SEND, [self.raw]

    @property
    def is_empty(self) -> bool:
        """Whether it does nothing but use up its nonce."""
        if not self.raw:
            return False
        payload = payload_of(self.raw)
        return payload.to == self.sender and not payload.data and not payload.value


# Told of what was signed, by its place among all, before any of it is sent.
OnSigned = Callable[[Mapping[int, Signed]], None]


def contract_call(
    address: str, function: Function, *args: Any, value: int = 0, gas_limit: int | None = None
) -> Transaction:
    """A transaction that calls a contract's function."""
    return Transaction(address, function.encode(*args), value, gas_limit)
