"""What ``dtn: ipfs_store:`` can be: where a node keeps what it answers over IPFS.

.. code-block:: yaml

    dtn:
      ipfs_store: embedded                # a folder on this machine, and a gateway that serves it
      ipfs_store:
        embedded: {folder: ~/answers, port: 8480}
      ipfs_store: http://127.0.0.1:5001   # a Kubo node's RPC API
      ipfs_store:
        kubo: http://127.0.0.1:5001
        pinning:                          # and a service that keeps it too
          endpoint: https://api.pinata.cloud/psa
          key: PINATA_JWT                 # the environment variable that holds the access token
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# Where the embedded store's gateway listens when nothing else is said.
PORT = 8480


class _Settings(BaseModel):
    # Whoever puts a token where its variable should be named, does not find it in an error.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Embedded(_Settings):
    """A folder on this machine, and a gateway on the loopback address that serves it."""

    folder: Path | None = None
    """Where blocks are kept; by default ``dtn/ipfs`` in Ape's data folder."""

    port: int = Field(default=PORT, ge=0, le=65535)
    """Where the gateway listens; 0 is any free port. Nodes with the same folder share one."""


class Pinning(_Settings):
    """A pinning service."""

    endpoint: str
    """Its address, to which ``/pins`` is added."""

    key: str
    """The environment variable that holds the access token."""

    @field_validator("key")
    @classmethod
    def _is_variable(cls, name: str) -> str:
        if not re.fullmatch("[A-Z_][A-Z0-9_]*", name):  # perhaps the token itself
            raise ValueError("it is not the name of an environment variable, as in PINATA_JWT")
        return name

    @field_validator("endpoint")
    @classmethod
    def _is_http(cls, endpoint: str) -> str:
        return _http(endpoint)


class StoreSettings(_Settings):
    """Where a node keeps what it answers over IPFS: one store, and perhaps a pinning service."""

    embedded: Embedded | None = None

    kubo: str | None = None
    """The address of a Kubo RPC API."""

    pinning: Pinning | None = None

    timeout: float = Field(default=60.0, gt=0)
    """For how many seconds another's store, and a pinning service, are waited for."""

    @model_validator(mode="before")
    @classmethod
    def _in_short(cls, given: Any) -> Any:
        """A store in one word: ``embedded``, or the address of a Kubo RPC API."""
        if isinstance(given, str):
            return {"embedded": {}} if given == "embedded" else {"kubo": given}
        return given

    @field_validator("kubo")
    @classmethod
    def _is_http(cls, kubo: str | None) -> str | None:
        return kubo and _http(kubo)

    @model_validator(mode="after")
    def _is_one(self) -> StoreSettings:
        if (self.embedded is None) == (self.kubo is None):
            raise ValueError("name one store, `embedded` or `kubo`")
        return self


def _http(address: str) -> str:
    try:
        parts = urlsplit(address)
        is_http = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1)
    except ValueError:
        is_http = False
    if not is_http:
        raise ValueError("it is no http(s) address")
    return address.rstrip("/")
