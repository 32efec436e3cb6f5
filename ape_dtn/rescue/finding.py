"""Something that an account has on the network, as data: what it is, and what can be done."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from ape_dtn.types.amount import Amount


class Kind(Enum):
    """What it is; in this order findings are told."""

    OPEN_SESSION = "open session"
    STRANDED_SESSION = "stranded session"
    """It is on a session manager that the router does not have any more."""
    UNCERTAIN_SESSION = "uncertain session"
    """Whether it is one cannot be told: the endpoint has forgotten the state of its block."""
    WAITING_DEPOSIT = "waiting deposit"
    """Tokens at the fee target that no session was started with."""
    TAKEN_DEPOSIT = "taken deposit"
    """Somebody else started a session with it."""
    CLIENT_TOKENS = "tokens in client"
    CLIENT_COIN = "coin in client"
    UNKNOWN_TOKENS = "unknown tokens in client"
    """Anybody can send some that they have made themselves."""
    PENDING_REQUEST = "pending request"
    HOPELESS_REQUEST = "hopeless request"
    """No answer to it can come, as things are."""
    FAILED_CALLBACK = "failed callback"
    ANSWER = "answer to fetch"
    """An answer that has come. The chain does not know whether anybody has read it."""
    ALLOWANCE = "allowance"
    """What the client may take of the account's tokens, when the account tells it to."""

    def __str__(self) -> str:
        return self.value


class Remedy(Enum):
    """What can be done about it; see :meth:`ape_dtn.rescue.rescue.DtnRescue.apply`."""

    CLOSE = "close"
    """Close the session, and be refunded."""
    CLAIM = "claim"
    """Start a session with what waits."""
    SWEEP = "sweep"
    """Send what is in the client to the account."""
    READ = "read"
    """Read the answer."""


@dataclass(frozen=True)
class Finding:
    """Something that an account, or its client contract, has on the network.

    Attributes:
        kind: What it is.
        explanation: What that means, and what can be done about it, in plain words.
        amount: The money that it is about; None where there is none, or nobody can tell how much.
        remedy: What can be done about it here; None for nothing.
        holder: Whose it is on the chain: the account's or its client's.
        session_id: The session.
        request_id: The request.
        contract: The session manager or the token, where it matters.
        transaction: The transaction that it comes from.
        requests: Of a session, its requests without an answer, which closing would strand.
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
        """What it is about, in as few words as name it."""
        if self.request_id is not None:
            return self.request_id
        if self.session_id is not None:
            return f"session {self.session_id}"
        return self.transaction or self.contract or self.holder or ""

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain data."""
        return {
            "kind": self.kind.name.lower(),
            "amount": None if self.amount is None else self.amount.as_dict(),
            "explanation": self.explanation,
            "remedy": self.remedy.value if self.remedy else None,
            "holder": self.holder,
            "session": self.session_id,
            "request": self.request_id,
            "contract": self.contract,
            "transaction": self.transaction,
            "requests": list(self.requests),
        }
