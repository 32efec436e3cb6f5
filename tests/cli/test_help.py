"""The help texts of all commands."""

from __future__ import annotations

import pytest

from .in_process import InProcess

COMMANDS = (
    "answer",
    "ask",
    "ask-many",
    "demo",
    "deploy",
    "deployment",
    "devnet",
    "generate",
    "info",
    "init",
    "journal",
    "models",
    "node",
    "nodes",
    "quote",
    "rehearse",
    "rescue",
    "resume",
    "session",
    "watch",
)
SUBCOMMANDS = {
    "session": ("start", "list", "show", "close", "history", "report"),
    "journal": ("list", "cancel"),
    "deployment": ("status", "accept", "sources"),
    "node": ("register", "models", "status", "serve"),
}
EACH = [
    *((name,) for name in COMMANDS),
    *((group, name) for group, names in SUBCOMMANDS.items() for name in names),
]


def test_it_lists_all_commands(shell: InProcess) -> None:
    done = shell.dtn("--help")

    commands = done.out.partition("Commands:\n")[2]
    assert tuple(line.split()[0] for line in commands.splitlines()) == COMMANDS
    assert "..." not in commands


def test_help_lists_the_exit_codes(shell: InProcess) -> None:
    words = " ".join(shell.dtn("--help").out.split())

    assert "2 for wrong input" in words
    assert "7 if a transaction was sent and its outcome is not known yet" in words


def test_examples_keep_their_lines(shell: InProcess) -> None:
    assert "\n    ape dtn demo    " in shell.dtn("--help").out
    assert "\n    anvil    " in shell.dtn("deploy", "--help").out


@pytest.mark.parametrize("command", EACH, ids="-".join)
def test_each_command_has_help(shell: InProcess, command: tuple[str, ...]) -> None:
    done = shell.dtn(*command, "--help")

    assert (done.code, done.err) == (0, "")
    assert "--json" in done.out or command in [(group,) for group in SUBCOMMANDS]
    assert "\b" not in done.out
    assert "\\b" not in done.out


def test_an_unknown_command_is_refused(shell: InProcess) -> None:
    done = shell.dtn("sesion")

    assert done.code == 2
    assert "`ape dtn` has no command 'sesion'. Did you mean 'session'?" in done.err
