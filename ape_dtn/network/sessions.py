"""Checks that a session is open and belongs to the caller, on both variants.

The live contracts revert with the same error for an unknown session, a closed one and that of
another account. So the session is read from the chain before sending, and again after a refusal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ape_dtn.chain import reads
from ape_dtn.chain.errors import RpcRefused
from ape_dtn.chain.reads import Call, topic
from ape_dtn.network.abi import SessionManager
from ape_dtn.network.client_contract import client_of
from ape_dtn.network.errors import NotSessionOwner, SessionAlreadyClosed, SessionNotFound
from ape_dtn.types.errors import NoNetwork
from ape_dtn.types.rpc import Refusal

if TYPE_CHECKING:
    from ape_dtn.network.context import Network
    from ape_dtn.types.abi import Log


def session_call(manager: str, session_id: int) -> Call:
    """The call that reads a session's owner and balance (``SessionManager.getSessionById``)."""
    if not 0 <= session_id < 2**256:
        raise SessionNotFound(session_id)
    return Call(manager, SessionManager.get_session_by_id, (session_id,), "session manager")


def logs_of_all_managers(
    ai: Network, current: str, topics: Sequence[str | Sequence[str] | None], head: int
) -> list[Log]:
    """The logs of sessions under every session manager, and of impostors.

    If the endpoint does not search all contracts, only the current session manager and those that
    the deployment lists are searched.

    Raises:
        RpcRefused: The endpoint does not serve the events.
    """
    from ape.logging import logger

    first = ai.deployment.first_block
    try:
        return reads.logs(ai.provider, None, topics, first, head)
    except RpcRefused as err:
        if err.refusal not in (Refusal.REFUSED, Refusal.SMALLER_RANGE):
            raise
        known = list(dict.fromkeys((current, *ai.deployment.session_managers)))
        found = reads.logs(ai.provider, known, topics, first, head)
    logger.warning(
        "The endpoint searches no logs without an address: other session managers than "
        f"{', '.join(known)} are not searched."
    )
    return found


def exists(owner: str) -> bool:
    """Whether a session exists, by its owner. Closed sessions have the zero address."""
    return bool(int(owner, 16))


def check(
    ai: Network, manager: str, session_id: int, owner: str, caller: str | None = None
) -> None:
    """Checks that a session is open and that the caller, or the caller's client, owns it.

    Args:
        ai: The network.
        manager: The session manager.
        session_id: The session.
        owner: The session's owner on the chain; the zero address if it is closed or unknown.
        caller: The account that uses the session; None to skip the check of the owner.

    Raises:
        SessionAlreadyClosed: The session is closed.
        SessionNotFound: The session never existed.
        NotSessionOwner: The session belongs to a different account.
    """
    if not exists(owner):
        raise (
            SessionAlreadyClosed(session_id)
            if _was_closed(ai, manager, session_id)
            else SessionNotFound(session_id)
        )
    if caller is not None and owner != caller and owner != client_of(caller):
        raise NotSessionOwner(session_id, owner, caller)


@contextmanager
def explained(ai: Network, session_id: int, caller: str) -> Iterator[None]:
    """Replaces ``SessionNotFound`` with the exact reason why the contracts refused a session."""
    try:
        yield
    except SessionNotFound as err:
        manager = ai.contracts().session_manager
        owner, _ = ai.read_one(session_call(manager, session_id))
        try:
            check(ai, manager, session_id, owner, caller)
        except SessionNotFound as reason:
            reason.revert = err.revert
            raise reason from err
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
        # Without the events, closed and unknown sessions look the same.
        return False
