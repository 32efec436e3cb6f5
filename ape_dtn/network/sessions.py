"""Whose session it is, and whether it is still there: the same answer on every variant.

The live contracts tell an unknown, a closed and somebody else's session apart less than their
users need, so it is read from the chain: before sending, and again when sending was refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ape_dtn.chain import reads
from ape_dtn.chain.reads import Call, topic
from ape_dtn.network.abi import SessionManager
from ape_dtn.network.client_contract import client_of
from ape_dtn.network.errors import NotSessionOwner, SessionAlreadyClosed, SessionNotFound
from ape_dtn.types.errors import NoNetwork

if TYPE_CHECKING:
    from ape_dtn.network.context import Network


def session_call(manager: str, session_id: int) -> Call:
    """A session's owner and balance (``SessionManager.getSessionById``)."""
    if not 0 <= session_id < 2**256:
        raise SessionNotFound(session_id)
    return Call(manager, SessionManager.get_session_by_id, (session_id,), "session manager")


def exists(owner: str) -> bool:
    """Whether the owner that the chain gives is one: the contracts forget closed sessions."""
    return bool(int(owner, 16))


def check(
    ai: Network, manager: str, session_id: int, owner: str, caller: str | None = None
) -> None:
    """Checks that a session is open and, if a caller is named, that it is the caller's.

    That of the caller's client is the caller's too.

    Args:
        ai: The network.
        manager: Its session manager.
        session_id: The session.
        owner: Its owner, as the chain gives it.
        caller: Who wants to use it.

    Raises:
        SessionAlreadyClosed: It was closed before.
        SessionNotFound: There never was one of this id.
        NotSessionOwner: It belongs to a different account.
    """
    if not exists(owner):
        raise (
            SessionAlreadyClosed(session_id)
            if _was_closed(ai, manager, session_id)
            else (SessionNotFound(session_id))
        )
    if caller is not None and owner != caller and owner != client_of(caller):
        raise NotSessionOwner(session_id, owner, caller)


@contextmanager
def explained(ai: Network, session_id: int, caller: str) -> Iterator[None]:
    """Says why the contracts refused a session, where they only say that they did."""
    try:
        yield
    except SessionNotFound as err:
        manager = ai.contracts().session_manager
        owner, _ = ai.read_one(session_call(manager, session_id))
        try:
            check(ai, manager, session_id, owner, caller)
        except SessionNotFound as why:
            why.revert = err.revert
            raise why from err
        raise


def _was_closed(ai: Network, manager: str, session_id: int) -> bool:
    try:
        return bool(
            reads.logs(
                ai.provider,
                manager,
                [SessionManager.session_closed.topic, topic(session_id)],
                from_block=ai.deployment.first_block,
            )
        )
    except NoNetwork:
        # "Not found" is true in any case, and all that can be said without the events.
        return False
