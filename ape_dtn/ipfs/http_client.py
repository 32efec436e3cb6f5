"""HTTP calls of IPFS stores and pinning services, which answer in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ape_dtn.ipfs.errors import StoreRefused, StoreUnavailable
from ape_dtn.types.http import explain_error, is_transient, retry_after, within
from ape_dtn.types.polling import Deadline
from ape_dtn.types.redact import hide_secrets
from ape_dtn.types.values import read_json

if TYPE_CHECKING:
    import httpx


# The most bytes that are read of a response.
MAX_RESPONSE = 2**20


def call(
    client: httpx.Client, method: str, url: str, timeout: float, **request: Any
) -> list[dict[str, Any]]:
    """Send a request, and parse the response as JSON. Errors do not show credentials in the URL.

    A busy service that says when to come back is asked again, if that is in time.

    Args:
        client: The HTTP client.
        method: The HTTP method.
        url: The URL.
        timeout: Seconds to wait for the whole response.
        request: Further arguments of httpx: ``params``, ``json``, ``files``, ``headers``.

    Returns:
        The JSON documents of the response, one per line.

    Raises:
        StoreUnavailable: The service is unreachable, busy or failing, or times out.
        StoreRefused: The service rejects the request, or its response is invalid.
    """
    import httpx

    where = hide_secrets(url)
    deadline = Deadline(timeout)
    while True:
        try:
            with (
                within(deadline),
                client.stream(method, url, timeout=deadline.left, **request) as response,
            ):
                body = _body(response, where, deadline)
        except httpx.TransportError as err:
            raise StoreUnavailable(where, explain_error(err, timeout)) from err
        except (httpx.HTTPError, httpx.InvalidURL) as err:
            raise StoreRefused(where, "invalid URL or redirect") from err
        if response.status_code < 300:
            break
        is_busy = is_transient(response.status_code)
        pause = retry_after(response.headers) if is_busy else None
        if pause is None or not deadline.allows(pause):
            error = StoreUnavailable if is_busy else StoreRefused
            raise error(where, f"HTTP {response.status_code}{_details(body)}")
        deadline.sleep(pause)
    try:
        return [dict(read_json(line)) for line in _documents(body)]
    except (ValueError, TypeError) as err:
        raise StoreRefused(where, "the response is not JSON") from err


def _body(response: httpx.Response, where: str, deadline: Deadline) -> bytes:
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > MAX_RESPONSE:
            raise StoreRefused(where, f"the response is larger than {MAX_RESPONSE} bytes")
        if deadline.is_over:
            raise StoreUnavailable(where, "the response takes too long")
    return bytes(body)


def _documents(body: bytes) -> list[bytes]:
    """Split JSON lines; a body that is not JSON lines is one document."""
    lines = [line for line in body.splitlines() if line.strip()]
    return lines if all(line.lstrip().startswith(b"{") for line in lines) else [body]


def _details(body: bytes) -> str:
    """Return the message of an error response, in Kubo's format or that of pinning services."""
    try:
        document = read_json(body)
        error = document.get("error", {})
        details = document.get("Message") or error.get("details") or error.get("reason") or ""
    except (ValueError, AttributeError):
        return ""
    return f", {' '.join(str(details).split())[:200]}" if details else ""
