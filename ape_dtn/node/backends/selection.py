"""Choose each model's backend, from the configuration or one setting for all models.

.. code-block:: yaml

    dtn:
      backends:                              # by the model's full name; "*" for all others
        model.system.openai-gpt-5-nano:
          openai:
            url: https://api.openai.com/v1
            model: gpt-5-nano
            key_from: OPENAI_API_KEY         # the environment variable with the key, never the key
        model.system.openai-gpt-image-1:
          service: http://127.0.0.1:9000
        model.alice.sum: {function: "answers.py:sum_up"}
        model.alice.weather: {command: {line: ["./weather.sh", "--metric"], timeout: 10}}
        "*": echo

A single backend for all models is one line of text: ``echo``, ``function:answers.py:sum_up``,
``command:./weather.sh --metric``, ``service:http://127.0.0.1:9000`` or
``openai:http://127.0.0.1:11434/v1?model=llama3&key_from=OPENAI_API_KEY``. The query string holds
the settings of the configuration.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qsl

from pydantic import ValidationError

from ape_dtn.node.answering import Backend
from ape_dtn.node.backends.base import Configurable
from ape_dtn.node.backends.command import Command
from ape_dtn.node.backends.echo import echo
from ape_dtn.node.backends.function import Function
from ape_dtn.node.backends.openai import OpenAi
from ape_dtn.node.backends.service import Service
from ape_dtn.node.errors import InvalidBackend, NoBackend
from ape_dtn.types.ids import id_of

KINDS: dict[str, type[Configurable]] = {
    "function": Function,
    "command": Command,
    "openai": OpenAi,
    "service": Service,
}

# The entry for all models without their own.
ALL = "*"


class Backends:
    """The backends by model: ``backends(model)``.

    Use it as a context manager, which closes the backends on exit.
    """

    def __init__(self, by_model: Mapping[str, Backend]) -> None:
        self._others = by_model.get(ALL)
        self._by_id = {
            id_of(model, "model"): backend for model, backend in by_model.items() if model != ALL
        }
        self._open = ExitStack()
        for backend in by_model.values():
            if isinstance(backend, Configurable):
                self._open.callback(backend.close)

    def __call__(self, model: str) -> Backend:
        """Return the backend of a model, by the model's full name or id.

        Raises:
            NoBackend: No backend is configured for the model.
        """
        backend = self._by_id.get(id_of(model, "model"), self._others)
        if backend is None:
            raise NoBackend(model)
        return backend

    def __enter__(self) -> Backends:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections, and kill commands that are still running."""
        self._open.close()

    def health_problems(self, models: Iterable[str]) -> dict[str, str]:
        """Check the backends of these models, and return the problems found, by model.

        Raises:
            NoBackend: No backend is configured for a model.
        """
        backends = {model: self(model) for model in models}
        problems = {
            model: backend.health_check(model)
            for model, backend in backends.items()
            if isinstance(backend, Configurable)
        }
        return {model: problem for model, problem in problems.items() if problem}


def of(settings: Mapping[str, Any] | None, chosen: str | None = None) -> Backends:
    """Build the backends, and check their settings.

    ::

        with backends.configured.of(configured().backends) as backend_of:
            answer(…, backend_of(model.name))

    Args:
        settings: The ``dtn: backends:`` section; the echo for all models if empty.
        chosen: One backend for all models, as text; ``settings`` are then ignored.

    Raises:
        InvalidBackend: An unknown kind or an invalid setting; a module cannot be imported; a
            command or an environment variable is missing.
        InvalidName: ``settings`` has an entry that is not a model's full name.
    """
    if chosen is not None:
        return Backends({ALL: _backend(ALL, _parse(chosen))})
    by_model = settings or {ALL: "echo"}
    return Backends({model: _backend(model, value) for model, value in by_model.items()})


def _parse(chosen: str) -> Any:
    """Convert the one-line form to the form of the configuration."""
    kind, _, rest = chosen.partition(":")
    if kind in ("openai", "service"):
        url, _, settings = rest.partition("?")
        return {kind: {"url": url, **dict(parse_qsl(settings, keep_blank_values=True))}}
    if kind == "command":
        try:
            return {kind: shlex.split(rest)}
        except ValueError as err:
            raise InvalidBackend(ALL, f"command: {err}") from err
    return {kind: rest} if rest else kind


def _backend(label: str, value: Any) -> Backend:
    if value == "echo":
        return echo
    kinds = f"echo, {', '.join(KINDS)}"
    if not isinstance(value, Mapping) or len(value) != 1:
        raise InvalidBackend(label, f"expected one of {kinds}")
    ((kind, settings),) = value.items()
    if kind not in KINDS:
        raise InvalidBackend(label, f"unknown kind '{kind}'; expected one of {kinds}")
    backend = KINDS[kind]
    try:
        return backend.model_validate(
            settings if isinstance(settings, Mapping) else {backend.short: settings}
        )
    except ValidationError as err:
        error = err.errors(include_input=False)[0]
        name = ".".join(map(str, (kind, *error["loc"])))
        reason = error["msg"].removeprefix("Value error, ")
        raise InvalidBackend(label, f"{name}: {reason}") from err
