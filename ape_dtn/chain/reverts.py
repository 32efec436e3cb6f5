"""What the contracts refuse, turned into our errors: one table for both behaviours.

Reverts come from the contract called and from those behind it alike, so they are decoded by their
selector alone, never by the address that was called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eth_abi.exceptions import DecodingError

from ape_dtn import errors
from ape_dtn.chain import rpc
from ape_dtn.chain.abi import ERC20, Client, Error, SessionManager, members

if TYPE_CHECKING:
    from ape_dtn.amount import Token

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
class Revert:
    """What a contract reverted with.

    Attributes:
        name: The error's name, ``Error`` for a plain reason, empty when it is not known.
        fields: The error's fields by name.
        data: The raw data, selector first.
        message: What the chain's endpoint said besides.
        transaction: The transaction that failed, if it was mined.
    """

    name: str
    fields: Mapping[str, Any]
    data: bytes
    message: str = ""
    transaction: str | None = None

    def __str__(self) -> str:
        if self.name == "Error":
            return str(self.fields["reason"])
        if self.name:
            given = ", ".join(f"{name}={value}" for name, value in self.fields.items())
            return f"{self.name}({given})"
        return f"0x{self.data.hex()}" if self.data else self.message or "no reason given"

    def as_dict(self) -> dict[str, Any]:
        """The revert as plain data."""
        return {
            "name": self.name,
            "fields": {name: str(value) for name, value in self.fields.items()},
            "data": "0x" + self.data.hex(),
            "transaction": self.transaction,
        }


@dataclass(frozen=True)
class About:
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


NOTHING = About()


def decode(data: bytes, message: str = "", transaction: str | None = None) -> Revert:
    """Names what a contract reverted with, as far as it is known."""
    known = _KNOWN.get(data[:4])
    if known is not None:
        try:
            return Revert(known.name, known.decode(data[4:]), data, message, transaction)
        except (DecodingError, ValueError):  # another error that happens to share the selector
            pass
    return Revert("", {}, data, message, transaction)


def to_error(revert: Revert, about: About = NOTHING) -> errors.DtnError:
    """The error that users catch, with the revert in its ``revert``."""
    reason = revert.fields.get("reason") if revert.name == "Error" else None
    make = _BY_NAME.get(revert.name) or _BY_REASON.get(str(reason))
    error = make(revert, about) if make else errors.ContractReverted(str(revert))
    error.revert = revert
    return error


def failure_error(failure: rpc.Failure, about: About = NOTHING) -> errors.DtnError:
    """The error of a call or an estimate that failed: a contract's, or the endpoint's own."""
    if failure.data is None:
        return errors.RpcRefused(failure.method, failure.message)
    return to_error(decode(failure.data, failure.message), about)


def _insufficient(revert: Revert, about: About) -> errors.DtnError:
    fields = revert.fields
    required, available = (
        about.token.units(fields[name]) if about.token else fields[name]
        for name in ("required", "available")
    )
    return errors.InsufficientFunds(f"session {fields['sessionId']}", required, available)


def _token_balance(revert: Revert, _: About) -> errors.DtnError:
    fields = revert.fields
    return errors.InsufficientFunds(fields["sender"], fields["needed"], fields["balance"])


def _short(revert: Revert, about: About) -> errors.DtnError:
    fields = revert.fields
    amount, balance = (
        about.token.units(fields[name]) if about.token else fields[name]
        for name in ("amount", "balance")
    )
    return errors.DepositTaxed(amount, balance)


def _session(revert: Revert, about: About) -> int | None:
    session_id: int | None = revert.fields.get("sessionId", about.session_id)
    return session_id


_Maker = Callable[[Revert, About], errors.DtnError]

_BY_NAME: dict[str, _Maker] = {
    "SessionNotFound": lambda revert, about: errors.SessionNotFound(_session(revert, about)),
    "SessionAlreadyClosed": lambda revert, about: errors.SessionAlreadyClosed(
        _session(revert, about)
    ),
    "InsufficientFunds": _insufficient,
    "InsufficientBalance": _insufficient,
    "InvalidSession": lambda revert, about: errors.SessionNotFound(_session(revert, about)),
    "Unauthorized": lambda _, about: errors.SessionNotFound(about.session_id),
    "InvalidAmount": lambda *_: errors.NothingDeposited(),
    "ERC20InsufficientBalance": _token_balance,
    "SessionShort": _short,
    "PermitFailed": lambda revert, _: errors.PaymentRefused(str(decode(revert.fields["reason"]))),
    "SafeERC20FailedOperation": lambda *_: errors.PaymentRefused("it gave no reason"),
    "NotOwner": lambda revert, _: errors.NotClientOwner(revert.fields["caller"]),
}

_BY_REASON: dict[str, _Maker] = {
    "Session not related to the user": lambda _, about: errors.SessionNotFound(about.session_id),
    "Model does not exist": lambda _, about: errors.ModelNotFound(about.model),
    "Request not completed": lambda _, about: errors.RequestPending(about.request_id),
    "Insufficient callback gas": lambda *_: errors.CallbackGasMissing(),
}
