"""A consumer as a Solidity contract."""

from __future__ import annotations

from collections.abc import Sequence

from ape_dtn.scaffold.consumer import Consumer, Parameter
from ape_dtn.scaffold.literals import pieces, width
from ape_dtn.scaffold.template import render

LINE = 100

# With more of them, the compiler's stack is too deep for `ask`, but for `via_ir`.
MOST_PARAMETERS = 11

_BY_ESCAPE = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

_CAUTION = """
    ///      Text goes into the prompt as it is: whoever chooses it can change the question."""


def contract(consumer: Consumer) -> str:
    """The contract's source, which needs nothing but this package's Solidity library."""
    parameters = consumer.parameters
    return render(
        "Consumer.sol",
        name=consumer.name,
        model=consumer.model,
        answer_type=consumer.output,
        answer_place=_in(consumer.output, "memory"),
        caution=_CAUTION if any(each.kind == "string" for each in parameters) else "",
        parameter_docs="".join(
            f"\n    /// @param {each.name} {each.meaning}." for each in parameters
        ),
        ask=_signature(parameters),
        body="\n".join(f"        {line}" if line else "" for line in _body(consumer)),
    )


def needs_ir(consumer: Consumer) -> bool:
    """Whether the contract compiles only with ``via_ir: true``."""
    return len(consumer.parameters) > MOST_PARAMETERS


def literal(text: str) -> str:
    """Text as Solidity writes it, in one line."""
    characters = [_escaped(each) for each in text]
    kind = "" if all(each.isascii() for each in characters) else "unicode"
    return f'{kind}"{"".join(characters)}"'


def _escaped(character: str) -> str:
    """A character as it stands between quotes.

    Whatever cannot be seen is escaped: the compiler refuses line ends, and text that runs from
    right to left and does not end.
    """
    if character in _BY_ESCAPE:
        return _BY_ESCAPE[character]
    if character.isprintable():
        return character
    if ord(character) < 0x10000:
        return f"\\u{ord(character):04x}"
    return "".join(f"\\x{byte:02x}" for byte in character.encode())


def _signature(parameters: Sequence[Parameter]) -> str:
    declared = [f"{each.kind}{_in(each.kind, 'memory')} {each.name}" for each in parameters]
    after = " external payable onlyOwner returns (bytes32 requestId) {"
    line = f"    function ask({', '.join(declared)}){after}"
    if len(line) <= LINE:
        return line
    listed = ",\n".join(f"        {each}" for each in declared)
    return f"    function ask(\n{listed}\n    ){after}"


def _body(consumer: Consumer) -> list[str]:
    """The statements that encode what is asked as the SDK does."""
    others = [each and each.name for each in consumer.others]
    lines: list[str] = []
    if "string[]" in consumer.inputs:
        place = consumer.inputs.index("string[]")
        asked = [_literals(line) for line in consumer.lines] or [[str(others[place])]]
        lines.append(f"string[] memory lines = new string[]({len(asked)});")
        for index, literals in enumerate(asked):
            lines += _statement(f"lines[{index}] =", literals)
        others[place] = "lines"
    elif consumer.lines:
        place = consumer.inputs.index("string")
        lines += _statement("string memory line =", _literals(consumer.lines[0]))
        others[place] = "line"
    # An index that no placeholder uses is encoded as an empty text.
    values = [each.name if each else '""' for each in consumer.values]
    encoded = _call("abi.encode", *([str(each)] for each in others))
    extra = _call("abi.encode", *([each] for each in values)) if values else ['""']
    first, *rest = _call("return _ask", encoded, extra)
    return [*lines, first, *rest[:-1], f"{rest[-1]};"] if rest else [*lines, f"{first};"]


def _literals(text: str) -> list[str]:
    """Text as literals, one upon the other, each short enough for a line."""
    found = [literal(piece) for piece in pieces(text, lambda each: width(literal(each)) <= 80)]
    if any(each.startswith("unicode") for each in found):  # all of one kind, or none
        return [each if each.startswith("unicode") else f"unicode{each}" for each in found]
    return found


def _statement(start: str, literals: Sequence[str]) -> list[str]:
    if len(literals) == 1:
        return [f"{start} {literals[0]};"]
    return [start, *(f"    {each}" for each in literals[:-1]), f"    {literals[-1]};"]


def _call(function: str, *arguments: list[str]) -> list[str]:
    """A call, in one line where that is short enough. Arguments have lines themselves."""
    line = f"{function}({', '.join(lines[0] for lines in arguments)})"
    # Further in by two steps, and something may follow.
    if len(line) + 14 <= LINE and all(len(lines) == 1 for lines in arguments):
        return [line]
    *others, last = arguments
    inner = [line for lines in others for line in [*lines[:-1], f"{lines[-1]},"]] + last
    return [f"{function}(", *(f"    {line}" for line in inner), ")"]


def _in(kind: str, place: str) -> str:
    """Where a value of a type is, for the types that need to be told."""
    return f" {place}" if kind in ("string", "bytes") or kind.endswith("]") else ""
