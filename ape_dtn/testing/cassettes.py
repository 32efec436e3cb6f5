"""Answers of a real backend, recorded once and replayed without it.

A test with ``@pytest.mark.dtn_cassette`` has a file of its own beside it,
``cassettes/<module>/<test>.json``, which is meant to be read, and to be kept with the test. The
marker may name another: ``dtn_cassette("weather")`` beside those of the module, or a path from the
test's folder, as in ``dtn_cassette("shared/weather.json")``.

What is recorded and what is replayed, ``--dtn-record`` says:

=========  =======================================================================================
``none``   nothing is recorded: what is not there fails the test. The default where ``CI`` is set.
``once``   a file that is not there is recorded, and one that is there is left alone. The default.
``new``    what the file does not have is added to it.
``all``    everything is recorded anew, and replaces the file if the test passes.
=========  =======================================================================================

The real backend is that of ``dtn: backends:`` in the configuration, or of ``--dtn-backend``.
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
    """What is recorded, as ``--dtn-record`` has it."""

    NONE = "none"
    ONCE = "once"
    NEW = "new"
    ALL = "all"

    @classmethod
    def default(cls) -> Record:
        """Nothing where tests run unattended."""
        return cls.NONE if os.environ.get("CI") else cls.ONCE


class UnusedRecordings(UserWarning):
    """A test no longer asks what its cassette has recorded."""


@dataclass
class Recording:
    """An answer, or a failure, to a question.

    Attributes:
        asked: The question, as JSON has it: ``model``, ``types``, ``inputs`` and ``output``.
        given: ``{"answer": …}``, or ``{"failure": message}``.
        used: Whether it was replayed, or made in this run.
    """

    asked: dict[str, Any]
    given: dict[str, Any]
    used: bool = False


class Cassette:
    """A backend that answers as another one did.

    Args:
        path: The file.
        record: What is recorded.
        backend: Gives the real backend of a model, when it is first needed.

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
        """The answer that was recorded, or the real one, which is recorded.

        Raises:
            BackendFailed: The real backend failed, now or when it was recorded.
            NotRecorded: The question is not, or not so often, among those recorded; or the real
                backend, which may answer it later, is not there.
        """
        __tracebackhide__ = True  # pytest shows the line of the test
        asked = as_json(question)
        for recording in self.recordings:
            if recording.asked == asked and not recording.used:
                recording.used = True
                return _replayed(recording)
        if self._may_record():
            return self._recorded(question, asked)
        raise self._not_recorded(asked)

    @property
    def unused(self) -> list[Recording]:
        """What was recorded and has not been asked in this run."""
        return [each for each in self.recordings if not each.used]

    def save(self) -> None:
        """Writes the file, all of it or nothing."""
        entries = sorted(
            ({**each.asked, **each.given} for each in self.recordings),
            key=lambda entry: (entry["model"], json.dumps(entry["inputs"])),
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, _dumped({"recordings": entries}) + "\n")

    def _may_record(self) -> bool:
        if self.record is Record.ONCE:
            return self.is_new
        return self.record is not Record.NONE

    def _recorded(self, question: Question, asked: dict[str, Any]) -> Any:
        try:
            given = {"answer": to_json(self.backend(question.model)(question))}
        except BackendUnavailable as err:  # else it would be replayed for ever
            raise NotRecorded(str(self.path), err.message, _dumped(asked)) from err
        except BackendFailed as err:
            given = {"failure": err.message}
        recording = Recording(asked, given, used=True)
        self.recordings.append(recording)
        if self.record is not Record.ALL:  # real answers cost money: none is to be lost
            self.save()
        return _replayed(recording)

    def _not_recorded(self, asked: dict[str, Any]) -> NotRecorded:
        if self.is_new:
            return NotRecorded(str(self.path), "there is no such file", _dumped(asked))
        times = sum(each.asked == asked for each in self.recordings)
        if times:
            reason = f"it was recorded {times} times, and is asked once more"
            return NotRecorded(str(self.path), reason, _dumped(asked))
        left = self.unused or self.recordings
        if not left:
            return NotRecorded(str(self.path), "nothing is recorded", _dumped(asked))
        wanted = _dumped(asked)
        nearest = max(
            (_dumped(each.asked) for each in left),
            key=lambda text: SequenceMatcher(None, text, wanted).ratio(),
        )
        lines = unified_diff(
            nearest.splitlines(), wanted.splitlines(), "recorded", "asked", lineterm="", n=100
        )
        return NotRecorded(str(self.path), "what is nearest differs", "\n".join(lines))


@contextmanager
def inserted(request: pytest.FixtureRequest) -> Iterator[Cassette]:
    """The cassette of a test that has the marker, until the test is over.

    What was recorded and is not asked any more is told by a warning.
    """
    marker = request.node.get_closest_marker(MARKER)
    failed_before = request.session.testsfailed
    chosen = request.config.getoption("--dtn-record")
    record = Record(chosen) if chosen else Record.default()
    with ExitStack() as opened:
        backend = _backend_of(request, opened)
        cassette = Cassette(_path_of(request, *marker.args), record, backend)
        yield cassette
    if request.session.testsfailed > failed_before:  # it may not have asked all that it wanted to
        return
    if cassette.record is Record.ALL and cassette.recordings:
        cassette.save()
    if unused := cassette.unused:
        told = "\n".join(json.dumps(each.asked, ensure_ascii=False) for each in unused)
        what = f"{cassette.path}: {len(unused)} recordings were not asked for:\n{told}"
        warnings.warn(what, UnusedRecordings, stacklevel=2)


def as_json(question: Question) -> dict[str, Any]:
    """What a recording is found by: nothing of it differs from one run to the next."""
    return {
        "model": question.model,
        "types": list(question.types),
        "inputs": to_json(question.inputs),
        "output": question.output,
    }


def to_json(value: Any) -> Any:
    """A value of any ABI type as JSON has it; bytes as ``{"base64": …}``."""
    if isinstance(value, bytes | bytearray):
        return {_BYTES: b64encode(bytes(value)).decode()}
    if isinstance(value, list | tuple):
        return [to_json(each) for each in value]
    return value


def from_json(value: Any) -> Any:
    """The value that :func:`to_json` has made this of; lists stand for tuples, too."""
    if isinstance(value, Mapping):
        return b64decode(value[_BYTES])
    return [from_json(each) for each in value] if isinstance(value, list) else value


def _replayed(recording: Recording) -> Any:
    if "failure" in recording.given:
        raise BackendFailed(recording.given["failure"])
    return from_json(recording.given["answer"])


def _read(path: Path) -> list[Recording]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["recordings"]
        return [_recording(entry) for entry in entries]
    except OSError as err:
        raise CassetteUnusable(str(path), str(err.strerror)) from err
    except (ValueError, KeyError, TypeError) as err:
        raise CassetteUnusable(str(path), "it holds no recordings") from err


def _recording(entry: Mapping[str, Any]) -> Recording:
    asked = {name: entry[name] for name in ("model", "types", "inputs", "output")}
    given = {name: entry[name] for name in ("answer", "failure") if name in entry}
    if len(given) != 1:
        raise ValueError("neither an answer nor a failure")
    return Recording(asked, given)


def _dumped(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def _path_of(request: pytest.FixtureRequest, name: str | None = None) -> Path:
    folder = request.path.parent
    if name is not None and name.endswith(".json"):
        return folder / name
    file = _NOT_IN_NAMES.sub("-", name or request.node.name).strip("-")
    return folder / FOLDER / request.path.stem / f"{file}.json"


def _backend_of(request: pytest.FixtureRequest, opened: ExitStack) -> Callable[[str], Backend]:
    """Finds the real backends when one is needed: a replay is to need nothing of them."""
    found: list[Any] = []

    def backend(model: str) -> Backend:
        from ape_dtn.network.config import configured
        from ape_dtn.node.backends import configured as backends

        if not found:
            chosen = request.config.getoption("--dtn-backend")
            settings = None if chosen else configured().backends
            if not (chosen or settings):  # an echo is not worth recording
                raise _no_backend(model)
            found.append(opened.enter_context(backends.of(settings, chosen)))
        try:
            real: Backend = found[0](model)
        except NoBackend as err:
            raise _no_backend(model) from err
        return real

    return backend


def _no_backend(model: str) -> NoBackend:
    error = NoBackend(model)
    error.hint = (error.hint or "").replace("--backend", "--dtn-backend")
    return error
