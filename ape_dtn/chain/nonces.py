"""A lock per sender, held from reading a nonce until it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ape_dtn.chain.networks import data_folder
from ape_dtn.types.polling import POLICY

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


@contextmanager
def nonce_lock(provider: ProviderAPI, sender: str) -> Iterator[None]:
    """Wait until no other thread or process of this user sends from the account.

    The operating system releases the lock when its holder dies.
    """
    from ape.logging import logger
    from filelock import FileLock, Timeout

    folder = data_folder(provider) / "turns"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{provider.chain_id}-{sender}.lock")
    try:
        lock.acquire(timeout=POLICY.silent_lock)
    except Timeout:
        logger.info(f"Waiting for another process that sends from {sender}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
