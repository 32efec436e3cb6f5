"""A Safe: an account that has owners, and for which one of them sends what enough of them signed.

Any number of calls fit into one transaction of a Safe. Of the plugin ape-safe only its account is
known here: what an owner signs and what is sent is the Safe's contract's own business
(github.com/safe-global/safe-smart-account), from its version 1.3.0 on.
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
from ape_dtn.types.abi import Function
from ape_dtn.types.rpc import Failure, Request, as_bytes, as_int
from ape_dtn.types.translate import Translate

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI

    from ape_dtn.types.transactions import Transaction


# Makes calls for the Safe that runs its code, all or none: MultiSendCallOnly 1.5.0. Base, Sepolia
# and most chains have it at this address, and for a Safe of any version. The hash is that of its
# code: whatever a Safe runs as its own may do anything with it.
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

# Nobody is repaid for the gas, and what was called may use all of it: if it fails, all fails.
_WITHOUT_REPAYMENT = (0, 0, 0, _NOBODY, _NOBODY)


def is_safe(account: AccountAPI) -> bool:
    """Whether it is a Safe, as the plugin ape-safe has it."""
    plugin = sys.modules.get("ape_safe.accounts")  # it is there where anybody made one
    return plugin is not None and isinstance(account, plugin.SafeAccount)


def can_batch(provider: ProviderAPI) -> bool:
    """Whether the Safes of a chain can make several calls in one transaction."""
    code = rpc.result(provider, "eth_getCode", [MULTI_SEND, "latest"])
    return keccak(as_bytes(code)) == MULTI_SEND_CODE_HASH


def together(provider: ProviderAPI, transactions: Sequence[Transaction]) -> Transaction:
    """The transaction of a Safe that makes all of these, or none.

    Raises:
        NoContractAtAddress: The chain lacks what a Safe makes several calls with.
    """
    if not can_batch(provider):
        raise NoContractAtAddress(MULTI_SEND, "MultiSendCallOnly 1.5.0")
    packed = b"".join(
        encode_packed(
            ["uint8", "address", "uint256", "uint256", "bytes"],
            [_CALL, each.to, each.value, len(each.data), each.data],
        )
        for each in transactions
    )
    return replace(
        transactions[0],
        to=MULTI_SEND,
        data=MAKE_ALL.encode(packed),
        value=sum(each.value for each in transactions),
        gas_limit=None,
        extra_gas=sum(each.extra_gas for each in transactions),
    )


def executing(
    provider: ProviderAPI,
    safe: AccountAPI,
    made: Transaction,
    translate: Translate = untranslated,
) -> tuple[AccountAPI, Transaction]:
    """Who sends what for a Safe to make a transaction: an owner, and the owner's transaction.

    It is tried before anybody signs. As many owners sign as the Safe wants, with the accounts that
    Ape has; the one with the most coin sends it, and pays for the gas. No service is told of it.

    Args:
        provider: The connection.
        safe: The Safe.
        made: What it is to make.
        translate: Turns reverts into errors.

    Raises:
        DtnError: A contract refuses it, by ``translate``.
        NoMoneyForGas: The Safe lacks the coin that goes with it.
        OwnersMissing: Ape has the accounts of too few owners.
        SigningDeclined: An owner did not sign.
    """
    address = str(safe.address)
    views = [
        Call(address, each, contract="Safe") for each in (GET_OWNERS, GET_THRESHOLD, GET_NONCE)
    ]
    owners, threshold, nonce = reads.read(provider, *views)
    here = _accounts_of(provider, safe, owners)
    if len(here) < threshold:
        raise OwnersMissing(address, threshold, list(here))
    richest_first = _tried(provider, address, made, here, translate)
    sender, others = richest_first[0], richest_first[1:threshold]
    # That is what MultiSendCallOnly is for, and nothing else is ever run as the Safe's own code.
    operation, value = (_DELEGATE_CALL, 0) if _makes_all(made) else (_CALL, made.value)
    values = (made.to, value, made.data, operation, *_WITHOUT_REPAYMENT)
    signatures = {
        each: _signature(here[each], provider.chain_id, address, (*values, nonce))
        for each in others
    }
    signatures[sender] = _by_sending(sender)
    # The contract wants them in the order of their owners.
    packed = b"".join(signatures[each] for each in sorted(signatures, key=str.lower))
    data = EXECUTE.encode(*values, packed)
    return here[sender], replace(made, to=address, data=data, value=0, gas_limit=None)


def owners_here(provider: ProviderAPI, safe: AccountAPI) -> list[AccountAPI]:
    """The accounts that Ape has of a Safe's owners."""
    owners = reads.read_one(provider, Call(str(safe.address), GET_OWNERS, contract="Safe"))
    return list(_accounts_of(provider, safe, owners).values())


def _makes_all(made: Transaction) -> bool:
    return made.to == MULTI_SEND


def _accounts_of(
    provider: ProviderAPI, safe: AccountAPI, owners: Sequence[str]
) -> dict[str, AccountAPI]:
    """Those of a Safe's owners whose accounts Ape has, and which sign themselves."""
    manager = safe.account_manager
    known = chain(manager, manager.test_accounts) if is_local(provider) else iter(manager)
    return {
        str(each.address): each
        for each in known
        if str(each.address) in owners and not is_safe(each)
    }


def _tried(
    provider: ProviderAPI,
    safe: str,
    made: Transaction,
    owners: Iterable[str],
    translate: Translate,
) -> list[str]:
    """The owners by how much coin they have, if the Safe could make the transaction.

    A Safe does not always say why it could not, so that it is asked what it would come to.
    """
    trial = (
        Call(safe, SIMULATE, (MULTI_SEND, made.data)).request
        if _makes_all(made)
        else ("eth_call", [made.as_call(safe), "latest"])
    )
    held: list[Request] = [("eth_getBalance", [each, "latest"]) for each in (safe, *owners)]
    outcome, *answers = rpc.ask(provider, [trial, *held])
    has, *coins = (as_int(rpc.expect(answer)) for answer in answers)
    if made.value > has:
        raise NoMoneyForGas(safe, made.value, has)
    failure = _simulated(outcome) if _makes_all(made) else outcome
    if isinstance(failure, Failure):
        raise failure_error(failure, translate)
    coin = dict(zip(owners, coins, strict=True))
    return sorted(coin, key=lambda each: coin[each], reverse=True)


def _simulated(outcome: Any) -> Any:
    """What calls come to, of what their simulation always reverts with: success, size and data."""
    if not isinstance(outcome, Failure) or outcome.data is None or len(outcome.data) < 64:
        return outcome
    return None if any(outcome.data[:32]) else replace(outcome, data=outcome.data[64:])


def _by_sending(owner: str) -> bytes:
    """What stands for the signature of the owner who sends the transaction."""
    return bytes.fromhex(owner[2:]).rjust(32, b"\0") + b"\0" * 32 + b"\1"


def _signature(owner: AccountAPI, chain_id: int, safe: str, values: Sequence[Any]) -> bytes:
    """An owner's signature of a Safe's transaction (EIP-712)."""
    from eth_account.messages import encode_typed_data

    fields = [dict(zip(("type", "name"), each.split(), strict=True)) for each in _SIGNED.split(",")]
    domain = {"chainId": chain_id, "verifyingContract": safe}
    message = dict(zip((each["name"] for each in fields), values, strict=True))
    signed = owner.sign_message(encode_typed_data(domain, {"SafeTx": fields}, message))
    if signed is None:
        raise SigningDeclined(str(owner.address))
    r, s = (bytes(part).rjust(32, b"\0") for part in (signed.r, signed.s))
    return r + s + bytes([signed.v])
