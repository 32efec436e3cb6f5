"""Text of others on a terminal, in a pipe, and in encodings that lack its characters."""

from __future__ import annotations

import ast
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

import ape_dtn._cli
from ape_dtn._cli.devnet import _logging_events
from ape_dtn.network.abi import ModelManager
from tests.node.test_console import Terminal

from .conftest import Network
from .shell import CUSTOMER, OWNER_ADDRESS

# Window title, clear screen, clipboard, C1 colour, order of writing, zero width, NUL, line start.
HOSTILE = (
    "a\x1b]0;title\x07\x1b[2J\x1b]52;c;aGk=\x07\x9b31m\u202egnp\u2066\u200b\ufeff\x08\x7f\x00 b\rc"
)
ESCAPED = (
    r"a\x1b]0;title\x07\x1b[2J\x1b]52;c;aGk=\x07\x9b31m\u202egnp\u2066\u200b\ufeff\x08\x7f\x00 b\rc"
)
# Not those that a spinner on standard error writes itself.
COMMANDS = ("\x1b]", "\x1b[2J", "\x07", "\x9b", "\u202e", "\u2066", "\u200b", "\ufeff", "\x08")
BY_US = ("--account", CUSTOMER, "-y")

# What the languages and alphabets of the world write: no encoding but UTF-8 has all of it.
FOREIGN = "né 你好 🙂"


def check_printed(text: str, *, in_table: bool = False) -> None:
    """Checks that a terminal shows the hostile text, and obeys nothing in it."""
    assert not [command for command in (*COMMANDS, "\x7f", "\0") if command in text]
    if in_table:
        text = "".join(character for character in text if character not in "│┃ \n")
    assert (ESCAPED.replace(" ", "") if in_table else ESCAPED) in text


@pytest.fixture
def opened(reference: Network) -> str:
    """An open session of the customer."""
    return str(reference.dtn("session", "start", "5", *BY_US, "--json").json["session"])


def asked(network: Network, session: str, prompt: str) -> str:
    """Sends a request without waiting; returns its id."""
    done = network.dtn("ask", prompt, "--session", session, *BY_US, "--json", "--timeout", "0")
    return str(done.error["request_id"])


def test_answers_on_a_terminal(reference: Network, opened: str, tmp_path: Path) -> None:
    terminal, prompts = reference.on_terminal(), tmp_path / "prompts"
    prompts.write_text(HOSTILE.replace("\r", "") + "\n", "utf-8")
    with reference.answering():
        done = terminal.dtn("ask", HOSTILE, "--session", opened, *BY_US)
        many = terminal.dtn("ask-many", str(prompts), "--session", opened, *BY_US)
    watched = terminal.dtn("watch", "--session", opened, "--timeout", "0.2")
    rescued = terminal.dtn("rescue", "--do", "--account", CUSTOMER, "-y")

    assert (done.code, many.code, watched.code) == (0, 0, 0)
    assert "\r" not in done.out + many.out + watched.out
    check_printed(done.out)
    assert ESCAPED.replace(r"\r", "") in many.out
    assert not [command for command in (*COMMANDS, "\0") if command in many.out]
    check_printed(watched.out)
    check_printed(rescued.out)


def test_answers_in_pipes_files_and_json_are_exact(
    reference: Network, opened: str, tmp_path: Path
) -> None:
    file = tmp_path / "answer"
    with reference.answering():
        done = reference.dtn("ask", HOSTILE, "--session", opened, *BY_US)
        printed = reference.dtn("ask", HOSTILE, "--session", opened, *BY_US, "--json")
    request = printed.json["request"]
    saved = reference.on_terminal().dtn("answer", request, "--output", str(file))

    assert done.out == f"You asked: {HOSTILE}\n"
    assert printed.json["answer"] == f"You asked: {HOSTILE}"
    assert saved.code == 0
    assert file.read_bytes() == f"You asked: {HOSTILE}".encode()


def test_failures_on_a_terminal(reference: Network, opened: str) -> None:
    terminal, request = reference.on_terminal(), asked(reference, opened, "What?")
    reference.fail(request, HOSTILE)

    answer = terminal.dtn("answer", request)
    watched = terminal.dtn("watch", "--session", opened, "--timeout", "0.2")

    check_printed(answer.err)
    check_printed(watched.out)
    assert HOSTILE in reference.dtn("answer", request).err
    assert HOSTILE in reference.dtn("answer", request, "--json").error["message"]


def test_documents_of_models_on_a_terminal(reference: Network) -> None:
    manager = reference.local.ai.contracts().model_manager
    for data in (
        ModelManager.register_model_api.encode(
            "api.system", "odd", "string[] -> string", f"prompt: {HOSTILE}"
        ),
        ModelManager.register_model.encode("model.system", "odd", "api.system.odd"),
    ):
        reference.chain.send(OWNER_ADDRESS, manager, "0x" + data.hex())

    done = reference.on_terminal().dtn("models")
    nodes = reference.on_terminal().dtn("nodes")
    exact = reference.dtn("models", "--json")

    check_printed(done.out, in_table=True)
    assert nodes.code == 0
    assert f"prompt: {HOSTILE}" in [model["docs"] for model in exact.json["models"]]


def test_logs_of_a_devnet_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    with _logging_events():
        logging.getLogger("ape_dtn.node").warning("%s failed: %s", "request", HOSTILE)

    check_printed(terminal.getvalue())


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("has_terminal", [True, False], ids=["terminal", "pipe"])
def test_an_encoding_that_lacks_characters_costs_no_answer(
    reference: Network, encoding: str, has_terminal: bool
) -> None:
    network = reference.in_encoding(encoding)
    network = network.on_terminal() if has_terminal else network
    with reference.answering():
        done = network.dtn("ask", FOREIGN, *BY_US)

    shown = FOREIGN.encode(encoding, "backslashreplace").decode(encoding)
    assert (done.code, done.out) == (0, f"You asked: {shown}\n")
    assert done.err.count(f"Standard output is encoded in {encoding}") == 1
    assert "Traceback" not in done.err
    assert "is closed. Refunded" in done.err
    assert network.dtn("models").code == 0


def test_one_module_prints_for_people() -> None:
    """Text that is printed elsewhere would reach the terminal as it is."""
    printing = {"echo", "secho", "style", "print", "Console", "Text"}
    found: set[tuple[str, Any]] = set()
    for file in Path(ape_dtn._cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", getattr(node.func, "id", None))
                found |= {(file.name, name)} if name in printing else set()

    assert {file for file, _ in found} == {"screen.py", "json_output.py"}
    assert ("json_output.py", "echo") not in found
