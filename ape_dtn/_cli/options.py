"""What a request can be given on the command line, as :class:`ape_dtn.requests.options.Options`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import click

from ape_dtn.types.budgets import BUDGETS

# Each option: its declarations, what it sets of Options, and how click reads it.
_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--model",), {"help": "Full name of the model."}),
    (
        ("--node", "nodes"),
        {"multiple": True, "help": "Full name of a node that may answer."},
    ),
    (
        ("--any-node",),
        {"is_flag": True, "help": "Trust every active node that serves the model."},
    ),
    (
        ("--namespace", "namespaces"),
        {"multiple": True, "help": "Full name of a trust namespace whose nodes may answer."},
    ),
    (
        ("--redundancy",),
        {
            "type": click.IntRange(min=0),
            "default": 1,
            "show_default": True,
            "help": "Answers wanted; only 1 completes.",
        },
    ),
    (
        ("--aggregation",),
        {
            "type": click.Choice(["any", "all", "select_best", "vote", "rank"]),
            "default": "any",
            "show_default": True,
            "help": "How several become one; only any completes.",
        },
    ),
    (
        ("--may-never-complete",),
        {"is_flag": True, "help": "Send it also where no answer could ever complete it."},
    ),
    (("--fee-per-byte",), {"help": "Offered for each byte, asked and answered."}),
    (("--max-cost", "max_cost"), {"help": "The most that the answer may cost."}),
    *(((f"--{budget.name.replace('_', '-')}",), {"help": budget.help}) for budget in BUDGETS),
    (
        ("--ipfs",),
        {"is_flag": True, "help": "Let the answer travel over IPFS, and fetch it from there."},
    ),
)
_NAMES = (
    "model",
    "nodes",
    "any_node",
    "namespaces",
    "redundancy",
    "may_never_complete",
    "fee_per_byte",
    "max_cost",
    *(budget.name for budget in BUDGETS),
)


def request_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options, and passes them on as one: ``options``."""

    @functools.wraps(function)
    def with_options(**params: Any) -> Any:
        from ape_dtn.requests.options import Options
        from ape_dtn.requests.routing import Aggregation
        from ape_dtn.types.answer import CallType

        given: dict[str, Any] = {name: params.pop(name) for name in _NAMES}
        given["aggregation"] = Aggregation[params.pop("aggregation").upper()]
        given["call_type"] = CallType.IPFS if params.pop("ipfs") else CallType.DIRECT
        return function(options=cast(Options, given), **params)

    decorated: Callable[..., Any] = with_options
    for declarations, attributes in reversed(_OPTIONS):
        decorated = click.option(*declarations, **attributes)(decorated)
    return decorated
