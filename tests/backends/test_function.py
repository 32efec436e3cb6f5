"""Functions that answer."""

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
from tests.backends.asking import image, question, text, together

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
    raise TimeoutError("of its own")

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
def test_what_a_function_is_called_with(
    answers: str, name: str, asked: Question, answer: Any
) -> None:
    assert Function(name=f"{answers}:{name}")(asked) == answer


def test_a_module_is_found_where_one_is(
    answers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "of_a_project"
    package.mkdir()
    (package / "answers.py").write_text(ANSWERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert Function(name="of_a_project.answers:alone")(text("Is it?")) == "Is it?"
    assert Function(name="answers.py:alone")(text("Is it?")) == "Is it?"


def test_a_module_is_imported_once_and_keeps_its_state(answers: str) -> None:
    count = Function(name=f"{answers}:count")
    assert [count(text("How many?")) for _ in range(3)] == ["1", "2", "3"]


def test_many_at_once(answers: str) -> None:
    meet = Function(name=f"{answers}:meet")
    asked = [text(str(each)) for each in range(8)]
    assert together(meet, asked) == [str(each) for each in range(8)]


def test_a_function_that_hangs_is_not_waited_for(answers: str) -> None:
    began = time.monotonic()
    with pytest.raises(BackendUnavailable, match=r"^No answer within 0\.3 s$"):
        Function(name=f"{answers}:sleep", timeout=0.3)(text("Is it?"))
    assert time.monotonic() - began < 5
    assert all(each.daemon for each in threading.enumerate() if each.name.endswith(":sleep"))


def test_what_a_function_raises_comes_out(answers: str) -> None:
    with pytest.raises(BackendFailed, match=r"^Not today\.$"):
        Function(name=f"{answers}:refuse")(text("Is it?"))
    with pytest.raises(TimeoutError, match="of its own"):
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
        ("{}:absent", "there is no function 'absent' in"),
        ("{}:number", "there is no function 'number' in"),
        ("{}:wait", "'wait' is asynchronous"),
        ("no.such.module:alone", "cannot be imported: ModuleNotFoundError"),
        ("no_such_file.py:alone", "cannot be imported: FileNotFoundError"),
    ],
)
def test_functions_that_cannot_be_called(answers: str, name: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Function(name=name.format(answers))


def test_a_module_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("1 / 0")
    with pytest.raises(ValidationError, match="ZeroDivisionError: division by zero"):
        Function(name=f"{path}:answer")
