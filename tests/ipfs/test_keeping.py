"""What a node keeps, wherever it keeps it: named as it is, there to be fetched, or an error."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
from ape.utils.basemodel import ManagerAccessMixin as access
from pydantic import ValidationError

from ape_dtn.errors import InvalidOption, StoreRefused, StoreUnavailable, WrongCid
from ape_dtn.ipfs import content_store, fetching, unixfs
from ape_dtn.network.config import DtnConfig, configured
from tests.ipfs import importer
from tests.ipfs.gateway import Gateway
from tests.ipfs.services import (
    TOKEN,
    Behaviour,
    Kubo,
    PinningService,
    drips,
    drops,
    hangs,
    says,
)
from tests.ipfs.test_blocks import file_size_limit

CONTENT = Random(3).randbytes(2 * unixfs.CHUNK + 1)
CID = importer.add(CONTENT).cid
KEY = "PINNING_TOKEN"


@pytest.fixture
def embedded(tmp_path: Path) -> dict[str, Any]:
    return {"embedded": {"folder": str(tmp_path / "ipfs"), "port": 0}}


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, TOKEN)


def fetched(cid: str, gateway: str | None) -> bytes:
    assert gateway is not None
    return fetching.fetch(cid, [gateway], limit=2**26, timeout=10)


def port_of(url: str | None) -> int:
    return int(str(url).rpartition(":")[2])


def pinned_by(service: PinningService, **store: Any) -> dict[str, Any]:
    return {**store, "pinning": {"endpoint": service.url, "key": KEY}}


def test_nothing_is_kept_where_nothing_is_configured() -> None:
    with content_store.opened(None) as keep:
        assert keep is None


# The embedded store.


def test_the_embedded_store_serves_what_it_keeps(embedded: dict[str, Any]) -> None:
    with content_store.opened(embedded) as keep:
        assert keep(CONTENT) == CID
        assert fetched(CID, keep.gateway) == CONTENT
    with content_store.opened(embedded) as later:
        assert fetched(CID, later.gateway) == CONTENT
        stopped = later.gateway
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{stopped}/ipfs/{CID}")


def test_it_is_in_apes_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access.config_manager, "DATA_FOLDER", tmp_path)

    with content_store.opened({"embedded": {"port": 0}}) as keep:
        keep(CONTENT)

    assert list((tmp_path / "dtn" / "ipfs").rglob(CID))


def test_many_threads_keep_at_once(embedded: dict[str, Any]) -> None:
    contents = [Random(seed % 5).randbytes(300_000) for seed in range(15)]

    with content_store.opened(embedded) as keep, ThreadPoolExecutor(10) as threads:
        cids = list(threads.map(keep, contents))
        assert [fetched(cid, keep.gateway) for cid in cids] == contents


def test_nodes_with_one_folder_share_a_port(embedded: dict[str, Any]) -> None:
    with content_store.opened(embedded) as keep:
        embedded["embedded"]["port"] = port_of(keep.gateway)
    with ExitStack() as first:
        keep = first.enter_context(content_store.opened(embedded))
        with content_store.opened(embedded) as other:
            assert keep.gateway == other.gateway
            cid = keep(CONTENT)
            first.close()
            assert fetched(cid, other.gateway) == CONTENT


def test_a_port_of_something_else_is_told(embedded: dict[str, Any], tmp_path: Path) -> None:
    elsewhere = {"embedded": {"folder": str(tmp_path / "elsewhere"), "port": 0}}
    with Gateway({}) as stranger, content_store.opened(elsewhere) as other:
        for url in (stranger.url, other.gateway):
            embedded["embedded"]["port"] = port_of(url)
            with pytest.raises(InvalidOption, match="something else listens"):
                content_store.opened(embedded).__enter__()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InvalidOption, match="cannot be written, Not a directory"):
        content_store.opened({"embedded": {"folder": tmp_path / "file" / "ipfs"}}).__enter__()


def test_a_full_disk_may_have_room_later(embedded: dict[str, Any]) -> None:
    with content_store.opened(embedded) as keep:
        with file_size_limit(unixfs.CHUNK - 1), pytest.raises(StoreUnavailable) as caught:
            keep(CONTENT)
        assert caught.value.message == "Not kept on IPFS: File too large."
        assert keep(CONTENT) == CID


def test_a_folder_that_goes_away_is_made_again(embedded: dict[str, Any]) -> None:
    folder = Path(embedded["embedded"]["folder"])
    with content_store.opened(embedded) as keep:
        shutil.rmtree(folder)
        folder.write_text("")
        with pytest.raises(StoreUnavailable, match="Not a directory"):
            keep(CONTENT)
        folder.unlink()
        assert fetched(keep(CONTENT), keep.gateway) == CONTENT


# Kubo's RPC API.


@pytest.mark.parametrize("size", [0, 1, len(CONTENT)])
def test_a_kubo_node_keeps_and_pins_it(size: int) -> None:
    content = Random(size).randbytes(size)
    with Kubo() as node, content_store.opened(node.url) as keep:
        cid = keep(content)
        assert keep.gateway is None
    assert node.pinned == [cid]
    with Gateway(node.blocks) as gateway:
        assert fetched(cid, gateway.url) == content


def test_a_store_of_ours_is_one_of_kubos_kind(embedded: dict[str, Any]) -> None:
    with (
        content_store.opened(embedded) as other,
        content_store.opened({"kubo": other.gateway}) as keep,
    ):
        assert fetched(keep(CONTENT), other.gateway) == CONTENT


def test_a_store_that_names_it_otherwise_is_refused() -> None:
    other = importer.add(b"something else").cid
    node = Kubo(says(200, {"Name": "answer", "Hash": other, "Size": "1"}))

    with node, content_store.opened(node.url) as keep, pytest.raises(WrongCid) as caught:
        keep(CONTENT)

    assert (caught.value.cid, caught.value.given) == (CID, other)


BUSY = {"Message": "no space left on device", "Code": 0, "Type": "error"}


@pytest.mark.parametrize(
    ("behaviour", "error", "reason"),
    [
        (says(500, BUSY), StoreUnavailable, "HTTP 500, no space left on device"),
        (says(503), StoreUnavailable, "HTTP 503"),
        (says(429), StoreUnavailable, "HTTP 429"),
        (drops, StoreUnavailable, "Server disconnected without sending a response."),
        (hangs, StoreUnavailable, "no answer within 1 s"),
        (drips, StoreUnavailable, "its answer takes too long"),
        (says(403), StoreRefused, "HTTP 403"),
        (says(302), StoreRefused, "HTTP 302"),
        (says(200), StoreRefused, "the node said nothing"),
        (says(200, body=b"<html>"), StoreRefused, "the answer is no JSON"),
        (says(200, body=b"[1]"), StoreRefused, "the answer is no JSON"),
        (says(200, body=bytes(2**20 + 1)), StoreRefused, "its answer does not end"),
        (
            says(200, body=b'{"Name":"a","Bytes":1}\n{"Message":"disk full","Type":"error"}'),
            StoreRefused,
            "disk full",
        ),
    ],
)
def test_a_store_that_fails_is_told(
    behaviour: Behaviour, error: type[StoreUnavailable | StoreRefused], reason: str
) -> None:
    with (
        Kubo(behaviour) as node,
        content_store.opened({"kubo": node.url, "timeout": 1.0}) as keep,
        pytest.raises(error) as caught,
    ):
        keep(CONTENT)

    assert (type(caught.value), caught.value.reason) == (error, reason)
    assert caught.value.where == node.url


def test_a_store_that_is_not_there_may_come_later() -> None:
    with Kubo() as gone:
        pass

    with content_store.opened(gone.url) as keep, pytest.raises(StoreUnavailable, match="refused"):
        keep(CONTENT)


def test_the_secrets_of_a_store_are_not_told() -> None:
    with Kubo(says(403)) as node:
        url = node.url.replace("//", "//user:secret@") + "/path-with-token"
        with content_store.opened(url) as keep, pytest.raises(StoreRefused) as caught:
            keep(CONTENT)

    assert node.asked == ["POST /path-with-token/api/v0/add"]
    assert not {"secret", "token"} & set(str(caught.value.as_dict()).replace("-", " ").split())


# Pinning services.


def test_it_is_pinned_from_where_it_is() -> None:
    with (
        Kubo() as node,
        PinningService() as service,
        content_store.opened(pinned_by(service, kubo=node.url)) as keep,
    ):
        assert keep(CONTENT) == CID

    (pin,) = service.pins.values()
    assert pin == {
        "cid": CID,
        "name": CID,
        "origins": ["/ip4/10.0.0.1/tcp/4001/p2p/12D3Koo"],
    }
    assert service.status("pin/0")["status"] == "pinned"


def test_what_is_pinned_is_not_pinned_again(embedded: dict[str, Any]) -> None:
    with (
        PinningService("pinned") as service,
        content_store.opened(pinned_by(service, **embedded)) as keep,
    ):
        keep(CONTENT)
        keep(CONTENT)

    assert len(service.pins) == 1


def test_a_service_that_fails_for_a_moment_is_asked_again(embedded: dict[str, Any]) -> None:
    def fails_once(request: Any) -> None:
        first = len(service.asked) == 3  # after the search, and the order
        request.say(503) if first else service.serve(request)

    with (
        PinningService("queued", "pinned", behaviour=fails_once) as service,
        content_store.opened(pinned_by(service, **embedded)) as keep,
    ):
        assert keep(CONTENT) == CID

    assert service.asked == ["GET /pins", "POST /pins", *["GET /pins/pin%2F0"] * 2]


def test_a_pin_that_failed_is_told(embedded: dict[str, Any]) -> None:
    with (
        PinningService("queued", "failed", status_details="nobody has it") as service,
        content_store.opened(pinned_by(service, **embedded)) as keep,
        pytest.raises(StoreRefused, match="pinning failed, nobody has it"),
    ):
        keep(CONTENT)


def test_a_pin_that_takes_too_long_may_come_later(embedded: dict[str, Any]) -> None:
    with PinningService("queued") as service:
        settings = {**pinned_by(service, **embedded), "timeout": 1.0}
        with content_store.opened(settings) as keep:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match="not pinned within 1 s"):
                keep(CONTENT)
            assert time.monotonic() - began < 3
            service.statuses = ("pinned",)
            assert keep(CONTENT) == CID

    assert len(service.pins) == 1


def test_a_token_that_does_not_serve_is_told(
    embedded: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "another-token")
    with (
        PinningService() as service,
        content_store.opened(pinned_by(service, **embedded)) as keep,
        pytest.raises(StoreRefused) as caught,
    ):
        keep(CONTENT)

    assert caught.value.reason == "HTTP 401, Access token is missing"
    assert "another-token" not in str(caught.value.as_dict())


def test_threads_are_not_left(embedded: dict[str, Any]) -> None:
    before = set(threading.enumerate())
    with content_store.opened(embedded) as keep:
        keep(CONTENT)

    assert set(threading.enumerate()) <= before


# Settings.


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "ipfs_store"),
        ({"embedded": {}, "kubo": "http://127.0.0.1:5001"}, "ipfs_store"),
        ({"pinning": {"endpoint": "https://example.com", "key": KEY}}, "ipfs_store"),
        ({"embedded": {"port": 65536}}, "ipfs_store.embedded.port"),
        ({"embedded": {"path": "/tmp"}}, "ipfs_store.embedded.path"),
        ({"kubo": "127.0.0.1:5001"}, "ipfs_store.kubo"),
        ({"kubo": "/ip4/127.0.0.1/tcp/5001"}, "ipfs_store.kubo"),
        ("nonsense", "ipfs_store.kubo"),
        ({"embedded": {}, "timeout": 0}, "ipfs_store.timeout"),
        (
            {"kubo": "http://a", "pinning": {"endpoint": "a", "key": KEY}},
            "ipfs_store.pinning.endpoint",
        ),
        ({"kubo": "http://a", "pinning": {"endpoint": "https://a"}}, "ipfs_store.pinning.key"),
        (
            {"kubo": "http://a", "pinning": {"endpoint": "https://a", "key": "NOT_THERE"}},
            "ipfs_store.pinning.key",
        ),
    ],
)
def test_settings_that_cannot_be_so_are_told(settings: Any, name: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        content_store.opened(settings).__enter__()

    assert caught.value.option == name


@pytest.mark.parametrize(
    "settings", ["embedded", {"embedded": {"port": 0}}, "http://127.0.0.1:5001", None]
)
def test_the_configuration_has_them(project: Any, settings: Any) -> None:
    with project.temp_config(dtn={"ipfs_store": settings}):
        assert configured().ipfs_store == (settings and content_store.checked(settings))


@pytest.mark.parametrize("settings", [{"embedded": {"path": "/tmp"}}, {"kubo": 1}, [], "nonsense"])
def test_the_configuration_refuses_what_cannot_be(settings: Any) -> None:
    with pytest.raises(ValidationError, match="ipfs_store"):
        DtnConfig.model_validate({"ipfs_store": settings})


@pytest.mark.parametrize("text", ["embedded", '{"embedded": {}}'])
def test_the_environment_has_them(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("APE_DTN_IPFS_STORE", text)

    assert DtnConfig().ipfs_store == content_store.checked("embedded")


@pytest.mark.parametrize("token", ["s3cr3t\n", "s3crét", "s3 cr3t"])
def test_a_token_that_is_no_header_is_not_told(
    token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, token)
    service = {"endpoint": "http://127.0.0.1:1", "key": KEY}
    chosen = {"embedded": {"folder": str(tmp_path), "port": 0}, "pinning": service}

    with (
        pytest.raises(InvalidOption, match="holds no key") as refused,
        content_store.opened(chosen),
    ):
        pass
    assert token not in str(refused.value)


def test_a_token_in_the_place_of_its_variable_is_not_told() -> None:
    service = {"endpoint": "https://a", "key": "eyJ.s3cr3t"}

    with pytest.raises(InvalidOption) as refused:
        content_store.checked({"kubo": "http://a", "pinning": service})
    assert "s3cr3t" not in f"{refused.value} {refused.value.__cause__}"
