"""Broadcasts signed transactions, and finds out which of them an endpoint has taken."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
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
from ape_dtn.types.rpc import Failure
from ape_dtn.types.translate import Translate
from ape_dtn.types.waiting import POLICY, Backoff

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI

    from ape_dtn.types.transactions import OnSigned, Signed


# How endpoints say that they have a transaction already, each in its own words.
_HAD = re.compile(
    r"already[ _]?(known|imported|exists)|\bknown transaction|existing tx with same hash"
    r"|\balready in (the )?(mem|tx)?pool\b",
    re.IGNORECASE,
)
_NOT_HAD = re.compile(r"nonce|account|\bunknown\b", re.IGNORECASE)


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


def refusal_error(failure: Failure, translate: Translate, transaction_hash: str) -> DtnError:
    """The error of a transaction that the endpoint did not take."""
    if failure.data:
        # Some chains run a transaction before they take it, and say at once that it reverts.
        return failure_error(failure, translate)
    return TransactionRefused(failure.method, failure.message, transaction_hash)


class NonceState(Enum):
    """What became of the nonce of a transaction that was refused."""

    FREE = "free"
    USED_BY_IT = "used by it"
    USED_BY_ANOTHER = "used by another"


def nonce_state(
    provider: ProviderAPI, sender: str, refused: Signed, evidence: Evidence
) -> NonceState:
    """What became of the nonce of a transaction that was refused.

    An endpoint can refuse a transaction and take it all the same: only when its nonce is used up,
    and not by it, may it be signed anew.

    Raises:
        TransactionPending: The nonce is in use, and not known in time by which transaction.
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
    """Of those that were refused: whose nonces nobody has used, and which never will be mined.

    An endpoint can refuse a transaction and take it all the same: the others may be on their way.
    """
    if not refused:
        return set(), set()
    try:
        void = set(overtaken(provider, refused, evidence))
        pending = transaction_count(provider, sender, "pending")
    except DtnError:  # then nothing is known
        return set(), set()
    return {txn.hash for txn in refused if txn.nonce >= pending}, void


def send_signed(provider: ProviderAPI, sender: str, signed: Sequence[Signed]) -> dict[str, Failure]:
    """Sends all in one HTTP request, and what was not taken again: signed, it stays the same.

    Returns:
        Why those were refused that the endpoint does not know in the end, by their hash. Of the
        others some may be unknown too, where it did not say: what became of them shows later.
        What it has left unanswered once, or says that it has, is not refused, whatever another
        node behind it says.
    """
    left = {txn.hash: txn for txn in signed}
    refused: dict[str, Failure] = {}
    perhaps_taken: set[str] = set()
    backoff = Backoff(2 * poll_interval(provider), POLICY.receipts.longest)
    for attempt in range(POLICY.send_attempts):
        if attempt:
            time.sleep(backoff.pause(attempt))
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
        known = dict(zip(doubtful, are_known(provider, doubtful), strict=True)) if doubtful else {}
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
        pending = transaction_count(provider, sender, "pending")
    except NoNetwork:
        pending = 0
    return {each: txn for each, txn in refused.items() if txn.nonce >= pending}


def _is_failure(answer: Any) -> bool:
    return isinstance(answer, Failure)


def says_to_have_it(failure: Failure) -> bool:
    """Whether an endpoint refuses a transaction because it has it."""
    says = failure.message
    return _HAD.search(says) is not None and _NOT_HAD.search(says) is None


@contextmanager
def uninterrupted() -> Iterator[None]:
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


def warn_interrupted(sent: Iterable[str]) -> None:
    """Warns that these were sent, where waiting for them was interrupted."""
    from ape.logging import logger

    logger.warning(f"Interrupted, but sent, and not to be sent again: {', '.join(sent)}")
