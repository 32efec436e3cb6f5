"""A small Ape project that is complete and passes its tests."""

from __future__ import annotations

import re
from importlib.metadata import version

from ape_dtn.scaffold.consumer import consumer
from ape_dtn.scaffold.solidity import contract
from ape_dtn.scaffold.template import render
from ape_dtn.types.errors import InvalidOption
from ape_dtn.types.model import TEXT_SPECS, Api

MODEL = "model.system.openai-gpt-5-nano"
SOLC = "0.8.30"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*([-_][A-Za-z0-9]+)*")

# The path of each template's file.
_FILES = {
    "IERC20.sol": "contracts/interfaces/IERC20.sol",
    "test_asker.py": "tests/test_asker.py",
    "ask.py": "scripts/ask.py",
    "ape-config.yaml": "ape-config.yaml",
    "pytest.ini": "pytest.ini",
    "requirements.txt": "requirements.txt",
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "workflow.yaml": ".github/workflows/tests.yaml",
}


def project(name: str) -> dict[str, str]:
    """Render a project: the text of each file, by its path within the project.

    Raises:
        InvalidOption: ``name`` is not a valid name of a project.
    """
    if not _NAME.fullmatch(name):
        reason = f"'{name}' is not a valid project name; use letters, digits and dashes"
        raise InvalidOption("NAME", reason)
    values = {"project": name, "version": version("ape-dtn"), "model": MODEL, "solc": SOLC}
    asker = consumer("Asker", MODEL, Api("", TEXT_SPECS, ""))
    files = {target: render(template, **values) for template, target in _FILES.items()}
    return {"contracts/Asker.sol": contract(asker), **files}
