"""The command backend: its input, its output, and failing commands."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ape_dtn.errors import BackendFailed, BackendUnavailable
from ape_dtn.node.answering import Question
from ape_dtn.node.backends.command import Command
from tests.backends.questions import MODEL, REQUEST, ask_concurrently, question, text

READ = "import json, sys; asked = json.load(sys.stdin); write = sys.stdout.buffer.write; "


def python(code: str, **settings: Any) -> Command:
    return Command(line=[sys.executable, "-c", code], **settings)


def shell(code: str, **settings: Any) -> Command:
    return Command(line=["sh", "-c", code], **settings)


def is_alive(pid: int) -> bool:
    """Whether a process runs. Zombies do not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually_dead(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_alive(pid)


def test_a_command_reads_the_question_as_json() -> None:
    full = Question(
        REQUEST,
        MODEL,
        ("string[]", "uint256", "(bool,bytes)"),
        (("Is", "it?"), 2**256 - 1, (True, b"\0\xff")),
        "string",
    )
    read = eval(python(READ + "write(repr(asked).encode())")(full), {})
    assert read == {
        "request_id": REQUEST,
        "model": MODEL,
        "types": ["string[]", "uint256", "(bool,bytes)"],
        "inputs": [["Is", "it?"], str(2**256 - 1), [True, "0x00ff"]],
        "output": "string",
        "text": "Is it?",
    }


@pytest.mark.parametrize(
    ("output", "stdout", "value"),
    [
        ("string", "Yes.", "Yes."),
        ("string", "Yes.\\n", "Yes."),
        ("string", "\\n Yes.\\n\\n", "\n Yes.\n"),
        ("string", "", ""),
        ("string", "\\303\\251", "é"),
        ("string", "\\357\\273\\277Yes", "Yes"),
        ("string", "\\377", "\ufffd"),
        ("string", "Y\\351s \\360\\237", "Y\ufffds \ufffd"),
        ("string[]", '\\357\\273\\277["Y\\351s"]', ["Y\ufffds"]),
        ("bytes", "\\211PNG\\r\\n", b"\x89PNG\r\n"),
        ("uint256", str(2**256 - 1), 2**256 - 1),
        ("uint8", '"5"\\n', 5),
        ("bool", "true", True),
        ("(string,bytes)[]", '[["a", "0x01"]]', [("a", b"\1")]),
    ],
)
def test_output_is_decoded_as_the_output_type(output: str, stdout: str, value: Any) -> None:
    assert Command(line=["printf", stdout])(question((), output=output)) == value


@pytest.mark.parametrize(
    ("output", "stdout"),
    [
        ("uint8", "many"),
        ("uint8", "1.5"),
        ("uint8[]", "1"),
        ("address", '"0x00"'),
        ("uint8[]", "[" * 100_000),
    ],
)
def test_output_of_another_type_is_a_failure(output: str, stdout: str) -> None:
    with pytest.raises(BackendFailed, match="did not write a valid "):
        Command(line=["printf", stdout])(question((), output=output))


def test_the_last_line_of_stderr_is_the_reason_of_a_failure() -> None:
    with pytest.raises(BackendFailed) as failed:
        shell("echo Looking >&2; echo ' Not found. ' >&2; echo >&2; exit 3")(text("Where?"))
    assert failed.value.message == "Not found."
    assert not isinstance(failed.value, BackendUnavailable)

    with pytest.raises(BackendFailed, match="ended with exit code 3"):
        shell("exit 3")(text("Where?"))


def test_ex_tempfail_and_signals_mean_unavailable() -> None:
    with pytest.raises(BackendUnavailable, match="Busy"):
        shell("echo Busy >&2; exit 75")(text("Where?"))
    with pytest.raises(BackendUnavailable, match="exit code -9"):
        shell("kill -9 $$")(text("Where?"))


def test_a_command_that_was_deleted_is_unavailable(tmp_path: Path) -> None:
    script = tmp_path / "answer"
    script.write_text("#!/bin/sh\necho Yes.\n")
    script.chmod(0o755)
    command = Command(line=[str(script)])
    assert command(text("Is it?")) == "Yes."
    script.unlink()
    with pytest.raises(BackendUnavailable, match="cannot be started"):
        command(text("Is it?"))


def test_endless_output_is_cut_off() -> None:
    for endless in ("yes", "yes >&2"):
        with pytest.raises(BackendFailed, match="wrote more than"):
            shell(endless, timeout=30)(text("Is it?"))


def test_a_command_may_ignore_its_input() -> None:
    assert shell("echo Yes.")(text("x" * 2**20)) == "Yes."


def test_a_timeout_kills_the_whole_process_group(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    # The child keeps the pipe open after the shell has exited.
    slow = shell(f"sleep 60 & echo $! > {pid}; exit 0", timeout=2)
    began = time.monotonic()
    with pytest.raises(BackendUnavailable, match="No answer within 2 s"):
        slow(text("Is it?"))
    assert time.monotonic() - began < 20
    assert eventually_dead(int(pid.read_text()))


def test_closing_the_backend_kills_running_commands(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    slow = shell(f"echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 60")
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            slow(text("Is it?"))
        except BackendUnavailable as err:
            errors.append(err)

    thread = threading.Thread(target=ask)
    thread.start()
    while not pid.exists():
        time.sleep(0.01)
    slow.close()
    thread.join(5)

    assert len(errors) == 1
    assert eventually_dead(int(pid.read_text()))


def test_commands_run_concurrently() -> None:
    questions = [text(str(number)) for number in range(8)]
    answers = ask_concurrently(python(READ + "write(asked['text'].encode())"), questions)
    assert answers == [str(number) for number in range(8)]
