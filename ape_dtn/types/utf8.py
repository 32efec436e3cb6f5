"""Reads text that others wrote, with U+FFFD in place of what is not valid UTF-8.

A model is paid for its answer: one wrong byte must not lose the rest of it.
"""

from __future__ import annotations

import re
from typing import Any

from ape_dtn.types.values import read_json

# Each escape of a JSON text, with the second one of a pair of surrogates.
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<lone>u[dD][89a-fA-F]..)|.)", re.S)


def decode_utf8(data: bytes) -> str:
    """Decodes text, without a byte order mark at its start."""
    return data.decode("utf-8-sig", errors="replace")


def read_json_bytes(data: bytes) -> Any:
    """Parses JSON, also with invalid UTF-8, a byte order mark or escapes of lone surrogates.

    Raises:
        ValueError: The data is not JSON, or nested too deeply.
    """
    text = decode_utf8(data)
    return read_json(_ESCAPE.sub(lambda found: r"\ufffd" if found["lone"] else found[0], text))


def without_surrogates(value: Any) -> Any:
    """A value with valid text, at any depth: pairs of surrogates are joined, others replaced."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list | tuple):
        return [without_surrogates(element) for element in value]
    return value
