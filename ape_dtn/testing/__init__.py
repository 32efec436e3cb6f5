"""Tools for testing code that uses the network: pytest fixtures and a scriptable mock node.

Names are imported on first use, because pytest loads the plugin for every run on the machine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ape_dtn.testing.network import DtnTestNetwork
    from ape_dtn.testing.node import DtnTestNode
    from ape_dtn.testing.responses import Outcome, Response
    from ape_dtn.testing.rules import Rule


_MODULES = {
    "DtnTestNetwork": "network",
    "DtnTestNode": "node",
    "Outcome": "responses",
    "Response": "responses",
    "Rule": "rules",
}

__all__ = ["DtnTestNetwork", "DtnTestNode", "Outcome", "Response", "Rule"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"ape_dtn.testing.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
