"""A local IPFS gateway, which serves the blocks of a folder and accepts uploads.

``GET`` and ``HEAD /ipfs/{cid}`` serve single blocks as trustless gateways_ do (``?format=raw``, or
``Accept: application/vnd.ipld.raw``), and whole files otherwise. ``POST /api/v0/add``,
``/api/v0/version`` and ``/api/v0/repo/stat`` follow Kubo's RPC API_.

The server listens on the loopback address only: uploads need no authentication.

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
from ape_dtn.types.polling import POLICY

if TYPE_CHECKING:
    from multiformats import CID


HOST = "127.0.0.1"

RAW_TYPE = "application/vnd.ipld.raw"

# The content of a CID never changes.
_CACHE_CONTROL = "public, max-age=29030400, immutable"


@contextmanager
def serving(blocks: Blocks, port: int = 0) -> Iterator[str]:
    """Serve a folder until the context ends, and yield the URL of the gateway.

    Port 0 is any free one. Processes of one user can share a port.

    Raises:
        OSError: The port cannot be listened on.
    """
    handler = type("Handler", (_Handler,), {"blocks": blocks})
    with _Server((HOST, port), handler) as server:
        # The polling interval is the longest that stopping the server can take.
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
    """Rejects a request with an HTTP status."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """One connection; requests are dispatched by method and path."""

    protocol_version = "HTTP/1.1"
    server_version = "ape-dtn"
    disable_nagle_algorithm = True
    timeout = POLICY.gateway_idle
    blocks: Blocks

    def do_GET(self) -> None:
        self._respond(self._get)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        # An unread rest of the body would be parsed as the next request.
        self.close_connection = True
        self._respond(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("%s " + format, self.address_string(), *args)

    def _respond(self, respond: Callable[[], None]) -> None:
        try:
            respond()
        except _Refused as err:
            self._send_error(err.status, str(err))
        except MissingExtra as err:
            self._send_error(HTTPStatus.NOT_IMPLEMENTED, f"{err.message} {err.hint}")
        except (adding.InvalidUpload, unixfs.Unusable) as err:
            self._send_error(HTTPStatus.BAD_REQUEST, str(err))
        except Missing as err:
            self._send_error(HTTPStatus.NOT_FOUND, f"block {err} not found")
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except OSError as err:
            log.error("%s: %s", self.blocks.folder, err)
            self._send_error(HTTPStatus.INTERNAL_SERVER_ERROR, str(err.strerror))

    # Gateway.

    def _get(self) -> None:
        cid = self._cid()
        is_raw = self._wants_raw()
        tag = f'"{cid}.raw"' if is_raw else f'"{cid}"'
        block = self.blocks.get(cid)
        headers = {
            "Etag": tag,
            "Cache-Control": _CACHE_CONTROL,
            "X-Ipfs-Path": f"/ipfs/{cid}",
            "X-Ipfs-Roots": str(cid),
        }
        if self._is_cached(tag):
            self._send_headers(HTTPStatus.NOT_MODIFIED, headers)
        elif is_raw:
            headers["Content-Disposition"] = f'attachment; filename="{cid}.bin"'
            self._send(RAW_TYPE, len(block), [block], headers)
        else:
            node = unixfs.read(cid, block)
            self._send("application/octet-stream", node.size, self.blocks.content(node), headers)

    def _cid(self) -> CID:
        path = self.path.partition("?")[0]
        text = path.removeprefix("/ipfs/").rstrip("/")
        if text == path or not text:
            raise _Refused(HTTPStatus.NOT_FOUND, "not found: only /ipfs/{cid} is served")
        if "/" in text:
            raise _Refused(HTTPStatus.NOT_FOUND, "directories are not supported")
        return unixfs.decode(text)

    def _wants_raw(self) -> bool:
        types = (self.headers["Accept"] or "").split(",")
        accepted = [media_type.split(";")[0].strip() for media_type in types]
        wanted = self._options().get("format")
        if wanted == "raw" or (wanted is None and RAW_TYPE in accepted):
            return True
        wants_other_format = any(name.startswith("application/vnd.ip") for name in accepted)
        if wanted is not None or wants_other_format:
            raise _Refused(HTTPStatus.NOT_ACCEPTABLE, "unsupported format: only raw is supported")
        return False

    def _is_cached(self, tag: str) -> bool:
        known = [value.strip() for value in (self.headers["If-None-Match"] or "").split(",")]
        return any(value in ("*", tag, f"W/{tag}") for value in known)

    # RPC API.

    def _post(self) -> None:
        # Web pages can send requests to this machine: reject those with an Origin, and those that
        # reach it through a domain name that resolves to the loopback address (DNS rebinding).
        host = (self.headers["Host"] or HOST).split(":")[0]
        if self.headers["Origin"] or host not in (HOST, "localhost"):
            raise _Refused(HTTPStatus.FORBIDDEN, "requests from web pages are not accepted")
        path = self.path.partition("?")[0]
        if path == "/api/v0/add":
            self._add()
        elif path == "/api/v0/version":
            from importlib.metadata import version

            self._send_json(
                {"Version": version("ape-dtn"), "Commit": "", "Repo": "", "System": "ape-dtn"}
            )
        elif path == "/api/v0/repo/stat":
            self._send_json({"RepoPath": str(self.blocks.folder.resolve())})
        else:
            reason = "unsupported method: only add, version and repo/stat are supported"
            raise _Refused(HTTPStatus.NOT_FOUND, reason)

    def _add(self) -> None:
        chunk = adding.chunk_size(self._options())
        content_type = self.headers["Content-Type"] or ""
        added = [
            {"Name": name or str(cid), "Hash": str(cid), "Size": str(size)}
            for name, cid, size in adding.add(self.blocks, content_type, self._body(), chunk)
        ]
        self._send_json(*added)

    def _body(self) -> Iterator[bytes]:
        if "chunked" in (self.headers["Transfer-Encoding"] or ""):
            return adding.chunked_body(self.rfile)
        return adding.sized_body(self.rfile, self.headers["Content-Length"] or "")

    def _options(self) -> dict[str, str]:
        query = parse_qs(self.path.partition("?")[2], keep_blank_values=True)
        return {name: values[-1] for name, values in query.items()}

    # Responses.

    def _send_json(self, *documents: Any) -> None:
        body = "".join(json.dumps(document) + "\n" for document in documents).encode()
        self._send("application/json", len(body), [body], {})

    def _send_error(self, status: HTTPStatus, reason: str) -> None:
        error = {"Message": reason, "Code": 0, "Type": "error"}
        body = (json.dumps(error) + "\n").encode()
        self._send("application/json", len(body), [body], {}, status)

    def _send(
        self,
        content_type: str,
        length: int,
        body: Iterable[bytes],
        headers: dict[str, str],
        status: HTTPStatus = HTTPStatus.OK,
    ) -> None:
        basic = {"Content-Type": content_type, "Content-Length": str(length)}
        self._send_headers(status, {**basic, "X-Content-Type-Options": "nosniff", **headers})
        if self.command == "HEAD":
            return
        try:
            for piece in body:
                self.wfile.write(piece)
        except (Missing, unixfs.Unusable, OSError):
            # The client notices from the declared length that the body is incomplete.
            self.close_connection = True

    def _send_headers(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
