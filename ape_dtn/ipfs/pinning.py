"""A pinning service, which keeps content for a node, by the IPFS Pinning Service API_.

.. _API: https://ipfs.github.io/pinning-services-api-spec/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ape_dtn.ipfs.errors import StoreRefused, StoreUnavailable
from ape_dtn.ipfs.http_client import call
from ape_dtn.types.redact import hide_secrets
from ape_dtn.types.waiting import POLICY, Deadline

if TYPE_CHECKING:
    import httpx


# How many addresses a pin may have of where the content is.
MOST_ORIGINS = 20


def pin(
    client: httpx.Client,
    endpoint: str,
    key: str,
    cid: str,
    origins: Sequence[str] = (),
    *,
    timeout: float,
) -> None:
    """Has content pinned, and waits until it is.

    A service that has a pin of the content, or is at it, is not asked for another.

    Args:
        client: What calls.
        endpoint: The service, as in ``https://api.pinata.cloud/psa``.
        key: The access token.
        cid: What is pinned.
        origins: Where the service finds it, as multiaddresses.
        timeout: For how many seconds in all.

    Raises:
        StoreUnavailable: The service cannot be reached, is broken, or the content is not pinned in
            time. It may be pinned yet.
        StoreRefused: The service says no, or has failed to get the content.
    """
    deadline = Deadline(timeout)
    where = hide_secrets(endpoint)

    def ask(method: str, path: str, **request: Any) -> dict[str, Any]:
        if deadline.is_over:
            raise StoreUnavailable(where, f"not pinned within {timeout:g} s")
        headers = {"Authorization": f"Bearer {key}"}
        answers = call(client, method, endpoint + path, deadline.left, headers=headers, **request)
        return answers[0] if answers else {}

    wanted = {"cid": cid, "name": cid, "origins": list(origins[:MOST_ORIGINS])}
    known = ask("GET", "/pins", params={"cid": cid, "status": "queued,pinning,pinned"})
    found = next(iter(known.get("results") or []), None) or ask("POST", "/pins", json=wanted)
    looks = 0
    while found.get("status") in ("queued", "pinning"):
        looks += 1
        deadline.sleep(POLICY.pinning.pause(looks))
        try:
            found = ask("GET", f"/pins/{quote(str(found.get('requestid')), safe='')}")
        except StoreUnavailable:  # for a moment perhaps: the service goes on pinning
            if deadline.is_over:
                raise
    if found.get("status") != "pinned":
        told = (found.get("info") or {}).get("status_details")
        raise StoreRefused(where, f"pinning {found.get('status')}{f', {told}' if told else ''}")
