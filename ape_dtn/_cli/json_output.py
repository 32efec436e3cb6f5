"""Prints for machines: JSON, by the rules of :mod:`ape_dtn.types.serialization`.

Every document is an object with a ``schema_version``. A command that fails prints an ``error``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TextIO

import click

from ape_dtn._cli.hints import hint_for
from ape_dtn._cli.output import current_output
from ape_dtn.types.errors import BadInput, DtnError


def print_json(result: Mapping[str, Any]) -> None:
    """Prints a document under ``--json``, and nothing otherwise.

    For commands that go on after they have printed their result. All others return it.
    """
    output = current_output()
    if output.as_json:
        write_json(output.stdout, result, output.indent)


def print_json_lines() -> None:
    """Makes :func:`print_json` print each document on one line, for commands that print many."""
    current_output().indent = None


def print_error(err: DtnError) -> None:
    """Prints the document of a command that fails."""
    print_json({"error": err})


def write_json(file: TextIO, result: Mapping[str, Any], indent: int | None = 2) -> None:
    """Writes a document to a file, whether or not ``--json`` is given."""
    print(json.dumps(to_document(result), indent=indent), file=file, flush=True)


def to_document(result: Mapping[str, Any]) -> dict[str, Any]:
    """A command's result as plain JSON, with the version of its schema."""
    from ape_dtn.types.serialization import SCHEMA_VERSION, Shapes, error_fields, to_json

    shapes: Shapes = {DtnError: lambda err: error_fields(err, hint_for(err))}
    return {"schema_version": SCHEMA_VERSION, **to_json(result, shapes)}


def usage_error(err: click.ClickException) -> DtnError:
    """Converts an error of click to a `DtnError`, which has an error code."""
    kind = BadInput if isinstance(err, click.UsageError) else DtnError
    return kind(err.format_message())
