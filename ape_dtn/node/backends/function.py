"""A backend that calls a Python function."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any, ClassVar

from pydantic import PrivateAttr, model_validator

from ape_dtn.ipfs.errors import BackendUnavailable
from ape_dtn.node.answering import Question
from ape_dtn.node.backends.base import Configurable


class Function(Configurable):
    """Calls a function with the decoded inputs, or with the whole question.

    The function is called as ``function(*inputs)``; or as ``function(question)`` if its only
    parameter is named ``question`` or annotated as
    :class:`~ape_dtn.node.answering.Question`. It returns a value of the model's output type:
    text for ``string``, bytes for ``bytes``, and so on. To send the requester a reason, it raises
    :class:`~ape_dtn.ipfs.errors.BackendFailed`; other exceptions are only logged.

    The function must be thread-safe. It cannot be interrupted: after ``timeout`` its result is
    discarded.
    """

    short: ClassVar[str] = "name"

    name: str
    """``module:name`` of an importable module, or ``path/to/file.py:name``."""

    _function: Callable[..., Any] = PrivateAttr()

    @model_validator(mode="after")
    def _find(self) -> Function:
        self._function = _import_function(self.name)
        return self

    def __call__(self, question: Question) -> Any:
        """Call the function.

        Raises:
            BackendUnavailable: It did not return within the timeout.
            Exception: The function's own exception.
        """
        arguments = (question,) if _wants_question(self._function) else question.inputs
        done: Future[Any] = Future()

        def run() -> None:
            try:
                done.set_result(self._function(*arguments))
            except BaseException as err:
                done.set_exception(err)

        Thread(target=run, name=self.name, daemon=True).start()
        try:
            return done.result(self.timeout)
        except FutureTimeout as err:
            if done.done():  # the function itself raised it
                raise
            raise BackendUnavailable(f"No answer within {self.timeout:g} s") from err


def _import_function(name: str) -> Callable[..., Any]:
    source, _, attribute = name.rpartition(":")
    if not (source and attribute):
        raise ValueError(f"'{name}' is not of the form module:name")
    try:
        module = _load_file(Path(source)) if source.endswith(".py") else _import_module(source)
    except Exception as err:  # the module's own code may raise anything
        raise ValueError(f"cannot import '{source}': {type(err).__name__}: {err}") from err
    attribute_value = getattr(module, attribute, None)
    if not callable(attribute_value):
        raise ValueError(f"'{source}' has no function '{attribute}'")
    if inspect.iscoroutinefunction(attribute_value):
        raise ValueError(f"'{attribute}' is async; use a plain function")
    function: Callable[..., Any] = attribute_value
    return function


def _import_module(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:  # console scripts do not add it
        sys.path.append(folder)
    return import_module(name)


def _load_file(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path.resolve(strict=True))
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _wants_question(function: Callable[..., Any]) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # some built-in functions have no signature
        return False
    if len(parameters) != 1:
        return False
    (only,) = parameters
    return only.name == "question" or only.annotation in (Question, "Question")
