"""Batches the deposit and the start into one transaction of a smart account.

It can be a Safe, or an account that delegates to a contract with ERC-7821 (EIP-7702).
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


# The interface of ERC-7821, which ERC-7579 accounts also have.
EXECUTE = Function("execute(bytes32,bytes)")
SUPPORTS_EXECUTION_MODE = Function("supportsExecutionMode(bytes32)", "bool")

# The execution mode of a batch that reverts as a whole.
ALL_OR_NONE = b"\1" + b"\0" * 31


def can_batch(account: AccountAPI) -> bool:
    """Whether an account can make several calls in one transaction, all or none.

    A Safe needs the MultiSend contract on the chain. Other accounts have to support ERC-7821.
    """
    if safe.is_safe(account):
        return safe.can_batch(account.provider)
    if not signers.signs_raw(account):
        return False
    address = str(account.address)
    supports = Call(address, SUPPORTS_EXECUTION_MODE, (ALL_OR_NONE,), sender=address)
    return reads.try_read(account.provider, supports) == [True]


def batch(
    provider: ProviderAPI, account: AccountAPI, transactions: Sequence[Transaction]
) -> Transaction:
    """One transaction of the account that makes the calls of all transactions, or none.

    Raises:
        NoContractAtAddress: The account is a Safe, and the chain lacks MultiSend.
    """
    if safe.is_safe(account):
        return safe.together(provider, transactions)
    calls = [(txn.to, txn.value, txn.data) for txn in transactions]
    data = EXECUTE.encode(ALL_OR_NONE, encode(["(address,uint256,bytes)[]"], [calls]))
    extra_gas = sum(txn.extra_gas for txn in transactions)
    return Transaction(str(account.address), data, extra_gas=extra_gas)
