"""Transactions of a Safe: signed by enough of its owners, sent by one of them.

One transaction of a Safe can make several calls. Only the account class of the plugin ape-safe is
used. The signatures and calls are those of the Safe contract
(github.com/safe-global/safe-smart-account), version 1.3.0 or later.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from eth_abi.packed import encode_packed
from eth_utils import keccak

from ape_dtn.chain import reads, rpc
from ape_dtn.chain.errors import NoContractAtAddress, NoMoneyForGas, OwnersMissing, SigningDeclined
from ape_dtn.chain.networks import is_local
from ape_dtn.chain.reads import Call
from ape_dtn.chain.reverts import failure_error, untranslated
from ape_dtn.chain.signatures import declines, signature_parts
from ape_dtn.types.abi import Function
from ape_dtn.types.revert_translator import Translate
from ape_dtn.types.rpc import Failure, Request, as_bytes, as_int

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI

    from ape_dtn.types.transactions import Transaction


# MultiSendCallOnly 1.5.0 makes several calls atomically, for a Safe of any version. Base, Sepolia
# and most chains have it at this address. Its code is checked by hash: a Safe gives full control to
# code that it delegates to.
MULTI_SEND = "0xA83c336B20401Af773B6219BA5027174338D1836"
MULTI_SEND_CODE_HASH = bytes.fromhex(
    "cdbdcec38d2f1c7d961b0029ff8416b7e86e9974d6f0e9c9580c7d17fcfb6663"
)

GET_OWNERS = Function("getOwners()", "address[]")
GET_THRESHOLD = Function("getThreshold()", "uint256")
GET_NONCE = Function("nonce()", "uint256")
SIMULATE = Function("simulateAndRevert(address,bytes)")
EXECUTE = Function(
    "execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)",
    "bool",
)
MAKE_ALL = Function("multiSend(bytes)")

_SIGNED = (
    "address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,"
    "uint256 gasPrice,address gasToken,address refundReceiver,uint256 nonce"
)
_CALL, _DELEGATE_CALL = 0, 1
_NOBODY = "0x" + "00" * 20

# No gas refund, and no gas limit for the call: if it fails, the whole transaction fails.
_WITHOUT_REPAYMENT = (0, 0, 0, _NOBODY, _NOBODY)


def is_safe(account: AccountAPI) -> bool:
    """Whether it is a Safe account of the plugin ape-safe."""
    plugin = sys.modules.get("ape_safe.accounts")  # loaded if a Safe account exists
    return plugin is not None and isinstance(account, plugin.SafeAccount)


def can_batch(provider: ProviderAPI) -> bool:
    """Whether Safes on this chain can make several calls in one transaction."""
    code = rpc.result(provider, "eth_getCode", [MULTI_SEND, "latest"])
    return keccak(as_bytes(code)) == MULTI_SEND_CODE_HASH


def together(provider: ProviderAPI, transactions: Sequence[Transaction]) -> Transaction:
    """Combine transactions into one atomic transaction of a Safe.

    Raises:
        NoContractAtAddress: The chain lacks MultiSendCallOnly.
    """
    if not can_batch(provider):
        raise NoContractAtAddress(MULTI_SEND, "MultiSendCallOnly 1.5.0")
    packed = b"".join(
        encode_packed(
            ["uint8", "address", "uint256", "uint256", "bytes"],
            [_CALL, transaction.to, transaction.value, len(transaction.data), transaction.data],
        )
        for transaction in transactions
    )
    return replace(
        transactions[0],
        to=MULTI_SEND,
        data=MAKE_ALL.encode(packed),
        value=sum(transaction.value for transaction in transactions),
        gas_limit=None,
        extra_gas=sum(transaction.extra_gas for transaction in transactions),
    )


def executing(
    provider: ProviderAPI,
    safe: AccountAPI,
    made: Transaction,
    translate: Translate = untranslated,
) -> tuple[AccountAPI, Transaction]:
    """Return the owner that sends, and the owner's transaction, for a transaction of a Safe.

    It is simulated before anyone signs. As many owners sign as the threshold requires, of the
    accounts that Ape has. The one with the highest balance sends it and pays for the gas. No relay
    service is involved.

    Args:
        provider: The connection.
        safe: The Safe.
        made: The transaction of the Safe.
        translate: Turns reverts into errors.

    Raises:
        DtnError: It would revert; by ``translate``.
        NoMoneyForGas: The Safe lacks the native currency to send with it.
        OwnersMissing: Ape has the accounts of too few owners.
        SigningDeclined: An owner did not sign.
    """
    address = str(safe.address)
    views = [
        Call(address, function, contract="Safe")
        for function in (GET_OWNERS, GET_THRESHOLD, GET_NONCE)
    ]
    owners, threshold, nonce = reads.read(provider, *views)
    here = _accounts_of(provider, safe, owners)
    if len(here) < threshold:
        raise OwnersMissing(address, threshold, list(here))
    richest_first = _tried(provider, address, made, here, translate)
    sender, others = richest_first[0], richest_first[1:threshold]
    # The Safe delegates to MultiSendCallOnly only.
    operation, value = (_DELEGATE_CALL, 0) if _makes_all(made) else (_CALL, made.value)
    values = (made.to, value, made.data, operation, *_WITHOUT_REPAYMENT)
    signatures = {
        owner: _signature(here[owner], provider.chain_id, address, (*values, nonce))
        for owner in others
    }
    signatures[sender] = _by_sending(sender)
    # The contract requires the signatures in the order of their owners.
    packed = b"".join(signatures[owner] for owner in sorted(signatures, key=str.lower))
    data = EXECUTE.encode(*values, packed)
    return here[sender], replace(made, to=address, data=data, value=0, gas_limit=None)


def owners_here(provider: ProviderAPI, safe: AccountAPI) -> list[AccountAPI]:
    """The owners of a Safe whose accounts Ape has."""
    owners = reads.read_one(provider, Call(str(safe.address), GET_OWNERS, contract="Safe"))
    return list(_accounts_of(provider, safe, owners).values())


def _makes_all(made: Transaction) -> bool:
    return made.to == MULTI_SEND


def _accounts_of(
    provider: ProviderAPI, safe: AccountAPI, owners: Sequence[str]
) -> dict[str, AccountAPI]:
    """The accounts that Ape has of a Safe's owners, except Safes."""
    manager = safe.account_manager
    known = chain(manager, manager.test_accounts) if is_local(provider) else iter(manager)
    return {
        str(account.address): account
        for account in known
        if str(account.address) in owners and not is_safe(account)
    }


def _tried(
    provider: ProviderAPI,
    safe: str,
    made: Transaction,
    owners: Iterable[str],
    translate: Translate,
) -> list[str]:
    """Simulate a transaction of a Safe, and return the owners by balance, highest first.

    A failed execution of a Safe does not always say why, so the call itself is simulated.
    """
    trial = (
        Call(safe, SIMULATE, (MULTI_SEND, made.data)).request
        if _makes_all(made)
        else ("eth_call", [made.as_call(safe), "latest"])
    )
    balance_requests: list[Request] = [
        ("eth_getBalance", [address, "latest"]) for address in (safe, *owners)
    ]
    outcome, *answers = rpc.ask(provider, [trial, *balance_requests])
    available, *balances = (as_int(rpc.expect(answer)) for answer in answers)
    if made.value > available:
        raise NoMoneyForGas(safe, made.value, available)
    failure = _simulated(outcome) if _makes_all(made) else outcome
    if isinstance(failure, Failure):
        raise failure_error(failure, translate)
    balance_of = dict(zip(owners, balances, strict=True))
    return sorted(balance_of, key=lambda owner: balance_of[owner], reverse=True)


def _simulated(outcome: Any) -> Any:
    """Decode the outcome of a simulation, which always reverts with success, size and data."""
    if not isinstance(outcome, Failure) or outcome.data is None or len(outcome.data) < 64:
        return outcome
    return None if any(outcome.data[:32]) else replace(outcome, data=outcome.data[64:])


def _by_sending(owner: str) -> bytes:
    """The signature of the owner that sends the transaction, which the contract derives itself."""
    return bytes.fromhex(owner[2:]).rjust(32, b"\0") + b"\0" * 32 + b"\1"


def _signature(owner: AccountAPI, chain_id: int, safe: str, values: Sequence[Any]) -> bytes:
    """Sign a transaction of a Safe as an owner (EIP-712)."""
    from eth_account.messages import encode_typed_data

    fields = [
        dict(zip(("type", "name"), field.split(), strict=True)) for field in _SIGNED.split(",")
    ]
    domain = {"chainId": chain_id, "verifyingContract": safe}
    message = dict(zip((field["name"] for field in fields), values, strict=True))
    with declines(owner):
        signed = owner.sign_message(encode_typed_data(domain, {"SafeTx": fields}, message))
    if signed is None:
        raise SigningDeclined(str(owner.address))
    v, r, s = signature_parts(signed)
    return r + s + bytes([v])
