"""Hints of errors as the command line shows them: with options and commands in place of Python.

The SDK writes Python in backticks, as in ``Pass `force=True`.`` An argument that is an option of
the command becomes this option, and a method becomes its command.
"""

from __future__ import annotations

import re

import click

_PYTHON = re.compile(r"`([^`]+)`")
_ARGUMENT = re.compile(r"(\w+)(?:=(\S+))?")
_METHODS = (
    (re.compile(r"ai\.nodes\(\)"), "ape dtn nodes"),
    (re.compile(r"ai\.nodes\('(.+)'\)"), r"ape dtn nodes --model \1"),
)


def with_options(hint: str, command: click.Command) -> str:
    """A hint of the SDK for the users of a command."""
    options = {
        parameter.name: parameter.opts[0]
        for parameter in command.params
        if isinstance(parameter, click.Option)
    }

    def translate(python: re.Match[str]) -> str:
        code = python[1]
        for method, written in _METHODS:
            if method.fullmatch(code):
                return f"`{method.sub(written, code)}`"
        argument = _ARGUMENT.fullmatch(code)
        if argument is None or argument[1] not in options:
            return python[0]
        option, value = options[argument[1]], argument[2]
        return f"`{option}`" if value in (None, "True") else f"`{option} {value}`"

    return _PYTHON.sub(translate, hint)
