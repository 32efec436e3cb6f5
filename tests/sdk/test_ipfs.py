"""Fetching content from IPFS gateways, with content from the JavaScript implementation."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multiformats import CID

from ape_dtn.errors import ContentTooLarge, ContentUnavailable, InvalidCid, WrongContent
from ape_dtn.ipfs import fetching, unixfs
from ape_dtn.types.polling import POLICY
from ape_dtn.types.serialization import to_json
from tests.ipfs.forge import FILE, SYMLINK, cid_of, field, file, node
from tests.ipfs.gateway import (
    Gateway,
    Request,
    after,
    at_first,
    drops,
    endless,
    hangs,
    lies,
    redirects,
    says,
    serves,
)
from tests.ipfs.importer import add

LIMIT = 2**20

# The timeout of fetches that do not time out: long enough for slow machines.
TIMEOUT = 30.0

CONTENT = bytes(range(100, 200))

# Five leaves below three nodes, below two nodes, below the root.
TREE: dict[str, Any] = {"chunk": 20, "children": 2}

SHAPES: dict[str, dict[str, Any]] = {
    "one block": {},
    "one block below a node": {"reduceSingleLeafToSelf": False},
    "a tree": TREE,
    "a tree with content in all of it": {**TREE, "layout": "trickle"},
    "leaves of type Raw": {**TREE, "leafType": "raw"},
}

Serve = Callable[..., "list[Gateway]"]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start gateways with the same blocks, each with its own behaviour."""
    with ExitStack() as stack:
        yield lambda blocks, *behaviours: [
            stack.enter_context(Gateway(blocks, behaviour)) for behaviour in behaviours
        ]


def fetch(cid: str, *gateways: Gateway, limit: int = LIMIT, timeout: float = TIMEOUT) -> bytes:
    urls = [gateway.url for gateway in gateways]
    return fetching.fetch(cid, urls, limit=limit, timeout=timeout)


def blocks_of(*blocks: bytes) -> tuple[str, Mapping[str, bytes]]:
    """Return the CID of the last block, and all blocks by CID."""
    return str(cid_of(blocks[-1])), {str(cid_of(block)): block for block in blocks}


# Content.


@pytest.mark.parametrize("raw_leaves", [True, False], ids=["raw", "dag-pb"])
@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_content_is_fetched(serve: Serve, shape: str, version: int, raw_leaves: bool) -> None:
    imported = add(CONTENT, version=version, raw_leaves=raw_leaves, **SHAPES[shape])
    (gateway,) = serve(imported.blocks, serves)

    assert fetch(imported.cid, gateway) == CONTENT
    assert len(gateway.asked) == len(set(gateway.asked))


@pytest.mark.parametrize("raw_leaves", [True, False], ids=["raw", "dag-pb"])
def test_empty_content_is_fetched(serve: Serve, raw_leaves: bool) -> None:
    imported = add(b"", raw_leaves=raw_leaves)

    assert fetch(imported.cid, *serve(imported.blocks, serves)) == b""


def test_the_test_tree_has_four_levels(serve: Serve) -> None:
    imported = add(CONTENT, **TREE)
    (gateway,) = serve(imported.blocks, serves)

    fetch(imported.cid, gateway)

    leaves = [cid for cid, block in imported.blocks.items() if block in CONTENT]
    assert gateway.asked[0] == imported.cid
    assert len(leaves) == 5
    assert len(gateway.asked) == 5 + 3 + 2 + 1


@pytest.mark.parametrize("version", [0, 1])
def test_a_cid_is_accepted_in_every_base(serve: Serve, version: int) -> None:
    imported = add(CONTENT, version=version, **TREE)
    gateways = serve(imported.blocks, serves)

    assert len(set(imported.texts)) == 6 + (version == 0)
    assert [fetch(text, *gateways) for text in imported.texts] == [CONTENT] * 7


@pytest.mark.parametrize("function", ["sha2-512", "blake2b-256"])
def test_other_hash_functions_are_verified(serve: Serve, function: str) -> None:
    cid = str(cid_of(CONTENT, "raw", function))

    assert fetch(cid, *serve({cid: CONTENT}, lies, serves)) == CONTENT
    with pytest.raises(WrongContent):
        fetch(cid, *serve({cid: CONTENT[:-1]}, serves))


def test_content_inside_its_cid_needs_no_gateway(serve: Serve) -> None:
    leaf = cid_of(b"some ", "raw", "identity")
    inner = cid_of(
        node([cid_of(b"content", "raw", "identity")], file(sizes=[7])), "dag-pb", "identity"
    )
    root, blocks = blocks_of(node([leaf, inner], file(sizes=[5, 7])))
    (gateway,) = serve(blocks, serves)

    assert fetch(str(leaf)) == b"some "
    assert fetch(root, gateway) == b"some content"
    assert gateway.asked == [root]


def test_a_block_with_many_links_is_fetched_once(serve: Serve) -> None:
    imported = add(bytes(1000), chunk=10)
    (gateway,) = serve(imported.blocks, serves)

    assert fetch(imported.cid, gateway) == bytes(1000)
    assert len(gateway.asked) == 2


def test_any_content_in_any_tree_is_fetched() -> None:
    blocks: dict[str, bytes] = {}

    @settings(max_examples=40, deadline=None, database=None)
    @given(
        content=st.binary(max_size=100),
        chunk=st.integers(1, 40),
        children=st.integers(2, 5),
        layout=st.sampled_from(["balanced", "trickle"]),
        version=st.sampled_from([0, 1]),
        raw_leaves=st.booleans(),
    )
    def is_fetched(content: bytes, **options: Any) -> None:
        imported = add(content, **options)
        blocks.update(imported.blocks)
        assert fetch(imported.cid, gateway) == content

    with Gateway(blocks, serves) as gateway:
        is_fetched()


def test_fetch_works_inside_a_running_event_loop(serve: Serve) -> None:
    imported = add(CONTENT, **TREE)
    gateways = serve(imported.blocks, serves)

    async def notebook() -> bytes:
        return fetch(imported.cid, *gateways)

    assert asyncio.run(notebook()) == CONTENT


# Gateways that are used.


@pytest.mark.parametrize("address", ["{}", "{}/", "{}/ipfs", "{}/ipfs/"])
def test_gateway_urls_with_and_without_path_are_accepted(serve: Serve, address: str) -> None:
    imported = add(CONTENT)
    (gateway,) = serve(imported.blocks, serves)

    assert fetching.fetch(imported.cid, [address.format(gateway.url)], limit=LIMIT, timeout=TIMEOUT)
    assert gateway.paths == [f"/ipfs/{imported.cid}?format=raw"]


def test_a_hanging_gateway_is_bypassed(serve: Serve) -> None:
    imported = add(CONTENT, **TREE)
    hanging, honest = serve(imported.blocks, hangs, serves)

    assert fetch(imported.cid, hanging, honest) == CONTENT
    assert hanging.asked == [imported.cid]
    assert hanging.left.wait(5)  # the client closed the connection


def test_after_a_failure_the_next_gateway_is_tried_at_once(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(POLICY, "hedge_delay", 3600)
    imported = add(CONTENT, **TREE)
    failing, dropping, honest = serve(imported.blocks, says(500), drops, serves)

    assert fetch(imported.cid, failing, dropping, honest) == CONTENT
    assert failing.asked == dropping.asked == [imported.cid]


def test_no_second_gateway_is_used_while_the_first_one_answers(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(POLICY, "hedge_delay", 3600)
    imported = add(CONTENT, **TREE)
    honest, other = serve(imported.blocks, serves, serves)

    assert fetch(imported.cid, honest, other) == CONTENT
    assert other.asked == []


def test_the_fastest_gateway_is_tried_first_from_then_on(serve: Serve) -> None:
    imported = add(CONTENT, **TREE)
    slow, quick = serve(imported.blocks, after(2 * POLICY.hedge_delay), serves)

    assert fetch(imported.cid, slow, quick) == CONTENT
    assert slow.asked == [imported.cid]
    assert len(quick.asked) == 11


def test_no_tasks_are_left_after_a_fetch(serve: Serve) -> None:
    imported = add(CONTENT, **TREE)
    urls = [gateway.url for gateway in serve(imported.blocks, hangs, lies, serves)]

    async def program() -> None:
        assert (
            await fetching.fetch_async(imported.cid, urls, limit=LIMIT, timeout=TIMEOUT) == CONTENT
        )
        assert asyncio.all_tasks() == {asyncio.current_task()}
        with pytest.raises(ContentUnavailable):
            await fetching.fetch_async(imported.cid, urls[:1], limit=LIMIT, timeout=0.2)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(program())


def test_a_limited_number_of_blocks_is_fetched_concurrently(serve: Serve) -> None:
    content = bytes(range(200))
    imported = add(content, chunk=5)
    (gateway,) = serve(imported.blocks, after(0.05))

    assert fetch(imported.cid, gateway) == content
    assert 1 < gateway.most_at_once <= fetching.BLOCKS_AT_ONCE


def test_concurrent_blocks_have_a_longer_hedge_delay(serve: Serve) -> None:
    imported = add(CONTENT, chunk=20)
    slow, other = serve(imported.blocks, at_first(1, serves, after(2 * POLICY.hedge_delay)), serves)

    assert fetch(imported.cid, slow, other) == CONTENT
    assert other.asked == []


def test_redirects_are_followed(serve: Serve) -> None:
    imported = add(CONTENT, **TREE)
    (honest,) = serve(imported.blocks, serves)
    (to_honest,) = serve({}, redirects(honest.url))
    (public,) = serve({}, redirects(to_honest.url))

    assert fetch(imported.cid, public) == CONTENT


def test_a_busy_gateway_is_retried_after_its_delay(serve: Serve) -> None:
    imported = add(CONTENT)
    (gateway,) = serve(imported.blocks, at_first(1, says(429, Retry_After="1")))
    began = time.monotonic()

    assert fetch(imported.cid, gateway) == CONTENT
    assert time.monotonic() - began >= 1
    assert len(gateway.asked) == 2


# Gateways that lie or fail.


def test_a_gateway_that_lied_is_not_used_again(serve: Serve) -> None:
    imported = add(CONTENT, **TREE)
    liar, honest = serve(imported.blocks, lies, serves)

    assert fetch(imported.cid, liar, honest) == CONTENT
    assert liar.asked == [imported.cid]


def test_a_gateway_that_starts_to_lie_is_not_used_again(serve: Serve) -> None:
    imported = add(CONTENT, **TREE)
    liar, honest = serve(imported.blocks, at_first(1, serves, lies), serves)

    assert fetch(imported.cid, liar, honest) == CONTENT
    assert liar.asked[0] == imported.cid
    assert len(liar.asked) == 3  # both nodes below the root were requested at once


def test_wrong_content_is_an_error_with_reasons_by_gateway(serve: Serve) -> None:
    imported = add(CONTENT)
    gateways = serve(imported.blocks, lies, at_first(9, lies))

    with pytest.raises(WrongContent) as caught:
        fetch(imported.cid, *gateways)

    assert caught.value.cid == imported.cid
    reason = f"content that does not match {imported.cid}"
    assert caught.value.reasons == {gateway.url: reason for gateway in gateways}


def test_wrong_content_is_an_error_if_other_gateways_lack_it(serve: Serve) -> None:
    imported = add(CONTENT)

    with pytest.raises(WrongContent):
        fetch(imported.cid, *serve(imported.blocks, lies, says(404)))


def test_every_failure_is_reported_with_its_gateway(serve: Serve) -> None:
    imported = add(CONTENT)
    behaviours = {
        says(404): "HTTP 404, nothing is served at this path",
        says(500): "HTTP 500, Internal Server Error",
        says(429): "HTTP 429, too many requests",
        says(429, Retry_After="3600"): "HTTP 429, too many requests",
        says(429, Retry_After="Fri, 31 Dec 1999 23:59:59 GMT"): "HTTP 429, too many requests",
        drops: "the connection was reset",
        redirects(""): "more than 5 redirects",
        endless(): f"more than {fetching.MAX_BLOCK} bytes, the limit for a block",
        hangs: "not finished within 5 s",
    }
    gateways = serve(imported.blocks, *behaviours)
    with Gateway({}) as gone:
        pass

    with pytest.raises(ContentUnavailable) as caught:
        fetch(imported.cid, *gateways, gone, timeout=5)

    reasons = [*behaviours.values(), "the connection was refused: nothing listens there"]
    urls = [gateway.url for gateway in [*gateways, gone]]
    assert caught.value.reasons == dict(zip(urls, reasons, strict=True))
    assert type(caught.value) is ContentUnavailable
    assert all(reason in str(caught.value) for reason in reasons)


@pytest.mark.parametrize("address", ["http://xn--a/", "http://127.0.0.1:99999/", "ftp://a/"])
def test_invalid_addresses_do_not_affect_other_gateways(serve: Serve, address: str) -> None:
    imported = add(CONTENT)
    confused, honest = serve(imported.blocks, redirects(address), serves)
    urls = [address, confused.url]

    assert (
        fetching.fetch(imported.cid, [*urls, honest.url], limit=LIMIT, timeout=TIMEOUT) == CONTENT
    )
    with pytest.raises(ContentUnavailable) as caught:
        fetching.fetch(imported.cid, urls, limit=LIMIT, timeout=TIMEOUT)

    reasons = caught.value.reasons.values()
    assert all("address" in reason or "URL" in reason for reason in reasons)


def test_a_missing_block_ends_the_fetch_at_once(serve: Serve) -> None:
    imported = add(CONTENT, chunk=20)
    missing = next(cid for cid, block in imported.blocks.items() if block == CONTENT[:20])

    def lacks_one(gateway: Gateway, request: Request) -> None:
        behaviour = serves if request.cid in (imported.cid, missing) else hangs
        behaviour(gateway, request)

    (gateway,) = serve({imported.cid: imported.blocks[imported.cid]}, lacks_one)

    async def program() -> None:
        with pytest.raises(ContentUnavailable, match="HTTP 404"):
            await fetching.fetch_async(imported.cid, [gateway.url], limit=LIMIT, timeout=TIMEOUT)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(program())


def test_fetching_without_gateways_is_an_error() -> None:
    with pytest.raises(ContentUnavailable, match="no gateway is configured"):
        fetch(str(cid_of(b"abc")))


def test_a_busy_gateway_is_retried_a_limited_number_of_times(serve: Serve) -> None:
    imported = add(CONTENT)
    (gateway,) = serve(imported.blocks, says(503, Retry_After="0"))

    with pytest.raises(ContentUnavailable, match="HTTP 503"):
        fetch(imported.cid, gateway)

    assert len(gateway.asked) == POLICY.gateway_attempts


@pytest.mark.parametrize("status", [200, 302, 404])
def test_endless_bodies_are_cut_off(serve: Serve, status: int) -> None:
    imported = add(CONTENT)
    unlimited, honest = serve(imported.blocks, endless(status, Location="/elsewhere"), serves)

    assert fetch(imported.cid, unlimited, honest) == CONTENT
    assert unlimited.left.wait(5)
    # Beyond what was read, the gateway could fill the socket buffers of both sides.
    assert unlimited.bytes_sent <= (1 + fetching.MAX_REDIRECTS) * (fetching.MAX_BLOCK + 2**23)


def test_credentials_of_a_gateway_are_sent_and_not_shown(serve: Serve) -> None:
    imported = add(CONTENT)
    honest, failing = serve(imported.blocks, serves, says(404))
    secret = "http://user:secret@{}/ipfs?token=hidden"
    urls = [secret.format(failing.host), f"{failing.host}?token=hidden", "http://u:secret@[?hidden"]

    fetching.fetch(imported.cid, [secret.format(honest.host)], limit=LIMIT, timeout=TIMEOUT)
    with pytest.raises(ContentUnavailable) as caught:
        fetching.fetch(imported.cid, urls, limit=LIMIT, timeout=TIMEOUT)

    assert honest.authorizations == ["Basic dXNlcjpzZWNyZXQ="]
    assert honest.paths == [f"/ipfs/{imported.cid}?token=hidden&format=raw"]
    assert caught.value.reasons[failing.url] == "HTTP 404, nothing is served at this path"
    assert "secret" not in str(to_json(caught.value))
    assert "hidden" not in str(to_json(caught.value))


# Content that is rejected.


def test_content_up_to_the_limit_is_fetched(serve: Serve) -> None:
    imported = add(CONTENT, **TREE)

    assert fetch(imported.cid, *serve(imported.blocks, serves), limit=100) == CONTENT


@pytest.mark.parametrize("shape", SHAPES)
def test_content_above_the_limit_is_rejected_at_its_root(serve: Serve, shape: str) -> None:
    imported = add(CONTENT, **SHAPES[shape])
    (gateway,) = serve(imported.blocks, serves)

    with pytest.raises(ContentTooLarge) as caught:
        fetch(imported.cid, gateway, limit=99)

    assert caught.value.fields["limit"] == 99
    assert gateway.asked == [imported.cid]


def test_blocks_with_large_padding_count_towards_the_limit(serve: Serve) -> None:
    leaves = [
        field(2, field(1, bytes(cid_of(CONTENT, "raw"))) + field(2, letter * 2**21))
        + field(1, file(sizes=[100]))
        for letter in (b"a", b"b", b"c")
    ]
    root, blocks = blocks_of(
        *leaves, node([cid_of(leaf) for leaf in leaves], file(sizes=[100] * 3))
    )

    with pytest.raises(ContentTooLarge):
        fetch(root, *serve({**blocks, str(cid_of(CONTENT, "raw")): CONTENT}, serves))


LEAF = cid_of(b"12345", "raw")
FORGED = [
    (node([LEAF], file(sizes=[4])), "a part of 5 bytes is declared to have 4 bytes"),
    (node([LEAF], file(sizes=[6])), "a part of 5 bytes is declared to have 6 bytes"),
    (node([LEAF], file(sizes=[5], size=6)), "sizes declared in a block"),
    (node([LEAF], file(sizes=[5, 5])), "sizes declared in a block"),
    (node([LEAF, LEAF], file(sizes=[5])), "sizes declared in a block"),
    (node([], file(b"/etc/passwd", kind=SYMLINK)), "it names a symlink"),
    (node([], file(kind=9)), "it names a node of unknown type"),
    (b"", "it names a node of unknown type"),
    (b"\xff", "malformed block"),
    (field(1, file(b"12345")) * 2, "malformed block"),
    (field(1, file(b"12345")) + field(3, 0), "malformed block"),
    (field(1, field(1, FILE) + field(2, b"12345")[:-1]), "malformed block"),
    (field(1, FILE), "malformed block"),
    (field(2, b"") + field(1, file(sizes=[5])), "malformed or unknown CID"),
    (node([cid_of(b"", "dag-cbor")], file(sizes=[5])), "unsupported codec dag-cbor"),
    (node([cid_of(b"", "raw", "sha1")], file(sizes=[5])), "unsupported hash function sha1"),
]


@pytest.mark.parametrize(("block", "reason"), FORGED)
def test_malformed_blocks_are_rejected(serve: Serve, block: bytes, reason: str) -> None:
    root, blocks = blocks_of(block)

    with pytest.raises(InvalidCid, match=reason):
        fetch(root, *serve({**blocks, str(LEAF): b"12345"}, serves))


@pytest.mark.parametrize(
    ("options", "kind"),
    [({}, "directory"), ({"shardSplitThresholdBytes": 0}, "HAMT shard")],
    ids=["flat", "sharded"],
)
def test_directories_are_rejected(serve: Serve, options: dict[str, Any], kind: str) -> None:
    imported = add(CONTENT, path="folder/file", **options)

    with pytest.raises(InvalidCid, match=f"it names a {kind}, not a file"):
        fetch(imported.cid, *serve(imported.blocks, serves))


@pytest.mark.parametrize(
    ("cid", "reason"),
    [
        ("", "malformed or unknown CID"),
        ("b", "malformed or unknown CID"),
        ("hello", "malformed or unknown CID"),
        ("QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQ0", "malformed or unknown CID"),
        ("b" + "a" * 1000, "longer than any CID"),
        (str(cid_of(b"abc", "dag-cbor")), "unsupported codec dag-cbor"),
        (str(cid_of(b"abc", "raw", "sha1")), "unsupported hash function sha1"),
        (str(cid_of(b"abc", "raw", size=4)), "truncated to 4 bytes"),
        (str(CID("base32", 1, "raw", ("sha3-256", bytes(32)))), "hash function sha3-256"),
    ],
)
def test_unsupported_cids_are_rejected_before_any_request(
    serve: Serve, cid: str, reason: str
) -> None:
    (gateway,) = serve({}, lies)

    with pytest.raises(InvalidCid, match=reason) as caught:
        fetch(cid, gateway)

    assert caught.value.cid == cid
    assert gateway.asked == []


def tower(levels: int, width: int) -> list[bytes]:
    """Build a chain of nodes, each with ``width`` links to the next, down to an empty file."""
    blocks = [node([], file())]
    for _ in range(levels):
        blocks.append(node([cid_of(blocks[-1])] * width, file(sizes=[0] * width)))
    return blocks


@pytest.mark.parametrize(
    ("levels", "width", "reason"),
    [
        (30, 2, f"more than {unixfs.MAX_LINKS} links"),
        (2, 6_000, f"more than {unixfs.MAX_LINKS} links"),
        (1, 50_000, f"more than {unixfs.MAX_LINKS} links"),
        (40, 1, f"more than {fetching.MAX_DEPTH} levels"),
    ],
)
def test_trees_that_expand_without_bound_are_rejected(
    serve: Serve, levels: int, width: int, reason: str
) -> None:
    root, blocks = blocks_of(*tower(levels, width))
    (gateway,) = serve(blocks, serves)

    with pytest.raises(InvalidCid, match=reason):
        fetch(root, gateway)

    assert len(gateway.asked) <= fetching.MAX_DEPTH


def test_repeated_links_count_towards_the_limit(serve: Serve) -> None:
    block = node([LEAF], file(sizes=[5]))
    blocks = [block]
    for level in range(30):
        half = 5 * 2**level
        blocks.append(node([cid_of(blocks[-1])] * 2, file(sizes=[half, half])))
    root, served = blocks_of(*blocks)
    (gateway,) = serve(served, serves)

    with pytest.raises(ContentTooLarge):
        fetch(root, gateway)

    assert gateway.asked == [root]


def test_importing_the_module_loads_no_heavy_package() -> None:
    heavy = {"httpx", "multiformats", "web3"}
    code = f"import sys, ape_dtn.ipfs.fetching; print(*({heavy!r} & {{*sys.modules}}))"

    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert process.stdout.strip() == ""
