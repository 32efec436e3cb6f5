"""A Python function that answers."""

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
from ape_dtn.node.backends.configurable import Configurable


class Function(Configurable):
    """Calls a function with the decoded inputs, or with the whole question.

    ``function(*inputs)``; or ``function(question)`` where its only parameter is called so, or
    annotated as :class:`~ape_dtn.node.answering.Question`. It returns what the model's API
    gives: text for ``string``, bytes for ``bytes``, and so on. To fail with a message for whoever
    asked, it raises :class:`~ape_dtn.ipfs.errors.BackendFailed`; what else it raises stays here.

    It has to be safe to call from several threads. Nothing can stop it: after its time it is not
    waited for any more, and what it returns then is lost.
    """

    short: ClassVar[str] = "name"

    name: str
    """``module:name``, of a module that can be imported here, or ``path/to/file.py:name``."""

    _function: Callable[..., Any] = PrivateAttr()

    @model_validator(mode="after")
    def _find(self) -> Function:
        self._function = _imported(self.name)
        return self

    def __call__(self, question: Question) -> Any:
        """What the function returns.

        Raises:
            BackendUnavailable: It did not return in time.
            Exception: Whatever it raises.
        """
        given = (question,) if _wants_question(self._function) else question.inputs
        done: Future[Any] = Future()

        def run() -> None:
            try:
                done.set_result(self._function(*given))
            except BaseException as err:
                done.set_exception(err)

        Thread(target=run, name=self.name, daemon=True).start()
        try:
            return done.result(self.timeout)
        except FutureTimeout as err:
            if done.done():  # the function's own
                raise
            raise BackendUnavailable(f"No answer within {self.timeout:g} s") from err


def _imported(name: str) -> Callable[..., Any]:
    where, _, attribute = name.rpartition(":")
    if not (where and attribute):
        raise ValueError(f"'{name}' is not of the form module:name")
    try:
        module = _of_file(Path(where)) if where.endswith(".py") else _of_name(where)
    except Exception as err:  # whatever the module does
        raise ValueError(f"'{where}' cannot be imported: {type(err).__name__}: {err}") from err
    function = getattr(module, attribute, None)
    if not callable(function):
        raise ValueError(f"there is no function '{attribute}' in '{where}'")
    if inspect.iscoroutinefunction(function):
        raise ValueError(f"'{attribute}' is asynchronous; give a plain function")
    found: Callable[..., Any] = function
    return found


def _of_name(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:  # where a console script runs is not
        sys.path.append(here)
    return import_module(name)


def _of_file(path: Path) -> ModuleType:
    spec = spec_from_file_location(path.stem, path.resolve(strict=True))
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _wants_question(function: Callable[..., Any]) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # some built-in functions do not tell
        return False
    if len(parameters) != 1:
        return False
    (only,) = parameters
    return only.name == "question" or only.annotation in (Question, "Question")
