"""Settings of the IPFS store that a node adds its answers to (``dtn: ipfs_store:``).

.. code-block:: yaml

    dtn:
      ipfs_store: embedded                # a local folder, with a gateway that serves it
      ipfs_store:
        embedded: {folder: ~/answers, port: 8480}
      ipfs_store: http://127.0.0.1:5001   # a Kubo node's RPC API
      ipfs_store:
        kubo: http://127.0.0.1:5001
        pinning:                          # pins the content with a service, too
          endpoint: https://api.pinata.cloud/psa
          key: PINATA_JWT                 # the environment variable with the access token
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# The default port of the embedded store's gateway.
PORT = 8480


class _Settings(BaseModel):
    # Keep inputs out of error messages: a user may paste an access token into the wrong field.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Embedded(_Settings):
    """A local folder, and a gateway on the loopback address that serves it."""

    folder: Path | None = None
    """Where to store blocks; by default ``dtn/ipfs`` in Ape's data folder."""

    port: int = Field(default=PORT, ge=0, le=65535)
    """The gateway's port; 0 for any free one. Nodes with the same folder can share a port."""


class Pinning(_Settings):
    """A service with the IPFS Pinning Service API."""

    endpoint: str
    """The URL of the API, without ``/pins``."""

    key: str
    """The environment variable with the access token."""

    @field_validator("key")
    @classmethod
    def _is_variable(cls, name: str) -> str:
        if not re.fullmatch("[A-Z_][A-Z0-9_]*", name):  # it may be the token itself
            raise ValueError("expected the name of an environment variable, such as PINATA_JWT")
        return name

    @field_validator("endpoint")
    @classmethod
    def _is_http(cls, endpoint: str) -> str:
        return _http(endpoint)


class StoreSettings(_Settings):
    """One store, and optionally a pinning service."""

    embedded: Embedded | None = None

    kubo: str | None = None
    """The URL of a Kubo RPC API."""

    pinning: Pinning | None = None

    timeout: float = Field(default=60.0, gt=0)
    """Seconds to wait for a Kubo node, and for the pinning service."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, given: Any) -> Any:
        """Accept ``embedded``, or the URL of a Kubo RPC API, in place of a mapping."""
        if isinstance(given, str):
            return {"embedded": {}} if given == "embedded" else {"kubo": given}
        return given

    @field_validator("kubo")
    @classmethod
    def _is_http(cls, kubo: str | None) -> str | None:
        return kubo and _http(kubo)

    @model_validator(mode="after")
    def _has_one_store(self) -> StoreSettings:
        if (self.embedded is None) == (self.kubo is None):
            raise ValueError("configure one store, either `embedded` or `kubo`")
        return self


def _http(address: str) -> str:
    try:
        parts = urlsplit(address)
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1)
    except ValueError:
        is_http = False
    if not is_http:
        raise ValueError("expected an http:// or https:// URL")
    return address.rstrip("/")
