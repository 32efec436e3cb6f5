"""What accounts can sign, and signing transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eth_utils import keccak

from ape_dtn.chain import rpc
from ape_dtn.chain.errors import SigningDeclined
from ape_dtn.chain.safe import is_safe, owners_here
from ape_dtn.chain.serialization import serialize
from ape_dtn.chain.signatures import declines
from ape_dtn.types.rpc import as_bytes
from ape_dtn.types.transactions import Signed

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI
    from ape.api.transactions import TransactionAPI


def runs_code(provider: ProviderAPI, account: str) -> bool:
    """Whether an account has code (EIP-7702): nodes then accept one pending transaction."""
    return bool(as_bytes(rpc.result(provider, "eth_getCode", [account, "latest"])))


def signer_of(provider: ProviderAPI, account: AccountAPI, sender: str) -> AccountAPI | None:
    """The account that signs for a sender: the account itself, or an owner of the Safe."""
    own = owners_here(provider, account) if is_safe(account) else [account]
    return next((one for one in own if str(one.address) == sender and signs_raw(one)), None)


def signs_raw(account: AccountAPI) -> bool:
    """Whether an account returns signed transactions, instead of sending them itself."""
    from ape.api.accounts import AccountAPI

    return type(account).call is AccountAPI.call


def sends_here(account: AccountAPI) -> bool:
    """Whether an account's transactions are signed first, and then broadcast by us."""
    return signs_raw(account) or is_safe(account)


def signs_delegations(account: AccountAPI) -> bool:
    """Whether an account can sign a delegation (EIP-7702)."""
    from ape.api.accounts import AccountAPI

    cannot = type(account).sign_authorization is AccountAPI.sign_authorization
    return signs_raw(account) and not cannot


def sign(account: AccountAPI, txn: TransactionAPI) -> Signed:
    """Sign a transaction.

    Raises:
        SigningDeclined: The account did not sign.
    """
    with declines(account):
        signed = account.sign_transaction(txn)
    if signed is None:
        raise SigningDeclined(str(account.address))
    raw = serialize(account, signed)
    transaction_hash = "0x" + keccak(raw).hex()
    return Signed(transaction_hash, str(account.address), signed.nonce or 0, "0x" + raw.hex())
