"""The content of answers that travel over IPFS, from gateways that need not be trusted.

Content is fetched block by block, as trustless gateways_ serve it, from several of them at once.
Every block is hashed and compared with the CID that names it: what comes out is what was asked for,
whoever it came from.

.. _gateways: https://specs.ipfs.tech/http-gateways/trustless-gateway/
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any

from ape_dtn.ipfs import unixfs
from ape_dtn.ipfs.errors import ContentTooLarge, ContentUnavailable, InvalidCid, WrongContent
from ape_dtn.ipfs.unixfs import Link, Node
from ape_dtn.types.redact import hide_secrets
from ape_dtn.types.waiting import POLICY, Deadline

if TYPE_CHECKING:
    import httpx
    from multiformats import CID


# What a gateway gives beyond this is no block: IPFS passes on none above 2 MiB.
MAX_BLOCK = 4 * 2**20

# Trees of terabytes are not half as deep.
MAX_DEPTH = 32

BLOCKS_AT_ONCE = 8

MAX_REDIRECTS = 5


def fetch(cid: str, gateways: Sequence[str], *, limit: int, timeout: float) -> bytes:
    """Fetches the content that a CID names, and compares it with the CID.

    Args:
        cid: A CIDv0, or a CIDv1 in any base, of a file: raw, or dag-pb with UnixFS.
        gateways: Addresses as in ``https://ipfs.io``, the first to ask first. They have to serve
            single blocks (``/ipfs/{cid}?format=raw``).
        limit: The most that the content may be, in bytes.
        timeout: For how many seconds it is tried.

    Raises:
        InvalidCid: It is no CID, or what it names is no file, or cannot be compared with it.
        ContentUnavailable: No gateway gave the content in time; ``reasons`` says why, by gateway.
        WrongContent: The same, and at least one of them gave something else.
        ContentTooLarge: The content is larger than the limit.
    """
    done: Future[bytes] = Future()

    async def deliver() -> None:
        try:
            done.set_result(await fetch_async(cid, gateways, limit=limit, timeout=timeout))
        except BaseException as err:
            done.set_exception(err)

    # In a thread of its own: in notebooks this one has a loop already. And a loop does not end
    # before a look-up of a name that hangs, which nobody waits for there.
    Thread(target=asyncio.run, args=(deliver(),), daemon=True).start()
    return done.result()


async def fetch_async(cid: str, gateways: Sequence[str], *, limit: int, timeout: float) -> bytes:
    """As :func:`fetch`, in the running event loop."""
    import httpx

    # Uncompressed, since few bytes can unpack to more than memory holds.
    headers = {"Accept": "application/vnd.ipld.raw", "Accept-Encoding": "identity"}
    async with httpx.AsyncClient(headers=headers, timeout=None) as client:
        fetching = _Fetch(client, cid, gateways, limit, timeout)
        try:
            return await asyncio.wait_for(fetching.content(), timeout)
        except asyncio.TimeoutError:
            raise fetching.unavailable(f"not done within {timeout:g} s") from None
        except unixfs.Unusable as err:
            raise InvalidCid(cid, str(err)) from err


class _Failed(Exception):
    """A gateway did not give a block."""


class _Lied(_Failed):
    """It gave something else."""


class _Fetch:
    """One fetch: whom it asks, what they did, and how much it may still read."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        cid: str,
        gateways: Sequence[str],
        limit: int,
        timeout: float,
    ) -> None:
        self.client, self.cid, self.limit = client, cid, limit
        with_scheme = (one if "://" in one else f"https://{one}" for one in gateways)
        self.gateways = list(dict.fromkeys(with_scheme))  # in the order in which they are asked
        self.reasons: dict[str, str] = {}
        self.liars: set[str] = set()
        self.deadline = Deadline(timeout)
        self.links_left = unixfs.MAX_LINKS
        self.bytes_left = limit + MAX_BLOCK  # the content, and what holds it together

    async def content(self) -> bytes:
        """Opens the tree level by level, so that a block is fetched once for all its links."""
        parts: list[bytes | Link] = [Link(unixfs.decode(self.cid), None)]
        for _ in range(MAX_DEPTH):
            named = Counter(part.cid for part in parts if isinstance(part, Link))
            if not named:
                return b"".join(part for part in parts if isinstance(part, bytes))
            nodes: dict[CID, Node] = {}
            for cid, block in (await self.blocks(list(named))).items():
                nodes[cid] = unixfs.read(cid, block)
                self.links_left -= named[cid] * len(nodes[cid].links)
                if self.links_left < 0:
                    raise unixfs.Unusable(f"it has more than {unixfs.MAX_LINKS} links")
            parts = [piece for part in parts for piece in self.opened(part, nodes)]
        raise unixfs.Unusable(f"its blocks are more than {MAX_DEPTH} levels deep")

    def opened(self, part: bytes | Link, nodes: dict[CID, Node]) -> list[bytes | Link]:
        """What is in a part: as many bytes as were declared, some of them behind further links."""
        if isinstance(part, bytes):
            return [part]
        node = nodes[part.cid]
        if part.size not in (None, node.size):
            raise unixfs.Unusable(f"a part of {node.size} bytes is declared to have {part.size}")
        if node.size > self.limit:
            raise ContentTooLarge(self.cid, self.limit)
        return [node.content, *node.links]

    async def blocks(self, cids: list[CID]) -> dict[CID, bytes]:
        """The blocks, several at once."""
        turns = asyncio.Semaphore(BLOCKS_AT_ONCE)
        # They share the line, and get so many times as long.
        patience = POLICY.hedge_delay * min(BLOCKS_AT_ONCE, len(cids))

        async def block(cid: CID) -> bytes:
            async with turns:
                return await self.block(cid, patience)

        tasks = [asyncio.create_task(block(cid)) for cid in cids]
        try:
            return dict(zip(cids, await asyncio.gather(*tasks), strict=True))
        finally:
            await _stop(tasks)

    async def block(self, cid: CID, patience: float) -> bytes:
        """The block, from whichever gateway has it first.

        Another one is asked once the one before has failed, or has taken its time.
        """
        if cid.hashfun.name == "identity":  # the CID holds the block
            return bytes(cid.raw_digest)
        asked: set[str] = set()
        running: dict[asyncio.Task[bytes], str] = {}
        try:
            while True:
                left = [one for one in self.gateways if one not in asked | self.liars]
                if left:
                    asked.add(left[0])
                    running[asyncio.create_task(self.ask(left[0], cid))] = left[0]
                elif not running:
                    raise self.unavailable()
                done, _ = await asyncio.wait(
                    running, timeout=patience, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    block = self.heard(running.pop(task), task)
                    if block is not None:
                        return block
        finally:
            await _stop(running)

    def heard(self, gateway: str, answer: asyncio.Task[bytes]) -> bytes | None:
        """The block that a gateway gave, if it did; remembers whom to ask first, or not at all."""
        try:
            block = answer.result()
        except Exception as err:  # of any kind, as redirects to impossible addresses show
            self.reasons[gateway] = _reason(err)
            if isinstance(err, _Lied):
                self.liars.add(gateway)
            return None
        self.gateways.sort(key=lambda one: one != gateway)
        self.bytes_left -= len(block)
        if self.bytes_left < 0:
            raise ContentTooLarge(self.cid, self.limit)
        return block

    async def ask(self, gateway: str, cid: CID) -> bytes:
        """A gateway's block, compared with its CID."""
        block = await self.answer(_url(gateway, cid))
        if cid.hashfun.digest(block) != cid.digest:
            raise _Lied(f"something else than {_text(cid)}")
        return block

    async def answer(self, url: httpx.URL) -> bytes:
        """What a gateway answers. One that is busy is asked again when it says, if in time."""
        for visits_left in reversed(range(POLICY.gateway_attempts)):
            async with _get(self.client, url) as response:
                if response.status_code == 200:
                    return await _body(response)
            pause = _pause(response)
            if pause is None or not self.deadline.allows(pause) or not visits_left:
                break
            await asyncio.sleep(pause)
        raise _Failed(f"HTTP {response.status_code}")

    def unavailable(self, otherwise: str = "not asked") -> ContentUnavailable:
        """What each gateway did, as an error."""
        reasons = {hide_secrets(one): self.reasons.get(one, otherwise) for one in self.gateways}
        return (WrongContent if self.liars else ContentUnavailable)(self.cid, reasons)


def _reason(err: Exception) -> str:
    import httpx

    if isinstance(err, (_Failed, httpx.HTTPError)):
        return hide_secrets(str(err))[:200] or "the connection was lost"
    return "it is at, or leads to, an impossible address"


async def _stop(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _url(gateway: str, cid: CID) -> httpx.URL:
    import httpx

    url = httpx.URL(gateway)
    path = url.path.rstrip("/").removesuffix("/ipfs")
    return url.copy_with(path=f"{path}/ipfs/{_text(cid)}").copy_merge_params({"format": "raw"})


def _text(cid: CID) -> str:
    """As all gateways read it, also those that make it a part of a host's name."""
    return cid.encode() if cid.version == 0 else cid.encode("base32")


@asynccontextmanager
async def _get(client: httpx.AsyncClient, url: httpx.URL) -> AsyncIterator[httpx.Response]:
    """The response, past redirects. httpx would read their bodies, however long they are."""
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
            raise _Failed(f"more than {MAX_BLOCK} bytes, and no block has as many")
    return bytes(body)


def _pause(response: httpx.Response) -> int | None:
    """In how many seconds to come again, if a busy gateway says so."""
    after = response.headers.get("Retry-After", "")
    busy = response.status_code in (429, 503)
    return int(after) if busy and re.fullmatch("[0-9]{1,6}", after) else None
