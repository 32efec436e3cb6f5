"""Reads sessions from the chain: owner and balance, of one or of all of an account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import reads
from ape_dtn.chain.errors import ContractReverted, RpcRefused
from ape_dtn.chain.reads import Call, topic
from ape_dtn.network import sessions
from ape_dtn.network.abi import SessionManager
from ape_dtn.network.client_contract import client_of
from ape_dtn.network.registry import Contracts, token_calls
from ape_dtn.types.amount import Amount, Token
from ape_dtn.types.errors import DtnError

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

    It takes two HTTP requests. If the endpoint's gas limit for calls is too low for all sessions of
    an owner, they are read one by one, 1,000 in one HTTP request.
    """
    contracts = ai.contracts()
    owners = account, client_of(account)
    manager = contracts.session_manager
    id_calls = [Call(manager, SessionManager.get_user_session_ids, (owner,)) for owner in owners]
    session_calls = [Call(manager, SessionManager.get_user_sessions, (owner,)) for owner in owners]
    # Ids and balances come from two views, which a block in between would pair wrongly: read the
    # ids before and after the balances, until both are the same.
    while True:
        found = ai.try_read(*token_calls(contracts.fee_token), *id_calls, *session_calls, *id_calls)
        symbol, decimals = reads.expect_all(found[:2])
        token = Token(contracts.fee_token, symbol, decimals)
        ids_before, states, ids_after = found[2:4], found[4:6], found[6:]
        if any(isinstance(result, ContractReverted | RpcRefused) for result in found):
            return _list_one_by_one(ai, manager, token, dict(zip(owners, ids_after, strict=True)))
        reads.expect_all(found)
        if ids_before == ids_after:
            break
    return [
        SessionRecord(session_id, owner, token.units(balance))
        for ids, states_of_owner in zip(ids_after, states, strict=True)
        for session_id, (owner, balance) in zip(ids, states_of_owner, strict=True)
        if sessions.exists(owner)  # live session managers list closed sessions, without owner
    ]


def _list_one_by_one(
    ai: Network, manager: str, token: Token, ids: Mapping[str, Any]
) -> list[SessionRecord]:
    """Lists sessions without a call that has to read all of them.

    Args:
        ai: The network.
        manager: The session manager.
        token: The fee token.
        ids: The ids by owner, or an error: then they are taken from the events.
    """
    found = []
    for owner, known in ids.items():
        if isinstance(known, DtnError):
            indexed = topic(bytes.fromhex(owner[2:]).rjust(32, b"\0"))
            topics = [SessionManager.session_started.topic, None, indexed]
            started = reads.logs(ai.provider, manager, topics, ai.deployment.first_block)
            known = list(dict.fromkeys(int.from_bytes(log.topics[1], "big") for log in started))
        calls = [sessions.session_call(manager, session_id) for session_id in known]
        found += [
            SessionRecord(session_id, owner, token.units(balance))
            for session_id, (now_of, balance) in zip(known, ai.read(*calls), strict=True)
            if now_of == owner  # it may have been closed
        ]
    return found
