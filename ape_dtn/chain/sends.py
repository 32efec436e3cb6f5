"""All that changes the chain: transactions, priced, signed, sent once and followed to their end.

Gas and fees are explicit, what would revert is found before it is signed, and the transaction's
hash is known before it is sent. Nothing here needs traces: what happened is read from the logs.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from eth_utils import keccak, to_checksum_address

from ape_dtn.chain import nonces, reads, reverts, rpc, safes
from ape_dtn.chain.abi import Function, Log
from ape_dtn.chain.serialization import serialize
from ape_dtn.errors import (
    ContractReverted,
    DtnError,
    NoMoneyForGas,
    NoNetwork,
    PartlySent,
    RpcRefused,
    SigningDeclined,
    TransactionPending,
    TransactionRefused,
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

# How endpoints say that they have a transaction already, each in its own words.
_HAD = re.compile(
    r"already[ _]?(known|imported|exists)|\bknown transaction|existing tx with same hash"
    r"|\balready in (the )?(mem|tx)?pool\b",
    re.IGNORECASE,
)
_NOT_HAD = re.compile(r"nonce|account|\bunknown\b", re.IGNORECASE)

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
        delegate: The contract whose code the sender runs as its own from this transaction on
            (EIP-7702); None to leave it as it is.
    """

    to: str | None
    data: bytes
    value: int = 0
    gas_limit: int | None = None
    extra_gas: int = 0
    delegate: str | None = None

    def as_call(self, sender: str) -> dict[str, str]:
        """The transaction as it is estimated, simulated and called, in JSON-RPC's fields."""
        fields = {"from": sender, "data": "0x" + self.data.hex(), "value": hex(self.value)}
        return {**fields, "to": self.to} if self.to else fields

    def limit_for(self, used: int) -> int:
        """The gas limit that is signed, where so much would be used."""
        if self.gas_limit is not None:
            return self.gas_limit
        return used * GAS_MARGIN_PERCENT // 100 + self.extra_gas


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


@dataclass(frozen=True)
class Signed:
    """A signed transaction: nothing can change it any more, and sent twice it runs once.

    Attributes:
        hash: Its hash.
        sender: Who signed it.
        nonce: Its nonce.
        raw: What is sent.
    """

    hash: str
    sender: str
    nonce: int
    raw: str

    @property
    def sending(self) -> rpc.Request:
        """What sends it."""
        return rpc.SEND, [self.raw]


# Told of what was signed, by its place among all, before any of it is sent.
OnSigned = Callable[[Mapping[int, Signed]], None]


def most_for_gas(base_fee: int, tip: int) -> int:
    """The most that is signed for each unit of gas, in wei: the base fee may double meanwhile."""
    return 2 * base_fee + tip


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
    on_signed: OnSigned = lambda _: None,
) -> Receipt:
    """Sends a transaction and waits until it is mined and confirmed.

    Raises:
        DtnError: The contract refuses it, by :mod:`ape_dtn.chain.reverts`, before or after mining.
        NoMoneyForGas: The account cannot pay for its value and gas. Nothing was sent.
        SigningDeclined: The account did not sign. Nothing was sent.
        TransactionPending: It was sent and is not mined in time.
    """
    (receipt,) = send_together(provider, account, [transaction], about, on_signed)
    return receipt


def send_together(
    provider: ProviderAPI,
    account: AccountAPI,
    transactions: Sequence[Transaction],
    about: reverts.About = reverts.NOTHING,
    on_signed: OnSigned = lambda _: None,
    instead_of: Signed | None = None,
) -> list[Receipt]:
    """Signs all transactions, then sends them back to back with nonces in order, then waits.

    Only the first may leave its gas limit to be estimated: the others run on a state that does not
    exist yet.

    Args:
        provider: The connection.
        account: Who signs.
        transactions: The transactions.
        about: What they are about.
        on_signed: Told of what was signed, before any of it is sent.
        instead_of: A transaction that was signed before and that no endpoint takes: the first of
            these has to have its nonce, so that only one of the two can be mined.

    Raises:
        DtnError: See :func:`send`. The error is that of the first transaction that failed.
        TransactionPending: The nonce of the one that it is to replace is not the next.
        PartlySent: The first ones were sent, and a later one was not taken.
    """
    if safes.is_safe(account):
        if instead_of is not None:  # which of its owners sends is not the same each time
            raise TransactionPending(instead_of.hash)
        return _send_by_owners(provider, account, transactions, about, on_signed)
    assert all(transaction.gas_limit is not None for transaction in transactions[1:])
    sender = str(account.address)
    sent: list[str] = []
    try:
        for _ in range(NONCE_ATTEMPTS):
            with nonces.turn(provider, sender):
                priced = _priced(provider, account, transactions, about)
                if instead_of is not None and priced[0].nonce != instead_of.nonce:
                    raise TransactionPending(instead_of.hash)
                if _send_in_order(provider, account, priced, sent, about, on_signed):
                    break
        else:
            what = f"another program sends from {sender}"
            raise TransactionRefused(rpc.SEND, what)
        return _receipts(provider, sender, sent, transactions, about)
    except (KeyboardInterrupt, SystemExit):
        if sent:
            _warn_of(sent)
        raise


def _send_by_owners(
    provider: ProviderAPI,
    safe: AccountAPI,
    transactions: Sequence[Transaction],
    about: reverts.About,
    on_signed: OnSigned,
) -> list[Receipt]:
    """What a Safe makes is a transaction of one of its owners, and waits for the one before."""
    receipts: list[Receipt] = []
    for place, transaction in enumerate(transactions):
        try:
            with nonces.turn(provider, str(safe.address)):  # it counts on when it is mined
                owner, made = safes.executing(provider, safe, transaction, about)

                def on_its(signed: Mapping[int, Signed], place: int = place) -> None:
                    on_signed({place: signed[0]})

                receipts.append(send(provider, owner, made, about, on_its))
        except DtnError as err:
            err.before = tuple(receipts)
            raise
    return receipts


def send_each(
    provider: ProviderAPI,
    account: AccountAPI,
    transactions: Sequence[Transaction],
    about: reverts.About,
    told: Callable[[int, Receipt | DtnError], None],
    on_signed: OnSigned = lambda _: None,
) -> None:
    """Sends transactions that do not depend on each other, many at a time, without waiting between.

    What befalls one of them is told of it alone.

    Args:
        provider: The connection.
        account: Who signs all of them.
        transactions: The transactions; each one's gas is estimated on the state as it is now.
        about: What they are about.
        told: Called once for each, with its place and what became of it.
        on_signed: Told of what was signed, by its place, before any of it is sent.

    Raises:
        DtnError: Nothing could be sent at all, as where the account cannot pay for the first ones.
    """
    waiting = list(range(len(transactions)))
    flying: dict[str, int] = {}
    deadline = _deadline(provider)
    most = 1 if _runs_code(provider, str(account.address)) else MOST_IN_FLIGHT
    try:
        while waiting or flying:
            if waiting and len(flying) <= most // 2:
                places = waiting[: most - len(flying)]
                del waiting[: len(places)]
                window = {place: transactions[place] for place in places}
                try:
                    _send_window(provider, account, window, about, flying, told, on_signed)
                except DtnError as err:  # of these, nothing was sent
                    if places[0] == 0:
                        raise
                    for place in (*places, *waiting):
                        told(place, err)
                    waiting = []
                deadline = _deadline(provider)
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
    except BaseException:
        if flying:
            _warn_of(flying)
        raise


def _runs_code(provider: ProviderAPI, account: str) -> bool:
    """Whether an account runs code (EIP-7702): nodes then take one transaction of it at a time."""
    return bool(rpc.as_bytes(rpc.result(provider, "eth_getCode", [account, "latest"])))


def follow(
    provider: ProviderAPI,
    account: AccountAPI,
    signed: Sequence[Signed],
    about: reverts.About = reverts.NOTHING,
) -> dict[str, Receipt | DtnError | None]:
    """Follows to their end transactions that were signed before, and perhaps sent.

    What the chain does not have is sent again as it is, which makes it the same transaction. Of the
    nodes behind an endpoint one may be behind the others: what only one answer says is not believed
    where something would be sent anew for it.

    Args:
        provider: The connection.
        account: Who signed them.
        signed: The transactions.
        about: What they are about.

    Returns:
        By their hashes: the receipt, or why it failed; None where it never will be mined, since
        another transaction has used its nonce; `TransactionRefused` where the endpoint does not
        take it in time and its nonce is the account's next.

    Raises:
        TransactionPending: They are not mined in time.
    """
    left = {each.hash: each for each in signed}
    found: dict[str, Receipt | DtnError | None] = {}
    deadline = _deadline(provider)
    while True:
        is_last = time.monotonic() > deadline
        for transaction_hash, raw in _mined(provider, list(left)).items():
            if transaction := _as_sent(provider, transaction_hash):
                sender = left.pop(transaction_hash).sender
                found[transaction_hash] = _outcome(provider, sender, raw, transaction, about)
        if not left:
            return found
        used = {
            each: _count(provider, each, "latest")
            for each in {each.sender for each in left.values()}
        }
        past = [each for each in left.values() if each.nonce < used[each.sender]]
        for transaction_hash in _overtaken(provider, past):
            del left[transaction_hash]
            found[transaction_hash] = None
        waiting = sorted(
            (each for each in left.values() if each.nonce >= used[each.sender]),
            key=lambda each: each.nonce,
        )
        known = _are_known(provider, [each.hash for each in waiting]) if waiting else []
        missing = [
            each
            for each, is_known in zip(waiting, known, strict=True)
            if not is_known and each.raw  # what others have sent only they can send again
        ]
        if missing:
            first = missing[0]
            if first.sender == str(account.address):
                _fill_until(provider, account, first.nonce)
            for refused in _send_at_once(provider, first.sender, missing):
                is_late = time.monotonic() > deadline
                if is_late and _count(provider, first.sender, "pending") <= left[refused].nonce:
                    del left[refused]
                    what = "it does not take what was signed before"
                    found[refused] = TransactionRefused(rpc.SEND, what)
        if left and is_last:
            raise TransactionPending(*left)
        if left:
            time.sleep(_pause(provider))


def mined(
    provider: ProviderAPI, signed: Sequence[Signed], about: reverts.About = reverts.NOTHING
) -> list[Receipt]:
    """The receipts of those that are mined and have succeeded, as it is now."""
    found = []
    for transaction_hash, raw in _mined(provider, [each.hash for each in signed]).items():
        if transaction := _as_sent(provider, transaction_hash):
            outcome = _outcome(provider, signed[0].sender, raw, transaction, about)
            if isinstance(outcome, Receipt):
                found.append(outcome)
    return found


def may_be_mined(provider: ProviderAPI, signed: Sequence[Signed]) -> bool:
    """Whether any of some that were signed is neither mined nor overtaken, as far as is known."""
    if not signed:
        return False
    try:
        mined = _mined(provider, [each.hash for each in signed])
        left = [each for each in signed if each.hash not in mined]
        return len(_overtaken(provider, left)) < len(left)
    except NoNetwork:
        return True


def _overtaken(provider: ProviderAPI, signed: Sequence[Signed]) -> list[str]:
    """Those that never will be mined, of some whose nonces are used."""
    if not signed:
        return []
    head = rpc.as_int(rpc.result(provider, "eth_blockNumber", []))
    # As deep as a receipt has to be: a block above that may go again, and its transactions with it.
    block = max(head - provider.network.required_confirmations, 0)
    return [each.hash for each in signed if _is_overtaken(provider, each, block)]


def _is_overtaken(provider: ProviderAPI, signed: Signed, block: int) -> bool:
    """Whether another transaction was mined with the nonce of one, by a block that there is.

    One HTTP request asks both whether it is mined and whether its nonce is used: what one node says
    of the one, and another of the other, would not say it. So it is two calls, which hardly any
    endpoint takes apart, and not those of many transactions. The nonce is asked as of a block from
    before: the one that mines it may come between the two.
    """
    questions: list[rpc.Request] = [
        ("eth_getTransactionReceipt", [signed.hash]),
        ("eth_getTransactionCount", [signed.sender, hex(block)]),
    ]
    receipt, count = rpc.ask(provider, questions)
    if rpc.expect(receipt) is not None or isinstance(count, rpc.Failure):
        return False  # a node that does not have the block yet does not know
    return rpc.as_int(count) > signed.nonce


def remembers(provider: ProviderAPI, blocks: Iterable[int]) -> bool:
    """Whether the endpoint has the receipt of the first transaction in blocks of some time ago.

    True where there is none in them.
    """
    found = rpc.ask(provider, [("eth_getBlockByNumber", [hex(each), False]) for each in blocks])
    for answer in found:
        block = rpc.expect(answer)
        if block is None:
            return False
        if block["transactions"]:
            first = block["transactions"][0]
            return rpc.result(provider, "eth_getTransactionReceipt", [first]) is not None
    return True


def _as_sent(provider: ProviderAPI, transaction_hash: str) -> Transaction | None:
    """A transaction as the chain has it."""
    raw = rpc.result(provider, "eth_getTransactionByHash", [transaction_hash])
    if raw is None:
        return None
    return Transaction(raw["to"], rpc.as_bytes(raw["input"]), rpc.as_int(raw["value"]))


def _fill_until(provider: ProviderAPI, account: AccountAPI, nonce: int) -> None:
    """Uses up the nonces before one that somebody has signed with: it waits for them for ever.

    They were those of transactions that were dropped. To sign anew with the first of them instead
    could have both mined in the end.
    """
    sender, deadline = str(account.address), _deadline(provider)
    with nonces.turn(provider, sender):
        while (free := _count(provider, sender, "pending")) < nonce:
            nothing = Transaction(sender, b"", gas_limit=EMPTY_GAS)
            market, _ = _market(provider, sender, [nothing], reverts.NOTHING)
            at = replace(market, nonce=free)
            (empty,) = _created(provider, account, at, [(nothing, EMPTY_GAS)])
            signed = _signed(account, empty)
            refusal = _send_at_once(provider, sender, [signed]).get(signed.hash)
            if refusal and time.monotonic() > deadline:
                raise _refusal(refusal, reverts.NOTHING)


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
    """Ape transactions with nonce, gas and fees, for all or for none.

    Raises:
        DtnError: One would revert.
        NoMoneyForGas: The account cannot pay for all.
    """
    market, limits = _market(provider, str(account.address), transactions, about)
    for limit in limits:
        if isinstance(limit, DtnError):
            raise limit
    limited = [
        (transaction, limit)
        for transaction, limit in zip(transactions, limits, strict=True)
        if isinstance(limit, int)
    ]
    return _created(provider, account, market, limited)


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
        ("eth_estimateGas", [each.as_call(sender)])
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
    market = _Market(chain_id, nonce, balance, most_for_gas(base_fee, tip), tip)
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
    return transaction.limit_for(rpc.as_int(estimated))


def _created(
    provider: ProviderAPI,
    account: AccountAPI,
    market: _Market,
    limited: Sequence[tuple[Transaction, int]],
) -> list[TransactionAPI]:
    """Ape transactions, with nonces in their order.

    Raises:
        NoMoneyForGas: The account cannot pay for all.
    """
    sender = str(account.address)
    most = sum(transaction.value + limit * market.max_fee for transaction, limit in limited)
    if most > market.balance:
        raise NoMoneyForGas(sender, most, market.balance)
    # Ape would build its whole configuration anew for each transaction to find it.
    confirmations = provider.network.required_confirmations
    return [
        provider.network.ecosystem.create_transaction(
            **_kind(account, transaction, market.chain_id, nonce),
            chain_id=market.chain_id,
            sender=sender,
            **({"receiver": transaction.to} if transaction.to else {}),
            nonce=nonce,
            gas_limit=limit,
            max_fee=market.max_fee,
            max_priority_fee=market.tip,
            value=transaction.value,
            data=transaction.data,
            required_confirmations=confirmations,
        )
        for nonce, (transaction, limit) in enumerate(limited, market.nonce)
    ]


def _kind(
    account: AccountAPI, transaction: Transaction, chain_id: int, nonce: int
) -> dict[str, Any]:
    """The transaction's type (EIP-2718), and what that one has besides.

    Raises:
        SigningDeclined: The account did not sign that it runs another's code.
    """
    if transaction.delegate is None:
        return {"type": 2}
    from ape_ethereum.transactions import Authorization
    from click import Abort

    # The chain counts the transaction's own nonce before it looks at the authorization's.
    runs: Any = {"address": transaction.delegate, "chain_id": chain_id, "nonce": nonce + 1}
    signature = None
    with suppress(Abort):  # Ape asks each time, and has nobody to ask without a terminal
        signature = account.sign_authorization(**runs)
    if signature is None:
        raise SigningDeclined(str(account.address), "that it runs the code of another")
    authorized: Any = Authorization.from_signature(signature=signature, **runs)
    return {"type": 4, "authorizations": [authorized]}


def signs_raw(account: AccountAPI) -> bool:
    """Whether an account gives its signature away, so that what it signed can be sent from here."""
    from ape.api.accounts import AccountAPI

    return type(account).call is AccountAPI.call


def sends_here(account: AccountAPI) -> bool:
    """Whether what an account sends is signed first, and then sent from here."""
    return signs_raw(account) or safes.is_safe(account)


def signs_delegations(account: AccountAPI) -> bool:
    """Whether an account can sign that it runs another's code (EIP-7702)."""
    from ape.api.accounts import AccountAPI

    cannot = type(account).sign_authorization is AccountAPI.sign_authorization
    return signs_raw(account) and not cannot


def _signed(account: AccountAPI, txn: TransactionAPI) -> Signed:
    signed = account.sign_transaction(txn)
    if signed is None:
        raise SigningDeclined(str(account.address))
    raw = serialize(account, signed)
    transaction_hash = "0x" + keccak(raw).hex()
    return Signed(transaction_hash, str(account.address), signed.nonce or 0, "0x" + raw.hex())


def _send_in_order(
    provider: ProviderAPI,
    account: AccountAPI,
    priced: Sequence[TransactionAPI],
    sent: list[str],
    about: reverts.About,
    on_signed: OnSigned,
) -> bool:
    """Sends one after another, and adds to `sent` what was, or may have been, taken.

    Returns:
        Whether that is all of them. If not, nothing was sent: another program has used the nonce
        of the first, and what was signed with it is void.
    """
    if not signs_raw(account):
        _send_by_account(account, priced, sent, on_signed)
        return True
    signed = [_signed(account, txn) for txn in priced]
    with _uninterrupted():  # written down and sent, or neither
        on_signed(dict(enumerate(signed)))
        for txn in signed:
            failure = _send_at_once(provider, str(account.address), [txn]).get(txn.hash)
            if failure is None:
                sent.append(txn.hash)
                continue
            if sent:
                raise PartlySent(sent, _refusal(failure, about).message)
            nonce = _nonce_of(provider, str(account.address), txn)
            if nonce is _Nonce.FREE:
                raise _refusal(failure, about)
            if nonce is _Nonce.USED_BY_ANOTHER:
                return False
            sent.append(txn.hash)
    return True


def _send_by_account(
    account: AccountAPI, priced: Sequence[TransactionAPI], sent: list[str], on_signed: OnSigned
) -> None:
    """Impersonated and smart accounts send in their own way, and wait for each."""
    from ape.exceptions import ApeException

    sender = str(account.address)
    for place, txn in enumerate(priced):
        try:
            sent.append(_hash_of(account.call(txn).txn_hash))
            on_signed({place: Signed(sent[-1], sender, txn.nonce or 0, raw="")})
        except ApeException as err:
            if isinstance(err, DtnError):
                raise
            if mined := getattr(getattr(err, "txn", None), "txn_hash", None):
                sent.append(_hash_of(mined))  # why it failed is found as for all others
                return
            if sent:
                raise PartlySent(sent, str(err)) from err
            raise RpcRefused("eth_sendTransaction", str(err)) from err


def _hash_of(given: Any) -> str:
    """A hash, as some of Ape's accounts give it as text and others as bytes."""
    return "0x" + rpc.as_bytes(given).hex()


def _refusal(failure: rpc.Failure, about: reverts.About) -> DtnError:
    if failure.data:
        # Some chains run a transaction before they take it, and say at once that it reverts.
        return reverts.failure_error(failure, about)
    return TransactionRefused(failure.method, failure.message)


def _are_known(provider: ProviderAPI, hashes: Sequence[str]) -> list[bool | None]:
    """Whether the endpoint knows transactions; None where it does not say."""
    try:
        answers = rpc.ask(provider, [("eth_getTransactionByHash", [each]) for each in hashes])
    except NoNetwork:
        return [None] * len(hashes)
    return [None if isinstance(answer, rpc.Failure) else answer is not None for answer in answers]


def _count(provider: ProviderAPI, sender: str, block: str) -> int:
    """How many transactions the account has sent, as of a block."""
    return rpc.as_int(rpc.result(provider, "eth_getTransactionCount", [sender, block]))


class _Nonce(Enum):
    """What became of the nonce of a transaction that was refused."""

    FREE = "free"
    USED_BY_IT = "used by it"
    USED_BY_ANOTHER = "used by another"


def _nonce_of(provider: ProviderAPI, sender: str, refused: Signed) -> _Nonce:
    """What became of the nonce of a transaction that was refused.

    An endpoint can refuse a transaction and take it all the same: only when its nonce is used up,
    and not by it, may it be signed anew.

    Raises:
        TransactionPending: The nonce is in use, and not known in time by which transaction.
    """
    if _count(provider, sender, "pending") <= refused.nonce:
        return _Nonce.FREE
    deadline = _deadline(provider)
    while time.monotonic() <= deadline:
        if _count(provider, sender, "latest") > refused.nonce:
            if rpc.result(provider, "eth_getTransactionReceipt", [refused.hash]) is not None:
                return _Nonce.USED_BY_IT
            if _overtaken(provider, [refused]):
                return _Nonce.USED_BY_ANOTHER
        time.sleep(_pause(provider))
    raise TransactionPending(refused.hash)


def _send_window(
    provider: ProviderAPI,
    account: AccountAPI,
    window: Mapping[int, Transaction],
    about: reverts.About,
    flying: dict[str, int],
    told: Callable[[int, Receipt | DtnError], None],
    on_signed: OnSigned,
) -> None:
    """Sends many at once, adds the place of each that was sent to `flying`, tells of the others.

    Raises:
        DtnError: Nothing of it was sent, and nothing told.
    """
    sender = str(account.address)
    failed: dict[int, DtnError] = {}
    if not signs_raw(account):
        for place, transaction in window.items():

            def on_its(signed: Mapping[int, Signed], place: int = place) -> None:
                on_signed({place: signed[0]})

            try:
                told(place, send(provider, account, transaction, about, on_its))
            except DtnError as err:
                told(place, err)
        return
    with nonces.turn(provider, sender):
        market, limits = _market(provider, sender, list(window.values()), about)
        limited: dict[int, tuple[Transaction, int]] = {}
        for (place, transaction), limit in zip(window.items(), limits, strict=True):
            if isinstance(limit, DtnError):
                failed[place] = limit
            else:
                limited[place] = transaction, limit
        priced = _created(provider, account, market, list(limited.values()))
        signed = {place: _signed(account, txn) for place, txn in zip(limited, priced, strict=True)}
        with _uninterrupted():  # written down and sent, or neither
            on_signed(signed)
            flying |= {txn.hash: place for place, txn in signed.items()}
            refused = _send_at_once(provider, sender, list(signed.values()))
            not_taken = [txn for txn in signed.values() if txn.hash in refused]
            free, void = _free_and_void(provider, sender, not_taken)
            for transaction_hash in free | void:  # the others may have been taken all the same
                place = flying.pop(transaction_hash)
                failed[place] = _refusal(refused[transaction_hash], about)
            taken = [txn.nonce for txn in signed.values() if txn.hash not in refused]
            holes = [txn for txn in not_taken if txn.hash in free]
            _fill_holes(provider, account, market, taken, holes)
    # Not before: whoever is told may want to send, and would wait for the turn that is held here.
    for place, failure in failed.items():
        told(place, failure)


def _free_and_void(
    provider: ProviderAPI, sender: str, refused: Sequence[Signed]
) -> tuple[set[str], set[str]]:
    """Of those that were refused: whose nonces nobody has used, and which never will be mined.

    An endpoint can refuse a transaction and take it all the same: the others may be on their way.
    """
    if not refused:
        return set(), set()
    try:
        void = set(_overtaken(provider, refused))
        pending = _count(provider, sender, "pending")
    except DtnError:  # then nothing is known
        return set(), set()
    return {txn.hash for txn in refused if txn.nonce >= pending}, void


def _send_at_once(
    provider: ProviderAPI, sender: str, signed: Sequence[Signed]
) -> dict[str, rpc.Failure]:
    """Sends all in one HTTP request, and what was not taken again: signed, it stays the same.

    Returns:
        Why those were refused that the endpoint does not know in the end, by their hash. Of the
        others some may be unknown too, where it did not say: what became of them shows later.
        What it has left unanswered once, or says that it has, is not refused, whatever another
        node behind it says.
    """
    left = {txn.hash: txn for txn in signed}
    refused: dict[str, rpc.Failure] = {}
    perhaps_taken: set[str] = set()
    for attempt in range(SEND_ATTEMPTS):
        if attempt:
            time.sleep(min(_pause(provider) * 2**attempt, LONGEST_POLL))
        sending = [txn.sending for txn in left.values()]
        try:
            answers = dict(zip(left, rpc.ask(provider, sending), strict=True))
        except NoNetwork:
            answers = dict.fromkeys(left)
        doubtful = [
            each for each, answer in answers.items() if answer is None or _is_failure(answer)
        ]
        perhaps_taken |= {
            each for each in doubtful if answers[each] is None or says_to_have_it(answers[each])
        }
        known = dict(zip(doubtful, _are_known(provider, doubtful), strict=True)) if doubtful else {}
        refused |= {
            each: answers[each]
            for each, is_known in known.items()
            if is_known is False and _is_failure(answers[each])
        }
        for each in answers:
            if known.get(each, True) is not False or not _is_failure(answers[each]):
                refused.pop(each, None)  # or it may have been taken meanwhile
        left = {
            each: left[each]
            for each, is_known in known.items()
            if not is_known and not (_is_failure(answers[each]) and answers[each].data)
        }
        if left and all(each in refused for each in left):
            left = _not_overtaken(provider, sender, left)
        if not left:
            break
    return {each: why for each, why in refused.items() if each not in perhaps_taken}


def _not_overtaken(
    provider: ProviderAPI, sender: str, refused: Mapping[str, Signed]
) -> dict[str, Signed]:
    """Those whose nonces nobody has used yet: the others are not taken however often they come."""
    try:
        pending = _count(provider, sender, "pending")
    except NoNetwork:
        pending = 0
    return {each: txn for each, txn in refused.items() if txn.nonce >= pending}


def _is_failure(answer: Any) -> bool:
    return isinstance(answer, rpc.Failure)


def says_to_have_it(failure: rpc.Failure) -> bool:
    """Whether an endpoint refuses a transaction because it has it."""
    says = failure.message
    return _HAD.search(says) is not None and _NOT_HAD.search(says) is None


def _fill_holes(
    provider: ProviderAPI,
    account: AccountAPI,
    market: _Market,
    taken: Sequence[int],
    refused: Sequence[Signed],
) -> None:
    """Uses up the nonces of what was refused, where something was taken that waits behind it."""
    for txn in refused:
        if taken and txn.nonce < max(taken):
            nothing = Transaction(str(account.address), b"", gas_limit=EMPTY_GAS)
            at = replace(market, nonce=txn.nonce)
            with suppress(DtnError):  # what waits behind it then stays pending
                (empty,) = _created(provider, account, at, [(nothing, EMPTY_GAS)])
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
        if caught:  # also where sending failed: nothing may be sent again after it
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
    call = transaction.as_call(sender)
    if transaction.gas_limit is not None:  # which may have been too little for a contract
        call["gas"] = hex(transaction.gas_limit)
    block = hex(receipt.block_number - 1)
    for at in (block, "latest"):
        try:
            (answer,) = rpc.ask(provider, [("eth_call", [call, at])])
        except NoNetwork:  # that it failed is known all the same
            break
        if isinstance(answer, rpc.Failure) and answer.data:
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
