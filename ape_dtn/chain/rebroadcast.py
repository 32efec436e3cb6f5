"""Follow transactions that were signed earlier; resend, replace or cancel them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from ape_dtn.chain import broadcast, nonces, signers
from ape_dtn.chain.errors import (
    NoMoneyForGas,
    SigningDeclined,
    TransactionPending,
    TransactionRefused,
)
from ape_dtn.chain.fees import create_transaction, create_transactions, read_market
from ape_dtn.chain.finality import Evidence
from ape_dtn.chain.receipts import (
    are_known,
    as_sent,
    by_nonce,
    deadline_of,
    outcome_of,
    poll_interval,
    raw_receipts,
    transaction_count,
    used_by_others,
)
from ape_dtn.chain.reverts import untranslated
from ape_dtn.types.errors import DtnError
from ape_dtn.types.payload import DYNAMIC_FEE, Fees, Payload, payload_of
from ape_dtn.types.revert_translator import Translate
from ape_dtn.types.rpc import SEND
from ape_dtn.types.transactions import Transaction

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI

    from ape_dtn.chain.broadcast import Outbox, Outstanding
    from ape_dtn.chain.fees import Market
    from ape_dtn.chain.receipts import NonceKey
    from ape_dtn.types.transactions import Receipt, Signed


# The gas of an empty transaction.
EMPTY_GAS = 21_000


def follow(
    provider: ProviderAPI,
    account: AccountAPI,
    signed: Sequence[Signed],
    translate: Translate = untranslated,
    outbox: Outbox | None = None,
) -> dict[str, Receipt | DtnError | None]:
    """Follow transactions that were signed earlier, and perhaps sent, until their outcome is known.

    Missing transactions are resent unchanged. All transactions with one nonce are one payment: any
    of them may be mined, and the newest is resent. A single answer is not enough to sign a payment
    again, since nodes behind an endpoint can lag.

    Args:
        provider: The connection.
        account: The signer.
        signed: The transactions; those with one nonce in the order of signing.
        translate: Turns reverts into errors.
        outbox: Records replacements. With it, a rejected transaction is replaced by one with the
            same nonce and higher fees.

    Returns:
        By hash: the receipt, or the error; None if another transaction used the nonce;
        `TransactionRefused` if the endpoint rejects it until the deadline and its nonce is the
        account's next. Transactions that were replaced by one with the same nonce are left out.

    Raises:
        TransactionPending: They are not mined in time.
    """
    left = by_nonce(signed)
    found: dict[str, Receipt | DtnError | None] = {}
    evidence = outbox.evidence if outbox else Evidence()
    deadline = deadline_of(provider)
    while True:
        is_last = deadline.is_over
        payments = [txn for same in left.values() for txn in same if not txn.is_empty]
        for transaction_hash, raw in raw_receipts(provider, [txn.hash for txn in payments]).items():
            if transaction := as_sent(provider, transaction_hash):
                (one,) = (txn for txn in payments if txn.hash == transaction_hash)
                left.pop((one.sender, one.nonce), None)
                found[transaction_hash] = outcome_of(
                    provider, one.sender, raw, transaction, translate
                )
        if not left:
            return found
        used = {
            sender: transaction_count(provider, sender, "latest")
            for sender in {key[0] for key in left}
        }
        past = [key for key in left if key[1] < used[key[0]]]
        for key in used_by_others(provider, {key: left[key] for key in past}, evidence):
            found |= dict.fromkeys((txn.hash for txn in left.pop(key)), None)
        waiting = [left[key] for key in sorted(left, key=_nonce_first) if key[1] >= used[key[0]]]
        missing = _missing(provider, waiting)
        if missing:
            sender, first = missing[0].sender, missing[0].nonce
            signer = signers.signer_of(provider, account, sender)
            if signer is not None:
                _fill_until(provider, signer, first, outbox)
            refused = broadcast.send_signed(provider, sender, missing)
            for one in (txn for txn in missing if txn.hash in refused):
                key, pending = (
                    (one.sender, one.nonce),
                    transaction_count(provider, sender, "pending"),
                )
                if pending > one.nonce:
                    continue
                is_first = len(left[key]) == len(_same(signed, key))
                anew = None
                if outbox and signer is not None and pending == one.nonce and is_first:
                    anew = _offer_more(provider, signer, left[key], outbox)
                if anew is not None:
                    left[key] = [*left[key], anew]
                elif deadline.is_over:
                    del left[key]
                    what = f"it rejects the transaction signed earlier: {refused[one.hash].message}"
                    found[one.hash] = TransactionRefused(SEND, what, one.hash)
        if left and is_last:
            raise TransactionPending(*(same[-1].hash for same in left.values()))
        if left:
            deadline.sleep(poll_interval(provider))


def _same(signed: Iterable[Signed], key: NonceKey) -> list[Signed]:
    return by_nonce(signed).get(key, [])


def _nonce_first(key: NonceKey) -> tuple[int, str]:
    return key[1], key[0]


def _missing(provider: ProviderAPI, waiting: Sequence[Sequence[Signed]]) -> list[Signed]:
    """The newest transaction of each payment that the endpoint does not know and we can send."""
    every = [txn.hash for same in waiting for txn in same]
    known = dict(zip(every, are_known(provider, every), strict=True)) if every else {}
    return [
        same[-1] for same in waiting if same[-1].raw and not any(known[txn.hash] for txn in same)
    ]


def _offer_more(
    provider: ProviderAPI, account: AccountAPI, same: Sequence[Signed], outbox: Outbox
) -> Signed | None:
    """Sign a payment again with higher fees; see :func:`_send_replacement`.

    None if these would be far above the market, or exceed the balance: the earlier transaction may
    still be mined.
    """
    market, _ = read_market(provider, same[-1].sender, [], untranslated)
    if market.is_far_below(market.replacing(same)):
        return None
    with suppress(NoMoneyForGas):
        payload = payload_of(same[-1].raw)
        return _send_replacement(provider, account, market, same, payload, outbox)
    return None


def _send_replacement(
    provider: ProviderAPI,
    account: AccountAPI,
    market: Market,
    same: Sequence[Signed],
    payload: Payload,
    outbox: Outbox,
) -> Signed:
    """Sign a transaction that replaces others, record it and broadcast it.

    Args:
        provider: The connection.
        account: The signer.
        market: The market.
        same: All transactions that were signed with the nonce.
        payload: The new payload; its fees outbid all of these.
        outbox: Records the replacement.

    Raises:
        NoMoneyForGas: The account cannot pay for it.
    """
    sender, nonce = same[-1].sender, same[-1].nonce
    anew = replace(payload, fees=market.replacing(same))
    most = anew.value + anew.gas_limit * anew.fees.max_fee
    if most > market.balance:
        raise NoMoneyForGas(sender, most, market.balance)
    signed = signers.sign(account, create_transaction(provider, market, sender, nonce, anew))
    with broadcast.uninterrupted():  # recorded and sent, or neither
        outbox.record({0: signed})
        broadcast.send_signed(provider, sender, [signed])
    return signed


def _send_empty_replacement(
    provider: ProviderAPI, account: AccountAPI, same: Sequence[Signed], outbox: Outbox
) -> Signed:
    """Sign an empty transaction that replaces others; see :func:`_send_replacement`."""
    market, _ = read_market(provider, same[-1].sender, [], untranslated)
    nothing = Payload(DYNAMIC_FEE, Fees(0, 0), EMPTY_GAS, same[-1].sender, 0, b"")
    return _send_replacement(provider, account, market, same, nothing, outbox)


def cancel(
    provider: ProviderAPI, account: AccountAPI, signed: Sequence[Signed], outbox: Outbox
) -> list[Signed]:
    """Replace each payment that is not mined by an empty transaction with the same nonce.

    Only one of the two can be mined.

    Returns:
        The empty transactions that were sent; none for nonces that are used.

    Raises:
        NoMoneyForGas: The account cannot pay for them.
        SigningDeclined: The account did not sign, or cannot sign for the sender.
    """
    empty: list[Signed] = []
    for (sender, nonce), same in sorted(
        by_nonce(signed).items(), key=lambda payment: payment[0][1]
    ):
        if transaction_count(provider, sender, "latest") > nonce:
            continue
        signer = signers.signer_of(provider, account, sender)
        if signer is None:
            raise SigningDeclined(
                sender, "an empty transaction in place of one that it sent itself"
            )
        empty.append(_send_empty_replacement(provider, signer, same, outbox))
    return empty


def resend_outstanding(
    provider: ProviderAPI, sender: str, outstanding: Sequence[Outstanding]
) -> list[Signed]:
    """Resend signed transactions of other operations that were never mined.

    If the endpoint accepts the transaction that has the next nonce, a new one gets the nonce after
    it. Otherwise the two compete for the nonce, and only one of them can be mined.

    Returns:
        All of these transactions: a new one with the nonce of one of them has to outbid it.
    """
    if outstanding:
        pending = transaction_count(provider, sender, "pending")
        waiting = by_nonce(entry.signed for entry in outstanding if entry.can_be_resent)
        for (_, nonce), same in sorted(waiting.items(), key=lambda payment: payment[0][1]):
            if nonce < pending or not _missing(provider, [same]):
                continue
            if broadcast.send_signed(provider, sender, [same[-1]]):
                break  # the later ones wait for it
    return [entry.signed for entry in outstanding]


def wait_for_owners(provider: ProviderAPI, safe: AccountAPI, outbox: Outbox) -> None:
    """Wait for the transactions that owners have sent for a Safe.

    The Safe's nonce increases when they are mined. A transaction signed before that would revert.

    Raises:
        TransactionPending: It is not mined in time.
    """
    outstanding = outbox.outstanding(str(safe.address))
    deadline = deadline_of(provider)
    for sender in {entry.signed.sender for entry in outstanding}:
        own = [entry for entry in outstanding if entry.signed.sender == sender]
        resend_outstanding(provider, sender, own)
        pending = transaction_count(provider, sender, "pending")
        on_its_way = [entry.signed for entry in own if entry.signed.nonce < pending]
        while any(txn.nonce >= transaction_count(provider, sender, "latest") for txn in on_its_way):
            if deadline.is_over:
                raise TransactionPending(*(txn.hash for txn in on_its_way))
            deadline.sleep(poll_interval(provider))


def _fill_until(
    provider: ProviderAPI, account: AccountAPI, nonce: int, outbox: Outbox | None = None
) -> None:
    """Fill the nonces before a signed transaction, which cannot be mined until they are used.

    They belonged to dropped transactions. If the payment were signed again with one of them, both
    could be mined.
    """
    sender, deadline = str(account.address), deadline_of(provider)
    with nonces.nonce_lock(provider, sender):
        if transaction_count(provider, sender, "pending") >= nonce:
            return
        rivals = resend_outstanding(provider, sender, outbox.outstanding(sender)) if outbox else []
        filled, refusal, last = -1, None, ""
        while (free := transaction_count(provider, sender, "pending")) < nonce:
            if free == filled:  # accepted but not counted, or rejected
                if deadline.is_over:
                    if refusal is None:
                        raise TransactionPending(last)
                    raise broadcast.refusal_error(refusal, untranslated, last)
                deadline.sleep(poll_interval(provider))
            nothing = Transaction(sender, b"", gas_limit=EMPTY_GAS)
            market, _ = read_market(provider, sender, [nothing], untranslated)
            at = replace(market, nonce=free).outbidding(rivals, 1)
            (empty,) = create_transactions(provider, account, at, [(nothing, EMPTY_GAS)])
            signed = signers.sign(account, empty)
            refusal = broadcast.send_signed(provider, sender, [signed]).get(signed.hash)
            filled, last = free, signed.hash


def fill_nonce_gap(
    provider: ProviderAPI, account: AccountAPI, refused: Signed, outbox: Outbox
) -> None:
    """Fill the nonce of a rejected transaction, if an accepted one waits for it."""
    with suppress(DtnError):  # the accepted one then stays pending
        _send_empty_replacement(provider, account, [refused], outbox)
