"""Keeps keys out of messages."""

from __future__ import annotations

import re


def hide_secrets(text: str) -> str:
    """The text with only scheme and host of its URLs: what follows carries keys."""
    text = re.sub(r"(with )?url: \S+", "", text)
    return re.sub(r"(\w+://)(?:[^/\s@]*@)?([^/\s?#'\"]+)[^\s'\"]*", r"\1\2", text)
