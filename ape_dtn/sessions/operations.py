"""The operations of the journal: starting, claiming and closing a session, and requests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ape_dtn.chain import reads
from ape_dtn.chain.reads import topic
from ape_dtn.funding import bare_deposit, methods, refusals
from ape_dtn.journal import operation
from ape_dtn.journal.errors import JournalUnusable
from ape_dtn.journal.operation import Effect, Operation, Outcome, SingleTransaction, Steps
from ape_dtn.network.abi import ERC20, Router, SessionManager
from ape_dtn.network.client_contract import client_of
from ape_dtn.network.context import Network
from ape_dtn.network.errors import DepositTaken
from ape_dtn.network.reverts import ErrorContext
from ape_dtn.sessions import spending
from ape_dtn.types.abi import Log
from ape_dtn.types.errors import DtnError
from ape_dtn.types.transactions import Receipt, Signed, contract_call

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.journal.store import Entry, Journal


@dataclass(frozen=True)
class _OneTransaction(ABC):
    """An operation of one transaction, which the journal keeps with the intent."""

    kind: str
    is_split: bool = False

    def of(self, entry: Entry) -> Operation:
        return operation_of(entry)

    def error_context(self, entry: Entry) -> ErrorContext:
        session = entry.payload.get("session")
        return ErrorContext(
            session_id=None if session is None else int(session),
            model=entry.details.get("model"),
        )

    @abstractmethod
    def effect(self, entry: Entry) -> Effect:
        """See :class:`ape_dtn.journal.operation.Operation`."""

    def current_effect(self, ai: Network, entry: Entry) -> Effect | None:
        if "manager" not in entry.details:
            return None
        current = {**entry.details, "manager": ai.contracts().session_manager}
        return self.effect(replace(entry, details=current))

    def claimed_outcome(self, _ai: Network, _entry: Entry, _logs: Sequence[Log]) -> Outcome | None:
        return None

    def is_half_done(self, _entry: Entry, _logs: Sequence[Log]) -> bool:
        return False

    def can_be_resent(self, _entry: Entry, _signed: Signed) -> bool:
        return True

    def plan(self, _ai: Network, _account: AccountAPI, entry: Entry, _logs: Sequence[Log]) -> Steps:
        return SingleTransaction(operation.to_transaction(entry.details["transaction"]))

    def explain(
        self, _ai: Network, _entry: Entry, failed: DtnError, _receipts: Sequence[Receipt]
    ) -> DtnError:
        return failed

    def leaves_deposit(self, _entry: Entry) -> bool:
        return False

    def ended_by(self, _failed: DtnError) -> str | None:
        return None

    def reconcile(self, _ai: Network, _journal: Journal) -> bool:
        return False


class _Opening(_OneTransaction):
    """An operation that opens a session."""

    def effect(self, entry: Entry) -> Effect:
        return Effect(
            entry.details["manager"],
            SessionManager.session_started,
            (None, operation.address_topic(entry.details["holder"])),
            {"sessionId": "session", "balance": "balance"},
        )


class _Start(_Opening):
    """Deposits tokens and opens a session with them: in two transactions for a bare deposit."""

    def claimed_outcome(self, ai: Network, entry: Entry, logs: Sequence[Log]) -> Outcome | None:
        """The session that the sender of a bare deposit has opened by another transaction.

        Raises:
            DepositTaken: Another account opened a session with it.
        """
        deposited = bare_deposit.find_deposit(logs, entry)
        if deposited is None:
            return None
        manager = entry.details["manager"]
        found = bare_deposit.next_start(ai, manager, deposited)
        if found is None:
            return None
        outcome = operation.outcome_in(self.effect(entry), [found[0]])
        if outcome is None:  # another account was the next to start a session
            deposit = bare_deposit.deposit_of(entry)
            raise bare_deposit.deposit_taken(ai, manager, deposit, deposited)
        return outcome

    def is_half_done(self, entry: Entry, logs: Sequence[Log]) -> bool:
        return bare_deposit.find_deposit(logs, entry) is not None

    def can_be_resent(self, entry: Entry, signed: Signed) -> bool:
        """False for the second of two transactions: it would start with any deposit it finds."""
        first = min(transaction.nonce for transaction in entry.signed)
        return not self.leaves_deposit(entry) or signed.nonce == first

    def plan(self, ai: Network, account: AccountAPI, entry: Entry, logs: Sequence[Log]) -> Steps:
        method = methods.Method(entry.details["method"])
        is_bare = method is methods.Method.TWO_STEP
        if self.is_half_done(entry, logs) or (is_bare and _is_deposited_elsewhere(ai, entry)):
            return SingleTransaction(contract_call(ai.router, Router.start_user_session))
        deposit = bare_deposit.deposit_of(entry)
        return methods.plan(ai, account, deposit, method, unsafe_two_step=is_bare)

    def explain(
        self, ai: Network, entry: Entry, failed: DtnError, receipts: Sequence[Receipt]
    ) -> DtnError:
        sides = entry.account, entry.details["holder"], entry.details.get("fee_target")
        accounts = [account for account in dict.fromkeys(sides) if account]
        failed = refusals.explain(ai, failed, entry.payload.get("token"), accounts)
        return bare_deposit.explain(ai, entry, failed, receipts)

    def leaves_deposit(self, entry: Entry) -> bool:
        return entry.details.get("method") == methods.Method.TWO_STEP.value

    def ended_by(self, failed: DtnError) -> str | None:
        return failed.taken_in if isinstance(failed, DepositTaken) else None


class _Claim(_Opening):
    """Opens a session with the deposits that wait at the fee target."""

    def can_be_resent(self, _entry: Entry, _signed: Signed) -> bool:
        return False


class _Request(_OneTransaction):
    """Sends a request on a session."""

    def effect(self, entry: Entry) -> Effect:
        # A client contract chooses the user itself.
        is_direct = entry.details["transaction"]["to"] == entry.router
        user = operation.address_topic(entry.details["user"]) if is_direct else None
        session = topic(int(entry.payload["session"]))
        created = Router.request_created
        return Effect(entry.router, created, (None, session, user), {"requestId": "request"})

    def reconcile(self, ai: Network, journal: Journal) -> bool:
        return spending.reconcile(ai, journal)


class _Close(_OneTransaction):
    """Closes a session for a refund of the rest."""

    def effect(self, entry: Entry) -> Effect:
        closed, session = SessionManager.session_closed, topic(int(entry.payload["session"]))
        manager = entry.details["manager"]
        return Effect(manager, closed, (session,), {"remainingBalance": "refund"})

    def explain(
        self, ai: Network, entry: Entry, failed: DtnError, _receipts: Sequence[Receipt]
    ) -> DtnError:
        return refusals.explain(ai, failed, None, [entry.account, client_of(entry.account)])


START: Operation = _Start("start", is_split=True)
CLAIM: Operation = _Claim("claim")
REQUEST: Operation = _Request("request")
CLOSE: Operation = _Close("close")

_BY_KIND: Mapping[str, Operation] = {
    operation.kind: operation for operation in (START, CLAIM, REQUEST, CLOSE)
}


def operation_of(entry: Entry) -> Operation:
    """The operation of an entry of the journal.

    Raises:
        JournalUnusable: Its kind is unknown.
    """
    found = _BY_KIND.get(entry.kind)
    if found is None:
        reason = f"entry {entry.id} is of unknown kind '{entry.kind}'"
        raise JournalUnusable(None, reason, is_damaged=True)
    return found


def _is_deposited_elsewhere(ai: Network, entry: Entry) -> bool:
    """Whether a wallet has made the bare deposit by another transaction with the same nonce.

    For an account that broadcasts by itself, any transfer of the same amount counts.
    """
    if not entry.signed and entry.details["is_sent_here"]:
        return False
    sender, receiver = entry.account, entry.details["fee_target"]
    parties = operation.address_topic(sender), operation.address_topic(receiver)
    logs = reads.logs(
        ai.provider,
        entry.payload["token"],
        [ERC20.transferred.topic, *parties],
        from_block=entry.details["from_block"],
    )
    if not entry.details["is_sent_here"]:
        deposit = int(entry.payload["deposit"])
        return any(ERC20.transferred.decode(log)["value"] == deposit for log in logs)
    return bool(operation.logs_of_payment(ai, logs, entry.signed))
