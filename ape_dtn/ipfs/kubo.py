"""A Kubo node, or whatever speaks its RPC API_, as a store.

.. _API: https://docs.ipfs.tech/reference/kubo/rpc/
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from ape_dtn.ipfs import unixfs
from ape_dtn.ipfs.errors import StoreRefused, WrongCid
from ape_dtn.ipfs.http_client import call
from ape_dtn.types.redact import hide_secrets

if TYPE_CHECKING:
    import httpx


# All that decides what CID content gets: a node may have other defaults.
_AS_HERE = {
    "cid-version": "1",
    "raw-leaves": "true",
    "hash": "sha2-256",
    "chunker": f"size-{unixfs.CHUNK}",
    "max-file-links": str(unixfs.CHILDREN),
    "trickle": "false",
    "inline": "false",
}


def add(client: httpx.Client, url: str, content: bytes, timeout: float) -> str:
    """Adds content to a node, and pins it there (``/api/v0/add``).

    Args:
        client: What calls.
        url: The node's RPC API, as in ``http://127.0.0.1:5001``.
        content: The content of a file.
        timeout: For how many seconds the node is waited for.

    Returns:
        The CID, which is the node's and our own.

    Raises:
        StoreUnavailable: The node cannot be reached, is broken, or takes too long.
        StoreRefused: It says no.
        WrongCid: It says another CID than the content has.
    """
    for cid, _ in unixfs.write(unixfs.chunks(BytesIO(content))):
        expected = str(cid)
    answers = call(
        client,
        "POST",
        f"{url}/api/v0/add",
        timeout,
        params={**_AS_HERE, "pin": "true", "progress": "false"},
        files={"file": ("answer", content)},
    )
    where = hide_secrets(url)
    # A node that fails after it began says so in a line of its own.
    failed = next((each["Message"] for each in answers if "Message" in each), None)
    if failed or not answers:
        raise StoreRefused(where, str(failed or "the node said nothing"))
    given = str(answers[-1].get("Hash"))
    if given != expected:
        raise WrongCid(where, expected, given)
    return expected


def addresses(client: httpx.Client, url: str, timeout: float) -> list[str]:
    """Where others find the node (``/api/v0/id``), as multiaddresses.

    Raises:
        StoreUnavailable, StoreRefused: As of :func:`add`.
    """
    (about, *_) = call(client, "POST", f"{url}/api/v0/id", timeout) or [{}]
    return [str(each) for each in about.get("Addresses") or []]
