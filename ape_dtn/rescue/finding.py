"""Findings: the sessions, deposits, tokens and requests of an account, one finding each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ape_dtn.types.amount import Amount


class Kind(Enum):
    """The kind of a finding. Findings are listed in this order."""

    OPEN_SESSION = "open session"
    STRANDED_SESSION = "stranded session"
    """Its session manager is no longer used by the router."""
    UNCERTAIN_SESSION = "uncertain session"
    """The endpoint lacks the old state that would show whether it is a session of the network."""
    WAITING_DEPOSIT = "waiting deposit"
    """Tokens at the fee target without a session."""
    TAKEN_DEPOSIT = "taken deposit"
    """Another account started a session with it."""
    CLIENT_TOKENS = "tokens in client"
    CLIENT_NATIVE = "native currency in client"
    UNKNOWN_TOKENS = "unknown tokens in client"
    """Tokens that sessions are not paid in, and that anyone may have created and sent."""
    PENDING_REQUEST = "pending request"
    UNANSWERABLE_REQUEST = "unanswerable request"
    """No answer can come in the current state of the chain."""
    FAILED_CALLBACK = "failed callback"
    ANSWER = "answer to fetch"
    """A request with an answer, which may have been read before."""
    ALLOWANCE = "allowance"
    """The allowance of the client for the account's tokens."""

    def __str__(self) -> str:
        return self.value


class Remedy(Enum):
    """What can be done about a finding; see :meth:`ape_dtn.rescue.rescue.DtnRescue.apply`."""

    CLOSE = "close"
    """Close the session for a refund."""
    CLAIM = "claim"
    """Start a session with the waiting deposit."""
    SWEEP = "sweep"
    """Send the client's balance to the account."""
    READ = "read"
    """Read the answer."""


@dataclass(frozen=True)
class Finding:
    """One thing that an account, or its client contract, has on the network.

    Attributes:
        explanation: Its situation and what can be done, in sentences for the user.
        amount: The money concerned; None if there is none, or the amount is unknown.
        remedy: What :meth:`ape_dtn.rescue.rescue.DtnRescue.apply` can do; None for nothing.
        holder: The account or the client, whichever owns it on the chain.
        contract: The session manager, fee target or token.
        transaction: The transaction that created it.
        requests: Pending requests of a session, which can no longer be answered once it is closed.
    """

    kind: Kind
    explanation: str
    amount: Amount | None = None
    remedy: Remedy | None = None
    holder: str | None = None
    session_id: int | None = None
    request_id: str | None = None
    contract: str | None = None
    transaction: str | None = None
    requests: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        """A short name of what the finding concerns."""
        if self.request_id is not None:
            return self.request_id
        if self.session_id is not None:
            return f"session {self.session_id}"
        return self.transaction or self.contract or self.holder or ""
