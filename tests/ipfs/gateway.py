"""IPFS gateways: one that serves what it has, and what others do instead."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from select import select
from socket import MSG_PEEK
from threading import Event, Lock, Thread
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

# What a visitor has to want: a single block, and that as it is.
BLOCK_TYPE = "application/vnd.ipld.raw"
WANTED = {"Accept": BLOCK_TYPE, "Accept-Encoding": "identity"}


class Visit(BaseHTTPRequestHandler):
    """A request to a gateway."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    gateway: Gateway

    def do_GET(self) -> None:
        self.gateway.serve(self)

    def log_message(self, *_: object) -> None:
        pass

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    @property
    def cid(self) -> str:
        return urlsplit(self.path).path.rpartition("/")[2]


# What a gateway makes of a request.
Behaviour: TypeAlias = "Callable[[Gateway, Visit], None]"


class Gateway:
    """A gateway on this machine, which serves while it is entered."""

    def __init__(self, blocks: Mapping[str, bytes], behaviour: Behaviour | None = None) -> None:
        self.blocks = blocks
        self.behaviour = behaviour or serves
        self.asked: list[str] = []  # CIDs, in the order in which they were asked for
        self.paths: list[str] = []
        self.authorizations: list[str | None] = []
        self.most_at_once = 0
        self.bytes_sent = 0
        self.left = Event()  # set when a visitor went before the answer was complete
        self.stopped = Event()
        self._at_once = 0
        self._lock = Lock()
        handler = type("Handler", (Visit,), {"gateway": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"

    def __enter__(self) -> Gateway:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def serve(self, visit: Visit) -> None:
        with self._lock:
            self.asked.append(visit.cid)
            self.paths.append(visit.path)
            self.authorizations.append(visit.headers["Authorization"])
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self.behaviour(self, visit)
        except ConnectionError:
            visit.close_connection = True
            self.left.set()
        finally:
            with self._lock:
                self._at_once -= 1


def serves(gateway: Gateway, visit: Visit) -> None:
    """Single blocks, to whoever asks for them as the specification says."""
    asked = urlsplit(visit.path)
    wanted = all(visit.headers[name] == value for name, value in WANTED.items())
    if parse_qs(asked.query).get("format") != ["raw"] or not wanted:
        visit.say(406)
    elif visit.cid in gateway.blocks and asked.path == f"/ipfs/{visit.cid}":
        visit.say(200, gateway.blocks[visit.cid], Content_Type=BLOCK_TYPE)
    else:
        visit.say(404)


def lies(gateway: Gateway, visit: Visit) -> None:
    visit.say(200, b"Something else", Content_Type=BLOCK_TYPE)


def drops(gateway: Gateway, visit: Visit) -> None:
    """Goes away before the end of the block."""
    block = gateway.blocks[visit.cid]
    visit.say(200, block[:-1], Content_Length=str(len(block)))
    visit.close_connection = True


def hangs(gateway: Gateway, visit: Visit) -> None:
    """Never says anything, and notices when the visitor leaves."""
    while not gateway.stopped.is_set():
        readable, _, _ = select([visit.connection], [], [], 0.05)
        if readable and not visit.connection.recv(1, MSG_PEEK):
            raise ConnectionResetError


def says(status: int, **headers: str) -> Behaviour:
    return lambda _, visit: visit.say(status, b"Not now", **headers)


def endless(status: int = 200, **headers: str) -> Behaviour:
    """A body that does not end."""

    def behaviour(gateway: Gateway, visit: Visit) -> None:
        visit.send_response(status)
        for name, value in headers.items():
            visit.send_header(name, value)
        visit.end_headers()
        while not gateway.stopped.is_set():
            visit.wfile.write(bytes(65_536))
            gateway.bytes_sent += 65_536

    return behaviour


def redirects(to: str) -> Behaviour:
    return lambda _, visit: visit.say(302, Location=to + visit.path)


def after(seconds: float, then: Behaviour = serves) -> Behaviour:
    def behaviour(gateway: Gateway, visit: Visit) -> None:
        time.sleep(seconds)
        then(gateway, visit)

    return behaviour


def at_first(times: int, first: Behaviour, then: Behaviour = serves) -> Behaviour:
    """One behaviour for so many requests, and then another."""

    def behaviour(gateway: Gateway, visit: Visit) -> None:
        (first if len(gateway.asked) <= times else then)(gateway, visit)

    return behaviour
