"""A Kubo node and a pinning service, as strict as their specifications, and scriptable faults.

The node splits and hashes content with the JavaScript implementation of IPFS.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from tests.ipfs import importer

TOKEN = "a-token"

# What a service does with a request; None for the normal response.
Behaviour: TypeAlias = "Callable[[Any], None] | None"


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Service

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        parts = urlsplit(self.path)
        self.where = parts.path
        self.options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.service.asked.append(f"{self.command} {self.where}")
        (self.service.behaviour or self.service.serve)(self)

    def log_message(self, *_: object) -> None:
        pass

    def say(self, status: int, document: Any = None, body: bytes = b"") -> None:
        body = body or (b"" if document is None else json.dumps(document).encode())
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Service:
    """A service on this machine, which runs until the context ends."""

    def __init__(self, behaviour: Behaviour = None) -> None:
        self.behaviour = behaviour
        self.asked: list[str] = []
        self.stopped = Event()
        handler = type("Handler", (Request,), {"service": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Any:
        Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.server.shutdown()
        self.server.server_close()

    def serve(self, request: Any) -> None:
        raise NotImplementedError


class Kubo(Service):
    """``/api/v0/add`` and ``/api/v0/id``, with the defaults of old nodes."""

    def __init__(self, behaviour: Behaviour = None) -> None:
        super().__init__(behaviour)
        self.blocks: dict[str, bytes] = {}
        self.pinned: list[str] = []

    def serve(self, request: Any) -> None:
        if request.command != "POST":
            request.say(405)
        elif request.where == "/api/v0/id":
            request.say(200, {"ID": "12D3Koo", "Addresses": ["/ip4/10.0.0.1/tcp/4001/p2p/12D3Koo"]})
        elif request.where == "/api/v0/add":
            self.add(request)
        else:
            request.say(404)

    def add(self, request: Any) -> None:
        kind = request.headers["Content-Type"].encode()
        form = BytesParser().parsebytes(b"Content-Type: " + kind + b"\r\n\r\n" + request.body)
        (part,) = form.get_payload()
        options = request.options
        imported = importer.add(
            part.get_payload(decode=True),
            chunk=int(options["chunker"].removeprefix("size-")),
            children=int(options.get("max-file-links", 174)),
            version=int(options.get("cid-version", 0)),
            raw_leaves=options.get("raw-leaves") == "true",
        )
        self.blocks |= imported.blocks
        if options.get("pin", "true") == "true":
            self.pinned.append(imported.cid)
        result = {"Name": part.get_filename(), "Hash": imported.cid, "Size": "1"}
        lines = [{"Name": part.get_filename(), "Bytes": 1}] * (options.get("progress") == "true")
        request.say(
            200, body=b"".join(json.dumps(line).encode() + b"\n" for line in [*lines, result])
        )


class PinningService(Service):
    """A pinning service. Each query of a pin returns its next status."""

    def __init__(self, *statuses: str, behaviour: Behaviour = None, **info: str) -> None:
        super().__init__(behaviour)
        self.statuses = statuses or ("queued", "pinning", "pinned")
        self.info = info
        self.pins: dict[str, dict[str, Any]] = {}
        self.queries: Counter[str] = Counter()
        self.lock = Lock()

    def serve(self, request: Any) -> None:
        with self.lock:
            if request.headers["Authorization"] != f"Bearer {TOKEN}":
                error = {"reason": "UNAUTHORIZED", "details": "Access token is missing"}
                request.say(401, {"error": error})
            elif request.where == "/pins" and request.command == "POST":
                pin = json.loads(request.body)
                assert request.headers["Content-Type"] == "application/json"
                assert {"cid"} <= set(pin) <= {"cid", "name", "origins", "meta"}
                assert len(pin["name"]) <= 255
                assert len(set(pin["origins"])) == len(pin["origins"]) <= 20
                name = f"pin/{len(self.pins)}"
                self.pins[name] = pin
                request.say(202, self.status(name))
            elif request.where == "/pins":
                wanted = request.options["status"].split(",")
                pins = [self.status(name) for name in self.pins]
                found = [
                    pin
                    for pin in pins
                    if pin["pin"]["cid"] == request.options["cid"] and pin["status"] in wanted
                ]
                request.say(200, {"count": len(found), "results": found})
            elif (name := request.where.removeprefix("/pins/").replace("%2F", "/")) in self.pins:
                request.say(200, self.status(name))
            else:
                request.say(404, {"error": {"reason": "NOT_FOUND"}})

    def status(self, name: str) -> dict[str, Any]:
        position = min(self.queries[name], len(self.statuses) - 1)
        self.queries[name] += 1
        return {
            "requestid": name,
            "status": self.statuses[position],
            "created": "2026-01-01T00:00:00Z",
            "pin": self.pins[name],
            "delegates": ["/ip4/10.0.0.2/tcp/4001/p2p/12D3KooX"],
            "info": self.info,
        }


def says(status: int, document: Any = None, body: bytes = b"") -> Behaviour:
    return lambda request: request.say(status, document, body)


def hangs(request: Any) -> None:
    request.service.stopped.wait(30)
    request.close_connection = True


def drops(request: Any) -> None:
    request.close_connection = True


def drips(request: Any) -> None:
    """Send an endless response byte by byte."""
    request.send_response(200)
    request.send_header("Content-Length", "1000000")
    request.end_headers()
    while not request.service.stopped.is_set():
        request.wfile.write(b" ")
        time.sleep(0.02)


def at_first(times: int, first: Behaviour) -> Behaviour:
    """Misbehave for the first requests, and respond normally after them."""

    def behaviour(request: Any) -> None:
        if first and len(request.service.asked) <= times:
            first(request)
        else:
            request.service.serve(request)

    return behaviour
