"""Messages are true, and speak to those who type commands."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import click
import pytest

from ape_dtn._cli import cli
from ape_dtn._cli.options import DEFAULT_FEE_PER_BYTE, DEFAULT_MAX_COST, DEFAULT_MODEL
from ape_dtn.network.config import DtnConfig

from .conftest import Network
from .in_process import InProcess
from .shell import CUSTOMER, CUSTOMER_ADDRESS
from .test_help import EACH, SUBCOMMANDS

IMAGE = "model.system.openai-gpt-image-1"
BY_CUSTOMER = ("--account", CUSTOMER, "-y")


def words(text: str) -> str:
    """A text without its line breaks, which click also puts after hyphens."""
    return " ".join(text.split()).replace("- ", "-")


@pytest.mark.parametrize("command", [("session", "list"), ("journal",), ("rescue",)], ids=" ".join)
def test_a_command_that_only_reads_does_not_ask_for_a_signature(
    reference: Network, command: tuple[str, ...]
) -> None:
    done = reference.dtn(*command, "--json")

    assert (done.code, done.error["code"]) == (2, "no_account")
    assert done.error["message"] == "No account was given."
    assert done.error["hint"] == "Name the account: --account ALIAS."


def test_a_command_that_sends_asks_for_the_account_that_signs(reference: Network) -> None:
    done = reference.dtn("session", "start", "1", "-y", "--json")

    assert (done.code, done.error["code"]) == (2, "no_account")
    assert done.error["message"] == "No account was given to sign the transaction."
    assert done.error["hint"] == "Name the account that signs: --account ALIAS."


def test_a_prompt_is_missed_before_an_account(reference: Network) -> None:
    done = reference.dtn("ask", "--json")

    assert done.code == 2
    assert done.error["message"].startswith("Give a PROMPT")


def test_a_key_that_is_used_again_says_that_nothing_is_sent(reference: Network) -> None:
    ask = ("ask", "Once more?", *BY_CUSTOMER, "--idempotency-key", "messages")
    with reference.answering():
        first, again = reference.dtn(*ask), reference.dtn(*ask)

    assert (first.code, again.code) == (0, 0)
    assert "is sent." in first.err
    assert "is sent." not in again.err
    assert "was sent under this key before. Nothing is sent again." in again.err


def test_hints_name_options_instead_of_python(reference: Network) -> None:
    prompt = reference.dtn("quote", "Is it {0:uint8}?", "--json").error
    image = reference.dtn("quote", "A cat", "--model", IMAGE, "--json").error

    assert prompt["code"] == "invalid_prompt"
    assert "--value" in prompt["hint"]
    assert "Prompt(" not in prompt["hint"]
    assert image["code"] == "invalid_call"
    assert "--input NAME=VALUE" in image["hint"]


@pytest.mark.parametrize(
    ("command", "similar"),
    [
        (("sesion",), "session"),
        (("session", "closse"), "close"),
        (("node", "regster"), "register"),
        (("deployment", "acept"), "accept"),
        (("journal", "cancle"), "cancel"),
    ],
    ids=" ".join,
)
def test_a_mistyped_command_suggests_one_of_its_group(
    shell: InProcess, command: tuple[str, ...], similar: str
) -> None:
    done = shell.dtn(*command)

    assert done.code == 2
    assert f"has no command '{command[-1]}'. Did you mean '{similar}'?" in done.err


def test_without_a_similar_command_none_is_suggested(shell: InProcess) -> None:
    done = shell.dtn("session", "xyzzy")

    assert done.code == 2
    assert "`ape dtn session` has no command 'xyzzy'." in words(done.err)
    assert "Did you mean" not in done.err


def test_the_version_is_that_of_the_package(shell: InProcess) -> None:
    done = shell.dtn("--version")

    assert (done.code, done.out) == (0, f"ape-dtn, version {version('ape-dtn')}\n")


def test_help_shows_the_defaults_of_the_configuration(shell: InProcess) -> None:
    defaults = {name: field.default for name, field in DtnConfig.model_fields.items()}
    assert defaults["model"] == DEFAULT_MODEL
    assert defaults["max_cost"] == DEFAULT_MAX_COST
    assert defaults["fee_per_byte"] == DEFAULT_FEE_PER_BYTE

    for command in ("ask", "ask-many", "quote"):
        shown = words(shell.dtn(command, "--help").out)
        for default in (DEFAULT_MODEL, DEFAULT_MAX_COST, DEFAULT_FEE_PER_BYTE):
            assert f"By default as configured, else {default}." in shown


def commands() -> list[Any]:
    """Every command that is not a group, with its name."""
    found = []
    for names in EACH:
        command: Any = cli
        for name in names:
            command = command.commands[name]
        if names not in [(group,) for group in SUBCOMMANDS]:
            found.append(pytest.param(command, id=" ".join(names)))
    return found


@pytest.mark.parametrize("command", commands())
def test_every_option_has_help(command: click.Command) -> None:
    options = [param for param in command.params if isinstance(param, click.Option)]

    assert [option.opts for option in options if not option.help] == []


def test_an_owner_can_be_an_alias(reference: Network) -> None:
    rescue = reference.dtn("rescue", "--owner", CUSTOMER, "--json")
    sessions = reference.dtn("session", "list", "--owner", CUSTOMER)
    watch = reference.dtn("watch", "--owner", CUSTOMER, "--timeout", "0")

    assert (rescue.code, rescue.json["account"]) == (0, CUSTOMER_ADDRESS)
    assert sessions.out.startswith(f"Open sessions of {CUSTOMER_ADDRESS}")
    assert watch.code == 0


def test_on_a_local_chain_no_thief_is_announced(reference: Network) -> None:
    done = reference.dtn("session", "start", "1", *BY_CUSTOMER)

    assert "Method: two-step, deposit and start in two transactions.\n" in done.err
