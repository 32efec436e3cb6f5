"""Templates: text files beside this module, with names like ``$this`` to be filled in."""

from __future__ import annotations

from importlib.resources import files
from string import Template


def render(name: str, /, **values: str) -> str:
    """The text of a template, filled in. A name that is not given raises ``KeyError``."""
    file = files("ape_dtn.scaffold") / "templates" / f"{name}.template"
    return Template(file.read_text("utf-8")).substitute(values)
