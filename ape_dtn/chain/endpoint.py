"""HTTP to a JSON-RPC endpoint: a deadline per request, and the limits learnt from its answers."""

from __future__ import annotations

import io
import itertools
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, finalize

from ape_dtn.chain.refusals import classify
from ape_dtn.types.http import (
    HttpUnusable,
    bounded,
    explain_error,
    explain_status,
    is_transient,
    retry_after,
    within,
)
from ape_dtn.types.polling import POLICY, Deadline
from ape_dtn.types.rpc import Refusal
from ape_dtn.types.values import read_json

if TYPE_CHECKING:
    import requests

    from ape_dtn.types.rpc import Request


# Larger batches are refused by some public endpoints.
BATCH_LIMIT = 1000

# The longest accepted answer, in bytes. Batches and the logs of large ranges are shorter.
LONGEST_ANSWER = 512 * 2**20

_PIECE = 2**16


class Unanswered(Exception):
    """The endpoint did not answer, or not with JSON-RPC.

    Attributes:
        was_sent: Whether the endpoint may have received the request.
        refusal: The kind of refusal, as far as it is known.
        retry_after: The delay that the endpoint asks for, in seconds.
    """

    def __init__(
        self,
        reason: str,
        was_sent: bool = True,
        refusal: Refusal = Refusal.MALFORMED,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.was_sent, self.refusal, self.retry_after = was_sent, refusal, retry_after


@dataclass(frozen=True)
class Reply:
    """An HTTP response.

    Attributes:
        content: The body.
        status: The HTTP status.
        retry_after: The delay that the endpoint asks for, in seconds.
    """

    content: bytes
    status: int = 200
    retry_after: float | None = None


@dataclass(frozen=True)
class Answer:
    """An HTTP response with a JSON body.

    Attributes:
        body: The parsed JSON.
        status: The HTTP status.
        retry_after: The delay that the endpoint asks for, in seconds.
    """

    body: Any
    status: int = 200
    retry_after: float | None = None


class Endpoint:
    """A JSON-RPC endpoint over HTTP, and what is known of its limits.

    Args:
        url: The URL.
        options: Options of ``requests``: ``headers``, ``timeout``, ``auth``, ``verify``...

    Attributes:
        batch_limit: The most requests that it accepts in a batch, as far as is known.
        range_limit: The most blocks that it searches for logs at once; None if unknown.
        gas_cap: The most gas that it accepts in a transaction; None if unknown.
        known_block: The newest block that is known to be on the chain.
        behind_since: When its views fell behind ``known_block``, by the monotonic clock.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self.url = url
        self.batch_limit = BATCH_LIMIT
        self.range_limit: int | None = None
        self.gas_cap: int | None = None
        self.known_block = 0
        self.behind_since: float | None = None
        timeout = options.get("timeout") or POLICY.rpc_answer
        is_chosen = isinstance(timeout, (int, float)) and timeout <= POLICY.fork_answer
        # The time limit of a whole answer, in seconds.
        self.longest = float(timeout) if is_chosen else POLICY.rpc_answer
        self._options = options
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._session: tuple[int, requests.Session, dict[str, Any]] | None = None

    def call(self, requests: Sequence[Request]) -> tuple[list[int], Answer]:
        """Send requests in one HTTP request, as a batch if there are several.

        Returns:
            Their ids, and the answer.

        Raises:
            Unanswered: No JSON was received in time.
        """
        ids = [next(self._ids) for _ in requests]
        calls = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, params) in zip(ids, requests, strict=True)
        ]
        body = json.dumps(calls if len(calls) > 1 else calls[0]).encode()
        try:
            reply = self.send(body)
        except _Endless as err:
            raise Unanswered("its answer is too long") from err
        except HttpUnusable as err:
            raise Unanswered(str(err), was_sent=False) from err
        except Exception as err:  # from `requests`, urllib3 or a socket
            raise Unanswered(explain_error(err, self.longest), _may_be_sent(err)) from err
        try:
            found = read_json(reply.content)
        except ValueError as err:
            text = reply.content[:_PIECE].decode(errors="replace")
            raise no_answer(text, reply.status, reply.retry_after) from err
        return ids, Answer(found, reply.status, reply.retry_after)

    def send(self, body: bytes) -> Reply:
        """Send the body of a request, and return the response."""
        session, settings = self._connection()
        with (
            within(Deadline(self.longest)),
            session.post(self.url, data=body, timeout=self.longest, **settings) as response,
        ):
            return Reply(_content(response), response.status_code, retry_after(response.headers))

    def _connection(self) -> tuple[requests.Session, dict[str, Any]]:
        """The HTTP session of this process: forked processes must not share connections."""
        with self._lock:
            if self._session is None or self._session[0] != os.getpid():
                try:
                    opened = _open_session(self.url, self._options)
                except Exception as err:  # invalid settings raise errors of many kinds
                    raise HttpUnusable(explain_error(err)) from err
                self._session = (os.getpid(), *opened)
                finalize(self, opened[0].close)
            return self._session[1:]


def no_answer(text: str, status: int, pause: float | None) -> Unanswered:
    """The error for an answer that is not JSON-RPC.

    Args:
        text: The body of the answer.
        status: The HTTP status.
        pause: The delay that the endpoint asks for, in seconds.
    """
    reason = "its answer is not JSON-RPC" if 200 <= status < 300 else explain_status(status)
    refusal = classify("", None, text, status)
    if refusal not in (Refusal.WAIT, Refusal.DENIED, Refusal.SMALLER_BATCH):
        refusal = Refusal.MALFORMED if status < 300 or is_transient(status) else Refusal.REFUSED
    return Unanswered(reason, refusal=refusal, retry_after=pause)


class _Endless(Exception):
    """An answer exceeds :data:`LONGEST_ANSWER`."""


def _content(response: requests.Response) -> bytes:
    content = bytearray()
    for piece in response.iter_content(_PIECE):
        content += piece
        if len(content) > LONGEST_ANSWER:
            raise _Endless
    return bytes(content)


def _may_be_sent(err: Exception) -> bool:
    from requests import ConnectTimeout
    from requests.exceptions import InvalidSchema, InvalidURL, MissingSchema
    from urllib3.exceptions import NewConnectionError

    if isinstance(err, (ConnectTimeout, InvalidSchema, InvalidURL, MissingSchema)):
        return False
    reason = getattr(err.args[0] if err.args else None, "reason", None)
    return not isinstance(reason, NewConnectionError)


def _open_session(url: str, options: dict[str, Any]) -> tuple[requests.Session, dict[str, Any]]:
    """Open an HTTP session, and return it with the arguments of each request.

    Proxies, certificates and passwords are looked up only once: a lookup takes as long as a
    request.
    """
    import requests
    from requests.utils import get_environ_proxies, get_netrc_auth

    session = requests.Session()
    adapter = _adapter()
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    given = {name: value for name, value in options.items() if name != "timeout"}
    settings = session.merge_environment_settings(
        url, given.pop("proxies", None) or get_environ_proxies(url), True, None, None
    )
    if "auth" not in given and (auth := get_netrc_auth(url)):
        given["auth"] = auth
    session.trust_env = False
    return session, {**settings, **given, "stream": True}


@cache
def _classes() -> tuple[type, dict[str, type]]:
    import urllib3
    from requests.adapters import HTTPAdapter
    from urllib3.connection import HTTPConnection, HTTPSConnection

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            self.sock = _BoundedSocket(self.sock)

    class Secure(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            self.sock = _BoundedSocket(self.sock)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    pools: dict[str, type] = {"http": PlainPool, "https": SecurePool}

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options)
            self.poolmanager.pool_classes_by_scheme = pools

        def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
            manager = super().proxy_manager_for(*args, **options)
            manager.pool_classes_by_scheme = pools
            return manager

    return Adapter, pools


def _adapter() -> Any:
    adapter, _ = _classes()
    return adapter(pool_connections=4, pool_maxsize=32)


class _BoundedSocket:
    """A socket whose reads share the deadline of the request, instead of one timeout per read."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def makefile(self, _mode: str = "rb", *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(_BoundedReader(self._sock))


class _BoundedReader(io.RawIOBase):
    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if (timeout := bounded(self._sock.gettimeout())) is not None:
            self._sock.settimeout(timeout)
        found: int | None = self._file.readinto(buffer)
        return found

    def close(self) -> None:
        self._file.close()
        super().close()


_endpoints: WeakKeyDictionary[Any, Endpoint] = WeakKeyDictionary()
_lock = threading.Lock()


def endpoint_of(connection: Any) -> Endpoint | None:
    """The endpoint of a web3 provider; None if the provider does not use HTTP."""
    from web3 import HTTPProvider

    if not isinstance(connection, HTTPProvider):
        return None
    with _lock:
        if connection not in _endpoints:
            options = dict(connection.get_request_kwargs())
            _endpoints[connection] = Endpoint(str(connection.endpoint_uri), options)
        return _endpoints[connection]


def all_endpoints() -> list[Endpoint]:
    """The endpoints of all connections of this process."""
    with _lock:
        return list(_endpoints.values())
