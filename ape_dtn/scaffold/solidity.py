"""Render a consumer as a Solidity contract."""

from __future__ import annotations

from collections.abc import Sequence

from ape_dtn.scaffold.consumer import Consumer, Parameter
from ape_dtn.scaffold.literals import pieces, width
from ape_dtn.scaffold.template import render

LINE = 100

# With more parameters, `ask` compiles only with `via_ir`: the stack is too deep otherwise.
MAX_PARAMETERS = 11

_BY_ESCAPE = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

_CAUTION = """
    ///      Text is inserted into the prompt unchanged, so it can change the question's meaning."""


def contract(consumer: Consumer) -> str:
    """Render the contract, which depends only on this package's Solidity library."""
    parameters = consumer.parameters
    return render(
        "Consumer.sol",
        name=consumer.name,
        model=consumer.model,
        answer_type=consumer.output,
        answer_place=_location(consumer.output),
        caution=_CAUTION if any(item.kind == "string" for item in parameters) else "",
        parameter_docs="".join(
            f"\n    /// @param {item.name} {item.meaning}." for item in parameters
        ),
        ask=_signature(parameters),
        body="\n".join(f"        {line}" if line else "" for line in _body(consumer)),
    )


def needs_ir(consumer: Consumer) -> bool:
    """Whether the contract compiles only with ``via_ir: true``."""
    return len(consumer.parameters) > MAX_PARAMETERS


def literal(text: str) -> str:
    """A one-line string literal."""
    escaped = "".join(_escape(char) for char in text)
    return f'"{escaped}"' if escaped.isascii() else f'unicode"{escaped}"'


def _escape(character: str) -> str:
    """Escape a character unless it is printable.

    The compiler rejects line ends, and unterminated right-to-left text.
    """
    if character in _BY_ESCAPE:
        return _BY_ESCAPE[character]
    if character.isprintable():
        return character
    if ord(character) < 0x10000:
        return f"\\u{ord(character):04x}"
    return "".join(f"\\x{byte:02x}" for byte in character.encode())


def _signature(parameters: Sequence[Parameter]) -> str:
    declarations = [f"{item.kind}{_location(item.kind)} {item.name}" for item in parameters]
    modifiers = " external payable onlyOwner returns (bytes32 requestId) {"
    line = f"    function ask({', '.join(declarations)}){modifiers}"
    if len(line) <= LINE:
        return line
    lines = ",\n".join(f"        {declaration}" for declaration in declarations)
    return f"    function ask(\n{lines}\n    ){modifiers}"


def _body(consumer: Consumer) -> list[str]:
    """The statements that encode the request, as the SDK encodes it."""
    others = [other and other.name for other in consumer.others]
    lines: list[str] = []
    if "string[]" in consumer.inputs:
        position = consumer.inputs.index("string[]")
        prompt = [_literals(line) for line in consumer.lines] or [[str(others[position])]]
        lines.append(f"string[] memory lines = new string[]({len(prompt)});")
        for index, literals in enumerate(prompt):
            lines += _statement(f"lines[{index}] =", literals)
        others[position] = "lines"
    elif consumer.lines:
        position = consumer.inputs.index("string")
        lines += _statement("string memory line =", _literals(consumer.lines[0]))
        others[position] = "line"
    # An unused index is encoded as an empty string.
    values = [value.name if value else '""' for value in consumer.values]
    encoded = _call("abi.encode", *([str(other)] for other in others))
    extra = _call("abi.encode", *([value] for value in values)) if values else ['""']
    first, *rest = _call("return _ask", encoded, extra)
    return [*lines, first, *rest[:-1], f"{rest[-1]};"] if rest else [*lines, f"{first};"]


def _literals(text: str) -> list[str]:
    """Adjacent literals that make up the text, each short enough for a line."""
    parts = pieces(text, lambda piece: width(literal(piece)) <= 80)
    literals = [literal(part) for part in parts]
    if any(item.startswith("unicode") for item in literals):  # adjacent ones must be of one kind
        return [item if item.startswith("unicode") else f"unicode{item}" for item in literals]
    return literals


def _statement(start: str, literals: Sequence[str]) -> list[str]:
    if len(literals) == 1:
        return [f"{start} {literals[0]};"]
    return [start, *(f"    {item}" for item in literals[:-1]), f"    {literals[-1]};"]


def _call(function: str, *arguments: list[str]) -> list[str]:
    """A call, on one line if it fits. Each argument is a list of lines."""
    line = f"{function}({', '.join(lines[0] for lines in arguments)})"
    # Reserve 14 columns for the indentation and for closing brackets.
    if len(line) + 14 <= LINE and all(len(lines) == 1 for lines in arguments):
        return [line]
    *others, last = arguments
    inner = [line for lines in others for line in [*lines[:-1], f"{lines[-1]},"]] + last
    return [f"{function}(", *(f"    {line}" for line in inner), ")"]


def _location(kind: str) -> str:
    return " memory" if kind in ("string", "bytes") or kind.endswith("]") else ""
