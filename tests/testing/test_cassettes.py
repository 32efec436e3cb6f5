"""Cassettes: recording and replaying a backend's answers over several runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ape_dtn.errors import CassetteUnusable
from ape_dtn.testing import DtnTestNode
from ape_dtn.testing.cassettes import Cassette, Record, from_json, to_json

from .conftest import Consumer

# A user's test module, with a marker argument and a body to fill in.
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

# A backend whose answers count its calls, so that every answer differs.
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
    """A user who edits a test with a cassette and runs it repeatedly."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        pytester.makeini("[pytest]")  # otherwise pytest finds that of this checkout
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


def test_an_answer_is_recorded_once_and_replayed_without_the_backend(user: User) -> None:
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


def test_another_question_fails_and_shows_the_difference(user: User) -> None:
    user.writes(ASK)
    user.runs()
    user.writes(ASK.replace("Two and two", "Two and three"))
    result = user.runs()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*--dtn-record new*", "*-*Two and two?*", "*+*Two and three?*"])
    assert user.calls == 1


def test_nothing_is_recorded_in_ci(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    user.writes(ASK)
    result = user.runs()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the file does not exist*"])
    assert user.calls == 0
    assert not user.file.exists()


def test_new_adds_recordings_and_all_replaces_them(user: User) -> None:
    user.writes(ASK)
    user.runs()
    user.writes(f"{ASK}\n    assert dtn_cassette(question('And three?')) == 'And three? 2'")
    user.runs("--dtn-record", "once").assert_outcomes(failed=1)
    user.runs("--dtn-record", "new").assert_outcomes(passed=1)
    assert [item["answer"] for item in user.recordings] == ["And three? 2", "Two and two? 1"]

    user.runs("--dtn-record", "all").assert_outcomes(failed=1)  # the new answers differ
    assert user.recordings[1]["answer"] == "Two and two? 1"
    user.writes("    dtn_cassette(question('Two and two?'))")
    user.runs("--dtn-record", "all").assert_outcomes(passed=1)
    assert [item["answer"] for item in user.recordings] == ["Two and two? 4"]


def test_unused_recordings_are_reported(user: User) -> None:
    user.writes(f"{ASK}\n    dtn_cassette(question('And three?'))")
    user.runs()
    user.writes(ASK)
    result = user.runs()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*unused recordings (1)*", "*And three?*"])


def test_a_question_asked_twice_is_recorded_twice(user: User) -> None:
    twice = f"{ASK}\n    assert dtn_cassette(question('Two and two?')) == 'Two and two? 2'"
    user.writes(twice)
    user.runs().assert_outcomes(passed=1)
    user.runs().assert_outcomes(passed=1)
    user.writes(f"{twice}\n    dtn_cassette(question('Two and two?'))")
    result = user.runs()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*asked more often than it was recorded (2)*"])


def test_bytes_and_failures_are_recorded(user: User) -> None:
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
def test_the_marker_can_name_another_file(user: User, name: str, path: str) -> None:
    user.writes(ASK, f"('{name}')")
    user.runs().assert_outcomes(passed=1)
    assert (user.pytester.path / path).exists()
    assert not user.file.exists()


def test_an_unavailable_backend_is_not_recorded(user: User) -> None:
    user.writes("    dtn_cassette(question('gone'))")
    result = user.runs()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*has no answer: it cannot be reached*"])
    assert not user.file.exists()


def test_the_default_echo_is_not_recorded(user: User) -> None:
    user.writes(ASK)
    result = user.runs(backend=False)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*No backend is configured*", "*Pass the backend to record with --dtn-backend*"]
    )


@pytest.mark.parametrize("content", ["", "[]", '{"recordings": [{"model": "m"}]}'])
def test_an_unreadable_file_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(content)
    with pytest.raises(CassetteUnusable):
        Cassette(path, Record.NONE, lambda _: lambda _: "")
    assert path.read_text() == content


def test_values_of_all_types_survive_json() -> None:
    value = ["text", b"\x00\xff", 2**256 - 1, True, [("nested", b"")], []]
    back = from_json(json.loads(json.dumps(to_json(value))))
    assert back == ["text", b"\x00\xff", 2**256 - 1, True, [["nested", b""]], []]


@pytest.mark.dtn_cassette("two-and-two")
def test_a_contract_is_answered_from_the_cassette(
    dtn_node: DtnTestNode, reuse_session_consumer: Consumer
) -> None:
    request = reuse_session_consumer.ask("Two and two?")
    greeting = reuse_session_consumer.ask("Hello?")
    dtn_node.reply("Hi.", when="Hello")
    dtn_node.answer()

    assert reuse_session_consumer.answer(request) == "Four."
    assert reuse_session_consumer.answer(greeting) == "Hi."
