"""Removes API keys from messages."""

from __future__ import annotations

import re


def hide_secrets(text: str) -> str:
    """Reduces the URLs in a text to scheme and host: credentials and paths may contain API keys."""
    text = re.sub(r"(with )?url: \S+", "", text)
    return re.sub(r"(\w+://)(?:[^/\s@]*@)?([^/\s?#'\"]+)[^\s'\"]*", r"\1\2", text)
