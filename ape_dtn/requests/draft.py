"""Checks requests before they are sent, and drafts them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from eth_utils import keccak, to_checksum_address

from ape_dtn.journal import executor
from ape_dtn.journal.operation import from_transaction
from ape_dtn.journal.store import Intent, Spending
from ape_dtn.network.context import Network
from ape_dtn.network.errors import InsufficientFunds, ModelNotFound
from ape_dtn.network.registry import Node
from ape_dtn.network.session_owner import SessionOwner
from ape_dtn.requests import budget_check
from ape_dtn.requests.errors import FeeTooHigh
from ape_dtn.requests.options import Callback, Options, check_options
from ape_dtn.requests.preflight import Preflight, read_preflight
from ape_dtn.requests.routing import Routing
from ape_dtn.sessions.operations import REQUEST
from ape_dtn.types import prompt
from ape_dtn.types.amount import Amount
from ape_dtn.types.answer import CallType
from ape_dtn.types.budgets import BUDGETS, Limit
from ape_dtn.types.errors import (
    DtnError,
    EmptyPrompt,
    InvalidCall,
    InvalidOption,
    InvalidPrompt,
    NoAccount,
)
from ape_dtn.types.ids import to_address
from ape_dtn.types.model import Api, Model
from ape_dtn.types.prompt import Prompt
from ape_dtn.types.transactions import Transaction

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI


NO_ADDRESS = "0x" + "00" * 20

# How many of the last bytes of a request's user are random.
RANDOM_BYTES = 8

_LIMITS = {budget.name for budget in BUDGETS}

# The inputs of one request, in the order of the API's specs.
Inputs = Sequence[Any]


@dataclass(frozen=True)
class Draft:
    """A request that was checked against the chain and can be sent.

    Attributes:
        ai: The network.
        session_id: The session that pays; None until it is opened.
        account: The account that signs; None for a quote.
        owner: The session's owner on the chain, the account or its client; None until the session
            is opened.
        model: The model.
        routing: The nodes and namespaces that may answer.
        call: The inputs, encoded by the model's API.
        extra_params: The values of the prompt's placeholders, encoded by index.
        call_type: How the answer travels.
        fee_per_byte: The fee offered for each byte of the request and of the answer.
        max_cost: The most that one answer can cost. Nodes state sizes themselves: this limits the
            charge, not the number of bytes.
        balance: The session's balance; None until the session is opened.
        user: The user that the request names; None for a random one.
        callback: The contract that is called with the answer.
        fingerprint: A hash of the inputs and options; see :func:`fingerprint`.
        limits: The limits of the budgets that the journal checks when it records the request.
    """

    ai: Network
    session_id: int | None
    account: AccountAPI | None
    owner: str | None
    model: Model
    routing: Routing
    call: bytes
    extra_params: bytes
    call_type: CallType
    fee_per_byte: Amount
    max_cost: Amount
    balance: Amount | None
    user: str | None
    callback: Callback | None
    fingerprint: str = ""
    limits: tuple[Limit, ...] = ()

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that may answer."""
        return self.routing.nodes

    @property
    def total_max_cost(self) -> Amount:
        """The most that the request can cost: ``max_cost`` for each answer that it wants."""
        return self.max_cost.token.units(self.max_cost.units * max(self.routing.redundancy, 1))

    @property
    def bytes_asked(self) -> int:
        """The size of the request, as a fair node bills it."""
        return len(self.call) + len(self.extra_params)

    @property
    def signer(self) -> AccountAPI:
        """The account that signs; drafts of a quote have none."""
        if self.account is None:
            raise NoAccount
        return self.account

    def on(self, session_id: int, owner: str) -> Draft:
        """The draft for a session, with the session's owner on the chain."""
        return replace(self, session_id=session_id, owner=owner)

    def with_inputs(self, values: Sequence[Any]) -> Draft:
        """The draft with its inputs, in the order of the API's specs.

        Raises:
            EmptyPrompt, InvalidPrompt, InvalidCall, FeeTooHigh: An input is invalid.
        """
        api, fee = self.model.api, self.fee_per_byte
        placeholders = _placeholder_values(values)
        if len(placeholders) > 1:
            raise InvalidPrompt(
                "only one of several prompts can have values, because they share the indices"
            )
        plain = [_to_abi(api, kind, value) for kind, value in zip(api.inputs, values, strict=True)]
        if any("string" in kind for kind in api.inputs) and not any(prompt.texts_of(plain)):
            raise EmptyPrompt
        texts = prompt.texts_of(plain)
        extra_params = prompt.encode_values(texts, placeholders[0] if placeholders else ())
        filled = replace(self, call=api.encode(*plain), extra_params=extra_params)
        if (cost := fee.token.units(filled.bytes_asked * fee.units)) > self.max_cost:
            raise FeeTooHigh(fee, cost, self.max_cost)
        return filled

    def transaction(self, sender: str | None = None) -> Transaction:
        """The call of ``router.request``, each time with another random user if none is named."""
        callback = self.callback
        assert self.session_id is not None, "the session is not open"
        signer = sender or str(self.signer.address)
        arguments = (
            self.session_id,
            self.model.id,
            self.routing.encode(),
            (
                self.call,
                self.extra_params,
                self.call_type,
                self.fee_per_byte.units,
                self.fee_per_byte.units,
                self.max_cost.units,
            ),
            callback.encode() if callback else (b"\0" * 4, b"\0" * 4, NO_ADDRESS),
        )
        return SessionOwner(signer, self.owner or signer).request(
            self.ai.router,
            arguments,
            self.user or randomized_user(signer),
            callback.gas if callback else 0,
        )

    def intent(self, key: str | None = None) -> Intent:
        """The journal's intent to send this request. Its user identifies its event on the chain."""
        assert self.session_id is not None, "the session is not open"
        user = self.user or randomized_user(str(self.signer.address))
        transaction = replace(self, user=user).transaction()
        return Intent(
            REQUEST.kind,
            idempotency_payload(self.session_id, self.fingerprint),
            {
                "transaction": from_transaction(transaction),
                "model": self.model.name,
                "user": user,
            },
            key,
            self.spending(self.total_max_cost),
        )

    def spending(self, max_cost: Amount) -> Spending:
        """What the journal counts, for this request or for several like it together."""
        return Spending(max_cost, str(self.session_id), self.model.name, self.limits)


def fingerprint(inputs: Inputs, options: Mapping[str, Any]) -> str:
    """A hash of the inputs and options of a request, before names are looked up.

    Limits are left out: they do not change the request, and may be raised to send it after all.
    The journal keeps it: another way to compute it would break the keys of earlier versions.
    """
    given = sorted(
        (name, value)
        for name, value in options.items()
        if value not in (None, (), "") and name not in _LIMITS
    )
    return "0x" + keccak(text=repr((list(inputs), given))).hex()


def idempotency_payload(session_id: int, request_hash: str) -> dict[str, str]:
    """The idempotency payload of a request: another session or request needs another key."""
    return {"session": str(session_id), "asked": request_hash}


def draft_request(
    ai: Network,
    account: AccountAPI,
    inputs: Inputs,
    session_id: int | None,
    options: Options,
) -> Draft:
    """Check a request against the chain, and draft it. Nothing is signed.

    It takes two HTTP requests, and a third where no nodes are named.

    Args:
        ai: The network.
        account: The account that signs.
        inputs: The model's inputs, in the order of its specs. For text models: one line, a list of
            lines, or a :class:`~ape_dtn.types.prompt.Prompt`.
        session_id: The session that pays; None before it is opened.
        options: The options of the request.

    Raises:
        EmptyPrompt, InvalidPrompt, InvalidCall, InvalidName, InvalidAmount, FeeTooHigh: An input or
            an option is invalid.
        NobodyTrusted: No nodes are named on a public network.
        SessionNotFound, NotSessionOwner, SessionAlreadyClosed: The session cannot be used.
        ModelNotFound, NodeNotFound, NodeUnavailable: No node can answer.
        CannotComplete: No answer could complete the request.
        InsufficientFunds: The session has less than the request may cost.
        OverLimit: The request may cost more than a limit allows.
    """
    (drafted,) = draft_requests(ai, account, [inputs], session_id, options)
    return drafted


def draft_requests(
    ai: Network,
    account: AccountAPI,
    requests: Sequence[Inputs],
    session_id: int | None,
    options: Options,
) -> list[Draft]:
    """Check and draft requests that share their options, in as many HTTP requests as for one.

    The session must have what all of them may cost together.

    Raises:
        DtnError: As :func:`draft_request` does, for the first request that is invalid.
    """
    check_options(options)
    named_inputs = options.get("inputs") or {}
    count = len(requests)
    if count > 1 and options.get("user"):
        raise InvalidOption(
            "user", "requests of one block with the same user would have the same id"
        )
    for place, inputs in enumerate(requests):
        with _at_position(place, count):
            check_texts([*inputs, *named_inputs.values()])
    name = options.get("model") or ai.config.model
    signer = str(account.address)
    preflight = read_preflight(ai, [name], session_id, options, signer)
    if options.get("user") and preflight.owner not in (None, signer):
        raise InvalidOption("user", "the client contract that owns the session chooses it")
    base = to_draft(preflight, name, account)
    filled = []
    for place, inputs in enumerate(requests):
        with _at_position(place, count):
            filled.append(base.with_inputs(base.model.api.bind(inputs, named_inputs)))
    routing = preflight.routing(base.model)
    limits = _check_money(preflight, [replace(draft, routing=routing) for draft in filled])
    return [
        replace(draft, routing=routing, fingerprint=fingerprint(inputs, options), limits=limits)
        for draft, inputs in zip(filled, requests, strict=True)
    ]


def to_draft(preflight: Preflight, name: str, account: AccountAPI | None = None) -> Draft:
    """The draft of a request to a model, without inputs and routing."""
    options, model = preflight.options, preflight.models[name]
    if model is None:
        raise ModelNotFound(name)
    user = options.get("user")
    return Draft(
        ai=preflight.ai,
        session_id=preflight.session_id,
        account=account,
        owner=preflight.owner,
        model=model,
        routing=Routing((), ()),
        call=b"",
        extra_params=b"",
        call_type=options.get("call_type", CallType.DIRECT),
        fee_per_byte=preflight.fee_per_byte,
        max_cost=preflight.max_cost,
        balance=preflight.balance,
        user=to_address(user) if user else None,
        callback=options.get("callback"),
    )


def check_texts(values: Sequence[Any]) -> None:
    """Check the placeholders of all texts among the inputs of any model."""
    lines = [value.lines if isinstance(value, Prompt) else value for value in values]
    texts = list(prompt.texts_of(lines))
    if texts:
        placeholders = _placeholder_values(values)
        prompt.check(texts, placeholders[0] if placeholders else ())


def randomized_user(sender: str) -> str:
    """The sender's address with its last 8 bytes randomised.

    The live router hashes a request's id from the time, session, user and caller. Two requests of
    one block that share all four share their id, and the later one replaces the earlier.
    """
    kept = bytes.fromhex(sender[2:])[:-RANDOM_BYTES]
    return to_checksum_address(kept + secrets.token_bytes(RANDOM_BYTES))


@contextmanager
def _at_position(place: int, count: int) -> Iterator[None]:
    """Adds the position of the request to errors, where there are several."""
    try:
        yield
    except DtnError as err:
        if count > 1:
            err.fields["place"] = place
            err.add_context(f"Request {place + 1} of {count}.")
        raise


def _check_money(preflight: Preflight, drafts: Sequence[Draft]) -> tuple[Limit, ...]:
    """Checks the cost of all requests against the balance and the limits.

    Returns:
        The limits that the journal checks again when it records a request.
    """
    ai, first, session_id = preflight.ai, drafts[0], preflight.session_id
    max_cost = first.total_max_cost
    total = max_cost.token.units(max_cost.units * len(drafts))
    limits = budget_check.limits_of(ai.config, preflight.options, max_cost.token)
    budget_check.check_request(limits, max_cost)
    if preflight.balance is not None and total > preflight.balance:
        raise InsufficientFunds(f"session {session_id}", total, preflight.balance)
    limits = budget_check.check_session(ai, limits, session_id, total)
    by_journal = tuple(limit for limit in limits if not budget_check.counts_on_chain(limit))
    if by_journal:
        spending = replace(first, limits=by_journal).spending(total)
        executor.check_spending(ai, first.signer, REQUEST, spending)
    return limits


def _placeholder_values(values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The values of the placeholders, of each prompt that has any."""
    return [value.values for value in values if isinstance(value, Prompt) and value.values]


def _to_abi(api: Api, kind: str, value: Any) -> Any:
    """An input as it is encoded: the lines of a prompt, any other value as it is."""
    if not isinstance(value, Prompt):
        return value
    if kind == "string[]":
        return list(value.lines)
    if kind == "string" and len(value.lines) == 1:
        return value.lines[0]
    raise InvalidCall(api.specs, f"a prompt of {len(value.lines)} lines is not a {kind}")
