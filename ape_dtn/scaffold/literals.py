"""Long texts in source code, which take several lines there."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator


def pieces(text: str, fits: Callable[[str], bool]) -> Iterator[str]:
    """Pieces of a text that make the text again, as long as they fit, cut behind spaces.

    A single character fits always.
    """
    start = 0
    while True:
        end = start + 1
        while end < len(text) and fits(text[start : end + 1]):
            end += 1
        if end < len(text) and (space := text.rfind(" ", start, end)) > start:
            end = space + 1
        yield text[start:end]
        start = end
        if start >= len(text):
            return


def width(text: str) -> int:
    """How many columns a text takes, as formatters count: two for each wide character."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)
