"""Which backend answers for which model, by the configuration or the command line.

.. code-block:: yaml

    dtn:
      backends:                              # by models' full names; "*" is all others
        model.system.openai-gpt-5-nano:
          openai:
            url: https://api.openai.com/v1
            model: gpt-5-nano
            key_from: OPENAI_API_KEY         # the variable that holds the key, never the key
        model.system.openai-gpt-image-1:
          service: http://127.0.0.1:9000
        model.alice.sum: {function: "answers.py:sum_up"}
        model.alice.weather: {command: {line: ["./weather.sh", "--metric"], timeout: 10}}
        "*": echo

On the command line one backend is chosen for all models: ``echo``, ``function:answers.py:sum_up``,
``command:./weather.sh --metric``, ``service:http://127.0.0.1:9000`` or
``openai:http://127.0.0.1:11434/v1?model=llama3&key_from=OPENAI_API_KEY``. What follows the question
mark are settings, as they stand in the configuration.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import parse_qsl

from pydantic import ValidationError

from ape_dtn.node.answering import Backend
from ape_dtn.node.backends.command import Command
from ape_dtn.node.backends.configurable import Configurable
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

# Stands for all models that are not named.
ALL = "*"


class Backends:
    """The backends of models: ``backends(model)``.

    It is entered while it is used, and closes what they hold when it is left.
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
        """The backend of a model, by its full name or id.

        Raises:
            NoBackend: None is configured for it.
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
        """Closes connections, and kills commands that still run."""
        self._open.close()

    def health_problems(self, models: Iterable[str]) -> dict[str, str]:
        """Why models would hardly be answered for, by model; asks the endpoints.

        Raises:
            NoBackend: None is configured for one of them.
        """
        backends = {model: self(model) for model in models}
        found = {
            model: backend.health_check(model)
            for model, backend in backends.items()
            if isinstance(backend, Configurable)
        }
        return {model: health_check for model, health_check in found.items() if health_check}


def of(settings: Mapping[str, Any] | None, chosen: str | None = None) -> Backends:
    """The backends of models, all of them ready: what is wrong with them is said here.

    ::

        with backends.configured.of(configured().backends, None) as backend_of:
            answer(…, backend_of(model.name))

    Args:
        settings: The ``dtn: backends:`` section; the echo for all models where there is none.
        chosen: One for all models, as it is typed; settings do not count then.

    Raises:
        InvalidBackend: There is no such kind, a setting is wrong, a module cannot be imported, a
            command or an environment variable is missing.
        InvalidName: What is to be answered for is no model's full name.
    """
    if chosen is not None:
        return Backends({ALL: _backend(ALL, _typed(chosen))})
    return Backends({model: _backend(model, given) for model, given in (settings or _ECHO).items()})


_ECHO = {ALL: "echo"}


def _typed(chosen: str) -> Any:
    """What was typed, as the configuration has it."""
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


def _backend(label: str, given: Any) -> Backend:
    if given == "echo":
        return echo
    if not isinstance(given, Mapping) or len(given) != 1:
        raise InvalidBackend(label, f"it has to be echo, or one of {', '.join(KINDS)}")
    ((kind, settings),) = given.items()
    if kind not in KINDS:
        raise InvalidBackend(label, f"there is no kind '{kind}', but echo, {', '.join(KINDS)}")
    found = KINDS[kind]
    try:
        return found.model_validate(
            settings if isinstance(settings, Mapping) else {found.short: settings}
        )
    except ValidationError as err:
        (wrong, *_) = err.errors(include_input=False)
        name = ".".join(map(str, (kind, *wrong["loc"])))
        raise InvalidBackend(
            label, f"{name}: {wrong['msg'].removeprefix('Value error, ')}"
        ) from err
