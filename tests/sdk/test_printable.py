"""Text that anybody may have written, made safe for a screen."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from ape_dtn.types.printable import printable

# Signs of Arabic, Syriac and Kaithi, which stand before numbers and can be seen.
SEEN = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}


def test_every_character_without_a_shape_is_escaped() -> None:
    kept = []
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        shown = printable(f"a{character}b")
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            assert shown.encode("utf-8").decode() == shown
            if shown == f"a{character}b":
                kept.append(code)
        elif shown != f"a{character}b":
            assert unicodedata.category(character) == "Cn"  # not assigned yet
    assert set(kept) == {*SEEN, 9, 10}


@pytest.mark.parametrize(
    "text",
    ["two\nlines\tand a tab", "née 你好", "می‌خواهم", "👩‍💻 👍🏽", "क्‍ष", "😀", ""],
)
def test_what_people_write_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb", "a\nb"),
        ("paid\rfree", r"paid\rfree"),
        ("\x1b[31m", r"\x1b[31m"),
        ("al\u200dice", r"al\u200dice"),
        ("\U000e0041", r"\U000e0041"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_moves_or_hides_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
