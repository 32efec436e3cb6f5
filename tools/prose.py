"""Checks that comments, messages, names and documents use the project's terms.

``python tools/prose.py`` prints each place that uses a retired word, with the word to use in its
place, and ends with 1 if there is one. It reads the files that git knows.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

# Words that a reader has to decode, with the plain ones.
PHRASES = {
    r"whoever|whosoever": "name the caller, the sender, the owner, …",
    r"befall\w*|befell": "happen, fail with",
    r"came of|come about|came about": "the result, happen",
    r"br(?:ing|ings|ought) home": "recover, return",
    r"strays?": "unknown tokens",
    r"hopeless": "unanswerable",
    r"goes? without": "is sent without, omits",
    r"(?:is|are|was|were|be) told": "is reported, is shown, the error says",
    r"tells? of": "reports, describes",
    r"what it keeps|it is so": "name the thing",
    r"landings?": "response events",
    r"at the worst|worst cost": "max cost",
    r"documented (?:behaviour|variant)|deployed (?:behaviour|variant)": "reference or live variant",
    r"most it may cost": "max cost",
    r"two-step start in turn|the turn": "nonce lock",
}
# Names that say nothing about the value, with what to do instead.
NAMES = {
    r"each": "name the element: request, entry, node, …",
    r"told|meant|befell|came_of|lives|landing|strays?": "use the field's term",
}
SKIPPED = {"tools/prose.py"}

_PHRASE = re.compile("|".join(rf"\b({words})\b" for words in PHRASES), re.I)
_NAME = re.compile("|".join(f"({words})" for words in NAMES))
_SOLIDITY_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.S)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The prose of a file: line numbers and texts."""
    if path.suffix == ".py":
        for token in _tokens(path):
            if token.type in (tokenize.COMMENT, tokenize.STRING, _F_STRING):
                yield token.start[0], token.string
    elif path.suffix == ".md":
        yield 1, _CODE.sub(_newlines, path.read_text("utf-8"))
    else:
        source = path.read_text("utf-8")
        for comment in _SOLIDITY_COMMENT.finditer(source):
            yield source.count("\n", 0, comment.start()) + 1, comment.group()


def names(path: Path) -> Iterator[tuple[int, str]]:
    """The names in a Python file, with their line numbers."""
    for token in _tokens(path) if path.suffix == ".py" else ():
        if token.type == tokenize.NAME:
            yield token.start[0], token.string


def findings(path: Path) -> Iterator[str]:
    """What a file should say in other words."""
    for line, text in texts(path):
        for match in _PHRASE.finditer(text):
            place = line + text.count("\n", 0, match.start())
            yield f"{path}:{place}: {match.group()!r}: {_plain(PHRASES, match)}"
    for line, name in names(path):
        if retired := _NAME.fullmatch(name):
            yield f"{path}:{line}: the name {name!r}: {_plain(NAMES, retired)}"


def _plain(table: dict[str, str], match: re.Match[str]) -> str:
    """The words of the table's row that matched: each row is one group of the pattern."""
    assert match.lastindex is not None
    return list(table.values())[match.lastindex - 1]


def _newlines(code: re.Match[str]) -> str:
    """Replaces code without moving the lines after it."""
    return "\n" * code.group().count("\n")


def _tokens(path: Path) -> list[tokenize.TokenInfo]:
    with tokenize.open(path) as file:
        return list(tokenize.generate_tokens(file.readline))


_F_STRING = getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)


def main() -> None:
    """Prints the findings."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.sol"], capture_output=True, text=True, check=True
    ).stdout.split()
    found = [finding for name in listed if name not in SKIPPED for finding in findings(Path(name))]
    for finding in found:
        print(finding)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
