"""The options of a request on the command line: :class:`ape_dtn.requests.options.Options`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

import click

from ape_dtn.types.budgets import BUDGETS

# Spelled out, since --help imports no configuration; a test compares them.
DEFAULT_MODEL = "model.system.openai-gpt-5-nano"
DEFAULT_MAX_COST = "0.25"
DEFAULT_FEE_PER_BYTE = "0.00001"

MODEL_HELP = f"Full name of the model. By default as configured, else {DEFAULT_MODEL}."
FEE_HELP = (
    "Fee offered per byte, of the request and of the answer, in the fee token. By default as "
    f"configured, else {DEFAULT_FEE_PER_BYTE}."
)
MAX_COST_HELP = (
    "The most that the answer may cost, in the fee token. By default as configured, else "
    f"{DEFAULT_MAX_COST}."
)
NODE_HELP = "Full name of a node that may answer; repeatable."

# The declarations of each option, and how click reads it.
_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--model",), {"help": MODEL_HELP}),
    (("--node", "nodes"), {"multiple": True, "help": NODE_HELP}),
    (
        ("--any-node",),
        {"is_flag": True, "help": "Trust every active node that serves the model."},
    ),
    (
        ("--namespace", "namespaces"),
        {
            "multiple": True,
            "help": "Full name of a trust namespace whose nodes may answer; repeatable.",
        },
    ),
    (
        ("--redundancy",),
        {
            "type": click.IntRange(min=0),
            "default": 1,
            "show_default": True,
            "help": "Number of answers. The network completes a request with 1 answer only.",
        },
    ),
    (
        ("--aggregation",),
        {
            "type": click.Choice(["any", "all", "select_best", "vote", "rank"]),
            "default": "any",
            "show_default": True,
            "help": "How several answers are combined. The network completes `any` only.",
        },
    ),
    (
        ("--may-never-complete",),
        {"is_flag": True, "help": "Send a request even if no answer could complete it."},
    ),
    (("--fee-per-byte",), {"help": FEE_HELP}),
    (("--max-cost", "max_cost"), {"help": MAX_COST_HELP}),
    *(((f"--{budget.name.replace('_', '-')}",), {"help": budget.help}) for budget in BUDGETS),
    (
        ("--ipfs",),
        {"is_flag": True, "help": "Receive the answer over IPFS instead of on chain."},
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
    """Adds the options, and passes them to the command as one argument, ``options``."""

    @functools.wraps(function)
    def with_options(**params: Any) -> Any:
        from ape_dtn.requests.options import Options
        from ape_dtn.requests.routing import Aggregation
        from ape_dtn.types.answer import CallType

        options: dict[str, Any] = {name: params.pop(name) for name in _NAMES}
        options["aggregation"] = Aggregation[params.pop("aggregation").upper()]
        options["call_type"] = CallType.IPFS if params.pop("ipfs") else CallType.DIRECT
        return function(options=cast(Options, options), **params)

    decorated: Callable[..., Any] = with_options
    for declarations, attributes in reversed(_OPTIONS):
        decorated = click.option(*declarations, **attributes)(decorated)
    return decorated
