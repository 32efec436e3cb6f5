"""The most that is paid for gas, and that a transaction may use, whatever an endpoint says.

One endpoint gives all figures that fees are made of. These bounds come from elsewhere: from the
table below by chain, and from the configuration.
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

# The most gas of a transaction where EIP-7825 holds.
TRANSACTION_GAS = 2**24


@dataclass(frozen=True)
class Ceilings:
    """Ceilings of a chain.

    Attributes:
        tip: Of the priority fee, in wei for each unit of gas. What is above is not paid.
        fee: Of the base fee and the tip together, in wei for each unit of gas.
        cost: Of all gas of an operation, in wei.
        gas: Of the gas of a transaction; None where only the block limits it.
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

# By chain, what the configuration says.
_configured: dict[int, Ceilings] = {}

# How nodes refuse a transaction that may use more gas than any may (EIP-7825).
_OVER_CAP = re.compile(
    r"(gas|limit)\W.{0,60}(cap\b|_cap|maximum|max\b|2\^24|16,?777,?216)|7825", re.IGNORECASE
)


def configure(
    chain_id: int, tip: Decimal | None, fee: Decimal | None, cost: Decimal | None
) -> None:
    """Set the ceilings of a chain, as the configuration has them.

    Args:
        chain_id: The chain.
        tip: In gwei for each unit of gas; None for the table's.
        fee: In gwei for each unit of gas; None for the table's.
        cost: In the native currency; None for the table's.
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
    """The most gas of a transaction: by the chain, by what a refusal taught, and by the block."""
    limits = (of_chain(chain_id).gas, rpc.endpoint(provider).gas_cap, block_limit)
    return min((limit for limit in limits if limit is not None), default=None)


def learn_from(provider: ProviderAPI, refusal: str, gas_limit: int) -> None:
    """Remember that transactions have a ceiling, where that is why one was refused."""
    if gas_limit > TRANSACTION_GAS and _OVER_CAP.search(refusal):
        rpc.endpoint(provider).gas_cap = TRANSACTION_GAS
