"""What a transaction on the copy has changed: slots of storage, views, and what accounts hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from eth_utils import to_checksum_address

from ape_dtn.chain import reads, rpc
from ape_dtn.chain.reads import Call
from ape_dtn.network.abi import ERC20
from ape_dtn.rehearsal.fork import Fork
from ape_dtn.rehearsal.known import Known, addresses, output_of
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
    known: Known,
    token: Token,
    coin: Token,
    touched: Iterable[str],
) -> tuple[Change, ...]:
    """What a mined transaction changed, in a few HTTP requests.

    Args:
        fork: The copy.
        receipt: The transaction, which is alone in its block.
        known: The contracts that are known.
        token: The fee token.
        coin: The chain's coin.
        touched: The contracts whose views are read, where the chain does not tell what changed.
    """
    traced = fork.changes(receipt.transaction) if fork.tells_traces else {"pre": {}, "post": {}}
    storage = list(_storage(traced, known))
    contracts = addresses(each.address for each in storage) if fork.tells_traces else touched
    return (
        *_views(fork, receipt.block_number, known, contracts),
        *_tokens(fork, receipt, known, token),
        *_coins(fork, receipt, traced, known, coin),
        *storage,
    )


def _storage(traced: dict[str, Any], known: Known) -> Iterator[Change]:
    before, after = traced["pre"], traced["post"]
    for address in addresses([*before, *after]):
        slots = [dict(side.get(address.lower(), {}).get("storage", {})) for side in (before, after)]
        for slot in sorted({*slots[0], *slots[1]}):
            values = [side.get(slot, EMPTY) for side in slots]
            if values[0] != values[1]:
                yield Change("storage", address, known.label(address), slot, *values)


def _views(fork: Fork, block: int, known: Known, contracts: Iterable[str]) -> Iterator[Change]:
    """The views without arguments that return something else than before."""
    asked = [(address, abi) for address in contracts for abi in known.views(address)]
    if not asked:
        return
    calls = [Call(address, output_of(abi)) for address, abi in asked]
    before, after = (_at(fork, calls, each) for each in (block - 1, block))
    for (address, abi), was, is_now in zip(asked, before, after, strict=True):
        # A view that reverts has no value, such as that of an answer before there is one.
        values = [None if isinstance(each, DtnError) else to_json(each) for each in (was, is_now)]
        if values[0] != values[1]:
            yield Change("view", address, known.label(address), abi.name, *values)


def _tokens(fork: Fork, receipt: Receipt, known: Known, token: Token) -> Iterator[Change]:
    """What those who sent or were sent the fee token held of it before, and hold now."""
    moved = ERC20.transferred.find(receipt.logs, token.address)
    holders = addresses(each[side] for each in moved for side in ("from", "to"))
    calls = [Call(token.address, ERC20.balance_of, (each,)) for each in holders]
    if not calls:
        return
    before, after = (
        _at(fork, calls, each) for each in (receipt.block_number - 1, receipt.block_number)
    )
    for holder, was, is_now in zip(holders, before, after, strict=True):
        if was != is_now:
            values = str(token.units(was)), str(token.units(is_now))
            yield Change("balance", holder, known.label(holder), token.symbol, *values)


def _coins(
    fork: Fork, receipt: Receipt, traced: dict[str, Any], known: Known, coin: Token
) -> Iterator[Change]:
    """What accounts hold of the chain's coin, other than who makes the blocks."""
    found = [
        (to_checksum_address(address), traced["pre"].get(address, {}), state["balance"])
        for address, state in traced["post"].items()
        if "balance" in state
    ]
    if not found:
        return
    block = rpc.result(fork.provider, "eth_getBlockByNumber", [hex(receipt.block_number), False])
    miner = to_checksum_address(block["miner"])
    for address, before, after in found:
        values = [str(coin.units(as_int(each))) for each in (before.get("balance", 0), after)]
        if address != miner and values[0] != values[1]:
            yield Change("balance", address, known.label(address), coin.symbol, *values)


def _at(fork: Fork, calls: Sequence[Call], block: int) -> list[Any]:
    return reads.try_read(fork.provider, *(replace(each, block=block) for each in calls))
