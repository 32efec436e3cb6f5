"""The root of all errors, exit codes, and errors of plain values.

:mod:`ape_dtn.errors` lists all errors.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from ape.exceptions import ApeException

if TYPE_CHECKING:
    from ape_dtn.types.reverts import Revert
    from ape_dtn.types.transactions import Receipt


# Exit codes. 1 is for unexpected errors, and click also uses 2 for wrong usage.
BAD_INPUT = 2
NO_NETWORK = 3
REFUSED = 4
NO_ANSWER_YET = 5
NODE_FAILED = 6
UNKNOWN_OUTCOME = 7


class DtnError(ApeException):
    """The root of all errors of this package."""

    exit_code: ClassVar[int] = 1
    hint: str | None = None
    # Whether the same call can succeed later, without paying twice.
    retryable: bool = False
    revert: Revert | None = None
    # What the caller was doing, in front of the hint.
    context: str | None = None
    # The receipts of the operation's transactions that succeeded before the error.
    before: tuple[Receipt, ...] = ()

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields
        self.__dict__.update(fields)

    @property
    def code(self) -> str:
        """The machine-readable cause: ``session_not_found`` for ``SessionNotFound``."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    def add_context(self, context: str) -> None:
        """Puts a sentence before the hint, about what the caller was doing."""
        self.context = f"{context} {self.context or ''}".strip()
        self.hint = f"{context} {self.hint or ''}".strip()


# Invalid input.


class BadInput(DtnError):
    """The input is invalid, whatever the state of the chain."""

    exit_code = BAD_INPUT


class InvalidAmount(BadInput):
    """The amount is zero, negative, not a number, or of an ambiguous type."""

    value: str
    reason: str

    def __init__(self, value: object, reason: str) -> None:
        super().__init__(f"'{value}' is not an amount: {reason}.", value=str(value), reason=reason)


class TooManyDecimals(InvalidAmount):
    """The amount has more digits after the point than its token."""

    def __init__(self, value: object, symbol: str, decimals: int) -> None:
        super().__init__(value, f"{symbol} has {decimals} digits after the point")


class WrongToken(InvalidAmount):
    """The amount is not in the network's fee token."""

    def __init__(self, value: object, symbol: str) -> None:
        super().__init__(value, f"this network is paid in {symbol}")


class EmptyPrompt(BadInput):
    """The prompt has no characters."""

    def __init__(self) -> None:
        super().__init__("The prompt is empty. It would cost money and have no useful answer.")


class InvalidPrompt(BadInput):
    """The prompt's placeholders are invalid, or do not fit its values."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The prompt is invalid: {reason}.", reason=reason)
        self.hint = 'Pass the values: Prompt("Is {0:address} over {1:uint8}?", owner, 26).'


class InvalidName(BadInput):
    """The name of a model, node or request is neither a full name nor a 32-byte id."""

    name: str

    def __init__(self, name: object, kind: str, example: str) -> None:
        super().__init__(
            f"'{name}' is not a valid {kind} name: write it like '{example}', or pass its id.",
            name=str(name),
        )


class InvalidAddress(BadInput):
    """The value is not an address."""

    def __init__(self, value: object) -> None:
        super().__init__(f"'{value}' is not an address.", value=str(value))


class InvalidCall(BadInput):
    """The inputs do not fit the types of the model's API."""

    specs: str

    def __init__(self, specs: str, reason: str) -> None:
        super().__init__(f"The inputs do not fit '{specs}': {reason}.", specs=specs)


class MissingExtra(BadInput):
    """The packages of an optional extra are not installed."""

    extra: str

    def __init__(self, extra: str, feature: str) -> None:
        super().__init__(f"Packages for {feature} are not installed.", extra=extra)
        self.hint = f"Install them: pip install 'ape-dtn[{extra}]'"


class NotWritten(BadInput):
    """A file could not be written. No file was written."""

    path: str
    reason: str

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"No file was written: {path}: {reason}.", path=str(path), reason=reason)


class InvalidOption(BadInput):
    """An option is invalid, or contradicts another one."""

    option: str
    reason: str

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"Invalid {option}: {reason}.", option=option, reason=reason)


class NoAccount(BadInput):
    """No account was given to sign a transaction."""

    def __init__(self, message: str = "No account was given to sign the transaction.") -> None:
        super().__init__(message)
        self.hint = "Pass `account`, or set Ape's default sender."


# The chain and the contracts.


class NoNetwork(DtnError):
    """The network's contracts cannot be reached."""

    exit_code = NO_NETWORK


# Refusals, and failures of callbacks.


class Refused(DtnError):
    """The contracts refuse the operation, or would refuse it."""

    exit_code = REFUSED


class CallbackFailed(DtnError):
    """The callback reverted; see ``revert``. The answer is recorded all the same."""

    exit_code = NODE_FAILED
    request_id: str
    target: str
    reason: str

    def __init__(self, request_id: str, target: str, reason: str) -> None:
        super().__init__(
            f"The callback of request {request_id} to {target} reverted: {reason}. The answer is "
            "recorded.",
            request_id=request_id,
            target=target,
            reason=reason,
        )
        self.hint = "The answer can still be read by the request's id."


class CallbackOutOfGas(CallbackFailed):
    """The callback ran out of gas, and would have succeeded with more."""

    gas: int
    needed: int

    def __init__(self, request_id: str, target: str, gas: int, needed: int) -> None:
        super().__init__(request_id, target, f"its {gas:,} gas is not enough, it needs {needed:,}")
        self.fields |= {"gas": gas, "needed": needed}
        self.gas, self.needed = gas, needed
        self.hint = (
            f"Send requests with a callbackGas of at least {needed}, and the same value in wei. "
            f"{self.hint}"
        )


class UndecodableAnswer(DtnError):
    """The answer is not of the model's output type. ``data`` has its raw bytes as hex."""

    exit_code = NODE_FAILED

    def __init__(self, request_id: str, output: str, data: str) -> None:
        super().__init__(
            f"The answer to request {request_id} is not a '{output}'.",
            request_id=request_id,
            output=output,
            data=data,
        )
