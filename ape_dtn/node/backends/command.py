"""A command that answers: the question as JSON on its standard input, the answer on its output."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from contextlib import suppress
from typing import Any, ClassVar

from pydantic import Field, PrivateAttr, field_validator

from ape_dtn.ipfs.errors import BackendFailed, BackendUnavailable
from ape_dtn.node.answering import Question
from ape_dtn.node.backends.configurable import Configurable
from ape_dtn.node.backends.endpoint import MAX_BYTES
from ape_dtn.types.values import from_json, read_json, to_json
from ape_dtn.types.waiting import POLICY, Deadline


class Command(Configurable):
    """Runs a command for each question, without a shell.

    It reads one JSON object: ``request_id``, ``model``, ``types``, ``inputs``, ``output``, and
    ``text``, which is all text among the inputs. Integers are JSON strings and bytes ``0x…``.

    It writes the answer: for ``string`` text in UTF-8, whose last line break does not count; for
    ``bytes`` the bytes as they are; for other types JSON. With another exit code than 0 it fails,
    and the last line of its standard error is what whoever asked is told; 75 (``EX_TEMPFAIL`` of
    ``sysexits.h``) says that it may have an answer later.

    It runs in a process group of its own, which is killed when the time is over, or when it has
    written too much.
    """

    short: ClassVar[str] = "line"

    line: list[str] = Field(min_length=1)
    """The command and its arguments."""

    _running: set[subprocess.Popen[bytes]] = PrivateAttr(default_factory=set)

    @field_validator("line")
    @classmethod
    def _exists(cls, line: list[str]) -> list[str]:
        if shutil.which(line[0]) is None:
            raise ValueError(f"there is no command '{line[0]}'")
        return line

    def __call__(self, question: Question) -> Any:
        """What the command writes.

        Raises:
            BackendFailed: It failed, or wrote something else than an answer.
            BackendUnavailable: It was not done in time, or says that it may be later.
        """
        try:
            running = subprocess.Popen(
                self.line,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as err:
            raise BackendUnavailable("The node's command cannot be started") from err
        with running:
            written, told = self._communicated(running, _as_json(question))
        if running.returncode:
            raise _failure(running.returncode, told)
        return _read(question.output, written)

    def close(self) -> None:
        """Kills what still runs."""
        for running in list(self._running):
            _kill(running)

    def _communicated(self, running: subprocess.Popen[bytes], asked: bytes) -> tuple[bytes, bytes]:
        self._running.add(running)
        deadline = Deadline(self.timeout)
        given: bytes | None = asked
        try:
            while True:
                try:
                    pause = deadline.bounded(POLICY.command_poll)
                    return _checked(*running.communicate(given, pause))
                except subprocess.TimeoutExpired as err:
                    _checked(err.output or b"", err.stderr or b"")
                    if deadline.is_over:
                        raise BackendUnavailable(f"No answer within {self.timeout:g} s") from err
                    given = None  # it has it, or goes on to get it
        except BaseException:  # also where whoever waits for it was interrupted
            _kill(running)
            raise
        finally:
            self._running.discard(running)


def _checked(written: bytes, told: bytes) -> tuple[bytes, bytes]:
    """What a command has written so far, which would else fill the memory of the node."""
    if len(written) + len(told) > MAX_BYTES:
        raise BackendFailed(f"The node's command writes more than {MAX_BYTES} bytes")
    return written, told


def _kill(running: subprocess.Popen[bytes]) -> None:
    """Kills all of its group, also what it started and left behind."""
    with suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)


def _as_json(question: Question) -> bytes:
    asked = {
        "request_id": question.request_id,
        "model": question.model,
        "types": question.types,
        "inputs": to_json(question.inputs),
        "output": question.output,
        "text": question.text,
    }
    return json.dumps(asked).encode()


def _failure(exit_code: int, told: bytes) -> BackendFailed:
    lines = told.decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    later = exit_code < 0 or exit_code == os.EX_TEMPFAIL
    message = last or f"The node's command ended with exit code {exit_code}"
    return (BackendUnavailable if later else BackendFailed)(message)


def _read(output: str, written: bytes) -> Any:
    if output == "bytes":
        return written
    try:
        text = written.decode()
        if output == "string":
            return text.removesuffix("\n").removesuffix("\r")
        return from_json(output, read_json(text))
    except ValueError as err:
        raise BackendFailed(f"The node's command wrote no {output}") from err
