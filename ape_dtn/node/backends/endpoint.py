"""The base of HTTP backends: requests, timeouts, errors, and the API key."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import PrivateAttr, field_validator

from ape_dtn.ipfs.errors import BackendFailed, BackendUnavailable
from ape_dtn.node.backends.base import Configurable
from ape_dtn.types.http import (
    HttpUnusable,
    explain_error,
    is_transient,
    make_client,
    retry_after,
    within,
)
from ape_dtn.types.polling import Deadline
from ape_dtn.types.redact import hide_secrets
from ape_dtn.types.utf8 import read_json_bytes

if TYPE_CHECKING:
    import httpx


# The largest accepted answer. By default, clients read half as much of an answer over IPFS.
MAX_BYTES = 64 * 2**20

log = logging.getLogger("ape_dtn.node")


@dataclass(frozen=True)
class Reply:
    """An HTTP response; ``retry_after`` is in seconds."""

    status: int
    content: bytes
    retry_after: float | None

    def json(self) -> Any:
        """Decode the content.

        Raises:
            BackendFailed: The content is not JSON.
        """
        try:
            return read_json_bytes(self.content)
        except ValueError as err:
            raise BackendFailed("The backend's answer is not JSON") from err


class Endpoint(Configurable):
    """An HTTP backend. Connections are pooled and shared by all threads."""

    url: str
    """The base URL."""

    key_from: str | None = None
    """The environment variable with the API key, which is sent as a bearer token."""

    _client: httpx.Client = PrivateAttr()

    @field_validator("url")
    @classmethod
    def _is_usable(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected an HTTP URL such as http://127.0.0.1:11434/v1")
        if parts.username or parts.password:
            raise ValueError("it contains credentials; set key_from to a variable with the key")
        return url

    @field_validator("key_from")
    @classmethod
    def _is_set(cls, name: str | None) -> str | None:
        if name is None:
            return None
        if not re.fullmatch("[A-Z_][A-Z0-9_]*", name):  # it may be the key: do not show it
            raise ValueError("expected the name of an environment variable, such as OPENAI_API_KEY")
        if not re.fullmatch("[!-~]+", os.environ.get(name, "")):
            raise ValueError(f"the environment variable {name} does not contain a valid key")
        return name

    def model_post_init(self, _context: Any) -> None:
        """Create the connection pool. It opens no connection yet."""
        # No compression: a few bytes could expand to more than the memory holds.
        try:
            self._client = make_client(headers={"Accept-Encoding": "identity"})
        except HttpUnusable as err:
            raise ValueError(str(err)) from err

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def url_for(self, path: str) -> httpx.URL:
        """The URL of a path below the base URL."""
        import httpx

        url = httpx.URL(self.url)
        return url.copy_with(path=url.path.rstrip("/") + path)

    def request(self, method: str, path: str, body: Any = None) -> Reply:
        """Send a request, and repeat it after ``Retry-After`` if the timeout allows.

        Raises:
            BackendFailed: The response is too large or malformed.
            BackendUnavailable: There was no response in time.
        """
        headers = {"Authorization": f"Bearer {os.environ[self.key_from]}"} if self.key_from else {}
        deadline = Deadline(self.timeout)
        while True:
            reply = self._reply(deadline, method, self.url_for(path), json=body, headers=headers)
            pause = reply.retry_after
            if pause is None or not deadline.allows(pause):
                return reply
            deadline.sleep(pause)

    def fetch(self, address: str) -> bytes:
        """Download a URL from a response, without sending the key.

        Raises:
            BackendFailed: The URL is unsafe, the content is too large, or the request was rejected.
            BackendUnavailable: There was no response in time.
        """
        import httpx

        try:
            url = httpx.URL(address)
        except httpx.InvalidURL as err:
            raise unreadable_answer() from err
        # Other URLs could make the node fetch from its own network on behalf of a requester.
        if url.scheme != "https" and _origin(url) != _origin(httpx.URL(self.url)):
            raise unreadable_answer()
        return self.require_success(self._reply(Deadline(self.timeout), "GET", url)).content

    def require_success(self, reply: Reply) -> Reply:
        """Return a successful reply; raise the others as errors.

        Raises:
            BackendFailed: The endpoint rejected the request.
            BackendUnavailable: The endpoint is busy or broken, and may answer later.
        """
        status = reply.status
        if is_transient(status) or status >= 500:
            raise BackendUnavailable(
                f"The backend is busy or broken ({status})", retry_after=reply.retry_after
            )
        if status in (401, 403):  # the message may quote a part of the key: do not show it
            raise BackendFailed(f"The backend rejected the node's key ({status})")
        if not 200 <= status < 300:
            reason = self.redact(_error_message(reply.content)) or f"status {status}"
            raise BackendFailed(f"The backend refused: {reason}")
        return reply

    def redact(self, text: str) -> str:
        """Remove the key and other secrets from a text."""
        key = os.environ.get(self.key_from) if self.key_from else None
        return hide_secrets(text.replace(key, "…") if key else text)

    def _reply(self, deadline: Deadline, method: str, url: httpx.URL, **options: Any) -> Reply:
        import httpx

        remaining = max(deadline.left, 0.001)
        try:
            with (
                within(deadline),
                self._client.stream(method, url, timeout=remaining, **options) as response,
            ):
                content = _read(response, deadline)
        except httpx.TimeoutException as err:
            raise BackendUnavailable(f"No answer within {self.timeout:g} s") from err
        except httpx.TransportError as err:
            log.warning("%s: %s", self.redact(str(url)), self.redact(explain_error(err)))
            raise BackendUnavailable("The backend cannot be reached") from err
        except httpx.DecodingError as err:
            raise unreadable_answer() from err
        is_busy = is_transient(response.status_code)
        pause = retry_after(response.headers) if is_busy else None
        return Reply(response.status_code, content, pause)


def unreadable_answer() -> BackendFailed:
    """The error for a response of an unexpected form."""
    return BackendFailed("The backend's answer cannot be read")


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _read(response: httpx.Response, deadline: Deadline) -> bytes:
    """Read the body within the deadline: httpx only limits the time between two chunks."""
    import httpx

    content = bytearray()
    for chunk in response.iter_bytes():
        content += chunk
        if len(content) > MAX_BYTES:
            raise BackendFailed(f"The backend's answer is larger than {MAX_BYTES} bytes")
        if deadline.is_over:
            raise httpx.ReadTimeout("The body takes too long")
    return bytes(content)


def _error_message(content: bytes) -> str:
    """The message of an error response, in the forms that servers use."""
    try:
        value = read_json_bytes(content)
    except ValueError:
        return ""  # such as the HTML page of a proxy
    for name in ("error", "message", "detail"):
        if isinstance(value, Mapping) and name in value:
            value = value[name]
    return value if isinstance(value, str) else ""
