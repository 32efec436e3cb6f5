"""Finds sessions by their events, under every session manager that the router ever had.

The router does not list its earlier session managers. So events of all contracts are searched, and
then those of impostors are sorted out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ape_dtn.chain.errors import RpcRefused
from ape_dtn.chain.reads import Call, topic
from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.network.context import Network
from ape_dtn.network.sessions import logs_of_all_managers
from ape_dtn.types.abi import Log
from ape_dtn.types.errors import DtnError

# How many alternatives a topic may have: some endpoints allow no more.
MOST_ALTERNATIVES = 500

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class SessionLifecycle:
    """The events of a session.

    Attributes:
        started: ``SessionStarted``.
        charges: ``SessionCharged``; empty if charges were not requested.
        closed: ``SessionClosed``; None while it is open.
        token: The address of its token.
    """

    started: Log
    charges: tuple[Log, ...]
    closed: Log | None
    token: str

    @property
    def id(self) -> int:
        """Its id, which is unique within its session manager."""
        return int.from_bytes(self.started.topics[1], "big")

    @property
    def manager(self) -> str:
        """Its session manager."""
        return self.started.address

    @property
    def owner(self) -> str:
        """The address that owns it on the chain."""
        owner: str = SessionManager.session_started.decode(self.started)["owner"]
        return owner

    def could_ask(self, created: Log) -> bool:
        """Whether it has the session id of a ``RequestCreated``, and was open then."""
        return (
            created.topics[2] == self.started.topics[1]
            and order(self.started) < order(created)
            and (self.closed is None or order(created) < order(self.closed))
        )


def find(
    ai: Network, session_ids: Sequence[int], current: str, head: int, *, charges: bool = True
) -> tuple[list[SessionLifecycle], tuple[str, ...]]:
    """Finds the sessions of some ids, in two HTTP requests.

    It takes more if the endpoint limits the range of blocks or the size of batches. ``current`` is
    the router's present session manager.

    Returns:
        The sessions, and the contracts that may be impostors.
    """
    events = [SessionManager.session_started, SessionManager.session_closed]
    events += [SessionManager.session_charged] if charges else []
    logs = sorted(
        (
            log
            for chunk in chunks(list(map(topic, session_ids)))
            for log in logs_of_all_managers(
                ai, current, [[event.topic for event in events], chunk], head
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


def ambiguous_requests(created: Iterable[Log], found: Sequence[SessionLifecycle]) -> list[Log]:
    """The requests that several sessions could have sent: :func:`manager_call` decides."""
    return [log for log in created if sum(session.could_ask(log) for session in found) > 1]


def manager_call(ai: Network, created: Log) -> Call:
    """Reads the router's session manager at the block of a request."""
    return Call(ai.router, Router.session_manager, contract="router", block=created.block_number)


def payer(
    created: Log, found: Sequence[SessionLifecycle], manager: Any = None
) -> SessionLifecycle | None:
    """The session that sent a request, by the result of :func:`manager_call` if it was read."""
    possible = [session for session in found if session.could_ask(created)]
    certain = next((session for session in possible if session.manager == manager), None)
    # Without old state, assume the latest: a replaced session manager is hardly ever restored.
    return certain or (possible[-1] if possible else None)


def chunks(alternatives: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """Splits the alternatives of a topic into lists that endpoints accept."""
    for first in range(0, len(alternatives), MOST_ALTERNATIVES):
        yield alternatives[first : first + MOST_ALTERNATIVES]


def order(log: Log) -> tuple[int, int]:
    """A sort key for the order of the chain."""
    return log.block_number, log.index


def _key(log: Log) -> tuple[str, bytes]:
    return log.address, log.topics[1]


def _authenticate(
    ai: Network, started: list[Log], current: str, head: int
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Tells the router's session managers from impostors.

    A genuine one is the router's now, is listed by the deployment, or was the router's at the start
    of a session. Where the endpoint no longer has that block, the contract is doubtful. Returns the
    tokens of the genuine ones, by address, and the doubtful ones.
    """
    genuine, doubtful = {current, *ai.deployment.session_managers}, set()
    addresses = list(dict.fromkeys(log.address for log in started))
    unknown = [log for log in started if log.address not in genuine]
    # The state of a block is that of its end, and the manager may have been replaced in it.
    manager_calls = [
        Call(ai.router, Router.session_manager, contract="router", block=block)
        for log in unknown
        for block in (max(log.block_number - 1, 0), log.block_number)
    ]
    token_calls = [
        Call(address, SessionManager.get_fee_token, contract="session manager", block=head)
        for address in addresses
    ]
    answers = iter(ai.try_read(*manager_calls, *token_calls))
    for log in unknown:
        managers = (next(answers), next(answers))
        if log.address in managers:
            genuine.add(log.address)
        elif any(isinstance(manager, RpcRefused) for manager in managers):
            doubtful.add(log.address)
    tokens = dict(zip(addresses, answers, strict=True))
    return (
        {manager: value_of(token) for manager, token in tokens.items() if manager in genuine},
        tuple(address for address in addresses if address in doubtful - genuine),
    )


def value_of(answer: Any) -> Any:
    """Returns a value that was read, or raises the error in its place."""
    if isinstance(answer, DtnError):
        raise answer
    return answer
