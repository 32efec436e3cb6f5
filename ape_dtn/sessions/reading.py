"""Reads sessions from the chain: owner and balance, of one or of all of an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ape_dtn.chain.reads import Call
from ape_dtn.network import sessions
from ape_dtn.network.abi import SessionManager
from ape_dtn.network.client_contract import client_of
from ape_dtn.network.registry import Contracts, token_calls
from ape_dtn.types.amount import Amount, Token

if TYPE_CHECKING:
    from ape_dtn.network.context import Network


@dataclass(frozen=True)
class SessionRecord:
    """A session as the session manager has it.

    Attributes:
        id: The session's id.
        owner: The account that may spend and close it, or that account's client.
        balance: What is left of the deposit.
    """

    id: int
    owner: str
    balance: Amount


def read_session(
    ai: Network, session_id: int, caller: str | None = None
) -> tuple[SessionRecord, Contracts]:
    """An open session, and the contracts that it was read from, in two HTTP requests.

    Args:
        ai: The network.
        session_id: The session's id.
        caller: The account that must own the session; None for a session of any owner.

    Raises:
        SessionAlreadyClosed: It was closed before.
        SessionNotFound: There is no session of this id.
        NotSessionOwner: It belongs neither to the caller nor to the caller's client.
    """
    contracts = ai.contracts()
    symbol, decimals, (owner, balance) = ai.read(
        *token_calls(contracts.fee_token),
        sessions.session_call(contracts.session_manager, session_id),
    )
    sessions.check(ai, contracts.session_manager, session_id, owner, caller)
    token = Token(contracts.fee_token, symbol, decimals)
    return SessionRecord(session_id, owner, token.units(balance)), contracts


def is_open(ai: Network, session_id: int) -> bool:
    """Whether a session exists and is not closed."""
    call = sessions.session_call(ai.contracts().session_manager, session_id)
    owner, _ = ai.read_one(call)
    return sessions.exists(owner)


def list_sessions(ai: Network, account: str) -> list[SessionRecord]:
    """The open sessions of an account and of its client.

    It takes two HTTP requests for any number of sessions.
    """
    contracts = ai.contracts()
    owners = account, client_of(account)
    manager = contracts.session_manager
    id_calls = [Call(manager, SessionManager.get_user_session_ids, (owner,)) for owner in owners]
    session_calls = [Call(manager, SessionManager.get_user_sessions, (owner,)) for owner in owners]
    ids_before: list[Any] | None = None
    ids_after: list[Any] = []
    # Ids and balances come from two views, which a block in between would pair wrongly: read the
    # ids before and after the balances, until both are the same.
    while ids_before != ids_after:
        symbol, decimals, *found = ai.read(
            *token_calls(contracts.fee_token), *id_calls, *session_calls, *id_calls
        )
        ids_before, states, ids_after = found[:2], found[2:4], found[4:]
    token = Token(contracts.fee_token, symbol, decimals)
    return [
        SessionRecord(session_id, owner, token.units(balance))
        for ids, states_of_owner in zip(ids_after, states, strict=True)
        for session_id, (owner, balance) in zip(ids, states_of_owner, strict=True)
        if sessions.exists(owner)  # live session managers list closed sessions, without owner
    ]
