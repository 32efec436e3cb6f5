"""Broadcast signed transactions, and find out which of them the endpoint accepted."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import rpc
from ape_dtn.chain.errors import TransactionPending, TransactionRefused
from ape_dtn.chain.finality import Evidence
from ape_dtn.chain.receipts import (
    are_known,
    deadline_of,
    overtaken,
    poll_interval,
    transaction_count,
)
from ape_dtn.chain.reverts import failure_error
from ape_dtn.types.errors import DtnError, NoNetwork
from ape_dtn.types.polling import POLICY, Backoff
from ape_dtn.types.revert_translator import Translate
from ape_dtn.types.rpc import Failure, Refusal

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI

    from ape_dtn.types.transactions import OnSigned, Signed


# How different endpoints report a transaction that they already have.
_HAD = re.compile(
    r"already[ _]?(known|imported|exists)|\bknown transaction|existing tx with same hash"
    r"|\balready in (the )?(mem|tx)?pool\b",
    re.IGNORECASE,
)
_NOT_HAD = re.compile(r"nonce|account|\bunknown\b", re.IGNORECASE)


@dataclass(frozen=True)
class Outstanding:
    """A signed transaction of another operation that may not be mined yet.

    Attributes:
        signed: The transaction.
        can_be_resent: Whether it is safe to resend it before the rest of its operation is
            reconciled.
    """

    signed: Signed
    can_be_resent: bool


@dataclass(frozen=True)
class Outbox:
    """Callbacks that record signed transactions, and what is known of earlier ones.

    Attributes:
        record: Records the signed transactions, by position, before any of them is broadcast.
        hand_over: Records, by position, the nonce of a transaction that the account is about to
            sign and send itself; None once the account has declined.
        outstanding: A sender's signed transactions of other operations that may still be mined.
        evidence: When a view of the chain proves that another transaction used a nonce.
        used_by: The number of a sender's nonces that are known to be used. A transaction signed
            with one of these can never be mined.
    """

    record: OnSigned = lambda _: None
    hand_over: Callable[[int, int | None], None] = lambda _place, _nonce: None
    outstanding: Callable[[str], Sequence[Outstanding]] = lambda _: ()
    evidence: Evidence = field(default_factory=Evidence)
    used_by: Callable[[str], int] = lambda _: 0

    def at(self, place: int) -> Outbox:
        """The outbox for the transaction at a position, which becomes its position 0."""
        return replace(
            self,
            record=lambda signed: self.record({place: signed[0]}),
            hand_over=lambda _, nonce: self.hand_over(place, nonce),
        )


# For senders that record nothing.
NO_OUTBOX = Outbox()


def refusal_error(failure: Failure, translate: Translate, transaction_hash: str) -> DtnError:
    """The error for a transaction that the endpoint rejected."""
    if failure.data:
        # Some nodes execute a transaction before they accept it, and return its revert.
        return failure_error(failure, translate)
    return TransactionRefused(failure.method, failure.message, transaction_hash)


class NonceState(Enum):
    """The state of the nonce of a rejected transaction."""

    FREE = "free"
    USED_BY_IT = "used by it"
    USED_BY_ANOTHER = "used by another"


def nonce_state(
    provider: ProviderAPI, sender: str, refused: Signed, evidence: Evidence
) -> NonceState:
    """Return the state of the nonce of a rejected transaction.

    An endpoint can reject a transaction and still accept it. The transaction may be signed again
    only after another transaction has used the nonce.

    Raises:
        TransactionPending: The nonce is used, and it is not known in time by which transaction.
    """
    if transaction_count(provider, sender, "pending") <= refused.nonce:
        return NonceState.FREE
    deadline = deadline_of(provider)
    while not deadline.is_over:
        if transaction_count(provider, sender, "latest") > refused.nonce:
            if rpc.result(provider, "eth_getTransactionReceipt", [refused.hash]) is not None:
                return NonceState.USED_BY_IT
            if overtaken(provider, [refused], evidence):
                return NonceState.USED_BY_ANOTHER
        deadline.sleep(poll_interval(provider))
    raise TransactionPending(refused.hash)


def unused_and_void(
    provider: ProviderAPI, sender: str, refused: Sequence[Signed], evidence: Evidence
) -> tuple[set[str], set[str]]:
    """Return which rejected transactions have free nonces, and which can never be mined.

    The others may be in the mempool: an endpoint can reject a transaction and still accept it.
    """
    if not refused:
        return set(), set()
    try:
        void = set(overtaken(provider, refused, evidence))
        pending = transaction_count(provider, sender, "pending")
    except DtnError:  # unknown
        return set(), set()
    return {txn.hash for txn in refused if txn.nonce >= pending}, void


def send_signed(provider: ProviderAPI, sender: str, signed: Sequence[Signed]) -> dict[str, Failure]:
    """Broadcast signed transactions in one HTTP request, and resend those that were rejected.

    Resending is safe: a signed transaction can be mined only once.

    Returns:
        The failures, by hash, of the transactions that the endpoint rejected and does not know. A
        transaction whose broadcast was not answered, or that the endpoint says it has, does not
        count as rejected: one of the nodes behind the endpoint may have it.
    """
    left = {txn.hash: txn for txn in signed}
    refused: dict[str, Failure] = {}
    perhaps_taken: set[str] = set()
    backoff = Backoff(2 * poll_interval(provider), POLICY.receipts.longest)
    deadline = deadline_of(provider)
    for attempt in count():
        if attempt:
            failures = [
                refused[transaction_hash]
                for transaction_hash in left
                if transaction_hash in refused
            ]
            wanted = max((failure.retry_after or 0.0 for failure in failures), default=0.0)
            pause = max(backoff.pause(attempt), wanted)
            is_busy = any(failure.refusal is Refusal.WAIT for failure in failures)
            if attempt >= POLICY.send_attempts and not (is_busy and deadline.allows(pause)):
                break
            time.sleep(deadline.bounded(pause) if wanted else pause)
        sending = [txn.sending for txn in left.values()]
        try:
            answers = dict(zip(left, rpc.ask(provider, sending), strict=True))
        except NoNetwork:
            answers = dict.fromkeys(left)
        doubtful = [
            transaction_hash
            for transaction_hash, answer in answers.items()
            if answer is None or _is_failure(answer)
        ]
        perhaps_taken |= {
            transaction_hash
            for transaction_hash in doubtful
            if answers[transaction_hash] is None
            or answers[transaction_hash].refusal is Refusal.MALFORMED
            or says_to_have_it(answers[transaction_hash])
        }
        known = dict(zip(doubtful, are_known(provider, doubtful), strict=True)) if doubtful else {}
        refused |= {
            transaction_hash: answers[transaction_hash]
            for transaction_hash, is_known in known.items()
            if is_known is False and _is_failure(answers[transaction_hash])
        }
        for transaction_hash in answers:
            if known.get(transaction_hash, True) is not False or not _is_failure(
                answers[transaction_hash]
            ):
                refused.pop(transaction_hash, None)  # it may be accepted by now
        left = {
            transaction_hash: left[transaction_hash]
            for transaction_hash, is_known in known.items()
            if not is_known
            and not (_is_failure(answers[transaction_hash]) and answers[transaction_hash].data)
        }
        if left and all(transaction_hash in refused for transaction_hash in left):
            left = _not_overtaken(provider, sender, left)
        if not left:
            break
    return {
        transaction_hash: why
        for transaction_hash, why in refused.items()
        if transaction_hash not in perhaps_taken
    }


def _not_overtaken(
    provider: ProviderAPI, sender: str, refused: Mapping[str, Signed]
) -> dict[str, Signed]:
    """Filter out transactions whose nonces are used: resending these is pointless."""
    try:
        pending = transaction_count(provider, sender, "pending")
    except NoNetwork:
        pending = 0
    return {
        transaction_hash: txn for transaction_hash, txn in refused.items() if txn.nonce >= pending
    }


def _is_failure(answer: Any) -> bool:
    return isinstance(answer, Failure)


def says_to_have_it(failure: Failure) -> bool:
    """Whether an endpoint rejects a transaction because it already has it."""
    says = failure.message
    return _HAD.search(says) is not None and _NOT_HAD.search(says) is None


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until all transactions are sent.

    If only the first transaction of a bare deposit is sent, anyone can claim the deposit.
    """
    if (
        threading.current_thread() is not threading.main_thread()
    ):  # only the main thread is interrupted
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
        if caught:  # also after a failure, so that nothing is resent
            signal.raise_signal(caught[0][0])


def warn_interrupted(sent: Iterable[str]) -> None:
    """Warn that transactions were sent, after the wait for them was interrupted."""
    from ape.logging import logger

    logger.warning(f"Interrupted. Already sent, do not send again: {', '.join(sent)}")
