"""The function backend: how functions are found and called, and how they fail."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ape_dtn.errors import BackendFailed, BackendUnavailable
from ape_dtn.node.answering import Question
from ape_dtn.node.backends.function import Function
from tests.backends.questions import ask_concurrently, image, question, text

ANSWERS = """
import threading, time
from ape_dtn.errors import BackendFailed
from ape_dtn.node.answering import Question

def paint(lines, width, height):
    return f"{lines[0]} {width}x{height}".encode()

def by_name(question):
    return type(question).__name__

def by_annotation(asked: Question):
    return asked.model

def by_text(asked: "Question"):
    return asked.model

def alone(lines):
    return lines[0]

def nothing():
    return "Nothing was asked."

class Counter:
    def __init__(self):
        self.count = 0
    def __call__(self, lines):
        self.count += 1
        return str(self.count)

count = Counter()
barrier = threading.Barrier(8, timeout=10)

def meet(lines):
    barrier.wait()
    return lines[0]

def sleep(lines):
    time.sleep(30)

def late(lines):
    raise TimeoutError("raised by the function")

def refuse(lines):
    raise BackendFailed("Not today.")

def end(lines):
    raise SystemExit(1)

async def wait(lines):
    return "Yes."

number = 5
"""


@pytest.fixture
def answers(tmp_path: Path) -> str:
    path = tmp_path / "answers.py"
    path.write_text(ANSWERS)
    return str(path)


@pytest.mark.parametrize(
    ("name", "asked", "answer"),
    [
        ("paint", image("A cat", 64, 32), b"A cat 64x32"),
        ("by_name", text("Is it?"), "Question"),
        ("by_annotation", text("Is it?"), "model.system.any"),
        ("by_text", text("Is it?"), "model.system.any"),
        ("alone", text("Is it?"), "Is it?"),
        ("nothing", Question("0x", "", (), (), "string"), "Nothing was asked."),
    ],
)
def test_a_function_gets_the_inputs_or_the_question(
    answers: str, name: str, asked: Question, answer: Any
) -> None:
    assert Function(name=f"{answers}:{name}")(asked) == answer


def test_modules_of_the_working_directory_are_found(
    answers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "project_package"
    package.mkdir()
    (package / "answers.py").write_text(ANSWERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert Function(name="project_package.answers:alone")(text("Is it?")) == "Is it?"
    assert Function(name="answers.py:alone")(text("Is it?")) == "Is it?"


def test_a_module_is_imported_once_and_keeps_its_state(answers: str) -> None:
    count = Function(name=f"{answers}:count")
    assert [count(text("How many?")) for _ in range(3)] == ["1", "2", "3"]


def test_functions_are_called_concurrently(answers: str) -> None:
    meet = Function(name=f"{answers}:meet")
    questions = [text(str(number)) for number in range(8)]
    assert ask_concurrently(meet, questions) == [str(number) for number in range(8)]


def test_a_hanging_function_times_out(answers: str) -> None:
    began = time.monotonic()
    with pytest.raises(BackendUnavailable, match=r"^No answer within 0\.3 s$"):
        Function(name=f"{answers}:sleep", timeout=0.3)(text("Is it?"))
    assert time.monotonic() - began < 5
    assert all(thread.daemon for thread in threading.enumerate() if thread.name.endswith(":sleep"))


def test_exceptions_of_a_function_are_raised(answers: str) -> None:
    with pytest.raises(BackendFailed, match=r"^Not today\.$"):
        Function(name=f"{answers}:refuse")(text("Is it?"))
    with pytest.raises(TimeoutError, match="raised by the function"):
        Function(name=f"{answers}:late")(text("Is it?"))
    with pytest.raises(SystemExit):
        Function(name=f"{answers}:end")(text("Is it?"))
    with pytest.raises(TypeError):
        Function(name=f"{answers}:paint")(question(()))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("{}", "is not of the form module:name"),
        ("{}:", "is not of the form module:name"),
        (":alone", "is not of the form module:name"),
        ("{}:absent", "has no function 'absent'"),
        ("{}:number", "has no function 'number'"),
        ("{}:wait", "'wait' is async"),
        ("no.such.module:alone", "cannot import 'no.such.module': ModuleNotFoundError"),
        ("no_such_file.py:alone", "cannot import 'no_such_file.py': FileNotFoundError"),
    ],
)
def test_an_unusable_function_is_an_error(answers: str, name: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Function(name=name.format(answers))


def test_an_error_in_the_module_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("1 / 0")
    with pytest.raises(ValidationError, match="ZeroDivisionError: division by zero"):
        Function(name=f"{path}:answer")
