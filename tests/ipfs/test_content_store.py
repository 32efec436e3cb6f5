"""Content stores: the embedded folder, Kubo nodes and pinning services, and their settings."""

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
from ape_dtn.types.serialization import to_json
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


def test_no_store_is_opened_without_configuration() -> None:
    with content_store.opened(None) as store:
        assert store is None


# The embedded store.


def test_the_embedded_store_serves_its_content_until_it_is_closed(embedded: dict[str, Any]) -> None:
    with content_store.opened(embedded) as store:
        assert store(CONTENT) == CID
        assert fetched(CID, store.gateway) == CONTENT
    with content_store.opened(embedded) as reopened:
        assert fetched(CID, reopened.gateway) == CONTENT
        closed = reopened.gateway
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{closed}/ipfs/{CID}")


def test_the_default_folder_is_in_apes_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access.config_manager, "DATA_FOLDER", tmp_path)

    with content_store.opened({"embedded": {"port": 0}}) as store:
        store(CONTENT)

    assert list((tmp_path / "dtn" / "ipfs").rglob(CID))


def test_threads_can_add_content_concurrently(embedded: dict[str, Any]) -> None:
    contents = [Random(seed % 5).randbytes(300_000) for seed in range(15)]

    with content_store.opened(embedded) as store, ThreadPoolExecutor(10) as threads:
        cids = list(threads.map(store, contents))
        assert [fetched(cid, store.gateway) for cid in cids] == contents


def test_nodes_with_the_same_folder_can_share_a_port(embedded: dict[str, Any]) -> None:
    with content_store.opened(embedded) as store:
        embedded["embedded"]["port"] = port_of(store.gateway)
    with ExitStack() as first:
        store = first.enter_context(content_store.opened(embedded))
        with content_store.opened(embedded) as other:
            assert store.gateway == other.gateway
            cid = store(CONTENT)
            first.close()
            assert fetched(cid, other.gateway) == CONTENT


def test_a_port_of_another_program_is_rejected(embedded: dict[str, Any], tmp_path: Path) -> None:
    elsewhere = {"embedded": {"folder": str(tmp_path / "elsewhere"), "port": 0}}
    with Gateway({}) as stranger, content_store.opened(elsewhere) as other:
        for url in (stranger.url, other.gateway):
            embedded["embedded"]["port"] = port_of(url)
            with pytest.raises(InvalidOption, match="another program listens on port"):
                content_store.opened(embedded).__enter__()


def test_a_folder_that_is_not_writable_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(InvalidOption, match=r"cannot write to .*: Not a directory"):
        content_store.opened({"embedded": {"folder": tmp_path / "file" / "ipfs"}}).__enter__()


def test_a_full_disk_is_a_temporary_error(embedded: dict[str, Any]) -> None:
    with content_store.opened(embedded) as store:
        with file_size_limit(unixfs.CHUNK - 1), pytest.raises(StoreUnavailable) as caught:
            store(CONTENT)
        assert caught.value.message == "Not stored on IPFS: File too large."
        assert store(CONTENT) == CID


def test_a_deleted_folder_is_created_again(embedded: dict[str, Any]) -> None:
    folder = Path(embedded["embedded"]["folder"])
    with content_store.opened(embedded) as store:
        shutil.rmtree(folder)
        folder.write_text("")
        with pytest.raises(StoreUnavailable, match="Not a directory"):
            store(CONTENT)
        folder.unlink()
        assert fetched(store(CONTENT), store.gateway) == CONTENT


# Kubo's RPC API.


@pytest.mark.parametrize("size", [0, 1, len(CONTENT)])
def test_a_kubo_node_stores_and_pins_content(size: int) -> None:
    content = Random(size).randbytes(size)
    with Kubo() as node, content_store.opened(node.url) as store:
        cid = store(content)
        assert store.gateway is None
    assert node.pinned == [cid]
    with Gateway(node.blocks) as gateway:
        assert fetched(cid, gateway.url) == content


def test_the_embedded_store_can_be_used_as_a_kubo_node(embedded: dict[str, Any]) -> None:
    with (
        content_store.opened(embedded) as other,
        content_store.opened({"kubo": other.gateway}) as store,
    ):
        assert fetched(store(CONTENT), other.gateway) == CONTENT


def test_a_store_that_returns_another_cid_is_rejected() -> None:
    other = importer.add(b"something else").cid
    node = Kubo(says(200, {"Name": "answer", "Hash": other, "Size": "1"}))

    with node, content_store.opened(node.url) as store, pytest.raises(WrongCid) as caught:
        store(CONTENT)

    assert (caught.value.cid, caught.value.given) == (CID, other)


BUSY = {"Message": "no space left on device", "Code": 0, "Type": "error"}


@pytest.mark.parametrize(
    ("behaviour", "error", "reason"),
    [
        (says(500, BUSY), StoreUnavailable, "HTTP 500, no space left on device"),
        (says(503), StoreUnavailable, "HTTP 503"),
        (says(429), StoreUnavailable, "HTTP 429"),
        (drops, StoreUnavailable, "the connection was reset"),
        (hangs, StoreUnavailable, "no answer within 1 s"),
        (drips, StoreUnavailable, "no answer within 1 s"),
        (says(403), StoreRefused, "HTTP 403"),
        (says(302), StoreRefused, "HTTP 302"),
        (says(200), StoreRefused, "the node's response is empty"),
        (says(200, body=b"<html>"), StoreRefused, "the response is not JSON"),
        (says(200, body=b"[1]"), StoreRefused, "the response is not JSON"),
        (
            says(200, body=bytes(2**20 + 1)),
            StoreRefused,
            "the response is larger than 1048576 bytes",
        ),
        (
            says(200, body=b'{"Name":"a","Bytes":1}\n{"Message":"disk full","Type":"error"}'),
            StoreRefused,
            "disk full",
        ),
    ],
)
def test_faults_of_a_store_are_reported(
    behaviour: Behaviour, error: type[StoreUnavailable | StoreRefused], reason: str
) -> None:
    with (
        Kubo(behaviour) as node,
        content_store.opened({"kubo": node.url, "timeout": 1.0}) as store,
        pytest.raises(error) as caught,
    ):
        store(CONTENT)

    assert (type(caught.value), caught.value.reason) == (error, reason)
    assert caught.value.where == node.url


def test_a_store_that_is_down_is_a_temporary_error() -> None:
    with Kubo() as stopped:
        pass

    with (
        content_store.opened(stopped.url) as store,
        pytest.raises(StoreUnavailable, match="refused"),
    ):
        store(CONTENT)


def test_the_credentials_of_a_store_are_not_shown() -> None:
    with Kubo(says(403)) as node:
        url = node.url.replace("//", "//user:secret@") + "/path-with-token"
        with content_store.opened(url) as store, pytest.raises(StoreRefused) as caught:
            store(CONTENT)

    assert node.asked == ["POST /path-with-token/api/v0/add"]
    assert not {"secret", "token"} & set(str(to_json(caught.value)).replace("-", " ").split())


# Pinning services.


def test_content_is_pinned_with_the_nodes_addresses_as_origins() -> None:
    with (
        Kubo() as node,
        PinningService() as service,
        content_store.opened(pinned_by(service, kubo=node.url)) as store,
    ):
        assert store(CONTENT) == CID

    (pin,) = service.pins.values()
    assert pin == {
        "cid": CID,
        "name": CID,
        "origins": ["/ip4/10.0.0.1/tcp/4001/p2p/12D3Koo"],
    }
    assert service.status("pin/0")["status"] == "pinned"


def test_an_existing_pin_is_reused(embedded: dict[str, Any]) -> None:
    with (
        PinningService("pinned") as service,
        content_store.opened(pinned_by(service, **embedded)) as store,
    ):
        store(CONTENT)
        store(CONTENT)

    assert len(service.pins) == 1


def test_a_temporary_fault_of_the_pinning_service_is_retried(embedded: dict[str, Any]) -> None:
    def fails_once(request: Any) -> None:
        is_first_poll = len(service.asked) == 3  # after the search and the new pin
        request.say(503) if is_first_poll else service.serve(request)

    with (
        PinningService("queued", "pinned", behaviour=fails_once) as service,
        content_store.opened(pinned_by(service, **embedded)) as store,
    ):
        assert store(CONTENT) == CID

    assert service.asked == ["GET /pins", "POST /pins", *["GET /pins/pin%2F0"] * 2]


def test_a_failed_pin_is_reported(embedded: dict[str, Any]) -> None:
    with (
        PinningService("queued", "failed", status_details="nobody has it") as service,
        content_store.opened(pinned_by(service, **embedded)) as store,
        pytest.raises(StoreRefused, match="the status of the pin is failed: nobody has it"),
    ):
        store(CONTENT)


def test_a_pin_that_times_out_can_succeed_later(embedded: dict[str, Any]) -> None:
    with PinningService("queued") as service:
        settings = {**pinned_by(service, **embedded), "timeout": 1.0}
        with content_store.opened(settings) as store:
            began = time.monotonic()
            with pytest.raises(StoreUnavailable, match="not pinned within 1 s"):
                store(CONTENT)
            assert time.monotonic() - began < 3
            service.statuses = ("pinned",)
            assert store(CONTENT) == CID

    assert len(service.pins) == 1


def test_an_invalid_access_token_is_reported_and_not_shown(
    embedded: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "another-token")
    with (
        PinningService() as service,
        content_store.opened(pinned_by(service, **embedded)) as store,
        pytest.raises(StoreRefused) as caught,
    ):
        store(CONTENT)

    assert caught.value.reason == "HTTP 401, Access token is missing"
    assert "another-token" not in str(to_json(caught.value))


def test_closing_a_store_stops_its_threads(embedded: dict[str, Any]) -> None:
    before = set(threading.enumerate())
    with content_store.opened(embedded) as store:
        store(CONTENT)

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
def test_invalid_settings_are_rejected_by_name(settings: Any, name: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        content_store.opened(settings).__enter__()

    assert caught.value.option == name


@pytest.mark.parametrize(
    "settings", ["embedded", {"embedded": {"port": 0}}, "http://127.0.0.1:5001", None]
)
def test_settings_come_from_the_configuration(project: Any, settings: Any) -> None:
    with project.temp_config(dtn={"ipfs_store": settings}):
        assert configured().ipfs_store == (settings and content_store.checked(settings))


@pytest.mark.parametrize("settings", [{"embedded": {"path": "/tmp"}}, {"kubo": 1}, [], "nonsense"])
def test_invalid_settings_in_the_configuration_are_rejected(settings: Any) -> None:
    with pytest.raises(ValidationError, match="ipfs_store"):
        DtnConfig.model_validate({"ipfs_store": settings})


@pytest.mark.parametrize("text", ["embedded", '{"embedded": {}}'])
def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("APE_DTN_IPFS_STORE", text)

    assert DtnConfig().ipfs_store == content_store.checked("embedded")


@pytest.mark.parametrize("token", ["s3cr3t\n", "s3crét", "s3 cr3t"])
def test_a_token_that_is_no_header_value_is_rejected_and_not_shown(
    token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, token)
    service = {"endpoint": "http://127.0.0.1:1", "key": KEY}
    chosen = {"embedded": {"folder": str(tmp_path), "port": 0}, "pinning": service}

    with (
        pytest.raises(InvalidOption, match="holds no access token") as refused,
        content_store.opened(chosen),
    ):
        pass
    assert token not in str(refused.value)


def test_a_token_in_place_of_its_variable_is_rejected_and_not_shown() -> None:
    service = {"endpoint": "https://a", "key": "eyJ.s3cr3t"}

    with pytest.raises(InvalidOption) as refused:
        content_store.checked({"kubo": "http://a", "pinning": service})
    assert "s3cr3t" not in f"{refused.value} {refused.value.__cause__}"
