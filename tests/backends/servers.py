"""HTTP servers for the backends: a scriptable stub, and two independent implementations."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Barrier, Event, Lock, Thread
from typing import Any, TypeAlias

KEY = "sk-of-the-tests-5e5e5e5e"
AIMOCK = Path("node_modules/@copilotkit/aimock/dist/cli.js")
LISTENS = re.compile(r"http://127\.0\.0\.1:\d+")


@dataclass
class Received:
    path: str
    headers: Mapping[str, str]
    body: Any
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Reply:
    """A response: bytes are sent unchanged, other values as JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Answer: TypeAlias = "Callable[[Server, Handler], Reply | None]"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    stub: Server
    received: Received

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.received = Received(self.path, dict(self.headers), json.loads(body) if body else None)
        with self.stub.lock:
            self.stub.received.append(self.received)
        try:
            reply = self.stub.answer(self.stub, self)
            if reply is not None:
                self.send(reply)
        except ConnectionError:
            self.close_connection = True

    do_GET = do_POST

    def send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.content)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.content)

    def log_message(self, *_: object) -> None:
        pass


class Server:
    """A stub server on the loopback address, running while its context is open."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.received: list[Received] = []
        self.lock = Lock()
        self.stopped = Event()
        handler = type("BoundHandler", (Handler,), {"stub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Server:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()


def replies(status: int, body: Any, **headers: str) -> Answer:
    headers_by_name = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _server, _handler: Reply(status, body, headers_by_name)


def in_sequence(*answers: Answer) -> Answer:
    """Gives the answers in order, and repeats the last one."""
    return lambda server, handler: answers[min(len(server.received), len(answers)) - 1](
        server, handler
    )


def after_all_arrived(count: int, answer: Answer) -> Answer:
    """Holds all answers until `count` requests have arrived."""
    barrier = Barrier(count, timeout=60)

    def held(server: Server, handler: Handler) -> Reply | None:
        barrier.wait()
        return answer(server, handler)

    return held


def hangs(server: Server, _handler: Handler) -> None:
    server.stopped.wait(20)
    raise ConnectionError


def trickles(server: Server, handler: Handler) -> None:
    """Sends a byte often enough for every read timeout, without end."""
    handler.send_response(200)
    handler.end_headers()
    while not server.stopped.wait(0.05):
        handler.wfile.write(b" ")


def floods(server: Server, handler: Handler) -> None:
    """Sends more than the limit for an answer."""
    handler.send_response(200)
    handler.end_headers()
    while not server.stopped.is_set():
        handler.wfile.write(bytes(2**20))


def drops(_server: Server, _handler: Handler) -> None:
    """Closes the connection without a response."""
    raise ConnectionError


@contextmanager
def aimock(path: Path, fixtures: Sequence[Mapping[str, Any]], *options: str) -> Iterator[str]:
    """An OpenAI-compatible server for texts and images that requires the key."""
    script = path / "fixtures.json"
    script.write_text(json.dumps({"fixtures": fixtures}))
    command = ["node", str(AIMOCK), "-p", "0", "-f", str(script), "--strict", *options]
    with _running(command, path / "aimock.log", AIMOCK_API_KEYS=KEY) as url:
        yield f"{url}/v1"


@contextmanager
def llama(path: Path) -> Iterator[str]:
    """llama.cpp's server with a small language model; it requires the key."""
    command = [sys.executable, "-m", "tests.backends.llama", KEY]
    with _running(command, path / "llama.log") as url:
        yield f"{url}/v1"


@contextmanager
def _running(command: Sequence[str], log: Path, **environment: str) -> Iterator[str]:
    """Runs a server process; yields its URL once it listens."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=out, stderr=out, env=os.environ | environment
        )
    try:
        deadline = time.monotonic() + 30
        while not (found := LISTENS.search(log.read_text(errors="replace"))):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not listen: {log.read_text()}")
            time.sleep(0.05)
        yield found[0]
    finally:
        process.kill()
        process.wait()
