"""An endpoint that misbehaves, by rules that are drawn at random from a grammar.

It stands between a process and its chain. Kind at first, it is unkind as long as it has rules: each
says what goes wrong, with which methods, how often at most, and how likely each time. Any of them
can be in force together.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from threading import Lock
from typing import Any, TypeAlias

from eth_utils import keccak

from benchmarks.rpc_counter import Disconnected, HttpError, RpcCounter

SEND = "eth_sendRawTransaction"
READS = "eth_"  # all others begin so

# What an endpoint says that does not take a transaction. None of it is in any file of the product.
WORDINGS = (
    "internal error",
    "context deadline exceeded",
    "service unavailable",
    "please try your request later",
    "upstream gave no reply",
    "pool overflow, evicting cheap entries",
    "sequencer is catching up",
    "the write path is disabled for maintenance",
    "daily quota spent",
    "0x: unexpected EOF",
)

# The most blocks that an answer is behind the chain.
DEEPEST_LAG = 3

# The longest that an answer is held back, in seconds.
LONGEST_DELAY = 0.05

# How many calls a batch may have, and how many blocks a range, where there is a limit.
BATCH_LIMIT = 3
RANGE_LIMIT = 5


class Fault(Enum):
    """What goes wrong."""

    DROP = "the request is lost"
    LOSE = "the answer is lost"
    DELAY = "the answer is late"
    CUT = "the answer ends in its middle"
    DUPLICATE = "the request comes twice"
    REORDER = "the answers of a batch come in another order"
    LAG = "the answer is of an older block"
    FORGET = "a transaction is not known any more"
    REFUSE = "a transaction is refused"
    REFUSE_AND_TAKE = "a transaction is refused, and mined later"
    TAKE_AND_DROP = "a transaction is taken, and dropped"
    LIMIT_RATE = "there are too many requests"
    LIMIT_BATCH = "there are too many calls in a batch"
    LIMIT_RANGE = "there are too many blocks in a range"
    MISSHAPE = "the answer is no JSON-RPC"


@dataclass
class Rule:
    """One way to misbehave.

    Attributes:
        fault: What goes wrong.
        methods: The methods that it goes wrong with, by how they begin.
        chance: How likely it is each time.
        left: How often it still may.
    """

    fault: Fault
    methods: str
    chance: float
    left: int

    def concerns(self, method: str) -> bool:
        """Whether it goes wrong with a method, perhaps."""
        return method.startswith(self.methods)


# What concerns sending, and what holds of all else. Not drawn yet: answers of older blocks to
# whatever is asked, which are told as if they were of the latest.
SENDING: Sequence[tuple[Fault, str]] = (
    (Fault.DROP, SEND),
    (Fault.LOSE, SEND),
    (Fault.DELAY, READS),
    (Fault.CUT, SEND),
    (Fault.DUPLICATE, SEND),
    (Fault.FORGET, "eth_getTransactionByHash"),
    (Fault.REFUSE, SEND),
    (Fault.REFUSE_AND_TAKE, SEND),
    (Fault.TAKE_AND_DROP, SEND),
    (Fault.LIMIT_RATE, SEND),
    (Fault.MISSHAPE, SEND),
    (Fault.LAG, "eth_getTransactionCount"),
    (Fault.LAG, "eth_getTransactionReceipt"),
    (Fault.REORDER, READS),
    (Fault.LIMIT_BATCH, READS),
    (Fault.LIMIT_RANGE, "eth_getLogs"),
    (Fault.FORGET, "eth_getTransactionReceipt"),
    (Fault.DROP, READS),
    (Fault.LOSE, READS),
    (Fault.CUT, READS),
    (Fault.DUPLICATE, READS),
    (Fault.LIMIT_RATE, READS),
    (Fault.MISSHAPE, READS),
)


def draw(chance: random.Random, grammar: Sequence[tuple[Fault, str]] = SENDING) -> list[Rule]:
    """One to three ways to misbehave, together."""
    return [
        Rule(fault, methods, chance.choice((0.1, 0.3, 0.7, 1.0)), chance.choice((1, 3, 12, 1000)))
        for fault, methods in chance.sample(grammar, chance.randint(1, 3))
    ]


Call: TypeAlias = "dict[str, Any]"


@dataclass
class Unkind(RpcCounter):
    """The endpoint; a context manager that serves while it is entered.

    Attributes:
        upstream: The chain's endpoint.
        rules: How it misbehaves; it is kind where there are none.
        late: Transactions that were refused, and are to be taken later.
    """

    upstream: str
    rules: Sequence[Rule] = ()
    late: list[str] = field(default_factory=list)
    _random: random.Random = field(default_factory=random.Random)
    _drawing: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        super().__init__(self.upstream)

    def be_unkind(self, rules: Sequence[Rule], seed: int) -> None:
        """Misbehaves from now on."""
        self.rules, self._random = rules, random.Random(seed)

    def be_kind(self) -> None:
        """Does all as it should from now on; what it is to take later is left to take."""
        self.rules = ()

    def take_late(self) -> None:
        """Takes what it has refused, as far as the chain still does."""
        with self._drawing:
            late, self.late = self.late, []
        for raw in late:
            self._ask(SEND, [raw])

    def answer(self, body: bytes) -> bytes:
        if not self.rules:
            return super().answer(body)
        asked = json.loads(body)
        calls = asked if isinstance(asked, list) else [asked]
        met = {rule.fault for rule in self.rules if self._is_met(rule, calls)}
        if Fault.DROP in met:
            raise Disconnected
        if Fault.LIMIT_RATE in met:
            raise HttpError(429, b'{"error": {"code": -32005, "message": "slow down"}}')
        if Fault.LIMIT_BATCH in met and len(calls) > BATCH_LIMIT:
            error = {"code": -32600, "message": "batch too large"}
            return json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
        if Fault.DELAY in met:
            time.sleep(self._random.uniform(0, LONGEST_DELAY))
        answers = [self._answer_to(call, met) for call in calls]
        if Fault.LOSE in met:
            raise Disconnected
        if Fault.REORDER in met:
            self._random.shuffle(answers)
        if Fault.MISSHAPE in met:
            return self._random.choice((b"<html>", b"null", b'"ok"', b"{}", b"[]"))
        told = json.dumps(answers if isinstance(asked, list) else answers[0]).encode()
        if Fault.CUT in met:
            raise Disconnected(told[: len(told) // 2])
        return told

    def _is_met(self, rule: Rule, calls: Sequence[Call]) -> bool:
        """Whether a rule is in force for a request, or for some of its calls."""
        if not any(rule.concerns(call["method"]) for call in calls):
            return False
        with self._drawing:
            if rule.left < 1 or self._random.random() > rule.chance:
                return False
            rule.left -= 1
        return True

    def _answer_to(self, call: Call, met: set[Fault]) -> Any:
        concerned = {rule.fault for rule in self.rules if rule.concerns(call["method"])} & met
        for fault, misbehave in _MISVARIANT.items():
            if fault in concerned and (told := misbehave(self, call)) is not None:
                return {"jsonrpc": "2.0", "id": call["id"], **told}
        answered = self._ask_upstream(call)
        if Fault.DUPLICATE in concerned:
            answered = self._ask_upstream(call)
        return answered

    def _refuse(self, call: Call) -> Any:
        if call["method"] != SEND:
            return None
        return {"error": {"code": -32000, "message": self._random.choice(WORDINGS)}}

    def _refuse_and_take(self, call: Call) -> Any:
        if call["method"] == SEND:
            with self._drawing:
                self.late.append(call["params"][0])
        return self._refuse(call)

    def _take_and_drop(self, call: Call) -> Any:
        if call["method"] != SEND:
            return None
        return {"result": "0x" + keccak(hexstr=call["params"][0]).hex()}

    def _forget(self, call: Call) -> Any:
        is_asked = call["method"] in ("eth_getTransactionByHash", "eth_getTransactionReceipt")
        return {"result": None} if is_asked else None

    def _limit_range(self, call: Call) -> Any:
        if call["method"] != "eth_getLogs":
            return None
        first, last = (call["params"][0].get(name, "latest") for name in ("fromBlock", "toBlock"))
        is_short = "latest" not in (first, last) and int(last, 16) - int(first, 16) < RANGE_LIMIT
        return None if is_short else {"error": {"code": -32005, "message": "range too large"}}

    def _lag(self, call: Call) -> Any:
        """The answer of a node that does not have the latest blocks yet."""
        head = int(self._ask("eth_blockNumber", [])["result"], 16)
        block = max(head - self._random.randint(1, DEEPEST_LAG), 0)
        if call["method"] == "eth_blockNumber":
            return {"result": hex(block)}
        if call["method"] in ("eth_getTransactionByHash", "eth_getTransactionReceipt"):
            found = self._ask(call["method"], call["params"])
            at = (found.get("result") or {}).get("blockNumber")
            return {"result": None} if at is None or int(at, 16) > block else found
        params = [hex(block) if each in ("latest", "pending") else each for each in call["params"]]
        return self._ask(call["method"], params) if params != call["params"] else None

    def _ask(self, method: str, params: Any) -> Any:
        told = self._ask_upstream({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return {name: told[name] for name in ("result", "error") if name in told}

    def _ask_upstream(self, call: Call) -> Any:
        return json.loads(super().answer(json.dumps(call).encode()))


# What is told in place of the chain's answer; None where that is told after all.
_MISVARIANT: Mapping[Fault, Callable[[Unkind, Call], Any]] = {
    Fault.REFUSE: Unkind._refuse,
    Fault.REFUSE_AND_TAKE: Unkind._refuse_and_take,
    Fault.TAKE_AND_DROP: Unkind._take_and_drop,
    Fault.FORGET: Unkind._forget,
    Fault.LIMIT_RANGE: Unkind._limit_range,
    Fault.LAG: Unkind._lag,
}
