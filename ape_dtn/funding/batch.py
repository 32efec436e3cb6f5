"""Deposit and start in one transaction of an account that can make several calls in one.

That is a Safe, and a plain account that runs a contract which batches calls for it (EIP-7702).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from eth_abi import encode

from ape_dtn.chain import reads, safe, signers
from ape_dtn.chain.reads import Call
from ape_dtn.types.abi import Function
from ape_dtn.types.transactions import Transaction

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI


# As ERC-7821 has them, and as accounts of ERC-7579 do.
EXECUTE = Function("execute(bytes32,bytes)")
SUPPORTS_EXECUTION_MODE = Function("supportsExecutionMode(bytes32)", "bool")

# Several calls, all or none.
ALL_OR_NONE = b"\1" + b"\0" * 31


def can_batch(account: AccountAPI) -> bool:
    """Whether an account can make several calls in one transaction, all or none.

    It is asked of the chain: whether that has what Safes make several calls with, or whether the
    account's own code says that it takes a batch from the account itself (ERC-7821).
    """
    if safe.is_safe(account):
        return safe.can_batch(account.provider)
    if not signers.signs_raw(account):
        return False
    address = str(account.address)
    takes = Call(address, SUPPORTS_EXECUTION_MODE, (ALL_OR_NONE,), sender=address)
    return reads.try_read(account.provider, takes) == [True]


def batch(
    provider: ProviderAPI, account: AccountAPI, transactions: Sequence[Transaction]
) -> Transaction:
    """The one transaction that, sent by the account, makes all of them, or none.

    Raises:
        NoContractAtAddress: The chain lacks what a Safe makes several calls with.
    """
    if safe.is_safe(account):
        return safe.together(provider, transactions)
    calls = [(each.to, each.value, each.data) for each in transactions]
    data = EXECUTE.encode(ALL_OR_NONE, encode(["(address,uint256,bytes)[]"], [calls]))
    extra_gas = sum(each.extra_gas for each in transactions)
    return Transaction(str(account.address), data, extra_gas=extra_gas)
