"""Rehearsals: what a transaction would request, what its callbacks would do, and the costs.

Everything runs on a fork of the chain, with the real contracts. Nothing is signed, and nothing is
sent to the chain itself.
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
from ape_dtn.rehearsal.known import KnownContracts, labels_of
from ape_dtn.rehearsal.report import RehearsalResult, RehearsedRequest, Step
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


# The default depth of nested callbacks whose requests are answered.
DEPTH = 5


@dataclass(frozen=True)
class Call:
    """A transaction to rehearse.

    Attributes:
        what: The function, for display.
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
        account: The sender, or its address: nothing is signed. By default the signer of `ai`.
        ai: The network; by default that of the connected chain.
        as_node: The full name of the node that answers, see
            :func:`ape_dtn.rehearsal.nodes.choose`; by default any that can.
        depth: The depth of nested callbacks: deeper requests are not answered.
        on_progress: Called with a description of each step before it begins.
        answering: What the node answers; see :class:`Answering`.

    Raises:
        InvalidOption: More than one of answers, failures and backend is given.
        NoAccount: There is no account.
    """

    def __init__(
        self,
        account: AccountAPI | str | None = None,
        ai: DtnAi | None = None,
        *,
        as_node: str | None = None,
        depth: int = DEPTH,
        on_progress: Callable[[str], None] = lambda _: None,
        **answering: Unpack[Answering],
    ) -> None:
        self.ai = ai or DtnAi()
        sender = account if isinstance(account, str) else self.ai.signer(account).address
        self.sender = to_address(str(sender))
        self.answers, self.failures, self.backend = _answering(**answering)
        self.as_node = as_node
        self.depth = depth
        self.on_progress = on_progress

    def run(
        self, method: Any, *args: Any, value: int | str = 0, gas_limit: int | None = None
    ) -> RehearsalResult:
        """Rehearse a call of an Ape contract.

        Args:
            method: The contract's function, such as ``contract.ask``.
            args: Its arguments, as Ape takes them.
            value: The native currency to send, in wei or as text such as ``"0.1 ether"``.
            gas_limit: The gas limit; by default an estimate.

        Returns:
            What happened. Failures are in the result, and not raised; see
            :meth:`~ape_dtn.rehearsal.report.RehearsalResult.check`.

        Raises:
            CannotFork, AnvilMissing, AnvilFailed: The chain cannot be forked.
        """
        from ape.utils.basemodel import ManagerAccessMixin as access

        data = bytes(method.encode_input(*args))
        (what,) = (abi.selector for abi in method.abis if keccak(text=abi.selector)[:4] == data[:4])
        call = Call(what, str(method.contract.address), data, method.contract.contract_type)
        wei = value if isinstance(value, int) else access.conversion_manager.convert(value, int)
        return self.call(call, wei, gas_limit)

    def call(self, call: Call, value: int = 0, gas_limit: int | None = None) -> RehearsalResult:
        """Rehearse a transaction; see :meth:`run`. The value is in wei."""
        self.on_progress("Forking the chain")
        with forked(self.ai.provider) as fork:
            return _Run(self, fork, call).run(Transaction(call.to, call.data, value, gas_limit))


@dataclass(frozen=True)
class _Sent:
    """A transaction on the fork, with its receipt if it was mined."""

    step: Step
    receipt: Receipt | None

    @property
    def logs(self) -> Sequence[Log]:
        return self.receipt.logs if self.receipt else ()


@dataclass(frozen=True)
class _Request:
    """A request that has not been answered yet."""

    id: bytes
    depth: int


class _Run:
    """One rehearsal on its fork."""

    def __init__(self, rehearsal: DtnRehearsal, fork: Fork, call: Call) -> None:
        self.rehearsal, self.fork, self.first = rehearsal, fork, call
        self.ai = copy(rehearsal.ai)
        self.ai.provider = fork.provider
        contracts = self.ai.contracts()
        self.session_manager = contracts.session_manager
        self.token, self.native = self.ai.token(contracts), native_currency(fork.provider)
        types = {call.to: call.contract_type} if call.contract_type else {}
        labels = labels_of(self.ai.router, contracts) | {rehearsal.sender: "the account"}
        self.known = KnownContracts(types, labels)
        self.backend = _backend(rehearsal)
        self.touched = [call.to]

    def run(self, transaction: Transaction) -> RehearsalResult:
        block = self.fork.block
        self.rehearsal.on_progress(f"Sending {self.first.what}")
        sent = self._send(self.first.what, self.rehearsal.sender, transaction)
        pending = self._requests_of(sent, 0)
        requests: list[RehearsedRequest] = []
        while pending:
            request = pending.pop(0)
            if any(request.id == later.id for later in pending):
                requests.append(self._replaced(request))
                continue
            self.rehearsal.on_progress(f"Answering request {len(requests) + 1}")
            rehearsed, response = self._answer(request)
            requests.append(rehearsed)
            if response is not None:
                pending += self._requests_of(response, request.depth + 1)
        return RehearsalResult(self.rehearsal.ai.network, block, sent.step, tuple(requests))

    def _requests_of(self, sent: _Sent, depth: int) -> list[_Request]:
        created = Router.request_created.find(sent.logs, self.ai.router)
        return [_Request(event["requestId"], depth) for event in created]

    def _send(
        self,
        what: str,
        sender: str,
        transaction: Transaction,
        context: reverts.ErrorContext = reverts.NO_CONTEXT,
    ) -> _Sent:
        """Send a transaction on the fork. A failure is part of the result, and not raised."""
        to = str(transaction.to)
        try:
            mined = self.fork.send(sender, transaction, context)
        except DtnError as err:
            failure = self._decode_revert(err, to)
            return _Sent(Step(what, sender, to, None, None, (), (), failure), None)
        receipt = mined.receipt
        step = Step(
            what=what,
            sender=sender,
            to=to,
            gas_used=receipt.gas_used,
            gas_cost=self.native.units(receipt.gas_used * receipt.gas_price),
            events=tuple(self.known.decode_event(log) for log in receipt.logs),
            changes=changes.of(
                self.fork, receipt, self.known, self.token, self.native, self.touched
            ),
            failure=mined.failure and self._decode_revert(mined.failure, to),
        )
        return _Sent(step, receipt)

    def _decode_revert(self, error: DtnError, address: str) -> DtnError:
        """Decode a revert that the network's contracts do not define, if a known ABI does."""
        if type(error) is not ContractReverted or error.revert is None or error.revert.name:
            return error
        revert = self.known.decode_revert(error.revert, address)
        if not revert.name:
            return error
        decoded = ContractReverted(str(revert))
        decoded.revert = revert
        return decoded

    def _fields(self, request: _Request, record: Record, model: str) -> dict[str, Any]:
        return {
            "id": as_hex(request.id),
            "depth": request.depth,
            "session_id": record.session_id,
            "model": model,
            "max_cost": self.token.units(record.max_cost),
        }

    def _replaced(self, request: _Request) -> RehearsedRequest:
        """Describe a request whose id a later request took over: only the id is left."""
        (record,) = read_records(self.ai, [request.id])
        fields = self._fields(request, record, self.ai.names().of(record.model_id))
        return RehearsedRequest(**fields, text=None, failure=RequestReplaced(as_hex(request.id)))

    def _answer(self, request: _Request) -> tuple[RehearsedRequest, _Sent | None]:
        """Answer a request as a node does."""
        (record,) = read_records(self.ai, [request.id])
        model = self._model(record)
        question = decode_question(request.id, model, record)
        fields = self._fields(request, record, model.name)
        fields["text"] = question.text if question else None
        if request.depth > self.rehearsal.depth:
            return RehearsedRequest(**fields), None
        try:
            node = nodes.choose(self.ai, self.fork, request.id, record, self.rehearsal.as_node)
        except DtnError as err:
            return RehearsedRequest(**fields, failure=err), None
        result, failed = self._result(request.id, model, record, question)
        response = response_transaction(self.ai.router, node.id, request.id, record, result)
        sent = self._respond(request, record, model, node, response)
        fields |= {"node": node.name, "response": sent.step}
        if sent.receipt is None or sent.step.failure:
            return RehearsedRequest(**fields), sent
        charges = SessionManager.session_charged.find(sent.logs, self.session_manager)
        mined_response = callback.Response(
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
        rehearsed = RehearsedRequest(
            **fields,
            status=result.status,
            answer=_answer_text(result, model, record),
            charged=self.token.units(sum(charge["amount"] for charge in charges)),
            callback=callback.of(mined_response),
            failure=failed,
        )
        return rehearsed, sent

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
        context = reverts.ErrorContext(
            record.session_id, as_hex(request.id), model.name, self.token
        )
        return self._send("respondToRequest", node.worker, response, context)

    def _result(
        self, request_id: bytes, model: Model, record: Record, question: Question | None
    ) -> tuple[Result, DtnError | None]:
        """Return the result that the node responds with, and the failure that it reports.

        Raises:
            InvalidOption: A given answer is not of the model's output type.
        """
        from eth_abi.exceptions import EncodingError

        if question is None:
            return failure(NOT_PARSABLE), NodeFailure(as_hex(request_id), NOT_PARSABLE)
        try:
            value = self.backend(question)
            return success(model, record, value, _content_id), None
        except _GivenFailure as err:
            return failure(err.message), None
        except BackendFailed as err:
            return failure(err.message), NodeFailure(as_hex(request_id), err.message)
        except (EncodingError, TypeError) as err:
            reason = f"an answer of {model.name} must be a {model.api.output}"
            raise InvalidOption(str(value), reason) from err

    def _model(self, record: Record) -> Model:
        manager = self.ai.contracts().model_manager
        name = self.ai.names().of(record.model_id)
        answers = reads.read(
            self.fork.provider, *model_calls(manager, record.model_id), translate=reverts.NO_CONTEXT
        )
        model = to_model(name, *answers)
        assert model is not None, "the router rejects requests for unknown models"
        return model


class _GivenFailure(Exception):
    """A failure that the user of the rehearsal chose as the answer."""

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
    """Return a backend that gives the chosen answers or failures, if there are any."""
    if not (rehearsal.answers or rehearsal.failures):
        return rehearsal.backend
    outcomes = list(rehearsal.answers or rehearsal.failures)

    def next_outcome(question: Question) -> Any:
        outcome = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
        if rehearsal.failures:
            raise _GivenFailure(outcome)
        return outcome(question) if callable(outcome) else outcome

    return next_outcome


def _content_id(content: bytes) -> str:
    """Return the CID of an answer on IPFS. The content is not stored: no callback can read it."""
    from io import BytesIO

    from ape_dtn.ipfs import unixfs

    *_, (root, _) = unixfs.write(unixfs.chunks(BytesIO(content)))
    return str(root)


def _answer_text(result: Result, model: Model, record: Record) -> str:
    """Return the answer, or the message of a failure, as text."""
    if result.status is not Status.SUCCESS:
        return result.message
    if record.call_type is CallType.IPFS:
        return str(Function("()", "string").decode(result.response))
    value = model.api.decode(result.response, "")
    return as_hex(value) if isinstance(value, bytes) else str(value)
