"""Reverts of the network's contracts, turned into errors: one table for both variants.

Reverts come from the contract called and from those behind it alike, so they are decoded by their
selector alone, never by the address that was called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eth_abi.exceptions import DecodingError

from ape_dtn.chain.errors import ContractReverted, RpcRefused
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


REASON = Error("Error(string reason)")
PANIC = Error("Panic(uint256 code)")

_KNOWN: dict[bytes, Error] = {
    error.selector: error
    for error in (
        *members(SessionManager, Error).values(),
        *members(ERC20, Error).values(),
        *members(Client, Error).values(),
        REASON,
        PANIC,
    )
}


@dataclass(frozen=True)
class ErrorContext:
    """What an operation was about, for errors that do not say it themselves.

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


NO_CONTEXT = ErrorContext()


def decode(data: bytes, message: str = "", transaction: str | None = None) -> Revert:
    """Names what a contract reverted with, as far as it is known."""
    known = _KNOWN.get(data[:4])
    if known is not None:
        try:
            return Revert(known.name, known.decode(data[4:]), data, message, transaction)
        except (DecodingError, ValueError):  # another error that happens to share the selector
            pass
    return Revert("", {}, data, message, transaction)


def to_error(revert: Revert, about: ErrorContext = NO_CONTEXT) -> DtnError:
    """The error that users catch, with the revert in its ``revert``."""
    reason = revert.fields.get("reason") if revert.name == "Error" else None
    make = _BY_NAME.get(revert.name) or _BY_REASON.get(str(reason))
    error = make(revert, about) if make else ContractReverted(str(revert))
    error.revert = revert
    return error


def failure_error(failure: Failure, about: ErrorContext = NO_CONTEXT) -> DtnError:
    """The error of a call or an estimate that failed: a contract's, or the endpoint's own."""
    if failure.data is None:
        return RpcRefused(failure.method, failure.message)
    return to_error(decode(failure.data, failure.message), about)


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
