"""Sessions as users hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from ape_dtn.client.request import DtnRequest, to_request
from ape_dtn.funding import methods
from ape_dtn.funding.methods import Method, Plan
from ape_dtn.network.context import Network
from ape_dtn.network.errors import SessionAlreadyClosed
from ape_dtn.requests import sending
from ape_dtn.requests.draft import Draft, draft_request
from ape_dtn.requests.options import Options, QuoteOptions
from ape_dtn.requests.purchase import Keys, prepare
from ape_dtn.requests.sending import SentRequest
from ape_dtn.sessions import closing, opening, reading
from ape_dtn.sessions.errors import RequestsPending
from ape_dtn.types.amount import Amount, AmountLike
from ape_dtn.types.errors import DtnError, InvalidOption
from ape_dtn.types.prompt import Prompt
from ape_dtn.types.transactions import Receipt

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.billing.history import History
    from ape_dtn.client.watch import Watch
    from ape_dtn.requests.quote import Quote
    from ape_dtn.sessions.opening import OpenedSession


class DtnSession:
    """A session: opened with a deposit, spent on requests, closed for a refund of the rest.

    Get one with :meth:`start`, :meth:`load` or :meth:`list`. As a context manager it is closed at
    the end, also after an exception, unless a request has no answer yet.

    Everything that moves money is recorded in a journal before it is sent. With an idempotency key
    it is done once, however often it is called for, also after a crash.

    Args:
        ai: The network.
        session_id: The session's id.
        account: The account that signs.

    Attributes:
        receipt: The receipt of the transaction that opened or closed it here.
        opened_with: The balance that it was opened with, where it was opened here.
        method: How its deposit was made, where it was opened here.
        holder: Its owner on the chain, the account or its client, where it was opened or listed
            here.
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
        """Deposit tokens and open a session with them (``router.startUserSession``).

        A deposit is not tied to its sender: anybody can start a session with it. Both are therefore
        done in one transaction, by the best :class:`~ape_dtn.funding.methods.Method` available;
        on a local chain they are two.

        Args:
            amount: The deposit, as in ``"25.00 USDC"`` or ``Decimal(25)``.
            account: The account that pays. The session belongs to it or to its client contract.
            ai: The network; by default that of the connected chain.
            method: How to deposit; by default the configured method, or else the best one.
            unsafe_two_step: Deposit and start in two transactions, and accept that on a public
                network anybody can take the deposit in between.
            idempotency_key: With it, one session is opened, however often this is called.

        Raises:
            InvalidAmount: The amount is not an amount of the fee token.
            InsufficientFunds: The account has less.
            MethodUnavailable: The method, or every safe one, is unavailable.
            UnsafeDeposit: The network is public, and the risk was not accepted.
            DepositTaken: Somebody else started a session with the deposit.
            DepositWaiting: The deposit was sent, but the start failed; see :meth:`claim`.
            KeyReused: The key belongs to another operation.
        """
        ai = ai or Network()
        opened = opening.opened_before(ai, account, amount, idempotency_key)
        if opened is None:
            plan = methods.plan(ai, account, amount, method, unsafe_two_step)
            opened = opening.open_planned(ai, account, plan, idempotency_key)
        return cls.opened(ai, account, opened)

    @staticmethod
    def plan(
        amount: AmountLike,
        account: AccountAPI,
        ai: Network | None = None,
        *,
        method: Method | str | None = None,
        unsafe_two_step: bool = False,
    ) -> Plan:
        """Plan how :meth:`start` would open a session, with all its checks. Nothing is signed.

        Raises:
            DtnError: As :meth:`start` does.
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
        """Open a session as planned by :meth:`plan`; see :meth:`start`."""
        ai = ai or Network()
        opened = opening.open_planned(ai, account, planned, idempotency_key)
        return cls.opened(ai, account, opened)

    @classmethod
    def claim(
        cls,
        account: AccountAPI,
        ai: Network | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> DtnSession:
        """Open a session with deposits that were sent before, from any sender.

        It finishes a start that was interrupted between its two transactions.

        Raises:
            NothingDeposited: No deposit waits at the fee target.
        """
        ai = ai or Network()
        return cls.opened(ai, account, opening.claim(ai, account, idempotency_key))

    @classmethod
    def opened(cls, ai: Network, account: AccountAPI, opened: OpenedSession) -> DtnSession:
        """A session that :mod:`ape_dtn.sessions.opening` has opened."""
        session = cls(ai, opened.id, account)
        session.receipt, session.opened_with = opened.receipt, opened.balance
        session.method, session.holder = opened.method, opened.owner
        return session

    @classmethod
    def load(
        cls, session_id: int, account: AccountAPI | None = None, ai: Network | None = None
    ) -> DtnSession:
        """An open session by its id.

        Args:
            session_id: The session's id.
            account: The account that signs; None to read only.
            ai: The network; by default that of the connected chain.

        Raises:
            SessionAlreadyClosed: It was closed before.
            SessionNotFound: There is no session of this id.
        """
        session = cls(ai or Network(), session_id, account)
        reading.read_session(session.ai, session_id)
        return session

    @classmethod
    def list(
        cls, owner: AccountAPI | str, ai: Network | None = None
    ) -> Sequence[tuple[DtnSession, Amount]]:
        """The open sessions of an owner and of its client, with their balances.

        It takes two HTTP requests for any number of sessions.

        Args:
            owner: The account, which then signs for them, or an address.
            ai: The network; by default that of the connected chain.
        """
        ai = ai or Network()
        address, account = (owner, None) if isinstance(owner, str) else (str(owner.address), owner)
        listed = []
        for record in reading.list_sessions(ai, address):
            session = cls(ai, record.id, account)
            session.holder = record.owner
            listed.append((session, record.balance))
        return listed

    def __repr__(self) -> str:
        return f"<DtnSession {self.id} at {self.ai.router}>"

    @property
    def owner(self) -> str:
        """The owner on the chain: the account that opened it, or that account's client.

        Raises:
            SessionNotFound: There is no such session, or it is closed.
        """
        return self._record().owner

    @property
    def balance(self) -> Amount:
        """What is left of the deposit.

        Raises:
            SessionNotFound: There is no such session, or it is closed.
        """
        return self._record().balance

    @property
    def is_open(self) -> bool:
        """Whether it exists and is not closed."""
        return reading.is_open(self.ai, self.id)

    def draft(
        self,
        *values: Any,
        account: AccountAPI | None = None,
        **options: Unpack[Options],
    ) -> Draft:
        """Check a request against the chain without sending it; :meth:`send` sends it.

        Args:
            values: The model's inputs. For text models: one line, a list of lines, or a
                :class:`~ape_dtn.types.prompt.Prompt`.
            account: The account that signs; by default the session's account.
            options: See :class:`~ape_dtn.requests.options.Options`.

        Returns:
            The draft. Its ``max_cost`` is the most that the answer can cost.

        Raises:
            DtnError: As :func:`ape_dtn.requests.draft.draft_request` does.
        """
        return draft_request(self.ai, self._signer(account), values, self.id, options)

    def request(
        self,
        *values: Any,
        account: AccountAPI | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> DtnRequest:
        """Check a request and send it.

        Args:
            values: See :meth:`draft`.
            account: See :meth:`draft`.
            idempotency_key: With it, one request is sent, however often this is called.
            options: See :meth:`draft`.

        Returns:
            The request; its ``wait()`` returns the answer.

        Raises:
            KeyReused: The key belongs to another operation.
            DtnError: As :meth:`draft` does.
        """
        keys = Keys.of_request(idempotency_key)
        purchase = prepare(self.ai, self._signer(account), [values], options, self.id, keys)
        return to_request(self.ai, purchase.send())

    def request_many(
        self,
        many: Sequence[Any],
        account: AccountAPI | None = None,
        on_sent: Callable[[int, DtnRequest | DtnError], None] = lambda _place, _sent: None,
        idempotency_key: str | None = None,
        **options: Unpack[Options],
    ) -> Sequence[DtnRequest | DtnError]:
        """Check many requests and send them, without waiting for one before the next.

        All are checked before the first is sent, and the session must have what they may cost
        together.

        Args:
            many: The inputs of each request: a prompt, or a tuple of all inputs of the model.
            account: The account that signs; by default the session's account.
            on_sent: Called with the position of each request that is mined, or has failed.
            idempotency_key: With it, each request is sent once, by its position.
            options: The options of all requests; see :class:`~ape_dtn.requests.options.Options`.

        Returns:
            The requests in their order, with an error in place of each that failed.

        Raises:
            DtnError: A request is invalid. None was sent.
        """
        if isinstance(many, str | Prompt):
            raise InvalidOption("many", "it is a single prompt; give a list")
        inputs = [one if isinstance(one, tuple) else (one,) for one in many]
        keys = Keys.of_requests(idempotency_key, len(inputs))
        purchase = prepare(self.ai, self._signer(account), inputs, options, self.id, keys)
        requests: dict[int, DtnRequest | DtnError] = {}

        def report(place: int, sent: SentRequest | DtnError) -> None:
            requests[place] = sent if isinstance(sent, DtnError) else to_request(self.ai, sent)
            on_sent(place, requests[place])

        purchase.send_each(report)
        return [requests[place] for place in range(len(inputs))]

    def send(self, draft: Draft, idempotency_key: str | None = None) -> DtnRequest:
        """Send a request that :meth:`draft` has checked."""
        owner = draft.owner or self.holder or self.owner
        return to_request(self.ai, sending.send(draft.on(self.id, owner), idempotency_key))

    def quote(self, *values: Any, **options: Unpack[QuoteOptions]) -> Sequence[Quote]:
        """Quote a request on this session; see :func:`ape_dtn.requests.quote.quote`."""
        from ape_dtn.requests.quote import quote

        return quote(self.ai, *values, session=self.id, account=self.account, **options)

    def history(self, contents: Mapping[str, bytes] | None = None) -> History:
        """All requests, answers and charges; see :func:`ape_dtn.billing.history.history`.

        Args:
            contents: The contents of answers over IPFS, by their CIDs. Without them, their charges
                cannot be audited: the chain does not have their sizes.
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
        """Iterate over the answers as they come; see :class:`ape_dtn.client.watch.Watch`."""
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
        """Close the session (``router.closeUserSession``).

        Args:
            account: The account that signs; by default the session's account.
            force: Close it also while requests have no answer, which will then never come.
            idempotency_key: With it, further calls return the same refund.

        Returns:
            The refund, which the account has received.

        Raises:
            RequestsPending: Requests have no answer yet.
            SessionAlreadyClosed: It was closed before.
            NotSessionOwner: It belongs neither to the account nor to its client.
            SessionNotFound: There is no session of this id.
            KeyReused: The key belongs to another operation.
        """
        signer = self._signer(account)
        refund, receipt = closing.close(self.ai, signer, self.id, force=force, key=idempotency_key)
        self.receipt = receipt or self.receipt
        return refund

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
            logger.warning(f"Session {self.id} stays open. {err}")
        except SessionAlreadyClosed:
            pass
        except DtnError as err:
            if raised is None:
                raise
            # Let the exception of the body through, and report that money is still in the session.
            logger.error(f"Session {self.id} is still open: {err} Close it with session.close().")

    def _record(self) -> reading.SessionRecord:
        session, _ = reading.read_session(self.ai, self.id)
        return session
