"""Sessions as their own events tell them, under each session manager that the router has or had.

The router does not say which session managers it had, so that sessions are looked for anywhere,
where anybody can pretend to be one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ape_dtn.chain import reads
from ape_dtn.chain.errors import RpcRefused
from ape_dtn.chain.reads import Call, topic
from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.network.context import Network
from ape_dtn.types.abi import Log
from ape_dtn.types.errors import DtnError

# How many alternatives a topic may have: some endpoints take no more.
MOST_ALTERNATIVES = 500

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class SessionLifecycle:
    """A session as its own events tell it.

    Attributes:
        started: ``SessionStarted``.
        charges: ``SessionCharged``, as far as they were asked for.
        closed: ``SessionClosed``; None while it is open.
        token: The address of what it pays with.
    """

    started: Log
    charges: tuple[Log, ...]
    closed: Log | None
    token: str

    @property
    def id(self) -> int:
        """Its id, which is its session manager's own."""
        return int.from_bytes(self.started.topics[1], "big")

    @property
    def manager(self) -> str:
        """Its session manager."""
        return self.started.address

    @property
    def owner(self) -> str:
        """Whose it is."""
        owner: str = SessionManager.session_started.decode(self.started)["owner"]
        return owner

    def could_ask(self, created: Log) -> bool:
        """Whether it has the id that a request names, and was open when that was made."""
        return (
            created.topics[2] == self.started.topics[1]
            and order(self.started) < order(created)
            and (self.closed is None or order(created) < order(self.closed))
        )


def find(
    ai: Network, session_ids: Sequence[int], current: str, head: int, *, charges: bool = True
) -> tuple[list[SessionLifecycle], tuple[str, ...]]:
    """The sessions of some ids, and the contracts that nobody can tell any more to be impostors.

    It takes two HTTP requests, and more only as the endpoint limits ranges of blocks and batches.

    Args:
        ai: The network.
        session_ids: The ids; each may be that of several sessions.
        current: The router's session manager now.
        head: The last block that counts.
        charges: Whether their charges are wanted.
    """
    kinds = [SessionManager.session_started, SessionManager.session_closed]
    kinds += [SessionManager.session_charged] if charges else []
    logs = sorted(
        (
            log
            for some in chunks(list(map(topic, session_ids)))
            for log in reads.logs(
                ai.provider,
                None,
                [[kind.topic for kind in kinds], some],
                ai.deployment.first_block,
                head,
            )
        ),
        key=order,
    )
    started = [log for log in logs if SessionManager.session_started.matches(log)]
    tokens, left_out = _authenticate(ai, started, current, head)
    charged: dict[tuple[str, bytes], list[Log]] = {}
    closed: dict[tuple[str, bytes], Log] = {}
    for log in logs:
        if SessionManager.session_charged.matches(log):
            charged.setdefault(_key(log), []).append(log)
        elif SessionManager.session_closed.matches(log):
            closed.setdefault(_key(log), log)
    found = [
        SessionLifecycle(
            log, tuple(charged.get(_key(log), ())), closed.get(_key(log)), tokens[log.address]
        )
        for log in started
        if log.address in tokens
    ]
    return found, left_out


def unclear(created: Iterable[Log], found: Sequence[SessionLifecycle]) -> list[Log]:
    """The requests that several sessions could have asked for: :func:`asked_then` finds out."""
    return [log for log in created if sum(each.could_ask(log) for each in found) > 1]


def asked_then(ai: Network, created: Log) -> Call:
    """The router's session manager when a request was made."""
    return Call(ai.router, Router.session_manager, contract="router", block=created.block_number)


def payer(
    created: Log, found: Sequence[SessionLifecycle], then: Any = None
) -> SessionLifecycle | None:
    """The session that a request was made on, if it is one of these.

    Args:
        created: ``RequestCreated``.
        found: The sessions.
        then: The answer to :func:`asked_then`, where that was asked.
    """
    possible = [each for each in found if each.could_ask(created)]
    sure = next((each for each in possible if each.manager == then), None)
    # Where the endpoint does not know any more, the latest: owners replace, and do not go back.
    return sure or (possible[-1] if possible else None)


def chunks(alternatives: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """Alternatives of a topic, as many at once as endpoints take."""
    for first in range(0, len(alternatives), MOST_ALTERNATIVES):
        yield alternatives[first : first + MOST_ALTERNATIVES]


def order(log: Log) -> tuple[int, int]:
    """A log's place on the chain."""
    return log.block_number, log.index


def _key(log: Log) -> tuple[str, bytes]:
    return log.address, log.topics[1]


def _authenticate(
    ai: Network, started: list[Log], current: str, head: int
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The session managers among whoever started a session, with their tokens, and the doubtful.

    One is the router's now, or known to have been, or was so at the session's start. Endpoints
    forget the state of old blocks, and cannot tell then.
    """
    genuine, doubtful = {current, *ai.deployment.session_managers}, set()
    addresses = list(dict.fromkeys(log.address for log in started))
    unknown = [log for log in started if log.address not in genuine]
    # A block's state is that of its end: the session manager may have been replaced in it.
    then = [
        Call(ai.router, Router.session_manager, contract="router", block=block)
        for log in unknown
        for block in (max(log.block_number - 1, 0), log.block_number)
    ]
    tokens = [
        Call(address, SessionManager.get_fee_token, contract="session manager", block=head)
        for address in addresses
    ]
    answers = ai.try_read(*then, *tokens)
    managers = iter(answers)
    for log in unknown:
        asked = (next(managers), next(managers))
        if log.address in asked:
            genuine.add(log.address)
        elif any(isinstance(answer, RpcRefused) for answer in asked):
            doubtful.add(log.address)
    token_of = dict(zip(addresses, managers, strict=True))
    return (
        {each: sure(token) for each, token in token_of.items() if each in genuine},
        tuple(each for each in addresses if each in doubtful - genuine),
    )


def sure(answer: Any) -> Any:
    """What was read, where it cannot do without.

    Raises:
        DtnError: It could not be read.
    """
    if isinstance(answer, DtnError):
        raise answer
    return answer
