"""Parses what is typed: addresses, prompts with their values, other inputs of models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ape_dtn.types.errors import InvalidCall, InvalidPrompt
from ape_dtn.types.values import parse

if TYPE_CHECKING:
    from ape_dtn.types.model import Api
    from ape_dtn.types.prompt import Prompt


_Function = TypeVar("_Function", bound=Callable[..., Any])


def input_options(function: _Function) -> _Function:
    """Adds ``--input NAME=VALUE`` as the mapping ``inputs``, and ``--value`` as ``values``."""
    values = click.option(
        "--value",
        "values",
        multiple=True,
        metavar="TEXT",
        help="Value of a placeholder of the prompt, in the order {0}, {1}, …; repeatable.",
    )
    inputs = click.option(
        "--input",
        "inputs",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_by_name,
        help="Another input of the model, as in width=64; lists and tuples as JSON; repeatable.",
    )
    return inputs(values(function))


def address_of(text: str) -> str:
    """Resolves an address, an account's alias or an ENS name to an address.

    Raises:
        InvalidAddress: It is none of these.
    """
    from ape_dtn.rehearsal import typed

    return typed.address_of(text)


def to_prompts(lines: Sequence[str], values: Sequence[str]) -> list[Prompt]:
    """The prompt with its values, as a list of one; empty where nothing was typed.

    Args:
        lines: The lines of the prompt.
        values: The values of its placeholders as text, in the order of their indices. The prompt
            declares their types.

    Raises:
        EmptyPrompt, InvalidPrompt: See :class:`~ape_dtn.types.prompt.Prompt`.
    """
    from ape_dtn.types.prompt import Prompt, indices, placeholder_types

    if not lines and not values:
        return []
    types = placeholder_types(lines)
    used = indices(lines)
    if len(values) > len(used):
        raise InvalidPrompt(f"it has {len(used)} placeholders, and {len(values)} values are given")
    read: list[Any] = [None] * len(types)
    for index, text in zip(used, values, strict=False):
        try:
            read[index] = parse(types[index], text)
        except ValueError as err:
            raise InvalidPrompt(f"value {index} is not of type {types[index]}: {err}") from err
    return [Prompt(lines, *read)]


def to_inputs(api: Api, prompts: Sequence[Prompt], given: Mapping[str, str]) -> list[Any]:
    """The inputs of a request, in the order of the API's specs.

    Where an API does not name its inputs, their names are 0, 1, and so on.

    Args:
        api: The API of the model.
        prompts: Its first input, if a prompt was typed.
        given: Its other inputs as text, by name.

    Raises:
        InvalidCall: An input is missing, given twice, unknown, or not of its type.
    """
    names = api.names or [str(place) for place in range(len(api.inputs))]
    kinds = dict(zip(names, api.inputs, strict=True))
    read = {name: _input(api, name, kinds.get(name), text) for name, text in given.items()}
    return replace(api, docs=", ".join(names)).bind(prompts, read)


def _by_name(
    _context: click.Context, _parameter: click.Parameter, given: Sequence[str]
) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, separator, value = text.partition("=")
        if not (name and separator):
            raise click.BadParameter(f"'{text}' is not of the form NAME=VALUE.")
        if name in found:
            raise click.BadParameter(f"'{name}' is given twice.")
        found[name] = value
    return found


def _input(api: Api, name: str, kind: str | None, text: str) -> Any:
    if kind is None:
        return text  # Api.bind refuses unknown names
    try:
        return parse(kind, text)
    except ValueError as err:
        raise InvalidCall(api.specs, f"{name} is not of type {kind}: {err}") from err
