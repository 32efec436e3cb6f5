"""A request that is not sent yet: everything that could be wrong with it is found here."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from eth_utils import keccak, to_checksum_address

from ape_dtn.chain import reads
from ape_dtn.journal import executor
from ape_dtn.journal.executor import OperationResult
from ape_dtn.journal.operation import from_transaction
from ape_dtn.journal.store import Intent, Spending
from ape_dtn.network import reverts, sessions
from ape_dtn.network.abi import Router
from ape_dtn.network.context import Network
from ape_dtn.network.errors import InsufficientFunds, ModelNotFound
from ape_dtn.network.holder import SessionOwner
from ape_dtn.network.registry import Node
from ape_dtn.requests.budgets import NO_LIMITS, Limits, Spent, limits_of
from ape_dtn.requests.budgets import check as check_limits
from ape_dtn.requests.errors import FeeTooHigh, RequestReplaced
from ape_dtn.requests.options import Callback, Options, check_options
from ape_dtn.requests.preflight import Preflight, read_preflight
from ape_dtn.requests.routing import Routing
from ape_dtn.sessions.operations import REQUEST
from ape_dtn.types import prompt
from ape_dtn.types.amount import Amount
from ape_dtn.types.answer import CallType
from ape_dtn.types.errors import (
    DtnError,
    EmptyPrompt,
    InvalidCall,
    InvalidOption,
    InvalidPrompt,
    NoAccount,
    NoNetwork,
)
from ape_dtn.types.ids import as_hex, id_of, to_address
from ape_dtn.types.model import Api, Model
from ape_dtn.types.prompt import Prompt
from ape_dtn.types.transactions import Receipt, Transaction

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI


NO_ADDRESS = "0x" + "00" * 20

# Of the address that a request names as its user, the bytes that are drawn for each request.
DRAWN_BYTES = 8

# The inputs of one request, in the order of the API's specs.
Inputs = Sequence[Any]


@dataclass(frozen=True)
class SentRequest:
    """A request that was sent.

    Attributes:
        request_id: The request's id.
        receipt: The transaction that it was sent in; None where that was before.
        api: The API of the model that was asked, where it is known.
    """

    request_id: bytes
    receipt: Receipt | None = None
    api: Api | None = None

    @property
    def id(self) -> str:
        """The request's id, as ``0x…`` text."""
        return as_hex(self.request_id)


@dataclass(frozen=True)
class Draft:
    """A request that was checked against the chain and is ready to be sent.

    Attributes:
        ai: The network.
        session_id: The session that pays; None until there is one.
        account: Who signs; nobody where it is only quoted.
        owner: Whose the session is on the chain: the account, or its client; None until there is a
            session.
        model: The model that is asked.
        routing: Who may answer.
        call: The inputs, encoded by the model's API.
        extra_params: The values of the prompt's placeholders, encoded by index.
        call_type: How the answer travels.
        fee_per_byte: What is offered for each byte, asked and answered.
        max_cost: The most that the answer can cost: nodes state sizes themselves, so this
            cap, and not the bytes, is the worst case.
        balance: What the session has; None until there is one.
        user: On whose behalf it is asked; None for an address of the request's own.
        callback: What is called with the answer.
        asked: What tells it from requests that ask something else.
        limits: What may be spent.
        spent: What the session has cost before it.
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
    asked: str = ""
    limits: Limits = NO_LIMITS
    spent: Spent | None = None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that may answer."""
        return self.routing.nodes

    @property
    def worst(self) -> Amount:
        """The most that the request can cost: the cap, for each answer that is wanted."""
        most = self.max_cost
        return most.token.units(most.units * max(self.routing.redundancy, 1))

    @property
    def bytes_asked(self) -> int:
        """The bytes that a fair node bills the request itself for."""
        return len(self.call) + len(self.extra_params)

    def with_inputs(self, values: Sequence[Any]) -> Draft:
        """The draft with what is asked.

        Args:
            values: The inputs, in the order of the API's specs.

        Raises:
            EmptyPrompt, InvalidPrompt, InvalidCall, FeeTooHigh: Something about them is wrong.
        """
        api, fee = self.model.api, self.fee_per_byte
        carried = [each.values for each in values if isinstance(each, Prompt) and each.values]
        if len(carried) > 1:
            raise InvalidPrompt(
                "only one of several prompts can have values: they share the indices"
            )
        plain = [_plain(api, *each) for each in zip(api.inputs, values, strict=True)]
        if any("string" in kind for kind in api.inputs) and not any(prompt.texts_of(plain)):
            raise EmptyPrompt
        extra_params = prompt.encode_values(prompt.texts_of(plain), carried[0] if carried else ())
        asked = replace(self, call=api.encode(*plain), extra_params=extra_params)
        if (cost := fee.token.units(asked.bytes_asked * fee.units)) > self.max_cost:
            raise FeeTooHigh(fee, cost, self.max_cost)
        return asked

    @property
    def signer(self) -> AccountAPI:
        """Who signs.

        Raises:
            NoAccount: Nobody: it was drafted to be quoted.
        """
        if self.account is None:
            raise NoAccount
        return self.account

    def transaction(self, sender: str | None = None) -> Transaction:
        """The call of ``router.request``, with an id of its own each time."""
        callback = self.callback
        assert self.session_id is not None, "a session has to be started for it first"
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

    @property
    def about(self) -> reverts.ErrorContext:
        """What the errors of sending it are about."""
        return reverts.ErrorContext(
            session_id=self.session_id,
            model=self.model.name,
            token=self.max_cost.token,
        )

    def meant(self, key: str | None = None) -> Intent:
        """What the journal keeps of it. Each has a user of its own, which tells its event."""
        assert self.session_id is not None, "a session has to be started for it first"
        user = self.user or randomized_user(str(self.signer.address))
        transaction = replace(self, user=user).transaction()
        return Intent(
            kind=REQUEST.kind,
            payload=idempotency_payload(self.session_id, self.asked),
            details={
                "transaction": from_transaction(transaction),
                "model": self.model.name,
                "user": user,
            },
            key=key,
            spending=self.spending(self.worst),
        )

    def spending(self, most: Amount) -> Spending:
        """What is added up of it, or of many like it that may cost so much together."""
        return Spending(
            max_cost=most,
            session=str(self.session_id),
            so_far=self.spent.amount if self.spent else None,
            as_of=self.spent.as_of if self.spent else 0,
            session_limit=self.limits.session,
            day_limit=self.limits.day,
            account_limit=self.limits.account,
        )

    def send(self, key: str | None = None) -> SentRequest:
        """Sends the request (``router.request``) and returns it, named by its event.

        Args:
            key: Under which it is sent once, however often it is asked for.

        Raises:
            KeyReused: The key was given to something else.
            RequestReplaced: It named its ``user``, and another request of that block the same one.
            OverLimit: With all that was asked before it could cost more than a limit.
            DtnError: The router refuses it; see :mod:`ape_dtn.network.reverts`.
        """
        meant = self.meant(key)
        assert self.session_id is not None
        with sessions.explained(self.ai, self.session_id, str(self.signer.address)):
            return self.sent(executor.execute(self.ai, self.signer, REQUEST, meant))

    def sent(self, done: OperationResult) -> SentRequest:
        """The request that a transaction of this draft made.

        Raises:
            RequestReplaced: See :meth:`send`.
        """
        request = to_sent(done, self.model.api)
        if self.user is not None:
            _check_not_replaced(self.ai, request, done)
        return request


def to_sent(done: OperationResult, api: Api | None = None) -> SentRequest:
    """The request that came of what was done."""
    return SentRequest(id_of(done.outcome["request"], "request"), done.receipt, api)


def fingerprint(inputs: Inputs, options: Options) -> str:
    """What tells a request from those that ask something else, before anything is looked up."""
    # A limit says nothing of what is asked, and may be raised for it to be sent after all.
    given = sorted(
        (name, value)
        for name, value in options.items()
        if value not in (None, (), "") and not name.endswith("_limit")
    )
    return "0x" + keccak(text=repr((list(inputs), given))).hex()


def idempotency_payload(session_id: int, asked: str) -> dict[str, str]:
    """What a request has to have in common with another to be the same."""
    return {"session": str(session_id), "asked": asked}


def draft(
    ai: Network,
    account: AccountAPI,
    inputs: Inputs,
    session_id: int | None,
    options: Options,
) -> Draft:
    """Checks a request against the chain, before any money moves.

    It takes two HTTP requests, and a third when the nodes are not named.

    Args:
        ai: The network.
        account: Who signs.
        inputs: The model's inputs, in the order of its specs: for text models one line of text, or
            several, or a :class:`~ape_dtn.types.prompt.Prompt`.
        session_id: The session that is to pay; None when it is yet to be started.
        options: What else is said of the request.

    Raises:
        EmptyPrompt, InvalidPrompt, InvalidCall, InvalidName, InvalidAmount, FeeTooHigh: Something
            given is wrong.
        NobodyTrusted: No nodes are named on a public network.
        SessionNotFound, NotSessionOwner, SessionAlreadyClosed: The session cannot be used.
        ModelNotFound, NodeNotFound, NodeUnavailable: Nobody could answer.
        CannotComplete: No answer could complete it.
        InsufficientFunds: The session has less than the answer may cost.
        OverLimit: It may cost more than a limit allows.
    """
    (checked,) = drafts(ai, account, [inputs], session_id, options)
    return checked


def drafts(
    ai: Network,
    account: AccountAPI,
    many: Sequence[Inputs],
    session_id: int | None,
    options: Options,
) -> list[Draft]:
    """Checks many requests that differ in their inputs alone, in as many HTTP requests as for one.

    The session has to have what all of them may cost together.

    Raises:
        DtnError: As :func:`draft` does, for the first request that something is wrong with.
    """
    check_options(options)
    named_inputs = options.get("inputs") or {}
    if len(many) > 1 and options.get("user"):
        raise InvalidOption("user", "requests of one block that share it share their id too")
    for place, inputs in enumerate(many):
        with _placed(place, len(many)):
            check_texts([*inputs, *named_inputs.values()])
    name = options.get("model") or ai.config.model
    signer = str(account.address)
    terms = read_preflight(ai, [name], session_id, options, signer)
    if options.get("user") and terms.owner not in (None, signer):
        raise InvalidOption("user", "the client that owns the session names it itself")
    base = to_draft(terms, name, account)
    asked = []
    for place, inputs in enumerate(many):
        with _placed(place, len(many)):
            asked.append(base.with_inputs(base.model.api.bind(inputs, named_inputs)))
    route = terms.routing(base.model)
    asked = [replace(each, routing=route) for each in asked]
    limits, spent = _check_money(terms, asked)
    return [
        replace(each, asked=fingerprint(inputs, options), limits=limits, spent=spent)
        for each, inputs in zip(asked, many, strict=True)
    ]


def to_draft(terms: Preflight, name: str, account: AccountAPI | None = None) -> Draft:
    """The draft of a request to a model, that nobody is to answer and that asks nothing yet.

    Raises:
        ModelNotFound: The model is not registered.
    """
    options, model = terms.options, terms.models[name]
    if model is None:
        raise ModelNotFound(name)
    user = options.get("user")
    return Draft(
        ai=terms.ai,
        session_id=terms.session_id,
        account=account,
        owner=terms.owner,
        model=model,
        routing=Routing((), ()),
        call=b"",
        extra_params=b"",
        call_type=options.get("call_type", CallType.DIRECT),
        fee_per_byte=terms.fee_per_byte,
        max_cost=terms.max_cost,
        balance=terms.balance,
        user=to_address(user) if user else None,
        callback=options.get("callback"),
    )


def check_texts(values: Sequence[Any]) -> None:
    """Checks the placeholders in all texts of the inputs, whatever the model.

    Raises:
        EmptyPrompt, InvalidPrompt: See :class:`~ape_dtn.types.prompt.Prompt`.
    """
    lines = [each.lines if isinstance(each, Prompt) else each for each in values]
    carried = [each.values for each in values if isinstance(each, Prompt) and each.values]
    texts = list(prompt.texts_of(lines))
    if texts:
        prompt.check(texts, carried[0] if carried else ())


def send_drafts(
    checked: Sequence[Draft],
    on_sent: Callable[[int, SentRequest | DtnError], None] = lambda _place, _sent: None,
    keys: Sequence[str | None] | None = None,
) -> list[SentRequest | DtnError]:
    """Sends drafts of one session and account one upon the other; see ``DtnSession.request_many``.

    Returns:
        For each, in its place, the request, or the error that befell it alone.
    """
    if not checked:
        return []
    first = checked[0]
    found: dict[int, SentRequest | DtnError] = {}

    def told(place: int, outcome: OperationResult | DtnError) -> None:
        draft = checked[place]
        try:
            found[place] = outcome if isinstance(outcome, DtnError) else draft.sent(outcome)
        except DtnError as err:
            found[place] = err
        on_sent(place, found[place])

    keys = keys or [None] * len(checked)
    many = [each.meant(key) for each, key in zip(checked, keys, strict=True)]
    executor.execute_each(first.ai, first.signer, REQUEST, many, told)
    return [found[place] for place in range(len(checked))]


def randomized_user(sender: str) -> str:
    """An address that begins as the sender's and ends as no other request's does.

    The live router hashes a request's id from the time, the session, the user and the caller:
    two of one block that share all four share their id too, and the later replaces the earlier.
    """
    kept = bytes.fromhex(sender[2:])[:-DRAWN_BYTES]
    return to_checksum_address(kept + secrets.token_bytes(DRAWN_BYTES))


@contextmanager
def _placed(place: int, how_many: int) -> Iterator[None]:
    """Says which of many it is that something is wrong with."""
    try:
        yield
    except DtnError as err:
        if how_many > 1:
            err.fields["place"] = place
            err.hint = f"It is number {place + 1} of {how_many}. {err.hint or ''}".strip()
        raise


def _check_money(terms: Preflight, asked: Sequence[Draft]) -> tuple[Limits, Spent]:
    """Checks what all requests may cost together against the session and the limits."""
    ai, worst = terms.ai, asked[0].worst
    in_all = worst.token.units(worst.units * len(asked))
    allowed = limits_of(ai.config, terms.options, worst)
    is_allowed = allowed.request is None or worst <= allowed.request
    if is_allowed and terms.balance is not None and in_all > terms.balance:
        raise InsufficientFunds(f"session {terms.session_id}", in_all, terms.balance)
    spent = check_limits(ai, allowed, terms.session_id, worst, len(asked))
    if allowed.day or allowed.account:
        limited = replace(allowed, session=None)
        together = replace(asked[0], limits=limited).spending(in_all)
        executor.check_spending(ai, asked[0].signer, REQUEST, together)
    return allowed, spent


def _plain(api: Api, kind: str, given: Any) -> Any:
    """An input as it is encoded: of a prompt, its lines."""
    if not isinstance(given, Prompt):
        return given
    if kind == "string[]":
        return list(given.lines)
    if kind == "string" and len(given.lines) == 1:
        return given.lines[0]
    raise InvalidCall(api.specs, f"a prompt of {len(given.lines)} lines is no {kind}")


def _check_not_replaced(ai: Network, request: SentRequest, done: OperationResult) -> None:
    created = []
    with suppress(NoNetwork):  # it is sent, and named, whatever else can be found out
        created = reads.logs(
            ai.provider,
            ai.router,
            [Router.request_created.topic, request.id],
            from_block=int(done.outcome["block"]),
        )
    if created and created[-1].transaction != done.outcome["transaction"]:
        raise RequestReplaced(request.id)
