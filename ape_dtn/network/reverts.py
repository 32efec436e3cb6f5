"""Translation of the contracts' reverts into errors, for both variants.

A revert can come from the called contract or from one that it calls, so reverts are decoded by
their selector, whichever address was called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ape_dtn.chain import reverts
from ape_dtn.chain.errors import ContractReverted
from ape_dtn.chain.reverts import BUILT_IN
from ape_dtn.network.abi import (
    ERC20,
    Client,
    NodeManager,
    Router,
    SessionManager,
    TokenRefusals,
    members,
)
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
from ape_dtn.network.token_refusals import token_refusal
from ape_dtn.types.abi import Error
from ape_dtn.types.errors import DtnError
from ape_dtn.types.reverts import Revert
from ape_dtn.types.rpc import Failure

if TYPE_CHECKING:
    from ape_dtn.types.amount import Token


KNOWN: Mapping[bytes, Error] = {
    **{
        error.selector: error
        for interface in (Router, SessionManager, NodeManager, ERC20, Client, TokenRefusals)
        for error in members(interface, Error).values()
    },
    **BUILT_IN,
}


@dataclass(frozen=True)
class ErrorContext:
    """Translates reverts of an operation, and adds the values that the revert data lacks.

    Attributes:
        session_id: The operation's session.
        request_id: The operation's request.
        model: The operation's model.
        token: The fee token, to show amounts with decimals and symbol.
    """

    session_id: int | None = None
    request_id: str | None = None
    model: str | None = None
    token: Token | None = None

    def __call__(self, data: bytes, message: str = "", transaction: str | None = None) -> DtnError:
        """Translates a revert; see :class:`ape_dtn.types.revert_translator.Translate`."""
        return to_error(decode(data, message, transaction), self)


NO_CONTEXT = ErrorContext()


def decode(data: bytes, message: str = "", transaction: str | None = None) -> Revert:
    """Decodes revert data with the errors of the network's contracts."""
    return reverts.decode(data, message, transaction, KNOWN)


def to_error(revert: Revert, context: ErrorContext = NO_CONTEXT) -> DtnError:
    """Makes the error of a revert, with the revert in its ``revert``."""
    reason = revert.fields.get("reason") if revert.name == "Error" else None
    make = _BY_NAME.get(revert.name) or _BY_REASON.get(str(reason))
    error = make(revert, context) if make else token_refusal(revert)
    error = error or ContractReverted(str(revert))
    error.revert = revert
    return error


def failure_error(failure: Failure, context: ErrorContext = NO_CONTEXT) -> DtnError:
    """Makes the error of a failed call or gas estimate: a revert, or an error of the endpoint."""
    return reverts.failure_error(failure, context)


def _permit_failed(revert: Revert, _: ErrorContext) -> DtnError:
    inner = decode(revert.fields["reason"])
    return token_refusal(inner) or PaymentRefused(str(inner))


def _insufficient(revert: Revert, context: ErrorContext) -> DtnError:
    fields = revert.fields
    required, available = (
        context.token.units(fields[name]) if context.token else fields[name]
        for name in ("required", "available")
    )
    return InsufficientFunds(f"session {fields['sessionId']}", required, available)


def _token_balance(revert: Revert, _: ErrorContext) -> DtnError:
    fields = revert.fields
    return InsufficientFunds(fields["sender"], fields["needed"], fields["balance"])


def _short(revert: Revert, context: ErrorContext) -> DtnError:
    fields = revert.fields
    amount, balance = (
        context.token.units(fields[name]) if context.token else fields[name]
        for name in ("amount", "balance")
    )
    return DepositTaxed(amount, balance)


def _session(revert: Revert, context: ErrorContext) -> int | None:
    session_id: int | None = revert.fields.get("sessionId", context.session_id)
    return session_id


_Maker = Callable[[Revert, ErrorContext], DtnError]

_BY_NAME: dict[str, _Maker] = {
    "SessionNotFound": lambda revert, context: SessionNotFound(_session(revert, context)),
    "SessionAlreadyClosed": lambda revert, context: SessionAlreadyClosed(_session(revert, context)),
    "InsufficientFunds": _insufficient,
    "InsufficientBalance": _insufficient,
    "InvalidSession": lambda revert, context: SessionNotFound(_session(revert, context)),
    "Unauthorized": lambda _, context: SessionNotFound(context.session_id),
    "InvalidAmount": lambda *_: NothingDeposited(),
    "ERC20InsufficientBalance": _token_balance,
    "SessionShort": _short,
    "PermitFailed": _permit_failed,
    "SafeERC20FailedOperation": lambda *_: PaymentRefused("the token gave no reason"),
    "NotOwner": lambda revert, _: NotClientOwner(revert.fields["caller"]),
}

_BY_REASON: dict[str, _Maker] = {
    "Session not related to the user": lambda _, context: SessionNotFound(context.session_id),
    "Model does not exist": lambda _, context: ModelNotFound(context.model),
    "Request not completed": lambda _, context: RequestPending(context.request_id),
    "Insufficient callback gas": lambda *_: CallbackGasMissing(),
}
