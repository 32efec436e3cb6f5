"""Give each worker of pytest-xdist its own chain: by default they would share one Anvil."""

from __future__ import annotations

import os
import socket
from typing import Any
from urllib.parse import urlsplit

from ape_dtn.devnet.anvil import free_port
from ape_dtn.types.polling import POLICY

# The variable overrides ape-foundry's configuration; it is read at every connection.
_HOST = "APE_FOUNDRY_HOST"


def separate() -> str | None:
    """Make Ape's Foundry provider start an Anvil for this worker alone when it connects.

    Returns:
        The address of a running chain that the user configured for Foundry, which all workers
        would share and which is not changed; None if there is none.
    """
    host = os.environ.get(_HOST) or _configured()
    if host and host != "auto" and _listens(host):
        return host
    os.environ[_HOST] = f"http://127.0.0.1:{free_port()}"
    return None


def _configured() -> str | None:
    from ape.utils.basemodel import ManagerAccessMixin as access

    settings: Any = access.config_manager.get_config("foundry")
    host: str | None = settings.host
    return host


def _listens(address: str) -> bool:
    """Whether a server accepts connections at an address, with or without a scheme."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 8545)
    try:
        socket.create_connection((parts.hostname, port), timeout=POLICY.gateway_probe).close()
    except OSError:
        return False
    return True
