"""Whose session it is, and whether it is still there: the same answer on every behaviour.

The deployed contracts tell an unknown, a closed and somebody else's session apart less than their
users need, so it is read from the chain: before sending, and again when sending was refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import reads, sends
from ape_dtn.chain.abi import Client, Router, SessionManager
from ape_dtn.chain.reads import Call, topic
from ape_dtn.errors import NoNetwork, NotSessionOwner, SessionAlreadyClosed, SessionNotFound
from ape_dtn.starting.client import client_of

if TYPE_CHECKING:
    from ape_dtn.ai import DtnAi


@dataclass(frozen=True)
class Holder:
    """Whose a session is on the chain, and how an account uses it: its own, or its client's.

    Attributes:
        account: Who signs.
        address: The session's owner: the account itself, or its client.
    """

    account: str
    address: str

    @property
    def is_client(self) -> bool:
        """Whether a client stands between the account and the router."""
        return self.address != self.account

    def request(
        self, router: str, arguments: tuple[Any, ...], user: str, callback_gas: int
    ) -> sends.Transaction:
        """Asks (``router.request``, or ``DtnClient.request``, which names the user itself).

        Args:
            router: The router.
            arguments: Session, model, routing, request and callback, as the router takes them.
            user: On whose behalf it is asked.
            callback_gas: Gas for the callback; the transaction carries as many wei.
        """
        if self.is_client:
            given = (router, *arguments, callback_gas)
            return sends.call(self.address, Client.request, *given, value=callback_gas)
        given = (*arguments, user, callback_gas)
        return sends.call(router, Router.request, *given, value=callback_gas)

    def close(self, router: str, session_id: int) -> sends.Transaction:
        """Closes a session; the refund goes to the account either way."""
        if self.is_client:
            return sends.call(self.address, Client.close, router, session_id)
        return sends.call(router, Router.close_user_session, session_id)


def session_call(manager: str, session_id: int) -> Call:
    """A session's owner and balance (``SessionManager.getSessionById``)."""
    if not 0 <= session_id < 2**256:
        raise SessionNotFound(session_id)
    return Call(manager, SessionManager.get_session_by_id, (session_id,), "session manager")


def exists(owner: str) -> bool:
    """Whether the owner that the chain gives is one: the contracts forget closed sessions."""
    return bool(int(owner, 16))


def check(ai: DtnAi, manager: str, session_id: int, owner: str, caller: str | None = None) -> None:
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
def explained(ai: DtnAi, session_id: int, caller: str) -> Iterator[None]:
    """Says why the contracts refused a session, where they only say that they did."""
    try:
        yield
    except SessionNotFound as err:
        manager = ai.contracts().session_manager
        owner, _ = reads.read_one(ai.provider, session_call(manager, session_id))
        try:
            check(ai, manager, session_id, owner, caller)
        except SessionNotFound as why:
            why.revert = err.revert
            raise why from err
        raise


def _was_closed(ai: DtnAi, manager: str, session_id: int) -> bool:
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
