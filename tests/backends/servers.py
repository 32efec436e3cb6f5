"""HTTP servers that backends ask: one that does as it is told, and two that others have written."""

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
class Asked:
    """A request as the server got it."""

    path: str
    headers: Mapping[str, str]
    body: Any
    at: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Said:
    """What the server answers: bytes as they are, all else as JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Answer: TypeAlias = "Callable[[Server, Visit], Said | None]"


class Visit(BaseHTTPRequestHandler):
    """A request to the server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    house: Server
    asked: Asked

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked = Asked(self.path, dict(self.headers), json.loads(body) if body else None)
        with self.house.lock:
            self.house.asked.append(self.asked)
        try:
            said = self.house.answer(self.house, self)
            if said is not None:
                self.say(said)
        except ConnectionError:
            self.close_connection = True

    do_GET = do_POST

    def say(self, said: Said) -> None:
        self.send_response(said.status)
        for name, value in {"Content-Length": str(len(said.content)), **said.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(said.content)

    def log_message(self, *_: object) -> None:
        pass


class Server:
    """A server on this machine, which serves while it is entered."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.lock = Lock()
        self.stopped = Event()
        handler = type("Handler", (Visit,), {"house": self})
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


def says(status: int, body: Any, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _server, _visit: Said(status, body, named)


def in_turn(*answers: Answer) -> Answer:
    """One answer after the other, and the last one from then on."""
    return lambda server, visit: answers[min(len(server.asked), len(answers)) - 1](server, visit)


def at_once(count: int, then: Answer) -> Answer:
    """Answers nobody before so many have asked."""
    barrier = Barrier(count, timeout=60)

    def answer(server: Server, visit: Visit) -> Said | None:
        barrier.wait()
        return then(server, visit)

    return answer


def hangs(server: Server, _visit: Visit) -> None:
    server.stopped.wait(20)
    raise ConnectionError


def trickles(server: Server, visit: Visit) -> None:
    """A piece in time for every read, and no end."""
    visit.send_response(200)
    visit.end_headers()
    while not server.stopped.wait(0.05):
        visit.wfile.write(b" ")


def floods(server: Server, visit: Visit) -> None:
    """More than is read of any answer."""
    visit.send_response(200)
    visit.end_headers()
    while not server.stopped.is_set():
        visit.wfile.write(bytes(2**20))


def drops(_server: Server, _visit: Visit) -> None:
    """Goes away without a word."""
    raise ConnectionError


@contextmanager
def aimock(path: Path, fixtures: Sequence[Mapping[str, Any]], *options: str) -> Iterator[str]:
    """An OpenAI-compatible server, with texts and images, that wants the key."""
    script = path / "fixtures.json"
    script.write_text(json.dumps({"fixtures": fixtures}))
    command = ["node", str(AIMOCK), "-p", "0", "-f", str(script), "--strict", *options]
    with _running(command, path / "aimock.log", AIMOCK_API_KEYS=KEY) as url:
        yield f"{url}/v1"


@contextmanager
def llama(path: Path) -> Iterator[str]:
    """llama.cpp's server with a small language model, that wants the key."""
    command = [sys.executable, "-m", "tests.backends.llama", KEY]
    with _running(command, path / "llama.log") as url:
        yield f"{url}/v1"


@contextmanager
def _running(command: Sequence[str], log: Path, **environment: str) -> Iterator[str]:
    """A server in a process of its own, once it says where it listens."""
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
