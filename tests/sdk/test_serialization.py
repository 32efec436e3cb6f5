"""The bytes that are broadcast, and whose signature is checked before they are."""

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
def nobody_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serialization, "_verified", set())


@pytest.fixture
def recoveries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The signers that Ape recovers from here on."""
    recovered: list[str] = []
    recover = Account.recover_transaction

    def recording(raw: bytes) -> str:
        recovered.append(str(recover(raw)))
        return recovered[-1]

    monkeypatch.setattr(Account, "recover_transaction", recording)
    return recovered


def an_account(key: bytes = KEY, address: str = ADDRESS) -> TestAccount:
    return TestAccount(index=7, address_str=address, private_key="0x" + key.hex())


def a_key_file(path: Path, address: str) -> KeyfileAccount:
    """An unlocked account whose key belongs to ADDRESS, and whose file says that it is another."""
    kept = Account.encrypt(KEY, "secret", kdf="pbkdf2", iterations=1)
    path.write_text(json.dumps({**kept, "address": address[2:].lower()}))
    account = KeyfileAccount(keyfile_path=path)
    account.set_autosign(True, passphrase="secret")
    return account


def a_transaction(kind: int = 2, **fields: Any) -> TransactionAPI:
    fees = {"gas_price": 10**9} if kind < 2 else FEES
    usual = {"sender": ADDRESS, "receiver": OTHER, "value": 1, "data": b"\0data", "nonce": 0}
    given = {"type": kind, "chain_id": 31337, "gas_limit": 100_000, **usual, **fees, **fields}
    return networks.ethereum.create_transaction(**given)


def an_authorization(by: ApeSigner) -> Authorization:
    runs: Any = {"address": OTHER, "chain_id": 31337, "nonce": 1}
    signature = by.sign_authorization(**runs)
    assert signature
    authorization: Authorization = Authorization.from_signature(signature=signature, **runs)
    return authorization


def signed_by(
    account: ApeSigner, kind: int, fields: dict[str, Any], short: bool = False
) -> TransactionAPI:
    """A signed transaction; with `short`, RLP leaves a leading zero byte of its signature out."""
    for nonce in count(fields.get("nonce", 0)):
        signed = account.sign_transaction(a_transaction(kind, **{**fields, "nonce": nonce}))
        assert signed
        assert signed.signature
        r, s = (bytes(part).lstrip(b"\0") for part in (signed.signature.r, signed.signature.s))
        if not short or min(len(r), len(s)) < 32:
            return signed
    raise AssertionError("there are infinitely many nonces")


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
def test_they_are_those_of_ape_for_each_type(
    recoveries: list[str], kind: int, fields: dict[str, Any]
) -> None:
    account = an_account()
    if kind == TransactionType.SET_CODE.value:
        fields = {**fields, "authorizations": [an_authorization(account)]}
    first = account.sign_transaction(a_transaction())
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


def test_what_is_broadcast_is_told_by_its_hash(recoveries: list[str]) -> None:
    account = an_account()
    for nonce in range(3):
        signed = signers.sign(account, a_transaction(nonce=nonce))

        (sender,) = {str(Account.recover_transaction(signed.raw)), signed.sender}
        assert sender == ADDRESS
        assert (signed.nonce, signed.hash) == (nonce, "0x" + keccak(hexstr=signed.raw).hex())
    assert len(recoveries) == 1 + 3  # once by Ape, and by each look of this test


def test_a_key_file_is_checked_by_its_first_transaction(
    recoveries: list[str], tmp_path: Path
) -> None:
    account = a_key_file(tmp_path / "alice.json", ADDRESS)
    for nonce in range(3):
        signed = account.sign_transaction(a_transaction(nonce=nonce))
        assert signed
        assert serialize(account, signed)
    assert recoveries == [ADDRESS]


def test_a_key_that_is_not_the_address_s_is_refused(tmp_path: Path) -> None:
    mislabelled = a_key_file(tmp_path / "alice.json", OTHER)
    for account in (an_account(OTHER_KEY), mislabelled):
        for _ in range(2):
            signed = account.sign_transaction(a_transaction(sender=account.address))
            assert signed
            with pytest.raises(SignatureError, match="doesn't match sender"):
                serialize(account, signed)


def test_another_sender_s_transaction_is_refused() -> None:
    account = an_account()
    mine = account.sign_transaction(a_transaction())
    assert mine
    serialize(account, mine)
    foreign = account.sign_transaction(a_transaction(sender=OTHER))
    assert foreign

    with pytest.raises(SignatureError, match="doesn't match sender"):
        serialize(account, foreign)


class Wallet(TestAccount):
    """As a hardware wallet, which signs with another key as soon as another one is plugged in."""

    def sign_transaction(self, txn: TransactionAPI, **options: Any) -> TransactionAPI | None:
        return super().sign_transaction(txn, **options)


def test_what_signs_elsewhere_is_checked_each_time(recoveries: list[str]) -> None:
    wallet = Wallet(index=7, address_str=ADDRESS, private_key="0x" + KEY.hex())
    for _ in range(2):
        signed = wallet.sign_transaction(a_transaction())
        assert signed
        serialize(wallet, signed)
    assert recoveries == [ADDRESS, ADDRESS]

    wallet.private_key = "0x" + OTHER_KEY.hex()
    signed = wallet.sign_transaction(a_transaction())
    assert signed
    with pytest.raises(SignatureError, match="doesn't match sender"):
        serialize(wallet, signed)
