"""A consumer as a Python client."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ape_dtn.scaffold.consumer import Consumer, Parameter, snake
from ape_dtn.scaffold.literals import pieces, width
from ape_dtn.scaffold.template import render

# Of the formatters that users have: what they make of it has to be what it is already.
LINE = 88

_BASIC = {"address": "str", "string": "str", "bool": "bool", "bytes": "bytes"}
_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def client(consumer: Consumer) -> str:
    """The client's source: a module for Python 3.10 and later."""
    parameters = [
        Parameter(snake(each.name), each.kind, each.meaning) for each in consumer.parameters
    ]
    kinds = [given(each.kind) for each in parameters]
    named = zip(parameters, kinds, strict=True)
    return render(
        "client.py",
        name=consumer.name,
        model=consumer.model,
        example=", ".join(each.name for each in parameters) if len(parameters) < 4 else "...",
        imports=_imports(consumer, kinds),
        prompt=_prompt(consumer.lines),
        parameters="\n".join(f"        {each.name}: {kind}," for each, kind in named),
        answer=answered(consumer.output),
        docs="\n".join(f"            {each.name}: {each.meaning}." for each in parameters),
        arguments="\n".join(f"            {each.name}," for each in parameters),
        inputs=_inputs(consumer),
    )


def given(kind: str) -> str:
    """The Python type of an ABI type that goes in: any sequence for an array."""
    if kind.endswith("]"):
        return f"Sequence[{given(kind[: kind.rindex('[')])}]"
    return _basic(kind)


def answered(kind: str) -> str:
    """The Python type of an ABI type that comes out: a tuple for an array."""
    if kind.endswith("]"):
        return f"tuple[{answered(kind[: kind.rindex('[')])}, ...]"
    return _basic(kind)


def literal(text: str) -> str:
    """Text as Python writes it, in one line, in the quotes that need the fewest escapes."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    characters = (_escaped(each, quote) for each in text)
    return f"{quote}{''.join(characters)}{quote}"


def _escaped(character: str, quote: str) -> str:
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


def _basic(kind: str) -> str:
    return _BASIC.get(re.sub(r"\d+$", "", kind), "int")


def _imports(consumer: Consumer, kinds: Sequence[str]) -> str:
    standard = ["from dataclasses import dataclass"]
    if any(kind.startswith("Sequence") for kind in kinds):
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
    listed = "".join(f"    {_assigned(line, 5, 4)},\n" for line in lines)
    return f"PROMPT = (\n{listed})\n"


def _assigned(text: str, around: int, indent: int) -> str:
    """Text as a literal, or as several in parentheses where that is too long for its line."""
    whole = literal(text)
    if around + width(whole) <= LINE:
        return whole
    inner = " " * (indent + 4)
    cut = pieces(text, lambda each: len(inner) + width(literal(each)) <= LINE)
    listed = "".join(f"{inner}{literal(piece)}\n" for piece in cut)
    return f"(\n{listed}{' ' * indent})"


def _inputs(consumer: Consumer) -> str:
    values = [snake(each.name) if each else "None" for each in consumer.values]
    prompt = f"            Prompt({', '.join(['PROMPT', *values])}),"
    if len(prompt) > LINE:
        listed = "\n".join(f"                {each}," for each in ["PROMPT", *values])
        prompt = f"            Prompt(\n{listed}\n            ),"
    inputs = [f"            {snake(each.name)}," if each else prompt for each in consumer.others]
    return "\n".join(inputs)
