"""All that changes the chain: transactions, priced, signed, sent once and followed to their end.

Gas and fees are explicit, what would revert is found before it is signed, and the transaction's
hash is known before it is sent. Nothing here needs traces: what happened is read from the logs.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from eth_utils import keccak, to_checksum_address

from ape_dtn.chain import nonces, reads, reverts, rpc, safes
from ape_dtn.chain.abi import Function, Log
from ape_dtn.chain.fees import DYNAMIC_FEE, SET_CODE, Fees, Payload, payload_of
from ape_dtn.chain.finality import Evidence, final_block, is_used
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

    @property
    def is_empty(self) -> bool:
        """Whether it does nothing but use up its nonce."""
        if not self.raw:
            return False
        payload = payload_of(self.raw)
        return payload.to == self.sender and not payload.data and not payload.value


# Told of what was signed, by its place among all, before any of it is sent.
OnSigned = Callable[[Mapping[int, Signed]], None]


@dataclass(frozen=True)
class Outstanding:
    """What was signed for something else, and is not known to be mined.

    Attributes:
        signed: The transaction.
        can_be_resent: Whether it does no harm to send it before what else belongs to it was
            looked at.
    """

    signed: Signed
    can_be_resent: bool


@dataclass(frozen=True)
class Outbox:
    """What the caller keeps of the transactions that are signed for it.

    Attributes:
        record: Writes down what was signed, by its place among all, before any of it is sent.
        hand_over: Writes down, by its place, the nonce of a transaction that the account itself is
            about to sign and send in its own way; None once it has declined to.
        outstanding: What was signed by a sender for other purposes, and may still be mined.
        evidence: What is asked of a view of the chain that says that a nonce is used by another.
        used_by: How many nonces of a sender are known to be used. What is signed with one of them
            could not be mined, and would be waited for until that is final.
    """

    record: OnSigned = lambda _: None
    hand_over: Callable[[int, int | None], None] = lambda _place, _nonce: None
    outstanding: Callable[[str], Sequence[Outstanding]] = lambda _: ()
    evidence: Evidence = field(default_factory=Evidence)
    used_by: Callable[[str], int] = lambda _: 0

    def at(self, place: int) -> Outbox:
        """The outbox of one transaction of many, which is the first of its own."""
        return replace(
            self,
            record=lambda signed: self.record({place: signed[0]}),
            hand_over=lambda _, nonce: self.hand_over(place, nonce),
        )


# Of a sender that keeps nothing.
NO_OUTBOX = Outbox()


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
    outbox: Outbox = NO_OUTBOX,
) -> Receipt:
    """Sends a transaction and waits until it is mined and confirmed.

    Raises:
        DtnError: The contract refuses it, by :mod:`ape_dtn.chain.reverts`, before or after mining.
        NoMoneyForGas: The account cannot pay for its value and gas. Nothing was sent.
        SigningDeclined: The account did not sign. Nothing was sent.
        TransactionRefused: It is signed, and the endpoint does not take it.
        TransactionPending: It was sent and is not mined in time.
    """
    (receipt,) = send_together(provider, account, [transaction], about, outbox)
    return receipt


def send_together(
    provider: ProviderAPI,
    account: AccountAPI,
    transactions: Sequence[Transaction],
    about: reverts.About = reverts.NOTHING,
    outbox: Outbox = NO_OUTBOX,
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
        outbox: What is kept of what is signed.
        instead_of: A transaction that was signed before and that no endpoint takes: the first of
            these has to have its nonce, so that only one of the two can be mined, and pays more.

    Raises:
        DtnError: See :func:`send`. The error is that of the first transaction that failed.
        TransactionPending: The nonce of the one that it is to replace is not the next.
        PartlySent: The first ones were sent, and a later one was not taken.
    """
    if safes.is_safe(account):
        if instead_of is not None:  # which of its owners sends is not the same each time
            raise TransactionPending(instead_of.hash)
        return _send_by_owners(provider, account, transactions, about, outbox)
    assert all(transaction.gas_limit is not None for transaction in transactions[1:])
    sender = str(account.address)
    sent: list[str] = []
    try:
        for _ in range(NONCE_ATTEMPTS):
            with nonces.turn(provider, sender):
                rivals = _meet(provider, sender, outbox.outstanding(sender))
                if instead_of is not None:
                    rivals.append(instead_of)
                used = outbox.used_by(sender)
                priced = _priced(provider, account, transactions, about, rivals, used)
                if instead_of is not None and priced[0].nonce != instead_of.nonce:
                    raise TransactionPending(instead_of.hash)
                if _send_in_order(provider, account, priced, sent, about, outbox):
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
    outbox: Outbox,
) -> list[Receipt]:
    """What a Safe makes is a transaction of one of its owners, and waits for the one before."""
    receipts: list[Receipt] = []
    for place, transaction in enumerate(transactions):
        try:
            with nonces.turn(provider, str(safe.address)):  # it counts on when it is mined
                _meet_of_owners(provider, safe, outbox)
                owner, made = safes.executing(provider, safe, transaction, about)
                receipts.append(send(provider, owner, made, about, outbox.at(place)))
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
    outbox: Outbox = NO_OUTBOX,
) -> None:
    """Sends transactions that do not depend on each other, many at a time, without waiting between.

    What befalls one of them is told of it alone.

    Args:
        provider: The connection.
        account: Who signs all of them.
        transactions: The transactions; each one's gas is estimated on the state as it is now.
        about: What they are about.
        told: Called once for each, with its place and what became of it.
        outbox: What is kept of what is signed.

    Raises:
        DtnError: Nothing could be sent at all, as where the account cannot pay for the first ones.
    """
    waiting = list(range(len(transactions)))
    flying: dict[str, int] = {}
    left = dict.fromkeys(waiting, NONCE_ATTEMPTS)
    deadline = _deadline(provider)
    most = 1 if _runs_code(provider, str(account.address)) else MOST_IN_FLIGHT
    try:
        while waiting or flying:
            if waiting and len(flying) <= most // 2:
                places = waiting[: most - len(flying)]
                del waiting[: len(places)]
                window = {place: transactions[place] for place in places}
                for place in places:
                    left[place] -= 1
                last = {place for place in places if not left[place]}
                try:
                    window_of = _Window(window, last, flying, told, outbox)
                    waiting[:0] = _send_window(provider, account, window_of, about)
                except DtnError as err:  # of these, nothing was sent
                    if places[0] == 0 and left[0] == NONCE_ATTEMPTS - 1:
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
    outbox: Outbox | None = None,
) -> dict[str, Receipt | DtnError | None]:
    """Follows to their end transactions that were signed before, and perhaps sent.

    What the chain does not have is sent again as it is, which makes it the same transaction. All
    that was signed with one nonce is one payment: each of it may be what is mined, and the newest
    of it is what is sent again. Of the nodes behind an endpoint one may be behind the others: what
    only one answer says is not believed where something would be sent anew for it.

    Args:
        provider: The connection.
        account: Who signed them.
        signed: The transactions, those of one nonce in the order in which they were signed.
        about: What they are about.
        outbox: What is kept of what is signed; with it, what the endpoint does not take is signed
            once more with the same nonce and higher fees.

    Returns:
        By their hashes: the receipt, or why it failed; None where it never will be mined, since
        another transaction has used its nonce; `TransactionRefused` where the endpoint does not
        take it in time and its nonce is the account's next. Of those that one of the same nonce
        has replaced, nothing.

    Raises:
        TransactionPending: They are not mined in time.
    """
    left = _by_nonce(signed)
    found: dict[str, Receipt | DtnError | None] = {}
    evidence = outbox.evidence if outbox else Evidence()
    deadline = _deadline(provider)
    while True:
        is_last = time.monotonic() > deadline
        payments = [each for same in left.values() for each in same if not each.is_empty]
        for transaction_hash, raw in _mined(provider, [each.hash for each in payments]).items():
            if transaction := _as_sent(provider, transaction_hash):
                (one,) = (each for each in payments if each.hash == transaction_hash)
                left.pop((one.sender, one.nonce), None)
                found[transaction_hash] = _outcome(provider, one.sender, raw, transaction, about)
        if not left:
            return found
        used = {sender: _count(provider, sender, "latest") for sender in {key[0] for key in left}}
        past = [key for key in left if key[1] < used[key[0]]]
        for key in _used_by_others(provider, {key: left[key] for key in past}, evidence):
            found |= dict.fromkeys((each.hash for each in left.pop(key)), None)
        waiting = [left[key] for key in sorted(left, key=_nonce_first) if key[1] >= used[key[0]]]
        missing = _missing(provider, waiting)
        if missing:
            sender, first = missing[0].sender, missing[0].nonce
            signer = _signer(provider, account, sender)
            if signer is not None:
                _fill_until(provider, signer, first, outbox)
            refused = _send_at_once(provider, sender, missing)
            for one in (each for each in missing if each.hash in refused):
                key, pending = (one.sender, one.nonce), _count(provider, sender, "pending")
                if pending > one.nonce:
                    continue
                is_first = len(left[key]) == len(_same(signed, key))
                anew = None
                if outbox and signer is not None and pending == one.nonce and is_first:
                    anew = _offer_more(provider, signer, left[key], outbox)
                if anew is not None:
                    left[key] = [*left[key], anew]
                elif time.monotonic() > deadline:
                    del left[key]
                    what = f"it does not take what was signed before: {refused[one.hash].message}"
                    found[one.hash] = TransactionRefused(rpc.SEND, what, one.hash)
        if left and is_last:
            raise TransactionPending(*(same[-1].hash for same in left.values()))
        if left:
            time.sleep(_pause(provider))


# Who signed, and with which nonce: all that both are the same of is one payment.
_Key: TypeAlias = "tuple[str, int]"


def _by_nonce(signed: Iterable[Signed]) -> dict[_Key, list[Signed]]:
    found: dict[_Key, list[Signed]] = defaultdict(list)
    for each in signed:
        found[each.sender, each.nonce].append(each)
    return dict(found)


def _same(signed: Iterable[Signed], key: _Key) -> list[Signed]:
    return _by_nonce(signed).get(key, [])


def _nonce_first(key: _Key) -> tuple[int, str]:
    return key[1], key[0]


def _missing(provider: ProviderAPI, waiting: Sequence[Sequence[Signed]]) -> list[Signed]:
    """The newest of each payment that the endpoint knows nothing of, and can be sent from here."""
    every = [each.hash for same in waiting for each in same]
    known = dict(zip(every, _are_known(provider, every), strict=True)) if every else {}
    return [
        same[-1] for same in waiting if same[-1].raw and not any(known[each.hash] for each in same)
    ]


def _signer(provider: ProviderAPI, account: AccountAPI, sender: str) -> AccountAPI | None:
    """The account that signs for a sender: itself, or an owner of the Safe."""
    own = safes.owners_here(provider, account) if safes.is_safe(account) else [account]
    return next((each for each in own if str(each.address) == sender and signs_raw(each)), None)


def _offer_more(
    provider: ProviderAPI, account: AccountAPI, same: Sequence[Signed], outbox: Outbox
) -> Signed | None:
    """Signs a payment once more, with higher fees; see :func:`_outbid`.

    None where those would be far above the market, or more than the account has: what was signed
    before may be taken all the same.
    """
    market, _ = _market(provider, same[-1].sender, [], reverts.NOTHING)
    if market.replacing(same).is_far_above(market.fees):
        return None
    with suppress(NoMoneyForGas):
        return _outbid(provider, account, market, same, payload_of(same[-1].raw), outbox)
    return None


def _outbid(
    provider: ProviderAPI,
    account: AccountAPI,
    market: _Market,
    same: Sequence[Signed],
    payload: Payload,
    outbox: Outbox,
) -> Signed:
    """Signs another transaction in place of others, writes it down and sends it.

    Args:
        provider: The connection.
        account: Who signs.
        market: The market.
        same: All that was signed with that nonce.
        payload: What it does. It pays more than any of those.
        outbox: Where it is written down.

    Raises:
        NoMoneyForGas: The account cannot pay for it.
    """
    sender, nonce = same[-1].sender, same[-1].nonce
    anew = replace(payload, fees=market.replacing(same))
    most = anew.value + anew.gas_limit * anew.fees.max_fee
    if most > market.balance:
        raise NoMoneyForGas(sender, most, market.balance)
    signed = _signed(account, _create(provider, market, sender, nonce, anew))
    with _uninterrupted():  # written down and sent, or neither
        outbox.record({0: signed})
        _send_at_once(provider, sender, [signed])
    return signed


def _replace_by_nothing(
    provider: ProviderAPI, account: AccountAPI, same: Sequence[Signed], outbox: Outbox
) -> Signed:
    """Signs an empty transaction in place of others; see :func:`_outbid`."""
    market, _ = _market(provider, same[-1].sender, [], reverts.NOTHING)
    nothing = Payload(DYNAMIC_FEE, Fees(0, 0), EMPTY_GAS, same[-1].sender, 0, b"")
    return _outbid(provider, account, market, same, nothing, outbox)


def cancel(
    provider: ProviderAPI, account: AccountAPI, signed: Sequence[Signed], outbox: Outbox
) -> list[Signed]:
    """Signs an empty transaction in place of each payment that is not mined, and sends it.

    Of each nonce, either that one is mined or what was signed before, never both.

    Returns:
        The empty ones; none where all nonces are used.

    Raises:
        NoMoneyForGas: The account cannot pay for them.
        SigningDeclined: The account did not sign, or it is not the one that did.
    """
    empty: list[Signed] = []
    for (sender, nonce), same in sorted(_by_nonce(signed).items(), key=lambda each: each[0][1]):
        if _count(provider, sender, "latest") > nonce:
            continue
        signer = _signer(provider, account, sender)
        if signer is None:
            raise SigningDeclined(sender, "an empty transaction in place of what it sent itself")
        empty.append(_replace_by_nothing(provider, signer, same, outbox))
    return empty


def _meet(provider: ProviderAPI, sender: str, outstanding: Sequence[Outstanding]) -> list[Signed]:
    """Sends once more what was signed before for something else, and never came to be mined.

    The next transaction has the lowest nonce that is not used. Where the endpoint takes what has
    that nonce already, it is the one after it; where it still does not, the two compete for it,
    and only one of them can be mined.

    Returns:
        All that was signed before: whatever gets the nonce of one has to pay more.
    """
    if outstanding:
        pending = _count(provider, sender, "pending")
        waiting = _by_nonce(each.signed for each in outstanding if each.can_be_resent)
        for (_, nonce), same in sorted(waiting.items(), key=lambda each: each[0][1]):
            if nonce < pending or not _missing(provider, [same]):
                continue
            if _send_at_once(provider, sender, [same[-1]]):
                break  # those after it wait for it
    return [each.signed for each in outstanding]


def _meet_of_owners(provider: ProviderAPI, safe: AccountAPI, outbox: Outbox) -> None:
    """Waits for what owners have sent for a Safe before.

    Its own nonce counts on when that is mined: what was signed before it would revert.

    Raises:
        TransactionPending: It is not mined in time.
    """
    outstanding = outbox.outstanding(str(safe.address))
    deadline = _deadline(provider)
    for sender in {each.signed.sender for each in outstanding}:
        own = [each for each in outstanding if each.signed.sender == sender]
        _meet(provider, sender, own)
        pending = _count(provider, sender, "pending")
        on_its_way = [each.signed for each in own if each.signed.nonce < pending]
        while any(each.nonce >= _count(provider, sender, "latest") for each in on_its_way):
            if time.monotonic() > deadline:
                raise TransactionPending(*(each.hash for each in on_its_way))
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


def may_still_change(provider: ProviderAPI, signed: Sequence[Signed], evidence: Evidence) -> bool:
    """Whether what became of transactions that were signed is not final, as far as is known.

    It is where each nonce was used in a block that is final, by what was signed with it or by
    another transaction.
    """
    try:
        block = final_block(provider, evidence)
        payments = _by_nonce(signed)
        final = {
            key
            for key, same in payments.items()
            for raw in _mined(provider, [each.hash for each in same]).values()
            if rpc.as_int(raw["blockNumber"]) <= block
        }
        left = {key: same for key, same in payments.items() if key not in final}
        return len(_used_by_others(provider, left, evidence)) < len(left)
    except NoNetwork:
        return True


def is_final(provider: ProviderAPI, transaction: str, evidence: Evidence) -> bool:
    """Whether a transaction is in a block that is final, as far as is known."""
    with suppress(NoNetwork):
        block = final_block(provider, evidence)
        mined = _mined(provider, [transaction]).values()
        return any(rpc.as_int(raw["blockNumber"]) <= block for raw in mined)
    return False


def _overtaken(provider: ProviderAPI, signed: Sequence[Signed], evidence: Evidence) -> list[str]:
    """Those that never will be mined, of some whose nonces are used."""
    used = _used_by_others(provider, _by_nonce(signed), evidence)
    return [each.hash for each in signed if (each.sender, each.nonce) in used]


def _used_by_others(
    provider: ProviderAPI, payments: Mapping[_Key, Sequence[Signed]], evidence: Evidence
) -> list[_Key]:
    """The payments whose nonces another transaction has used for good.

    It is asked twice: what one node behind the endpoint says, which another contradicts, is not
    believed.
    """
    if not payments:
        return []
    block = final_block(provider, evidence)
    return [
        key
        for key, same in payments.items()
        if _is_used_by_another(provider, same, block, evidence)
        and _is_used_by_another(provider, same, block, evidence)
    ]


def _is_used_by_another(
    provider: ProviderAPI, same: Sequence[Signed], block: int, evidence: Evidence
) -> bool:
    """Whether another transaction was mined with the nonce of a payment, by a final block.

    One HTTP request asks both whether it is mined and whether its nonce is used: what one node says
    of the one, and another of the other, would not say it. So it is few calls, which hardly any
    endpoint takes apart, and not those of many payments. The nonce is asked as of a block from
    before: the one that mines it may come between the two. An endpoint that has lost its receipt
    may still have the transaction.
    """
    payments = [each for each in same if not each.is_empty]
    questions: list[rpc.Request] = [
        *(("eth_getTransactionReceipt", [each.hash]) for each in payments),
        ("eth_getTransactionCount", [same[0].sender, hex(block)]),
        ("eth_blockNumber", []),
        *(("eth_getTransactionByHash", [each.hash]) for each in payments),
    ]
    answers = rpc.ask(provider, questions)
    count, head = answers[len(payments) : len(payments) + 2]
    shown = answers[: len(payments)] + answers[len(payments) + 2 :]
    if any(rpc.expect(each) is not None for each in shown):
        return False
    if rpc.as_int(rpc.expect(head)) < evidence.known_block:
        return False  # a node that does not have the block yet does not know
    return is_used(provider, same[0].sender, same[0].nonce, count, block, evidence)


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


def _fill_until(
    provider: ProviderAPI, account: AccountAPI, nonce: int, outbox: Outbox | None = None
) -> None:
    """Uses up the nonces before one that somebody has signed with: it waits for them for ever.

    They were those of transactions that were dropped. To sign anew with the first of them instead
    could have both mined in the end.
    """
    sender, deadline = str(account.address), _deadline(provider)
    with nonces.turn(provider, sender):
        if _count(provider, sender, "pending") >= nonce:
            return
        rivals = _meet(provider, sender, outbox.outstanding(sender)) if outbox else []
        filled, refusal, last = -1, None, ""
        while (free := _count(provider, sender, "pending")) < nonce:
            if free == filled:  # it is taken, and not counted, or it is refused
                if time.monotonic() > deadline:
                    if refusal is None:
                        raise TransactionPending(last)
                    raise _refusal(refusal, reverts.NOTHING, last)
                time.sleep(_pause(provider))
            nothing = Transaction(sender, b"", gas_limit=EMPTY_GAS)
            market, _ = _market(provider, sender, [nothing], reverts.NOTHING)
            at = replace(market, nonce=free).outbidding(rivals, 1)
            (empty,) = _created(provider, account, at, [(nothing, EMPTY_GAS)])
            signed = _signed(account, empty)
            refusal = _send_at_once(provider, sender, [signed]).get(signed.hash)
            filled, last = free, signed.hash


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
    rivals: Sequence[Signed],
    used: int,
) -> list[TransactionAPI]:
    """Ape transactions with nonce, gas and fees, for all or for none.

    They pay more than any of the rivals whose nonces they get.

    Raises:
        DtnError: One would revert.
        NoMoneyForGas: The account cannot pay for all.
    """
    market, limits = _market_from(provider, str(account.address), transactions, about, used)
    for limit in limits:
        if isinstance(limit, DtnError):
            raise limit
    limited = [
        (transaction, limit)
        for transaction, limit in zip(transactions, limits, strict=True)
        if isinstance(limit, int)
    ]
    return _created(provider, account, market.outbidding(rivals, len(limited)), limited)


@dataclass(frozen=True)
class _Market:
    """What has to be known before anything is signed, of the chain and of the account."""

    chain_id: int
    nonce: int
    balance: int
    fees: Fees
    confirmations: int

    def outbidding(self, rivals: Iterable[Signed], how_many: int) -> _Market:
        """The same with the fees that so many transactions need, from the nonce on.

        Its own, where those would be far above the market.
        """
        theirs = range(self.nonce, self.nonce + how_many)
        fees = self.replacing(each for each in rivals if each.nonce in theirs)
        return self if fees.is_far_above(self.fees) else replace(self, fees=fees)

    def replacing(self, signed: Iterable[Signed]) -> Fees:
        """The fees of what replaces any of these."""
        return self.fees.outbidding(payload_of(each.raw).fees for each in signed if each.raw)


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
    # Read once: Ape builds its whole configuration anew to find the confirmations.
    confirmations = provider.network.required_confirmations
    fees = Fees(most_for_gas(base_fee, tip), tip)
    market = _Market(chain_id, nonce, balance, fees, confirmations)
    answers = iter(estimated)
    limits: list[int | DtnError] = [
        _limit(transaction, next(answers), about)
        if transaction.gas_limit is None
        else transaction.gas_limit
        for transaction in transactions
    ]
    return market, limits


def _market_from(
    provider: ProviderAPI,
    sender: str,
    transactions: Sequence[Transaction],
    about: reverts.About,
    used: int,
) -> tuple[_Market, list[int | DtnError]]:
    """The market, by a node that has counted so many nonces as used.

    Where none has in time, a reorganisation has freed them: the market is as it is told then.
    """
    deadline = _deadline(provider)
    while True:
        market, limits = _market(provider, sender, transactions, about)
        if market.nonce >= used or time.monotonic() > deadline:
            return market, limits
        time.sleep(_pause(provider))


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
    most = sum(transaction.value + limit * market.fees.max_fee for transaction, limit in limited)
    if most > market.balance:
        raise NoMoneyForGas(sender, most, market.balance)
    return [
        _create(
            provider,
            market,
            sender,
            nonce,
            Payload(
                kind=DYNAMIC_FEE if transaction.delegate is None else SET_CODE,
                fees=market.fees,
                gas_limit=limit,
                to=transaction.to,
                value=transaction.value,
                data=transaction.data,
                authorizations=_authorizations(account, transaction, market.chain_id, nonce),
            ),
        )
        for nonce, (transaction, limit) in enumerate(limited, market.nonce)
    ]


def _create(
    provider: ProviderAPI, market: _Market, sender: str, nonce: int, payload: Payload
) -> TransactionAPI:
    """A transaction of Ape with this payload."""
    from ape_ethereum.transactions import Authorization

    signed = [Authorization(**each) for each in payload.authorizations]
    return provider.network.ecosystem.create_transaction(
        type=payload.kind,
        chain_id=market.chain_id,
        sender=sender,
        **({"receiver": payload.to} if payload.to else {}),
        **({"authorizations": signed} if signed else {}),
        nonce=nonce,
        gas_limit=payload.gas_limit,
        max_fee=payload.fees.max_fee,
        max_priority_fee=payload.fees.tip,
        value=payload.value,
        data=payload.data,
        required_confirmations=market.confirmations,
    )


def _authorizations(
    account: AccountAPI, transaction: Transaction, chain_id: int, nonce: int
) -> tuple[dict[str, Any], ...]:
    """What the account signs so that it runs another's code (EIP-7702), if the transaction does.

    Raises:
        SigningDeclined: The account did not sign it.
    """
    if transaction.delegate is None:
        return ()
    from click import Abort

    # The chain counts the transaction's own nonce before it looks at the authorization's.
    runs: Any = {"address": transaction.delegate, "chain_id": chain_id, "nonce": nonce + 1}
    signature = None
    with suppress(Abort):  # Ape asks each time, and has nobody to ask without a terminal
        signature = account.sign_authorization(**runs)
    if signature is None:
        raise SigningDeclined(str(account.address), "that it runs the code of another")
    return (
        {
            "chainId": chain_id,
            "address": transaction.delegate,
            "nonce": nonce + 1,
            "yParity": signature.v,
            "r": signature.r,
            "s": signature.s,
        },
    )


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
    outbox: Outbox,
) -> bool:
    """Sends one after another, and adds to `sent` what was, or may have been, taken.

    Returns:
        Whether that is all of them. If not, nothing was sent: another program has used the nonce
        of the first, and what was signed with it is void.
    """
    if not signs_raw(account):
        _send_by_account(account, priced, sent, outbox)
        return True
    signed = [_signed(account, txn) for txn in priced]
    with _uninterrupted():  # written down and sent, or neither
        outbox.record(dict(enumerate(signed)))
        for txn in signed:
            failure = _send_at_once(provider, str(account.address), [txn]).get(txn.hash)
            if failure is None:
                sent.append(txn.hash)
                continue
            if sent:
                raise PartlySent(sent, _refusal(failure, about, txn.hash).message)
            nonce = _nonce_of(provider, str(account.address), txn, outbox.evidence)
            if nonce is _Nonce.FREE:
                raise _refusal(failure, about, txn.hash)
            if nonce is _Nonce.USED_BY_ANOTHER:
                return False
            sent.append(txn.hash)
    return True


def _send_by_account(
    account: AccountAPI, priced: Sequence[TransactionAPI], sent: list[str], outbox: Outbox
) -> None:
    """Impersonated and smart accounts send in their own way, and wait for each."""
    from ape.exceptions import ApeException, SignatureError

    sender = str(account.address)
    for place, txn in enumerate(priced):
        outbox.hand_over(place, txn.nonce or 0)
        try:
            sent.append(_hash_of(account.call(txn).txn_hash))
            outbox.record({place: Signed(sent[-1], sender, txn.nonce or 0, raw="")})
        except ApeException as err:
            if isinstance(err, DtnError):
                raise
            if isinstance(err, SignatureError):
                outbox.hand_over(place, None)
            if mined := getattr(getattr(err, "txn", None), "txn_hash", None):
                sent.append(_hash_of(mined))  # why it failed is found as for all others
                outbox.record({place: Signed(sent[-1], sender, txn.nonce or 0, raw="")})
                return
            if sent:
                raise PartlySent(sent, str(err)) from err
            raise RpcRefused("eth_sendTransaction", str(err)) from err


def _hash_of(given: Any) -> str:
    """A hash, as some of Ape's accounts give it as text and others as bytes."""
    return "0x" + rpc.as_bytes(given).hex()


def _refusal(failure: rpc.Failure, about: reverts.About, transaction_hash: str) -> DtnError:
    if failure.data:
        # Some chains run a transaction before they take it, and say at once that it reverts.
        return reverts.failure_error(failure, about)
    return TransactionRefused(failure.method, failure.message, transaction_hash)


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


def _nonce_of(provider: ProviderAPI, sender: str, refused: Signed, evidence: Evidence) -> _Nonce:
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
            if _overtaken(provider, [refused], evidence):
                return _Nonce.USED_BY_ANOTHER
        time.sleep(_pause(provider))
    raise TransactionPending(refused.hash)


@dataclass(frozen=True)
class _Window:
    """Some of many transactions, which are sent together.

    Attributes:
        transactions: By their places.
        last: Those that are not signed anew where another program has used their nonces.
        flying: The places of what was sent, by its hash.
        told: Told of what failed.
        outbox: What is kept of what is signed.
    """

    transactions: Mapping[int, Transaction]
    last: set[int]
    flying: dict[str, int]
    told: Callable[[int, Receipt | DtnError], None]
    outbox: Outbox


def _send_window(
    provider: ProviderAPI, account: AccountAPI, window: _Window, about: reverts.About
) -> list[int]:
    """Sends many at once, adds the place of each that was sent, tells of the others.

    Returns:
        Those that have to be signed anew: another program has used their nonces.

    Raises:
        DtnError: Nothing of it was sent, and nothing told.
    """
    sender, outbox = str(account.address), window.outbox
    failed: dict[int, DtnError] = {}
    anew: list[int] = []
    if not signs_raw(account):
        for place, transaction in window.transactions.items():
            try:
                sent = send(provider, account, transaction, about, outbox.at(place))
                window.told(place, sent)
            except DtnError as err:
                window.told(place, err)
        return []
    with nonces.turn(provider, sender):
        rivals = _meet(provider, sender, outbox.outstanding(sender))
        many = list(window.transactions.values())
        used = outbox.used_by(sender)
        market, limits = _market_from(provider, sender, many, about, used)
        limited: dict[int, tuple[Transaction, int]] = {}
        for (place, transaction), limit in zip(window.transactions.items(), limits, strict=True):
            if isinstance(limit, DtnError):
                failed[place] = limit
            else:
                limited[place] = transaction, limit
        market = market.outbidding(rivals, len(limited))
        priced = _created(provider, account, market, list(limited.values()))
        signed = {place: _signed(account, txn) for place, txn in zip(limited, priced, strict=True)}
        with _uninterrupted():  # written down and sent, or neither
            outbox.record(signed)
            window.flying.update((txn.hash, place) for place, txn in signed.items())
            refused = _send_at_once(provider, sender, list(signed.values()))
            not_taken = [txn for txn in signed.values() if txn.hash in refused]
            free, void = _free_and_void(provider, sender, not_taken, outbox.evidence)
            for transaction_hash in free | void:  # the others may have been taken all the same
                place = window.flying.pop(transaction_hash)
                if transaction_hash in void and place not in window.last:
                    anew.append(place)
                else:
                    failure = refused[transaction_hash]
                    failed[place] = _refusal(failure, about, transaction_hash)
            taken = [txn.nonce for txn in signed.values() if txn.hash not in refused]
            highest = max(taken, default=0)
            for place, txn in signed.items():
                if txn.hash in free and txn.nonce < highest:
                    _fill_hole(provider, account, txn, outbox.at(place))
    # Not before: whoever is told may want to send, and would wait for the turn that is held here.
    for place, failed_with in failed.items():
        window.told(place, failed_with)
    return sorted(anew)


def _fill_hole(provider: ProviderAPI, account: AccountAPI, refused: Signed, outbox: Outbox) -> None:
    """Uses up the nonce of what was refused, where something was taken that waits behind it."""
    with suppress(DtnError):  # what waits behind it then stays pending
        _replace_by_nothing(provider, account, [refused], outbox)


def _free_and_void(
    provider: ProviderAPI, sender: str, refused: Sequence[Signed], evidence: Evidence
) -> tuple[set[str], set[str]]:
    """Of those that were refused: whose nonces nobody has used, and which never will be mined.

    An endpoint can refuse a transaction and take it all the same: the others may be on their way.
    """
    if not refused:
        return set(), set()
    try:
        void = set(_overtaken(provider, refused, evidence))
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
