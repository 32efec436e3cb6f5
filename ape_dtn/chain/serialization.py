"""The bytes of a signed transaction, without recovering a signer that is already known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.transactions import TransactionAPI


# Accounts whose key was found to belong to their address: class, alias and address.
_verified: set[tuple[type, str | None, str]] = set()


def serialize(account: AccountAPI, signed: TransactionAPI) -> bytes:
    """Serialize a transaction that the account has just signed, ready to be broadcast.

    Ape recovers the signer whenever it serializes, which takes longer than signing. For an account
    whose private key is in this process, such as a key file or a test account, that is done for its
    first transaction only: its address cannot change afterwards. Every other account, such as a
    hardware wallet, could sign with another key at any time, and is checked each time.

    Args:
        account: The account that signed.
        signed: What its ``sign_transaction`` returned.

    Returns:
        The bytes that Ape's own ``serialize_transaction`` returns.

    Raises:
        ape.exceptions.SignatureError: The transaction is not signed, or not by its sender.
    """
    identity = (type(account), account.alias, str(account.address))
    if identity in _verified and signed.sender == account.address and _is_ethereum(signed):
        # Ape checks the signature against the sender, which is no part of the bytes.
        return bytes(signed.model_copy(update={"sender": None}).serialize_transaction())
    raw = bytes(signed.serialize_transaction())
    if _holds_key(account) and signed.sender == account.address:
        _verified.add(identity)
    return raw


def _holds_key(account: AccountAPI) -> bool:
    """Whether the account signs by Ape's own code with a private key in this process."""
    from ape_accounts.accounts import ApeSigner, KeyfileAccount

    signers = (ApeSigner.sign_transaction, KeyfileAccount.sign_transaction)
    return type(account).sign_transaction in signers


def _is_ethereum(transaction: TransactionAPI) -> bool:
    """Whether the transaction is serialized by Ape's code for Ethereum, of whatever type."""
    from ape_ethereum.transactions import BaseTransaction

    return type(transaction).serialize_transaction is BaseTransaction.serialize_transaction
