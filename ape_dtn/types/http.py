"""Shared by all HTTP clients: retries, causes of failures, and a total time limit."""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ape_dtn.types.polling import POLICY, Deadline
from ape_dtn.types.redact import hide_secrets

if TYPE_CHECKING:
    import httpx


# Environment variables with which HTTP libraries configure proxies and certificates.
PROXY_SETTINGS = (
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "ALL_PROXY",
    "https_proxy",
    "http_proxy",
    "all_proxy",
)
BYPASS_SETTINGS = ("NO_PROXY", "no_proxy")
CERTIFICATE_SETTINGS = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")

# Statuses below 500 after which a retry may succeed.
_TRANSIENT = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
# Statuses from 500 on after which a retry fails, too.
_LASTING = (HTTPStatus.NOT_IMPLEMENTED, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)

_EXPLAINED = {
    HTTPStatus.UNAUTHORIZED: "the API key is missing or invalid",
    HTTPStatus.PAYMENT_REQUIRED: "the quota of the API key is used up",
    HTTPStatus.FORBIDDEN: "the API key or the client's address is not permitted",
    HTTPStatus.NOT_FOUND: "nothing is served at this path",
    HTTPStatus.METHOD_NOT_ALLOWED: "another service is at this path",
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: "the proxy requires a user name and a password",
    HTTPStatus.TOO_MANY_REQUESTS: "too many requests",
}


def is_transient(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status in _TRANSIENT or (status >= 500 and status not in _LASTING)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """When to ask again, in seconds from now: ``Retry-After`` in either form (RFC 9110, 10.2.3)."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return max(float(value), POLICY.shortest_retry_after)
    try:
        then = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    then = then if then.tzinfo else then.replace(tzinfo=timezone.utc)
    seconds = (then - datetime.now(timezone.utc)).total_seconds()
    return max(seconds, POLICY.shortest_retry_after)


def explain_status(status: int) -> str:
    """A failure's HTTP status, and what it usually means."""
    try:
        meaning = _EXPLAINED.get(HTTPStatus(status), HTTPStatus(status).phrase)
    except ValueError:
        return f"HTTP {status}"
    return f"HTTP {status}, {meaning}"


def explain_error(err: BaseException, seconds: float | None = None) -> str:
    """Why a connection failed, found below the exceptions that libraries wrap around the cause.

    Names the environment variable, if an invalid one is the cause.

    Args:
        err: The exception.
        seconds: The timeout that was waited for.
    """
    causes = list(_causes(err))
    for explain in (_certificate_setting, _proxy, _tls, _connection):
        for cause in causes:
            found = explain(cause)
            if found:
                return found
    if any(_is_timeout(cause) for cause in causes):
        return "no answer in time" if seconds is None else f"no answer within {seconds:g} s"
    return hide_secrets(str(err))[:200] or "the connection was lost"


def _causes(err: BaseException | None) -> Iterator[BaseException]:
    """An exception with its causes: those in its attributes, and those it was raised from."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [err]
    while waiting:
        found = waiting.pop(0)
        if found is None or id(found) in seen or len(seen) > 32:
            continue
        seen.add(id(found))
        yield found
        named = [
            getattr(found, "reason", None),
            getattr(found, "original_error", None),
            *found.args,
        ]
        waiting += [cause for cause in named if isinstance(cause, BaseException)]
        waiting += [found.__cause__, found.__context__]


def _is_timeout(err: BaseException) -> bool:
    return isinstance(err, TimeoutError) or "timeout" in type(err).__name__.lower()


def _certificate_setting(err: BaseException) -> str | None:
    settings = {name: os.environ.get(name, "") for name in CERTIFICATE_SETTINGS}
    broken = tuple(name for name, path in settings.items() if path and not Path(path).exists())
    named = _setting(broken or CERTIFICATE_SETTINGS)
    text = str(err)
    if isinstance(err, OSError) and "CA certificate bundle" in text:
        return f"{named or 'the certificate bundle'} is not a readable certificate file"
    if isinstance(err, (FileNotFoundError, PermissionError, IsADirectoryError)) and named:
        return f"{named} is not a readable certificate file"
    if isinstance(err, ssl.SSLError) and named and "X509" in text and "NO_CERTIFICATE" in text:
        return f"{named} contains no certificate"
    return None


def _proxy(err: BaseException) -> str | None:
    kind, text = type(err).__name__, str(err)
    if "SOCKS" in text or "socksio" in text:
        named = _setting(PROXY_SETTINGS, "socks")
        return f"{named or 'the proxy'} is a SOCKS proxy, and SOCKS support is not installed"
    if kind == "InvalidProxyURL" or "Unknown scheme for proxy" in text:
        return f"{_setting(PROXY_SETTINGS) or 'the proxy'} is not a proxy URL"
    if kind == "ProxySchemeUnknown":
        return f"{_setting(PROXY_SETTINGS) or 'the proxy'} is not a proxy URL"
    if kind == "InvalidURL" and _setting(BYPASS_SETTINGS, "[") and "port" in text.lower():
        return f"{_setting(BYPASS_SETTINGS, '[')} contains an invalid host"
    if kind == "ProxyError":
        under = next((found for cause in _causes(err) if (found := _connection(cause))), None)
        return f"{_setting(PROXY_SETTINGS) or 'the proxy'} did not answer: {under or 'it refused'}"
    return None


def _setting(names: tuple[str, ...], part: str = "") -> str | None:
    """The environment variable in force, with its value; of a proxy URL only the host."""
    for name in names:
        value = os.environ.get(name)
        if value and part in value:
            return f"{name} ({hide_secrets(value)})"
    return None


def _tls(err: BaseException) -> str | None:
    if isinstance(err, ssl.SSLCertVerificationError):
        trusted = _setting(CERTIFICATE_SETTINGS)
        by = f" by {trusted}" if trusted else ""
        return f"its TLS certificate is not trusted{by}: {err.verify_message}"
    if isinstance(err, ssl.SSLError) and not _is_timeout(err):
        return f"TLS failed: {(err.reason or str(err)).replace('_', ' ').lower()}"
    return None


def _connection(err: BaseException) -> str | None:
    if isinstance(err, ConnectionRefusedError):
        return "the connection was refused: nothing listens there"
    if isinstance(err, socket.gaierror):
        return "the host's name cannot be resolved"
    if isinstance(err, (ConnectionError, EOFError)) or type(err).__name__ in (
        "IncompleteRead",
        "RemoteProtocolError",
    ):
        return "the connection was reset"
    text = str(err)
    if "Connection refused" in text:
        return "the connection was refused: nothing listens there"
    if "Name or service not known" in text or "name resolution" in text:
        return "the host's name cannot be resolved"
    return None


class HttpUnusable(Exception):
    """No HTTP client can be created, because the named environment variable is invalid."""


@contextmanager
def within(deadline: Deadline) -> Iterator[None]:
    """Limit the total time of HTTP requests in this thread, for clients of this module.

    HTTP libraries limit each socket read only: an endpoint that sends a byte a second never exceeds
    such a limit.
    """
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


_deadline: ContextVar[Deadline | None] = ContextVar("_deadline", default=None)


def bounded(timeout: float | None) -> float | None:
    """The timeout of one read, at most the time that is left until the deadline."""
    deadline = _deadline.get()
    if deadline is None or deadline.left == float("inf"):
        return timeout
    left = max(deadline.left, 0.001)  # 0 would mean no wait
    return left if timeout is None else min(timeout, left)


def make_client(**options: Any) -> httpx.Client:
    """An httpx client that keeps the deadline of :func:`within`.

    Args:
        options: The options of :class:`httpx.Client`.

    Raises:
        HttpUnusable: An environment variable is invalid.
    """
    import httpx

    try:
        client = httpx.Client(**options)
    except Exception as err:  # the type depends on the setting
        raise HttpUnusable(explain_error(err)) from err
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            # httpx has no option for its network backend.
            transport._pool._network_backend = _bounded_backend()
    return client


@cache
def _bounded_backend() -> Any:
    import httpcore

    class Stream(httpcore.NetworkStream):
        def __init__(self, inner: httpcore.NetworkStream) -> None:
            self.inner = inner

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            return self.inner.read(max_bytes, bounded(timeout))

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            self.inner.write(buffer, bounded(timeout))

        def close(self) -> None:
            self.inner.close()

        def start_tls(
            self,
            ssl_context: ssl.SSLContext,
            server_hostname: str | None = None,
            timeout: float | None = None,
        ) -> httpcore.NetworkStream:
            return Stream(self.inner.start_tls(ssl_context, server_hostname, bounded(timeout)))

        def get_extra_info(self, info: str) -> Any:
            return self.inner.get_extra_info(info)

    class Backend(httpcore.SyncBackend):
        def connect_tcp(self, *args: Any, **options: Any) -> httpcore.NetworkStream:
            options["timeout"] = bounded(options.get("timeout"))
            return Stream(super().connect_tcp(*args, **options))

    return Backend()
