"""Hints of the SDK as the command line shows them."""

from __future__ import annotations

import click
import pytest

from ape_dtn._cli.hints import with_options

COMMAND = click.Command(
    "close",
    params=[
        click.Option(["--force"], is_flag=True),
        click.Option(["--node", "nodes"], multiple=True),
        click.Option(["--as-node"]),
        click.Argument(["session_id"]),
    ],
)


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("Close it with `force=True`.", "Close it with `--force`."),
        ("Name them in `nodes`.", "Name them in `--node`."),
        ("Rehearse with `as_node=NAME`.", "Rehearse with `--as-node NAME`."),
        ("Look at `ai.nodes()`.", "Look at `ape dtn nodes`."),
        (
            "Look at `ai.nodes('model.system.text')`.",
            "Look at `ape dtn nodes --model model.system.text`.",
        ),
        ("Raise `day_limit`, which is configured.", "Raise `day_limit`, which is configured."),
        ("It is `session_id`.", "It is `session_id`."),
        ("Set `dtn: nodes:` in the file.", "Set `dtn: nodes:` in the file."),
        ("force=True", "force=True"),
    ],
)
def test_python_in_a_hint_becomes_options_and_commands(hint: str, shown: str) -> None:
    assert with_options(hint, COMMAND) == shown
