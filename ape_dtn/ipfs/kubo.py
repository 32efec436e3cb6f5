"""A Kubo node, or another server with its RPC API_, as a store.

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


# The options that determine a CID: the node may have other defaults.
_CID_OPTIONS = {
    "cid-version": "1",
    "raw-leaves": "true",
    "hash": "sha2-256",
    "chunker": f"size-{unixfs.CHUNK}",
    "max-file-links": str(unixfs.CHILDREN),
    "trickle": "false",
    "inline": "false",
}


def add(client: httpx.Client, url: str, content: bytes, timeout: float) -> str:
    """Add the content of a file to a node and pin it there (``/api/v0/add``).

    ``url`` is the RPC API, such as ``http://127.0.0.1:5001``. The timeout is in seconds.

    Returns:
        The CID, which is computed here as well.

    Raises:
        StoreUnavailable: The node is unreachable, fails, or times out.
        StoreRefused: The node rejects the content.
        WrongCid: The node returns a CID other than the content's.
    """
    for cid, _ in unixfs.write(unixfs.chunks(BytesIO(content))):
        expected = str(cid)
    answers = call(
        client,
        "POST",
        f"{url}/api/v0/add",
        timeout,
        params={**_CID_OPTIONS, "pin": "true", "progress": "false"},
        files={"file": ("answer", content)},
    )
    where = hide_secrets(url)
    # A node that fails after it has begun its response reports the failure in a separate line.
    failure = next((answer["Message"] for answer in answers if "Message" in answer), None)
    if failure or not answers:
        raise StoreRefused(where, str(failure or "the node's response is empty"))
    given = str(answers[-1].get("Hash"))
    if given != expected:
        raise WrongCid(where, expected, given)
    return expected


def addresses(client: httpx.Client, url: str, timeout: float) -> list[str]:
    """Return the multiaddresses of a node (``/api/v0/id``).

    Raises:
        StoreUnavailable, StoreRefused: As :func:`add`.
    """
    (identity, *_) = call(client, "POST", f"{url}/api/v0/id", timeout) or [{}]
    return [str(address) for address in identity.get("Addresses") or []]
