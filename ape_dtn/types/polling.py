"""How often to poll, how long to wait and how often to try: one policy for the whole package.

Other modules define no intervals, timeouts or numbers of attempts. All times are in
seconds.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Pauses that double with each failure.

    Attributes:
        first: The pause after the first failure.
        longest: No pause is longer.
        jitter: The random share of a pause, so that clients that failed together do not retry
            together.
    """

    first: float
    longest: float
    jitter: float = 0.0

    def pause(self, failures: int) -> float:
        """The pause after so many failures in a row."""
        pause = min(self.first * 2.0 ** min(max(failures - 1, 0), 32), self.longest)
        return pause * (1 - self.jitter * random.random())


@dataclass(frozen=True)
class Polling:
    """How often the chain is polled: a share of the time between blocks, within bounds.

    Attributes:
        per_block: Polls in the time between two blocks.
        shortest: The shortest interval.
        longest: The longest interval.
    """

    per_block: int
    shortest: float
    longest: float

    def interval(self, block_time: float) -> float:
        """The time between two polls of a chain with this time between blocks."""
        return min(max(block_time / self.per_block, self.shortest), self.longest)


class Deadline:
    """The end of a whole operation, by the monotonic clock.

    Args:
        seconds: How long from now; None for no end.
    """

    def __init__(self, seconds: float | None) -> None:
        self.at = float("inf") if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float:
        """The time that is left, never negative; infinite without an end."""
        return max(self.at - time.monotonic(), 0.0)

    @property
    def is_over(self) -> bool:
        """Whether the time has passed."""
        return time.monotonic() >= self.at

    def allows(self, pause: float) -> bool:
        """Whether there is time left after a pause."""
        return pause < self.left

    def bounded(self, pause: float) -> float:
        """A pause, at most the time that is left."""
        return min(max(pause, 0.0), self.left)

    def sleep(self, pause: float) -> None:
        """Sleep, at most until the deadline."""
        time.sleep(self.bounded(pause))


@dataclass
class Policy:
    """Every interval, timeout and number of attempts. Tests may set its fields.

    What users choose themselves is in the configuration or an argument; these are the defaults.
    """

    # JSON-RPC. The timeout of one response, unless the connection allows more, as forks do.
    rpc_answer: float = 60.0
    # How long to retry an endpoint that is busy, or lacks a block. The network's
    # `transaction_acceptance_timeout` is an upper limit.
    rpc_patience: float = 60.0
    lag_patience: float = 15.0
    # A local chain that stays behind for this long was reset on purpose.
    local_lag_patience: float = 2.0
    # Attempts to send a read-only request whose response is lost or malformed.
    rpc_attempts: int = 3
    rpc_backoff: Backoff = Backoff(0.1, 5.0, jitter=0.3)

    # Receipts of transactions. The timeout is the network's `transaction_acceptance_timeout`.
    receipts: Polling = Polling(4, 0.02, 3.0)
    # Attempts to send a signed transaction to an endpoint that refuses it, for example while busy.
    send_attempts: int = 5
    # Attempts to sign a transaction again because another program has used its nonce.
    nonce_attempts: int = 5
    # Waiting for another process to release a nonce or an entry. No message is shown at first.
    silent_lock: float = 2.0
    process_poll: float = 0.1
    # SQLite: waiting for other processes to finish writing.
    database_timeout: float = 60.0

    # Answers. Local chains mine on demand, so their block time is meaningless.
    answers: Polling = Polling(2, 0.1, 3.0)
    longest_local_poll: float = 0.5
    longest_answer_backoff: float = 30.0
    # How much longer than the timeout the last poll may take.
    last_poll: float = 5.0

    # A plan for a session is made again after this time, before anything is signed.
    stale_plan: float = 5.0
    # How long a signed permit or authorization is valid.
    signature_validity: int = 3600

    # The node: how long a backend may take, and the intervals of its threads.
    node_polling: Polling = Polling(4, 0.1, 3.0)
    node_answer: float = 120.0
    node_backoff: Backoff = Backoff(0.5, 30.0)
    node_stop_check: float = 0.25
    node_stop: float = 5.0
    node_registration_check: float = 15.0
    # The delay before a retry if another process has claimed the request, or the endpoint lacks it.
    node_claimed_elsewhere: float = 2.0
    node_not_found: float = 0.5
    # How often the endpoint may refuse a response before the node gives it up.
    node_refusals: int = 12
    command_poll: float = 0.1
    # A signal to a process group can arrive twice within this time.
    signal_debounce: float = 0.3

    # IPFS. After this delay, a second gateway is queried in parallel.
    hedge_delay: float = 0.5
    gateway_attempts: int = 3
    pinning: Backoff = Backoff(0.25, 5.0)
    gateway_probe: float = 2.0
    gateway_idle: int = 60

    # The shortest pause after a `Retry-After` of an HTTP service.
    shortest_retry_after: float = 0.1

    # Child processes: Anvil, and forks of a chain.
    anvil_start: float = 120.0
    anvil_stop: float = 60.0
    anvil_state: int = 5
    process_start_poll: float = 0.02
    port_probe: float = 1.0
    fork_answer: float = 300.0
    fork_poll: float = 0.01


POLICY = Policy()


_limit: ContextVar[Deadline | None] = ContextVar("_limit", default=None)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Bound what is waited for in this thread, in all, however many requests it takes.

    Within a shorter limit it changes nothing. 0 means not to wait at all: callers that poll have a
    pause of their own.
    """
    deadline, outer = Deadline(seconds), _limit.get()
    token = _limit.set(outer if outer is not None and outer.at < deadline.at else deadline)
    try:
        yield
    finally:
        _limit.reset(token)


def patience(seconds: float) -> Deadline:
    """The deadline of a wait for an endpoint, at most the limit of the enclosing context."""
    deadline, limit = Deadline(seconds), _limit.get()
    return limit if limit is not None and limit.at < deadline.at else deadline
