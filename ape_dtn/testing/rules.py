"""What a test's node is told: to which questions, how often, with what, and with which fault."""

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


# Which questions are meant: by a part of their text, a pattern in it, or a function.
When: TypeAlias = "str | re.Pattern[str] | Callable[[Question], bool]"

# What a node is said to have read and written: no request offers so much, and the fee for it is
# still a number of 256 bits.
ENORMOUS = 2**64

BROKEN = REASON.selector + encode(["string"], ["the callback was broken by the test"])


class Which(TypedDict, total=False):
    """The questions that a rule is for; by default all, always.

    Attributes:
        when: A part of the question's text, a pattern that is searched in it, or a function of the
            :class:`~ape_dtn.node.answering.Question`.
        model: Full name of the model that is asked.
        times: How many of them.
    """

    when: When | None
    model: str | None
    times: int | None


class Telling(ABC):
    """All that a node can be told.

    Told to the node, it begins a rule; told to a rule, it adds to it::

        dtn_node.reply("sunny", when="weather")
        dtn_node.reply("late", times=1).delay(blocks=3)

    Of the rules that match a question, the first one counts. After one that is for all questions no
    other would ever count, and none can be told. A rule that is not told an answer, as by
    ``dtn_node.delay(blocks=3)``, answers text with what was asked. All methods take what
    :class:`Which` has, and raise ``InvalidOption`` for what could not be.
    """

    @abstractmethod
    def _rule(self, what: str) -> Rule:
        """The rule that is added to, when it is told this."""

    def reply(self, value: Any, **which: Unpack[Which]) -> Rule:
        """Answers with a value, of the type that the model gives.

        Args:
            value: Text for text models, bytes for image models; or a function of the question that
                gives it, in which ``BackendFailed`` makes a FAILURE, as it does in a backend.
            which: See :class:`Which`.
        """
        given = value if callable(value) else lambda _: value
        return self._tell(
            f"reply({value!r})", which, result=lambda task, store: _replied(task, given, store)
        )

    def reply_in_order(self, *values: Any, **which: Unpack[Which]) -> Rule:
        """Answers with one value after the other, each once."""
        following = iter(values)
        which.setdefault("times", len(values))
        rule = self.reply(lambda _: next(following), **which)
        rule.told[-1] = f"reply_in_order{values!r}"
        return rule

    def echo(self, **which: Unpack[Which]) -> Rule:
        """Answers text with the text that was asked, as the node of a local network does."""
        return self._tell("echo()", which, result=_echoed)

    def fail(self, message: str, **which: Unpack[Which]) -> Rule:
        """Responds with FAILURE. What is said of it is cut at 100 characters, as nodes do."""
        return self._tell(f"fail({message!r})", which, result=lambda *_: failure(message))

    def reply_wrong_type(
        self, value: Any = 42, kind: str = "uint256", **which: Unpack[Which]
    ) -> Rule:
        """Answers with a value of another ABI type than the model gives."""
        response = encode([kind], [value])
        return self._tell(
            f"reply_wrong_type({value!r}, {kind!r})", which, result=lambda *_: _success(response)
        )

    def reply_bytes(self, response: bytes, **which: Unpack[Which]) -> Rule:
        """Answers with a SUCCESS whose ``response`` is exactly this, whether it decodes or not."""
        return self._tell(f"reply_bytes({response!r})", which, result=lambda *_: _success(response))

    def ignore(self, **which: Unpack[Which]) -> Rule:
        """Does not answer; never, or with ``times`` not in so many rounds."""
        return self._tell("ignore()", which, is_ignored=True)

    def delay(self, *, blocks: int, **which: Unpack[Which]) -> Rule:
        """Answers in the first round that comes so many blocks after the request's.

        Nothing is mined for it: that is up to the test.
        """
        return self._tell(f"delay(blocks={blocks})", which, blocks=blocks)

    def overcharge(
        self, *, asked: int = ENORMOUS, answered: int = ENORMOUS, **which: Unpack[Which]
    ) -> Rule:
        """States other sizes than there are; by default so large that it takes all it can.

        Args:
            asked: The bytes that the request is said to have.
            answered: The bytes that the response is said to have.
            which: See :class:`Which`.
        """
        return self._tell(
            f"overcharge(asked={asked}, answered={answered})", which, sizes=(asked, answered)
        )

    def answer_untrusted(self, **which: Unpack[Which]) -> Rule:
        """Answers from another node, which the router refuses where a request does not trust it."""
        return self._tell("answer_untrusted()", which, is_untrusted=True)

    def answer_twice(self, **which: Unpack[Which]) -> Rule:
        """Answers, and then once more, which the router refuses."""
        return self._tell("answer_twice()", which, copies=2)

    def limit_gas(self, limit: int, **which: Unpack[Which]) -> Rule:
        """Sends the response with this gas limit, as a node may that saves.

        The callback gets at most 63 of 64 parts of what is left when it is called. With too little
        for the router itself to finish, the response reverts; on the reference variant, also
        with too little for all the gas that the callback was promised.
        """
        return self._tell(f"limit_gas({limit})", which, gas_limit=limit)

    def starve_callback(self, *, gas: int, **which: Unpack[Which]) -> Rule:
        """Runs the request's callback with this gas, as if no more had been asked for.

        The target has other code during the one transaction that responds, which runs its own with
        so much gas. Nodes alone cannot do that on the reference variant, and on the deployed one
        not to every callback: where it uses up less than some 250,000 gas, the 64th part that stays
        with the router does not suffice to finish, and nothing happens at all; see
        :meth:`limit_gas`.

        Raises:
            StateFixed: When it answers, on another chain than Anvil and Ape's in-process one.
        """
        return self._tell(f"starve_callback(gas={gas})", which, callback_gas=gas)

    def break_callback(self, data: bytes = BROKEN, **which: Unpack[Which]) -> Rule:
        """Makes the request's callback revert, whatever its contract does.

        The contract has other code during the one transaction that responds.

        Args:
            data: What it reverts with, as an encoded error.
            which: See :class:`Which`.

        Raises:
            StateFixed: When it answers, on another chain than Anvil and Ape's in-process one.
        """
        return self._tell("break_callback()", which, callback_revert=data)

    def _tell(self, what: str, which: Which, **doing: Any) -> Rule:
        rule = self._rule(what)
        rule.narrow(which)
        for name, value in doing.items():
            setattr(rule, name, value)
        rule.told.append(what)
        return rule


def _replied(task: Task, given: Callable[[Question], Any], store: Store) -> Result:
    from eth_abi.exceptions import EncodingError

    assert task.question is not None, "what cannot be decoded matches no rule"
    try:
        value = given(task.question)
    except BackendFailed as err:
        return failure(err.message)
    try:
        return success(task.model, task.record, value, store)
    except (EncodingError, TypeError, ValueError) as err:
        what = f"{value!r} is no {task.model.api.output}, which {task.model.name} gives"
        raise InvalidOption("reply", f"{what}; see reply_wrong_type()") from err


def _echoed(task: Task, store: Store) -> Result:
    return _replied(task, echo, store)


def _success(response: bytes) -> Result:
    return Result(Status.SUCCESS, "", response)


@dataclass(eq=False)
class Rule(Telling):
    """What a node does about the questions that it matches, as :class:`Telling` has told it.

    Attributes:
        told: What it was told, in the words of the test.
        conditions: What a request has to be like.
        times: How often it applies; None for always.
        used: How often it has applied.
        taken: The requests that are left to it and that it has not applied to yet.
        result: Gives what is responded.
        blocks: How many blocks have to pass first.
        is_ignored: Whether nothing is responded.
        is_untrusted: Whether the other node responds.
        copies: How often it responds.
        sizes: The sizes that are stated, asked and answered; None for the true ones.
        gas_limit: The gas limit of the response; None for enough.
        callback_gas: The gas that the callback is given; None for what was asked for.
        callback_revert: What the callback is made to revert with; None to let it run.
    """

    told: list[str] = field(default_factory=list)
    conditions: list[Callable[[Task], bool]] = field(default_factory=list)
    times: int | None = None
    used: int = 0
    taken: set[bytes] = field(default_factory=set)
    result: Callable[[Task, Store], Result] = _echoed
    blocks: int = 0
    is_ignored: bool = False
    is_untrusted: bool = False
    copies: int = 1
    sizes: tuple[int, int] | None = None
    gas_limit: int | None = None
    callback_gas: int | None = None
    callback_revert: bytes | None = None

    def __str__(self) -> str:
        return f"{self.what}, used {self.used} times"

    @property
    def what(self) -> str:
        """What it was told, in one line."""
        return " ".join(self.told)

    def narrow(self, which: Which) -> None:
        """Makes it for fewer questions.

        Raises:
            InvalidOption: Something of that means nothing.
            TypeError: There is no such condition.
        """
        if unknown := which.keys() - Which.__annotations__.keys():
            raise TypeError(f"a rule has no condition {', '.join(map(repr, sorted(unknown)))}")
        when, model, times = which.get("when"), which.get("model"), which.get("times")
        if when is not None:
            self.conditions.append(_condition(when))
            self.told.append(f"[when {when!r}]")
        if model is not None:
            self.conditions.append(lambda task: task.model.name == model)
            self.told.append(f"[model {model}]")
        if times is not None:
            if times < 1:
                raise InvalidOption("times", f"{times} is no number of questions")
            self.times = times
            self.told.append(f"[times {times}]")

    def matches(self, task: Task) -> bool:
        """Whether it applies to a request, after it has applied so often, and will to others."""
        others = self.taken - {task.request_id}
        is_left = self.times is None or self.used + len(others) < self.times
        return is_left and all(condition(task) for condition in self.conditions)

    @property
    def is_for_all(self) -> bool:
        """Whether it applies to all questions, always."""
        return self.times is None and not self.conditions

    def _rule(self, what: str) -> Rule:
        return self


def _condition(when: When) -> Callable[[Task], bool]:
    if isinstance(when, str):
        return lambda task: task.question is not None and when in task.question.text
    if isinstance(when, re.Pattern):
        return lambda task: task.question is not None and bool(when.search(task.question.text))
    return lambda task: task.question is not None and bool(when(task.question))
