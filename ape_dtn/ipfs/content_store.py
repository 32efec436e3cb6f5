"""Where a node keeps what it answers over IPFS: the store that ``dtn: ipfs_store:`` names, open.

.. code-block:: python

    with keeping.opened("embedded") as keep:
        cid = keep(b"an answer")
        print(f"{keep.gateway}/ipfs/{cid}")
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
from ape_dtn.types.waiting import POLICY

if TYPE_CHECKING:
    import httpx

    from ape_dtn.ipfs.settings import StoreSettings


Keep: TypeAlias = Callable[[bytes], str]


@dataclass(frozen=True)
class ContentStore:
    """Keeps content on IPFS: called with it, returns its CID. Several threads may call it at once.

    Raises, when called:
        StoreUnavailable: It cannot be kept now: a full disk, a store that does not answer.
        StoreRefused: It cannot be kept: the store, or the pinning service, does not want to.
        WrongCid: The store says another CID than the content has.

    Attributes:
        keep: What keeps content.
        pin: What has it pinned then, if anything.
        gateway: The address of the gateway that serves what is kept, where it is our own.
    """

    keep: Keep
    pin: Callable[[str], None] | None
    gateway: str | None

    def __call__(self, content: bytes) -> str:
        """Keeps content, and returns its CID."""
        cid = self.keep(content)
        if self.pin:
            self.pin(cid)
        return cid


@contextmanager
def opened(
    settings: StoreSettings | Mapping[str, Any] | str | None,
) -> Iterator[ContentStore | None]:
    """Opens a store; it is there while this is entered.

    Args:
        settings: What ``dtn: ipfs_store:`` says; see :mod:`ape_dtn.ipfs.settings`.

    Yields:
        What keeps content; None where nothing is configured.

    Raises:
        InvalidOption: It cannot be so: unknown settings, a port that is taken, a folder that
            cannot be written, a token that is not in the environment.
    """
    if settings is None:
        yield None
        return
    import httpx

    chosen = checked(settings)
    with httpx.Client() as client:
        pin = _pin(chosen, client)
        with _store(chosen, client) as (keep, gateway):
            yield ContentStore(keep, pin, gateway)


def checked(settings: StoreSettings | Mapping[str, Any] | str) -> StoreSettings:
    """The settings, as they are written in the configuration.

    Raises:
        InvalidOption: They cannot be so.
    """
    from pydantic import ValidationError

    from ape_dtn.ipfs.settings import StoreSettings

    try:
        return StoreSettings.model_validate(settings)
    except ValidationError as err:
        (wrong, *_) = err.errors()
        name = ".".join(map(str, ("ipfs_store", *wrong["loc"])))
        raise InvalidOption(name, str(wrong["msg"]).removeprefix("Value error, ")) from err


def _pin(chosen: StoreSettings, client: httpx.Client) -> Callable[[str], None] | None:
    """What has content pinned by a service, if one is named."""
    if (service := chosen.pinning) is None:
        return None
    key = os.environ.get(service.key, "")
    # What is no header, such as a key with a line break, httpx would show in its error.
    if not re.fullmatch("[!-~]+", key):
        reason = f"the environment variable {service.key} holds no key"
        raise InvalidOption("ipfs_store.pinning.key", reason)

    def pin(cid: str) -> None:
        origins: list[str] = []
        if chosen.kubo:
            with suppress(StoreRefused):  # a node that lets us do no more than add
                origins = kubo.addresses(client, chosen.kubo, chosen.timeout)
        pinning.pin(client, service.endpoint, key, cid, origins, timeout=chosen.timeout)

    return pin


@contextmanager
def _store(chosen: StoreSettings, client: httpx.Client) -> Iterator[tuple[Keep, str | None]]:
    """What keeps content, and the gateway that serves it."""
    if chosen.kubo:
        add = partial(kubo.add, client, chosen.kubo, timeout=chosen.timeout)
        yield add, None
        return
    assert chosen.embedded is not None
    blocks = _folder(chosen.embedded.folder)
    port = chosen.embedded.port
    if port:
        _look(port, blocks, client)
    with ExitStack() as stack:
        try:
            gateway = stack.enter_context(server.serving(blocks, port))
        except OSError as err:
            raise InvalidOption("ipfs_store.embedded.port", f"{port}, {err.strerror}") from err
        yield partial(_keep, blocks), gateway


def _folder(folder: Path | None) -> Blocks:
    """The blocks of a folder, after the first one, of an empty file, was put there."""
    from ape.utils.basemodel import ManagerAccessMixin as access

    blocks = Blocks((folder or access.config_manager.DATA_FOLDER / "dtn" / "ipfs").expanduser())
    try:
        blocks.add(BytesIO())
    except OSError as err:
        reason = f"{blocks.folder} cannot be written, {err.strerror}"
        raise InvalidOption("ipfs_store.embedded.folder", reason) from err
    return blocks


def _look(port: int, blocks: Blocks, client: httpx.Client) -> None:
    """Makes sure that a port is free, or is that of a gateway of the same folder.

    Processes may share a port: whoever asks there is served by any of them.
    """
    try:
        socket.create_connection((server.HOST, port), POLICY.gateway_probe).close()
    except OSError:
        return  # nobody listens there
    about: list[dict[str, Any]] = []
    with suppress(StoreUnavailable, StoreRefused):
        url = f"http://{server.HOST}:{port}/api/v0/repo/stat"
        about = call(client, "POST", url, POLICY.gateway_probe)
    if [each.get("RepoPath") for each in about] != [str(blocks.folder.resolve())]:
        raise InvalidOption("ipfs_store.embedded.port", f"something else listens on {port}")


def _keep(blocks: Blocks, content: bytes) -> str:
    try:
        cid, _ = blocks.add(BytesIO(content))
    except OSError as err:
        raise StoreUnavailable(str(blocks.folder), err.strerror or type(err).__name__) from err
    return str(cid)
