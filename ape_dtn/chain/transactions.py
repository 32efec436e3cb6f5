"""Send transactions: price, sign, broadcast, and wait for receipts.

Gas and fees are explicit, reverts are found before signing, and the hash is known before the
broadcast. No traces are needed: outcomes are read from logs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import broadcast, ceilings, nonces, rebroadcast, signers
from ape_dtn.chain.broadcast import NonceState
from ape_dtn.chain.errors import (
    PartlySent,
    RpcRefused,
    TransactionPending,
    TransactionRefused,
)
from ape_dtn.chain.fees import create_transactions, price, read_market_after
from ape_dtn.chain.receipts import (
    deadline_of,
    outcome_of,
    poll_interval,
    raw_receipts,
    wait_for_receipts,
)
from ape_dtn.chain.reverts import untranslated
from ape_dtn.chain.safe import executing, is_safe
from ape_dtn.types.errors import DtnError
from ape_dtn.types.payload import payload_of
from ape_dtn.types.polling import POLICY
from ape_dtn.types.revert_translator import Translate
from ape_dtn.types.rpc import SEND, as_bytes
from ape_dtn.types.transactions import Signed, Transaction

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI
    from ape.api.transactions import TransactionAPI

    from ape_dtn.chain.broadcast import Outbox
    from ape_dtn.types.transactions import Receipt


# The most pending transactions of one account: nodes drop those beyond a limit.
MAX_IN_FLIGHT = 64


def send(
    provider: ProviderAPI,
    account: AccountAPI,
    transaction: Transaction,
    translate: Translate = untranslated,
    outbox: Outbox = broadcast.NO_OUTBOX,
) -> Receipt:
    """Send a transaction, and wait until it is mined and confirmed.

    Raises:
        DtnError: It reverts, before or after it is mined; by ``translate``.
        NoMoneyForGas: The account cannot pay for value and gas. Nothing was sent.
        SigningDeclined: The account did not sign. Nothing was sent.
        TransactionRefused: It is signed, and the endpoint rejects it.
        TransactionPending: It was sent, and is not mined in time.
    """
    (receipt,) = send_together(provider, account, [transaction], translate, outbox)
    return receipt


def send_together(
    provider: ProviderAPI,
    account: AccountAPI,
    transactions: Sequence[Transaction],
    translate: Translate = untranslated,
    outbox: Outbox = broadcast.NO_OUTBOX,
    instead_of: Signed | None = None,
) -> list[Receipt]:
    """Sign all transactions, send them back to back with consecutive nonces, then wait.

    Only the first may have its gas estimated: the others depend on a state that does not exist yet.

    Args:
        provider: The connection.
        account: The signer.
        transactions: The transactions.
        translate: Turns reverts into errors.
        outbox: What is recorded of the signed transactions.
        instead_of: A signed transaction that no endpoint accepts. The first of these replaces it:
            it has the same nonce and pays more, so that only one of the two can be mined.

    Raises:
        DtnError: See :func:`send`. The error is that of the first transaction that failed.
        TransactionPending: The nonce to replace is not the account's next.
        PartlySent: The first ones were sent, and a later one was rejected.
    """
    if is_safe(account):
        if instead_of is not None:  # another owner may be the sender
            raise TransactionPending(instead_of.hash)
        return _send_by_owners(provider, account, transactions, translate, outbox)
    assert all(transaction.gas_limit is not None for transaction in transactions[1:])
    sender = str(account.address)
    sent: list[str] = []
    try:
        for _ in range(POLICY.nonce_attempts):
            with nonces.nonce_lock(provider, sender):
                rivals = rebroadcast.resend_outstanding(
                    provider, sender, outbox.outstanding(sender)
                )
                if instead_of is not None:
                    rivals.append(instead_of)
                used = outbox.used_by(sender)
                priced = price(provider, account, transactions, translate, rivals, used)
                if instead_of is not None and priced[0].nonce != instead_of.nonce:
                    raise TransactionPending(instead_of.hash)
                if _send_in_order(provider, account, priced, sent, translate, outbox):
                    break
        else:
            what = f"another program sends from {sender}"
            raise TransactionRefused(SEND, what)
        return wait_for_receipts(provider, sender, sent, transactions, translate)
    except (KeyboardInterrupt, SystemExit):
        if sent:
            broadcast.warn_interrupted(sent)
        raise


def _send_by_owners(
    provider: ProviderAPI,
    safe: AccountAPI,
    transactions: Sequence[Transaction],
    translate: Translate,
    outbox: Outbox,
) -> list[Receipt]:
    """Send transactions of a Safe, one after the other, from one of its owners."""
    receipts: list[Receipt] = []
    for place, transaction in enumerate(transactions):
        try:
            with nonces.nonce_lock(
                provider, str(safe.address)
            ):  # its nonce increases when this is mined
                rebroadcast.wait_for_owners(provider, safe, outbox)
                owner, made = executing(provider, safe, transaction, translate)
                receipts.append(send(provider, owner, made, translate, outbox.at(place)))
        except DtnError as err:
            err.before = tuple(receipts)
            raise
    return receipts


def send_each(
    provider: ProviderAPI,
    account: AccountAPI,
    transactions: Sequence[Transaction],
    translate: Translate,
    on_result: Callable[[int, Receipt | DtnError], None],
    outbox: Outbox = broadcast.NO_OUTBOX,
) -> None:
    """Send independent transactions, many at a time, without waiting in between.

    Failures are reported per transaction.

    Args:
        provider: The connection.
        account: The signer.
        transactions: The transactions; gas is estimated on the current state.
        translate: Turns reverts into errors.
        on_result: Called once per transaction, with its position and its outcome.
        outbox: What is recorded of the signed transactions.

    Raises:
        DtnError: Nothing was sent, for example because the account cannot pay.
    """
    waiting = list(range(len(transactions)))
    flying: dict[str, int] = {}
    left = dict.fromkeys(waiting, POLICY.nonce_attempts)
    deadline = deadline_of(provider)
    most = 1 if signers.runs_code(provider, str(account.address)) else MAX_IN_FLIGHT
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
                    window_of = _Window(window, last, flying, on_result, outbox)
                    waiting[:0] = _send_window(provider, account, window_of, translate)
                except DtnError as err:  # none of these was sent
                    if places[0] == 0 and left[0] == POLICY.nonce_attempts - 1:
                        raise
                    for place in (*places, *waiting):
                        on_result(place, err)
                    waiting = []
                deadline = deadline_of(provider)
            landed = raw_receipts(provider, list(flying))
            for transaction_hash, raw in landed.items():
                place = flying.pop(transaction_hash)
                on_result(
                    place,
                    outcome_of(provider, str(account.address), raw, transactions[place], translate),
                )
            if landed:
                deadline = deadline_of(provider)
            elif deadline.is_over:
                for transaction_hash, place in flying.items():
                    on_result(place, TransactionPending(transaction_hash))
                flying = {}
            elif flying:
                deadline.sleep(poll_interval(provider))
    except BaseException:
        if flying:
            broadcast.warn_interrupted(flying)
        raise


def create(
    provider: ProviderAPI,
    account: AccountAPI,
    code: bytes,
    translate: Translate = untranslated,
) -> str:
    """Create a contract, and return its address."""
    contract = send(provider, account, Transaction(None, code), translate).contract
    assert contract is not None
    return contract


def _send_in_order(
    provider: ProviderAPI,
    account: AccountAPI,
    priced: Sequence[TransactionAPI],
    sent: list[str],
    translate: Translate,
    outbox: Outbox,
) -> bool:
    """Send transactions in order, and append those that may be accepted to ``sent``.

    Returns:
        Whether all were sent. If not, none was: another program has used the first nonce.
    """
    if not signers.signs_raw(account):
        _send_by_account(account, priced, sent, outbox)
        return True
    signed = [signers.sign(account, txn) for txn in priced]
    with broadcast.uninterrupted():  # recorded and sent, or neither
        outbox.record(dict(enumerate(signed)))
        for txn in signed:
            failure = broadcast.send_signed(provider, str(account.address), [txn]).get(txn.hash)
            if failure is None:
                sent.append(txn.hash)
                continue
            if sent:
                raise PartlySent(
                    sent, broadcast.refusal_error(failure, translate, txn.hash).message
                )
            ceilings.learn_from(provider, failure.message, payload_of(txn.raw).gas_limit)
            nonce = broadcast.nonce_state(provider, str(account.address), txn, outbox.evidence)
            if nonce is NonceState.FREE:
                raise broadcast.refusal_error(failure, translate, txn.hash)
            if nonce is NonceState.USED_BY_ANOTHER:
                return False
            sent.append(txn.hash)
    return True


def _send_by_account(
    account: AccountAPI, priced: Sequence[TransactionAPI], sent: list[str], outbox: Outbox
) -> None:
    """Let impersonated and smart accounts send, which wait for each transaction."""
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
                sent.append(_hash_of(mined))  # the caller finds out why it failed
                outbox.record({place: Signed(sent[-1], sender, txn.nonce or 0, raw="")})
                return
            if sent:
                raise PartlySent(sent, str(err)) from err
            raise RpcRefused("eth_sendTransaction", str(err)) from err


def _hash_of(given: Any) -> str:
    """Normalise a hash: some of Ape's accounts return text, others bytes."""
    return "0x" + as_bytes(given).hex()


@dataclass(frozen=True)
class _Window:
    """Some of many transactions that are sent together.

    Attributes:
        transactions: By position.
        last: Positions that are not signed again if another program used their nonces.
        flying: Positions of the sent transactions, by hash.
        on_result: Called with failures.
        outbox: What is recorded of the signed transactions.
    """

    transactions: Mapping[int, Transaction]
    last: set[int]
    flying: dict[str, int]
    on_result: Callable[[int, Receipt | DtnError], None]
    outbox: Outbox


def _send_window(
    provider: ProviderAPI, account: AccountAPI, window: _Window, translate: Translate
) -> list[int]:
    """Send a window of transactions, note the positions sent, and report the failures.

    Returns:
        The positions to sign again, whose nonces another program used.

    Raises:
        DtnError: None was sent, and no result was reported.
    """
    sender, outbox = str(account.address), window.outbox
    failed: dict[int, DtnError] = {}
    anew: list[int] = []
    if not signers.signs_raw(account):
        for place, transaction in window.transactions.items():
            try:
                sent = send(provider, account, transaction, translate, outbox.at(place))
                window.on_result(place, sent)
            except DtnError as err:
                window.on_result(place, err)
        return []
    with nonces.nonce_lock(provider, sender):
        rivals = rebroadcast.resend_outstanding(provider, sender, outbox.outstanding(sender))
        many = list(window.transactions.values())
        used = outbox.used_by(sender)
        market, limits = read_market_after(provider, sender, many, translate, used)
        limited: dict[int, tuple[Transaction, int]] = {}
        for (place, transaction), limit in zip(window.transactions.items(), limits, strict=True):
            if isinstance(limit, DtnError):
                failed[place] = limit
            else:
                limited[place] = transaction, limit
        market = market.outbidding(rivals, len(limited))
        priced = create_transactions(provider, account, market, list(limited.values()))
        signed = {
            place: signers.sign(account, txn) for place, txn in zip(limited, priced, strict=True)
        }
        with broadcast.uninterrupted():  # recorded and sent, or neither
            outbox.record(signed)
            window.flying.update((txn.hash, place) for place, txn in signed.items())
            refused = broadcast.send_signed(provider, sender, list(signed.values()))
            not_taken = [txn for txn in signed.values() if txn.hash in refused]
            free, void = broadcast.unused_and_void(provider, sender, not_taken, outbox.evidence)
            for transaction_hash in free | void:  # the others may be accepted
                place = window.flying.pop(transaction_hash)
                if transaction_hash in void and place not in window.last:
                    anew.append(place)
                else:
                    failure = refused[transaction_hash]
                    failed[place] = broadcast.refusal_error(failure, translate, transaction_hash)
            taken = [txn.nonce for txn in signed.values() if txn.hash not in refused]
            highest = max(taken, default=0)
            for place, txn in signed.items():
                if txn.hash in free and txn.nonce < highest:
                    rebroadcast.fill_nonce_gap(provider, account, txn, outbox.at(place))
    # Run callbacks after releasing the nonce lock: a callback that sends would deadlock.
    for place, failed_with in failed.items():
        window.on_result(place, failed_with)
    return sorted(anew)
