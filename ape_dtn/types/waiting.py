"""How often to poll, how long to wait and how often to try: one policy for the whole package.

No other module has an interval, a timeout or a number of attempts of its own. All times are in
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
        jitter: The share of a pause that is left to chance, so that clients that failed together
            do not come back together.
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
        """The time that is left, never negative; infinite where there is no end."""
        return max(self.at - time.monotonic(), 0.0)

    @property
    def is_over(self) -> bool:
        """Whether the time has passed."""
        return time.monotonic() >= self.at

    def allows(self, pause: float) -> bool:
        """Whether there is time left after a pause."""
        return pause < self.left

    def bounded(self, pause: float) -> float:
        """A pause that does not last longer than what is left."""
        return min(max(pause, 0.0), self.left)

    def sleep(self, pause: float) -> None:
        """Sleep, at most until the deadline."""
        time.sleep(self.bounded(pause))


@dataclass
class Policy:
    """Every interval, timeout and number of attempts. Tests may set its fields.

    What users choose themselves is in the configuration or an argument; these are the defaults.
    """

    # JSON-RPC. One answer; where the connection allows more, as copies of a chain do, up to that.
    rpc_answer: float = 60.0
    # How long in all an endpoint is asked again that is busy, or does not have a block yet. Never
    # longer than the network's `transaction_acceptance_timeout`.
    rpc_patience: float = 60.0
    lag_patience: float = 15.0
    # A local chain that stays behind for so long was set back on purpose.
    local_lag_patience: float = 2.0
    # How often a request is sent whose answer is lost or is none, if it changes nothing.
    rpc_attempts: int = 3
    rpc_backoff: Backoff = Backoff(0.1, 5.0, jitter=0.3)

    # Receipts of transactions. How long in all: the network's `transaction_acceptance_timeout`.
    receipts: Polling = Polling(4, 0.02, 3.0)
    # Sending one signed transaction to an endpoint that refuses it, as when it is busy.
    send_attempts: int = 5
    # Signing a transaction again because another program has used its nonce.
    nonce_attempts: int = 5
    # Waiting for another process to release a nonce or an entry: silently, then with a message.
    silent_lock: float = 2.0
    process_poll: float = 0.1
    # SQLite: waiting for other processes to finish writing.
    database_timeout: float = 60.0

    # Answers. Blocks of local chains come on demand, and their block time says nothing.
    answers: Polling = Polling(2, 0.1, 3.0)
    longest_local_poll: float = 0.5
    longest_answer_backoff: float = 30.0
    # How much longer than the timeout the last poll may take.
    last_poll: float = 5.0

    # A plan for a session is made again after this time, before anything is signed.
    stale_plan: float = 5.0
    # How long a signed permit or authorization is valid.
    signature_validity: int = 3600

    # The node. One answer of a backend, and what runs beside.
    node_polling: Polling = Polling(4, 0.1, 3.0)
    node_answer: float = 120.0
    node_backoff: Backoff = Backoff(0.5, 30.0)
    node_stop_check: float = 0.25
    node_stop: float = 5.0
    node_registration_check: float = 15.0
    # A request that another process works on, and one that not every endpoint's node has yet.
    node_claimed_elsewhere: float = 2.0
    node_not_found: float = 0.5
    # Refusals by the endpoint before a response is given up.
    node_refusals: int = 12
    command_poll: float = 0.1
    # A signal to a process group can arrive twice within this time.
    signal_debounce: float = 0.3

    # IPFS. A gateway that has not answered by then is raced by another.
    hedge_delay: float = 0.5
    gateway_attempts: int = 3
    pinning: Backoff = Backoff(0.25, 5.0)
    gateway_probe: float = 2.0
    gateway_idle: int = 60

    # `Retry-After` of any HTTP service: the shortest pause that is observed.
    shortest_retry_after: float = 0.1

    # Processes that are started: Anvil, and copies of a chain.
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
    """The deadline of a wait for an endpoint, within the limit that is in force."""
    deadline, limit = Deadline(seconds), _limit.get()
    return limit if limit is not None and limit.at < deadline.at else deadline
