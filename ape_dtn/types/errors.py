"""The root of all errors, and those of plain values.

:mod:`ape_dtn.errors` has the whole tree.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from ape.exceptions import ApeException

if TYPE_CHECKING:
    from ape_dtn.types.reverts import Revert
    from ape_dtn.types.transactions import Receipt


# Exit codes. 1 is left to what nobody foresaw, and 2 is also what click uses for wrong usage.
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
    revert: Revert | None = None
    # Of transactions that belong together, the receipts of those that succeeded before this.
    before: tuple[Receipt, ...] = ()

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields
        self.__dict__.update(fields)

    @property
    def code(self) -> str:
        """The cause, for machines: ``SessionNotFound`` becomes ``session_not_found``."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()

    def as_dict(self) -> dict[str, Any]:
        """The error as plain data: code, message, hint, the typed fields and the revert."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            **self.fields,
            "revert": self.revert.as_dict() if self.revert else None,
        }


# What the user typed.


class BadInput(DtnError):
    """Something given is wrong in itself, whatever the chain holds."""

    exit_code = BAD_INPUT


class InvalidAmount(BadInput):
    """An amount that is no amount: zero, negative, not a number, or of a type that is ambiguous."""

    value: str
    reason: str

    def __init__(self, value: object, reason: str) -> None:
        super().__init__(f"'{value}' is not an amount: {reason}.", value=str(value), reason=reason)


class TooManyDecimals(InvalidAmount):
    """An amount with more digits than its token has."""

    def __init__(self, value: object, symbol: str, decimals: int) -> None:
        super().__init__(value, f"{symbol} has {decimals} digits after the point")


class WrongToken(InvalidAmount):
    """An amount in a token that the network is not paid with."""

    def __init__(self, value: object, symbol: str) -> None:
        super().__init__(value, f"this network is paid in {symbol}")


class EmptyPrompt(BadInput):
    """A prompt without a single character."""

    def __init__(self) -> None:
        super().__init__("The prompt is empty: it would be paid for and answer nothing.")


class InvalidPrompt(BadInput):
    """A prompt whose placeholders and values do not fit each other."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The prompt cannot be read by a node: {reason}.", reason=reason)
        self.hint = 'Give the values: Prompt("Is {0:address} older than {1:uint8}?", owner, 26).'


class InvalidName(BadInput):
    """A model, node or id that is neither a full name nor 32 bytes."""

    name: str

    def __init__(self, name: object, kind: str, example: str) -> None:
        super().__init__(
            f"'{name}' names no {kind}: write it as in '{example}', or give the 32-byte id.",
            name=str(name),
        )


class InvalidAddress(BadInput):
    """Something that is no address, where one is wanted."""

    def __init__(self, value: object) -> None:
        super().__init__(f"'{value}' is not an address.", value=str(value))


class InvalidCall(BadInput):
    """Inputs that do not fit the types of the model's API."""

    specs: str

    def __init__(self, specs: str, reason: str) -> None:
        super().__init__(f"The inputs do not fit '{specs}': {reason}.", specs=specs)


class MissingExtra(BadInput):
    """Something needs a package that comes with an extra of this one, and is not installed."""

    extra: str

    def __init__(self, extra: str, what: str) -> None:
        super().__init__(f"What is needed for {what} is not installed.", extra=extra)
        self.hint = f"pip install 'ape-dtn[{extra}]'"


class NotWritten(BadInput):
    """Files could not be written, and none of them was."""

    path: str
    reason: str

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"Nothing was written: {path}: {reason}.", path=str(path), reason=reason)


class InvalidOption(BadInput):
    """An option of a request, or several together, that mean nothing."""

    option: str
    reason: str

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"'{option}' cannot be so: {reason}.", option=option, reason=reason)


class NoAccount(BadInput):
    """Something was to be signed, and nobody was named to sign it."""

    def __init__(self) -> None:
        super().__init__("This sends a transaction, and no account is given to sign it.")
        self.hint = "Pass account=…, or --account ALIAS on the command line."


# The chain and the contracts.


class NoNetwork(DtnError):
    """The contracts cannot be reached where they were looked for."""

    exit_code = NO_NETWORK


# What the contracts refuse.


class Refused(DtnError):
    """The contracts, or we in their place, refuse to do it."""

    exit_code = REFUSED


class CallbackFailed(DtnError):
    """The answer came, and the callback that was to take it reverted. See ``revert``."""

    exit_code = NODE_FAILED
    request_id: str
    target: str
    reason: str

    def __init__(self, request_id: str, target: str, reason: str) -> None:
        super().__init__(
            f"The callback of request {request_id} to {target} reverted: {reason}. The answer is "
            "recorded all the same.",
            request_id=request_id,
            target=target,
            reason=reason,
        )
        self.hint = f"Read the answer: `ape dtn answer {request_id}`."


class CallbackOutOfGas(CallbackFailed):
    """The callback ran out of its gas, and with more of it would have succeeded."""

    gas: int
    needed: int

    def __init__(self, request_id: str, target: str, gas: int, needed: int) -> None:
        super().__init__(
            request_id, target, f"its {gas:,} gas are too little, {needed:,} would be enough"
        )
        self.fields |= {"gas": gas, "needed": needed}
        self.gas, self.needed = gas, needed
        self.hint = (
            f"Ask with a callbackGas of {needed} or more, and as many wei. Read the answer: "
            f"`ape dtn answer {request_id}`."
        )


class UndecodableAnswer(DtnError):
    """The answer is not of the model's output type. ``data`` holds it as it came."""

    exit_code = NODE_FAILED

    def __init__(self, request_id: str, output: str, data: str) -> None:
        super().__init__(
            f"The answer to request {request_id} is not a '{output}'.",
            request_id=request_id,
            output=output,
            data=data,
        )
