"""A session: opened with a deposit, spent on requests, closed for a refund of the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from ape_dtn.answers.diagnosis import pending_on
from ape_dtn.chain.reads import Call
from ape_dtn.client.errors import RequestsPending
from ape_dtn.client.request import to_request
from ape_dtn.funding import bare_deposit, methods
from ape_dtn.funding.methods import Method, Plan
from ape_dtn.journal import executor
from ape_dtn.journal.executor import OperationResult
from ape_dtn.journal.operation import from_transaction
from ape_dtn.journal.store import Intent, Journal
from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.network.client_contract import client_of
from ape_dtn.network.context import Network
from ape_dtn.network.errors import SessionAlreadyClosed
from ape_dtn.network.holder import SessionOwner
from ape_dtn.network.registry import Contracts, token_calls
from ape_dtn.network.sessions import check, exists, explained, session_call
from ape_dtn.requests.draft import (
    Draft,
    SentRequest,
    draft,
    drafts,
    fingerprint,
    idempotency_payload,
    send_drafts,
    to_sent,
)
from ape_dtn.requests.options import Options
from ape_dtn.sessions import operations, settlement
from ape_dtn.types.amount import Amount, AmountLike, Token
from ape_dtn.types.errors import DtnError, InvalidOption
from ape_dtn.types.prompt import Prompt
from ape_dtn.types.transactions import Receipt, contract_call

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.billing.history import History
    from ape_dtn.client.request import DtnRequest
    from ape_dtn.client.watch import Watch
    from ape_dtn.requests.quote import Quote
    from ape_dtn.types.answer import CallType


class DtnSession:
    """A session of the connected network.

    Get one with :meth:`start`, :meth:`load` or :meth:`list`. Used as a context manager, it is
    closed and refunded at the end, also when the body raises; but not while a request of it has no
    answer yet, which would never come then.

    ``receipt`` is that of the last transaction sent here, ``opened_with`` what the session was
    opened with, and ``method`` how, if it was opened here. ``holder`` is whose it is on the chain,
    the account or its client, where it was opened or listed here.

    What moves money is written to a journal before it is sent. Given an idempotency key, it is done
    once, however often it is asked for, and whatever befell the process before.

    Args:
        ai: The network.
        session_id: The session's id.
        account: Who signs for it.
    """

    def __init__(self, ai: Network, session_id: int, account: AccountAPI | None = None) -> None:
        self.ai = ai
        self.id = session_id
        self.account = account
        self.receipt: Receipt | None = None
        self.opened_with: Amount | None = None
        self.method: Method | None = None
        self.holder: str | None = None

    @classmethod
    def start(
        cls,
        amount: AmountLike,
        account: AccountAPI,
        ai: Network | None = None,
        *,
        method: Method | str | None = None,
        unsafe_two_step: bool = False,
        idempotency_key: str | None = None,
    ) -> DtnSession:
        """Deposits tokens and opens a session with them (``router.startUserSession``).

        Whoever is the next to start a session owns a deposit. So both are done in one transaction,
        in the best way that there is; see :class:`ape_dtn.funding.methods.Method`. On a local
        chain of one's own they are two. ``session.method`` says how it was done.

        Args:
            amount: The deposit, as in ``"25.00 USDC"`` or ``Decimal(25)``.
            account: Who pays. The session is its own, or its client contract's.
            ai: The network; by default that of the connected chain.
            method: How; by default the configured way, or else the best.
            unsafe_two_step: Deposit and start in two transactions, and accept on a public network
                that anybody can take the deposit in between.
            idempotency_key: Under which it is done once, however often it is asked for.

        Raises:
            InvalidAmount: It is no amount of the fee token.
            InsufficientFunds: The account has less.
            MethodUnavailable: It cannot be done in that way, or in none that is safe.
            UnsafeDeposit: The network is public, and the risk was not accepted.
            DepositTaken: Somebody else started a session with the deposit.
            DepositWaiting: The deposit was sent, and the start could not be; see :meth:`claim`.
            KeyReused: The key was given to something else.
        """
        ai = ai or Network()
        if opened := cls.started_by(idempotency_key, amount, account, ai):
            return opened
        planned = methods.plan(ai, account, amount, method, unsafe_two_step)
        return cls.open(planned, account, ai, idempotency_key)

    @classmethod
    def started_by(
        cls, key: str | None, amount: AmountLike, account: AccountAPI, ai: Network | None = None
    ) -> DtnSession | None:
        """The session that was started under a key before; None where none was.

        A start that was begun and not finished is finished first.

        Raises:
            KeyReused: The key was given to something else.
        """
        if key is None:
            return None
        ai = ai or Network()
        token = ai.token()
        meant = _meant_by(token.amount(amount))
        done = executor.find_result(ai, account, operations.START, meant, key)
        return cls._opened(ai, account, done, token) if done else None

    @staticmethod
    def plan(
        amount: AmountLike,
        account: AccountAPI,
        ai: Network | None = None,
        *,
        method: Method | str | None = None,
        unsafe_two_step: bool = False,
    ) -> Plan:
        """How a session would be started, with all that :meth:`start` checks. Nothing is signed.

        Raises:
            DtnError: As :meth:`start` would.
        """
        return methods.plan(ai or Network(), account, amount, method, unsafe_two_step)

    @classmethod
    def open(
        cls,
        planned: Plan,
        account: AccountAPI,
        ai: Network | None = None,
        idempotency_key: str | None = None,
    ) -> DtnSession:
        """Starts a session as it was planned; see :meth:`start`."""
        ai, deposit = ai or Network(), planned.deposit
        meant = Intent(operations.START.kind, _meant_by(deposit), planned.details, idempotency_key)
        done = executor.execute(ai, account, operations.START, meant, planned)
        session = cls._opened(ai, account, done, deposit.token)
        assert session.opened_with is not None
        if done.receipts and session.opened_with < deposit:
            raise bare_deposit.short(ai, planned, done.receipts, session.id, session.opened_with)
        return session

    @classmethod
    def claim(
        cls,
        account: AccountAPI,
        ai: Network | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> DtnSession:
        """Opens a session with a deposit that was sent before and not started.

        It finishes a start that was interrupted between its two transactions. Whatever waits at
        the fee target becomes the session's, whoever sent it.

        Raises:
            NothingDeposited: Nothing waits there.
        """
        ai = ai or Network()
        contracts = ai.contracts()
        start = contract_call(ai.router, Router.start_user_session)
        details = {
            "transaction": from_transaction(start),
            "holder": str(account.address),
            "manager": contracts.session_manager,
        }
        meant = Intent(operations.CLAIM.kind, {}, details, idempotency_key)
        done = executor.execute(ai, account, operations.CLAIM, meant)
        return cls._opened(ai, account, done, ai.token(contracts))

    @classmethod
    def _opened(
        cls, ai: Network, account: AccountAPI, done: OperationResult, token: Token
    ) -> DtnSession:
        """The session that something opened."""
        session = cls(ai, int(done.outcome["session"]), account)
        session.receipt = done.receipt
        session.opened_with = token.units(int(done.outcome["balance"]))
        session.holder = done.details.get("holder")
        session.method = Method(done.details["method"]) if "method" in done.details else None
        return session

    @classmethod
    def load(
        cls, session_id: int, account: AccountAPI | None = None, ai: Network | None = None
    ) -> DtnSession:
        """An open session by its id.

        Args:
            session_id: The session's id.
            account: Who signs for it; nobody, to read only.
            ai: The network; by default that of the connected chain.

        Raises:
            SessionAlreadyClosed: It was closed before.
            SessionNotFound: There is none of this id.
        """
        session = cls(ai or Network(), session_id, account)
        session._read()
        return session

    @classmethod
    def list(
        cls, owner: AccountAPI | str, ai: Network | None = None
    ) -> Sequence[tuple[DtnSession, Amount]]:
        """The open sessions of an owner, and of its client, with their balances.

        It takes two HTTP requests, however many they are.

        Args:
            owner: The account, which then signs for them, or an address.
            ai: The network; by default that of the connected chain.
        """
        ai = ai or Network()
        address = owner if isinstance(owner, str) else str(owner.address)
        account = None if isinstance(owner, str) else owner
        contracts = ai.contracts()
        # A client's sessions are its account's.
        holders = address, client_of(address)
        manager = contracts.session_manager
        id_calls = [Call(manager, SessionManager.get_user_session_ids, (each,)) for each in holders]
        session_calls = [
            Call(manager, SessionManager.get_user_sessions, (each,)) for each in holders
        ]
        before: list[Any] | None = None
        after: list[Any] = []
        # Ids and balances are two views: a block between them could pair them wrongly.
        while before != after:
            symbol, decimals, *found = ai.read(
                *token_calls(contracts.fee_token),
                *id_calls,
                *session_calls,
                *id_calls,
            )
            before, sessions, after = found[:2], found[2:4], found[4:]
        token = Token(contracts.fee_token, symbol, decimals)
        listed = []
        for ids, held in zip(after, sessions, strict=True):
            for session_id, (holder, balance) in zip(ids, held, strict=True):
                session = cls(ai, session_id, account)
                session.holder = holder
                listed.append((session, token.units(balance)))
        return listed

    def __repr__(self) -> str:
        return f"<DtnSession {self.id} at {self.ai.router}>"

    @property
    def owner(self) -> str:
        """The account that may spend, close and be refunded.

        Raises:
            SessionNotFound: There is no such session, or it is closed.
        """
        return self._read()[0]

    @property
    def balance(self) -> Amount:
        """What is left.

        Raises:
            SessionNotFound: There is no such session, or it is closed.
        """
        return self._read()[1]

    @property
    def is_open(self) -> bool:
        """Whether it can be used and closed."""
        call = session_call(self.ai.contracts().session_manager, self.id)
        owner, _ = self.ai.read_one(call)
        return exists(owner)

    def draft(
        self,
        *values: Any,
        account: AccountAPI | None = None,
        **options: Unpack[Options],
    ) -> Draft:
        """Checks a request against the chain, and says what it may cost, before it is sent.

        Args:
            values: What the model takes: for text models one line of text, or several, or a
                :class:`~ape_dtn.types.prompt.Prompt`.
            account: Who signs; by default the session's account.
            options: See :class:`~ape_dtn.requests.draft.Options`.

        Raises:
            DtnError: Whatever :func:`ape_dtn.requests.draft.draft` finds to be wrong.
        """
        return draft(self.ai, self._signer(account), values, self.id, options)

    def request(
        self,
        *values: Any,
        account: AccountAPI | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> DtnRequest:
        """Checks a request and sends it. Takes and raises what :meth:`draft` does.

        Args:
            values: See :meth:`draft`.
            account: See :meth:`draft`.
            idempotency_key: Under which it is sent once, however often it is asked for.
            options: See :meth:`draft`.

        Returns:
            The request; its ``wait()`` gives the answer.

        Raises:
            KeyReused: The key was given to something else.
        """
        if asked := self.asked_by(idempotency_key, *values, account=account, **options):
            return asked
        sent = self.draft(*values, account=account, **options).send(idempotency_key)
        return to_request(self.ai, sent)

    def asked_by(
        self,
        key: str | None,
        *values: Any,
        account: AccountAPI | None = None,
        **options: Unpack[Options],
    ) -> DtnRequest | None:
        """The request that was sent under a key before; None where none was.

        One that was begun and not finished is finished first.

        Raises:
            KeyReused: The key was given to something else.
        """
        meant = idempotency_payload(self.id, fingerprint(values, options))
        done = executor.find_result(self.ai, self._signer(account), operations.REQUEST, meant, key)
        return to_request(self.ai, to_sent(done)) if done else None

    def request_many(
        self,
        many: Sequence[Any],
        account: AccountAPI | None = None,
        on_sent: Callable[[int, DtnRequest | DtnError], None] = lambda _place, _sent: None,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> Sequence[DtnRequest | DtnError]:
        """Checks many requests and sends them one upon the other, without waiting in between.

        All are checked before the first is sent, and what they may cost together has to be in the
        session.

        Args:
            many: The inputs of each: a prompt, or a tuple of all that the model takes.
            account: Who signs; by default the session's account.
            on_sent: Told of each as soon as it is mined, or known to have failed, with its place.
            idempotency_key: Under which each, in its place, is sent once.
            options: What they have in common; see :class:`~ape_dtn.requests.draft.Options`.

        Returns:
            For each, in its place, the request, or the error that befell it alone.

        Raises:
            DtnError: Something is wrong with one of them, and none was sent.
        """
        if isinstance(many, str | Prompt):
            raise InvalidOption("many", "it is one prompt; give a list of them")
        inputs = [each if isinstance(each, tuple) else (each,) for each in many]
        signer = self._signer(account)
        found: dict[int, DtnRequest | DtnError] = {}
        if idempotency_key is not None:
            for place, values in enumerate(inputs):
                key = f"{idempotency_key}#{place}"
                if sent := self.asked_by(key, *values, account=signer, **options):
                    found[place] = sent
                    on_sent(place, sent)
        left = [place for place in range(len(inputs)) if place not in found]
        if not left:
            return [found[place] for place in range(len(inputs))]
        checked = drafts(self.ai, signer, [inputs[place] for place in left], self.id, options)
        keys = [idempotency_key and f"{idempotency_key}#{place}" for place in left]

        def told(place: int, outcome: SentRequest | DtnError) -> None:
            each = outcome if isinstance(outcome, DtnError) else to_request(self.ai, outcome)
            found[left[place]] = each
            on_sent(left[place], each)

        send_drafts(checked, told, keys)
        return [found[place] for place in range(len(inputs))]

    def send(self, checked: Draft, idempotency_key: str | None = None) -> DtnRequest:
        """Sends a request that was drafted before this session was started."""
        owner = checked.owner or self.holder or self.owner
        asked = replace(checked, session_id=self.id, owner=owner)
        return to_request(self.ai, asked.send(idempotency_key))

    def quote(
        self,
        *values: Any,
        models: str | Sequence[str] | None = None,
        call_types: CallType | Sequence[CallType] | None = None,
        answer_bytes: int | None = None,
        **options: Unpack[Options],
    ) -> Sequence[Quote]:
        """What a request on this session would cost; see :func:`ape_dtn.requests.quote.quote`."""
        from ape_dtn.requests.quote import quote

        return quote(
            self.ai,
            *values,
            models=models,
            call_types=call_types,
            session=self.id,
            account=self.account,
            answer_bytes=answer_bytes,
            **options,
        )

    def history(self, contents: Mapping[str, bytes] | None = None) -> History:
        """All that was asked, answered, charged and refunded.

        See :func:`ape_dtn.billing.history.history`.

        Args:
            contents: Contents of answers that travelled over IPFS, by their identifiers: their
                sizes are not on the chain, and their charges not judged without.
        """
        from ape_dtn.billing.history import history

        return history(self.ai, self.id, contents)

    def watch(
        self,
        *,
        since: str | None = None,
        confirmations: int | None = None,
        timeout: float | None = None,
    ) -> Watch:
        """Every answer of this session as it comes; see :class:`ape_dtn.client.watch.Watch`."""
        from ape_dtn.client.watch import Watch

        return Watch(
            self.ai, session=self, since=since, confirmations=confirmations, timeout=timeout
        )

    def close(
        self,
        account: AccountAPI | None = None,
        *,
        force: bool = False,
        idempotency_key: str | None = None,
    ) -> Amount:
        """Closes the session (``router.closeUserSession``).

        Requests without an answer would never get one after this.

        Args:
            account: Who signs; by default the session's account.
            force: Close it also while requests have no answer.
            idempotency_key: Under which it is closed once, and the refund told each time.

        Returns:
            The refund, which the account has received.

        Raises:
            RequestsPending: Requests of it have no answer yet.
            SessionAlreadyClosed: It was closed before.
            NotSessionOwner: It is neither the account's nor its client's.
            SessionNotFound: There is none of this id.
            KeyReused: The key was given to something else.
        """
        refund = self.closed_by(idempotency_key, account)
        if refund is not None:
            return refund
        signer = self._signer(account)
        journal = executor.journal_of(self.ai, signer)
        contracts, token, owner = self.check_close(account, force=force, journal=journal)
        close = SessionOwner(str(signer.address), owner).close(self.ai.router, self.id)
        details = {
            "transaction": from_transaction(close),
            "manager": contracts.session_manager,
        }
        meant = Intent(operations.CLOSE.kind, {"session": str(self.id)}, details, idempotency_key)
        with explained(self.ai, self.id, str(signer.address)):
            done = executor.execute(self.ai, signer, operations.CLOSE, meant, journal=journal)
        self.receipt = done.receipt
        return token.units(int(done.outcome["refund"]))

    def closed_by(self, key: str | None, account: AccountAPI | None = None) -> Amount | None:
        """The refund of closing it under a key before; None where it was not.

        Raises:
            KeyReused: The key was given to something else.
        """
        meant = {"session": str(self.id)}
        done = executor.find_result(self.ai, self._signer(account), operations.CLOSE, meant, key)
        return self.ai.token().units(int(done.outcome["refund"])) if done else None

    def check_close(
        self,
        account: AccountAPI | None = None,
        *,
        force: bool = False,
        journal: Journal | None = None,
    ) -> tuple[Contracts, Token, str]:
        """Checks all that :meth:`close` checks before it sends anything.

        Args:
            account: See :meth:`close`.
            force: See :meth:`close`.
            journal: The account's, where it is open already.

        Returns:
            The contracts, the token, and whose the session is on the chain.
        """
        signer = self._signer(account)
        caller = str(signer.address)
        contracts, token, owner, _ = self._look()
        manager = contracts.session_manager
        check(self.ai, manager, self.id, owner, caller)
        if not force:
            journal = journal or executor.journal_of(self.ai, signer)
            known = settlement.unanswered(self.ai, journal, self.id)
            if pending := pending_on(self.ai, manager, self.id, known):
                raise RequestsPending(self.id, pending)
        return contracts, token, owner

    def _signer(self, account: AccountAPI | None) -> AccountAPI:
        return self.ai.signer(account or self.account)

    def __enter__(self) -> DtnSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        from ape.logging import logger

        try:
            self.close()
        except RequestsPending as err:
            # Closed, it could not pay for them any more, and their answers would never come.
            logger.warning(f"Session {self.id} stays open. {err}")
        except SessionAlreadyClosed:
            pass
        except DtnError as err:
            if raised is None:
                raise
            # What the body raised matters more, but nobody may miss that money is still inside.
            logger.error(f"Session {self.id} is still open: {err} Run `ape dtn session close`.")

    def _read(self) -> tuple[str, Amount]:
        """Owner and balance of the session, while it is open."""
        contracts, token, owner, balance = self._look()
        check(self.ai, contracts.session_manager, self.id, owner)
        return owner, token.units(balance)

    def _look(self) -> tuple[Contracts, Token, str, int]:
        """The contracts, the token, and the session's owner and balance, in two HTTP requests."""
        contracts = self.ai.contracts()
        symbol, decimals, (owner, balance) = self.ai.read(
            *token_calls(contracts.fee_token),
            session_call(contracts.session_manager, self.id),
        )
        return contracts, Token(contracts.fee_token, symbol, decimals), owner, balance


def _meant_by(deposit: Amount) -> dict[str, str]:
    """What a start has to have in common with another to be the same."""
    return {"deposit": str(deposit.units), "token": deposit.token.address}
