"""Serialization of signed transactions, and the check of their signatures before broadcast."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from ape import networks
from ape.api.transactions import TransactionAPI
from ape.exceptions import SignatureError
from ape_accounts.accounts import ApeSigner, KeyfileAccount
from ape_ethereum.transactions import Authorization, TransactionType
from ape_test.accounts import TestAccount
from eth_account import Account
from eth_utils import keccak

from ape_dtn.chain import serialization, signers
from ape_dtn.chain.serialization import serialize

KEY, OTHER_KEY = bytes([1] * 32), bytes([2] * 32)
ADDRESS, OTHER = (Account.from_key(key).address for key in (KEY, OTHER_KEY))
ACCESS: dict[str, Any] = {
    "access_list": [{"address": OTHER, "storageKeys": ["0x" + "00" * 31 + "07", "0x" + "ff" * 32]}]
}
FEES = {"max_fee": 2 * 10**9, "max_priority_fee": 0}


@pytest.fixture(autouse=True)
def no_verified_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serialization, "_verified", set())


@pytest.fixture
def recoveries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Records the signers that Ape recovers."""
    recovered: list[str] = []
    recover = Account.recover_transaction

    def recording(raw: bytes) -> str:
        recovered.append(str(recover(raw)))
        return recovered[-1]

    monkeypatch.setattr(Account, "recover_transaction", recording)
    return recovered


def account_with_key(key: bytes = KEY, address: str = ADDRESS) -> TestAccount:
    return TestAccount(index=7, address_str=address, private_key="0x" + key.hex())


def key_file_account(path: Path, address: str) -> KeyfileAccount:
    """An unlocked account with the key of ADDRESS, and a file with the given address."""
    encrypted = Account.encrypt(KEY, "secret", kdf="pbkdf2", iterations=1)
    path.write_text(json.dumps({**encrypted, "address": address[2:].lower()}))
    account = KeyfileAccount(keyfile_path=path)
    account.set_autosign(True, passphrase="secret")
    return account


def unsigned_transaction(kind: int = 2, **fields: Any) -> TransactionAPI:
    fees = {"gas_price": 10**9} if kind < 2 else FEES
    defaults = {"sender": ADDRESS, "receiver": OTHER, "value": 1, "data": b"\0data", "nonce": 0}
    values = {"type": kind, "chain_id": 31337, "gas_limit": 100_000, **defaults, **fees, **fields}
    return networks.ethereum.create_transaction(**values)


def signed_authorization(by: ApeSigner) -> Authorization:
    fields: Any = {"address": OTHER, "chain_id": 31337, "nonce": 1}
    signature = by.sign_authorization(**fields)
    assert signature
    authorization: Authorization = Authorization.from_signature(signature=signature, **fields)
    return authorization


def signed_by(
    account: ApeSigner, kind: int, fields: dict[str, Any], short: bool = False
) -> TransactionAPI:
    """A signed transaction; with ``short``, RLP omits leading zeros of its signature."""
    for nonce in count(fields.get("nonce", 0)):
        signed = account.sign_transaction(unsigned_transaction(kind, **{**fields, "nonce": nonce}))
        assert signed
        assert signed.signature
        r, s = (bytes(part).lstrip(b"\0") for part in (signed.signature.r, signed.signature.s))
        if not short or min(len(r), len(s)) < 32:
            return signed
    raise AssertionError("unreachable")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (0, {}),
        (0, {"receiver": None}),
        (1, ACCESS),
        (2, {}),
        (2, {"receiver": None}),
        (2, {"value": 0, "data": b"", "nonce": 2**32}),
        (2, ACCESS),
        (3, {"max_fee_per_blob_gas": 7, "blob_versioned_hashes": [b"\1" + b"\2" * 31]}),
        (4, {}),
        (4, ACCESS),
    ],
)
def test_serialization_is_that_of_ape_for_each_type(
    recoveries: list[str], kind: int, fields: dict[str, Any]
) -> None:
    account = account_with_key()
    if kind == TransactionType.SET_CODE.value:
        fields = {**fields, "authorizations": [signed_authorization(account)]}
    first = account.sign_transaction(unsigned_transaction())
    assert first
    serialize(account, first)
    for signed in (signed_by(account, kind, fields), signed_by(account, kind, fields, short=True)):
        before = signed.model_dump(), signed.signature
        recoveries.clear()

        raw = serialize(account, signed)

        assert recoveries == []
        assert (signed.model_dump(), signed.signature) == before
        assert (raw, keccak(raw)) == (bytes(signed.serialize_transaction()), bytes(signed.txn_hash))
        assert recoveries == [ADDRESS, ADDRESS]


def test_a_signed_transaction_has_its_sender_nonce_and_hash(recoveries: list[str]) -> None:
    account = account_with_key()
    for nonce in range(3):
        signed = signers.sign(account, unsigned_transaction(nonce=nonce))

        (sender,) = {str(Account.recover_transaction(signed.raw)), signed.sender}
        assert sender == ADDRESS
        assert (signed.nonce, signed.hash) == (nonce, "0x" + keccak(hexstr=signed.raw).hex())
    assert len(recoveries) == 1 + 3  # once by Ape, and once in each loop of this test


def test_a_key_file_is_verified_by_its_first_transaction(
    recoveries: list[str], tmp_path: Path
) -> None:
    account = key_file_account(tmp_path / "alice.json", ADDRESS)
    for nonce in range(3):
        signed = account.sign_transaction(unsigned_transaction(nonce=nonce))
        assert signed
        assert serialize(account, signed)
    assert recoveries == [ADDRESS]


def test_a_key_of_another_address_is_refused(tmp_path: Path) -> None:
    mislabelled = key_file_account(tmp_path / "alice.json", OTHER)
    for account in (account_with_key(OTHER_KEY), mislabelled):
        for _ in range(2):
            signed = account.sign_transaction(unsigned_transaction(sender=account.address))
            assert signed
            with pytest.raises(SignatureError, match="doesn't match sender"):
                serialize(account, signed)


def test_a_transaction_of_another_sender_is_refused() -> None:
    account = account_with_key()
    mine = account.sign_transaction(unsigned_transaction())
    assert mine
    serialize(account, mine)
    foreign = account.sign_transaction(unsigned_transaction(sender=OTHER))
    assert foreign

    with pytest.raises(SignatureError, match="doesn't match sender"):
        serialize(account, foreign)


class Wallet(TestAccount):
    """A wallet that can sign with another key later, like a hardware wallet that is replaced."""

    def sign_transaction(self, txn: TransactionAPI, **options: Any) -> TransactionAPI | None:
        return super().sign_transaction(txn, **options)


def test_an_external_wallet_is_verified_each_time(recoveries: list[str]) -> None:
    wallet = Wallet(index=7, address_str=ADDRESS, private_key="0x" + KEY.hex())
    for _ in range(2):
        signed = wallet.sign_transaction(unsigned_transaction())
        assert signed
        serialize(wallet, signed)
    assert recoveries == [ADDRESS, ADDRESS]

    wallet.private_key = "0x" + OTHER_KEY.hex()
    signed = wallet.sign_transaction(unsigned_transaction())
    assert signed
    with pytest.raises(SignatureError, match="doesn't match sender"):
        serialize(wallet, signed)
