"""A purchase: requests, from their preparation to their answers.

The command line and the client objects buy answers in the same steps: :func:`prepare` checks
everything and signs nothing, the purchase then shows its cost, and :meth:`Purchase.execute` pays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ape_dtn.answers.waiting import wait_for
from ape_dtn.funding import methods
from ape_dtn.journal import executor
from ape_dtn.network.errors import InsufficientFunds
from ape_dtn.network.requests import read_records
from ape_dtn.requests import sending
from ape_dtn.requests.draft import draft_requests, fingerprint
from ape_dtn.requests.sending import SentRequest
from ape_dtn.sessions import closing, opening
from ape_dtn.types.answer import Status
from ape_dtn.types.errors import DtnError

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.funding.methods import Method, Plan
    from ape_dtn.network.context import Network
    from ape_dtn.requests.draft import Draft, Inputs
    from ape_dtn.requests.options import Options
    from ape_dtn.sessions.opening import OpenedSession
    from ape_dtn.types.amount import Amount, AmountLike
    from ape_dtn.types.answer import Answer


@dataclass(frozen=True)
class Keys:
    """The idempotency keys of the steps of a purchase.

    The journal keeps them: with other suffixes, a step that an earlier version has paid for would
    be paid for again.

    Attributes:
        start: The key of opening the session.
        requests: The key of each request.
        close: The key of closing the session.
    """

    start: str | None
    requests: tuple[str | None, ...]
    close: str | None

    @classmethod
    def of_steps(cls, key: str | None) -> Keys:
        """The keys of opening a session, sending one request and closing the session."""
        if key is None:
            return cls(None, (None,), None)
        executor.validate_key(key)
        return cls(f"{key}/start", (f"{key}/request",), f"{key}/close")

    @classmethod
    def of_request(cls, key: str | None) -> Keys:
        """The keys of one request on a session that is open."""
        return cls(None, (key,), None)

    @classmethod
    def of_requests(cls, key: str | None, count: int) -> Keys:
        """The keys of many requests on a session that is open."""
        if key is None:
            return cls(None, (None,) * count, None)
        executor.validate_key(key)
        return cls(None, tuple(f"{key}#{place}" for place in range(count)), None)


@dataclass(frozen=True)
class NewSession:
    """A session to be opened for a purchase.

    Attributes:
        deposit: The deposit; by default the ``max_cost`` of the request.
        method: How to deposit; by default the configured method, or else the best one.
        unsafe_two_step: Accept that anybody can take the deposit before the session is started.
    """

    deposit: AmountLike | None = None
    method: Method | str | None = None
    unsafe_two_step: bool = False


@dataclass
class Purchase:
    """Requests on one session, prepared by :func:`prepare`.

    Attributes:
        ai: The network.
        account: The account that signs.
        keys: The idempotency keys.
        session_id: The session that pays; None until it is opened.
        opened: The session, where this purchase opened it now or before under its key.
        plan: How the session will be opened; None if it is open.
        drafts: The requests to be sent, by their positions.
        sent: The requests that were sent, by their positions, or the errors in their place.
    """

    ai: Network
    account: AccountAPI
    keys: Keys
    session_id: int | None = None
    opened: OpenedSession | None = None
    plan: Plan | None = None
    drafts: dict[int, Draft] = field(default_factory=dict)
    sent: dict[int, SentRequest | DtnError] = field(default_factory=dict)

    @property
    def max_cost(self) -> Amount:
        """The most that all requests to be sent can cost together."""
        costs = [draft.total_max_cost for draft in self.drafts.values()]
        return costs[0].token.units(sum(cost.units for cost in costs))

    @property
    def funds(self) -> Amount:
        """What the session has, or will be opened with, before the requests to be sent."""
        first = next(iter(self.drafts.values()))
        funds = self.plan.deposit if self.plan else first.balance
        assert funds is not None, "a session that is open has a balance"
        return funds

    def open(self) -> None:
        """Open the session as planned, if it is not open yet."""
        if self.plan is None:
            return
        opened = opening.open_planned(self.ai, self.account, self.plan, self.keys.start)
        self.plan, self.opened, self.session_id = None, opened, opened.id
        self.drafts = {
            place: draft.on(opened.id, opened.owner or str(self.account.address))
            for place, draft in self.drafts.items()
        }

    def send(self) -> SentRequest:
        """Send the only request, unless it was sent before under its key."""
        if 0 in self.drafts:
            self.sent[0] = sending.send(self.drafts.pop(0), self.keys.requests[0])
        request = self.sent[0]
        assert isinstance(request, SentRequest)
        return request

    def send_each(
        self, on_sent: Callable[[int, SentRequest | DtnError], None] = lambda _place, _sent: None
    ) -> list[SentRequest | DtnError]:
        """Send the requests without waiting for one before the next.

        Args:
            on_sent: Called with the position of each request that is mined, or has failed.

        Returns:
            The requests in their order, with an error in place of each that failed.
        """
        for place, request in self.sent.items():
            on_sent(place, request)
        places, drafts = list(self.drafts), list(self.drafts.values())

        def on_result(index: int, result: SentRequest | DtnError) -> None:
            self.drafts.pop(places[index])
            self.sent[places[index]] = result
            on_sent(places[index], result)

        sending.send_each(drafts, [self.keys.requests[place] for place in places], on_result)
        return [self.sent[place] for place in sorted(self.sent)]

    def execute(self) -> SentRequest:
        """Open the session where it is not open, and send the only request.

        If the request fails after the session was opened, the error names the session.
        """
        is_new = self.plan is not None
        self.open()
        try:
            return self.send()
        except DtnError as err:
            if is_new and self.opened:
                err.fields.setdefault("session_id", self.opened.id)
                opened = f"Session {self.opened.id} is open with {self.opened.balance}."
                err.add_context(opened)
            raise

    def wait(
        self, timeout: float = 120, confirmations: int | None = None
    ) -> list[Answer | DtnError]:
        """Wait for the answers; see :func:`ape_dtn.answers.waiting.wait_for`.

        Returns:
            The answers in the order of the requests, with an error in place of each missing one.
        """
        sent = [self.sent[place] for place in sorted(self.sent)]
        requests = [result for result in sent if isinstance(result, SentRequest)]
        apis = {request.request_id: request.api for request in requests}
        answers = wait_for(self.ai, apis, timeout, confirmations) if apis else {}
        return [
            result if isinstance(result, DtnError) else answers[result.request_id]
            for result in sent
        ]

    def is_answered(self) -> bool:
        """Whether all requests that were sent have an answer, or an error of their node.

        Closing the session then loses nothing.
        """
        sent = self.sent.values()
        ids = [result.request_id for result in sent if isinstance(result, SentRequest)]
        return all(record.status is not Status.PENDING for record in read_records(self.ai, ids))

    def close(self) -> Amount:
        """Close the session and return the refund."""
        assert self.session_id is not None, "the session is not open"
        key = self.keys.close
        refund, _ = closing.close(self.ai, self.account, self.session_id, key=key)
        return refund


def prepare(
    ai: Network,
    account: AccountAPI,
    requests: Sequence[Inputs],
    options: Options,
    payer: int | NewSession,
    keys: Keys,
) -> Purchase:
    """Prepare a purchase: find what was done before under its keys, and check the rest.

    Nothing new is signed. A step that was interrupted under its key is finished first.

    Args:
        ai: The network.
        account: The account that signs.
        requests: The inputs of each request. A new session takes one request.
        options: The options of all requests.
        payer: The session that pays, or how to open one.
        keys: The idempotency keys.

    Raises:
        KeyReused: A key belongs to another operation.
        InsufficientFunds: The deposit or the balance is less than the requests may cost.
        DtnError: As :func:`ape_dtn.requests.draft.draft_requests` and
            :func:`ape_dtn.funding.methods.plan` do.
    """
    purchase = Purchase(ai, account, keys)
    if isinstance(payer, NewSession):
        amount = payer.deposit or options.get("max_cost") or ai.config.max_cost
        purchase.opened = opening.opened_before(ai, account, amount, keys.start)
        purchase.session_id = purchase.opened.id if purchase.opened else None
    else:
        purchase.session_id = payer
    _find_sent(purchase, requests, options)
    places = [place for place in range(len(requests)) if place not in purchase.sent]
    if places:
        inputs = [requests[place] for place in places]
        drafts = draft_requests(ai, account, inputs, purchase.session_id, options)
        purchase.drafts = dict(zip(places, drafts, strict=True))
    if isinstance(payer, NewSession) and purchase.session_id is None:
        purchase.plan = _plan(ai, account, payer, purchase.drafts[0].max_cost)
    return purchase


def _find_sent(purchase: Purchase, requests: Sequence[Inputs], options: Options) -> None:
    """Adds the requests that were sent before under their keys."""
    ai, account = purchase.ai, purchase.account
    for place, (inputs, key) in enumerate(zip(requests, purchase.keys.requests, strict=True)):
        if key is None:
            continue
        if purchase.session_id is None:
            executor.check_key_unused(ai, account, key)
            continue
        request_hash = fingerprint(inputs, options)
        if sent := sending.sent_before(ai, account, purchase.session_id, request_hash, key):
            purchase.sent[place] = sent


def _plan(ai: Network, account: AccountAPI, session: NewSession, max_cost: Amount) -> Plan:
    deposit = max_cost if session.deposit is None else max_cost.token.amount(session.deposit)
    if deposit < max_cost:
        raise InsufficientFunds("the new session", max_cost, deposit)
    return methods.plan(ai, account, deposit, session.method, session.unsafe_two_step)
