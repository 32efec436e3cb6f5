"""Runs the real `ape` and Anvil as processes, which end with the tests."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import requests
from eth_account import Account

from ape_dtn.devnet.anvil import free_port

from .json_rules import check_document

FOUNDRY = "ethereum:local:foundry"
CUSTOMER, STRANGER = "TEST::2", "TEST::3"

# The accounts that Anvil and Ape derive from their common mnemonic.
OWNER_ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
CUSTOMER_ADDRESS = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
STRANGER_ADDRESS = "0x90F79bf6EB2c4f870365E785982E1f101E93b906"


@dataclass(frozen=True)
class Done:
    """A command that has exited."""

    code: int
    out: str
    err: str

    @cached_property
    def json(self) -> Any:
        """All of standard output, which has to be one document that follows the rules."""
        return document(self.out)

    @property
    def error(self) -> dict[str, Any]:
        assert list(self.json) == ["error"]
        found: dict[str, Any] = self.json["error"]
        return found


@dataclass(frozen=True)
class Running:
    """A command that is running."""

    process: subprocess.Popen[bytes]
    files: tuple[Path, Path]

    @property
    def out(self) -> str:
        return self.files[0].read_text()

    @property
    def err(self) -> str:
        return self.files[1].read_text()

    def until(self, reached: Callable[[], Any], seconds: float = 60) -> Any:
        """Waits until `reached` returns something true; returns that."""
        deadline = time.monotonic() + seconds
        while True:
            if found := reached():
                return found
            assert self.process.poll() is None, f"it has exited:\n{self.out}\n{self.err}"
            assert time.monotonic() < deadline, f"timeout:\n{self.out}\n{self.err}"
            time.sleep(0.05)

    def interrupt(self) -> Done:
        """Stops the command as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        return Done(self.process.wait(30), self.out, self.err)


@dataclass(frozen=True)
class Shell:
    """An environment and a folder for commands, isolated from the user's own."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def having(self, **variables: str) -> Shell:
        return replace(self, variables={**self.variables, **variables})

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if name[:4] != "APE_"}
        home = {"HOME": str(self.folder), "APE_DATA_FOLDER": str(self.folder / ".ape")}
        return {**inherited, **home, **self.variables}

    @property
    def data_folder(self) -> Path:
        """The data folder of Ape."""
        return Path(self.environment["APE_DATA_FOLDER"])

    @property
    def here(self) -> Path:
        """The working folder of commands, which is no project."""
        found = self.folder / "here"
        found.mkdir(exist_ok=True)
        return found

    def keep_key(self, alias: str, key: str, passphrase: str) -> None:
        """Stores the key file of an account, as `ape accounts import` does."""
        folder = self.data_folder / "accounts"
        folder.mkdir(parents=True, exist_ok=True)
        keyfile = Account.encrypt(bytes.fromhex(key), passphrase, kdf="pbkdf2", iterations=1000)
        (folder / f"{alias}.json").write_text(json.dumps(keyfile))

    def dtn(self, *command: str, answers: str | None = None) -> Done:
        """Runs `ape dtn` until it exits, with answers to its prompts or with a closed input."""
        return self.run("ape", "dtn", *command, answers=answers)

    def run(self, *command: str, answers: str | None = None, folder: Path | None = None) -> Done:
        done = subprocess.run(
            command,
            cwd=folder or self.here,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=180,
            **({"stdin": subprocess.DEVNULL} if answers is None else {"input": answers}),
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def on_terminal(self, *command: str, answers: str) -> Done:
        """Runs a command on a terminal where the answers are typed. Returns all that it shows."""
        ours, theirs = os.openpty()
        os.write(ours, answers.encode())
        try:
            code = subprocess.run(
                command,
                cwd=self.here,
                env=self.environment,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                timeout=60,
            ).returncode
            return Done(code, os.read(ours, 2**16).decode(), "")
        finally:
            os.close(theirs)
            os.close(ours)

    @contextmanager
    def running(self, *command: str) -> Iterator[Running]:
        files = self.folder / f"{time.time_ns()}.out", self.folder / f"{time.time_ns()}.err"
        with files[0].open("wb") as out, files[1].open("wb") as err:
            process = subprocess.Popen(
                command,
                cwd=self.here,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                preexec_fn=_end_with_parent,
            )
        try:
            yield Running(process, files)
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True)
class Chain:
    """The chain of an Anvil."""

    url: str

    def rpc(self, method: str, *params: Any) -> Any:
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answered = requests.post(self.url, json=asked, timeout=60).json()
        assert "error" not in answered, answered
        return answered["result"]

    def nonce(self, address: str) -> int:
        return int(self.rpc("eth_getTransactionCount", address, "latest"), 16)

    def send(self, sender: str, to: str, data: str) -> None:
        """Sends a transaction from an account of Anvil, and waits until it is mined."""
        sent = self.rpc("eth_sendTransaction", {"from": sender, "to": to, "data": data})
        deadline = time.monotonic() + 60
        while (receipt := self.rpc("eth_getTransactionReceipt", sent)) is None:
            assert time.monotonic() < deadline, "the transaction is not mined"
            time.sleep(0.02)
        assert int(receipt["status"], 16) == 1

    @contextmanager
    def unmined(self) -> Iterator[None]:
        """Stops mining while the context lasts."""
        self.rpc("evm_setAutomine", False)
        try:
            yield
        finally:
            self.rpc("evm_setAutomine", True)
            self.rpc("evm_mine")


@contextmanager
def anvil(shell: Shell, *options: str) -> Iterator[Chain]:
    port = free_port()
    chain = Chain(f"http://127.0.0.1:{port}")
    with shell.running("anvil", "--silent", "--port", str(port), *options) as running:
        running.until(lambda: is_there(chain))
        yield chain


def _end_with_parent() -> None:
    """Makes Linux end this process when the tests are killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def is_there(chain: Chain) -> bool:
    try:
        return bool(chain.rpc("eth_chainId"))
    except requests.RequestException:
        return False


def document(text: str) -> dict[str, Any]:
    """A JSON document without its version, once it is checked against the rules."""
    found: dict[str, Any] = json.loads(text)
    check_document(found)
    del found["schema_version"]
    return found


def parsed(text: str) -> Any:
    """The JSON document, once it is printed completely."""
    try:
        return document(text)
    except json.JSONDecodeError:
        return None
