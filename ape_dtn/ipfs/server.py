"""An IPFS gateway on this machine, which serves the blocks of a folder, and lets others add to it.

``GET`` and ``HEAD /ipfs/{cid}`` serve single blocks as trustless gateways_ do (``?format=raw``, or
``Accept: application/vnd.ipld.raw``), and whole files otherwise. ``POST /api/v0/add``,
``/api/v0/version`` and ``/api/v0/repo/stat`` are those of Kubo's RPC API_.

It listens on the loopback address alone: whoever can reach it may add.

.. _gateways: https://specs.ipfs.tech/http-gateways/trustless-gateway/
.. _API: https://docs.ipfs.tech/reference/kubo/rpc/
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from ape_dtn.ipfs import adding, unixfs
from ape_dtn.ipfs.blocks import Blocks, Missing, log
from ape_dtn.types.errors import MissingExtra
from ape_dtn.types.waiting import POLICY

if TYPE_CHECKING:
    from multiformats import CID


HOST = "127.0.0.1"

RAW_TYPE = "application/vnd.ipld.raw"

# What a CID names never changes.
_FOREVER = "public, max-age=29030400, immutable"


@contextmanager
def serving(blocks: Blocks, port: int = 0) -> Iterator[str]:
    """Serves a folder while it is entered.

    Args:
        blocks: The blocks.
        port: Where; 0 is any free port. Processes of one user may share a port.

    Yields:
        The gateway's address, as in ``http://127.0.0.1:8480``.

    Raises:
        OSError: It cannot listen there.
    """
    handler = type("Handler", (_Visit,), {"blocks": blocks})
    with _Server((HOST, port), handler) as server:
        # The pause is what stopping it may take.
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        if self.server_address[1] and hasattr(socket, "SO_REUSEPORT"):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def handle_error(self, *_: object) -> None:
        log.debug("a connection failed", exc_info=True)


class _Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Visit(BaseHTTPRequestHandler):
    """A request."""

    protocol_version = "HTTP/1.1"
    server_version = "ape-dtn"
    disable_nagle_algorithm = True
    timeout = POLICY.gateway_idle
    blocks: Blocks

    def do_GET(self) -> None:
        self._answered(self._get)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        # What was not read of a body would be taken for the next request.
        self.close_connection = True
        self._answered(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("%s " + format, self.address_string(), *args)

    def _answered(self, work: Callable[[], None]) -> None:
        try:
            work()
        except _Refused as err:
            self._say_error(err.status, str(err))
        except MissingExtra as err:
            self._say_error(HTTPStatus.NOT_IMPLEMENTED, f"{err.message} {err.hint}")
        except (adding.Malformed, unixfs.Unusable) as err:
            self._say_error(HTTPStatus.BAD_REQUEST, str(err))
        except Missing as err:
            self._say_error(HTTPStatus.NOT_FOUND, f"{err} is not here")
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except OSError as err:
            log.error("%s: %s", self.blocks.folder, err)
            self._say_error(HTTPStatus.INTERNAL_SERVER_ERROR, str(err.strerror))

    # The gateway.

    def _get(self) -> None:
        cid = self._cid()
        is_raw = self._wants_raw()
        tag = f'"{cid}.raw"' if is_raw else f'"{cid}"'
        block = self.blocks.get(cid)
        headers = {
            "Etag": tag,
            "Cache-Control": _FOREVER,
            "X-Ipfs-Path": f"/ipfs/{cid}",
            "X-Ipfs-Roots": str(cid),
        }
        if self._has(tag):
            self._begin(HTTPStatus.NOT_MODIFIED, headers)
        elif is_raw:
            headers["Content-Disposition"] = f'attachment; filename="{cid}.bin"'
            self._say(RAW_TYPE, len(block), [block], headers)
        else:
            node = unixfs.read(cid, block)
            self._say("application/octet-stream", node.size, self.blocks.content(node), headers)

    def _cid(self) -> CID:
        path = self.path.partition("?")[0]
        text = path.removeprefix("/ipfs/").rstrip("/")
        if text == path or not text:
            raise _Refused(HTTPStatus.NOT_FOUND, "nothing is here but /ipfs/{cid}")
        if "/" in text:
            raise _Refused(HTTPStatus.NOT_FOUND, "there are files here, and no directories")
        return unixfs.decode(text)

    def _wants_raw(self) -> bool:
        told = (self.headers["Accept"] or "").split(",")
        accepted = [each.split(";")[0].strip() for each in told]
        wanted = self._options().get("format")
        if wanted == "raw" or (wanted is None and RAW_TYPE in accepted):
            return True
        others = [each for each in accepted if each.startswith("application/vnd.ip")]
        if wanted is not None or others:
            raise _Refused(HTTPStatus.NOT_ACCEPTABLE, "there are blocks (format=raw), and files")
        return False

    def _has(self, tag: str) -> bool:
        """Whether the visitor has what it asks for already."""
        known = [each.strip() for each in (self.headers["If-None-Match"] or "").split(",")]
        return any(each in ("*", tag, f"W/{tag}") for each in known)

    # The RPC API.

    def _post(self) -> None:
        # Pages in a browser can send requests to this machine, and are to change nothing here.
        # Their names may lead here too: by the names of the host they are told from programs.
        host = (self.headers["Host"] or HOST).split(":")[0]
        if self.headers["Origin"] or host not in (HOST, "localhost"):
            raise _Refused(HTTPStatus.FORBIDDEN, "programs of this machine only, and no web pages")
        path = self.path.partition("?")[0]
        if path == "/api/v0/add":
            self._add()
        elif path == "/api/v0/version":
            from importlib.metadata import version

            self._say_json(
                {"Version": version("ape-dtn"), "Commit": "", "Repo": "", "System": "ape-dtn"}
            )
        elif path == "/api/v0/repo/stat":
            self._say_json({"RepoPath": str(self.blocks.folder.resolve())})
        else:
            raise _Refused(HTTPStatus.NOT_FOUND, "of the RPC API there are add, version, repo/stat")

    def _add(self) -> None:
        chunk = adding.chunk_of(self._options())
        kind = self.headers["Content-Type"] or ""
        added = [
            {"Name": name or str(cid), "Hash": str(cid), "Size": str(size)}
            for name, cid, size in adding.add(self.blocks, kind, self._body(), chunk)
        ]
        self._say_json(*added)

    def _body(self) -> Iterator[bytes]:
        if "chunked" in (self.headers["Transfer-Encoding"] or ""):
            return adding.unchunked(self.rfile)
        return adding.of_length(self.rfile, self.headers["Content-Length"] or "")

    # What is said.

    def _options(self) -> dict[str, str]:
        query = parse_qs(self.path.partition("?")[2], keep_blank_values=True)
        return {name: values[-1] for name, values in query.items()}

    def _say_json(self, *documents: Any) -> None:
        body = "".join(json.dumps(each) + "\n" for each in documents).encode()
        self._say("application/json", len(body), [body], {})

    def _say_error(self, status: HTTPStatus, reason: str) -> None:
        error = {"Message": reason, "Code": 0, "Type": "error"}
        body = (json.dumps(error) + "\n").encode()
        self._say("application/json", len(body), [body], {}, status)

    def _say(
        self,
        kind: str,
        length: int,
        body: Iterable[bytes],
        headers: dict[str, str],
        status: HTTPStatus = HTTPStatus.OK,
    ) -> None:
        about = {"Content-Type": kind, "Content-Length": str(length)}
        self._begin(status, {**about, "X-Content-Type-Options": "nosniff", **headers})
        if self.command == "HEAD":
            return
        try:
            for piece in body:
                self.wfile.write(piece)
        except (Missing, unixfs.Unusable, OSError):
            # The visitor was told a length, and sees by it that this is not all.
            self.close_connection = True

    def _begin(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
