"""A scriptable IPFS gateway: it serves blocks, lies, hangs, redirects, and so on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from select import select
from socket import MSG_PEEK
from threading import Event, Lock, Thread
from typing import TypeAlias
from urllib.parse import parse_qs, urlsplit

# The headers that a client must send: it must want a raw, uncompressed block.
BLOCK_TYPE = "application/vnd.ipld.raw"
WANTED = {"Accept": BLOCK_TYPE, "Accept-Encoding": "identity"}


class Request(BaseHTTPRequestHandler):
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


# What a gateway does with a request.
Behaviour: TypeAlias = "Callable[[Gateway, Request], None]"


class Gateway:
    """A gateway on this machine, which runs until the context ends."""

    def __init__(self, blocks: Mapping[str, bytes], behaviour: Behaviour | None = None) -> None:
        self.blocks = blocks
        self.behaviour = behaviour or serves
        self.asked: list[str] = []  # CIDs, in the order of the requests
        self.paths: list[str] = []
        self.authorizations: list[str | None] = []
        self.most_at_once = 0
        self.bytes_sent = 0
        self.left = Event()  # set when a client disconnects before the response is complete
        self.stopped = Event()
        self._at_once = 0
        self._lock = Lock()
        handler = type("Handler", (Request,), {"gateway": self})
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

    def serve(self, request: Request) -> None:
        with self._lock:
            self.asked.append(request.cid)
            self.paths.append(request.path)
            self.authorizations.append(request.headers["Authorization"])
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self.behaviour(self, request)
        except ConnectionError:
            request.close_connection = True
            self.left.set()
        finally:
            with self._lock:
                self._at_once -= 1


def serves(gateway: Gateway, request: Request) -> None:
    """Serve single blocks to clients that follow the specification."""
    url = urlsplit(request.path)
    is_valid = all(request.headers[name] == value for name, value in WANTED.items())
    if parse_qs(url.query).get("format") != ["raw"] or not is_valid:
        request.say(406)
    elif request.cid in gateway.blocks and url.path == f"/ipfs/{request.cid}":
        request.say(200, gateway.blocks[request.cid], Content_Type=BLOCK_TYPE)
    else:
        request.say(404)


def lies(gateway: Gateway, request: Request) -> None:
    request.say(200, b"Something else", Content_Type=BLOCK_TYPE)


def drops(gateway: Gateway, request: Request) -> None:
    """Close the connection before the end of the block."""
    block = gateway.blocks[request.cid]
    request.say(200, block[:-1], Content_Length=str(len(block)))
    request.close_connection = True


def hangs(gateway: Gateway, request: Request) -> None:
    """Send nothing until the client disconnects."""
    while not gateway.stopped.is_set():
        readable, _, _ = select([request.connection], [], [], 0.05)
        if readable and not request.connection.recv(1, MSG_PEEK):
            raise ConnectionResetError


def says(status: int, **headers: str) -> Behaviour:
    return lambda _, request: request.say(status, b"Not now", **headers)


def endless(status: int = 200, **headers: str) -> Behaviour:
    def behaviour(gateway: Gateway, request: Request) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        while not gateway.stopped.is_set():
            request.wfile.write(bytes(65_536))
            gateway.bytes_sent += 65_536

    return behaviour


def redirects(to: str) -> Behaviour:
    return lambda _, request: request.say(302, Location=to + request.path)


def after(seconds: float, then: Behaviour = serves) -> Behaviour:
    def behaviour(gateway: Gateway, request: Request) -> None:
        time.sleep(seconds)
        then(gateway, request)

    return behaviour


def at_first(times: int, first: Behaviour, then: Behaviour = serves) -> Behaviour:
    """Behave one way for the first requests, and another way after them."""

    def behaviour(gateway: Gateway, request: Request) -> None:
        (first if len(gateway.asked) <= times else then)(gateway, request)

    return behaviour
