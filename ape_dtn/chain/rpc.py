"""JSON-RPC to the connected chain: many requests at once, each with its own result or failure.

All requests go through :func:`ask`. Until one deadline, it splits batches that the endpoint
refuses, waits while the endpoint is busy, and repeats reads whose answers were lost or malformed.
It never repeats a broadcast that may have arrived: the sender has to look at the chain first.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ape_dtn.chain.endpoint import Answer, Endpoint, Unanswered, endpoint_of, no_answer
from ape_dtn.chain.errors import ChainUnreachable, RpcRefused
from ape_dtn.chain.refusals import failure
from ape_dtn.chain.results import is_result
from ape_dtn.types.http import explain_error
from ape_dtn.types.polling import POLICY, Deadline, patience
from ape_dtn.types.redact import hide_secrets
from ape_dtn.types.rpc import Failure, Refusal

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI

    from ape_dtn.types.rpc import Request


# Methods that only read, and may be repeated.
_READS = re.compile(
    r"eth_(get|call|estimateGas|blockNumber|chainId|feeHistory|gasPrice|maxPriority|accounts)|"
    r"net_|web3_|debug_|trace_"
)

# After a batch is refused, requests are sent alone. When this many of one method are refused for
# the batch's reason, the method's other requests count as refused, too.
_REFUSED_ALIKE = 3


def ask(provider: ProviderAPI, requests: Sequence[Request], as_one: bool = False) -> list[Any]:
    """Send requests in as few HTTP requests as possible, one for up to 1,000 of them.

    Args:
        provider: The connection.
        requests: The requests.
        as_one: Whether all answers must be of one view of the chain: if one request is repeated,
            all are.

    Returns:
        The result or :class:`~ape_dtn.types.rpc.Failure` of each request, in order.

    Raises:
        ChainUnreachable: The endpoint did not answer.
    """
    from web3.providers.eth_tester import EthereumTesterProvider

    web3 = _web3(provider)
    if isinstance(web3.provider, EthereumTesterProvider):
        return [_ask_in_process(web3, request) for request in requests]
    seconds = min(POLICY.rpc_patience, provider.network.transaction_acceptance_timeout)
    asking = _Asking(endpoint(provider), requests, as_one, patience(seconds))
    try:
        return asking.run()
    except Unanswered as err:
        unreachable = ChainUnreachable(hide_secrets(_uri(provider)), hide_secrets(str(err)))
        unreachable.retry_after = err.retry_after
        unreachable.retryable = err.refusal.is_passing
        raise unreachable from err


def probe(url: str) -> None:
    """Ask an endpoint for its chain id, once.

    Raises:
        ChainUnreachable: It does not answer, or not with JSON-RPC.
        RpcRefused: It answers with an error.
    """
    asked = Endpoint(url, {"timeout": POLICY.gateway_probe})
    try:
        found = _exchange(asked, [("eth_chainId", [])])
    except Unanswered as err:
        raise ChainUnreachable(hide_secrets(url), hide_secrets(str(err))) from err
    for answer in found if isinstance(found, list) else [found]:
        expect(answer)


def endpoint(provider: ProviderAPI) -> Endpoint:
    """The endpoint that a provider is connected to, with the limits learnt so far."""
    connection = _web3(provider).provider
    # web3's AutoProvider sends each request twice: use the provider that it has found.
    connection = getattr(connection, "_active_provider", None) or connection
    return endpoint_of(connection) or _Web3Endpoint(connection)


def in_parts(answers: list[Any], *sizes: int) -> Iterator[list[Any]]:
    """The answers in parts of these sizes, and the rest."""
    start = 0
    for size in sizes:
        yield answers[start : start + size]
        start += size
    yield answers[start:]


def result(provider: ProviderAPI, method: str, params: list[Any]) -> Any:
    """Send one request and return its result.

    Raises:
        ChainUnreachable: The endpoint did not answer.
        RpcRefused: It answered with an error.
    """
    (answer,) = ask(provider, [(method, params)])
    return expect(answer)


def expect(answer: Any) -> Any:
    """Return a result, or raise the failure of a request that does not run a contract.

    Raises:
        RpcRefused: It is a failure.
    """
    if isinstance(answer, Failure):
        raise RpcRefused.of(answer)
    return answer


class _Web3Endpoint(Endpoint):
    """An endpoint over WebSocket or IPC, through web3's own provider."""

    def __init__(self, connection: Any) -> None:
        super().__init__("", {})
        self._web3 = connection

    def call(self, requests: Sequence[Request]) -> tuple[list[int], Answer]:
        from web3.exceptions import Web3Exception

        try:
            if len(requests) == 1:
                found = [self._web3.make_request(*requests[0])]
            else:
                found = self._web3.make_batch_request(list(requests))
        except (OSError, ValueError, TypeError, LookupError, Web3Exception) as err:
            raise Unanswered(explain_error(err)) from err
        # web3 chooses the ids itself, and returns the answers in the order of the requests.
        ids = list(range(len(requests)))
        if isinstance(found, list) and len(found) == len(requests):
            found = [
                {**item, "id": number} if isinstance(item, dict) else item
                for number, item in zip(ids, found, strict=True)
            ]
        return ids, Answer(found)


def expect_found(answer: Any, method: str = "eth_getBlockByNumber") -> Any:
    """Return a result that is not None.

    Raises:
        RpcRefused: It is a failure, or None because the endpoint lags.
    """
    found = expect(answer)
    if found is None:
        raise RpcRefused(method, "the endpoint does not have it", Refusal.BEHIND)
    return found


@dataclass
class _Asking:
    """Requests on their way to an endpoint, until each has an answer.

    Attributes:
        endpoint: The endpoint.
        requests: The requests.
        as_one: See :func:`ask`.
        deadline: No request is repeated after it.
    """

    endpoint: Endpoint
    requests: Sequence[Request]
    as_one: bool
    deadline: Deadline

    def __post_init__(self) -> None:
        self.answers: dict[int, Any] = {}
        self._behind_until = min(Deadline(POLICY.lag_patience).at, self.deadline.at)
        self._pauses = self._losses = 0
        # The batch size: reduced when a batch is refused for an unknown reason.
        self._size = len(self.requests)
        self._refused_batch: str | None = None
        self._largest_answered = 0
        self._alone: Counter[str] = Counter()

    def run(self) -> list[Any]:
        """All answers, in the order of the requests.

        Raises:
            Unanswered: The endpoint did not answer.
        """
        everything = range(len(self.requests))
        while left := [place for place in everything if place not in self.answers]:
            self._ask_some(left[: min(self._size, self.endpoint.batch_limit)])
        self._learn_batch_limit()
        return [self.answers[place] for place in everything]

    def _ask_some(self, places: list[int]) -> None:
        requests = [self.requests[place] for place in places]
        try:
            found = _exchange(self.endpoint, requests)
        except Unanswered as err:
            self._on_no_answer(places, err)
            return
        if isinstance(found, Failure):
            self._on_refused_batch(places, found)
            return
        self._largest_answered = max(self._largest_answered, len(places))
        outcomes = dict(zip(places, found, strict=True))
        self._limit_batch(len(places), outcomes.values())
        again = [
            place
            for place, outcome in outcomes.items()
            if self._may_repeat(place, outcome, len(places))
        ]
        if again and self._wait([outcomes[place] for place in again]):
            if self.as_one:
                self.answers, outcomes = {}, {}
            outcomes = {place: outcome for place, outcome in outcomes.items() if place not in again}
        self.answers |= outcomes
        if len(places) == 1 and self._refused_batch is not None:
            self._note_alone(places[0])

    def _may_repeat(self, place: int, outcome: Any, together: int) -> bool:
        """Whether a request with this outcome may be sent again."""
        if not isinstance(outcome, Failure) or not self._is_read(place):
            return False
        match outcome.refusal:
            case Refusal.WAIT:
                return True
            case Refusal.MALFORMED:
                return self._losses + 1 < POLICY.rpc_attempts
            case Refusal.BEHIND:
                return time.monotonic() < self._behind_until
            case Refusal.SMALLER_BATCH:
                return together > 1
        return False

    def _is_read(self, place: int) -> bool:
        return _READS.match(self.requests[place][0]) is not None

    def _wait(self, failures: Sequence[Failure | Unanswered]) -> bool:
        """Pause before requests are sent again. Return False if the deadline does not allow it."""
        kinds = {failed.refusal for failed in failures}
        if kinds == {Refusal.SMALLER_BATCH}:
            return True
        self._losses += Refusal.MALFORMED in kinds
        self._pauses += 1
        wanted = [failed.retry_after for failed in failures if failed.retry_after is not None]
        pause = max(POLICY.rpc_backoff.pause(self._pauses), *wanted, 0.0)
        if not self.deadline.allows(pause):
            return False
        self.deadline.sleep(pause)
        return True

    def _on_no_answer(self, places: Sequence[int], err: Unanswered) -> None:
        """Wait before unanswered requests are sent again, or split their batch.

        Raises:
            Unanswered: They must not be repeated, or there is no time to.
        """
        if err.refusal is Refusal.SMALLER_BATCH and len(places) > 1:
            self._split(len(places))
            return
        is_free = not err.was_sent or all(map(self._is_read, places))
        if err.refusal is Refusal.MALFORMED and self._losses + 1 >= POLICY.rpc_attempts:
            is_free = False
        if not is_free or not err.refusal.is_passing or not self._wait([err]):
            raise err
        if self.as_one:
            self.answers = {}

    def _on_refused_batch(self, places: Sequence[int], refused: Failure) -> None:
        """Wait, split the batch or give up, depending on the refusal."""
        match refused.refusal:
            case Refusal.DENIED:
                raise Unanswered(refused.message, refusal=Refusal.DENIED)
            case Refusal.WAIT | Refusal.BEHIND:
                if not all(map(self._is_read, places)) or not self._wait([refused]):
                    for place in places:
                        self.answers[place] = replace(refused, method=self.requests[place][0])
                elif self.as_one:
                    self.answers = {}
            case Refusal.SMALLER_BATCH:
                self._split(len(places))
            case _:
                self._refused_batch = refused.message
                self._size = max(len(places) // 2, 1)

    def _split(self, size: int) -> None:
        self._size = self.endpoint.batch_limit = max(size // 2, 1)

    def _limit_batch(self, size: int, outcomes: Iterable[Any]) -> None:
        """Reduce the batch limit if requests failed because their batch was too large."""
        too_large = (
            isinstance(outcome, Failure) and outcome.refusal is Refusal.SMALLER_BATCH
            for outcome in outcomes
        )
        if size > 1 and any(too_large):
            self._split(size)

    def _note_alone(self, place: int) -> None:
        """Count requests that are refused alone for their batch's reason (`_REFUSED_ALIKE`)."""
        outcome, method = self.answers.get(place), self.requests[place][0]
        if not isinstance(outcome, Failure) or outcome.message != self._refused_batch:
            self._alone[method] = -len(self.requests)
            return
        self._alone[method] += 1
        if self._alone[method] >= _REFUSED_ALIKE:
            for other, (theirs, _) in enumerate(self.requests):
                if theirs == method:
                    self.answers.setdefault(other, outcome)

    def _learn_batch_limit(self) -> None:
        """Remember the largest accepted batch size, if only the size was refused."""
        if self._refused_batch is None or not self._largest_answered:
            return
        failures = [answer for answer in self.answers.values() if isinstance(answer, Failure)]
        if all(failed.message != self._refused_batch for failed in failures):
            self.endpoint.batch_limit = min(self.endpoint.batch_limit, self._largest_answered)


def _exchange(endpoint: Endpoint, requests: Sequence[Request]) -> list[Any] | Failure:
    """Make one HTTP request. Return the result or failure of each, or that of the batch.

    Raises:
        Unanswered: The answer is not JSON-RPC, or is for other requests.
    """
    ids, answer = endpoint.call(requests)
    body = answer.body
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        raise no_answer(json.dumps(body)[:1000], answer.status, answer.retry_after)
    if isinstance(body, dict) and len(requests) == 1:
        body = [body]
    items = body if isinstance(body, list) else [body]
    refused = [item for item in items if isinstance(item, dict) and item.get("error")]
    of_none = items and not any(item.get("id") in ids for item in refused)
    if len(requests) > 1 and len(refused) == len(items) and of_none:
        return failure("", refused[0]["error"], answer.status, answer.retry_after)
    found: dict[int, list[Any]] = {}
    for item in items:
        number = item.get("id") if isinstance(item, dict) else None
        if len(requests) == 1 and number is None and len(items) == 1 and refused:
            number = ids[0]  # some endpoints omit the id of a refused request
        if type(number) is int and number in ids and ("result" in item or "error" in item):
            found.setdefault(number, []).append(item)
        elif type(number) is int and "result" in item:
            raise Unanswered("its answer is for another request")
    if not found:
        text = json.dumps(answer.body)[:1000] if answer.body else ""
        raise no_answer(text, answer.status, answer.retry_after)
    return [
        _outcome(request, found.get(number, []), answer)
        for number, request in zip(ids, requests, strict=True)
    ]


def _outcome(request: Request, items: Sequence[Any], answer: Answer) -> Any:
    """The result or failure of a request, from the items that have its id."""
    method, params = request
    if len(items) != 1:
        how = "did not answer it" if not items else "answered it more than once"
        return Failure(method, f"the endpoint {how}", None, Refusal.MALFORMED)
    (item,) = items
    if item.get("error"):
        return failure(method, item["error"], answer.status, answer.retry_after)
    if "result" not in item or not is_result(method, params, item["result"]):
        text = hide_secrets(json.dumps(item.get("result"))[:200])[:100]
        return Failure(method, f"{text} is not a valid result", None, Refusal.MALFORMED)
    return item["result"]


def _ask_in_process(web3: Any, request: Request) -> Any:
    """Send a request to Ape's in-process chain, which raises failures as exceptions."""
    from eth_tester.exceptions import TransactionFailed  # type: ignore[import-untyped]  # has none
    from eth_utils.exceptions import ValidationError
    from web3.datastructures import NamedElementOnion
    from web3.exceptions import Web3Exception

    method, params = request
    try:
        # Bypass web3's middleware, which would look up ENS names in the parameters.
        response = web3.provider.request_func(web3, NamedElementOnion([]))(method, params)
    except TransactionFailed as err:
        return Failure(method, str(err), _revert_data(err))
    except (ValidationError, Web3Exception) as err:
        return Failure(method, str(err), None)
    return response["result"] if "error" not in response else failure(method, response["error"])


def _revert_data(err: Exception) -> bytes:
    """Encode a revert again: the in-process chain gives decoded reasons, or the repr of bytes."""
    from ast import literal_eval

    from eth_abi import encode

    reason = str(err.args[0]) if err.args else ""
    reason = reason.split("execution reverted: ", 1)[-1]
    if re.fullmatch(r"b(['\"]).*\1", reason, re.DOTALL):
        return bytes(literal_eval(reason))
    return bytes.fromhex("08c379a0") + encode(["string"], [reason]) if reason else b""


def _web3(provider: ProviderAPI) -> Any:
    from ape.exceptions import ProviderNotConnectedError

    from ape_dtn.chain.errors import NotConnected

    try:
        return provider.web3  # type: ignore[attr-defined]  # of Ape's Web3Provider
    except ProviderNotConnectedError as err:
        raise NotConnected from err


def _uri(provider: ProviderAPI) -> str:
    return str(getattr(provider, "uri", "") or "")
