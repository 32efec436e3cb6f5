"""What a request would cost, in the fee token and the chain's coin, before anything is signed."""

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
from ape_dtn.requests import budgets, gas
from ape_dtn.requests.draft import Draft, Inputs, check_texts, to_draft
from ape_dtn.requests.gas import Gas
from ape_dtn.requests.options import Options, check_options
from ape_dtn.requests.preflight import Preflight, read_preflight
from ape_dtn.types.amount import Amount
from ape_dtn.types.answer import CallType, Status
from ape_dtn.types.errors import DtnError, NoAccount

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.types.model import Api


# How many of the network's latest answers are looked at, and of how many of them, at most, of the
# same model and call type, the middle size is expected to come again.
ANSWERS_LOOKED_AT = 256
MOST_ANSWERS = 64

# What is expected of a model that nobody has asked before, by the type that it answers with: a page
# of text, or a picture of the size that image models make.
DEFAULT_ANSWER_BYTES = {"string": 2_048, "bytes": 1_048_576}
OTHER_ANSWER_BYTES = 2_048

BOTH = (CallType.DIRECT, CallType.IPFS)


class Basis(Enum):
    """Where the size of an answer that is expected comes from."""

    GIVEN = "given"
    ANSWERS = "answers"
    """The middle size of the latest answers of the model, by the same call type."""
    DEFAULT = "default"
    """:data:`DEFAULT_ANSWER_BYTES`: nothing better is known."""


@dataclass(frozen=True)
class Quote:
    """What one request of one model would cost, answered in one way.

    Attributes:
        model: Full name of the model.
        call_type: How the answer would travel.
        fee_per_byte: What is offered for each byte, asked and answered.
        max_cost: The most that the answer can cost. It does not depend on the bytes: nodes state
            their sizes, and the router enforces this cap alone (``Router.respondToRequest``).
        problem: Why the model cannot be asked this, if it cannot. Sizes and gas are None then.
        bytes_asked: The bytes that a fair node bills the request itself for.
        bytes_answered: The bytes that are expected to be answered.
        basis: Where that number comes from.
        answers_seen: Of how many answers it is the middle size.
        gas: What sending it uses and costs in the chain's coin; None where nobody can tell.
        why_no_gas: Why nobody can tell.
        session_id: The session that would pay; None for one that is yet to be started.
        balance: What that session has. Its open requests may still take of it.
        over_limit: The limit that would refuse it, if one would.
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
        """What a fair node charges for the expected bytes: at most ``max_cost``."""
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

    def as_dict(self) -> dict[str, Any]:
        """The quote as plain data, ready for JSON."""
        return {
            "model": self.model,
            "call_type": self.call_type.name.lower(),
            "problem": self.problem.as_dict() if self.problem else None,
            "bytes_asked": self.bytes_asked,
            "bytes_answered": self.bytes_answered,
            "basis": self.basis.value if self.basis else None,
            "answers_seen": self.answers_seen,
            "fee_per_byte": self.fee_per_byte.as_dict(),
            "expected": self.expected.as_dict() if self.expected is not None else None,
            "max_cost": self.max_cost.as_dict(),
            "gas": self.gas.as_dict() if self.gas else None,
            "why_no_gas": self.why_no_gas,
            "session": self.session_id,
            "balance": self.balance.as_dict() if self.balance is not None else None,
            "suffices": self.suffices,
            "requests_at_max_cost": self.requests_at_max_cost,
            "over_limit": self.over_limit.as_dict() if self.over_limit else None,
        }


def quote(
    ai: Network,
    *values: Any,
    models: str | Sequence[str] | None = None,
    call_types: CallType | Sequence[CallType] | None = None,
    session: int | None = None,
    account: AccountAPI | None = None,
    answer_bytes: int | None = None,
    **options: Unpack[Options],
) -> list[Quote]:
    """Says what a request would cost, of each model and by each call type. Nothing is signed.

    It takes as many HTTP requests for many models as for one.

    Gas is estimated of the very request. Where a session is yet to be started for it, the chain
    simulates the deposit of what the answer may cost, the start and the request together.

    Args:
        ai: The network.
        values: What the models take; see :meth:`ape_dtn.client.session.DtnSession.draft`.
        models: Full names of the models; by default the option ``model``, or the configured one.
        call_types: How the answer would travel; by default the option ``call_type``, or both.
        session: The session that would pay; None or 0 for one that is yet to be started.
        account: Who would sign; by default the session's owner, else the network's account,
            else Ape's default.
        answer_bytes: How many bytes the answer will have, as it is billed. By default the middle
            size of the latest answers of the model by the same call type, as far as the chain has
            them; else :data:`DEFAULT_ANSWER_BYTES`. Over IPFS the chain never has them.
        options: What the request itself would be given; see
            :class:`~ape_dtn.requests.draft.Options`.

    Returns:
        A quote of each model, in their order, by each call type. One for a model that does not fit
        the inputs, or that nobody could answer for, says so in its ``problem``.

    Raises:
        InvalidName, InvalidAmount: Something given is wrong besides the inputs.
        NobodyTrusted: No nodes are named on a public network.
        SessionNotFound, NotSessionOwner, SessionAlreadyClosed: The session cannot be used.
        ValueError: ``answer_bytes`` is negative.
    """
    named = options.get("inputs") or {}
    return quote_inputs(
        ai,
        lambda api: api.bind(values, named),
        models,
        call_types,
        session,
        account,
        answer_bytes,
        options,
    )


def quote_inputs(
    ai: Network,
    inputs_of: Callable[[Api], Inputs],
    models: str | Sequence[str] | None,
    call_types: CallType | Sequence[CallType] | None,
    session: int | None,
    account: AccountAPI | None,
    answer_bytes: int | None,
    options: Options,
) -> list[Quote]:
    """As :func:`quote`, for inputs that can only be read once a model's API is known.

    ``inputs_of`` gives a model's inputs in their order. What it raises is that model's problem.
    """
    check_options(options)
    if answer_bytes is not None and answer_bytes < 0:
        raise ValueError(f"no answer has {answer_bytes} bytes")
    names = _listed(models or options.get("model") or ai.config.model)
    kinds = _listed(options.get("call_type", BOTH) if call_types is None else call_types)
    session_id = session or None
    terms = read_preflight(
        ai, names, session_id, options, str(account.address) if account else None
    )
    sizes = _sizes_of_answers(ai) if answer_bytes is None else {}
    common = Quote(
        model="",
        call_type=CallType.DIRECT,
        fee_per_byte=terms.fee_per_byte,
        max_cost=terms.max_cost,
        session_id=session_id,
        balance=terms.balance,
        over_limit=_over_limit(terms),
    )
    quotes: list[Quote] = []
    drafts: list[Draft] = []
    for name in terms.models:
        drafted = _drafted(terms, name, inputs_of)
        for kind in kinds:
            one = replace(common, model=name, call_type=kind)
            if isinstance(drafted, DtnError):
                quotes.append(replace(one, problem=drafted))
            else:
                drafts.append(replace(drafted, call_type=kind))
                quotes.append(_with_bytes(one, drafted, answer_bytes, sizes))
    gases = iter(_gases(terms, account, drafts))
    return [each if each.problem else _with_gas(each, next(gases)) for each in quotes]


def _sender(terms: Preflight, account: AccountAPI | None) -> str | None:
    """Who would sign: who is named, or the session's owner; None where nobody is known."""
    if account is None and terms.owner is not None:
        return terms.owner
    try:
        return str(terms.ai.signer(account).address)
    except NoAccount:
        return None


def _drafted(terms: Preflight, name: str, inputs_of: Callable[[Api], Inputs]) -> Draft | DtnError:
    """What would be sent to a model, or why it cannot be asked."""
    try:
        base = to_draft(terms, name)
        inputs = inputs_of(base.model.api)
        check_texts(inputs)
        return replace(base.with_inputs(inputs), routing=terms.routing(base.model))
    except DtnError as err:
        return err


def _sizes_of_answers(ai: Network) -> Mapping[tuple[bytes, CallType], Sequence[int]]:
    """The sizes of the latest answers of each model by each call type, the latest first.

    Over IPFS the chain has the content's identifier alone, and so no size.
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
    one: Quote,
    draft: Draft,
    given: int | None,
    sizes: Mapping[tuple[bytes, CallType], Sequence[int]],
) -> Quote:
    """The quote with what is asked, and what is expected to be answered."""
    seen = sizes.get((draft.model.id, one.call_type), ())
    if given is not None:
        size, basis = given, Basis.GIVEN
    elif seen:
        size, basis = median_high(seen), Basis.ANSWERS
    else:
        size = DEFAULT_ANSWER_BYTES.get(draft.model.api.output, OTHER_ANSWER_BYTES)
        basis = Basis.DEFAULT
    return replace(
        one,
        bytes_asked=draft.bytes_asked,
        bytes_answered=size,
        basis=basis,
        answers_seen=len(seen),
    )


def _over_limit(terms: Preflight) -> OverLimit | None:
    """The limit that would refuse it, if one would."""
    ai, most = terms.ai, terms.max_cost
    try:
        budgets.check(ai, budgets.limits_of(ai.config, terms.options, most), terms.session_id, most)
    except OverLimit as err:
        return err
    return None


def _with_gas(one: Quote, found: Gas | str) -> Quote:
    if isinstance(found, str):
        return replace(one, why_no_gas=found)
    return replace(one, gas=found)


def _gases(
    terms: Preflight, account: AccountAPI | None, drafts: Sequence[Draft]
) -> list[Gas | str]:
    """What sending each draft would use, in three HTTP requests; or why nobody can tell."""
    sender = _sender(terms, account)
    if not drafts:
        return []
    if sender is None:
        return ["No account is named that would sign it."] * len(drafts)
    ai, most, session_id, owner = terms.ai, terms.max_cost, terms.session_id, terms.owner
    opening: gas.Transactions = {}
    codes: gas.Codes = {}
    if session_id is None:
        try:
            plan = methods.plan(ai, ai.signer(account), most, contracts=terms.contracts)
        except DtnError as err:
            return [err.message] * len(drafts)
        owner = plan.holder.address
        opening, codes = plan.rehearsal(ai)
    first = [gas.simulation(sender, opening, codes)] if opening else []
    block, tip, *opened = rpc.ask(ai.provider, [*gas.PRICES, *first])
    if session_id is None:
        outcomes = gas.to_outcomes(opened[0])
        if isinstance(outcomes, DtnError):
            return [outcomes.message] * len(drafts)
        session_id = int.from_bytes(outcomes[-1].returned, "big")
    many = [
        {
            **opening,
            "request": replace(each, session_id=session_id, owner=owner).transaction(sender),
        }
        for each in drafts
    ]
    about = reverts.ErrorContext(session_id=session_id, token=most.token)
    found = gas.estimate(ai.provider, sender, many, gas.to_prices(block, tip), about, codes)
    return [each.message if isinstance(each, DtnError) else each for each in found]


def _listed(values: str | int | Sequence[Any]) -> list[Any]:
    """One or many, each once."""
    return list(dict.fromkeys([values] if isinstance(values, str | int) else values))
