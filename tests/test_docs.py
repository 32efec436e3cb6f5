"""The documents name only files, tests and commands that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from ape_dtn._cli import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
THREATS = (ROOT / "docs" / "threat-model.md").read_text()

_TICKED = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)#]+)")
_OWNERS = re.compile(r"function (\w+)\([^)]*\)[^{;]*\bonlyOwner\b")
_SENDER_IS_OWNER = re.compile(
    r"function (\w+)\([^)]*\)[^{;]*\{(?:(?!\n    \}).)*== owner\(\)", re.S
)


def code_spans() -> list[tuple[str, str]]:
    """Page names and the code spans on them."""
    return [(page.name, code) for page in PAGES for code in _TICKED.findall(page.read_text())]


def commands() -> list[tuple[str, str]]:
    lines = [(page.name, line) for page in PAGES for line in page.read_text().splitlines()]
    shown = [(page, line[2:].split("#")[0]) for page, line in lines if line.startswith("$ ")]
    inline = [(page, code) for page, code in code_spans() if code.startswith("ape dtn ")]
    return shown + inline


def test_named_paths_and_tests_exist() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()}
    named = [
        (page, code)
        for page, code in code_spans()
        if "/" in code and " " not in code and code.split("/")[0] in folders
    ]
    assert len(named) > 80

    for page, code in named:
        path, _, test = code.partition("::")
        assert (ROOT / path).exists(), f"{page}: {path}"
        if test:
            assert f"def {test}(" in (ROOT / path).read_text(), f"{page}: {code}"


def test_links_lead_to_files() -> None:
    for page in PAGES:
        for link in _LINK.findall(page.read_text()):
            assert "://" in link or (page.parent / link).exists(), f"{page.name}: {link}"


def test_each_threat_names_its_cover_its_tests_and_the_rest() -> None:
    sections = re.split(r"\n### (\d+)\. ", THREATS.split("\n## Beyond the fifteen")[0])[1:]
    numbers, texts = sections[::2], sections[1::2]

    assert [int(number) for number in numbers] == list(range(1, 16))
    for number, text in zip(numbers, texts, strict=True):
        for part in ("\n- Covered by: ", "\n- Tests: ", "\n- Remains: "):
            assert part in text, f"{number} lacks{part}"
        assert f"::test_line_{number}_" in text, f"no test of what the live network does: {number}"


def test_every_power_of_an_owner_is_documented() -> None:
    policy = (ROOT / "SECURITY.md").read_text()
    inherited = {"transferOwnership", "renounceOwnership", "upgradeToAndCall"}
    found = {
        name
        for path in (ROOT / "contracts" / "network").rglob("*.sol")
        for pattern in (_OWNERS, _SENDER_IS_OWNER)
        for name in pattern.findall(path.read_text())
        if not name.startswith("_")
    }

    assert {"setManagers", "setRegistrar", "registerNamespace"} <= found
    for name in found | inherited:
        assert f"`{name}`" in policy, name


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_and_their_options_exist(page: str, line: str) -> None:
    program, *words = shlex.split(line.replace("…", "word"))
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[0] in targets
        return
    assert program == "ape"
    if words[0] != "dtn":
        assert words[:2] == ["accounts", "import"]
        return
    command: click.Command = cli
    words = words[1:]
    while isinstance(command, click.Group):
        found = command.commands.get(words.pop(0))
        assert found is not None, line
        command = found
    parser = command.make_parser(click.Context(command))
    _, left, _ = parser.parse_args(list(words))  # raises where there is no such option
    assert not left
