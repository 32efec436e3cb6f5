"""A node that answers as a test tells it, when the test tells it, and fails as it is told."""

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
from ape_dtn.testing.rules import Rule, Telling, When
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


# A request, as tests have it: the SDK's, or a contract's id of it.
RequestLike: TypeAlias = "DtnRequest | bytes | str"


class DtnTestNode(Telling):
    """A node of the tests. What it is told is in :class:`~ape_dtn.testing.rules.Telling`.

    It does nothing by itself: :meth:`answer` answers what is asked at that moment. Told nothing, it
    answers text with what was asked. Once it has been told anything, a question that no rule
    matches fails the test.

    Args:
        network: The network.
        otherwise: What answers the questions that no rule matches, such as a
            :mod:`cassette <ape_dtn.testing.cassettes>`.
    """

    def __init__(self, network: DtnTestNetwork, otherwise: Backend | None = None) -> None:
        self.network = network
        self.ai: DtnAi = network.ai
        self.otherwise = otherwise
        self.rules: list[Rule] = []
        self.responses: list[Response] = []
        self._first = self._count()  # what was asked before this test

    def __repr__(self) -> str:
        return f"<DtnTestNode {self.network.node}>"

    def _rule(self, what: str) -> Rule:
        whole = next((rule for rule in self.rules if rule.is_for_all), None)
        if whole is not None:
            reason = (
                f"{whole.what} is for all questions, and leaves none to it; add to that by "
                f"dtn_node.{whole.what}.{what}, narrow it by when, model or times, or begin anew "
                "by dtn_node.rules.clear()"
            )
            raise InvalidOption(what, reason)
        self.rules.append(Rule())
        return self.rules[-1]

    # Answering.

    def answer(self) -> list[Response]:
        """Answers what is asked and has no answer, in the order in which it was asked.

        Returns:
            What it did about each.

        Raises:
            AssertionError: No rule matches a question. Nothing was answered then.
            InvalidOption: A reply is not of the type that its model gives.
            StateFixed: A fault is beyond what the connected chain can be made to do.
        """
        pending = [task for task in self._tasks() if task.record.status is Status.PENDING]
        done: list[Response] = []
        for task, rule in self._chosen(pending):
            followed = self._follow(task, rule)
            self.responses += followed
            done += followed
        return done

    def _chosen(self, tasks: Sequence[Task]) -> list[tuple[Task, Rule | None]]:
        """The rule of each request; None for one whose time has not come."""
        chosen: list[tuple[Task, Rule]] = []
        for task in tasks:
            rule = self._rule_for(task)
            if rule is None:
                raise AssertionError(
                    f"{task}, and nothing was told for it. The node was told:{_listed(self.rules)}"
                )
            rule.taken.add(task.request_id)
            chosen.append((task, rule))
        return [(task, rule if self._is_due(task, rule) else None) for task, rule in chosen]

    def _is_due(self, task: Task, rule: Rule) -> bool:
        """Whether a request's time has come; its rule then has applied."""
        if rule.blocks and self._age(task.request_id) < rule.blocks:
            return False
        rule.taken.remove(task.request_id)
        rule.used += 1
        return True

    def _rule_for(self, task: Task) -> Rule | None:
        if task.question is None:  # as the live node software does
            return Rule(result=lambda *_: failure(NOT_PARSABLE))
        rule = next((rule for rule in self.rules if rule.matches(task)), None)
        if rule is None and self.otherwise is not None:
            return Rule().reply(self.otherwise)
        return rule if self.rules else Rule()

    def _follow(self, task: Task, rule: Rule | None) -> list[Response]:
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
            said = (result.status, result.message, result.response, id_of(node, "node"))
            data = Router.respond_to_request.encode(task.request_id, *said, *rule.sizes)
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
        """What the chain is made to do while a response is sent."""
        provider, target = self.ai.provider, task.record.callback_target
        is_about_callback = rule.callback_revert is not None or rule.callback_gas is not None
        if is_about_callback and not task.record.has_callback:
            raise AssertionError(f"{task}, without a callback that could fail")
        with ExitStack() as faults:
            if rule.callback_revert is not None:
                code = _reverting(rule.callback_revert)
                faults.enter_context(state.code_replaced(provider, target, code))
            if rule.callback_gas is not None:
                code = as_bytes(rpc.result(provider, "eth_getCode", [target, "latest"]))
                moved = as_hex(keccak(code)[12:])
                faults.enter_context(state.code_replaced(provider, moved, code))
                code = _with_gas(rule.callback_gas, moved)
                faults.enter_context(state.code_replaced(provider, target, code))
            yield

    def _charged(self, logs: Sequence[Log]) -> Amount:
        charges = SessionManager.session_charged.find(logs)
        return self.ai.token().units(sum(each["amount"] for each in charges))

    # Reading.

    @property
    def questions(self) -> list[Question]:
        """All that this node could have answered since the test began, in the order of the chain.

        What no rule has been told for is among them, and what has no answer.
        """
        return [task.question for task in self._tasks() if task.question]

    def _count(self) -> int:
        length = Call(self.ai.router, Router.get_pending_requests_length)
        return int(self.ai.read_one(length))

    def _records(self) -> dict[bytes, Record]:
        """All requests since the test began, whoever may answer them."""
        page = Call(self.ai.router, Router.get_pending_requests, (self._first, self._count()))
        # On the live variant, one id can be there twice.
        ids = list(dict.fromkeys(self.ai.read_one(page)))
        return dict(zip(ids, read_records(self.ai, ids), strict=True))

    def _tasks(self) -> list[Task]:
        """What this node may answer, or might have answered."""
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
        """How many blocks have come after the one that holds a request."""
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
        """Asserts that it was asked, by a request that it may answer.

        Args:
            containing: A part of the question's text.
            when: Or a pattern or a function, as in :class:`~ape_dtn.testing.rules.Which`.
            model: Full name of the model that was asked.
            times: How often, exactly; by default at least once.

        Returns:
            The questions that are meant.
        """
        rule = Rule()
        rule.narrow({"when": containing, "model": model})
        rule.narrow({"when": when})
        tasks = self._tasks()
        found = [task for task in tasks if rule.matches(task)]
        if len(found) != times if times is not None else not found:
            wanted = f"{times} times" if times is not None else "at least once"
            what = f"asked {rule.what} {wanted}" if rule.told else f"asked {wanted}"
            raise AssertionError(f"The node was to be {what}. {self._asked(tasks)}")
        return [task.question for task in found if task.question]

    def assert_not_asked(
        self,
        containing: str | None = None,
        *,
        when: When | None = None,
        model: str | None = None,
    ) -> None:
        """Asserts that it was not asked; see :meth:`assert_asked`."""
        self.assert_asked(containing, when=when, model=model, times=0)

    def assert_all_used(self) -> None:
        """Asserts that each rule has applied, and as often as it was told to."""
        unused = [rule for rule in self.rules if rule.used < (rule.times or 1)]
        if unused:
            raise AssertionError(f"Not all was used that the node was told:{_listed(unused)}")

    def assert_answered(self, request: RequestLike | None = None) -> Response:
        """Asserts that a request was answered with a success, and that its callback ran.

        Args:
            request: The request; by default the only one of this test.

        Returns:
            What the node did.
        """
        response = self._response(request)
        if response.callback_error is not None:
            raise AssertionError(str(response.callback_error)) from response.callback_error
        if response.result is None or response.result.status is not Status.SUCCESS:
            said = response.result.message if response.result else ""
            raise AssertionError(f"Request {response.request_id} was answered with FAILURE: {said}")
        return response

    def assert_callback_failed(
        self, request: RequestLike | None = None, *, reason: str | None = None
    ) -> CallbackFailed:
        """Asserts that the callback of a request reverted when it was answered.

        Args:
            request: The request; by default the only one of this test.
            reason: A part of the reason, as an error's name or its text.

        Returns:
            The error, with the decoded reason in ``revert``.
        """
        error = self._response(request).callback_error
        if error is None:
            raise AssertionError("The callback was to revert, and did not")
        if reason is not None and reason not in str(error):
            raise AssertionError(f"The callback was to revert for {reason!r}. {error}")
        return error

    def _response(self, request: RequestLike | None) -> Response:
        """The response to a request that the router has taken."""
        wanted = None if request is None else as_hex(_id_of(request))
        about = [each for each in self.responses if wanted in (None, each.request_id)]
        taken = [each for each in about if each.outcome is Outcome.RESPONDED]
        which = "A request" if wanted is None else f"Request {wanted}"
        if wanted is None and len(taken) > 1:
            raise AssertionError(f"{len(taken)} requests were answered: say which one is meant")
        if not taken:
            done = _listed(
                f"{each.outcome.value} {each.request_id}: {each.error or ''}" for each in about
            )
            raise AssertionError(f"{which} was to be answered. The node has done:{done}")
        return taken[-1]

    def _asked(self, tasks: Sequence[Task]) -> str:
        told = f"It was asked:{_listed(tasks)}" if tasks else "It was asked nothing."
        others = len(self._records()) - len(tasks)
        if others:
            told += f"\n{others} more requests do not trust it, or name a model it does not serve."
        return told


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
    """Code that runs the code of another address in its own place, with so much gas."""
    to, given = address.removeprefix("0x"), min(gas, 2**64 - 1)
    asked = f"365f5f37 5f5f365f 73{to} 67{given:016x} f4"
    told = "3d5f5f3e 603157 3d5ffd 5b3d5ff3"
    return bytes.fromhex(asked + told)


def _reverting(data: bytes) -> bytes:
    """Code that copies the data behind it to memory, and reverts with it."""
    size = f"61{len(data):04x}"
    return bytes.fromhex(f"{size}600c5f39{size}5ffd") + data
