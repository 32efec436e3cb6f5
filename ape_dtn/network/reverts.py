"""Reverts of the network's contracts, turned into errors: one table for both variants.

Reverts come from the contract called and from those behind it alike, so they are decoded by their
selector alone, never by the address that was called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ape_dtn.chain import reverts
from ape_dtn.chain.errors import ContractReverted
from ape_dtn.chain.reverts import BUILT_IN
from ape_dtn.network.abi import ERC20, Client, SessionManager, members
from ape_dtn.network.errors import (
    CallbackGasMissing,
    DepositTaxed,
    InsufficientFunds,
    ModelNotFound,
    NotClientOwner,
    NothingDeposited,
    PaymentRefused,
    RequestPending,
    SessionAlreadyClosed,
    SessionNotFound,
)
from ape_dtn.types.abi import Error
from ape_dtn.types.errors import DtnError
from ape_dtn.types.reverts import Revert
from ape_dtn.types.rpc import Failure

if TYPE_CHECKING:
    from ape_dtn.types.amount import Token


KNOWN: Mapping[bytes, Error] = {
    **{
        error.selector: error
        for interface in (SessionManager, ERC20, Client)
        for error in members(interface, Error).values()
    },
    **BUILT_IN,
}


@dataclass(frozen=True)
class ErrorContext:
    """Turns reverts into errors, which say what an operation was about where reverts do not.

    Attributes:
        session_id: The session that it used.
        request_id: The request that it asked for.
        model: The model that it named.
        token: The token that it pays with.
    """

    session_id: int | None = None
    request_id: str | None = None
    model: str | None = None
    token: Token | None = None

    def __call__(self, data: bytes, message: str = "", transaction: str | None = None) -> DtnError:
        """The error of a revert; see :class:`ape_dtn.types.translate.Translate`."""
        return to_error(decode(data, message, transaction), self)


NO_CONTEXT = ErrorContext()


def decode(data: bytes, message: str = "", transaction: str | None = None) -> Revert:
    """Names what a contract of the network reverted with, as far as it is known."""
    return reverts.decode(data, message, transaction, KNOWN)


def to_error(revert: Revert, about: ErrorContext = NO_CONTEXT) -> DtnError:
    """The error that users catch, with the revert in its ``revert``."""
    reason = revert.fields.get("reason") if revert.name == "Error" else None
    make = _BY_NAME.get(revert.name) or _BY_REASON.get(str(reason))
    error = make(revert, about) if make else ContractReverted(str(revert))
    error.revert = revert
    return error


def failure_error(failure: Failure, about: ErrorContext = NO_CONTEXT) -> DtnError:
    """The error of a call or an estimate that failed: a contract's, or the endpoint's own."""
    return reverts.failure_error(failure, about)


def _insufficient(revert: Revert, about: ErrorContext) -> DtnError:
    fields = revert.fields
    required, available = (
        about.token.units(fields[name]) if about.token else fields[name]
        for name in ("required", "available")
    )
    return InsufficientFunds(f"session {fields['sessionId']}", required, available)


def _token_balance(revert: Revert, _: ErrorContext) -> DtnError:
    fields = revert.fields
    return InsufficientFunds(fields["sender"], fields["needed"], fields["balance"])


def _short(revert: Revert, about: ErrorContext) -> DtnError:
    fields = revert.fields
    amount, balance = (
        about.token.units(fields[name]) if about.token else fields[name]
        for name in ("amount", "balance")
    )
    return DepositTaxed(amount, balance)


def _session(revert: Revert, about: ErrorContext) -> int | None:
    session_id: int | None = revert.fields.get("sessionId", about.session_id)
    return session_id


_Maker = Callable[[Revert, ErrorContext], DtnError]

_BY_NAME: dict[str, _Maker] = {
    "SessionNotFound": lambda revert, about: SessionNotFound(_session(revert, about)),
    "SessionAlreadyClosed": lambda revert, about: SessionAlreadyClosed(_session(revert, about)),
    "InsufficientFunds": _insufficient,
    "InsufficientBalance": _insufficient,
    "InvalidSession": lambda revert, about: SessionNotFound(_session(revert, about)),
    "Unauthorized": lambda _, about: SessionNotFound(about.session_id),
    "InvalidAmount": lambda *_: NothingDeposited(),
    "ERC20InsufficientBalance": _token_balance,
    "SessionShort": _short,
    "PermitFailed": lambda revert, _: PaymentRefused(str(decode(revert.fields["reason"]))),
    "SafeERC20FailedOperation": lambda *_: PaymentRefused("it gave no reason"),
    "NotOwner": lambda revert, _: NotClientOwner(revert.fields["caller"]),
}

_BY_REASON: dict[str, _Maker] = {
    "Session not related to the user": lambda _, about: SessionNotFound(about.session_id),
    "Model does not exist": lambda _, about: ModelNotFound(about.model),
    "Request not completed": lambda _, about: RequestPending(about.request_id),
    "Insufficient callback gas": lambda *_: CallbackGasMissing(),
}
