"""HTTP endpoints: what they say as data, and what goes wrong as an error."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import PrivateAttr, field_validator

from ape_dtn.ipfs.errors import BackendFailed, BackendUnavailable
from ape_dtn.node.backends.configurable import Configurable
from ape_dtn.types.redact import hide_secrets
from ape_dtn.types.values import read_json
from ape_dtn.types.waiting import POLICY, Deadline

if TYPE_CHECKING:
    import httpx


# No answer is larger: what is read of an answer over IPFS ends at half of it by default.
MAX_BYTES = 64 * 2**20

log = logging.getLogger("ape_dtn.node")


@dataclass(frozen=True)
class Reply:
    """What an endpoint answered."""

    status: int
    content: bytes
    retry_after: float | None

    def json(self) -> Any:
        """Its content.

        Raises:
            BackendFailed: It is no JSON.
        """
        try:
            return read_json(self.content)
        except ValueError as err:
            raise BackendFailed("The backend's answer is no JSON") from err


class Endpoint(Configurable):
    """A backend behind HTTP. Connections are kept and shared by all threads."""

    url: str
    """Where it is; paths are added to it."""

    key_from: str | None = None
    """The environment variable that holds the key, which is sent as a bearer token."""

    _client: httpx.Client = PrivateAttr()

    @field_validator("url")
    @classmethod
    def _is_usable(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it is no address as in http://127.0.0.1:11434/v1")
        if parts.username or parts.password:
            raise ValueError("it holds a password; name the variable that does with key_from")
        return url

    @field_validator("key_from")
    @classmethod
    def _is_set(cls, name: str | None) -> str | None:
        if name is None:
            return None
        if not re.fullmatch("[A-Z_][A-Z0-9_]*", name):  # perhaps the key itself
            raise ValueError("it is not the name of an environment variable, as in OPENAI_API_KEY")
        if not re.fullmatch("[!-~]+", os.environ.get(name, "")):
            raise ValueError(f"the environment variable {name} holds no key")
        return name

    def model_post_init(self, _context: Any) -> None:
        """Makes the pool of connections, which opens none yet."""
        import httpx

        # Uncompressed, since few bytes can unpack to more than memory holds.
        self._client = httpx.Client(headers={"Accept-Encoding": "identity"})

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def at(self, path: str) -> httpx.URL:
        """The address of a path below its own."""
        import httpx

        url = httpx.URL(self.url)
        return url.copy_with(path=url.path.rstrip("/") + path)

    def ask(self, method: str, path: str, body: Any = None) -> Reply:
        """Asks, and asks again where it is told to come back in time.

        Raises:
            BackendFailed: What came is too large or garbled.
            BackendUnavailable: Nothing came, or not in time.
        """
        headers = {"Authorization": f"Bearer {os.environ[self.key_from]}"} if self.key_from else {}
        deadline = Deadline(self.timeout)
        while True:
            reply = self._reply(deadline, method, self.at(path), json=body, headers=headers)
            pause = reply.retry_after
            if pause is None or not deadline.allows(pause):
                return reply
            deadline.sleep(pause)

    def fetch(self, address: str) -> bytes:
        """Fetches what an answer of the endpoint points at, without the key.

        Raises:
            BackendFailed: It is at no safe address, or too large, or refused.
            BackendUnavailable: It did not come, or not in time.
        """
        import httpx

        try:
            url = httpx.URL(address)
        except httpx.InvalidURL as err:
            raise garbled() from err
        # Anything else could make the node read on its own network, for whoever asked.
        if url.scheme != "https" and _origin(url) != _origin(httpx.URL(self.url)):
            raise garbled()
        return self.accepted(self._reply(Deadline(self.timeout), "GET", url)).content

    def accepted(self, reply: Reply) -> Reply:
        """The reply, where it is a success.

        Raises:
            BackendFailed: The endpoint refused.
            BackendUnavailable: It is busy or failed, and may answer later.
        """
        status = reply.status
        if status in (408, 429) or status >= 500:
            raise BackendUnavailable(
                f"The backend is busy or broken ({status})", retry_after=reply.retry_after
            )
        if status in (401, 403):  # servers quote a part of the key there
            raise BackendFailed(f"The backend does not take the node's key ({status})")
        if not 200 <= status < 300:
            said = self.without_key(_message(reply.content)) or f"status {status}"
            raise BackendFailed(f"The backend refused: {said}")
        return reply

    def without_key(self, text: str) -> str:
        """A text that is safe to show to anybody."""
        key = os.environ.get(self.key_from) if self.key_from else None
        return hide_secrets(text.replace(key, "…") if key else text)

    def _reply(self, deadline: Deadline, method: str, url: httpx.URL, **given: Any) -> Reply:
        import httpx

        left = max(deadline.left, 0.001)
        try:
            with self._client.stream(method, url, timeout=left, **given) as response:
                content = _read(response, deadline)
        except httpx.TimeoutException as err:
            raise BackendUnavailable(f"No answer within {self.timeout:g} s") from err
        except httpx.TransportError as err:
            log.warning("%s: %s", self.without_key(str(url)), self.without_key(str(err)))
            raise BackendUnavailable("The backend cannot be reached") from err
        except httpx.DecodingError as err:
            raise garbled() from err
        return Reply(response.status_code, content, _pause(response))


def garbled() -> BackendFailed:
    """What is said of an answer that is not as it should be."""
    return BackendFailed("The backend's answer cannot be read")


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _read(response: httpx.Response, deadline: Deadline) -> bytes:
    """The body. httpx limits the time between two pieces of it, and not of all."""
    import httpx

    content = bytearray()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > MAX_BYTES:
            raise BackendFailed(f"The backend's answer is larger than {MAX_BYTES} bytes")
        if deadline.is_over:
            raise httpx.ReadTimeout("It takes too long")
    return bytes(content)


def _pause(response: httpx.Response) -> float | None:
    """When it wants to be asked again, in seconds from now (RFC 9110, 10.2.3)."""
    said = response.headers.get("Retry-After", "").strip()
    if response.status_code not in (429, 503) or not said:
        return None
    if said.isdecimal():
        return max(float(said), POLICY.shortest_retry_after)
    try:
        then = parsedate_to_datetime(said)
    except ValueError:
        return None
    then = then if then.tzinfo else then.replace(tzinfo=timezone.utc)
    return max((then - datetime.now(timezone.utc)).total_seconds(), POLICY.shortest_retry_after)


def _message(content: bytes) -> str:
    """What a server says of an error, as the different ones have it."""
    try:
        said = read_json(content)
    except ValueError:
        return ""  # perhaps the page of a proxy, which tells whoever asked nothing
    for name in ("error", "message", "detail"):
        if isinstance(said, Mapping) and name in said:
            said = said[name]
    return said if isinstance(said, str) else ""
