"""The public names of ``ape_dtn`` and ``ape_dtn.errors`` are those that ``public_names.txt`` lists.

Everything else may change without notice. To add, rename or remove a public name, change the
list as well.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

import ape_dtn
from ape_dtn import errors

LISTED = Path(__file__).with_name("public_names.txt").read_text("utf-8").splitlines()


def public(name: str) -> object:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def is_exit_code(name: str) -> bool:
    return name.rpartition(".")[2].isupper()


def test_the_list_is_complete_and_sorted() -> None:
    names = [f"ape_dtn.{name}" for name in ape_dtn.__all__]
    names += [f"ape_dtn.errors.{name}" for name in errors.__all__]

    assert sorted(names) == LISTED


@pytest.mark.parametrize("name", [name for name in LISTED if not is_exit_code(name)])
def test_a_public_name_resolves_and_is_documented(name: str) -> None:
    found = public(name)

    assert getattr(found, "__name__", None) == name.rpartition(".")[2]
    # An inherited docstring describes another class.
    docstring = vars(found).get("__doc__") if isinstance(found, type) else found.__doc__
    assert (docstring or "").strip()


@pytest.mark.parametrize("name", [name for name in LISTED if is_exit_code(name)])
def test_a_public_constant_is_the_exit_code_of_an_error(name: str) -> None:
    classes = [public(listed) for listed in LISTED if not is_exit_code(listed)]
    codes = {getattr(error, "exit_code", None) for error in classes}

    assert public(name) in codes
