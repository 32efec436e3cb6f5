"""A JSON-RPC proxy that counts what passes through it, and can refuse, hold back and intervene.

It stands between Ape and a chain, so that it sees what really goes over the wire: HTTP requests,
and the RPC calls in them, batched or not.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlsplit

# The first word of methods that only an own node answers.
TRACES = ("debug_", "trace_")

# As nodes say it of a method that they do not serve.
METHOD_NOT_FOUND = -32601

# For how many seconds a receipt is held back that is not there yet.
RECEIPT_PATIENCE = 5.0

# How long a chain may take to answer at all, in seconds.
PATIENCE = 120


class Disconnected(OSError):
    """The connection is closed in place of an answer, or within one.

    Args:
        part: What of the answer is sent before.
    """

    def __init__(self, part: bytes = b"") -> None:
        super().__init__("disconnected")
        self.part = part


class HttpError(OSError):
    """What is answered with an HTTP status that is no success, or with other headers."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.body, self.headers = status, body, headers or {}


class Dripping(OSError):
    """An answer that comes byte by byte.

    Args:
        answer: The bytes, or as many of them as anyone waits for.
        in_head: Whether it begins in the middle of the headers, which then never end.
        pause: Seconds between two bytes.
    """

    def __init__(self, answer: bytes, in_head: bool = False, pause: float = 0.1) -> None:
        super().__init__("dripping")
        self.answer, self.in_head, self.pause = answer, in_head, pause


@dataclass
class Count:
    """What passed: HTTP requests, and RPC calls by their method."""

    http: int = 0
    methods: Counter[str] = field(default_factory=Counter)

    @property
    def rpc(self) -> int:
        """How many RPC calls there were."""
        return self.methods.total()

    @property
    def traces(self) -> int:
        """How many of the RPC calls ask for traces, which public endpoints refuse."""
        return sum(times for name, times in self.methods.items() if name.startswith(TRACES))

    def as_dict(self) -> dict[str, Any]:
        """The count as plain data."""
        return {
            "http": self.http,
            "rpc": self.rpc,
            "traces": self.traces,
            "methods": dict(sorted(self.methods.items())),
        }


class RpcCounter:
    """The proxy; a context manager that serves while it is entered.

    Args:
        upstream: The chain's endpoint, as in ``http://127.0.0.1:8545``.
        refuse: Beginnings of the methods that are answered with an error.
        hold_receipts: Answer for a receipt only once it is there, so that counts do not depend on
            how quickly blocks come.
        before: Called with method and parameters of each RPC call before it goes on.
    """

    def __init__(
        self,
        upstream: str,
        refuse: tuple[str, ...] = (),
        hold_receipts: bool = False,
        before: Callable[[str, list[Any]], None] | None = None,
    ) -> None:
        self.upstream = upstream
        self.refuse = refuse
        self.hold_receipts = hold_receipts
        self.before = before
        self._count = Count()
        self._lock = Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> RpcCounter:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stops serving: nobody is at its address any more."""
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def counting(self) -> Iterator[Count]:
        """Counts what passes from here to the end of the context."""
        with self._lock:
            self._count = count = Count()
        yield count
        with self._lock:
            self._count = Count()

    def answer(self, body: bytes) -> bytes:
        """Counts a request and gets its answer, or makes one up where it is refused."""
        asked = json.loads(body)
        calls = asked if isinstance(asked, list) else [asked]
        with self._lock:
            self._count.http += 1
            self._count.methods.update(call["method"] for call in calls)
        for call in calls:
            if self.before is not None:
                self.before(call["method"], call["params"])
        if not any(call["method"].startswith(self.refuse) for call in calls):
            return self._patiently(body, calls)
        answers = [self._answer_one(call) for call in calls]
        return json.dumps(answers if isinstance(asked, list) else answers[0]).encode()

    def _answer_one(self, call: dict[str, Any]) -> Any:
        if not call["method"].startswith(self.refuse):
            return json.loads(self._patiently(json.dumps(call).encode(), [call]))
        message = f"the method {call['method']} does not exist/is not available"
        error = {"code": METHOD_NOT_FOUND, "message": message}
        return {"jsonrpc": "2.0", "id": call["id"], "error": error}

    def _patiently(self, body: bytes, calls: list[dict[str, Any]]) -> bytes:
        deadline = time.monotonic() + RECEIPT_PATIENCE
        waits = self.hold_receipts and calls[0]["method"] == "eth_getTransactionReceipt"
        while True:
            answer = self._pass_on(body)
            if not waits or time.monotonic() > deadline:
                return answer
            parsed = json.loads(answer)
            results = parsed if isinstance(parsed, list) else [parsed]
            if all(result.get("result") is not None for result in results):
                return answer
            time.sleep(0.005)

    def _pass_on(self, body: bytes) -> bytes:
        where = urlsplit(self.upstream)
        assert where.hostname is not None
        connection = HTTPConnection(where.hostname, where.port, timeout=PATIENCE)
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            return connection.getresponse().read()
        finally:
            connection.close()


def _handler(counter: RpcCounter) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            status, cut, headers = 200, False, dict[str, str]()
            try:
                answer = counter.answer(self.rfile.read(int(self.headers["Content-Length"])))
            except Disconnected as err:
                answer, cut = err.part, True
            except HttpError as err:
                status, answer, headers = err.status, err.body, err.headers
            except Dripping as err:
                self.drip(err)
                return
            except OSError as err:
                self.send_error(502, str(err))
                return
            if answer or not cut:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer) + cut))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)
            self.close_connection = self.close_connection or cut

        def drip(self, dripping: Dripping) -> None:
            self.close_connection = True
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(dripping.answer)}\r\n"
            self.wfile.write((head + ("X-Never-Ends: " if dripping.in_head else "\r\n")).encode())
            with suppress(OSError):  # nobody waits any more
                for byte in dripping.answer:
                    self.wfile.write(bytes([byte]))
                    time.sleep(dripping.pause)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
