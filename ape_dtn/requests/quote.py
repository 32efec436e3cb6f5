"""Quotes requests: their bytes, cost and gas, before anything is signed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from statistics import median_high
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from ape_dtn.chain import rpc
from ape_dtn.chain.reads import Call
from ape_dtn.funding import methods
from ape_dtn.journal.errors import OverLimit
from ape_dtn.network import reverts
from ape_dtn.network.abi import Router
from ape_dtn.network.context import Network
from ape_dtn.network.requests import read_records
from ape_dtn.requests import budget_check, gas
from ape_dtn.requests.draft import Draft, Inputs, check_texts, to_draft
from ape_dtn.requests.gas import Gas
from ape_dtn.requests.options import QuoteOptions, check_options, request_options
from ape_dtn.requests.preflight import Preflight, read_preflight
from ape_dtn.types.amount import Amount
from ape_dtn.types.answer import CallType, Status
from ape_dtn.types.errors import DtnError, NoAccount

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.types.model import Api


# How many of the network's latest answers are read, and how many answers of the same model and call
# type count, at most, for the median size.
ANSWERS_LOOKED_AT = 256
MOST_ANSWERS = 64

# The expected size of an answer of a model without answers, by the API's output type: a page of
# text, or a picture of the size that image models return.
DEFAULT_ANSWER_BYTES = {"string": 2_048, "bytes": 1_048_576}
OTHER_ANSWER_BYTES = 2_048

BOTH = (CallType.DIRECT, CallType.IPFS)


class Basis(Enum):
    """What the expected size of an answer is based on."""

    GIVEN = "given"
    """``answer_bytes``."""
    ANSWERS = "answers"
    """The median of the latest answers of the model by the same call type."""
    DEFAULT = "default"
    """:data:`DEFAULT_ANSWER_BYTES`: the chain has no such answers."""


@dataclass(frozen=True)
class Quote:
    """The cost of one request to one model by one call type.

    Attributes:
        model: The full name of the model.
        call_type: How the answer travels.
        fee_per_byte: The fee offered for each byte of the request and of the answer.
        max_cost: The most that the answer can cost. It does not depend on the bytes: nodes state
            their sizes, and the router enforces this limit alone (``Router.respondToRequest``).
        problem: Why the request cannot be sent to the model; None if it can. Sizes and gas are
            None if it cannot.
        bytes_asked: The size of the request, as a fair node bills it.
        bytes_answered: The expected size of the answer.
        basis: What that size is based on.
        answers_seen: How many answers the median was taken of.
        gas: The gas of sending the request; None if it is not known.
        why_no_gas: Why the gas is not known.
        session_id: The session that pays; None for a new one.
        balance: The balance of that session, from which pending requests may still be charged.
        over_limit: The error of the request or session limit that would refuse the request.
    """

    model: str
    call_type: CallType
    fee_per_byte: Amount
    max_cost: Amount
    problem: DtnError | None = None
    bytes_asked: int | None = None
    bytes_answered: int | None = None
    basis: Basis | None = None
    answers_seen: int = 0
    gas: Gas | None = None
    why_no_gas: str | None = None
    session_id: int | None = None
    balance: Amount | None = None
    over_limit: OverLimit | None = None

    @property
    def expected(self) -> Amount | None:
        """The charge of a fair node for the expected bytes: at most ``max_cost``."""
        if self.bytes_asked is None or self.bytes_answered is None:
            return None
        units = (self.bytes_asked + self.bytes_answered) * self.fee_per_byte.units
        return replace(self.max_cost, units=min(units, self.max_cost.units))

    @property
    def suffices(self) -> bool | None:
        """Whether the balance covers ``max_cost``; None without a session."""
        return None if self.balance is None else self.max_cost <= self.balance

    @property
    def requests_at_max_cost(self) -> int | None:
        """How many such requests the balance covers at ``max_cost``; None without a session."""
        return None if self.balance is None else self.balance.units // self.max_cost.units


def quote(
    ai: Network,
    *values: Any,
    session: int | None = None,
    account: AccountAPI | None = None,
    **options: Unpack[QuoteOptions],
) -> list[Quote]:
    """Quote a request for several models and call types. Nothing is signed.

    It takes as many HTTP requests for many models as for one.

    Gas is estimated for the request itself. Where a session would be opened for it, the chain
    simulates the deposit of ``max_cost``, the start and the request together.

    Args:
        ai: The network.
        values: The models' inputs; see :meth:`ape_dtn.client.session.DtnSession.draft`.
        session: The session that pays; None or 0 for a new one.
        account: The account that signs; by default the session's owner, the network's account, or
            Ape's default account.
        options: The options of the request, and those of the quote; see
            :class:`~ape_dtn.requests.options.QuoteOptions`.

    Returns:
        A quote for each model and call type, in their order. Where the inputs do not fit a model,
        or no node can answer, its ``problem`` says why.

    Raises:
        InvalidName, InvalidAmount: An option is invalid.
        NobodyTrusted: No nodes are named on a public network.
        SessionNotFound, NotSessionOwner, SessionAlreadyClosed: The session cannot be used.
        ValueError: ``answer_bytes`` is negative.
    """
    named = options.get("inputs") or {}
    return quote_inputs(ai, lambda api: api.bind(values, named), session, account, options)


def quote_inputs(
    ai: Network,
    inputs_of: Callable[[Api], Inputs],
    session: int | None,
    account: AccountAPI | None,
    options: QuoteOptions,
) -> list[Quote]:
    """As :func:`quote`, for inputs that depend on the model's API.

    Args:
        ai: The network.
        inputs_of: Returns the inputs for an API, in their order. Its errors are the ``problem`` of
            the model's quotes.
        session: See :func:`quote`.
        account: See :func:`quote`.
        options: See :func:`quote`.
    """
    plain, answer_bytes = request_options(options, QuoteOptions), options.get("answer_bytes")
    check_options(plain)
    if answer_bytes is not None and answer_bytes < 0:
        raise ValueError(f"answer_bytes cannot be negative: {answer_bytes}")
    models = _unique(options.get("models") or plain.get("model") or ai.config.model)
    call_types = options.get("call_types")
    call_types = _unique(plain.get("call_type", BOTH) if call_types is None else call_types)
    session_id = session or None
    caller = str(account.address) if account else None
    preflight = read_preflight(ai, models, session_id, plain, caller)
    sizes = _sizes_of_answers(ai) if answer_bytes is None else {}
    common = Quote(
        model="",
        call_type=CallType.DIRECT,
        fee_per_byte=preflight.fee_per_byte,
        max_cost=preflight.max_cost,
        session_id=session_id,
        balance=preflight.balance,
        over_limit=_over_limit(preflight),
    )
    quotes: list[Quote] = []
    drafts: list[Draft] = []
    for name in preflight.models:
        draft = _draft(preflight, name, inputs_of)
        for call_type in call_types:
            quoted = replace(common, model=name, call_type=call_type)
            if isinstance(draft, DtnError):
                quotes.append(replace(quoted, problem=draft))
            else:
                drafts.append(replace(draft, call_type=call_type))
                quotes.append(_with_bytes(quoted, draft, answer_bytes, sizes))
    estimates = iter(_estimate_gas(preflight, account, drafts))
    return [quoted if quoted.problem else _with_gas(quoted, next(estimates)) for quoted in quotes]


def _sender(preflight: Preflight, account: AccountAPI | None) -> str | None:
    """The account that would sign, or else the session's owner; None if neither is known."""
    if account is None and preflight.owner is not None:
        return preflight.owner
    try:
        return str(preflight.ai.signer(account).address)
    except NoAccount:
        return None


def _draft(preflight: Preflight, name: str, inputs_of: Callable[[Api], Inputs]) -> Draft | DtnError:
    """The draft of the request to a model, or why it cannot be sent to it."""
    try:
        base = to_draft(preflight, name)
        inputs = inputs_of(base.model.api)
        check_texts(inputs)
        return replace(base.with_inputs(inputs), routing=preflight.routing(base.model))
    except DtnError as err:
        return err


def _sizes_of_answers(ai: Network) -> Mapping[tuple[bytes, CallType], Sequence[int]]:
    """The sizes of the latest answers by model and call type, the latest first.

    Of answers over IPFS the chain has the CID only, and no size.
    """
    length = Call(ai.router, Router.get_completed_requests_length, contract="router")
    completed = ai.read_one(length)
    page = max(completed - ANSWERS_LOOKED_AT, 0), completed
    latest = Call(ai.router, Router.get_completed_requests, page, "router")
    ids = list(dict.fromkeys(ai.read_one(latest)))
    sizes: dict[tuple[bytes, CallType], list[int]] = {}
    for record in reversed(read_records(ai, ids)):
        if record.status is Status.SUCCESS and record.call_type is CallType.DIRECT:
            found = sizes.setdefault((record.model_id, record.call_type), [])
            if len(found) < MOST_ANSWERS:
                found.append(len(record.response))
    return sizes


def _with_bytes(
    quoted: Quote,
    draft: Draft,
    answer_bytes: int | None,
    sizes: Mapping[tuple[bytes, CallType], Sequence[int]],
) -> Quote:
    """The quote with the sizes of the request and of the expected answer."""
    seen = sizes.get((draft.model.id, quoted.call_type), ())
    if answer_bytes is not None:
        size, basis = answer_bytes, Basis.GIVEN
    elif seen:
        size, basis = median_high(seen), Basis.ANSWERS
    else:
        size = DEFAULT_ANSWER_BYTES.get(draft.model.api.output, OTHER_ANSWER_BYTES)
        basis = Basis.DEFAULT
    return replace(
        quoted,
        bytes_asked=draft.bytes_asked,
        bytes_answered=size,
        basis=basis,
        answers_seen=len(seen),
    )


def _over_limit(preflight: Preflight) -> OverLimit | None:
    ai, max_cost = preflight.ai, preflight.max_cost
    limits = budget_check.limits_of(ai.config, preflight.options, max_cost.token)
    try:
        budget_check.check_request(limits, max_cost)
        budget_check.check_session(ai, limits, preflight.session_id, max_cost)
    except OverLimit as err:
        return err
    return None


def _with_gas(quoted: Quote, estimate: Gas | str) -> Quote:
    if isinstance(estimate, str):
        return replace(quoted, why_no_gas=estimate)
    return replace(quoted, gas=estimate)


def _estimate_gas(
    preflight: Preflight, account: AccountAPI | None, drafts: Sequence[Draft]
) -> list[Gas | str]:
    """The gas of sending each draft, in three HTTP requests, or why it is not known."""
    sender = _sender(preflight, account)
    if not drafts:
        return []
    if sender is None:
        return ["There is no account to sign it."] * len(drafts)
    ai, max_cost = preflight.ai, preflight.max_cost
    session_id, owner = preflight.session_id, preflight.owner
    opening: gas.Transactions = {}
    codes: gas.Codes = {}
    if session_id is None:
        try:
            signer = ai.signer(account)
            plan = methods.plan(ai, signer, max_cost, contracts=preflight.contracts)
        except DtnError as err:
            return [err.message] * len(drafts)
        owner = plan.holder.address
        opening, codes = plan.rehearsal(ai)
    first = [gas.simulation(sender, opening, codes)] if opening else []
    results = rpc.ask(ai.provider, [*gas.PRICES, *first])
    priced, simulated = results[: len(gas.PRICES)], results[len(gas.PRICES) :]
    if session_id is None:
        outcomes = gas.to_outcomes(simulated[0])
        if isinstance(outcomes, DtnError):
            return [outcomes.message] * len(drafts)
        session_id = int.from_bytes(outcomes[-1].returned, "big")
    many = [
        {
            **opening,
            "request": replace(draft, session_id=session_id, owner=owner).transaction(sender),
        }
        for draft in drafts
    ]
    about = reverts.ErrorContext(session_id=session_id, token=max_cost.token)
    prices = gas.to_prices(ai.provider.chain_id, *priced)
    estimates = gas.estimate(ai.provider, sender, many, prices, about, codes)
    return [found.message if isinstance(found, DtnError) else found for found in estimates]


def _unique(values: str | int | Sequence[Any]) -> list[Any]:
    """One value or several as a list, without duplicates."""
    return list(dict.fromkeys([values] if isinstance(values, str | int) else values))
