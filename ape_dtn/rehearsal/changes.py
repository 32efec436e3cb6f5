"""What a transaction on the fork has changed: storage, views and balances."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from eth_utils import to_checksum_address

from ape_dtn.chain import reads, rpc
from ape_dtn.chain.reads import Call
from ape_dtn.network.abi import ERC20
from ape_dtn.rehearsal.fork import Fork
from ape_dtn.rehearsal.known import KnownContracts, checksummed, output_of
from ape_dtn.rehearsal.report import Change
from ape_dtn.types.amount import Token
from ape_dtn.types.errors import DtnError
from ape_dtn.types.rpc import as_int
from ape_dtn.types.transactions import Receipt
from ape_dtn.types.values import to_json

EMPTY = "0x" + "00" * 32


def of(
    fork: Fork,
    receipt: Receipt,
    known: KnownContracts,
    token: Token,
    native: Token,
    touched: Iterable[str],
) -> tuple[Change, ...]:
    """Return what a mined transaction changed, in a few HTTP requests.

    The transaction must be alone in its block. ``touched`` are the contracts whose views are
    compared if the fork has no traces.
    """
    traced = fork.changes(receipt.transaction) if fork.has_traces else {"pre": {}, "post": {}}
    storage = list(_storage(traced, known))
    contracts = checksummed(change.address for change in storage) if fork.has_traces else touched
    return (
        *_views(fork, receipt.block_number, known, contracts),
        *_token_balances(fork, receipt, known, token),
        *_native_balances(fork, receipt, traced, known, native),
        *storage,
    )


def _storage(traced: dict[str, Any], known: KnownContracts) -> Iterator[Change]:
    before, after = traced["pre"], traced["post"]
    for address in checksummed([*before, *after]):
        old, new = (
            dict(state.get(address.lower(), {}).get("storage", {})) for state in (before, after)
        )
        for slot in sorted({*old, *new}):
            values = old.get(slot, EMPTY), new.get(slot, EMPTY)
            if values[0] != values[1]:
                yield Change("storage", address, known.label(address), slot, *values)


def _views(
    fork: Fork, block: int, known: KnownContracts, contracts: Iterable[str]
) -> Iterator[Change]:
    """Compare the views without arguments."""
    views = [(address, abi) for address in contracts for abi in known.views(address)]
    if not views:
        return
    calls = [Call(address, output_of(abi)) for address, abi in views]
    before, after = (_read_at(fork, calls, number) for number in (block - 1, block))
    for (address, abi), old, new in zip(views, before, after, strict=True):
        # A view may revert, for example while there is no answer: its value is None.
        values = [None if isinstance(value, DtnError) else to_json(value) for value in (old, new)]
        if values[0] != values[1]:
            yield Change("view", address, known.label(address), abi.name, *values)


def _token_balances(
    fork: Fork, receipt: Receipt, known: KnownContracts, token: Token
) -> Iterator[Change]:
    """Compare the fee token balances of all senders and recipients."""
    transfers = ERC20.transferred.find(receipt.logs, token.address)
    holders = checksummed(transfer[party] for transfer in transfers for party in ("from", "to"))
    calls = [Call(token.address, ERC20.balance_of, (holder,)) for holder in holders]
    if not calls:
        return
    block = receipt.block_number
    before, after = (_read_at(fork, calls, number) for number in (block - 1, block))
    for holder, old, new in zip(holders, before, after, strict=True):
        if old != new:
            values = token.units(old), token.units(new)
            yield Change("balance", holder, known.label(holder), token.symbol, *values)


def _native_balances(
    fork: Fork, receipt: Receipt, traced: dict[str, Any], known: KnownContracts, native: Token
) -> Iterator[Change]:
    """Compare the native balances of all accounts but the block's beneficiary."""
    changed = [
        (to_checksum_address(address), traced["pre"].get(address, {}), state["balance"])
        for address, state in traced["post"].items()
        if "balance" in state
    ]
    if not changed:
        return
    block = rpc.result(fork.provider, "eth_getBlockByNumber", [hex(receipt.block_number), False])
    miner = to_checksum_address(block["miner"])
    for address, before, balance in changed:
        values = [native.units(as_int(wei)) for wei in (before.get("balance", 0), balance)]
        if address != miner and values[0] != values[1]:
            yield Change("balance", address, known.label(address), native.symbol, *values)


def _read_at(fork: Fork, calls: Sequence[Call], block: int) -> list[Any]:
    return reads.try_read(fork.provider, *(replace(call, block=block) for call in calls))
