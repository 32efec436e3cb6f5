"""A chain of its own for each worker of pytest-xdist, where all would share one Anvil otherwise."""

from __future__ import annotations

import os
import socket
from typing import Any
from urllib.parse import urlsplit

from ape_dtn.devnet.anvil import free_port
from ape_dtn.types.waiting import POLICY

# What ape-foundry prefers to its configuration, each time that it connects.
_HOST = "APE_FOUNDRY_HOST"


def separate() -> str | None:
    """Has Ape's Foundry provider start an Anvil for this worker alone, once it connects.

    Returns:
        The address of a running chain that the user has named for Foundry, which all workers would
        share, and which is left as it is; None where there is none.
    """
    named = os.environ.get(_HOST) or _configured()
    if named and named != "auto" and _listens(named):
        return named
    os.environ[_HOST] = f"http://127.0.0.1:{free_port()}"
    return None


def _configured() -> str | None:
    from ape.utils.basemodel import ManagerAccessMixin as access

    settings: Any = access.config_manager.get_config("foundry")
    host: str | None = settings.host
    return host


def _listens(address: str) -> bool:
    """Whether anything accepts connections at an address, with or without a scheme."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 8545)
    try:
        socket.create_connection((parts.hostname, port), timeout=POLICY.gateway_probe).close()
    except OSError:
        return False
    return True
