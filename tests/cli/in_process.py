"""The real `ape` in the process of the tests, which saves the import of Ape for each command.

:class:`tests.cli.shell.Shell` runs commands as processes.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ape.api.networks import ProviderContextManager
from ape.logging import logger
from ape.utils.basemodel import ManagerAccessMixin as access

from ape_dtn.journal import process_lock
from ape_dtn.network import deployments

from .shell import FOUNDRY, Done, Shell


@dataclass(frozen=True)
class InProcess(Shell):
    """A shell whose `ape dtn` runs in this process and restores the process's state.

    Attributes:
        encoding: The encoding of its standard output.
        has_terminal: Whether its output and errors are shown on a terminal.
    """

    encoding: str = "utf-8"
    has_terminal: bool = False

    def dtn(self, *command: str, answers: str | None = None) -> Done:
        from ape._cli import cli

        # Streams as Python opens them. Click's own runner differs: its prompts take the end of the
        # input for an empty answer.
        opened = _Terminal if self.has_terminal else io.TextIOWrapper
        streams = [
            io.TextIOWrapper(io.BytesIO((answers or "").encode()), "utf-8"),
            opened(io.BytesIO(), self.encoding, write_through=True),
            opened(io.BytesIO(), self.encoding, "backslashreplace", write_through=True),
        ]
        level, code = logger.level, 1
        with self.at_home(), pytest.MonkeyPatch.context() as patch:
            for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
                patch.setattr(sys, name, stream)
            try:
                cli.main(["dtn", *command], prog_name="ape")
            except SystemExit as ended:
                code = int(ended.code or 0)
            except Exception:
                traceback.print_exc()  # as Python does for an uncaught exception
            finally:
                logger.set_level(level)
        _, out, err = (stream.buffer.getvalue().decode(self.encoding) for stream in streams)
        return Done(code, out, err)

    @contextmanager
    def at_home(self) -> Iterator[None]:
        """Gives this process the state of a new one: environment, folder, accounts, deployments."""
        with pytest.MonkeyPatch.context() as patch, _own_connections(), _own_presence(patch):
            for name in os.environ.keys() - self.environment.keys():
                patch.delenv(name)
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.chdir(self.here)
            patch.setattr(vars(access)["local_project"], "_cache", access.Project(self.here))
            patch.setattr(access.config_manager, "DATA_FOLDER", self.data_folder)
            accounts = access.account_manager
            patch.setitem(vars(accounts), "containers", type(accounts).containers.func(accounts))
            patch.setattr(deployments, "_in_this_process", {})
            patch.setattr(access.network_manager, "get_provider_from_choice", _provider)
            yield


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def _provider(network_choice: str | None = None, **settings: Any) -> Any:
    """The provider of a choice: the connection of the tests, if it is to the same chain.

    A new connection of Ape takes ten times as long as most commands.
    """
    networks = access.network_manager
    connected, url = networks.active_provider, os.environ.get("APE_FOUNDRY_HOST")
    if network_choice == FOUNDRY and connected and connected.http_uri == url:
        return connected
    return type(networks).get_provider_from_choice(networks, network_choice, **settings)


@contextmanager
def _own_connections() -> Iterator[None]:
    """Ends the connections that are made in the context; earlier ones are reused."""
    connected = ProviderContextManager.connected_providers
    before = set(connected)
    try:
        yield
    finally:
        for made in set(connected) - before:
            connected.pop(made).disconnect()


@contextmanager
def _own_presence(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Appears to journals as a separate process, which has ended when the context ends."""
    present: dict[Path, Any] = {}
    begin = process_lock._locked_name.__wrapped__

    def _present(folder: Path, process: int) -> Any:
        if folder not in present:
            present[folder] = begin(folder, process)
        return present[folder]

    patch.setattr(process_lock, "_locked_name", _present)
    try:
        yield
    finally:
        for _, lock in present.values():
            lock.release()
