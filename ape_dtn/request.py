"""A request: drafted and checked, sent, waited for, answered and billed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypedDict

from ape_dtn import ownership
from ape_dtn.ai import (
    DtnAi,
    Node,
    model_calls,
    node_calls,
    to_model,
    to_node,
    to_token,
    token_calls,
)
from ape_dtn.amount import Amount, AmountLike
from ape_dtn.chain import reads, reverts, sends
from ape_dtn.chain.abi import Log, NodeManager, Router, SessionManager
from ape_dtn.chain.networks import is_local
from ape_dtn.chain.reads import Call
from ape_dtn.errors import (
    InsufficientFunds,
    ModelNotFound,
    NobodyTrusted,
    NodeFailure,
    NodeNotFound,
    NodeUnavailable,
    RequestNotFound,
    RequestPending,
)
from ape_dtn.model import Api, Model, prompt_lines
from ape_dtn.names import as_hex, id_of

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

# `IDtnAi.DtnRouting`: of all that it can say, only this completes on the deployed network.
AGGREGATION_ANY = 0
REDUNDANCY = 1
CONFIDENCE_LEVEL = 8

NO_ADDRESS = "0x" + "00" * 20

# Over IPFS, whatever the model's API gives, what comes is the identifier of the content.
CID_API = Api("cid", "-> string", "The identifier of the content.")


class CallType(IntEnum):
    """How the answer travels (``IDtnAi.CallType``)."""

    IPFS = 0
    DIRECT = 1


class Status(IntEnum):
    """What became of a request (``IDtnAi.ResponseStatus``)."""

    PENDING = 0
    SUCCESS = 1
    FAILURE = 2


@dataclass(frozen=True)
class Callback:
    """What the router calls with the answer (``IDtnAi.CallBack``).

    Attributes:
        target: The contract.
        success: Signature of the function for a success, as in ``"onAnswer(bytes32)"``.
        failure: Signature of the function for a failure.
        gas: Gas that it may use. The request carries as many wei, which the router keeps.
    """

    target: str
    success: str
    failure: str
    gas: int

    def encode(self) -> tuple[bytes, bytes, str]:
        """The Solidity struct."""
        from eth_utils import keccak

        return keccak(text=self.success)[:4], keccak(text=self.failure)[:4], self.target


class Options(TypedDict, total=False):
    """What a request can be given besides its prompt.

    Attributes:
        model: Full name of the model; by default the configured one.
        nodes: Full names of the nodes that may answer; by default the configured ones, else, on a
            local network, all that are active and serve the model.
        fee_per_byte: What is offered for each byte, asked and answered, in the fee token.
        most_it_may_cost: The most that the answer may cost, in the fee token.
        call_type: How the answer travels; by default in the transaction itself.
        callback: What is called with the answer; by default nothing.
        user: On whose behalf it is asked; by default the signer's.
    """

    model: str | None
    nodes: Sequence[str] | None
    fee_per_byte: AmountLike | None
    most_it_may_cost: AmountLike | None
    call_type: CallType
    callback: Callback | None
    user: str | None


@dataclass(frozen=True)
class Draft:
    """A request that was checked against the chain and is ready to be sent.

    Attributes:
        ai: The network.
        session_id: The session that pays; None until there is one.
        account: Who signs, the session's owner.
        model: The model that is asked.
        nodes: The nodes that may answer.
        call: The inputs, encoded by the model's API.
        call_type: How the answer travels.
        fee_per_byte: What is offered for each byte, asked and answered.
        most_it_may_cost: The most that the answer can cost: nodes state sizes themselves, so this
            cap, and not the bytes, is the worst case.
        balance: What the session has; None until there is one.
        user: On whose behalf it is asked.
        callback: What is called with the answer.
    """

    ai: DtnAi
    session_id: int | None
    account: AccountAPI
    model: Model
    nodes: tuple[Node, ...]
    call: bytes
    call_type: CallType
    fee_per_byte: Amount
    most_it_may_cost: Amount
    balance: Amount | None
    user: str
    callback: Callback | None

    @property
    def bytes_asked(self) -> int:
        """The bytes that the request itself is billed for."""
        return len(self.call)

    def send(self) -> DtnRequest:
        """Sends the request (``router.request``) and returns it, named by its event.

        Raises:
            DtnError: The router refuses it; see :mod:`ape_dtn.chain.reverts`.
        """
        callback = self.callback
        assert self.session_id is not None, "a session has to be started for it first"
        transaction = sends.call(
            self.ai.router,
            Router.request,
            self.session_id,
            self.model.id,
            ((), [node.id for node in self.nodes], REDUNDANCY, CONFIDENCE_LEVEL, AGGREGATION_ANY),
            (
                self.call,
                b"",
                self.call_type,
                self.fee_per_byte.units,
                self.fee_per_byte.units,
                self.most_it_may_cost.units,
            ),
            callback.encode() if callback else (b"\0" * 4, b"\0" * 4, NO_ADDRESS),
            self.user,
            callback.gas if callback else 0,
            value=callback.gas if callback else 0,
        )
        about = reverts.About(session_id=self.session_id, model=self.model.name)
        with ownership.explained(self.ai, self.session_id, str(self.account.address)):
            receipt = sends.send(self.ai.provider, self.account, transaction, about)
        (created,) = Router.request_created.find(receipt.logs, self.ai.router)
        return DtnRequest(self.ai, created["requestId"], receipt, self.model.api)


def draft(
    ai: DtnAi,
    account: AccountAPI,
    prompt: str | Sequence[str],
    session_id: int | None,
    options: Options,
) -> Draft:
    """Checks a request against the chain, before any money moves.

    It takes two HTTP requests, and a third when the nodes are not named.

    Args:
        ai: The network.
        account: Who signs.
        prompt: One line of text, or several.
        session_id: The session that is to pay; None when it is yet to be started.
        options: What else is said of the request.

    Raises:
        EmptyPrompt, InvalidCall, InvalidName, InvalidAmount: Something given is wrong.
        NobodyTrusted: No nodes are named on a public network.
        SessionNotFound, NotSessionOwner, SessionAlreadyClosed: The session cannot be used.
        ModelNotFound, NodeNotFound, NodeUnavailable: Nobody could answer.
        InsufficientFunds: The session has less than the answer may cost.
    """
    prompt_lines(prompt)
    config, sender = ai.config, str(account.address)
    model_name = options.get("model") or config.model
    model_id = id_of(model_name, "model")
    named = {name: id_of(name, "node") for name in options.get("nodes") or config.nodes}
    if not (named or is_local(ai.provider)):
        raise NobodyTrusted(model_name)

    contracts = ai.contracts()
    manager = contracts.node_manager
    serving_call = Call(manager, NodeManager.get_nodes_serving_model, (model_id,), "node manager")
    symbol, decimals, (owner, units), model_config, api, serving, *described = reads.read(
        ai.provider,
        *token_calls(contracts.fee_token),
        ownership.session_call(contracts.session_manager, session_id or 0),
        *model_calls(contracts.model_manager, model_id),
        serving_call,
        *(call for node_id in named.values() for call in node_calls(manager, node_id)),
    )
    token = to_token(contracts.fee_token, symbol, decimals)
    balance = None
    if session_id is not None:
        ownership.check(ai, contracts.session_manager, session_id, owner, sender)
        balance = token.units(units)
    model = to_model(model_name, model_config, api)
    if model is None:
        raise ModelNotFound(model_name)
    fee = token.amount(_given(options.get("fee_per_byte"), config.fee_per_byte), zero=True)
    most = token.amount(_given(options.get("most_it_may_cost"), config.most_it_may_cost))
    if balance is not None and most > balance:
        raise InsufficientFunds(f"session {session_id}", most, balance)
    nodes = (
        _usable(zip(named, _pairs(described), strict=True), model)
        if named
        else _serving(ai, manager, serving, model)
    )
    return Draft(
        ai=ai,
        session_id=session_id,
        account=account,
        model=model,
        nodes=nodes,
        call=model.api.encode_prompt(prompt),
        call_type=options.get("call_type", CallType.DIRECT),
        fee_per_byte=fee,
        most_it_may_cost=most,
        balance=balance,
        user=options.get("user") or sender,
        callback=options.get("callback"),
    )


def _usable(described: Iterable[tuple[str, tuple[Any, Any]]], model: Model) -> tuple[Node, ...]:
    """The nodes that were named, if each of them could answer."""
    nodes = []
    for name, answers in described:
        node = to_node(name, *answers)
        if node is None:
            raise NodeNotFound(name)
        if not node.is_active:
            raise NodeUnavailable(name, "it is switched off")
        if model.id not in node.models:
            raise NodeUnavailable(name, f"it does not serve {model.name}")
        nodes.append(node)
    return tuple(nodes)


def _serving(ai: DtnAi, manager: str, ids: Sequence[bytes], model: Model) -> tuple[Node, ...]:
    """The active nodes that serve a model."""
    calls = [call for node_id in ids for call in node_calls(manager, node_id)]
    answers = reads.read(ai.provider, *calls) if calls else []
    names = ai.names()
    found = [
        to_node(names.of(node_id), *pair)
        for node_id, pair in zip(ids, _pairs(answers), strict=True)
    ]
    active = tuple(node for node in found if node and node.is_active)
    if not active:
        raise NodeNotFound(None, f"No active node serves {model.name}: nobody could answer.")
    return active


def _pairs(answers: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    return zip(answers[::2], answers[1::2], strict=True)


def _given(value: AmountLike | None, default: str) -> AmountLike:
    return default if value is None else value


class DtnRequest:
    """A request that was sent. All that is known of it is on the chain, under its id.

    Use :meth:`load` for one that was sent earlier or elsewhere.
    """

    def __init__(
        self,
        ai: DtnAi,
        request_id: bytes,
        receipt: sends.Receipt | None = None,
        api: Api | None = None,
    ) -> None:
        self.ai = ai
        self._id = request_id
        self._api = api
        self.receipt = receipt

    @classmethod
    def load(cls, request_id: str, ai: DtnAi | None = None) -> DtnRequest:
        """A request by its id, from any process.

        Raises:
            InvalidName: It is no id.
            RequestNotFound: There is no such request.
        """
        request = cls(ai or DtnAi(), id_of(request_id, "request"))
        request._chain_record()
        return request

    def __repr__(self) -> str:
        return f"<DtnRequest {self.id}>"

    @property
    def id(self) -> str:
        """The request's id, as ``0x…`` text."""
        return as_hex(self._id)

    @property
    def status(self) -> Status:
        """What became of it, in one RPC call."""
        record = self._chain_record()
        return Status(record[9][0]) if record[2] else Status.PENDING

    @property
    def session_id(self) -> int:
        """The session that pays for it."""
        return int(self._chain_record()[0])

    def answer(self) -> Answer:
        """The answer, decoded by the model's API (``router.fetchResponse``).

        Raises:
            RequestPending: There is none yet.
            NodeFailure: The node answered that it failed.
            UndecodableAnswer: The node sent something else than the API's output type.
        """
        return self._answer(self._fetch())

    def wait(self, timeout: float = 120, poll: float | None = None) -> Answer:
        """Waits for the answer, asking once a poll.

        Args:
            timeout: For how many seconds.
            poll: How many seconds between questions; by default, as the chain's blocks come.

        Raises:
            RequestPending: It did not come in time. The request stays open.
            NodeFailure: The node answered that it failed.
        """
        pause = poll or max(self.ai.provider.network.block_time / 2, 0.1)
        start = time.monotonic()
        while True:
            try:
                return self._answer(self._fetch())
            except RequestPending as err:
                left = timeout - (time.monotonic() - start)
                if left <= 0:
                    raise RequestPending(self.id, waited=timeout) from err
                time.sleep(min(pause, left))

    def cost(self) -> Amount:
        """What the answer was charged, to the unit, from the chain's events.

        Raises:
            RequestPending: There is no answer yet.
        """
        contracts = self.ai.contracts()
        first = self.receipt.block_number if self.receipt else self.ai.deployment.first_block
        completed = reads.logs(
            self.ai.provider,
            self.ai.router,
            [Router.request_completed.topic, self.id],
            from_block=first,
        )
        if not completed:
            raise RequestPending(self.id)
        token = to_token(
            contracts.fee_token,
            *reads.read(self.ai.provider, *token_calls(contracts.fee_token)),
        )
        left = reads.transaction_logs(self.ai.provider, completed[-1].transaction)
        return token.units(_charge(left, self._id, self.ai.router))

    def _fetch(self) -> tuple[int, str, bytes]:
        call = Call(self.ai.router, Router.fetch_response, (self._id,), contract="router")
        about = reverts.About(request_id=self.id)
        response: tuple[int, str, bytes] = reads.read_one(self.ai.provider, call, about)
        return response

    def _answer(self, response: tuple[int, str, bytes]) -> Answer:
        status, message, data = response
        if status != Status.SUCCESS:
            raise NodeFailure(self.id, message)
        record = self._chain_record()
        is_direct = record[5][2] == CallType.DIRECT
        api = self._api_of(record[3]) if is_direct else CID_API
        value = api.decode(data, self.id)
        return Answer(self.id, value, data, as_hex(record[9][3]), CallType(record[5][2]))

    def _api_of(self, model_id: bytes) -> Api:
        if self._api is None:
            manager = self.ai.contracts().model_manager
            calls = model_calls(manager, model_id)
            model = to_model(as_hex(model_id), *reads.read(self.ai.provider, *calls))
            assert model is not None, "the router lets no request name a model that is not there"
            self._api = model.api
        return self._api

    def _chain_record(self) -> tuple[Any, ...]:
        """``router.getRequest``, in the field order of ``IRouter.Request``."""
        call = Call(self.ai.router, Router.get_request, (self._id,), contract="router")
        record: tuple[Any, ...] = reads.read_one(self.ai.provider, call)
        if not any(record[3]):  # no request is without a model
            raise RequestNotFound(self.id)
        return record


@dataclass(frozen=True)
class Answer:
    """A node's answer.

    Attributes:
        request_id: The request that it answers.
        value: The answer, decoded by the model's API: text for text models.
        data: The answer as it came, ABI-encoded.
        node: Id of the node that answered.
        call_type: How it travelled. Over IPFS, ``value`` is the content identifier.
    """

    request_id: str
    value: Any
    data: bytes
    node: str
    call_type: CallType

    @property
    def text(self) -> str:
        """The answer as text."""
        return self.value if isinstance(self.value, str) else bytes(self.value).decode()

    def __str__(self) -> str:
        return self.text

    def __bytes__(self) -> bytes:
        return self.value if isinstance(self.value, bytes) else str(self.value).encode()


def _charge(logs: Sequence[Log], request_id: bytes, router: str) -> int:
    """What a request was charged, of all that a transaction left.

    A transaction may answer several requests: each one's charge stands before its response.
    """
    charge = 0
    for log in logs:
        if SessionManager.session_charged.matches(log):
            charge = SessionManager.session_charged.decode(log)["amount"]
        elif Router.response_received.matches(log, router):
            if Router.response_received.decode(log)["requestId"] == request_id:
                return charge
            charge = 0
    return charge
