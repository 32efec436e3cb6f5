"""Ceilings of gas prices, gas costs and gas limits, whatever the endpoint says.

A single endpoint supplies all figures that fees are computed from. The ceilings come from
elsewhere: the configuration, or the table below.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

from ape_dtn.chain import rpc

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


GWEI = 10**9
NATIVE = 10**18

# The limit of a transaction's gas on chains with EIP-7825.
TRANSACTION_GAS = 2**24


@dataclass(frozen=True)
class Ceilings:
    """Ceilings of a chain.

    Attributes:
        tip: The highest priority fee, in wei per gas. A higher one is reduced to it.
        fee: The highest sum of base fee and tip, in wei per gas.
        cost: The highest gas cost of an operation, in wei.
        gas: The most gas of a transaction; None if only the block limits it.
    """

    tip: int
    fee: int
    cost: int
    gas: int | None = None


UNKNOWN = Ceilings(tip=100 * GWEI, fee=2_000 * GWEI, cost=2 * NATIVE)

KNOWN = {
    1: Ceilings(20 * GWEI, 1_000 * GWEI, NATIVE // 2, TRANSACTION_GAS),
    8453: Ceilings(GWEI, 10 * GWEI, NATIVE // 20),
    11155111: Ceilings(50 * GWEI, 2_000 * GWEI, 2 * NATIVE, TRANSACTION_GAS),
}

# The configured ceilings, by chain.
_configured: dict[int, Ceilings] = {}

# How nodes refuse a transaction whose gas limit is above that of EIP-7825.
_OVER_CAP = re.compile(
    r"(gas|limit)\W.{0,60}(cap\b|_cap|maximum|max\b|2\^24|16,?777,?216)|7825", re.IGNORECASE
)


def configure(
    chain_id: int, tip: Decimal | None, fee: Decimal | None, cost: Decimal | None
) -> None:
    """Set the ceilings of a chain from the configuration.

    Args:
        chain_id: The chain.
        tip: In gwei per gas; None for the table's value.
        fee: In gwei per gas; None for the table's value.
        cost: In the native currency; None for the table's value.
    """
    found = KNOWN.get(chain_id, UNKNOWN)
    _configured[chain_id] = replace(
        found,
        tip=found.tip if tip is None else int(tip * GWEI),
        fee=found.fee if fee is None else int(fee * GWEI),
        cost=found.cost if cost is None else int(cost * NATIVE),
    )


def of_chain(chain_id: int) -> Ceilings:
    """The ceilings of a chain."""
    return _configured.get(chain_id) or KNOWN.get(chain_id, UNKNOWN)


def gas_ceiling(provider: ProviderAPI, chain_id: int, block_limit: int | None) -> int | None:
    """The most gas of a transaction: the lowest limit of chain, endpoint and block."""
    limits = (of_chain(chain_id).gas, rpc.endpoint(provider).gas_cap, block_limit)
    return min((limit for limit in limits if limit is not None), default=None)


def learn_from(provider: ProviderAPI, refusal: str, gas_limit: int) -> None:
    """Remember the gas limit of EIP-7825 if a transaction was refused for exceeding it."""
    if gas_limit > TRANSACTION_GAS and _OVER_CAP.search(refusal):
        rpc.endpoint(provider).gas_cap = TRANSACTION_GAS
