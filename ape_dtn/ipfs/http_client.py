"""Calls of HTTP services that keep content: one answer in JSON, or the reason why there is none."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ape_dtn.ipfs.errors import StoreRefused, StoreUnavailable
from ape_dtn.types.redact import hide_secrets
from ape_dtn.types.values import read_json
from ape_dtn.types.waiting import Deadline

if TYPE_CHECKING:
    import httpx


# No answer of these services is longer, in bytes.
LONGEST_ANSWER = 2**20


def call(
    client: httpx.Client, method: str, url: str, timeout: float, **request: Any
) -> list[dict[str, Any]]:
    """Calls a service.

    Args:
        client: What calls.
        method: As in ``POST``.
        url: Whom it calls.
        timeout: For how many seconds the answer is waited for in all.
        request: What httpx takes besides: ``params``, ``json``, ``files``, ``headers``.

    Returns:
        The JSON documents of the answer, one a line.

    Raises:
        StoreUnavailable: It cannot be reached, takes too long, or is busy or broken.
        StoreRefused: It says no, or what it says is no answer.
    """
    import httpx

    where = hide_secrets(url)
    deadline = Deadline(timeout)
    try:
        with client.stream(method, url, timeout=timeout, **request) as response:
            body = _body(response, where, deadline)
    except httpx.TransportError as err:
        raise StoreUnavailable(where, _reason(err, timeout)) from err
    except (httpx.HTTPError, httpx.InvalidURL) as err:
        raise StoreRefused(where, "its address is impossible") from err
    if response.status_code >= 300:
        kind = StoreUnavailable if _is_transient(response.status_code) else StoreRefused
        raise kind(where, f"HTTP {response.status_code}{_said(body)}")
    try:
        return [dict(read_json(line)) for line in _documents(body)]
    except (ValueError, TypeError) as err:
        raise StoreRefused(where, "the answer is no JSON") from err


def _is_transient(status: int) -> bool:
    """Whether the same request may succeed later. A service without the feature answers 501."""
    return status in (408, 425, 429) or (status >= 500 and status != HTTPStatus.NOT_IMPLEMENTED)


def _body(response: httpx.Response, where: str, deadline: Deadline) -> bytes:
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > LONGEST_ANSWER:
            raise StoreRefused(where, "its answer does not end")
        if deadline.is_over:
            raise StoreUnavailable(where, "its answer takes too long")
    return bytes(body)


def _documents(body: bytes) -> list[bytes]:
    """One for each line; where a document has several lines, it is the only one."""
    lines = [line for line in body.splitlines() if line.strip()]
    return lines if all(line.lstrip().startswith(b"{") for line in lines) else [body]


def _reason(err: Exception, timeout: float) -> str:
    import httpx

    if isinstance(err, httpx.TimeoutException):
        return f"no answer within {timeout:g} s"
    return hide_secrets(str(err)) or "the connection was lost"


def _said(body: bytes) -> str:
    """What an error says of itself, by Kubo's format or that of pinning services."""
    try:
        found = read_json(body)
        error = found.get("error", {})
        said = found.get("Message") or error.get("details") or error.get("reason") or ""
    except (ValueError, AttributeError):
        return ""
    return f", {' '.join(str(said).split())[:200]}" if said else ""
