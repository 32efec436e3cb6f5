"""A session: opened with a deposit, spent on requests, closed for a refund of the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from ape_dtn import ownership
from ape_dtn.ai import Contracts, DtnAi, token_calls
from ape_dtn.amount import Amount, AmountLike, Token
from ape_dtn.answers.answer import Status
from ape_dtn.asking.draft import Draft, draft, drafts, send_drafts
from ape_dtn.asking.options import Options
from ape_dtn.asking.prompt import Prompt
from ape_dtn.chain import reads, reverts, sends
from ape_dtn.chain.abi import ERC20, Router, SessionManager
from ape_dtn.chain.networks import is_local
from ape_dtn.chain.reads import Call
from ape_dtn.errors import (
    DepositTaken,
    DepositWaiting,
    DtnError,
    InsufficientFunds,
    InvalidOption,
    NothingDeposited,
    PartlySent,
    Refused,
    SessionAlreadyClosed,
    TransactionPending,
    UnsafeDeposit,
)
from ape_dtn.ownership import session_call

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.answers.answer import CallType
    from ape_dtn.answers.request import DtnRequest
    from ape_dtn.answers.watch import Watch
    from ape_dtn.asking.quote import Quote
    from ape_dtn.billing.bill import History

# What starting may use at most. It cannot be estimated: the deposit is not there yet. The deployed
# network uses 182,004.
START_GAS = 400_000


class DtnSession:
    """A session of the connected network.

    Get one with :meth:`start`, :meth:`load` or :meth:`list`. Used as a context manager, it is
    closed and refunded at the end, also when the body raises; but not while a request that was
    asked on it here has no answer yet, which would never come then.

    ``receipt`` is that of the last transaction sent here, and ``opened_with`` what the session was
    opened with, if it was opened here.

    Args:
        ai: The network.
        session_id: The session's id.
        account: Who signs for it.
    """

    def __init__(self, ai: DtnAi, session_id: int, account: AccountAPI | None = None) -> None:
        self.ai = ai
        self.id = session_id
        self.account = account
        self.receipt: sends.Receipt | None = None
        self.opened_with: Amount | None = None
        self._asked: list[DtnRequest] = []

    @classmethod
    def start(
        cls,
        amount: AmountLike,
        account: AccountAPI,
        ai: DtnAi | None = None,
        *,
        unsafe_two_step: bool = False,
    ) -> DtnSession:
        """Deposits tokens and opens a session with them (``router.startUserSession``).

        The deposit and the start are two transactions, signed first and then sent back to back.
        Between them anybody could take the deposit, so that public networks need the argument.

        Args:
            amount: The deposit, as in ``"25.00 USDC"`` or ``Decimal(25)``.
            account: Who pays, and owns the session.
            ai: The network; by default that of the connected chain.
            unsafe_two_step: Accept the risk on a public network.

        Raises:
            InvalidAmount: It is no amount of the fee token.
            InsufficientFunds: The account has less.
            UnsafeDeposit: The network is public, and the risk was not accepted.
            DepositTaken: Somebody else started a session with the deposit.
            DepositWaiting: The deposit was sent, and the start could not be; see :meth:`claim`.
        """
        ai = ai or DtnAi()
        contracts = ai.contracts()
        deposit = _checked_deposit(ai, contracts, account, amount, unsafe_two_step)
        try:
            opening = opening_of(ai, contracts, deposit)
            _, started = sends.send_together(ai.provider, account, opening)
        except PartlySent as err:
            raise DepositWaiting(deposit, err.sent[0]) from err
        except TransactionPending as err:
            if err.before:
                err.hint = (
                    "Your deposit is there. Look at the transaction that starts the session; where "
                    "it does not come, start one at once: `ape dtn session start --claim`."
                )
            raise
        except Refused as err:
            if not err.before:  # the deposit itself did not go through
                raise
            raise _without_its_deposit(ai, account, deposit, err) from err
        session = cls._opened(ai, account, contracts, started, deposit.token)
        assert session.opened_with is not None
        if session.opened_with < deposit:
            taken = DepositTaken(deposit, started.transaction, session.id)
            taken.hint = f"What was left is in session {session.id}: {session.opened_with}."
            raise taken
        return session

    @staticmethod
    def check_deposit(
        amount: AmountLike,
        account: AccountAPI,
        ai: DtnAi | None = None,
        *,
        unsafe_two_step: bool = False,
    ) -> Amount:
        """Checks all that :meth:`start` checks before it sends anything.

        Returns:
            The deposit.

        Raises:
            InvalidAmount, InsufficientFunds, UnsafeDeposit: As :meth:`start` would.
        """
        ai = ai or DtnAi()
        return _checked_deposit(ai, ai.contracts(), account, amount, unsafe_two_step)

    @classmethod
    def claim(cls, account: AccountAPI, ai: DtnAi | None = None) -> DtnSession:
        """Opens a session with a deposit that was sent before and not started.

        It finishes a start that was interrupted between its two transactions. Whatever waits at
        the fee target becomes the session's, whoever sent it.

        Raises:
            NothingDeposited: Nothing waits there.
        """
        ai = ai or DtnAi()
        contracts = ai.contracts()
        token = ai.token(contracts)
        start = sends.call(ai.router, Router.start_user_session)
        receipt = sends.send(ai.provider, account, start)
        return cls._opened(ai, account, contracts, receipt, token)

    @classmethod
    def _opened(
        cls,
        ai: DtnAi,
        account: AccountAPI,
        contracts: Contracts,
        receipt: sends.Receipt,
        token: Token,
    ) -> DtnSession:
        """The session that a transaction opened, by its event."""
        (opened,) = SessionManager.session_started.find(receipt.logs, contracts.session_manager)
        session = cls(ai, opened["sessionId"], account)
        session.receipt = receipt
        session.opened_with = token.units(opened["balance"])
        return session

    @classmethod
    def load(
        cls, session_id: int, account: AccountAPI | None = None, ai: DtnAi | None = None
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
        session = cls(ai or DtnAi(), session_id, account)
        session._read()
        return session

    @classmethod
    def list(
        cls, owner: AccountAPI | str, ai: DtnAi | None = None
    ) -> Sequence[tuple[DtnSession, Amount]]:
        """The open sessions of an owner with their balances, in two HTTP requests.

        Args:
            owner: The account, which then signs for them, or an address.
            ai: The network; by default that of the connected chain.
        """
        ai = ai or DtnAi()
        address = owner if isinstance(owner, str) else str(owner.address)
        account = None if isinstance(owner, str) else owner
        contracts = ai.contracts()
        ids_call = Call(contracts.session_manager, SessionManager.get_user_session_ids, (address,))
        ids, after = None, ()
        # Ids and balances are two views: a block between them could pair them wrongly.
        while ids != after:
            symbol, decimals, ids, sessions, after = reads.read(
                ai.provider,
                *token_calls(contracts.fee_token),
                ids_call,
                Call(contracts.session_manager, SessionManager.get_user_sessions, (address,)),
                ids_call,
            )
        token = Token(contracts.fee_token, symbol, decimals)
        return [
            (cls(ai, session_id, account), token.units(balance))
            for session_id, (_, balance) in zip(ids, sessions, strict=True)
        ]

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
        owner, _ = reads.read_one(self.ai.provider, call)
        return ownership.exists(owner)

    def draft(
        self,
        *values: Any,
        account: AccountAPI | None = None,
        **options: Unpack[Options],
    ) -> Draft:
        """Checks a request against the chain, and says what it may cost, before it is sent.

        Args:
            values: What the model takes: for text models one line of text, or several, or a
                :class:`~ape_dtn.asking.prompt.Prompt`.
            account: Who signs; by default the session's account.
            options: See :class:`~ape_dtn.asking.draft.Options`.

        Raises:
            DtnError: Whatever :func:`ape_dtn.asking.draft.draft` finds to be wrong.
        """
        return draft(self.ai, self._signer(account), values, self.id, options)

    def request(
        self,
        *values: Any,
        account: AccountAPI | None = None,
        **options: Unpack[Options],
    ) -> DtnRequest:
        """Checks a request and sends it. Takes and raises what :meth:`draft` does.

        Returns:
            The request; its ``wait()`` gives the answer.
        """
        return self._noted(self.draft(*values, account=account, **options).send())

    def request_many(
        self,
        many: Sequence[Any],
        account: AccountAPI | None = None,
        on_sent: Callable[[int, DtnRequest | DtnError], None] = lambda _place, _sent: None,
        **options: Unpack[Options],
    ) -> Sequence[DtnRequest | DtnError]:
        """Checks many requests and sends them one upon the other, without waiting in between.

        All are checked before the first is sent, and what they may cost together has to be in the
        session.

        Args:
            many: The inputs of each: a prompt, or a tuple of all that the model takes.
            account: Who signs; by default the session's account.
            on_sent: Told of each as soon as it is mined, or known to have failed, with its place.
            options: What they have in common; see :class:`~ape_dtn.asking.draft.Options`.

        Returns:
            For each, in its place, the request, or the error that befell it alone.

        Raises:
            DtnError: Something is wrong with one of them, and none was sent.
        """
        if isinstance(many, str | Prompt):
            raise InvalidOption("many", "it is one prompt; give a list of them")
        inputs = [each if isinstance(each, tuple) else (each,) for each in many]
        checked = drafts(self.ai, self._signer(account), inputs, self.id, options)
        sent = send_drafts(checked, on_sent)
        for each in sent:
            if not isinstance(each, DtnError):
                self._noted(each)
        return sent

    def send(self, checked: Draft) -> DtnRequest:
        """Sends a request that was drafted before this session was started."""
        return self._noted(replace(checked, session_id=self.id).send())

    def quote(
        self,
        *values: Any,
        models: str | Sequence[str] | None = None,
        call_types: CallType | Sequence[CallType] | None = None,
        answer_bytes: int | None = None,
        **options: Unpack[Options],
    ) -> Sequence[Quote]:
        """What a request on this session would cost; see :func:`ape_dtn.asking.quote.quote`."""
        return self.ai.quote(
            *values,
            models=models,
            call_types=call_types,
            session=self,
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
        """Every answer of this session as it comes; see :class:`ape_dtn.answers.watch.Watch`."""
        return self.ai.watch(
            session=self, since=since, confirmations=confirmations, timeout=timeout
        )

    def close(self, account: AccountAPI | None = None) -> Amount:
        """Closes the session (``router.closeUserSession``).

        Requests without an answer will never get one after this.

        Returns:
            The refund, which the owner has received.

        Raises:
            SessionAlreadyClosed: It was closed before.
            NotSessionOwner: The account is not its owner.
            SessionNotFound: There is none of this id.
        """
        signer = self._signer(account)
        contracts, token, owner, _ = self._look()
        ownership.check(self.ai, contracts.session_manager, self.id, owner, str(signer.address))
        transaction = sends.call(self.ai.router, Router.close_user_session, self.id)
        with ownership.explained(self.ai, self.id, str(signer.address)):
            about = reverts.About(session_id=self.id)
            receipt = sends.send(self.ai.provider, signer, transaction, about)
        (closed,) = SessionManager.session_closed.find(receipt.logs, contracts.session_manager)
        self.receipt = receipt
        return token.units(closed["remainingBalance"])

    def _noted(self, request: DtnRequest) -> DtnRequest:
        self._asked.append(request)
        return request

    def _pending(self) -> Sequence[str]:
        """Those of the requests asked here that have no answer yet."""
        from ape_dtn.answers.request import DtnRequest

        ids = [request.id for request in self._asked]
        found = DtnRequest.load_many(ids, self.ai)
        return [each.id for each, record in found if record.status is Status.PENDING]

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
            if pending := self._pending():
                # Closed, it could not pay for them any more, and their answers would never come.
                logger.warning(
                    f"Session {self.id} stays open: {len(pending)} of its requests have no answer "
                    f"yet, {', '.join(pending)}. Afterwards: `ape dtn session close {self.id}`."
                )
                return
            self.close()
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
        ownership.check(self.ai, contracts.session_manager, self.id, owner)
        return owner, token.units(balance)

    def _look(self) -> tuple[Contracts, Token, str, int]:
        """The contracts, the token, and the session's owner and balance, in two HTTP requests."""
        contracts = self.ai.contracts()
        symbol, decimals, (owner, balance) = reads.read(
            self.ai.provider,
            *token_calls(contracts.fee_token),
            session_call(contracts.session_manager, self.id),
        )
        return contracts, Token(contracts.fee_token, symbol, decimals), owner, balance


def opening_of(ai: DtnAi, contracts: Contracts, deposit: Amount) -> Sequence[sends.Transaction]:
    """The two transactions of a plain account that open a session: the deposit and the start."""
    return (
        sends.call(deposit.token.address, ERC20.transfer, contracts.fee_target, deposit.units),
        sends.call(ai.router, Router.start_user_session, gas_limit=START_GAS),
    )


def _checked_deposit(
    ai: DtnAi, contracts: Contracts, account: AccountAPI, amount: AmountLike, unsafe_two_step: bool
) -> Amount:
    owner = str(account.address)
    *described, balance = reads.read(
        ai.provider,
        *token_calls(contracts.fee_token),
        Call(contracts.fee_token, ERC20.balance_of, (owner,), contract="fee token"),
    )
    token = Token(contracts.fee_token, *described)
    deposit = token.amount(amount)
    if deposit.units > balance:
        raise InsufficientFunds(owner, deposit, token.units(balance))
    if not (is_local(ai.provider) or unsafe_two_step):
        raise UnsafeDeposit
    return deposit


def _without_its_deposit(
    ai: DtnAi, account: AccountAPI, deposit: Amount, failed: Refused
) -> DtnError:
    """What became of a deposit whose session could not be started, as the chain has it now."""
    start = Call(ai.router, Router.start_user_session, (), "router", str(account.address))
    (outcome,) = reads.try_read(ai.provider, start)
    if isinstance(outcome, NothingDeposited):
        transaction = failed.revert.transaction if failed.revert else None
        return DepositTaken(deposit, transaction or "")
    if isinstance(outcome, DtnError):
        return failed
    return DepositWaiting(deposit, failed.before[0].transaction)
