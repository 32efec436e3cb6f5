"""All that changes the chain: transactions, priced, signed, sent once and followed to their end.

Gas and fees are explicit, what would revert is found before it is signed, and the transaction's
hash is known before it is sent. Nothing here needs traces: what happened is read from the logs.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from eth_utils import keccak, to_checksum_address

from ape_dtn.chain import nonces, reads, reverts, rpc
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

# How many transactions of one account wait to be mined: endpoints drop those beyond a number.
MOST_IN_FLIGHT = 64

# How often the same signed transaction is sent to an endpoint that refuses it, as when it is busy.
SEND_ATTEMPTS = 5

# How often a transaction is signed anew because another program has used its nonce.
NONCE_ATTEMPTS = 5

# What a transaction uses that does nothing.
EMPTY_GAS = 21_000


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
    assert all(transaction.gas_limit is not None for transaction in transactions[1:])
    sender = str(account.address)
    if not _signs_raw(account):
        # Impersonated and smart accounts send in their own way.
        priced = _priced(provider, sender, transactions, about)
        hashes = ["0x" + bytes(account.call(txn).txn_hash_bytes).hex() for txn in priced]
        return _receipts(provider, sender, hashes, transactions, about)
    sent: list[str] = []
    try:
        for attempt in range(1, NONCE_ATTEMPTS + 1):
            with nonces.turn(provider, sender):
                priced = _priced(provider, sender, transactions, about)
                signed = [_signed(account, txn) for txn in priced]
                try:
                    with _uninterrupted():
                        _send_in_order(provider, signed, sent, about)
                    break
                except RpcRefused:
                    # Another program has used the nonce, and what was signed with it is void.
                    if attempt == NONCE_ATTEMPTS or not _is_used(provider, sender, signed[0]):
                        raise
        return _receipts(provider, sender, sent, transactions, about)
    except (KeyboardInterrupt, SystemExit):
        if sent:
            _warn_of(sent)
        raise


def send_each(
    provider: ProviderAPI,
    account: AccountAPI,
    transactions: Sequence[Transaction],
    about: reverts.About,
    told: Callable[[int, Receipt | DtnError], None],
) -> None:
    """Sends transactions that do not depend on each other, many at a time, without waiting between.

    What befalls one of them is told of it alone.

    Args:
        provider: The connection.
        account: Who signs all of them.
        transactions: The transactions; each one's gas is estimated on the state as it is now.
        about: What they are about.
        told: Called once for each, with its place and what became of it.

    Raises:
        DtnError: Nothing could be sent at all, as where the account cannot pay for the first ones.
    """
    waiting = list(range(len(transactions)))
    flying: dict[str, int] = {}
    deadline = _deadline(provider)
    try:
        while waiting or flying:
            if waiting and len(flying) <= MOST_IN_FLIGHT // 2:
                places = waiting[: MOST_IN_FLIGHT - len(flying)]
                del waiting[: len(places)]
                window = {place: transactions[place] for place in places}
                try:
                    flying |= _send_window(provider, account, window, about, told)
                except DtnError as err:  # of these, nothing was sent
                    if places[0] == 0:
                        raise
                    for place in (*places, *waiting):
                        told(place, err)
                    waiting = []
            landed = _mined(provider, list(flying))
            for transaction_hash, raw in landed.items():
                place = flying.pop(transaction_hash)
                told(
                    place, _outcome(provider, str(account.address), raw, transactions[place], about)
                )
            if landed:
                deadline = _deadline(provider)
            elif time.monotonic() > deadline:
                for transaction_hash, place in flying.items():
                    told(place, TransactionPending(transaction_hash))
                flying = {}
            elif flying:
                time.sleep(_pause(provider))
    except (KeyboardInterrupt, SystemExit):
        if flying:
            _warn_of(flying)
        raise


def create(provider: ProviderAPI, account: AccountAPI, code: bytes) -> str:
    """Creates a contract and returns its address."""
    contract = send(provider, account, Transaction(None, code)).contract
    assert contract is not None
    return contract


def _priced(
    provider: ProviderAPI,
    sender: str,
    transactions: Sequence[Transaction],
    about: reverts.About,
) -> list[TransactionAPI]:
    """Ape transactions with nonce, gas and fees, for all or for none.

    Raises:
        DtnError: One would revert.
        NoMoneyForGas: The account cannot pay for all.
    """
    market, limits = _market(provider, sender, transactions, about)
    for limit in limits:
        if isinstance(limit, DtnError):
            raise limit
    limited = [
        (transaction, limit)
        for transaction, limit in zip(transactions, limits, strict=True)
        if isinstance(limit, int)
    ]
    return _created(provider, sender, market, limited)


@dataclass(frozen=True)
class _Market:
    """What has to be known before anything is signed, of the chain and of the account."""

    chain_id: int
    nonce: int
    balance: int
    max_fee: int
    tip: int


def _market(
    provider: ProviderAPI,
    sender: str,
    transactions: Sequence[Transaction],
    about: reverts.About,
) -> tuple[_Market, list[int | DtnError]]:
    """The market, and each one's gas limit or why it would revert, in one HTTP request."""
    estimates: list[rpc.Request] = [
        ("eth_estimateGas", [_as_call(sender, each)])
        for each in transactions
        if each.gas_limit is None
    ]
    counts, (block, tip), estimated = _parts(
        rpc.ask(
            provider,
            [
                ("eth_chainId", []),
                ("eth_getTransactionCount", [sender, "pending"]),
                ("eth_getBalance", [sender, "latest"]),
                ("eth_getBlockByNumber", ["latest", False]),
                ("eth_maxPriorityFeePerGas", []),
                *estimates,
            ],
        ),
        3,
        2,
    )
    chain_id, nonce, balance = (rpc.as_int(rpc.expect(answer)) for answer in counts)
    if chain_id != provider.chain_id:
        raise WrongChain(
            provider.chain_id, chain_id, "the RPC serves another one than Ape takes it for"
        )
    value = sum(transaction.value for transaction in transactions)
    if value > balance:  # an estimate would only say that it failed
        raise NoMoneyForGas(sender, value, balance)
    base_fee = rpc.as_int(rpc.expect(block).get("baseFeePerGas") or 0)
    tip = 0 if isinstance(tip, rpc.Failure) else rpc.as_int(tip)
    market = _Market(chain_id, nonce, balance, 2 * base_fee + tip, tip)
    answers = iter(estimated)
    limits: list[int | DtnError] = [
        _limit(transaction, next(answers), about)
        if transaction.gas_limit is None
        else transaction.gas_limit
        for transaction in transactions
    ]
    return market, limits


def _parts(answers: list[Any], *sizes: int) -> Iterator[list[Any]]:
    """The answers in parts of these sizes, and the rest."""
    start = 0
    for size in sizes:
        yield answers[start : start + size]
        start += size
    yield answers[start:]


def _limit(transaction: Transaction, estimated: Any, about: reverts.About) -> int | DtnError:
    if isinstance(estimated, rpc.Failure):
        return reverts.failure_error(estimated, about)
    return rpc.as_int(estimated) * GAS_MARGIN_PERCENT // 100 + transaction.extra_gas


def _created(
    provider: ProviderAPI,
    sender: str,
    market: _Market,
    limited: Sequence[tuple[Transaction, int]],
) -> list[TransactionAPI]:
    """Ape transactions, with nonces in their order.

    Raises:
        NoMoneyForGas: The account cannot pay for all.
    """
    most = sum(transaction.value + limit * market.max_fee for transaction, limit in limited)
    if most > market.balance:
        raise NoMoneyForGas(sender, most, market.balance)
    return [
        provider.network.ecosystem.create_transaction(
            type=2,
            chain_id=market.chain_id,
            sender=sender,
            **({"receiver": transaction.to} if transaction.to else {}),
            nonce=nonce,
            gas_limit=limit,
            max_fee=market.max_fee,
            max_priority_fee=market.tip,
            value=transaction.value,
            data=transaction.data,
        )
        for nonce, (transaction, limit) in enumerate(limited, market.nonce)
    ]


def _as_call(sender: str, transaction: Transaction) -> dict[str, str]:
    fields = {"from": sender, "data": "0x" + transaction.data.hex()}
    fields["value"] = hex(transaction.value)
    return {**fields, "to": transaction.to} if transaction.to else fields


def _signs_raw(account: AccountAPI) -> bool:
    from ape.api.accounts import AccountAPI

    return type(account).call is AccountAPI.call


@dataclass(frozen=True)
class _Signed:
    """A signed transaction: nothing can change it any more, and sent twice it runs once.

    Attributes:
        hash: Its hash.
        nonce: Its nonce.
        raw: What is sent.
    """

    hash: str
    nonce: int
    raw: str

    @property
    def sending(self) -> rpc.Request:
        """What sends it."""
        return "eth_sendRawTransaction", [self.raw]


def _signed(account: AccountAPI, txn: TransactionAPI) -> _Signed:
    signed = account.sign_transaction(txn)
    if signed is None:
        raise SigningDeclined(str(account.address))
    # Once: Ape recovers the signer each time, and would do it again for the hash.
    raw = bytes(signed.serialize_transaction())
    return _Signed("0x" + keccak(raw).hex(), signed.nonce or 0, "0x" + raw.hex())


def _send_in_order(
    provider: ProviderAPI, signed: Sequence[_Signed], sent: list[str], about: reverts.About
) -> None:
    """Sends one after another, and adds to `sent` what was, or may have been, taken."""
    for txn in signed:
        try:
            _send_raw(provider, txn, about)
        except DtnError as err:
            if not sent:
                raise
            raise PartlySent(sent, err.message) from err
        sent.append(txn.hash)


def _send_raw(provider: ProviderAPI, txn: _Signed, about: reverts.About) -> None:
    try:
        (answer,) = rpc.ask(provider, [txn.sending])
    except NoNetwork:
        # The endpoint may have taken it: what became of it shows when its receipt is waited for.
        return
    # Sent again by a retry below us, it is refused, as "already known" or for its nonce.
    if isinstance(answer, rpc.Failure) and not _are_known(provider, [txn.hash])[0]:
        raise _refusal(answer, about)


def _refusal(failure: rpc.Failure, about: reverts.About) -> DtnError:
    if failure.data:
        # Some chains run a transaction before they take it, and say at once that it reverts.
        return reverts.failure_error(failure, about)
    return RpcRefused(failure.method, failure.message)


def _are_known(provider: ProviderAPI, hashes: Sequence[str]) -> list[bool]:
    try:
        answers = rpc.ask(provider, [("eth_getTransactionByHash", [each]) for each in hashes])
    except NoNetwork:
        return [True] * len(hashes)  # not known to be refused
    return [answer is not None and not isinstance(answer, rpc.Failure) for answer in answers]


def _is_used(provider: ProviderAPI, sender: str, signed: _Signed) -> bool:
    """Whether a nonce that was signed with was used by another transaction of the account."""
    pending = rpc.result(provider, "eth_getTransactionCount", [sender, "pending"])
    return rpc.as_int(pending) > signed.nonce


def _send_window(
    provider: ProviderAPI,
    account: AccountAPI,
    window: Mapping[int, Transaction],
    about: reverts.About,
    told: Callable[[int, Receipt | DtnError], None],
) -> dict[str, int]:
    """Sends many at once, and tells of those that fail before.

    Returns:
        The place of each that was sent, by its hash.
    """
    sender = str(account.address)
    if not _signs_raw(account):
        return _send_by_account(provider, account, window, about, told)
    with nonces.turn(provider, sender):
        market, limits = _market(provider, sender, list(window.values()), about)
        limited: dict[int, tuple[Transaction, int]] = {}
        for (place, transaction), limit in zip(window.items(), limits, strict=True):
            if isinstance(limit, DtnError):
                told(place, limit)
            else:
                limited[place] = transaction, limit
        priced = _created(provider, sender, market, list(limited.values()))
        signed = {place: _signed(account, txn) for place, txn in zip(limited, priced, strict=True)}
        with _uninterrupted():
            refused = _send_at_once(provider, list(signed.values()))
            _fill_holes(provider, account, market, list(signed.values()), refused)
    for place, txn in signed.items():
        if failure := refused.get(txn.hash):
            told(place, _refusal(failure, about))
    return {txn.hash: place for place, txn in signed.items() if txn.hash not in refused}


def _send_by_account(
    provider: ProviderAPI,
    account: AccountAPI,
    window: Mapping[int, Transaction],
    about: reverts.About,
    told: Callable[[int, Receipt | DtnError], None],
) -> dict[str, int]:
    """Impersonated and smart accounts send in their own way, one after another."""
    for place, transaction in window.items():
        try:
            told(place, send(provider, account, transaction, about))
        except DtnError as err:
            told(place, err)
    return {}


def _send_at_once(provider: ProviderAPI, signed: Sequence[_Signed]) -> dict[str, rpc.Failure]:
    """Sends all in one HTTP request, and those that were refused again: they stay the same.

    Returns:
        Why those were refused that the endpoint does not know in the end, by their hash.
    """
    left = {txn.hash: txn.sending for txn in signed}
    refused: dict[str, rpc.Failure] = {}
    for attempt in range(SEND_ATTEMPTS):
        if attempt:
            time.sleep(_pause(provider) * 2**attempt)
        try:
            answers = dict(zip(left, rpc.ask(provider, list(left.values())), strict=True))
        except NoNetwork:
            answers = dict.fromkeys(left, rpc.Failure("eth_sendRawTransaction", "no answer", None))
        doubtful = [each for each, answer in answers.items() if isinstance(answer, rpc.Failure)]
        known = _are_known(provider, doubtful) if doubtful else []
        refused = {
            each: answers[each]
            for each, is_known in zip(doubtful, known, strict=True)
            if not is_known
        }
        left = {each: left[each] for each in refused}
        if not left:
            break
    return refused


def _fill_holes(
    provider: ProviderAPI,
    account: AccountAPI,
    market: _Market,
    signed: Sequence[_Signed],
    refused: Mapping[str, rpc.Failure],
) -> None:
    """Uses up the nonces of what was refused, where something was taken that waits behind it."""
    taken = [txn.nonce for txn in signed if txn.hash not in refused]
    for txn in signed:
        if txn.hash in refused and taken and txn.nonce < max(taken):
            nothing = Transaction(str(account.address), b"", gas_limit=EMPTY_GAS)
            at = replace(market, nonce=txn.nonce)
            with suppress(DtnError):  # what waits behind it then stays pending
                (empty,) = _created(provider, str(account.address), at, [(nothing, EMPTY_GAS)])
                rpc.ask(provider, [_signed(account, empty).sending])


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


def _warn_of(sent: Iterable[str]) -> None:
    from ape.logging import logger

    logger.warning(f"Interrupted, but sent, and not to be sent again: {', '.join(sent)}")


def _receipts(
    provider: ProviderAPI,
    sender: str,
    hashes: Sequence[str],
    transactions: Sequence[Transaction],
    about: reverts.About,
) -> list[Receipt]:
    """All receipts, or the first error, which is given those from before it."""
    receipts: list[Receipt] = []
    deadline = _deadline(provider)
    while len(receipts) < len(hashes):
        missing = hashes[len(receipts) :]
        landed = _mined(provider, missing)
        for transaction_hash in missing:
            if transaction_hash not in landed:
                break
            transaction = transactions[len(receipts)]
            outcome = _outcome(provider, sender, landed[transaction_hash], transaction, about)
            if isinstance(outcome, DtnError):
                outcome.before = tuple(receipts)
                raise outcome
            receipts.append(outcome)
        else:
            break
        if time.monotonic() > deadline:
            pending = TransactionPending(*hashes[len(receipts) :])
            pending.before = tuple(receipts)
            raise pending
        time.sleep(_pause(provider))
    return receipts


def _outcome(
    provider: ProviderAPI,
    sender: str,
    raw: Any,
    transaction: Transaction,
    about: reverts.About,
) -> Receipt | DtnError:
    receipt = Receipt(
        transaction="0x" + rpc.as_bytes(raw["transactionHash"]).hex(),
        block_number=rpc.as_int(raw["blockNumber"]),
        gas_used=rpc.as_int(raw["gasUsed"]),
        gas_price=rpc.as_int(raw.get("effectiveGasPrice") or 0),
        logs=tuple(reads.to_log(log) for log in raw["logs"]),
        contract=to_checksum_address(created) if (created := raw.get("contractAddress")) else None,
    )
    if rpc.as_int(raw["status"]) == 1:
        return receipt
    return _why_it_failed(provider, sender, receipt, transaction, about)


def _why_it_failed(
    provider: ProviderAPI,
    sender: str,
    receipt: Receipt,
    transaction: Transaction,
    about: reverts.About,
) -> DtnError:
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


def _mined(provider: ProviderAPI, hashes: Sequence[str]) -> dict[str, Any]:
    """The raw receipts that are there, and as deep as the network's configuration asks.

    They are asked for anew each time: a reorganisation can move a transaction or take it away.
    """
    if not hashes:
        return {}
    wanted = provider.network.required_confirmations
    questions: list[rpc.Request] = [("eth_getTransactionReceipt", [each]) for each in hashes]
    head_question: list[rpc.Request] = [("eth_blockNumber", [])] if wanted else []
    try:
        answers, heads = _parts(rpc.ask(provider, questions + head_question), len(hashes))
        head = rpc.as_int(rpc.expect(heads[0])) if wanted else 0
    except NoNetwork:
        return {}  # what is not known now may be known later
    return {
        transaction_hash: receipt
        for transaction_hash, receipt in zip(hashes, answers, strict=True)
        if receipt
        and not isinstance(receipt, rpc.Failure)
        and receipt.get("blockNumber") is not None
        and (not wanted or head - rpc.as_int(receipt["blockNumber"]) >= wanted)
    }


def _pause(provider: ProviderAPI) -> float:
    """How long to wait between two looks at the chain, in seconds."""
    return min(max(provider.network.block_time / POLLS_PER_BLOCK, SHORTEST_POLL), LONGEST_POLL)


def _deadline(provider: ProviderAPI) -> float:
    return time.monotonic() + provider.network.transaction_acceptance_timeout
