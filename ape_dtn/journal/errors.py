"""Errors of the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ape_dtn.types.errors import REFUSED, UNKNOWN_OUTCOME, BadInput, DtnError, Refused

if TYPE_CHECKING:
    from ape_dtn.types.amount import Amount


class KeyReused(BadInput):
    """The idempotency key belongs to another operation. Nothing was sent."""

    key: str

    def __init__(self, key: str, kind: str) -> None:
        super().__init__(f"The idempotency key '{key}' already belongs to another {kind}.", key=key)
        self.hint = "Pass a new idempotency_key for each operation."


class JournalUnusable(DtnError):
    """The journal cannot be read or written. Nothing is sent without it."""

    exit_code = REFUSED
    path: str | None
    reason: str

    def __init__(self, path: str | None, reason: str, is_damaged: bool = False) -> None:
        where = f" at {path}" if path else ""
        super().__init__(f"The journal{where} cannot be used: {reason}.", path=path, reason=reason)
        if not is_damaged:
            self.hint = (
                "No transaction is sent before it is recorded there. Check the disk and the "
                "folder's permissions; APE_DATA_FOLDER sets the folder."
            )
            return
        file = path or "journal.sqlite3"
        self.hint = (
            "The entries that can be read can still be resumed. To start a new journal, stop "
            f"all programs that use this one and rename {file}, with {file}-wal and {file}-shm if "
            "they exist. Keep the files: transactions signed there may still be mined. The new "
            "journal knows no idempotency keys and no spending, so look up on the chain what was "
            "sent before you repeat it: `DtnRescue(account).findings()`."
        )


class NoEffect(DtnError):
    """A transaction succeeded without the event that it should emit."""

    exit_code = UNKNOWN_OUTCOME
    transaction: str

    def __init__(self, transaction: str) -> None:
        super().__init__(
            f"Transaction {transaction} succeeded, but did not emit the expected event: the "
            "contract at that address is probably another one.",
            transaction=transaction,
        )
        self.hint = "Check the contracts in use: DtnAi().contracts()."


class OverLimit(Refused):
    """The operation could exceed a configured budget. Nothing was sent."""

    limit: Amount
    required: Amount

    def __init__(self, what: str, limit: Amount, required: Amount, setting: str) -> None:
        super().__init__(
            f"{what} could cost {required}, and its limit is {limit}.",
            limit=limit,
            required=required,
        )
        self.hint = f"Ask for less, or raise `{setting}`."


class PaymentCancelled(DtnError):
    """An entry of the journal was cancelled: its transactions can never be mined."""

    exit_code = REFUSED

    def __init__(self, what: str, transactions: list[str]) -> None:
        how = (
            "Empty transactions have used its nonces, so it can never be mined."
            if transactions
            else "Nothing of it was mined, and nothing will be."
        )
        super().__init__(f"The {what} was cancelled. {how}", transactions=transactions)


class RefusedBefore(Refused):
    """An entry of the journal was refused before, and the user has not repeated the call."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(
            f"The {what} was refused before, and resuming does not send it again: {reason}",
            reason=reason,
        )
        self.hint = "Repeat the call, with its idempotency_key if it had one."


class NotCancellable(BadInput):
    """An entry of the journal cannot be cancelled from here. Nothing was sent.

    ``cause`` is ``in_progress``, ``ended`` or ``sent_by_wallet``.
    """

    cause: str

    def __init__(self, what: str, reason: str, cause: str) -> None:
        super().__init__(f"The {what} cannot be cancelled: {reason}.", reason=reason, cause=cause)
        self.hint = {
            "in_progress": "Stop the other process first.",
            "ended": "Its outcome is in the journal.",
            "sent_by_wallet": "Cancel it in the account's wallet.",
        }.get(cause)


class WalletPending(DtnError):
    """A wallet may have sent a transaction, and the chain does not show whether it did."""

    exit_code = UNKNOWN_OUTCOME
    account: str
    nonce: int

    def __init__(self, account: str, nonce: int, reason: str) -> None:
        super().__init__(
            f"Account {account} was asked to sign and send a transaction with nonce {nonce}. "
            f"Whether it did is unknown: {reason}.",
            account=account,
            nonce=nonce,
        )
        self.hint = (
            "Have the transaction mined or cancelled in the account's wallet. Until then, nothing "
            "is sent under this idempotency_key."
        )
