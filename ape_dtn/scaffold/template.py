"""Templates: text files with placeholders such as ``$name``."""

from __future__ import annotations

from importlib.resources import files
from string import Template


def render(name: str, /, **values: str) -> str:
    """Fill in a template. A missing value raises ``KeyError``."""
    file = files("ape_dtn.scaffold") / "templates" / f"{name}.template"
    return Template(file.read_text("utf-8")).substitute(values)
