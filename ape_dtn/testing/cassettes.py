"""Record the answers of a real backend once, and replay them in later runs.

A test with ``@pytest.mark.dtn_cassette`` has its own file beside it, to be committed with the test:
``cassettes/<module>/<test>.json``. ``dtn_cassette("weather")`` names another file in that folder,
``dtn_cassette("shared/weather.json")`` a path relative to the test's folder.

``--dtn-record`` chooses what is recorded:

=========  ================================================================================
``none``   Nothing: a missing answer fails the test. The default if ``CI`` is set.
``once``   A missing file is recorded; an existing file is not changed. The default otherwise.
``new``    Missing answers are added to the file.
``all``    All answers are recorded again, and replace the file if the test passes.
=========  ================================================================================

The backend is that of ``--dtn-backend``, or of ``dtn: backends:`` in the configuration.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher, unified_diff
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ape_dtn.ipfs.errors import BackendFailed, BackendUnavailable
from ape_dtn.node.errors import NoBackend
from ape_dtn.testing.errors import CassetteUnusable, NotRecorded
from ape_dtn.types.files import write_whole

if TYPE_CHECKING:
    import pytest

    from ape_dtn.node.answering import Backend, Question


MARKER = "dtn_cassette"
FOLDER = "cassettes"

_BYTES = "base64"
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


class Record(Enum):
    """The recording modes of ``--dtn-record``."""

    NONE = "none"
    ONCE = "once"
    NEW = "new"
    ALL = "all"

    @classmethod
    def default(cls) -> Record:
        """``none`` in CI, else ``once``."""
        return cls.NONE if os.environ.get("CI") else cls.ONCE


class UnusedRecordings(UserWarning):
    """A cassette has recordings that its test did not use."""


@dataclass
class Recording:
    """A question and its recorded answer or failure.

    Attributes:
        question: ``model``, ``types``, ``inputs`` and ``output``, as JSON values.
        result: ``{"answer": …}``, or ``{"failure": message}``.
        used: Whether it was replayed or recorded in this run.
    """

    question: dict[str, Any]
    result: dict[str, Any]
    used: bool = False


class Cassette:
    """A backend that replays recorded answers, and may record new ones.

    Args:
        path: The file.
        record: The recording mode.
        backend: Returns the real backend of a model; called only to record.

    Raises:
        CassetteUnusable: The file cannot be read.
    """

    def __init__(self, path: Path, record: Record, backend: Callable[[str], Backend]) -> None:
        self.path = path
        self.record = record
        self.backend = backend
        self.is_new = not path.exists()
        self.recordings = [] if self.is_new or record is Record.ALL else _read(path)

    def __repr__(self) -> str:
        return f"<Cassette {self.path}>"

    def __call__(self, question: Question) -> Any:
        """Return the recorded answer, or ask the real backend and record its answer.

        Raises:
            BackendFailed: The real backend failed, now or when it was recorded.
            NotRecorded: The question was asked more often than it was recorded, or the real backend
                is unavailable.
        """
        __tracebackhide__ = True  # so that pytest shows the test's line
        wanted = as_json(question)
        for recording in self.recordings:
            if recording.question == wanted and not recording.used:
                recording.used = True
                return _replay(recording)
        if self._may_record():
            return self._record(question, wanted)
        raise self._not_recorded(wanted)

    @property
    def unused(self) -> list[Recording]:
        """The recordings not used in this run."""
        return [recording for recording in self.recordings if not recording.used]

    def save(self) -> None:
        """Write the file atomically."""
        entries = sorted(
            ({**recording.question, **recording.result} for recording in self.recordings),
            key=lambda entry: (entry["model"], json.dumps(entry["inputs"])),
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, _dump({"recordings": entries}) + "\n")

    def _may_record(self) -> bool:
        if self.record is Record.ONCE:
            return self.is_new
        return self.record is not Record.NONE

    def _record(self, question: Question, as_recorded: dict[str, Any]) -> Any:
        try:
            result = {"answer": to_json(self.backend(question.model)(question))}
        except BackendUnavailable as err:  # temporary: do not replay it
            raise NotRecorded(str(self.path), err.message, _dump(as_recorded)) from err
        except BackendFailed as err:
            result = {"failure": err.message}
        recording = Recording(as_recorded, result, used=True)
        self.recordings.append(recording)
        if self.record is not Record.ALL:  # real answers cost money: save even if the test fails
            self.save()
        return _replay(recording)

    def _not_recorded(self, question: dict[str, Any]) -> NotRecorded:
        asked = _dump(question)
        if self.is_new:
            return NotRecorded(str(self.path), "the file does not exist", asked)
        count = sum(recording.question == question for recording in self.recordings)
        if count:
            reason = f"the question was asked more often than it was recorded ({count})"
            return NotRecorded(str(self.path), reason, asked)
        recorded = [_dump(recording.question) for recording in self.unused or self.recordings]
        if not recorded:
            return NotRecorded(str(self.path), "the file is empty", asked)
        nearest = max(recorded, key=lambda text: SequenceMatcher(None, text, asked).ratio())
        lines = unified_diff(
            nearest.splitlines(), asked.splitlines(), "recorded", "asked", lineterm="", n=100
        )
        reason = "the most similar question differs"
        return NotRecorded(str(self.path), reason, "\n".join(lines))


@contextmanager
def inserted(request: pytest.FixtureRequest) -> Iterator[Cassette]:
    """The cassette of a marked test, until the test ends. Warns of unused recordings."""
    marker = request.node.get_closest_marker(MARKER)
    failed_before = request.session.testsfailed
    chosen = request.config.getoption("--dtn-record")
    record = Record(chosen) if chosen else Record.default()
    with ExitStack() as opened:
        backend = _backend_of(request, opened)
        cassette = Cassette(_path_of(request, *marker.args), record, backend)
        yield cassette
    if request.session.testsfailed > failed_before:  # the test may have ended before its questions
        return
    if cassette.record is Record.ALL and cassette.recordings:
        cassette.save()
    if unused := cassette.unused:
        questions = (json.dumps(item.question, ensure_ascii=False) for item in unused)
        message = f"{cassette.path}: unused recordings ({len(unused)}):\n"
        warnings.warn(message + "\n".join(questions), UnusedRecordings, stacklevel=2)


def as_json(question: Question) -> dict[str, Any]:
    """The parts of a question that are the same in every run, as JSON values."""
    return {
        "model": question.model,
        "types": list(question.types),
        "inputs": to_json(question.inputs),
        "output": question.output,
    }


def to_json(value: Any) -> Any:
    """A value of any ABI type as a JSON value; bytes become ``{"base64": …}``."""
    if isinstance(value, bytes | bytearray):
        return {_BYTES: b64encode(bytes(value)).decode()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value


def from_json(value: Any) -> Any:
    """The inverse of :func:`to_json`; tuples become lists."""
    if isinstance(value, Mapping):
        return b64decode(value[_BYTES])
    return [from_json(item) for item in value] if isinstance(value, list) else value


def _replay(recording: Recording) -> Any:
    if "failure" in recording.result:
        raise BackendFailed(recording.result["failure"])
    return from_json(recording.result["answer"])


def _read(path: Path) -> list[Recording]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["recordings"]
        return [_recording(entry) for entry in entries]
    except OSError as err:
        raise CassetteUnusable(str(path), str(err.strerror)) from err
    except (ValueError, KeyError, TypeError) as err:
        raise CassetteUnusable(str(path), "it is not a list of recordings") from err


def _recording(entry: Mapping[str, Any]) -> Recording:
    question = {name: entry[name] for name in ("model", "types", "inputs", "output")}
    result = {name: entry[name] for name in ("answer", "failure") if name in entry}
    if len(result) != 1:
        raise ValueError("an entry needs either an answer or a failure")
    return Recording(question, result)


def _dump(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def _path_of(request: pytest.FixtureRequest, name: str | None = None) -> Path:
    folder = request.path.parent
    if name is not None and name.endswith(".json"):
        return folder / name
    file = _NOT_IN_NAMES.sub("-", name or request.node.name).strip("-")
    return folder / FOLDER / request.path.stem / f"{file}.json"


def _backend_of(request: pytest.FixtureRequest, opened: ExitStack) -> Callable[[str], Backend]:
    """Return a function that builds the real backends on first use: replaying needs none."""
    opened_backends: list[Any] = []

    def backend(model: str) -> Backend:
        from ape_dtn.network.config import configured
        from ape_dtn.node.backends import selection as backends

        if not opened_backends:
            chosen = request.config.getoption("--dtn-backend")
            settings = None if chosen else configured().backends
            if not (chosen or settings):  # do not record the default echo
                raise _no_backend(model)
            opened_backends.append(opened.enter_context(backends.of(settings, chosen)))
        try:
            real: Backend = opened_backends[0](model)
        except NoBackend as err:
            raise _no_backend(model) from err
        return real

    return backend


def _no_backend(model: str) -> NoBackend:
    error = NoBackend(model)
    error.hint = "Pass the backend to record with --dtn-backend, or add it to `dtn: backends:`."
    return error
