"""Anvil as a child process, with its chain saved to a file on request.

Anvil runs in its own process group: Ctrl-C in the terminal does not stop it before the programs
that use it. If this process is killed, Linux stops Anvil.
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
from ape_dtn.types.polling import POLICY, Deadline

HOST = "127.0.0.1"

# Ports below the ephemeral ports. The system may assign an ephemeral port to an outgoing
# connection of another program, and the port is then unavailable for a minute after it closes.
PORTS = range(10_000, 32_000)

# From <linux/prctl.h>.
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Anvil:
    """A running Anvil. ``output`` is its standard error."""

    url: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]

    def check(self) -> None:
        """Check that Anvil is still running.

        Raises:
            AnvilFailed: Anvil has exited.
        """
        if self.process.poll() is not None:
            self.output.seek(0)
            output = self.output.read().decode(errors="replace")
            raise AnvilFailed(self.process.returncode, output)


@contextmanager
def running(port: int, *options: str, state: Path | None = None) -> Iterator[Anvil]:
    """Run Anvil until the context ends. Its cache of old states is deleted, too.

    Args:
        port: The local port to listen on.
        options: Further options of Anvil.
        state: The file to save the chain to, periodically and at the end. An existing file is
            loaded.

    Raises:
        AnvilMissing: There is no ``anvil`` on the PATH.
        PortTaken: The port is in use.
        StateUnusable: The file cannot be read or written, or is not a chain state of Anvil.
        AnvilFailed: Anvil exited before it listened.
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
        tempfile.TemporaryDirectory(prefix="anvil-", ignore_cleanup_errors=True) as cache,
        _process([*command, "--cache-path", cache], output) as process,
    ):
        anvil = Anvil(f"http://{HOST}:{port}", process, output)
        _wait_until_listening(anvil, port)
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
    """Make Linux send SIGTERM to this process when its parent dies."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let Anvil save its state and exit. Signal its process group: npm installs a launcher."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(POLICY.anvil_stop)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_listening(anvil: Anvil, port: int) -> None:
    deadline = Deadline(POLICY.anvil_start)
    while True:
        anvil.check()
        with suppress(OSError):
            socket.create_connection((HOST, port), timeout=POLICY.port_probe).close()
            return
        if deadline.is_over:
            raise AnvilFailed(None, f"it did not listen within {POLICY.anvil_start:g} seconds")
        deadline.sleep(POLICY.process_start_poll)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Anvil does
        try:
            probe.bind((HOST, port))
        except OSError as err:
            reason = None if err.errno == errno.EADDRINUSE else err.strerror
            raise PortTaken(port, _listener(port), reason) from err


def free_port() -> int:
    """Return a free local port, chosen at random."""
    while True:
        # Do not use the global generator: with a fixed seed, all test processes choose one port.
        port = random.SystemRandom().choice(PORTS)
        with suppress(PortTaken):
            _check_free(port)
            return port


def _listener(port: int) -> str | None:
    """Return the client version of the program on a port, if it speaks JSON-RPC."""
    import httpx

    request = {"jsonrpc": "2.0", "id": 1, "method": "web3_clientVersion", "params": []}
    try:
        url, timeout = f"http://{HOST}:{port}", POLICY.port_probe
        response = httpx.post(url, json=request, timeout=timeout).json()
        return str(response["result"])[:80]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def _prepare(state: Path) -> None:
    """Check and back up the state file, and remove all genesis blocks but the oldest from it.

    Anvil overwrites the file in place, so a kill can truncate it. Anvil also saves the genesis
    block that it created before it loaded the file, and may load that block next time. But the
    chain is identified by its original genesis block.
    """
    if not state.parent.is_dir():
        raise StateUnusable(str(state), f"the folder {state.parent} does not exist")
    if not state.exists():
        return
    try:
        saved = json.loads(state.read_bytes())
        shutil.copyfile(state, backup_of(state))
        blocks = saved["blocks"]
        genesis = [block for block in blocks if not int(block["header"]["number"], 16)]
        if len(genesis) > 1:
            oldest = min(genesis, key=lambda block: int(block["header"]["timestamp"], 16))
            others = [block for block in blocks if block not in genesis]
            write_whole(state, json.dumps({**saved, "blocks": [oldest, *others]}))
    except (OSError, ValueError, KeyError, TypeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it is not a chain state of Anvil"
        backup = str(backup_of(state)) if backup_of(state).exists() else None
        raise StateUnusable(str(state), str(reason), backup) from err


def backup_of(state: Path) -> Path:
    """Return the path of a state file's backup, which is made each time the file is loaded."""
    return state.with_name(f"{state.name}.before")
