"""Anvil as a child process: started, watched and stopped, its chain kept in a file.

It is in a process group of its own, so that Ctrl-C on the terminal does not stop it before those
who use it. Where this process is killed, Linux stops it.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ape_dtn.devnet.errors import AnvilFailed, AnvilMissing, PortTaken, StateUnusable
from ape_dtn.types.files import write_whole
from ape_dtn.types.waiting import POLICY, Deadline

HOST = "127.0.0.1"

# Ports below those that systems give to connections. One of theirs may be given to some other
# program's before Anvil listens on it, and cannot be listened on for a minute after that.
PORTS = range(10_000, 32_000)

# Of <linux/prctl.h>.
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Anvil:
    """An Anvil that is running.

    Attributes:
        url: Where it listens.
        process: The process.
        output: What it has said on standard error.
    """

    url: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]

    def check(self) -> None:
        """Raises what has ended it.

        Raises:
            AnvilFailed: It has ended.
        """
        if self.process.poll() is not None:
            self.output.seek(0)
            said = self.output.read().decode(errors="replace")
            raise AnvilFailed(self.process.returncode, said)


@contextmanager
def running(port: int, *options: str, state: Path | None = None) -> Iterator[Anvil]:
    """Runs an Anvil until the context ends.

    The states of old blocks, which it keeps in files and leaves there, are gone then too.

    Args:
        port: Where it listens on this machine.
        options: More of Anvil's own.
        state: A file that keeps its chain: read at the start if it is there, written as time goes
            by and at the end.

    Raises:
        AnvilMissing: There is no ``anvil`` on the path.
        PortTaken: Something else listens on the port.
        StateUnusable: The file cannot be read or written, or holds no chain.
        AnvilFailed: It ended before it listened.
    """
    program = shutil.which("anvil")
    if program is None:
        raise AnvilMissing
    _check_free(port)
    command = [program, "--quiet", "--host", HOST, "--port", str(port), *options]
    if state is not None:
        _prepare(state)
        command += ["--state", str(state), "--state-interval", str(POLICY.anvil_state)]
    with (
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryDirectory(prefix="anvil-", ignore_cleanup_errors=True) as history,
        _process([*command, "--cache-path", history], output) as process,
    ):
        anvil = Anvil(f"http://{HOST}:{port}", process, output)
        _wait_until_it_listens(anvil, port)
        yield anvil


@contextmanager
def _process(command: Sequence[str], output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=output,
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )
    try:
        yield process
    finally:
        _stop(process)


_libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """Has Linux stop this process in the same way when its parent is killed."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Lets it write its state and end. Its group, since npm's launcher stands before some."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(POLICY.anvil_stop)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_it_listens(anvil: Anvil, port: int) -> None:
    deadline = Deadline(POLICY.anvil_start)
    while True:
        anvil.check()
        with suppress(OSError):
            socket.create_connection((HOST, port), timeout=POLICY.port_probe).close()
            return
        if deadline.is_over:
            raise AnvilFailed(None, f"it does not listen within {POLICY.anvil_start:g} seconds")
        deadline.sleep(POLICY.process_start_poll)


def _check_free(port: int) -> None:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Anvil does
        try:
            tried.bind((HOST, port))
        except OSError as err:
            reason = None if err.errno == errno.EADDRINUSE else err.strerror
            raise PortTaken(port, _listener(port), reason) from err


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    while True:
        # Not from the generator that tests seed: processes would all choose the same.
        port = random.SystemRandom().choice(PORTS)
        with suppress(PortTaken):
            _check_free(port)
            return port


def _listener(port: int) -> str | None:
    """What the program on a port says that it is, if it speaks JSON-RPC."""
    import httpx

    asked = {"jsonrpc": "2.0", "id": 1, "method": "web3_clientVersion", "params": []}
    try:
        url, timeout = f"http://{HOST}:{port}", POLICY.port_probe
        answered = httpx.post(url, json=asked, timeout=timeout).json()
        return str(answered["result"])[:80]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def _prepare(state: Path) -> None:
    """Looks at the file before Anvil does, keeps a copy, and leaves one first block in it.

    Anvil writes over it, and one that is killed while it writes leaves only a part. It also writes
    the first block that it had made before it read the file, and reads any of them as the first the
    next time: but a chain is known by its first block.
    """
    if not state.parent.is_dir():
        raise StateUnusable(str(state), f"there is no folder {state.parent}")
    if not state.exists():
        return
    try:
        kept = json.loads(state.read_bytes())
        shutil.copyfile(state, copy_of(state))
        firsts = [each for each in kept["blocks"] if not int(each["header"]["number"], 16)]
        if len(firsts) > 1:
            first = min(firsts, key=lambda each: int(each["header"]["timestamp"], 16))
            later = [each for each in kept["blocks"] if each not in firsts]
            write_whole(state, json.dumps({**kept, "blocks": [first, *later]}))
    except (OSError, ValueError, KeyError, TypeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "what it holds is no chain of Anvil"
        copy = str(copy_of(state)) if copy_of(state).exists() else None
        raise StateUnusable(str(state), str(reason), copy) from err


def copy_of(state: Path) -> Path:
    """Where a chain's file is kept as it was when it was last started from."""
    return state.with_name(f"{state.name}.before")
