"""A backend that runs a command: the question as JSON on stdin, the answer on stdout."""

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
from ape_dtn.node.backends.base import Configurable
from ape_dtn.node.backends.endpoint import MAX_BYTES
from ape_dtn.types.polling import POLICY, Deadline
from ape_dtn.types.utf8 import decode_utf8, read_json_bytes
from ape_dtn.types.values import from_json, to_json


class Command(Configurable):
    """Runs a command for each question, without a shell.

    The command reads one JSON object: ``request_id``, ``model``, ``types``, ``inputs``,
    ``output``, and ``text``, which is all text among the inputs. Integers are JSON strings, bytes
    are ``0x…``.

    It writes the answer: UTF-8 text for ``string``, without a final line break; raw bytes for
    ``bytes``; JSON for other types. A nonzero exit code is a failure, and the last line on stderr
    is the message for the requester. Exit code 75 (``EX_TEMPFAIL`` of ``sysexits.h``) means: ask
    again later.

    It runs in its own process group, which is killed after the timeout or when the output is too
    long.
    """

    short: ClassVar[str] = "line"

    line: list[str] = Field(min_length=1)
    """The command and its arguments."""

    _running: set[subprocess.Popen[bytes]] = PrivateAttr(default_factory=set)

    @field_validator("line")
    @classmethod
    def _exists(cls, line: list[str]) -> list[str]:
        if shutil.which(line[0]) is None:
            raise ValueError(f"command '{line[0]}' not found")
        return line

    def __call__(self, question: Question) -> Any:
        """Run the command and read its answer.

        Raises:
            BackendFailed: The command failed, or its output is not of the model's output type.
            BackendUnavailable: It did not finish in time, or asks to try again later.
        """
        try:
            process = subprocess.Popen(
                self.line,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as err:
            raise BackendUnavailable("The node's command cannot be started") from err
        with process:
            stdout, stderr = self._communicate(process, _as_json(question))
        if process.returncode:
            raise _failure(process.returncode, stderr)
        return _decode(question.output, stdout)

    def close(self) -> None:
        """Kill the commands that are still running."""
        for process in list(self._running):
            _kill(process)

    def _communicate(self, process: subprocess.Popen[bytes], stdin: bytes) -> tuple[bytes, bytes]:
        self._running.add(process)
        deadline = Deadline(self.timeout)
        remaining: bytes | None = stdin
        try:
            while True:
                try:
                    pause = deadline.bounded(POLICY.command_poll)
                    return _check_size(*process.communicate(remaining, pause))
                except subprocess.TimeoutExpired as err:
                    _check_size(err.output or b"", err.stderr or b"")
                    if deadline.is_over:
                        raise BackendUnavailable(f"No answer within {self.timeout:g} s") from err
                    remaining = None  # `communicate` keeps what is not written yet
        except BaseException:  # KeyboardInterrupt, too
            _kill(process)
            raise
        finally:
            self._running.discard(process)


def _check_size(stdout: bytes, stderr: bytes) -> tuple[bytes, bytes]:
    """Return the output, or raise ``BackendFailed`` if it is too long."""
    if len(stdout) + len(stderr) > MAX_BYTES:
        raise BackendFailed(f"The node's command wrote more than {MAX_BYTES} bytes")
    return stdout, stderr


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process group, including orphaned children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _as_json(question: Question) -> bytes:
    fields = {
        "request_id": question.request_id,
        "model": question.model,
        "types": question.types,
        "inputs": to_json(question.inputs),
        "output": question.output,
        "text": question.text,
    }
    return json.dumps(fields).encode()


def _failure(exit_code: int, stderr: bytes) -> BackendFailed:
    lines = stderr.decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    is_temporary = exit_code < 0 or exit_code == os.EX_TEMPFAIL
    message = last or f"The node's command ended with exit code {exit_code}"
    return (BackendUnavailable if is_temporary else BackendFailed)(message)


def _decode(output: str, stdout: bytes) -> Any:
    if output == "bytes":
        return stdout
    try:
        if output == "string":
            return decode_utf8(stdout).removesuffix("\n").removesuffix("\r")
        return from_json(output, read_json_bytes(stdout))
    except ValueError as err:
        raise BackendFailed(f"The node's command did not write a valid {output}") from err
