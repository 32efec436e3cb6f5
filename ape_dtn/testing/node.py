"""A scriptable mock node, which answers and fails as a test says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from eth_utils import keccak

from ape_dtn.answers import callbacks
from ape_dtn.chain import reads, rpc, transactions
from ape_dtn.chain.reads import Call
from ape_dtn.client.ai import DtnAi
from ape_dtn.network import reverts
from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.network.requests import Record, read_records
from ape_dtn.node.answering import (
    NOT_PARSABLE,
    Result,
    decode_question,
    failure,
    response_transaction,
)
from ape_dtn.node.queue import Registration
from ape_dtn.testing import state
from ape_dtn.testing.responses import Outcome, Response, Task
from ape_dtn.testing.rules import Rule, RuleMethods, When
from ape_dtn.types.abi import Log
from ape_dtn.types.amount import Amount
from ape_dtn.types.answer import Status
from ape_dtn.types.errors import CallbackFailed, InvalidOption, Refused
from ape_dtn.types.ids import as_hex, id_of
from ape_dtn.types.rpc import as_bytes, as_int

if TYPE_CHECKING:
    from ape_dtn.client.request import DtnRequest
    from ape_dtn.node.answering import Backend, Question
    from ape_dtn.testing.network import DtnTestNetwork


# A request of the SDK, or a request's id as a contract returns it.
RequestLike: TypeAlias = "DtnRequest | bytes | str"


class DtnTestNode(RuleMethods):
    """A mock node. Its rules are defined by :class:`~ape_dtn.testing.rules.RuleMethods`.

    It responds only when :meth:`answer` is called. Without any rule, it answers text with the
    question. With rules, a question that matches none of them fails the test.

    Args:
        network: The network.
        otherwise: Answers the questions that match no rule, such as a
            :mod:`cassette <ape_dtn.testing.cassettes>`.
    """

    def __init__(self, network: DtnTestNetwork, otherwise: Backend | None = None) -> None:
        self.network = network
        self.ai: DtnAi = network.ai
        self.otherwise = otherwise
        self.rules: list[Rule] = []
        self.responses: list[Response] = []
        self._first = self._count()  # requests of earlier tests are ignored

    def __repr__(self) -> str:
        return f"<DtnTestNode {self.network.node}>"

    def _rule(self, call: str) -> Rule:
        catch_all = next((rule for rule in self.rules if rule.is_for_all), None)
        if catch_all is not None:
            previous = catch_all.definition
            reason = (
                f"the earlier rule {previous} matches all questions, so this one never would; "
                f"combine them as dtn_node.{previous}.{call}, limit the earlier rule with when, "
                "model or times, or remove all rules with dtn_node.rules.clear()"
            )
            raise InvalidOption(call, reason)
        self.rules.append(Rule())
        return self.rules[-1]

    # Answering.

    def answer(self) -> list[Response]:
        """Respond to all open requests, in the order of the chain.

        Returns:
            What it did with each request.

        Raises:
            AssertionError: A question matches no rule. No request is answered then.
            InvalidOption: A reply is not of its model's output type.
            StateFixed: The connected chain does not support the fault.
        """
        pending = [task for task in self._tasks() if task.record.status is Status.PENDING]
        responses: list[Response] = []
        for task, rule in self._match(pending):
            applied = self._apply(task, rule)
            self.responses += applied
            responses += applied
        return responses

    def _match(self, tasks: Sequence[Task]) -> list[tuple[Task, Rule | None]]:
        """The rule of each request; None if its delay is not over."""
        matches: list[tuple[Task, Rule]] = []
        for task in tasks:
            rule = self._rule_for(task)
            if rule is None:
                raise AssertionError(f"{task}, which matches no rule. Rules:{_listed(self.rules)}")
            rule.reserved.add(task.request_id)
            matches.append((task, rule))
        return [(task, rule if self._is_due(task, rule) else None) for task, rule in matches]

    def _is_due(self, task: Task, rule: Rule) -> bool:
        """Whether the rule's delay is over. If so, counts the rule as used."""
        if rule.blocks and self._age(task.request_id) < rule.blocks:
            return False
        rule.reserved.remove(task.request_id)
        rule.used += 1
        return True

    def _rule_for(self, task: Task) -> Rule | None:
        if task.question is None:  # as the live node software does
            return Rule(result=lambda *_: failure(NOT_PARSABLE))
        rule = next((rule for rule in self.rules if rule.matches(task)), None)
        if rule is None and self.otherwise is not None:
            return Rule().reply(self.otherwise)
        return rule if self.rules else Rule()

    def _apply(self, task: Task, rule: Rule | None) -> list[Response]:
        request_id, question = as_hex(task.request_id), task.question
        if rule is None:
            return [Response(request_id, question, Outcome.DELAYED)]
        if rule.is_ignored:
            return [Response(request_id, question, Outcome.IGNORED)]
        result = rule.result(task, self.network.store)
        with self._faults(task, rule):
            return [self._respond(task, rule, result) for _ in range(rule.copies)]

    def _respond(self, task: Task, rule: Rule, result: Result) -> Response:
        network, request_id = self.network, as_hex(task.request_id)
        node, worker = network.node, network.worker
        if rule.is_untrusted:
            node, worker = network.untrusted_node, network.untrusted_worker
        transaction = response_transaction(
            self.ai.router, id_of(node, "node"), task.request_id, task.record, result
        )
        if rule.sizes:
            content = (result.status, result.message, result.response, id_of(node, "node"))
            data = Router.respond_to_request.encode(task.request_id, *content, *rule.sizes)
            transaction = replace(transaction, data=data)
        if rule.gas_limit is not None:
            transaction = replace(transaction, gas_limit=rule.gas_limit)
        try:
            receipt = transactions.send(self.ai.provider, worker, transaction, reverts.NO_CONTEXT)
        except Refused as err:
            return Response(request_id, task.question, Outcome.REFUSED, result, error=err)
        return Response(
            request_id,
            task.question,
            Outcome.RESPONDED,
            result,
            receipt,
            self._charged(receipt.logs),
            _callback_error(task, receipt.logs),
        )

    @contextmanager
    def _faults(self, task: Task, rule: Rule) -> Iterator[None]:
        """Inject the rule's faults into the chain while a response is sent."""
        provider, target = self.ai.provider, task.record.callback_target
        needs_callback = rule.callback_revert is not None or rule.callback_gas is not None
        if needs_callback and not task.record.has_callback:
            raise AssertionError(f"{task} without a callback, so none can fail")
        with ExitStack() as faults:
            if rule.callback_revert is not None:
                code = _reverting(rule.callback_revert)
                faults.enter_context(state.code_replaced(provider, target, code))
            if rule.callback_gas is not None:
                code = as_bytes(rpc.result(provider, "eth_getCode", [target, "latest"]))
                copy = as_hex(keccak(code)[12:])
                faults.enter_context(state.code_replaced(provider, copy, code))
                code = _with_gas(rule.callback_gas, copy)
                faults.enter_context(state.code_replaced(provider, target, code))
            yield

    def _charged(self, logs: Sequence[Log]) -> Amount:
        charges = SessionManager.session_charged.find(logs)
        return self.ai.token().units(sum(charge["amount"] for charge in charges))

    # Reading.

    @property
    def questions(self) -> list[Question]:
        """All questions since the test began that the node may answer, in the order of the chain.

        Includes questions that match no rule or have no answer.
        """
        return [task.question for task in self._tasks() if task.question]

    def _count(self) -> int:
        length = Call(self.ai.router, Router.get_pending_requests_length)
        return int(self.ai.read_one(length))

    def _records(self) -> dict[bytes, Record]:
        page = Call(self.ai.router, Router.get_pending_requests, (self._first, self._count()))
        # On the live variant, the list can hold an id twice.
        ids = list(dict.fromkeys(self.ai.read_one(page)))
        return dict(zip(ids, read_records(self.ai, ids), strict=True))

    def _tasks(self) -> list[Task]:
        """The requests that this node may answer, answered or not."""
        records = self._records()
        if not records:
            return []
        node = self.ai.node(self.network.node)
        models = {model.id: model for model in self.ai.models() if model.id in node.models}
        registration = Registration(node, models, self.ai.contracts())
        return [
            Task(
                request_id,
                record,
                models[record.model_id],
                decode_question(request_id, models[record.model_id], record),
            )
            for request_id, record in records.items()
            if registration.may_answer(record)
        ]

    def _age(self, request_id: bytes) -> int:
        provider = self.ai.provider
        topics = [Router.request_created.topic, as_hex(request_id)]
        created = reads.logs(provider, self.ai.router, topics, self.ai.deployment.first_block)
        head = as_int(rpc.result(provider, "eth_blockNumber", []))
        return head - created[-1].block_number

    # Asserting.

    def assert_asked(
        self,
        containing: str | None = None,
        *,
        when: When | None = None,
        model: str | None = None,
        times: int | None = None,
    ) -> list[Question]:
        """Assert that the node was asked, by a request that it may answer.

        Args:
            containing: A part of the question's text.
            when: A pattern or a function, as in :class:`~ape_dtn.testing.rules.Which`.
            model: Full name of the requested model.
            times: The exact number of questions; by default at least one.

        Returns:
            The matching questions.
        """
        rule = Rule()
        rule.narrow({"when": containing, "model": model})
        rule.narrow({"when": when})
        tasks = self._tasks()
        found = [task for task in tasks if rule.matches(task)]
        if len(found) != times if times is not None else not found:
            number = f"{times} questions" if times is not None else "a question"
            conditions = f" {rule.definition}" if rule.calls else ""
            raise AssertionError(f"Expected {number}{conditions}. {self._list_asked(tasks)}")
        return [task.question for task in found if task.question]

    def assert_not_asked(
        self,
        containing: str | None = None,
        *,
        when: When | None = None,
        model: str | None = None,
    ) -> None:
        """Assert that the node was not asked; see :meth:`assert_asked`."""
        self.assert_asked(containing, when=when, model=model, times=0)

    def assert_all_used(self) -> None:
        """Assert that every rule was used, and as often as its ``times``."""
        unused = [rule for rule in self.rules if rule.used < (rule.times or 1)]
        if unused:
            raise AssertionError(f"Rules not used, or too rarely:{_listed(unused)}")

    def assert_answered(self, request: RequestLike | None = None) -> Response:
        """Assert that a request got a SUCCESS, and that its callback did not revert.

        Args:
            request: The request; by default the only one of this test.

        Returns:
            The node's response.
        """
        response = self._response(request)
        if response.callback_error is not None:
            raise AssertionError(str(response.callback_error)) from response.callback_error
        if response.result is None or response.result.status is not Status.SUCCESS:
            reason = response.result.message if response.result else ""
            raise AssertionError(f"Request {response.request_id} got a FAILURE: {reason}")
        return response

    def assert_callback_failed(
        self, request: RequestLike | None = None, *, reason: str | None = None
    ) -> CallbackFailed:
        """Assert that the callback of an answered request reverted.

        Args:
            request: The request; by default the only one of this test.
            reason: A part of the reason, such as an error's name or message.

        Returns:
            The error, with the decoded reason in ``revert``.
        """
        error = self._response(request).callback_error
        if error is None:
            raise AssertionError("Expected the callback to revert, but it did not")
        if reason is not None and reason not in str(error):
            raise AssertionError(f"Expected the callback to revert with {reason!r}. {error}")
        return error

    def _response(self, request: RequestLike | None) -> Response:
        """The accepted response to a request."""
        wanted = None if request is None else as_hex(_id_of(request))
        candidates = [item for item in self.responses if wanted in (None, item.request_id)]
        accepted = [item for item in candidates if item.outcome is Outcome.RESPONDED]
        if wanted is None and len(accepted) > 1:
            raise AssertionError(f"{len(accepted)} requests were answered: pass the one to check")
        if not accepted:
            actions = _listed(
                f"{item.outcome.value} {item.request_id}: {item.error or ''}" for item in candidates
            )
            expected = "a request" if wanted is None else f"request {wanted}"
            raise AssertionError(f"Expected {expected} to be answered. The node did:{actions}")
        return accepted[-1]

    def _list_asked(self, tasks: Sequence[Task]) -> str:
        text = f"The node was asked:{_listed(tasks)}" if tasks else "The node was not asked."
        others = len(self._records()) - len(tasks)
        if others:
            text += f"\nRequests that do not trust it, or name a model it does not serve: {others}"
        return text


def _listed(lines: Iterable[object]) -> str:
    return "".join(f"\n  - {line}" for line in lines) or " nothing"


def _id_of(request: RequestLike) -> bytes:
    if isinstance(request, bytes):
        return bytes(request)
    return id_of(request if isinstance(request, str) else request.id, "request")


def _callback_error(task: Task, logs: Sequence[Log]) -> CallbackFailed | None:
    for event in (Router.success_callback_failed, Router.failure_callback_failed):
        for failed in event.find(logs):
            if failed["requestId"] == task.request_id:
                target = task.record.callback_target
                return callbacks.callback_failed(as_hex(task.request_id), target, failed["data"])
    return None


def _with_gas(gas: int, address: str) -> bytes:
    """Bytecode that delegates to the code at another address, with a gas limit."""
    to, limit = address.removeprefix("0x"), min(gas, 2**64 - 1)
    delegate_call = f"365f5f37 5f5f365f 73{to} 67{limit:016x} f4"
    return_or_revert = "3d5f5f3e 603157 3d5ffd 5b3d5ff3"
    return bytes.fromhex(delegate_call + return_or_revert)


def _reverting(data: bytes) -> bytes:
    """Bytecode that reverts with this data, which is appended to it."""
    size = f"61{len(data):04x}"
    return bytes.fromhex(f"{size}600c5f39{size}5ffd") + data
