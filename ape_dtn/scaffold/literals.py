"""Splitting long texts into string literals of several lines."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator


def pieces(text: str, fits: Callable[[str], bool]) -> Iterator[str]:
    """Split a text into pieces that fit, preferably after spaces.

    Joined, the pieces are the text again. A single character is accepted even if it does not fit.
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
    """The number of columns of a text as formatters count them: two per wide character."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)
