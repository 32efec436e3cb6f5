"""Buy AI answers on chain: sessions and requests of the Deep Trust Network, for Ape.

Nothing is imported until it is used: Ape loads every plugin for every command.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ape import plugins

if TYPE_CHECKING:
    from ape_dtn.ai import DtnAi
    from ape_dtn.amount import Amount, Token
    from ape_dtn.answers.answer import Answer, CallType, Status
    from ape_dtn.answers.request import DtnRequest
    from ape_dtn.answers.watch import Watch, wait_all, wait_all_async
    from ape_dtn.asking.options import Callback
    from ape_dtn.asking.prompt import Prompt
    from ape_dtn.asking.routing import Aggregation
    from ape_dtn.errors import DtnError
    from ape_dtn.rehearsal.rehearsal import DtnRehearsal
    from ape_dtn.rescue.rescue import DtnRescue
    from ape_dtn.serving.node import DtnNode
    from ape_dtn.session import DtnSession

_HOMES = {
    "Aggregation": "asking.routing",
    "Amount": "amount",
    "Answer": "answers.answer",
    "CallType": "answers.answer",
    "Callback": "asking.options",
    "DtnAi": "ai",
    "DtnError": "errors",
    "DtnNode": "serving.node",
    "DtnRehearsal": "rehearsal.rehearsal",
    "DtnRequest": "answers.request",
    "DtnRescue": "rescue.rescue",
    "DtnSession": "session",
    "Prompt": "asking.prompt",
    "Status": "answers.answer",
    "Token": "amount",
    "Watch": "answers.watch",
    "wait_all": "answers.watch",
    "wait_all_async": "answers.watch",
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
    from ape_dtn.config import DtnConfig

    return DtnConfig


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"ape_dtn.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
