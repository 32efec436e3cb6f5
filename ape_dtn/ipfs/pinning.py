"""Pinning services, by the IPFS Pinning Service API_.

.. _API: https://ipfs.github.io/pinning-services-api-spec/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ape_dtn.ipfs.errors import StoreRefused, StoreUnavailable
from ape_dtn.ipfs.http_client import call
from ape_dtn.types.polling import POLICY, Deadline
from ape_dtn.types.redact import hide_secrets

if TYPE_CHECKING:
    import httpx


# The most origins that the API accepts for a pin.
MAX_ORIGINS = 20


def pin(
    client: httpx.Client,
    endpoint: str,
    key: str,
    cid: str,
    origins: Sequence[str] = (),
    *,
    timeout: float,
) -> None:
    """Pin content with a service, and wait until it is pinned.

    An existing pin of the content is reused.

    Args:
        client: The HTTP client.
        endpoint: The API, such as ``https://api.pinata.cloud/psa``.
        key: The access token.
        cid: The content.
        origins: Multiaddresses of nodes that have the content.
        timeout: Seconds to wait in total.

    Raises:
        StoreUnavailable: The service is unreachable or fails, or the content is not pinned in
            time. The service may still pin it later.
        StoreRefused: The service rejects the pin, or cannot retrieve the content.
    """
    deadline = Deadline(timeout)
    where = hide_secrets(endpoint)

    def send(method: str, path: str, **request: Any) -> dict[str, Any]:
        if deadline.is_over:
            raise StoreUnavailable(where, f"not pinned within {timeout:g} s")
        headers = {"Authorization": f"Bearer {key}"}
        answers = call(client, method, endpoint + path, deadline.left, headers=headers, **request)
        return answers[0] if answers else {}

    wanted = {"cid": cid, "name": cid, "origins": list(origins[:MAX_ORIGINS])}
    existing = send("GET", "/pins", params={"cid": cid, "status": "queued,pinning,pinned"})
    status = next(iter(existing.get("results") or []), None) or send("POST", "/pins", json=wanted)
    polls = 0
    while status.get("status") in ("queued", "pinning"):
        polls += 1
        deadline.sleep(POLICY.pinning.pause(polls))
        try:
            status = send("GET", f"/pins/{quote(str(status.get('requestid')), safe='')}")
        except StoreUnavailable:  # the service may recover, and goes on pinning
            if deadline.is_over:
                raise
    if status.get("status") != "pinned":
        details = (status.get("info") or {}).get("status_details")
        suffix = f": {details}" if details else ""
        raise StoreRefused(where, f"the status of the pin is {status.get('status')}{suffix}")
