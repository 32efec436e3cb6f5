"""The IPFS store of a node, as configured by ``dtn: ipfs_store:``.

.. code-block:: python

    with content_store.opened("embedded") as store:
        cid = store(b"an answer")
        print(f"{store.gateway}/ipfs/{cid}")
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ape_dtn.ipfs import kubo, pinning, server
from ape_dtn.ipfs.blocks import Blocks
from ape_dtn.ipfs.errors import StoreRefused, StoreUnavailable
from ape_dtn.ipfs.http_client import call
from ape_dtn.types.errors import InvalidOption
from ape_dtn.types.http import HttpUnusable, make_client
from ape_dtn.types.polling import POLICY

if TYPE_CHECKING:
    import httpx

    from ape_dtn.ipfs.settings import StoreSettings


Add: TypeAlias = Callable[[bytes], str]


@dataclass(frozen=True)
class ContentStore:
    """An open IPFS store. Thread-safe.

    Raises, when called:
        StoreUnavailable: The content cannot be stored now: a full disk, a store that is down.
        StoreRefused: The store or the pinning service rejects the content.
        WrongCid: The store returns a CID other than the content's.

    Attributes:
        add: Adds content, and returns its CID.
        pin: Pins a CID with the pinning service; None if none is configured.
        gateway: The URL of the embedded store's gateway; None with another store.
    """

    add: Add
    pin: Callable[[str], None] | None
    gateway: str | None

    def __call__(self, content: bytes) -> str:
        """Add content, pin it if a service is configured, and return its CID."""
        cid = self.add(content)
        if self.pin:
            self.pin(cid)
        return cid


@contextmanager
def opened(
    settings: StoreSettings | Mapping[str, Any] | str | None,
) -> Iterator[ContentStore | None]:
    """Open a store, and close it with the context.

    Args:
        settings: The value of ``dtn: ipfs_store:``; see :mod:`ape_dtn.ipfs.settings`.

    Yields:
        The store; None if ``settings`` is None.

    Raises:
        InvalidOption: A setting is unknown, the port is in use, the folder is not writable, or the
            access token is not in the environment.
    """
    if settings is None:
        yield None
        return

    store = checked(settings)
    try:
        client = make_client()
    except HttpUnusable as err:
        raise StoreUnavailable("the environment", str(err)) from err
    with client:
        pin = _pin(store, client)
        with _add(store, client) as (add, gateway):
            yield ContentStore(add, pin, gateway)


def checked(settings: StoreSettings | Mapping[str, Any] | str) -> StoreSettings:
    """Validate the value of ``dtn: ipfs_store:``.

    Raises:
        InvalidOption: A setting is unknown or invalid. Names of nested settings have dots:
        ``ipfs_store.kubo``.
    """
    from pydantic import ValidationError

    from ape_dtn.ipfs.settings import StoreSettings

    try:
        return StoreSettings.model_validate(settings)
    except ValidationError as err:
        (error, *_) = err.errors()
        name = ".".join(map(str, ("ipfs_store", *error["loc"])))
        raise InvalidOption(name, str(error["msg"]).removeprefix("Value error, ")) from err


def _pin(settings: StoreSettings, client: httpx.Client) -> Callable[[str], None] | None:
    if (service := settings.pinning) is None:
        return None
    key = os.environ.get(service.key, "")
    # httpx would show a key that is no valid header value, such as one with a line break, in its
    # error.
    if not re.fullmatch("[!-~]+", key):
        reason = f"the environment variable {service.key} holds no access token"
        raise InvalidOption("ipfs_store.pinning.key", reason)

    def pin(cid: str) -> None:
        origins: list[str] = []
        if settings.kubo:
            with suppress(StoreRefused):  # the node may permit uploads only
                origins = kubo.addresses(client, settings.kubo, settings.timeout)
        pinning.pin(client, service.endpoint, key, cid, origins, timeout=settings.timeout)

    return pin


@contextmanager
def _add(settings: StoreSettings, client: httpx.Client) -> Iterator[tuple[Add, str | None]]:
    """Yield a function that adds content, and the URL of the embedded gateway."""
    if settings.kubo:
        yield partial(kubo.add, client, settings.kubo, timeout=settings.timeout), None
        return
    assert settings.embedded is not None
    blocks = _folder(settings.embedded.folder)
    port = settings.embedded.port
    if port:
        _check_port(port, blocks, client)
    with ExitStack() as stack:
        try:
            gateway = stack.enter_context(server.serving(blocks, port))
        except OSError as err:
            reason = f"cannot listen on port {port}: {err.strerror}"
            raise InvalidOption("ipfs_store.embedded.port", reason) from err
        yield partial(_add_to_folder, blocks), gateway


def _folder(folder: Path | None) -> Blocks:
    """Open the folder of the embedded store, and write an empty file to check that it works."""
    from ape.utils.basemodel import ManagerAccessMixin as access

    blocks = Blocks((folder or access.config_manager.DATA_FOLDER / "dtn" / "ipfs").expanduser())
    try:
        blocks.add(BytesIO())
    except OSError as err:
        reason = f"cannot write to {blocks.folder}: {err.strerror}"
        raise InvalidOption("ipfs_store.embedded.folder", reason) from err
    return blocks


def _check_port(port: int, blocks: Blocks, client: httpx.Client) -> None:
    """Check that a port is free, or that a gateway of the same folder listens on it.

    Processes that use one folder may share a port: any of them can serve any request.
    """
    try:
        socket.create_connection((server.HOST, port), POLICY.gateway_probe).close()
    except OSError:
        return  # the port is free
    stats: list[dict[str, Any]] = []
    with suppress(StoreUnavailable, StoreRefused):
        url = f"http://{server.HOST}:{port}/api/v0/repo/stat"
        stats = call(client, "POST", url, POLICY.gateway_probe)
    if [stat.get("RepoPath") for stat in stats] != [str(blocks.folder.resolve())]:
        reason = f"another program listens on port {port}"
        raise InvalidOption("ipfs_store.embedded.port", reason)


def _add_to_folder(blocks: Blocks, content: bytes) -> str:
    try:
        cid, _ = blocks.add(BytesIO(content))
    except OSError as err:
        raise StoreUnavailable(str(blocks.folder), err.strerror or type(err).__name__) from err
    return str(cid)
