"""Render a consumer as a Python client."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ape_dtn.scaffold.consumer import Consumer, snake
from ape_dtn.scaffold.literals import pieces, width
from ape_dtn.scaffold.template import render

# The default line length of ruff and black, which must leave the client unchanged.
LINE = 88

_BASIC = {"address": "str", "string": "str", "bool": "bool", "bytes": "bytes"}
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def client(consumer: Consumer) -> str:
    """Render the client: a module for Python 3.10 and later."""
    names = [snake(parameter.name) for parameter in consumer.parameters]
    types = [input_type(parameter.kind) for parameter in consumer.parameters]
    docs = zip(names, (parameter.meaning for parameter in consumer.parameters), strict=True)
    return render(
        "client.py",
        name=consumer.name,
        model=consumer.model,
        example=", ".join(names) if len(names) < 4 else "...",
        imports=_imports(consumer, types),
        prompt=_prompt(consumer.lines),
        parameters="\n".join(
            f"        {name}: {type_}," for name, type_ in zip(names, types, strict=True)
        ),
        answer=output_type(consumer.output),
        docs="\n".join(f"            {name}: {meaning}." for name, meaning in docs),
        arguments="\n".join(f"            {name}," for name in names),
        inputs=_inputs(consumer),
    )


def input_type(kind: str) -> str:
    """The Python type of an input, by its ABI type; arrays are ``Sequence``."""
    if kind.endswith("]"):
        return f"Sequence[{input_type(kind[: kind.rindex('[')])}]"
    return _basic_type(kind)


def output_type(kind: str) -> str:
    """The Python type of an output, by its ABI type; arrays are ``tuple``."""
    if kind.endswith("]"):
        return f"tuple[{output_type(kind[: kind.rindex('[')])}, ...]"
    return _basic_type(kind)


def literal(text: str) -> str:
    """A one-line string literal, with the quotes that need fewer escapes."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    characters = (_escape(char, quote) for char in text)
    return f"{quote}{''.join(characters)}{quote}"


def _escape(character: str, quote: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character == quote:
        return f"\\{quote}"
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _basic_type(kind: str) -> str:
    return _BASIC.get(re.sub(r"\d+$", "", kind), "int")


def _imports(consumer: Consumer, types: Sequence[str]) -> str:
    standard = ["from dataclasses import dataclass"]
    if any(type_.startswith("Sequence") for type_ in types):
        standard.insert(0, "from collections.abc import Sequence")
    prompt = ", Prompt" if consumer.lines else ""
    others = [
        f"from ape_dtn import DtnRequest, DtnSession{prompt}",
        "from ape_dtn.requests.options import Options",
        "from typing_extensions import Unpack",
    ]
    return "\n".join([*standard, "", *others])


def _prompt(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    if len(lines) == 1:
        return f"PROMPT = {_assigned(lines[0], len('PROMPT = '), 0)}\n"
    items = "".join(f"    {_assigned(line, 5, 4)},\n" for line in lines)
    return f"PROMPT = (\n{items})\n"


def _assigned(text: str, around: int, indent: int) -> str:
    """One literal, or several in parentheses if one is too long for its line.

    ``around`` is the number of columns that the line needs besides the literal.
    """
    one_line = literal(text)
    if around + width(one_line) <= LINE:
        return one_line
    inner = " " * (indent + 4)
    parts = pieces(text, lambda piece: len(inner) + width(literal(piece)) <= LINE)
    literals = "".join(f"{inner}{literal(part)}\n" for part in parts)
    return f"(\n{literals}{' ' * indent})"


def _inputs(consumer: Consumer) -> str:
    arguments = ["PROMPT", *(snake(value.name) if value else "None" for value in consumer.values)]
    prompt = f"            Prompt({', '.join(arguments)}),"
    if len(prompt) > LINE:
        lines = "\n".join(f"                {argument}," for argument in arguments)
        prompt = f"            Prompt(\n{lines}\n            ),"
    return "\n".join(
        f"            {snake(other.name)}," if other else prompt for other in consumer.others
    )
