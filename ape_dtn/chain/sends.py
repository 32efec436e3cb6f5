"""All that changes the chain: transactions, priced, signed, sent once and followed to their end.

Gas and fees are explicit, what would revert is found before it is signed, and the transaction's
hash is known before it is sent. Nothing here needs traces: what happened is read from the logs.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from eth_utils import to_checksum_address

from ape_dtn.chain import reads, reverts, rpc
from ape_dtn.chain.abi import Function, Log
from ape_dtn.errors import (
    ContractReverted,
    DtnError,
    NoMoneyForGas,
    NoNetwork,
    PartlySent,
    RpcRefused,
    SigningDeclined,
    TransactionPending,
    WrongChain,
)

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI
    from ape.api.transactions import TransactionAPI

# What a transaction may use beyond its estimate: a response that was given exactly what was
# estimated for it can run out of gas.
GAS_MARGIN_PERCENT = 120

# How often a receipt is asked for, as a share of the time between blocks, and its bounds (seconds).
POLLS_PER_BLOCK = 4
SHORTEST_POLL = 0.02
LONGEST_POLL = 3.0


@dataclass(frozen=True)
class Transaction:
    """A transaction to be sent.

    Attributes:
        to: The contract; None to create one.
        data: The call data, or the code to create.
        value: The chain's coin that goes with it, in wei.
        gas_limit: The gas it may use; None to estimate it, which also finds out if it would revert.
        extra_gas: Gas beyond the estimate, for what may fail without reverting the transaction.
    """

    to: str | None
    data: bytes
    value: int = 0
    gas_limit: int | None = None
    extra_gas: int = 0


@dataclass(frozen=True)
class Receipt:
    """A mined transaction that succeeded.

    Attributes:
        transaction: Its hash.
        block_number: The block that holds it.
        gas_used: The gas it used.
        gas_price: What each unit of gas cost, in wei.
        logs: What it left, in order.
        contract: The address of the contract that it created.
    """

    transaction: str
    block_number: int
    gas_used: int
    gas_price: int
    logs: tuple[Log, ...]
    contract: str | None


def call(
    address: str, function: Function, *args: Any, value: int = 0, gas_limit: int | None = None
) -> Transaction:
    """A transaction that calls a contract's function."""
    return Transaction(address, function.encode(*args), value, gas_limit)


def send(
    provider: ProviderAPI,
    account: AccountAPI,
    transaction: Transaction,
    about: reverts.About = reverts.NOTHING,
) -> Receipt:
    """Sends a transaction and waits until it is mined and confirmed.

    Raises:
        DtnError: The contract refuses it, by :mod:`ape_dtn.chain.reverts`, before or after mining.
        NoMoneyForGas: The account cannot pay for its value and gas. Nothing was sent.
        SigningDeclined: The account did not sign. Nothing was sent.
        TransactionPending: It was sent and is not mined in time.
    """
    (receipt,) = send_together(provider, account, [transaction], about)
    return receipt


def send_together(
    provider: ProviderAPI,
    account: AccountAPI,
    transactions: Sequence[Transaction],
    about: reverts.About = reverts.NOTHING,
) -> list[Receipt]:
    """Signs all transactions, then sends them back to back with nonces in order, then waits.

    Only the first may leave its gas limit to be estimated: the others run on a state that does not
    exist yet.

    Raises:
        DtnError: See :func:`send`. The error is that of the first transaction that failed.
        PartlySent: The first ones were sent, and a later one was not taken.
    """
    priced = _priced(provider, account, transactions, about)
    if not _signs_raw(account):
        # Impersonated and smart accounts send in their own way.
        hashes = ["0x" + bytes(account.call(txn).txn_hash_bytes).hex() for txn in priced]
        return _receipts(provider, account, hashes, transactions, about)
    signed = [_signed(account, txn) for txn in priced]
    hashes = ["0x" + bytes(txn.txn_hash).hex() for txn in signed]
    sent: list[str] = []
    try:
        with _uninterrupted():
            for txn, transaction_hash in zip(signed, hashes, strict=True):
                try:
                    _send_raw(provider, txn, transaction_hash, about)
                except DtnError as err:
                    if not sent:
                        raise
                    raise PartlySent(sent, err.message) from err
                sent.append(transaction_hash)
        return _receipts(provider, account, hashes, transactions, about)
    except (KeyboardInterrupt, SystemExit):
        if sent:
            from ape.logging import logger

            logger.warning(f"Interrupted, but sent, and not to be sent again: {', '.join(sent)}")
        raise


def create(provider: ProviderAPI, account: AccountAPI, code: bytes) -> str:
    """Creates a contract and returns its address."""
    contract = send(provider, account, Transaction(None, code)).contract
    assert contract is not None
    return contract


def _priced(
    provider: ProviderAPI,
    account: AccountAPI,
    transactions: Sequence[Transaction],
    about: reverts.About,
) -> list[TransactionAPI]:
    """Ape transactions with nonce, gas and fees: one HTTP request for all that they need."""
    sender = str(account.address)
    first = transactions[0]
    assert all(transaction.gas_limit is not None for transaction in transactions[1:])
    estimate: list[rpc.Request] = []
    if first.gas_limit is None:
        estimate = [("eth_estimateGas", [_as_call(sender, first)])]
    answers = rpc.ask(
        provider,
        [
            ("eth_chainId", []),
            ("eth_getTransactionCount", [sender, "pending"]),
            ("eth_getBalance", [sender, "latest"]),
            ("eth_getBlockByNumber", ["latest", False]),
            ("eth_maxPriorityFeePerGas", []),
            *estimate,
        ],
    )
    chain_id, nonce, balance = (rpc.as_int(rpc.expect(answer)) for answer in answers[:3])
    if chain_id != provider.chain_id:
        raise WrongChain(
            provider.chain_id, chain_id, "the RPC serves another one than Ape takes it for"
        )
    value = sum(transaction.value for transaction in transactions)
    if value > balance:  # an estimate would only say that it failed
        raise NoMoneyForGas(sender, value, balance)
    base_fee = rpc.as_int(rpc.expect(answers[3]).get("baseFeePerGas") or 0)
    tip = 0 if isinstance(answers[4], rpc.Failure) else rpc.as_int(answers[4])
    limits = [transaction.gas_limit for transaction in transactions]
    if first.gas_limit is None:
        if isinstance(answers[5], rpc.Failure):
            raise reverts.failure_error(answers[5], about)
        estimated = rpc.as_int(answers[5])
        limits[0] = estimated * GAS_MARGIN_PERCENT // 100 + first.extra_gas

    max_fee = 2 * base_fee + tip
    most = sum(
        transaction.value + (limit or 0) * max_fee
        for transaction, limit in zip(transactions, limits, strict=True)
    )
    if most > balance:
        raise NoMoneyForGas(sender, most, balance)
    return [
        provider.network.ecosystem.create_transaction(
            type=2,
            chain_id=chain_id,
            sender=sender,
            **({"receiver": transaction.to} if transaction.to else {}),
            nonce=nonce + place,
            gas_limit=limit,
            max_fee=max_fee,
            max_priority_fee=tip,
            value=transaction.value,
            data=transaction.data,
        )
        for place, (transaction, limit) in enumerate(zip(transactions, limits, strict=True))
    ]


def _as_call(sender: str, transaction: Transaction) -> dict[str, str]:
    fields = {"from": sender, "data": "0x" + transaction.data.hex()}
    fields["value"] = hex(transaction.value)
    return {**fields, "to": transaction.to} if transaction.to else fields


def _signs_raw(account: AccountAPI) -> bool:
    from ape.api.accounts import AccountAPI

    return type(account).call is AccountAPI.call


def _signed(account: AccountAPI, txn: TransactionAPI) -> TransactionAPI:
    signed = account.sign_transaction(txn)
    if signed is None:
        raise SigningDeclined(str(account.address))
    return signed


def _send_raw(
    provider: ProviderAPI, txn: TransactionAPI, transaction_hash: str, about: reverts.About
) -> None:
    raw = "0x" + bytes(txn.serialize_transaction()).hex()
    try:
        (answer,) = rpc.ask(provider, [("eth_sendRawTransaction", [raw])])
    except NoNetwork:
        # The endpoint may have taken it: what became of it shows when its receipt is waited for.
        return
    # Sent again by a retry below us, it is refused, as "already known" or for its nonce.
    if not isinstance(answer, rpc.Failure) or _is_known(provider, transaction_hash):
        return
    if answer.data:
        # Some chains run a transaction before they take it, and say at once that it reverts.
        raise reverts.failure_error(answer, about)
    raise RpcRefused(answer.method, answer.message)


def _is_known(provider: ProviderAPI, transaction_hash: str) -> bool:
    try:
        (answer,) = rpc.ask(provider, [("eth_getTransactionByHash", [transaction_hash])])
    except NoNetwork:
        return True  # not known to be refused
    return answer is not None and not isinstance(answer, rpc.Failure)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Holds back Ctrl-C until all of them are sent: a deposit without its start is up for grabs."""
    if threading.current_thread() is not threading.main_thread():  # it alone is interrupted
        yield
        return
    caught: list[tuple[int, Any]] = []
    before = {
        number: signal.signal(number, lambda *received: caught.append(received))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if caught:
        signal.raise_signal(caught[0][0])


def _receipts(
    provider: ProviderAPI,
    account: AccountAPI,
    hashes: Sequence[str],
    transactions: Sequence[Transaction],
    about: reverts.About,
) -> list[Receipt]:
    """All receipts, or the first error, which is given those from before it."""
    receipts: list[Receipt] = []
    for transaction_hash, transaction in zip(hashes, transactions, strict=True):
        try:
            receipts.append(_receipt(provider, account, transaction_hash, transaction, about))
        except TransactionPending as err:
            pending = TransactionPending(*hashes[len(receipts) :])
            pending.before = tuple(receipts)
            raise pending from err
        except DtnError as err:
            err.before = tuple(receipts)
            raise
    return receipts


def _receipt(
    provider: ProviderAPI,
    account: AccountAPI,
    transaction_hash: str,
    transaction: Transaction,
    about: reverts.About,
) -> Receipt:
    raw = _mined(provider, transaction_hash)
    receipt = Receipt(
        transaction=transaction_hash,
        block_number=rpc.as_int(raw["blockNumber"]),
        gas_used=rpc.as_int(raw["gasUsed"]),
        gas_price=rpc.as_int(raw.get("effectiveGasPrice") or 0),
        logs=tuple(reads.to_log(log) for log in raw["logs"]),
        contract=to_checksum_address(created) if (created := raw.get("contractAddress")) else None,
    )
    if rpc.as_int(raw["status"]) == 1:
        return receipt
    raise _why_it_failed(provider, str(account.address), receipt, transaction, about)


def _why_it_failed(
    provider: ProviderAPI,
    sender: str,
    receipt: Receipt,
    transaction: Transaction,
    about: reverts.About,
) -> Exception:
    """The revert of a mined transaction is kept nowhere: it is found by calling it once more."""
    call = _as_call(sender, transaction)
    block = hex(receipt.block_number - 1)
    for at in (block, "latest"):
        (answer,) = rpc.ask(provider, [("eth_call", [call, at])])
        if isinstance(answer, rpc.Failure) and answer.data is not None:
            revert = reverts.decode(answer.data, answer.message)
            return reverts.to_error(replace(revert, transaction=receipt.transaction), about)
    error = ContractReverted(f"transaction {receipt.transaction} failed")
    error.revert = reverts.Revert("", {}, b"", transaction=receipt.transaction)
    return error


def _mined(provider: ProviderAPI, transaction_hash: str) -> Any:
    """The raw receipt, once it is as deep as the network's configuration asks."""
    network = provider.network
    pause = min(max(network.block_time / POLLS_PER_BLOCK, SHORTEST_POLL), LONGEST_POLL)
    deadline = time.monotonic() + network.transaction_acceptance_timeout
    wanted = network.required_confirmations
    while True:
        questions: list[rpc.Request] = [("eth_getTransactionReceipt", [transaction_hash])]
        if wanted:
            questions.append(("eth_blockNumber", []))
        try:
            receipt, *head = (rpc.expect(answer) for answer in rpc.ask(provider, questions))
        except NoNetwork:
            receipt, head = None, []  # what is not known now may be known later
        # Asked for anew each time: a reorganisation can move the transaction or take it away.
        if receipt and receipt.get("blockNumber") is not None:
            depth = rpc.as_int(head[0]) - rpc.as_int(receipt["blockNumber"]) if head else 0
            if depth >= wanted:
                return receipt
        if time.monotonic() > deadline:
            raise TransactionPending(transaction_hash)
        time.sleep(pause)
