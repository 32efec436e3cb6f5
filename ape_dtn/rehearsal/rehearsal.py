"""A rehearsal: what a transaction would ask, what its callbacks would do, and what it would cost.

All of it happens on a copy of the chain, with the real contracts. Nobody signs anything, and
nothing is sent to the chain itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from eth_utils import keccak
from typing_extensions import Unpack

from ape_dtn.answers.errors import NodeFailure
from ape_dtn.chain import reads
from ape_dtn.chain.errors import ContractReverted
from ape_dtn.client.ai import DtnAi
from ape_dtn.ipfs.errors import BackendFailed
from ape_dtn.network import reverts
from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.network.registry import model_calls, to_model
from ape_dtn.network.requests import Record, read_records
from ape_dtn.node.answering import (
    NOT_PARSABLE,
    Backend,
    Question,
    Result,
    decode_question,
    failure,
    response_transaction,
    success,
)
from ape_dtn.node.backends.echo import echo
from ape_dtn.rehearsal import callback, changes, nodes
from ape_dtn.rehearsal.fork import Fork, forked
from ape_dtn.rehearsal.known import Known, labels_of
from ape_dtn.rehearsal.report import Asked, Rehearsed, Step
from ape_dtn.requests.errors import RequestReplaced
from ape_dtn.requests.gas import native_currency
from ape_dtn.types.abi import Function, Log
from ape_dtn.types.answer import CallType, Status
from ape_dtn.types.errors import DtnError, InvalidOption
from ape_dtn.types.ids import as_hex, to_address
from ape_dtn.types.transactions import Receipt, Transaction

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ethpm_types import ContractType

    from ape_dtn.network.registry import Node
    from ape_dtn.types.model import Model


# How deep callbacks may ask in callbacks until the rehearsal ends.
DEPTH = 5


@dataclass(frozen=True)
class Call:
    """The transaction that is rehearsed.

    Attributes:
        what: The function, as people know it.
        to: The contract.
        data: The call data.
        contract_type: The contract's type, if it is known.
    """

    what: str
    to: str
    data: bytes
    contract_type: ContractType | None = None


class Answering(TypedDict, total=False):
    """What the node of a rehearsal answers: one of these, by default an echo.

    Attributes:
        answers: The answers in order, each of the model's output type. The last one is repeated.
        failures: The failures in place of answers, in the same way.
        backend: The backend that answers.
    """

    answers: Sequence[Any]
    failures: Sequence[str]
    backend: Backend | None


class DtnRehearsal:
    """Rehearses transactions of an account: ``DtnRehearsal(alice).run(consumer.ask, "Hello?")``.

    Args:
        account: Who would send, or an address: it signs nothing. By default who signs for `ai`.
        ai: The network; by default the one on the connected chain.
        as_node: The full name of the node that is played, see
            :func:`ape_dtn.rehearsal.nodes.choose`; by default one that could answer.
        depth: How deep callbacks may ask in callbacks: what is asked deeper is not answered.
        told: Told what is being done.
        answering: What the node answers; see :class:`Answering`.

    Raises:
        InvalidOption: More than one of answers, failures and backend are given.
        NoAccount: There is no account.
    """

    def __init__(
        self,
        account: AccountAPI | str | None = None,
        ai: DtnAi | None = None,
        *,
        as_node: str | None = None,
        depth: int = DEPTH,
        told: Callable[[str], None] = lambda _: None,
        **answering: Unpack[Answering],
    ) -> None:
        self.ai = ai or DtnAi()
        sender = account if isinstance(account, str) else self.ai.signer(account).address
        self.sender = to_address(str(sender))
        self.answers, self.failures, self.backend = _answering(**answering)
        self.as_node = as_node
        self.depth = depth
        self.told = told

    def run(
        self, method: Any, *args: Any, value: int | str = 0, gas_limit: int | None = None
    ) -> Rehearsed:
        """Rehearses a call of a contract of Ape's.

        Args:
            method: The contract's function, as in ``contract.ask``.
            args: What it takes, as Ape takes it.
            value: The chain's coin that goes with it, in wei, or as in ``"0.1 ether"``.
            gas_limit: The gas that it may use; by default as is estimated.

        Returns:
            What happened. That something failed is told there, and not raised; see
            :meth:`~ape_dtn.rehearsal.report.Rehearsed.check`.

        Raises:
            CannotFork, AnvilMissing, AnvilFailed: The chain cannot be copied.
        """
        from ape.utils.basemodel import ManagerAccessMixin as access

        data = bytes(method.encode_input(*args))
        (what,) = (abi.selector for abi in method.abis if keccak(text=abi.selector)[:4] == data[:4])
        call = Call(what, str(method.contract.address), data, method.contract.contract_type)
        wei = value if isinstance(value, int) else access.conversion_manager.convert(value, int)
        return self.call(call, wei, gas_limit)

    def call(self, call: Call, value: int = 0, gas_limit: int | None = None) -> Rehearsed:
        """Rehearses a transaction; see :meth:`run`."""
        self.told("Copying the chain")
        with forked(self.ai.provider) as fork:
            return _Run(self, fork, call).play(Transaction(call.to, call.data, value, gas_limit))


@dataclass(frozen=True)
class _Sent:
    """A transaction on the copy: what is told of it, and its receipt, if it was mined."""

    step: Step
    receipt: Receipt | None

    @property
    def logs(self) -> Sequence[Log]:
        return self.receipt.logs if self.receipt else ()


@dataclass(frozen=True)
class _Request:
    """A request that is yet to be answered."""

    id: bytes
    depth: int


class _Run:
    """One rehearsal, while its copy of the chain is there."""

    def __init__(self, rehearsal: DtnRehearsal, fork: Fork, call: Call) -> None:
        self.rehearsal, self.fork, self.first = rehearsal, fork, call
        self.ai = copy(rehearsal.ai)
        self.ai.provider = fork.provider
        contracts = self.ai.contracts()
        self.session_manager = contracts.session_manager
        self.token, self.coin = self.ai.token(contracts), native_currency(fork.provider)
        types = {call.to: call.contract_type} if call.contract_type else {}
        labels = labels_of(self.ai.router, contracts) | {rehearsal.sender: "the account"}
        self.known = Known(types, labels)
        self.backend = _backend(rehearsal)
        self.touched = [call.to]

    def play(self, transaction: Transaction) -> Rehearsed:
        block = self.fork.block
        self.rehearsal.told(f"Sending {self.first.what}")
        sent = self._send(self.first.what, self.rehearsal.sender, transaction)
        waiting = self._asked_by(sent, 0)
        requests: list[Asked] = []
        while waiting:
            request = waiting.pop(0)
            if any(request.id == later.id for later in waiting):
                requests.append(self._replaced(request))
                continue
            self.rehearsal.told(f"Answering request {len(requests) + 1}")
            asked, response = self._answered(request)
            requests.append(asked)
            if response is not None:
                waiting += self._asked_by(response, request.depth + 1)
        return Rehearsed(self.rehearsal.ai.network, block, sent.step, tuple(requests))

    def _asked_by(self, sent: _Sent, depth: int) -> list[_Request]:
        found = Router.request_created.find(sent.logs, self.ai.router)
        return [_Request(each["requestId"], depth) for each in found]

    def _send(
        self,
        what: str,
        sender: str,
        transaction: Transaction,
        about: reverts.ErrorContext = reverts.NO_CONTEXT,
    ) -> _Sent:
        """Sends a transaction on the copy. What it fails by is told, and not raised."""
        to = str(transaction.to)
        try:
            mined = self.fork.send(sender, transaction, about)
        except DtnError as err:
            return _Sent(Step(what, sender, to, None, None, (), (), self._named(err, to)), None)
        receipt = mined.receipt
        step = Step(
            what=what,
            sender=sender,
            to=to,
            gas_used=receipt.gas_used,
            gas_cost=self.coin.units(receipt.gas_used * receipt.gas_price),
            events=tuple(self.known.happened(log) for log in receipt.logs),
            changes=changes.of(self.fork, receipt, self.known, self.token, self.coin, self.touched),
            failure=mined.failure and self._named(mined.failure, to),
        )
        return _Sent(step, receipt)

    def _named(self, error: DtnError, address: str) -> DtnError:
        """The error, named by the contracts that are known, where the network's are not enough."""
        if type(error) is not ContractReverted or error.revert is None or error.revert.name:
            return error
        revert = self.known.name_revert(error.revert, address)
        if not revert.name:
            return error
        named = ContractReverted(str(revert))
        named.revert = revert
        return named

    def _about(self, request: _Request, record: Record, model: str) -> dict[str, Any]:
        return {
            "id": as_hex(request.id),
            "depth": request.depth,
            "session_id": record.session_id,
            "model": model,
            "max_cost": self.token.units(record.max_cost),
        }

    def _replaced(self, request: _Request) -> Asked:
        """A request whose id another one got: nothing but the id is left of it."""
        (record,) = read_records(self.ai, [request.id])
        fields = self._about(request, record, self.ai.names().of(record.model_id))
        return Asked(**fields, text=None, failure=RequestReplaced(as_hex(request.id)))

    def _answered(self, request: _Request) -> tuple[Asked, _Sent | None]:
        """Answers a request as a node does."""
        (record,) = read_records(self.ai, [request.id])
        model = self._model(record)
        question = decode_question(request.id, model, record)
        fields = self._about(request, record, model.name)
        fields["text"] = question.text if question else None
        if request.depth > self.rehearsal.depth:
            return Asked(**fields), None
        try:
            node = nodes.choose(self.ai, self.fork, request.id, record, self.rehearsal.as_node)
        except DtnError as err:
            return Asked(**fields, failure=err), None
        result, failed = self._result(request.id, model, record, question)
        response = response_transaction(self.ai.router, node.id, request.id, record, result)
        sent = self._respond(request, record, model, node, response)
        fields |= {"node": node.name, "response": sent.step}
        if sent.receipt is None or sent.step.failure:
            return Asked(**fields), sent
        charges = SessionManager.session_charged.find(sent.logs, self.session_manager)
        played = callback.Response(
            fork=self.fork,
            router=self.ai.router,
            known=self.known,
            request_id=request.id,
            record=record,
            status=result.status,
            worker=node.worker,
            transaction=response,
            receipt=sent.receipt,
        )
        asked = Asked(
            **fields,
            status=result.status,
            answer=_told(result, model, record),
            charged=self.token.units(sum(each["amount"] for each in charges)),
            callback=callback.of(played),
            failure=failed,
        )
        return asked, sent

    def _respond(
        self,
        request: _Request,
        record: Record,
        model: Model,
        node: Node,
        response: Transaction,
    ) -> _Sent:
        self.known.labels.setdefault(node.worker, "the node")
        self.fork.fund(node.worker)
        if record.has_callback and record.callback_target not in self.touched:
            self.touched.append(record.callback_target)
        about = reverts.ErrorContext(record.session_id, as_hex(request.id), model.name, self.token)
        return self._send("respondToRequest", node.worker, response, about)

    def _result(
        self, request_id: bytes, model: Model, record: Record, question: Question | None
    ) -> tuple[Result, DtnError | None]:
        """What the node responds with, and why that is not what was wanted.

        Raises:
            InvalidOption: A given answer is not of the type that the model gives.
        """
        from eth_abi.exceptions import EncodingError

        if question is None:
            return failure(NOT_PARSABLE), NodeFailure(as_hex(request_id), NOT_PARSABLE)
        try:
            value = self.backend(question)
            return success(model, record, value, _content_id), None
        except _Told as err:
            return failure(err.message), None
        except BackendFailed as err:
            return failure(err.message), NodeFailure(as_hex(request_id), err.message)
        except (EncodingError, TypeError) as err:
            reason = f"{model.name} gives a {model.api.output}, and this is none"
            raise InvalidOption(str(value), reason) from err

    def _model(self, record: Record) -> Model:
        manager = self.ai.contracts().model_manager
        name = self.ai.names().of(record.model_id)
        answers = reads.read(
            self.fork.provider, *model_calls(manager, record.model_id), translate=reverts.NO_CONTEXT
        )
        model = to_model(name, *answers)
        assert model is not None, "the router lets no request name a model that is not there"
        return model


class _Told(Exception):
    """A failure that the node was told to answer with."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def _answering(
    answers: Sequence[Any] = (), failures: Sequence[str] = (), backend: Backend | None = None
) -> tuple[Sequence[Any], Sequence[str], Backend]:
    if sum(map(bool, (answers, failures, backend))) > 1:
        raise InvalidOption("answers", "give one of answers, failures and backend")
    return tuple(answers), tuple(failures), backend or echo


def _backend(rehearsal: DtnRehearsal) -> Backend:
    """What gives this rehearsal its answers."""
    if not (rehearsal.answers or rehearsal.failures):
        return rehearsal.backend
    given = list(rehearsal.answers or rehearsal.failures)

    def next_one(question: Question) -> Any:
        found = given.pop(0) if len(given) > 1 else given[0]
        if rehearsal.failures:
            raise _Told(found)
        return found(question) if callable(found) else found

    return next_one


def _content_id(content: bytes) -> str:
    """The identifier that content would have on IPFS. It is kept nowhere: no callback reads it."""
    from io import BytesIO

    from ape_dtn.ipfs import unixfs

    *_, (root, _) = unixfs.write(unixfs.chunks(BytesIO(content)))
    return str(root)


def _told(result: Result, model: Model, record: Record) -> str:
    """The answer, or what the node says of its failure, as text."""
    if result.status is not Status.SUCCESS:
        return result.message
    if record.call_type is CallType.IPFS:
        return str(Function("()", "string").decode(result.response))
    value = model.api.decode(result.response, "")
    return as_hex(value) if isinstance(value, bytes) else str(value)
