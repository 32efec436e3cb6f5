"""The rules of the mock node: which questions to answer, with what, and with which fault."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from eth_abi import encode
from typing_extensions import Unpack

from ape_dtn.chain.reverts import REASON
from ape_dtn.ipfs.errors import BackendFailed
from ape_dtn.node.answering import Result, failure, success
from ape_dtn.node.backends.echo import echo
from ape_dtn.types.answer import Status
from ape_dtn.types.errors import InvalidOption

if TYPE_CHECKING:
    from ape_dtn.node.answering import Question, Store
    from ape_dtn.testing.responses import Task


# Selects questions by a part of their text, a pattern in it, or a function.
When: TypeAlias = "str | re.Pattern[str] | Callable[[Question], bool]"

# A size whose fee exceeds every request's maximum cost and still fits in 256 bits.
ENORMOUS = 2**64

BROKEN = REASON.selector + encode(["string"], ["the callback was broken by the test"])


class Which(TypedDict, total=False):
    """The conditions of a rule; without any, it applies to all questions, always.

    Attributes:
        when: A part of the question's text, a pattern searched in it, or a function of the
            :class:`~ape_dtn.node.answering.Question`.
        model: Full name of the requested model.
        times: How many questions it applies to.
    """

    when: When | None
    model: str | None
    times: int | None


class RuleMethods(ABC):
    """The methods that define rules.

    Called on the node, they add a rule; called on a rule, they extend it::

        dtn_node.reply("sunny", when="weather")
        dtn_node.reply("late", times=1).delay(blocks=3)

    The first matching rule applies. A rule without conditions must be the last one. A rule without
    an answer, such as ``dtn_node.delay(blocks=3)``, answers text with the question. All methods
    take the arguments of :class:`Which`, and raise ``InvalidOption`` for invalid ones.
    """

    @abstractmethod
    def _rule(self, call: str) -> Rule:
        """The rule to extend with this call."""

    def reply(self, value: Any, **which: Unpack[Which]) -> Rule:
        """Answer with a value of the model's output type.

        Args:
            value: Text for text models, bytes for image models; or a function of the question that
                returns it. If the function raises ``BackendFailed``, the response is a FAILURE.
            which: See :class:`Which`.
        """
        function = value if callable(value) else lambda _: value
        return self._add(
            f"reply({value!r})", which, result=lambda task, store: _reply(task, function, store)
        )

    def reply_in_order(self, *values: Any, **which: Unpack[Which]) -> Rule:
        """Answer with these values in order, each once."""
        remaining = iter(values)
        which.setdefault("times", len(values))
        rule = self.reply(lambda _: next(remaining), **which)
        rule.calls[-1] = f"reply_in_order{values!r}"
        return rule

    def echo(self, **which: Unpack[Which]) -> Rule:
        """Answer text with the question, as the node of a local network does."""
        return self._add("echo()", which, result=_echo)

    def fail(self, message: str, **which: Unpack[Which]) -> Rule:
        """Respond with FAILURE. The message is truncated to 100 characters, as nodes do."""
        return self._add(f"fail({message!r})", which, result=lambda *_: failure(message))

    def reply_wrong_type(
        self, value: Any = 42, kind: str = "uint256", **which: Unpack[Which]
    ) -> Rule:
        """Answer with a value of another ABI type than the model's output."""
        response = encode([kind], [value])
        return self._add(
            f"reply_wrong_type({value!r}, {kind!r})", which, result=lambda *_: _success(response)
        )

    def reply_bytes(self, response: bytes, **which: Unpack[Which]) -> Rule:
        """Respond with a SUCCESS whose ``response`` is exactly these bytes, valid or not."""
        return self._add(f"reply_bytes({response!r})", which, result=lambda *_: _success(response))

    def ignore(self, **which: Unpack[Which]) -> Rule:
        """Do not answer. With ``times``, skip that many calls of ``answer()``."""
        return self._add("ignore()", which, is_ignored=True)

    def delay(self, *, blocks: int, **which: Unpack[Which]) -> Rule:
        """Answer in the first call of ``answer()`` at least ``blocks`` after the request's block.

        It does not mine blocks; the test has to.
        """
        return self._add(f"delay(blocks={blocks})", which, blocks=blocks)

    def overcharge(
        self, *, asked: int = ENORMOUS, answered: int = ENORMOUS, **which: Unpack[Which]
    ) -> Rule:
        """State false sizes; by default so large that the response costs the maximum.

        Args:
            asked: The stated size of the request, in bytes.
            answered: The stated size of the response, in bytes.
            which: See :class:`Which`.
        """
        return self._add(
            f"overcharge(asked={asked}, answered={answered})", which, sizes=(asked, answered)
        )

    def answer_untrusted(self, **which: Unpack[Which]) -> Rule:
        """Answer from another node, which the router rejects unless the request trusts it."""
        return self._add("answer_untrusted()", which, is_untrusted=True)

    def answer_twice(self, **which: Unpack[Which]) -> Rule:
        """Answer, and then respond again, which the router rejects."""
        return self._add("answer_twice()", which, copies=2)

    def limit_gas(self, limit: int, **which: Unpack[Which]) -> Rule:
        """Send the response with this gas limit, like a node that saves gas.

        The callback gets at most 63/64 of the gas left when it is called. The response reverts if
        the router itself runs out of gas; on the reference variant also if the callback would get
        less gas than was paid for.
        """
        return self._add(f"limit_gas({limit})", which, gas_limit=limit)

    def starve_callback(self, *, gas: int, **which: Unpack[Which]) -> Rule:
        """Run the request's callback with this gas, as if no more had been paid for.

        During the responding transaction, the target has other code, which calls the original code
        with this gas. A gas limit cannot do that: on the reference variant, the response reverts;
        on the live variant, the router itself runs out of gas unless the callback uses more than
        about 250,000. See :meth:`limit_gas`.

        Raises:
            StateFixed: Raised by ``answer()``: the chain is neither Anvil nor Ape's in-process
            chain.
        """
        return self._add(f"starve_callback(gas={gas})", which, callback_gas=gas)

    def break_callback(self, data: bytes = BROKEN, **which: Unpack[Which]) -> Rule:
        """Make the request's callback revert, whatever its contract does.

        The target has other code during the responding transaction.

        Args:
            data: The revert data, an encoded error.
            which: See :class:`Which`.

        Raises:
            StateFixed: In ``answer()``, if the chain is neither Anvil nor Ape's in-process chain.
        """
        return self._add("break_callback()", which, callback_revert=data)

    def _add(self, call: str, which: Which, **attributes: Any) -> Rule:
        rule = self._rule(call)
        rule.narrow(which)
        for name, value in attributes.items():
            setattr(rule, name, value)
        rule.calls.append(call)
        return rule


def _reply(task: Task, function: Callable[[Question], Any], store: Store) -> Result:
    from eth_abi.exceptions import EncodingError

    assert task.question is not None, "undecodable questions match no rule"
    try:
        value = function(task.question)
    except BackendFailed as err:
        return failure(err.message)
    try:
        return success(task.model, task.record, value, store)
    except (EncodingError, TypeError, ValueError) as err:
        reason = f"{value!r} is not a {task.model.api.output}, the output of {task.model.name}"
        raise InvalidOption("reply", f"{reason}; see reply_wrong_type()") from err


def _echo(task: Task, store: Store) -> Result:
    return _reply(task, echo, store)


def _success(response: bytes) -> Result:
    return Result(Status.SUCCESS, "", response)


@dataclass(eq=False)
class Rule(RuleMethods):
    """How the node responds to the matching questions. See :class:`RuleMethods` for its methods.

    Attributes:
        calls: The method calls that defined it, as text for messages.
        conditions: Conditions that a request must meet.
        times: How often it applies; None for always.
        used: How often it has applied.
        reserved: Matching requests that still wait for the rule's delay.
        result: Produces the content of the response.
        blocks: Delay in blocks.
        is_ignored: Whether there is no response.
        is_untrusted: Whether the untrusted node responds.
        copies: How many responses are sent.
        sizes: Stated sizes of request and response; None for the true ones.
        gas_limit: Gas limit of the response; None for enough.
        callback_gas: Gas for the callback; None for what was paid for.
        callback_revert: Revert data of the callback; None to run it.
    """

    calls: list[str] = field(default_factory=list)
    conditions: list[Callable[[Task], bool]] = field(default_factory=list)
    times: int | None = None
    used: int = 0
    reserved: set[bytes] = field(default_factory=set)
    result: Callable[[Task, Store], Result] = _echo
    blocks: int = 0
    is_ignored: bool = False
    is_untrusted: bool = False
    copies: int = 1
    sizes: tuple[int, int] | None = None
    gas_limit: int | None = None
    callback_gas: int | None = None
    callback_revert: bytes | None = None

    def __str__(self) -> str:
        return f"{self.definition}, used {self.used} times"

    @property
    def definition(self) -> str:
        """The method calls that defined the rule, in one line."""
        return " ".join(self.calls)

    def narrow(self, which: Which) -> None:
        """Add conditions.

        Raises:
            InvalidOption: ``times`` is less than 1.
            TypeError: There is no such condition.
        """
        if unknown := which.keys() - Which.__annotations__.keys():
            raise TypeError(f"rules have no condition {', '.join(map(repr, sorted(unknown)))}")
        when, model, times = which.get("when"), which.get("model"), which.get("times")
        if when is not None:
            self.conditions.append(_condition(when))
            self.calls.append(f"[when {when!r}]")
        if model is not None:
            self.conditions.append(lambda task: task.model.name == model)
            self.calls.append(f"[model {model}]")
        if times is not None:
            if times < 1:
                raise InvalidOption("times", f"{times} is less than 1")
            self.times = times
            self.calls.append(f"[times {times}]")

    def matches(self, task: Task) -> bool:
        """Whether the rule applies to a request and has uses left."""
        reserved = self.reserved - {task.request_id}
        has_uses_left = self.times is None or self.used + len(reserved) < self.times
        return has_uses_left and all(condition(task) for condition in self.conditions)

    @property
    def is_for_all(self) -> bool:
        """Whether the rule applies to all questions, without a limit."""
        return self.times is None and not self.conditions

    def _rule(self, call: str) -> Rule:
        return self


def _condition(when: When) -> Callable[[Task], bool]:
    if isinstance(when, str):
        return lambda task: task.question is not None and when in task.question.text
    if isinstance(when, re.Pattern):
        return lambda task: task.question is not None and bool(when.search(task.question.text))
    return lambda task: task.question is not None and bool(when(task.question))
