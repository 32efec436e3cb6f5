"""Fetching content from IPFS gateways that need not be trusted.

Content is fetched block by block, as trustless gateways_ serve it, from several gateways at once.
Every block is verified against its CID.

.. _gateways: https://specs.ipfs.tech/http-gateways/trustless-gateway/
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

from ape_dtn.ipfs import unixfs
from ape_dtn.ipfs.errors import ContentTooLarge, ContentUnavailable, InvalidCid, WrongContent
from ape_dtn.ipfs.unixfs import Link, Node
from ape_dtn.types.http import explain_error, explain_status, is_transient, retry_after
from ape_dtn.types.polling import POLICY, Deadline
from ape_dtn.types.redact import hide_secrets

if TYPE_CHECKING:
    import httpx
    from multiformats import CID


# The most bytes that are read for a block: IPFS nodes exchange none above 2 MiB.
MAX_BLOCK = 4 * 2**20

# The most levels of a tree. Files of terabytes have fewer than half as many.
MAX_DEPTH = 32

BLOCKS_AT_ONCE = 8

MAX_REDIRECTS = 5


def fetch(cid: str, gateways: Sequence[str], *, limit: int, timeout: float) -> bytes:
    """Fetch the content of a CID, and verify it.

    Args:
        cid: A CIDv0, or a CIDv1 in any base, of a file: raw, or dag-pb with UnixFS.
        gateways: URLs, such as ``https://ipfs.io``, in order of preference. They must serve
            single blocks (``/ipfs/{cid}?format=raw``).
        limit: The largest content to fetch, in bytes.
        timeout: Seconds to try.

    Raises:
        InvalidCid: The CID is malformed, names no file, or cannot be verified.
        ContentUnavailable: No gateway served the content in time; ``reasons`` says why, by gateway.
        WrongContent: As ``ContentUnavailable``, and a gateway served other content.
        ContentTooLarge: The content is larger than ``limit``.
    """
    done: Future[bytes] = Future()

    async def deliver() -> None:
        try:
            done.set_result(await fetch_async(cid, gateways, limit=limit, timeout=timeout))
        except BaseException as err:
            done.set_exception(err)

    # Use a new thread: a notebook runs an event loop in this one. Do not wait for the thread: a
    # hanging DNS lookup keeps its event loop from closing.
    Thread(target=asyncio.run, args=(deliver(),), daemon=True).start()
    return done.result()


async def fetch_async(cid: str, gateways: Sequence[str], *, limit: int, timeout: float) -> bytes:
    """Fetch as :func:`fetch` does, in the running event loop."""
    import httpx

    # Refuse compression: a small response could expand without bound.
    headers = {"Accept": "application/vnd.ipld.raw", "Accept-Encoding": "identity"}
    try:
        opened = httpx.AsyncClient(headers=headers, timeout=None)
    except Exception as err:  # a setting of the environment cannot work
        reason = explain_error(err)
        raise ContentUnavailable(cid, {hide_secrets(url): reason for url in gateways}) from err
    async with opened as client:
        fetching = _Fetch(client, cid, gateways, limit, timeout)
        try:
            return await asyncio.wait_for(fetching.content(), timeout)
        except asyncio.TimeoutError:
            raise fetching.unavailable(f"not finished within {timeout:g} s") from None
        except unixfs.Unusable as err:
            raise InvalidCid(cid, str(err)) from err


class _Failed(Exception):
    """A gateway did not serve a block."""


class _WrongBlock(_Failed):
    """A gateway served another block."""


class _Fetch:
    """One fetch: its gateways, their failures, and how much may still be read."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        cid: str,
        gateways: Sequence[str],
        limit: int,
        timeout: float,
    ) -> None:
        self.client, self.cid, self.limit = client, cid, limit
        urls = (url if "://" in url else f"https://{url}" for url in gateways)
        self.gateways = list(dict.fromkeys(urls))  # in order of preference
        self.reasons: dict[str, str] = {}
        self.wrong: set[str] = set()  # gateways that served a wrong block
        self.deadline = Deadline(timeout)
        self.links_left = unixfs.MAX_LINKS
        self.bytes_left = limit + MAX_BLOCK  # allow for the encoding of links

    async def content(self) -> bytes:
        """Expand the tree level by level, so that each distinct block is fetched once per level."""
        parts: list[bytes | Link] = [Link(unixfs.decode(self.cid), None)]
        for _ in range(MAX_DEPTH):
            counts = Counter(part.cid for part in parts if isinstance(part, Link))
            if not counts:
                return b"".join(part for part in parts if isinstance(part, bytes))
            nodes: dict[CID, Node] = {}
            for cid, block in (await self.blocks(list(counts))).items():
                nodes[cid] = unixfs.read(cid, block)
                self.links_left -= counts[cid] * len(nodes[cid].links)
                if self.links_left < 0:
                    raise unixfs.Unusable(f"more than {unixfs.MAX_LINKS} links")
            parts = [child for part in parts for child in self.expanded(part, nodes)]
        raise unixfs.Unusable(f"more than {MAX_DEPTH} levels of blocks")

    def expanded(self, part: bytes | Link, nodes: dict[CID, Node]) -> list[bytes | Link]:
        """Replace a link by its node's content and links, and check its declared size."""
        if isinstance(part, bytes):
            return [part]
        node = nodes[part.cid]
        if part.size not in (None, node.size):
            reason = f"a part of {node.size} bytes is declared to have {part.size} bytes"
            raise unixfs.Unusable(reason)
        if node.size > self.limit:
            raise ContentTooLarge(self.cid, self.limit)
        return [node.content, *node.links]

    async def blocks(self, cids: list[CID]) -> dict[CID, bytes]:
        """Fetch several blocks concurrently."""
        slots = asyncio.Semaphore(BLOCKS_AT_ONCE)
        # Concurrent blocks share the bandwidth, so scale each block's timeout by their number.
        hedge_delay = POLICY.hedge_delay * min(BLOCKS_AT_ONCE, len(cids))

        async def block(cid: CID) -> bytes:
            async with slots:
                return await self.block(cid, hedge_delay)

        tasks = [asyncio.create_task(block(cid)) for cid in cids]
        try:
            return dict(zip(cids, await asyncio.gather(*tasks), strict=True))
        finally:
            await _cancel(tasks)

    async def block(self, cid: CID, hedge_delay: float) -> bytes:
        """Fetch a block from the first gateway that serves it.

        The next gateway is tried, too, when one fails or after the hedge delay (in seconds).
        """
        if cid.hashfun.name == "identity":  # the CID holds the block
            return bytes(cid.raw_digest)
        tried: set[str] = set()
        running: dict[asyncio.Task[bytes], str] = {}
        try:
            while True:
                left = [url for url in self.gateways if url not in tried | self.wrong]
                if left:
                    tried.add(left[0])
                    running[asyncio.create_task(self.request(left[0], cid))] = left[0]
                elif not running:
                    raise self.unavailable()
                done, _ = await asyncio.wait(
                    running, timeout=hedge_delay, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    block = self.result(running.pop(task), task)
                    if block is not None:
                        return block
        finally:
            await _cancel(running)

    def result(self, gateway: str, task: asyncio.Task[bytes]) -> bytes | None:
        """Return the block, or record why there is none. Prefer or exclude the gateway later."""
        try:
            block = task.result()
        except Exception as err:  # redirects to invalid URLs raise errors of many types
            self.reasons[gateway] = _reason(err)
            if isinstance(err, _WrongBlock):
                self.wrong.add(gateway)
            return None
        self.gateways.sort(key=lambda url: url != gateway)
        self.bytes_left -= len(block)
        if self.bytes_left < 0:
            raise ContentTooLarge(self.cid, self.limit)
        return block

    async def request(self, gateway: str, cid: CID) -> bytes:
        """Request a block from a gateway, and verify it."""
        block = await self.response(_url(gateway, cid))
        if cid.hashfun.digest(block) != cid.digest:
            raise _WrongBlock(f"content that does not match {_text(cid)}")
        return block

    async def response(self, url: httpx.URL) -> bytes:
        """Return the body of a response. Retry a busy gateway after the delay that it asks for."""
        for attempts_left in reversed(range(POLICY.gateway_attempts)):
            async with _get(self.client, url) as response:
                if response.status_code == 200:
                    return await _body(response)
            busy = is_transient(response.status_code)
            pause = retry_after(response.headers) if busy else None
            if pause is None or not self.deadline.allows(pause) or not attempts_left:
                break
            await asyncio.sleep(pause)
        raise _Failed(explain_status(response.status_code))

    def unavailable(self, otherwise: str = "not tried") -> ContentUnavailable:
        """Create the error, with the failure of each gateway or else ``otherwise``."""
        reasons = {hide_secrets(url): self.reasons.get(url, otherwise) for url in self.gateways}
        return (WrongContent if self.wrong else ContentUnavailable)(self.cid, reasons)


def _reason(err: Exception) -> str:
    import httpx

    if isinstance(err, _Failed):
        return hide_secrets(str(err))[:200]
    if isinstance(err, (httpx.HTTPError, OSError)):
        return explain_error(err)
    return "the address, or a redirect, is invalid"


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _url(gateway: str, cid: CID) -> httpx.URL:
    import httpx

    url = httpx.URL(gateway)
    path = url.path.rstrip("/").removesuffix("/ipfs")
    return url.copy_with(path=f"{path}/ipfs/{_text(cid)}").copy_merge_params({"format": "raw"})


def _text(cid: CID) -> str:
    """Encode a CID as all gateways accept it, also those that use it as a subdomain."""
    return cid.encode() if cid.version == 0 else cid.encode("base32")


@asynccontextmanager
async def _get(client: httpx.AsyncClient, url: httpx.URL) -> AsyncIterator[httpx.Response]:
    """Follow redirects without reading their bodies, which httpx would read to their end."""
    request = client.build_request("GET", url)
    for _ in range(1 + MAX_REDIRECTS):
        response = await client.send(request, stream=True)
        try:
            if response.next_request is None:
                yield response
                return
        finally:
            await response.aclose()
        request = response.next_request
    raise _Failed(f"more than {MAX_REDIRECTS} redirects")


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_BLOCK:
            raise _Failed(f"more than {MAX_BLOCK} bytes, the limit for a block")
    return bytes(body)
