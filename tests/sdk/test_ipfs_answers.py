"""Answers on IPFS: added by the node, fetched from gateways, verified."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_abi import encode

from ape_dtn import Answer, CallType, DtnRequest, DtnSession
from ape_dtn.deployment.assemble import NODE, LocalNetwork
from ape_dtn.errors import (
    ContentTooLarge,
    ContentUnavailable,
    InvalidCid,
    NodeFailure,
    UndecodableAnswer,
    WrongContent,
)
from ape_dtn.ipfs import content_store
from ape_dtn.node.node import DtnNode
from ape_dtn.types.serialization import to_json
from tests.ipfs import importer
from tests.ipfs.gateway import Gateway, lies
from tests.ipfs.services import Behaviour, Kubo, says

from .conftest import Respond

PROMPT = "What is it?"

Configured = Callable[..., Any]


class Store:
    """A store in memory. Its blocks are served by a gateway of the test."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.blocks: dict[str, bytes] = {}

    def __call__(self, content: bytes) -> str:
        imported = importer.add(content, **self.options)
        self.blocks |= imported.blocks
        return imported.cid


@pytest.fixture
def gateways(project: Any) -> Iterator[Configured]:
    """Start gateways and configure them, together with further settings."""
    with ExitStack() as running:

        @contextmanager
        def gateways(*started: Gateway, **settings: Any) -> Iterator[None]:
            urls = [running.enter_context(gateway).url for gateway in started]
            with project.temp_config(dtn={"ipfs_gateways": urls, **settings}):
                yield

        yield gateways


def node_with(network: LocalNetwork, store: Any, answer: Any = None) -> DtnNode:
    backend = (lambda *_: answer) if answer is not None else network.node.backend
    return DtnNode(network.ai, NODE, network.node.worker, backend, store)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("raw_leaves", [True, False])
def test_the_answer_is_the_fetched_content(
    network: LocalNetwork,
    funded: DtnSession,
    gateways: Configured,
    version: int,
    raw_leaves: bool,
) -> None:
    store = Store(version=version, raw_leaves=raw_leaves, chunk=16, children=2)
    request = funded.request(PROMPT, call_type=CallType.IPFS)

    node_with(network, store, "A long answer, in many small blocks. " * 10).answer_pending()

    with gateways(Gateway(store.blocks)):
        answer = request.wait(timeout=30)
    assert answer.text == "A long answer, in many small blocks. " * 10
    assert (answer.call_type, answer.cid) == (CallType.IPFS, to_json(answer)["cid"])
    assert answer.data == encode(["string"], [answer.cid])
    assert len(store.blocks) > 10


def test_an_answer_is_fetched_from_the_embedded_store_of_the_node(
    network: LocalNetwork, funded: DtnSession, project: Any, tmp_path: Path
) -> None:
    long = "A long answer, in many blocks. " * 20_000
    request = funded.request(PROMPT, call_type=CallType.IPFS)

    with content_store.opened({"embedded": {"folder": tmp_path, "port": 0}}) as store:
        node_with(network, store, long).answer_pending()
        with project.temp_config(dtn={"ipfs_gateways": [store.gateway]}):
            answer = request.answer()

    assert answer.text == long
    assert answer.cid == importer.add(long.encode()).cid


def test_an_answer_is_stored_on_a_kubo_node(
    network: LocalNetwork, funded: DtnSession, gateways: Configured
) -> None:
    request = funded.request(PROMPT, call_type=CallType.IPFS)

    with Kubo() as kubo, content_store.opened(kubo.url) as store:
        node_with(network, store).answer_pending()

    with gateways(Gateway(kubo.blocks)):
        answer = request.answer()
    assert answer.text == f"You asked: {PROMPT}"
    assert kubo.pinned == [answer.cid]


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (says(403), "HTTP 403"),
        (says(200, {"Name": "answer", "Hash": "Qm", "Size": "1"}), "the wrong CID"),
    ],
)
def test_a_node_answers_with_a_failure_if_its_store_rejects_the_answer(
    network: LocalNetwork, funded: DtnSession, behaviour: Behaviour, reason: str
) -> None:
    request = funded.request(PROMPT, call_type=CallType.IPFS)

    with Kubo(behaviour) as kubo, content_store.opened(kubo.url) as store:
        assert node_with(network, store).answer_pending() == [request.id]

    with pytest.raises(NodeFailure, match=f"Not stored on IPFS: .*{reason}"):
        request.answer()


def test_a_lying_gateway_is_bypassed(
    network: LocalNetwork, funded: DtnSession, gateways: Configured
) -> None:
    store = Store()
    request = funded.request(PROMPT, call_type=CallType.IPFS)
    node_with(network, store).answer_pending()

    with gateways(Gateway(store.blocks, lies), Gateway(store.blocks)):
        assert request.answer().text == f"You asked: {PROMPT}"


def test_wrong_content_is_never_returned(
    network: LocalNetwork, funded: DtnSession, gateways: Configured
) -> None:
    store = Store()
    request = funded.request(PROMPT, call_type=CallType.IPFS)
    node_with(network, store).answer_pending()

    with gateways(Gateway(store.blocks, lies)), pytest.raises(WrongContent):
        request.answer()


def test_missing_content_can_be_fetched_later(
    network: LocalNetwork, funded: DtnSession, gateways: Configured
) -> None:
    store = Store()
    request = funded.request(PROMPT, call_type=CallType.IPFS)
    node_with(network, store).answer_pending()

    with gateways(Gateway({}), ipfs_timeout=5.0):
        with pytest.raises(ContentUnavailable) as raised:
            request.answer()
        assert raised.value.cid in store.blocks
    with gateways(Gateway(store.blocks)):
        assert DtnRequest.load(request.id, network.ai).answer().text == f"You asked: {PROMPT}"


def test_content_above_the_configured_limit_is_rejected(
    network: LocalNetwork, funded: DtnSession, gateways: Configured
) -> None:
    store = Store()
    request = funded.request(PROMPT, call_type=CallType.IPFS)
    node_with(network, store, "x" * 1001).answer_pending()

    with gateways(Gateway(store.blocks), ipfs_limit=1000), pytest.raises(ContentTooLarge):
        request.answer()


def test_an_answer_that_is_no_cid_is_rejected(
    funded: DtnSession, respond: Respond, gateways: Configured
) -> None:
    request = funded.request(PROMPT, call_type=CallType.IPFS)
    respond(request, encode(["string"], ["../../etc/passwd"]))

    with gateways(Gateway({})), pytest.raises(InvalidCid):
        request.answer()


def test_content_that_is_not_of_the_output_type_is_rejected(
    network: LocalNetwork, funded: DtnSession, respond: Respond, gateways: Configured
) -> None:
    stored = importer.add(b"\xff\xfe")
    request = funded.request(PROMPT, call_type=CallType.IPFS)
    respond(request, encode(["string"], [stored.cid]))

    with gateways(Gateway(stored.blocks)), pytest.raises(UndecodableAnswer):
        request.answer()


# Using an answer.


def an_answer(value: Any) -> Answer:
    return Answer("0x", value, b"", "0x", CallType.DIRECT)


def test_an_answer_is_parsed_as_json() -> None:
    assert an_answer('{"yes": true}').json() == {"yes": True}
    assert an_answer(b"[1, 2]").json() == [1, 2]
    with pytest.raises(ValueError, match="line 1"):
        an_answer("yes").json()
    with pytest.raises(ValueError, match="recursion"):
        an_answer("[" * 100_000).json()


@pytest.mark.parametrize(("value", "written"), [("héllo", "héllo".encode()), (b"\0\1", b"\0\1")])
def test_an_answer_is_saved_to_a_file(tmp_path: Any, value: Any, written: bytes) -> None:
    path = an_answer(value).save(tmp_path / "answer")

    assert path.read_bytes() == written
    assert [path.name for path in tmp_path.iterdir()] == ["answer"]


def test_a_failed_save_leaves_the_target_unchanged(tmp_path: Any) -> None:
    (tmp_path / "answer").mkdir()

    with pytest.raises(OSError, match="directory"):
        an_answer("new").save(tmp_path / "answer")

    assert [path.name for path in tmp_path.iterdir()] == ["answer"]


PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
    ],
)
def test_notebooks_show_images(data: bytes, kind: str) -> None:
    bundle = an_answer(data)._repr_mimebundle_()

    assert set(bundle) == {"text/plain", kind}
    json.dumps(bundle)


def test_notebooks_show_text() -> None:
    assert an_answer("yes")._repr_mimebundle_() == {"text/plain": "yes"}
    assert an_answer(b"\0\1")._repr_mimebundle_() == {"text/plain": "0x0001"}


def test_saving_follows_links_and_keeps_default_permissions(tmp_path: Any) -> None:
    (tmp_path / "linked").write_text("old")
    (tmp_path / "answer").symlink_to(tmp_path / "linked")

    an_answer("new").save(tmp_path / "answer")

    assert (tmp_path / "answer").is_symlink()
    assert (tmp_path / "linked").read_text() == "new"
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "linked").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_saving_to_a_device_writes_to_the_device() -> None:
    an_answer("new").save("/dev/null")

    assert Path("/dev/null").is_char_device()
