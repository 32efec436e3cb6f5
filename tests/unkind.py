"""A proxy for a chain's endpoint, with faults that are drawn at random.

It forwards all requests until it gets rules. A rule has a fault, the methods that it applies to,
its probability, and how many times it applies at most. Several rules can apply at the same time.
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
READS = "eth_"  # the prefix of all methods, sending included

# Error messages for refused transactions. The package must not recognise any of them.
REFUSALS = (
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

# Maximum number of blocks that a lagging answer is behind the chain.
MAX_LAG = 3

# Maximum delay of an answer, in seconds.
MAX_DELAY = 0.05

# Maximum calls in a batch, and blocks in a range, if a rule limits them.
BATCH_LIMIT = 3
RANGE_LIMIT = 5


# The methods that the product calls.
METHODS = (
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_getBalance",
    "eth_getBlockByNumber",
    "eth_getCode",
    "eth_getLogs",
    "eth_getTransactionByHash",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_maxPriorityFeePerGas",
    SEND,
)

# Results of no valid type or shape, for any of these methods.
NO_RESULTS: Sequence[Any] = (
    True,
    5,
    -1.5,
    "",
    "x",
    "0xzz",
    [None],
    [{}],
    {},
    {"number": "0x"},
    [[]],
)

# Codes and messages of endpoints that are rate limited or busy.
BUSY_WORDS: Sequence[tuple[int, str]] = (
    (429, "compute units per second capacity exceeded"),
    (-32005, "project ID request rate exceeded"),
    (-32007, "15/second request limit reached"),
    (-32090, "call rate limit exhausted"),
    (-32097, "rate limit exceeded"),
    (-32016, "over rate limit"),
    (-32011, "no backend is currently healthy to serve traffic"),
    (19, "Temporary internal error. Please retry"),
    (-32000, "the node is too busy"),
    (-32099, "hush, one at a time, and slow down"),
)


class Fault(Enum):
    DROP = "the request is lost"
    LOSE = "the request is processed, and its answer is lost"
    DELAY = "the answer is late"
    CUT = "the answer is truncated"
    DUPLICATE = "the request is processed twice"
    REORDER = "the answers of a batch are in random order"
    LAG = "the answer is of an older block"
    FORGET = "a transaction is unknown"
    REFUSE = "a transaction is refused"
    REFUSE_AND_TAKE = "a transaction is refused, and mined later"
    TAKE_AND_DROP = "a transaction is accepted, and dropped"
    LIMIT_RATE = "there are too many requests"
    LIMIT_BATCH = "there are too many calls in a batch"
    LIMIT_RANGE = "there are too many blocks in a range"
    MISSHAPE = "the answer is not JSON-RPC"
    BUSY = "the endpoint is busy, and says so in one of many ways"
    MISPAIR = "answers of a batch are missing, doubled or of other requests"
    WRONG_TYPE = "a result is of another type or shape"
    PRUNE = "the state of a numbered block is pruned"
    UNSUPPORTED = "a method is not supported"
    GREED = "the suggested tip is absurd"


@dataclass
class Rule:
    """A fault, and when it applies.

    Attributes:
        fault: The fault.
        methods: Prefix of the methods that it applies to.
        chance: Its probability for each request.
        remaining: How many more times it applies at most.
    """

    fault: Fault
    methods: str
    chance: float
    remaining: int

    def applies_to(self, method: str) -> bool:
        return method.startswith(self.methods)


# Faults of sending, and faults of other calls. Lagging answers are limited to nonces and receipts.
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
    (Fault.BUSY, READS),
    (Fault.BUSY, SEND),
    (Fault.MISPAIR, READS),
    (Fault.WRONG_TYPE, READS),
    *((Fault.WRONG_TYPE, method) for method in METHODS),
    (Fault.PRUNE, "eth_getTransactionCount"),
    (Fault.UNSUPPORTED, "eth_feeHistory"),
    (Fault.UNSUPPORTED, "eth_maxPriorityFeePerGas"),
    (Fault.GREED, "eth_maxPriorityFeePerGas"),
)


def draw_rules(chance: random.Random, grammar: Sequence[tuple[Fault, str]] = SENDING) -> list[Rule]:
    return [
        Rule(fault, methods, chance.choice((0.1, 0.3, 0.7, 1.0)), chance.choice((1, 3, 12, 1000)))
        for fault, methods in chance.sample(grammar, chance.randint(1, 3))
    ]


Call: TypeAlias = "dict[str, Any]"


@dataclass
class FaultyEndpoint(RpcCounter):
    """The proxy; a context manager.

    Attributes:
        upstream: URL of the chain's endpoint.
        rules: The rules; without any, all requests are forwarded.
        refused: Refused transactions that will be delivered later.
    """

    upstream: str
    rules: Sequence[Rule] = ()
    refused: list[str] = field(default_factory=list)
    _random: random.Random = field(default_factory=random.Random)
    _random_lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        super().__init__(self.upstream)

    def start_faults(self, rules: Sequence[Rule], seed: int) -> None:
        """Applies the rules from now on."""
        self.rules, self._random = rules, random.Random(seed)

    def stop_faults(self) -> None:
        """Forwards all requests from now on. Refused transactions stay to be delivered."""
        self.rules = ()

    def deliver_refused(self) -> None:
        """Sends the refused transactions to the chain, which may reject them."""
        with self._random_lock:
            refused, self.refused = self.refused, []
        for raw in refused:
            self._ask(SEND, [raw])

    def answer(self, body: bytes) -> bytes:
        if not self.rules:
            return super().answer(body)
        asked = json.loads(body)
        calls = asked if isinstance(asked, list) else [asked]
        active = {rule.fault for rule in self.rules if self._is_active(rule, calls)}
        if Fault.DROP in active:
            raise Disconnected
        if Fault.LIMIT_RATE in active:
            raise HttpError(429, b'{"error": {"code": -32005, "message": "slow down"}}')
        if Fault.LIMIT_BATCH in active and len(calls) > BATCH_LIMIT:
            error = {"code": -32600, "message": "batch too large"}
            return json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
        if Fault.BUSY in active:
            return self._be_busy(asked)
        if Fault.DELAY in active:
            time.sleep(self._random.uniform(0, MAX_DELAY))
        answers = [self._answer_to(call, active) for call in calls]
        if Fault.LOSE in active:
            raise Disconnected
        if Fault.REORDER in active:
            self._random.shuffle(answers)
        if Fault.MISPAIR in active and len(answers) > 1:
            answers = self._mispair(answers)
        if Fault.MISSHAPE in active:
            return self._random.choice((b"<html>", b"null", b'"ok"', b"{}", b"[]"))
        response = json.dumps(answers if isinstance(asked, list) else answers[0]).encode()
        if Fault.CUT in active:
            raise Disconnected(response[: len(response) // 2])
        return response

    def _is_active(self, rule: Rule, calls: Sequence[Call]) -> bool:
        """Draws whether a rule applies to a request."""
        if not any(rule.applies_to(call["method"]) for call in calls):
            return False
        with self._random_lock:
            if rule.remaining < 1 or self._random.random() > rule.chance:
                return False
            rule.remaining -= 1
        return True

    def _answer_to(self, call: Call, active: set[Fault]) -> Any:
        faults = {rule.fault for rule in self.rules if rule.applies_to(call["method"])} & active
        for fault, respond in _RESPONSES.items():
            if fault in faults and (answer := respond(self, call)) is not None:
                return {"jsonrpc": "2.0", "id": call["id"], **answer}
        answer = self._ask_upstream(call)
        if Fault.DUPLICATE in faults:
            answer = self._ask_upstream(call)
        return answer

    def _be_busy(self, asked: Any) -> bytes:
        """Refuse a request as too many, in one of many forms."""
        code, message = self._random.choice(BUSY_WORDS)
        error = {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}
        headers = self._random.choice(({}, {"Retry-After": "0"}, {"Retry-After": "1"}))
        shape = self._random.randrange(5)
        if shape == 0:
            raise HttpError(429, json.dumps(error).encode(), headers)
        if shape == 1:
            raise HttpError(self._random.choice((429, 502, 503, 504)), b"<html>no</html>", headers)
        if shape == 2 and isinstance(asked, list):
            return json.dumps([{**error, "id": call["id"]} for call in asked]).encode()
        return json.dumps([error] if shape == 3 else error).encode()

    def _mispair(self, answers: list[Any]) -> list[Any]:
        """Drop, double or mislabel one answer of a batch."""
        place = self._random.randrange(len(answers))
        other = self._random.choice((answers[place - 1]["id"], 10**9, None, "1"))
        return self._random.choice(
            (
                answers[:place] + answers[place + 1 :],
                [*answers, answers[place]],
                [*answers[:place], {**answers[place], "id": other}, *answers[place + 1 :]],
            )
        )

    def _wrong_type(self, call: Call) -> Any:
        if call["method"] == SEND:
            self._ask(call["method"], call["params"])
        return {"result": self._random.choice(NO_RESULTS)}

    def _prune(self, call: Call) -> Any:
        if call["params"][-1] in ("latest", "pending"):
            return None
        return {"error": {"code": -32000, "message": "missing trie node 00 (path )"}}

    def _not_support(self, call: Call) -> Any:
        message = f"the method {call['method']} does not exist/is not available"
        return {"error": {"code": -32601, "message": message}}

    def _be_greedy(self, call: Call) -> Any:
        return {"result": hex(10**21)}

    def _refuse(self, call: Call) -> Any:
        if call["method"] != SEND:
            return None
        return {"error": {"code": -32000, "message": self._random.choice(REFUSALS)}}

    def _refuse_and_take(self, call: Call) -> Any:
        if call["method"] == SEND:
            with self._random_lock:
                self.refused.append(call["params"][0])
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
        """The answer of a node that lacks the latest blocks."""
        head = int(self._ask("eth_blockNumber", [])["result"], 16)
        block = max(head - self._random.randint(1, MAX_LAG), 0)
        if call["method"] == "eth_blockNumber":
            return {"result": hex(block)}
        if call["method"] in ("eth_getTransactionByHash", "eth_getTransactionReceipt"):
            found = self._ask(call["method"], call["params"])
            at = (found.get("result") or {}).get("blockNumber")
            return {"result": None} if at is None or int(at, 16) > block else found
        params = [
            hex(block) if value in ("latest", "pending") else value for value in call["params"]
        ]
        return self._ask(call["method"], params) if params != call["params"] else None

    def _ask(self, method: str, params: Any) -> Any:
        answer = self._ask_upstream({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return {name: answer[name] for name in ("result", "error") if name in answer}

    def _ask_upstream(self, call: Call) -> Any:
        return json.loads(super().answer(json.dumps(call).encode()))


# Answers that replace the chain's answer. None means that the call is forwarded.
_RESPONSES: Mapping[Fault, Callable[[FaultyEndpoint, Call], Any]] = {
    Fault.REFUSE: FaultyEndpoint._refuse,
    Fault.REFUSE_AND_TAKE: FaultyEndpoint._refuse_and_take,
    Fault.TAKE_AND_DROP: FaultyEndpoint._take_and_drop,
    Fault.FORGET: FaultyEndpoint._forget,
    Fault.LIMIT_RANGE: FaultyEndpoint._limit_range,
    Fault.LAG: FaultyEndpoint._lag,
    Fault.WRONG_TYPE: FaultyEndpoint._wrong_type,
    Fault.PRUNE: FaultyEndpoint._prune,
    Fault.UNSUPPORTED: FaultyEndpoint._not_support,
    Fault.GREED: FaultyEndpoint._be_greedy,
}
