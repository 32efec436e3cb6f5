"""Answers of a real backend, recorded once, in the runs of a user."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ape_dtn.errors import CassetteUnusable
from ape_dtn.testing import DtnTestNode
from ape_dtn.testing.cassettes import Cassette, Record, from_json, to_json

from .conftest import Consumer

# The user's test asks this, and what else it is told to by the environment.
TEST = """
import pytest
from ape_dtn.node.answering import Question

def question(*lines, output="string"):
    model = "model.system.openai-gpt-5"
    return Question("0x00", model, ("string[]",), (list(lines),), output)

@pytest.mark.dtn_cassette{marker}
def test_it(dtn_cassette):
{body}
"""
ASK = "    assert dtn_cassette(question('Two and two?')) == 'Two and two? 1'"

# Each answer is another one, and tells how often it was asked.
REAL = """
import pathlib
from ape_dtn.errors import BackendFailed, BackendUnavailable

def answer(question):
    calls = pathlib.Path(__file__).with_name("calls")
    count = int(calls.read_text() if calls.exists() else 0) + 1
    calls.write_text(str(count))
    if "gone" in question.text:
        raise BackendUnavailable("it cannot be reached")
    if "fail" in question.text:
        raise BackendFailed("it is down")
    if question.output == "bytes":
        return bytes([0, 255, count])
    return f"{question.text} {count}"
"""


class User:
    """Who has a test with a cassette, and runs it again and again."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        pytester.makeini("[pytest]")  # or that of this checkout would be found
        pytester.path.joinpath("real.py").write_text(REAL)

    def writes(self, body: str, marker: str = "") -> None:
        self.pytester.makepyfile(test_user=TEST.format(body=body, marker=marker))

    def runs(self, *options: str, backend: bool = True) -> pytest.RunResult:
        real = ("--dtn-backend", f"function:{self.pytester.path}/real.py:answer")
        plugin = ("-p", "ape_dtn.testing.plugin", "-p", "no:cacheprovider")
        return self.pytester.runpytest_inprocess(*plugin, *(real if backend else ()), *options)

    @property
    def calls(self) -> int:
        calls = self.pytester.path / "calls"
        return int(calls.read_text()) if calls.exists() else 0

    @property
    def file(self) -> Path:
        return self.pytester.path / "cassettes" / "test_user" / "test_it.json"

    @property
    def recordings(self) -> Any:
        return json.loads(self.file.read_text())["recordings"]


@pytest.fixture
def user(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> User:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("CI", raising=False)
    return User(pytester)


def test_it_is_recorded_once_and_replayed_without_the_backend(user: User) -> None:
    user.writes(ASK)
    user.runs().assert_outcomes(passed=1)
    (recording,) = user.recordings
    assert recording == {
        "model": "model.system.openai-gpt-5",
        "types": ["string[]"],
        "inputs": [["Two and two?"]],
        "output": "string",
        "answer": "Two and two? 1",
    }
    before = user.file.read_bytes()
    user.runs(backend=False).assert_outcomes(passed=1)
    user.runs().assert_outcomes(passed=1)
    assert user.calls == 1
    assert user.file.read_bytes() == before


def test_another_question_fails_with_what_differs(user: User) -> None:
    user.writes(ASK)
    user.runs()
    user.writes(ASK.replace("Two and two", "Two and three"))
    result = user.runs()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*--dtn-record new*", "*-*Two and two?*", "*+*Two and three?*"])
    assert user.calls == 1


def test_without_a_recording_ci_records_nothing(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    user.writes(ASK)
    result = user.runs()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*there is no such file*"])
    assert user.calls == 0
    assert not user.file.exists()


def test_new_adds_and_all_replaces(user: User) -> None:
    user.writes(ASK)
    user.runs()
    user.writes(f"{ASK}\n    assert dtn_cassette(question('And three?')) == 'And three? 2'")
    user.runs("--dtn-record", "once").assert_outcomes(failed=1)
    user.runs("--dtn-record", "new").assert_outcomes(passed=1)
    assert [each["answer"] for each in user.recordings] == ["And three? 2", "Two and two? 1"]

    user.runs("--dtn-record", "all").assert_outcomes(failed=1)  # other answers than it wants
    assert user.recordings[1]["answer"] == "Two and two? 1"
    user.writes("    dtn_cassette(question('Two and two?'))")
    user.runs("--dtn-record", "all").assert_outcomes(passed=1)
    assert [each["answer"] for each in user.recordings] == ["Two and two? 4"]


def test_what_is_not_asked_any_more_is_told(user: User) -> None:
    user.writes(f"{ASK}\n    dtn_cassette(question('And three?'))")
    user.runs()
    user.writes(ASK)
    result = user.runs()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*1 recordings were not asked for*", "*And three?*"])


def test_the_same_question_is_answered_as_often_as_it_was_recorded(user: User) -> None:
    twice = f"{ASK}\n    assert dtn_cassette(question('Two and two?')) == 'Two and two? 2'"
    user.writes(twice)
    user.runs().assert_outcomes(passed=1)
    user.runs().assert_outcomes(passed=1)
    user.writes(f"{twice}\n    dtn_cassette(question('Two and two?'))")
    result = user.runs()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*recorded 2 times, and is asked once more*"])


def test_bytes_and_failures_are_recorded_too(user: User) -> None:
    user.writes(
        "    from ape_dtn.errors import BackendFailed\n"
        "    assert dtn_cassette(question('A cat', output='bytes')) == bytes([0, 255, 1])\n"
        "    with pytest.raises(BackendFailed, match='it is down'):\n"
        "        dtn_cassette(question('fail'))"
    )
    for _ in range(2):
        user.runs().assert_outcomes(passed=1)
    assert user.calls == 2
    cat, failed = user.recordings
    assert cat["answer"] == {"base64": "AP8B"}
    assert failed["failure"] == "it is down"


@pytest.mark.parametrize(
    ("name", "path"),
    [("sums", "cassettes/test_user/sums.json"), ("shared/sums.json", "shared/sums.json")],
)
def test_the_marker_names_another_file(user: User, name: str, path: str) -> None:
    user.writes(ASK, f"('{name}')")
    user.runs().assert_outcomes(passed=1)
    assert (user.pytester.path / path).exists()
    assert not user.file.exists()


def test_a_backend_that_is_not_there_is_no_answer(user: User) -> None:
    user.writes("    dtn_cassette(question('gone'))")
    result = user.runs()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*has no answer: it cannot be reached*"])
    assert not user.file.exists()


def test_nothing_is_recorded_of_an_echo(user: User) -> None:
    user.writes(ASK)
    result = user.runs(backend=False)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*No backend is configured*", "*or pass --dtn-backend.*"])


@pytest.mark.parametrize("content", ["", "[]", '{"recordings": [{"model": "m"}]}'])
def test_a_file_that_holds_no_recordings_is_told(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(CassetteUnusable):
        Cassette(path, Record.NONE, lambda _: lambda _: "")
    assert path.read_text() == content


def test_values_of_all_types_come_back() -> None:
    value = ["text", b"\x00\xff", 2**256 - 1, True, [("nested", b"")], []]
    back = from_json(json.loads(json.dumps(to_json(value))))
    assert back == ["text", b"\x00\xff", 2**256 - 1, True, [["nested", b""]], []]


@pytest.mark.dtn_cassette("two-and-two")
def test_a_contract_is_answered_from_the_cassette(
    dtn_node: DtnTestNode, consumer_of_answers: Consumer
) -> None:
    request = consumer_of_answers.ask("Two and two?")
    told = consumer_of_answers.ask("Hello?")
    dtn_node.reply("Hi.", when="Hello")
    dtn_node.answer()

    assert consumer_of_answers.answer(request) == "Four."
    assert consumer_of_answers.answer(told) == "Hi."
