"""JSON-RPC to the connected chain: many calls in one HTTP request, each with its own result."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ape_dtn.chain.errors import ChainUnreachable, RpcRefused
from ape_dtn.types.redact import hide_secrets
from ape_dtn.types.rpc import SEND, Failure, as_bytes

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI

    from ape_dtn.types.rpc import Request


# Larger batches are refused by some public endpoints.
BATCH_LIMIT = 1000

# What it says besides is about the client, and not about the size of a batch.
TOO_MANY_REQUESTS = 429

_HEX_DATA = re.compile(r"0x([0-9a-fA-F]{2})*")


def ask(provider: ProviderAPI, requests: Sequence[Request]) -> list[Any]:
    """Sends the requests in as few HTTP requests as may be, one for up to 1,000 of them.

    Returns:
        In the order of the requests, each one's result or :class:`~ape_dtn.types.rpc.Failure`.

    Raises:
        ChainUnreachable: The endpoint did not answer.
    """
    from web3.providers.eth_tester import EthereumTesterProvider

    web3 = _web3(provider)
    if isinstance(web3.provider, EthereumTesterProvider):
        return [_ask_in_process(web3, request) for request in requests]
    answers: list[Any] = []
    for start in range(0, len(requests), BATCH_LIMIT):
        try:
            answers += _ask_endpoint(web3.provider, requests[start : start + BATCH_LIMIT])
        except _NoAnswer as err:
            raise ChainUnreachable(hide_secrets(_uri(provider)), hide_secrets(str(err))) from err
    return answers


def in_parts(answers: list[Any], *sizes: int) -> Iterator[list[Any]]:
    """The answers in parts of these sizes, and the rest."""
    start = 0
    for size in sizes:
        yield answers[start : start + size]
        start += size
    yield answers[start:]


def result(provider: ProviderAPI, method: str, params: list[Any]) -> Any:
    """Sends one request and returns its result.

    Raises:
        ChainUnreachable: The endpoint did not answer.
        RpcRefused: It answered with an error.
    """
    (answer,) = ask(provider, [(method, params)])
    return expect(answer)


def expect(answer: Any) -> Any:
    """The result, where a failure cannot be the user's or a contract's doing.

    Raises:
        RpcRefused: It is a failure.
    """
    if isinstance(answer, Failure):
        raise RpcRefused(answer.method, answer.message)
    return answer


class _NoAnswer(Exception):
    """The endpoint answered nothing that is JSON-RPC."""


def _ask_endpoint(endpoint: Any, requests: Sequence[Request]) -> list[Any]:
    """Over HTTP, a web socket or a pipe, whichever web3's provider stands for."""
    responses: Any
    if any(method == SEND for method, _ in requests):
        endpoint = _sending_once(endpoint)
    if len(requests) == 1:
        responses = [_responses(lambda: endpoint.make_request(*requests[0]))]
    else:
        responses = _responses(lambda: endpoint.make_batch_request(list(requests)))
    if isinstance(responses, dict):  # a refusal of the batch as a whole, as being too large
        middle = len(requests) // 2
        halves = requests[:middle], requests[middle:]
        return [answer for half in halves for answer in _ask_endpoint(endpoint, half)]
    try:
        return [
            _failure(method, response["error"]) if response.get("error") else response["result"]
            for (method, _), response in zip(requests, responses, strict=True)
        ]
    except (AttributeError, KeyError, TypeError, ValueError) as err:
        raise _NoAnswer("what it says is no JSON-RPC") from err


def _sending_once(endpoint: Any) -> Any:
    """An endpoint by which web3 does not send again by itself where an answer is lost.

    Who sends has to know that it was: the endpoint may refuse the same the next time, although it
    has taken it.
    """
    # What web3's AutoProvider has found to work. By itself it asks everything twice.
    endpoint = getattr(endpoint, "_active_provider", None) or endpoint
    retries = getattr(endpoint, "exception_retry_configuration", None)
    if retries is not None and SEND in retries.method_allowlist:
        retries.method_allowlist = [each for each in retries.method_allowlist if each != SEND]
    return endpoint


def _responses(send: Callable[[], Any]) -> Any:
    from requests import RequestException
    from web3.exceptions import Web3Exception

    try:
        return send()
    except RequestException as err:
        if err.response is not None and err.response.status_code == TOO_MANY_REQUESTS:
            raise _NoAnswer("HTTP 429, it is asked too often") from err
        # Some endpoints answer what they refuse with an HTTP error besides.
        with contextlib.suppress(ValueError):
            body = err.response.json() if err.response is not None else None
            if isinstance(body, list) or (isinstance(body, dict) and body.get("error")):
                return body
        raise _NoAnswer(str(err)) from err
    except (OSError, ValueError, TypeError, Web3Exception) as err:
        raise _NoAnswer(str(err)) from err


def _failure(method: str, error: Any) -> Failure:
    if not isinstance(error, dict):
        return Failure(method, str(error), None)
    message = str(error.get("message", error))
    data = error.get("data")
    if isinstance(data, dict):  # some endpoints wrap it once more
        data = data.get("data") or data.get("result")
    found = _HEX_DATA.search(data) if isinstance(data, str) else None
    if found:
        return Failure(method, message, as_bytes(found[0]))
    # A revert without data, as `require(false)` and running out of gas leave it.
    return Failure(method, message, b"" if "revert" in message.lower() else None)


def _ask_in_process(web3: Any, request: Request) -> Any:
    """Ape's in-process chain has no HTTP, and raises what an endpoint would answer."""
    from eth_tester.exceptions import TransactionFailed  # type: ignore[import-untyped]  # has none
    from eth_utils.exceptions import ValidationError
    from web3.datastructures import NamedElementOnion
    from web3.exceptions import Web3Exception

    method, params = request
    try:
        # Only the provider's own translation: web3's would look for ENS names in the parameters.
        response = web3.provider.request_func(web3, NamedElementOnion([]))(method, params)
    except TransactionFailed as err:
        return Failure(method, str(err), _revert_data(err))
    except (ValidationError, Web3Exception) as err:
        return Failure(method, str(err), None)
    return response["result"] if "error" not in response else _failure(method, response["error"])


def _revert_data(err: Exception) -> bytes:
    """The in-process chain gives decoded reasons as text, and all else as the text of bytes."""
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
