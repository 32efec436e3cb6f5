"""Errors of the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ape_dtn.types.errors import REFUSED, UNKNOWN_OUTCOME, BadInput, DtnError, Refused

if TYPE_CHECKING:
    from ape_dtn.types.amount import Amount


class KeyReused(BadInput):
    """An idempotency key that stands for something else already. Nothing was sent."""

    key: str

    def __init__(self, key: str, kind: str) -> None:
        super().__init__(
            f"The idempotency key '{key}' was given to another {kind} before.", key=key
        )
        self.hint = (
            "Use a new key for each thing that is to happen once. `ape dtn journal --all` shows "
            "what it stands for."
        )


class JournalUnusable(DtnError):
    """The journal cannot be read or written, and nothing is sent without it."""

    exit_code = REFUSED
    path: str | None
    reason: str

    def __init__(self, path: str | None, reason: str) -> None:
        where = f" at {path}" if path else ""
        super().__init__(f"The journal{where} cannot be used: {reason}.", path=path, reason=reason)
        self.hint = (
            "Nothing is started, asked or closed before it is written there. Look at the disk; "
            "APE_DATA_FOLDER says where it is."
        )


class NoEffect(DtnError):
    """A transaction succeeded and did not do what it was sent for."""

    exit_code = UNKNOWN_OUTCOME
    transaction: str

    def __init__(self, transaction: str) -> None:
        super().__init__(
            f"Transaction {transaction} succeeded and did nothing: what it called is not the "
            "contract that it should be.",
            transaction=transaction,
        )
        self.hint = "Look at what is in use: `ape dtn info`."


class OverLimit(Refused):
    """It could cost more than a limit that was set allows. Nothing was sent."""

    limit: str
    required: str

    def __init__(self, what: str, limit: Amount, required: Amount, setting: str) -> None:
        super().__init__(
            f"{what} could cost {required}, and its limit is {limit}.",
            limit=str(limit),
            required=str(required),
        )
        self.hint = f"Ask for less, or raise `{setting}`."


class PaymentCancelled(DtnError):
    """What was signed for an entry of the journal can never be mined: an empty transaction was."""

    exit_code = REFUSED

    def __init__(self, what: str, transactions: list[str]) -> None:
        super().__init__(
            f"Cancelled: the {what} did not happen, and never will. Empty transactions have used "
            "its nonces.",
            transactions=transactions,
        )


class RefusedBefore(Refused):
    """An entry of the journal that was refused, and is not begun again without being asked for."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(
            f"The {what} was refused, and is not sent again by itself: {reason}", reason=reason
        )
        self.hint = "Repeat the command, with its idempotency key if it had one."


class NotCancellable(BadInput):
    """An entry of the journal that cannot be cancelled from here. Nothing was sent."""

    def __init__(self, what: str, reason: str, hint: str) -> None:
        super().__init__(f"The {what} cannot be cancelled: {reason}.", reason=reason)
        self.hint = hint


class WalletPending(DtnError):
    """An account that sends in its own way may have sent something, and nothing tells whether."""

    exit_code = UNKNOWN_OUTCOME
    account: str
    nonce: int

    def __init__(self, account: str, nonce: int, reason: str) -> None:
        super().__init__(
            f"{account} was given a transaction to sign and send itself, with nonce {nonce}, and "
            f"it is not known whether it did: {reason}.",
            account=account,
            nonce=nonce,
        )
        self.hint = (
            "Look for it in the wallet, and have it mined or cancelled there; then `ape dtn "
            "resume` goes on. Nothing is sent under this key before."
        )
