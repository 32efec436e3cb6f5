"""A request that is not sent yet: everything that could be wrong with it is found here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from eth_utils import is_address, keccak, to_checksum_address

from ape_dtn import ownership
from ape_dtn.ai import (
    DtnAi,
    Node,
    model_calls,
    node_calls,
    to_model,
    to_node,
    token_calls,
)
from ape_dtn.amount import Amount, AmountLike, Token
from ape_dtn.chain import reads, reverts, sends
from ape_dtn.chain.abi import NodeManager, Router
from ape_dtn.chain.networks import is_local
from ape_dtn.chain.reads import Call
from ape_dtn.errors import (
    InsufficientFunds,
    InvalidAddress,
    ModelNotFound,
    NobodyTrusted,
    NodeNotFound,
    NodeUnavailable,
)
from ape_dtn.model import Model
from ape_dtn.names import id_of
from ape_dtn.prompt import Prompt, PromptLike
from ape_dtn.request import CallType, DtnRequest

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

# `IDtnAi.DtnRouting`: of all that it can say, only this completes on the deployed network.
AGGREGATION_ANY = 0
REDUNDANCY = 1
CONFIDENCE_LEVEL = 8

NO_ADDRESS = "0x" + "00" * 20


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

    def __post_init__(self) -> None:
        """Checks the target.

        Raises:
            InvalidAddress: It is no address.
        """
        _address(self.target)

    def encode(self) -> tuple[bytes, bytes, str]:
        """The Solidity struct."""
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
        extra_params: The values of the prompt's placeholders, encoded by index.
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
    extra_params: bytes
    call_type: CallType
    fee_per_byte: Amount
    most_it_may_cost: Amount
    balance: Amount | None
    user: str
    callback: Callback | None

    @property
    def bytes_asked(self) -> int:
        """The bytes that a fair node bills the request itself for."""
        return len(self.call) + len(self.extra_params)

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
                self.extra_params,
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
        about = reverts.About(
            session_id=self.session_id,
            model=self.model.name,
            token=self.most_it_may_cost.token,
        )
        with ownership.explained(self.ai, self.session_id, str(self.account.address)):
            receipt = sends.send(self.ai.provider, self.account, transaction, about)
        (created,) = Router.request_created.find(receipt.logs, self.ai.router)
        return DtnRequest(self.ai, created["requestId"], receipt, self.model.api)


def draft(
    ai: DtnAi,
    account: AccountAPI,
    prompt: PromptLike,
    session_id: int | None,
    options: Options,
) -> Draft:
    """Checks a request against the chain, before any money moves.

    It takes two HTTP requests, and a third when the nodes are not named.

    Args:
        ai: The network.
        account: Who signs.
        prompt: One line of text, or several, or a :class:`~ape_dtn.prompt.Prompt`.
        session_id: The session that is to pay; None when it is yet to be started.
        options: What else is said of the request.

    Raises:
        EmptyPrompt, InvalidPrompt, InvalidCall, InvalidName, InvalidAmount: Something given is
            wrong.
        NobodyTrusted: No nodes are named on a public network.
        SessionNotFound, NotSessionOwner, SessionAlreadyClosed: The session cannot be used.
        ModelNotFound, NodeNotFound, NodeUnavailable: Nobody could answer.
        InsufficientFunds: The session has less than the answer may cost.
    """
    asked = prompt if isinstance(prompt, Prompt) else Prompt(prompt)
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
    token = Token(contracts.fee_token, symbol, decimals)
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
        call=model.api.encode_prompt(asked.lines),
        extra_params=asked.extra_params,
        call_type=options.get("call_type", CallType.DIRECT),
        fee_per_byte=fee,
        most_it_may_cost=most,
        balance=balance,
        user=_address(options.get("user") or sender),
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


def _address(value: str) -> str:
    if not is_address(value):
        raise InvalidAddress(value)
    return to_checksum_address(value)


def _given(value: AmountLike | None, default: str) -> AmountLike:
    return default if value is None else value
