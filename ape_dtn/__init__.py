"""Buy AI answers on chain: sessions and requests of the Deep Trust Network, for Ape.

Nothing is imported until it is used: Ape loads every plugin for every command.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ape import plugins

if TYPE_CHECKING:
    from ape_dtn.client.ai import DtnAi
    from ape_dtn.client.request import DtnRequest, wait_all, wait_all_async
    from ape_dtn.client.session import DtnSession
    from ape_dtn.client.watch import Watch
    from ape_dtn.node.node import DtnNode
    from ape_dtn.rehearsal.rehearsal import DtnRehearsal
    from ape_dtn.requests.options import Callback
    from ape_dtn.requests.routing import Aggregation
    from ape_dtn.rescue.rescue import DtnRescue
    from ape_dtn.types.amount import Amount, Token
    from ape_dtn.types.answer import Answer, CallType, Status
    from ape_dtn.types.errors import DtnError
    from ape_dtn.types.prompt import Prompt


_HOMES = {
    "Aggregation": "requests.routing",
    "Amount": "types.amount",
    "Answer": "types.answer",
    "CallType": "types.answer",
    "Callback": "requests.options",
    "DtnAi": "client.ai",
    "DtnError": "types.errors",
    "DtnNode": "node.node",
    "DtnRehearsal": "rehearsal.rehearsal",
    "DtnRequest": "client.request",
    "DtnRescue": "rescue.rescue",
    "DtnSession": "client.session",
    "Prompt": "types.prompt",
    "Status": "types.answer",
    "Token": "types.amount",
    "Watch": "client.watch",
    "wait_all": "client.request",
    "wait_all_async": "client.request",
}

__all__ = [
    "Aggregation",
    "Amount",
    "Answer",
    "CallType",
    "Callback",
    "DtnAi",
    "DtnError",
    "DtnNode",
    "DtnRehearsal",
    "DtnRequest",
    "DtnRescue",
    "DtnSession",
    "Prompt",
    "Status",
    "Token",
    "Watch",
    "wait_all",
    "wait_all_async",
]


@plugins.register(plugins.Config)
def config_class() -> type:
    """The class of the ``dtn:`` section of ``ape-config.yaml``."""
    from ape_dtn.network.config import DtnConfig

    return DtnConfig


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"ape_dtn.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
