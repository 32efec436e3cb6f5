"""Makes text that anybody may have written safe to show on a screen."""

from __future__ import annotations

import re

# Characters that move the cursor, colour, hide, reorder or cannot be encoded: control characters
# but tab and newline, format characters (Unicode's Cf, but the signs of Arabic and its neighbours,
# which can be seen), separators of lines and paragraphs, and lone surrogates. Joiners are part of
# scripts and emoji, and stay between characters beyond ASCII.
_UNSAFE = re.compile(
    "["
    "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u061c\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e"
    "\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\U00013430-\\U0001343f\\U0001bca0-\\U0001bca3"
    "\\U0001d173-\\U0001d17a\\U000e0000-\\U000e007f\\ud800-\\udfff"
    "]"
    "|(?<![^\\x00-\\x7f])[\\u200c\\u200d]|[\\u200c\\u200d](?![^\\x00-\\x7f])"
)


def printable(text: str) -> str:
    r"""The text with an escape such as ``\x1b`` for each character that a screen would obey.

    Newlines and tabs stay.
    """
    return _UNSAFE.sub(_escape, text.replace("\r\n", "\n"))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
