"""The embedded store's gateway and RPC API, over HTTP."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from ape_dtn.errors import ContentUnavailable, StoreRefused
from ape_dtn.ipfs import fetching, kubo, server, unixfs
from ape_dtn.ipfs.blocks import Blocks
from tests.ipfs import importer
from tests.ipfs.forge import cid_of

CONTENT = Random(2).randbytes(2 * unixfs.CHUNK + 1)
RAW = {"Accept": "application/vnd.ipld.raw"}


@pytest.fixture
def blocks(tmp_path: Path) -> Blocks:
    return Blocks(tmp_path)


@pytest.fixture
def gateway(blocks: Blocks) -> Iterator[httpx.Client]:
    with server.serving(blocks) as url, httpx.Client(base_url=url) as client:
        yield client


def added(gateway: httpx.Client, content: bytes = CONTENT, **options: str) -> str:
    answer = gateway.post("/api/v0/add", params=options, files={"file": ("name", content)})
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["Hash"]
    return found


def fetched(gateway: httpx.Client, cid: str) -> bytes:
    return fetching.fetch(cid, [str(gateway.base_url)], limit=2**26, timeout=10)


# Gateway.


@pytest.mark.parametrize("size", [0, 1, unixfs.CHUNK, unixfs.CHUNK + 1, 20 * unixfs.CHUNK])
def test_added_content_can_be_fetched_and_verified(gateway: httpx.Client, size: int) -> None:
    content = Random(size).randbytes(size)

    cid = added(gateway, content)

    assert cid == importer.add(content).cid
    assert fetched(gateway, cid) == content
    assert gateway.get(f"/ipfs/{cid}").content == content


@pytest.mark.parametrize("selector", [{"params": {"format": "raw"}}, {"headers": RAW}])
def test_a_raw_block_is_served(gateway: httpx.Client, selector: dict[str, Any]) -> None:
    cid = added(gateway)

    answer = gateway.get(f"/ipfs/{cid}", **selector)

    assert answer.content == importer.add(CONTENT).blocks[cid]
    assert answer.headers["Content-Type"] == "application/vnd.ipld.raw"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{cid}.bin"'
    assert answer.headers["Etag"] == f'"{cid}.raw"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "immutable" in answer.headers["Cache-Control"]


def test_the_format_parameter_overrides_the_accept_header(gateway: httpx.Client) -> None:
    path = f"/ipfs/{added(gateway)}"

    car = {"Accept": "application/vnd.ipld.car"}
    assert gateway.get(path, headers=car).status_code == 406
    assert gateway.get(path, params={"format": "car"}, headers=RAW).status_code == 406
    assert gateway.get(path, params={"format": "raw"}, headers=car).status_code == 200


@pytest.mark.parametrize("params", [{}, {"format": "raw"}])
def test_head_returns_the_headers_of_get(gateway: httpx.Client, params: dict[str, str]) -> None:
    path = f"/ipfs/{added(gateway)}"
    get, head = gateway.get(path, params=params), gateway.head(path, params=params)

    del get.headers["Date"], head.headers["Date"]
    assert head.headers == get.headers
    assert int(head.headers["Content-Length"]) == len(get.content) > len(head.content) == 0


def test_cached_content_is_not_sent_again(gateway: httpx.Client) -> None:
    path = f"/ipfs/{added(gateway)}"
    tag = gateway.head(path).headers["Etag"]

    for known in (tag, f'"other", W/{tag}', "*"):
        again = gateway.get(path, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
    assert gateway.get(path, headers={"If-None-Match": '"other"'}).content == CONTENT


def test_any_cid_version_and_base_is_accepted(gateway: httpx.Client) -> None:
    added(gateway)

    for text in importer.add(CONTENT).texts:
        assert gateway.get(f"/ipfs/{text}").content == CONTENT
    assert gateway.get(f"/ipfs/{cid_of(b'in it', 'raw', 'identity')}").content == b"in it"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/ipfs/{cid_of(b'elsewhere', 'raw')}", 404),
        (f"/ipfs/{cid_of(b'elsewhere', 'raw')}/file", 404),
        ("/ipfs/", 404),
        ("/", 404),
        (f"/{cid_of(b'elsewhere', 'raw')}", 404),
        ("/ipns/example.com", 404),
        ("/ipfs/nonsense", 400),
        ("/ipfs/..%2f..%2fetc%2fpasswd", 400),
        (f"/ipfs/{cid_of(b'', 'dag-cbor')}", 400),
    ],
)
def test_unknown_and_malformed_paths(gateway: httpx.Client, path: str, status: int) -> None:
    for answer in (gateway.get(path), gateway.get(path, headers=RAW), gateway.head(path)):
        assert answer.status_code == status


def test_a_corrupt_block_is_not_served(gateway: httpx.Client, blocks: Blocks) -> None:
    cid = added(gateway)
    leaf = next(path for path in blocks.folder.rglob("bafkrei*") if path.stat().st_size == 1)
    leaf.write_bytes(b"?")

    with pytest.raises(ContentUnavailable, match="HTTP 404"):
        fetched(gateway, cid)
    with pytest.raises(httpx.RemoteProtocolError):  # shorter than its Content-Length
        gateway.get(f"/ipfs/{cid}")
    assert added(gateway) == cid
    assert fetched(gateway, cid) == CONTENT


def test_a_disk_error_is_an_internal_server_error(gateway: httpx.Client, blocks: Blocks) -> None:
    cid = unixfs.decode(added(gateway, b"content"))
    (path,) = blocks.folder.rglob("bafkrei*")
    path.unlink()
    path.mkdir()

    assert gateway.get(f"/ipfs/{cid}").status_code == 500


# RPC API.


def test_the_kubo_javascript_client_can_add_files(gateway: httpx.Client) -> None:
    contents = {"a file": b"", "b/\N{SNOWMAN}": b"hello", "c": CONTENT}
    case = {
        "url": str(gateway.base_url).rstrip("/"),
        "options": {"cidVersion": 1, "rawLeaves": True, "pin": True},
        "files": {name: b64encode(content).decode() for name, content in contents.items()},
    }
    script = Path(__file__).with_name("client.mjs")

    process = subprocess.run(
        ["node", str(script)], input=json.dumps(case), capture_output=True, text=True, timeout=60
    )

    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout)["added"]
    assert {file["path"]: file["cid"] for file in found} == {
        name: importer.add(content).cid for name, content in contents.items()
    }
    for file in found:
        assert fetched(gateway, file["cid"]) == contents[file["path"]]


def test_the_chunker_option_sets_the_leaf_size(gateway: httpx.Client) -> None:
    cid = added(gateway, CONTENT, chunker="size-50000")

    assert cid == importer.add(CONTENT, chunk=50_000).cid
    assert fetched(gateway, cid) == CONTENT


@pytest.mark.parametrize(
    "options",
    [
        {"cid-version": "0"},
        {"raw-leaves": "false"},
        {"hash": "blake2b-256"},
        {"trickle": "true"},
        {"only-hash": "true"},
        {"wrap-with-directory": "true"},
        {"chunker": "rabin"},
        {"chunker": "size-0"},
        {"chunker": "size-9999999"},
        {"max-file-links": "1024"},
    ],
)
def test_options_that_would_change_the_cid_are_rejected(
    gateway: httpx.Client, blocks: Blocks, options: dict[str, str]
) -> None:
    answer = gateway.post("/api/v0/add", params=options, files={"file": b"content"})

    assert (answer.status_code, answer.json()["Type"]) == (400, "error")
    assert next(iter(options)) in answer.json()["Message"]
    assert not list(blocks.folder.iterdir())


MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}
PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "text/plain"}, b"content"),
        ({"Content-Type": "multipart/form-data"}, b"content"),
        (MULTIPART, b"content"),
        (MULTIPART, PART + b"\r\ncontent"),
        (MULTIPART, PART + b"Content-Type: application/x-directory\r\n\r\n\r\n--x--\r\n"),
    ],
)
def test_malformed_uploads_are_rejected(
    gateway: httpx.Client, headers: dict[str, str], body: bytes
) -> None:
    for sent in (body, iter([body])):  # with a Content-Length, and chunked
        answer = gateway.post("/api/v0/add", headers=headers, content=sent)
        assert (answer.status_code, answer.json()["Type"]) == (400, "error")


# Simulates an installation without the extra `node`.
WITHOUT_EXTRA = """
import sys

sys.modules["python_multipart"] = None

from pathlib import Path
from ape_dtn.ipfs import server
from ape_dtn.ipfs.blocks import Blocks

with server.serving(Blocks(Path(sys.argv[1]))) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def test_an_upload_without_the_extra_names_the_extra(blocks: Blocks) -> None:
    cid, _ = blocks.add(BytesIO(CONTENT))
    command = [sys.executable, "-c", WITHOUT_EXTRA, str(blocks.folder)]
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process,
        httpx.Client() as client,
    ):
        assert process.stdin
        assert process.stdout
        try:
            url = process.stdout.readline().strip()

            # Even if the body is larger than the connection buffers, which the server never reads.
            for content in (b"content", bytes(2**24)):
                answer = client.post(f"{url}/api/v0/add", files={"file": content})
                assert (answer.status_code, answer.json()["Type"]) == (501, "error")
                assert "pip install 'ape-dtn[node]'" in answer.json()["Message"]
            with pytest.raises(StoreRefused, match=re.escape("pip install 'ape-dtn[node]'")):
                kubo.add(client, url, b"content", timeout=10)  # StoreRefused: retrying is useless
            assert fetching.fetch(str(cid), [url], limit=2**26, timeout=10) == CONTENT
        finally:
            process.stdin.close()


def test_a_chunked_upload_is_accepted(gateway: httpx.Client) -> None:
    pieces = [PART + b"\r\n", *(bytes([size]) * size for size in range(1, 9)), b"\r\n--x--\r\n"]

    answer = gateway.post("/api/v0/add", headers=MULTIPART, content=iter(pieces))

    cid = answer.json()["Hash"]
    assert fetched(gateway, cid) == b"".join(pieces[1:-1])


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.com"},
        {"Origin": "null"},
        {"Host": "example.com"},
        {"Host": "127.0.0.1.example.com:80"},
    ],
)
def test_requests_from_web_pages_are_rejected(
    gateway: httpx.Client, blocks: Blocks, headers: dict[str, str]
) -> None:
    answer = gateway.post("/api/v0/add", headers=headers, files={"file": b"content"})

    assert answer.status_code == 403
    assert not list(blocks.folder.iterdir())


def test_the_server_is_local_and_serves_nothing_else(gateway: httpx.Client) -> None:
    assert gateway.base_url.host == "127.0.0.1"
    assert gateway.post("/api/v0/version").json()["System"] == "ape-dtn"
    assert gateway.get("/api/v0/version").status_code == 404
    assert gateway.post("/api/v0/shutdown").status_code == 404
