"""Prompts become source code and mean the same there, whatever characters they hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solcx.exceptions import SolcError

from ape_dtn.chain import reads, transactions
from ape_dtn.chain.reads import Call
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.errors import (
    DtnError,
    EmptyPrompt,
    InvalidCall,
    InvalidName,
    InvalidOption,
    InvalidPrompt,
)
from ape_dtn.scaffold import python, solidity
from ape_dtn.scaffold.consumer import Consumer, consumer
from ape_dtn.scaffold.literals import width
from ape_dtn.types.abi import Function
from ape_dtn.types.model import TEXT_SPECS, Api
from tests.conftest import Cast

from .compiling import creation_codes

ROOT = Path(__file__).parents[2]
MODEL = "model.system.openai-gpt-5-nano"
TEXT = Api("", TEXT_SPECS, "")

# Quotes, backslashes, line ends of all kinds, text from right to left, and what cannot be seen.
NASTY = [
    "\"double\" 'single' `back` \\ \\n \\u0041 \\",
    "line\nline\r\nline\ttab\x0b\x0c\x85\u2028\u2029 end",
    "\u202eright to left\u2066 and not back",
    "nul \x00 bell \x07 delete \x7f nbsp \xa0 zero width \u200b mark \ufeff",
    "äöü 日本語 😀 tag \U000e0001 e\u0301",
    '*/ // /* "; selfdestruct(msg.sender); //',
    "\"\"\" ''' {not a placeholder} {} {{0}} %s ${name} $$",
    " leading and trailing ",
    "word" * 60,
    "日本語 " * 60,
    "\x00" * 60 + '"' * 60,
]

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=150) | st.sampled_from(NASTY)

_ESCAPE = re.compile(r'\\(?:u([0-9a-f]{4})|x([0-9a-f]{2})|(["\\nrt]))')
_PLAIN = {'"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t"}


def read_by_solidity(literal: str) -> str:
    """What a literal of Solidity stands for, by the compiler's documentation."""
    prefix, body = re.fullmatch(r'(unicode)?"(.*)"', literal).groups()  # type: ignore[union-attr]
    assert prefix or body.isascii()
    assert body.isprintable()
    assert '"' not in _ESCAPE.sub("", body)
    assert "\\" not in _ESCAPE.sub("", body)

    def character(found: re.Match[str]) -> bytes:
        code, byte, plain = found.groups()
        if byte:
            return bytes.fromhex(byte)
        return (chr(int(code, 16)) if code else _PLAIN[plain]).encode()

    read, place = b"", 0
    for found in _ESCAPE.finditer(body):
        read += body[place : found.start()].encode() + character(found)
        place = found.end()
    return (read + body[place:].encode()).decode()


@given(TEXTS)
def test_solidity_reads_what_was_written(text: str) -> None:
    assert read_by_solidity(solidity.literal(text)) == text


@given(TEXTS)
def test_python_reads_what_was_written(text: str) -> None:
    assert ast.literal_eval(python.literal(text)) == text


@given(st.lists(TEXTS, min_size=1, max_size=3).filter(lambda lines: "".join(lines).strip()))
def test_a_client_has_exactly_the_prompt(lines: list[str]) -> None:
    asked = fixed(lines)
    if asked is None:
        return
    module = ast.parse(python.client(asked))

    (prompt,) = (
        node.value
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PROMPT"
    )
    assert ast.literal_eval(prompt) == (lines[0] if len(lines) == 1 else tuple(lines))


@given(st.lists(TEXTS, min_size=1, max_size=3).filter(lambda lines: "".join(lines).strip()))
def test_a_contract_has_exactly_the_prompt(lines: list[str]) -> None:
    asked = fixed(lines)
    if asked is None:
        return
    source = solidity.contract(asked)

    body = source.partition("returns (bytes32 requestId) {\n")[2].partition("return _ask(")[0]
    assigned = re.findall(r"lines\[\d\] =\s((?:.|\n)*?\");\n", body)
    found = [
        "".join(map(read_by_solidity, re.findall(r'(?:unicode)?"(?:\\.|[^"\\])*"', each)))
        for each in assigned
    ]
    assert found == lines
    assert all(line.isprintable() for line in source.split("\n"))


def fixed(lines: list[str]) -> Consumer | None:
    """A consumer for a prompt; None where it happens to have placeholders that are wrong."""
    try:
        return consumer("Fixed", MODEL, TEXT, lines)
    except InvalidPrompt:
        return None


def test_the_compiler_reads_what_was_written(network: LocalNetwork, cast: Cast) -> None:
    functions = "\n".join(
        f"function f{place}() external pure returns (string memory) {{"
        f" return {solidity.literal(text)}; }}"
        for place, text in enumerate(NASTY)
    )
    source = (
        f"// SPDX-License-Identifier: MIT\npragma solidity ^0.8.20;\ncontract N {{{functions}}}"
    )
    code = creation_codes({"N.sol": source})["N"]
    provider = network.ai.provider
    contract = transactions.create(provider, cast.owner, code)

    calls = [Call(contract, Function(f"f{place}()", "string")) for place in range(len(NASTY))]
    assert list(reads.read(provider, *calls)) == NASTY


PICTURE = Api("", "string[], uint64, uint64 -> bytes", "prompt: the lines; width, height: pixels")
CONSUMERS = (
    consumer("Question", MODEL, TEXT),
    consumer(
        "AgeCheck", MODEL, TEXT, ["Is {0:address} older than {1:uint8}?"], ["owner", "maximumAge"]
    ),
    consumer("Nasty", MODEL, TEXT, NASTY),
    consumer("Long", MODEL, TEXT, ["A " + "word " * 30 + "{0} {3:bytes4} {1:int8[]}"]),
    consumer(
        "Picture",
        MODEL,
        PICTURE,
        ["A picture of {0}.", "In the style of {1:string[]}."],
        ["what", "styles"],
    ),
    # Names that nobody could use: the registry takes whatever it is given.
    consumer("Named", MODEL, Api("", "string, uint8, bool -> int8", "prompt, contract, Ünï: x")),
    consumer("Sums", MODEL, Api("", "uint256, int64[2][] -> uint256[][]", "")),
    consumer(
        "Everything",
        MODEL,
        Api("", "bool, string, bytes32[2][], string[] -> string[]", ""),
        ["{0:bytes} {1:uint256[3]} {5:bool} {2:address[]} {6}"],
    ),
    consumer(
        "Many", MODEL, TEXT, [" ".join(f"{{{each}}}" for each in range(solidity.MOST_PARAMETERS))]
    ),
    consumer("Truth", MODEL, Api("", "string -> bool", ""), ["Is it {0}?"]),
)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the Python client of each consumer."""
    folder = tmp_path_factory.mktemp("clients")
    for each in CONSUMERS:
        (folder / f"{each.name.lower()}.py").write_text(python.client(each))
    return folder


def checked(*command: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_clients_are_formatted_and_linted(clients: Path) -> None:
    checked("ruff", "format", "--isolated", "--check", clients)
    checked(
        *("ruff", "check", "--isolated", clients),
        *("--select", "E,W,F,I,UP,B,SIM,RUF,C4,PIE,RET,PTH,D"),
        *("--ignore", "RUF001"),  # letters that look like others: the prompt's are as they are
        *("--config", "lint.pydocstyle.convention='google'"),
        *("--config", "lint.isort.known-third-party=['ape_dtn']"),  # as in a user's project
    )


def test_clients_are_typed(clients: Path) -> None:
    checked("mypy", clients)  # as strict as the checkout's configuration is


def test_contracts_compile_without_a_warning() -> None:
    codes = creation_codes({f"{each.name}.sol": solidity.contract(each) for each in CONSUMERS})

    assert codes.keys() == {each.name for each in CONSUMERS}
    assert not any(map(solidity.needs_ir, CONSUMERS))


def test_more_values_need_the_other_code_generator() -> None:
    prompt = " ".join(f"{{{place}}}" for place in range(solidity.MOST_PARAMETERS + 1))
    many = consumer("Many", MODEL, TEXT, [prompt])
    sources = {"Many.sol": solidity.contract(many)}

    assert solidity.needs_ir(many)
    with pytest.raises(SolcError, match="Stack too deep"):
        creation_codes(sources)
    assert creation_codes(sources, via_ir=True)


def test_no_line_of_a_contract_is_too_long() -> None:
    lines = [line for each in CONSUMERS for line in solidity.contract(each).split("\n")]

    assert max(map(width, lines)) <= solidity.LINE


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"name": "ageCheck"}, InvalidOption, "'ageCheck' cannot name a contract"),
        ({"name": "DtnSession"}, InvalidOption, "'DtnSession' cannot name a contract"),
        ({"name": "A/../B"}, InvalidOption, "cannot name a contract"),
        ({"model": "gpt-5"}, InvalidName, "'gpt-5' names no model"),
        ({"model": 'model.system.a"b'}, InvalidOption, "characters that no source should have"),
        ({"names": ["a", "b", "c"]}, InvalidOption, "2 values to name, and 3 names"),
        ({"names": ["a", "a"]}, InvalidOption, "each value needs its own"),
        ({"names": ["someName", "some_name"]}, InvalidOption, "each value needs its own"),
        ({"names": ["contract"]}, InvalidOption, "'contract' means something else"),
        ({"names": ["lambda"]}, InvalidOption, "'lambda' means something else"),
        ({"names": ["uint8"]}, InvalidOption, "'uint8' means something else"),
        ({"names": ["sessionId"]}, InvalidOption, "'sessionId' means something else"),
        ({"names": ["timeout"]}, InvalidOption, "'timeout' means something else"),
        ({"names": ["o; }"]}, InvalidOption, "cannot name a value"),
        ({"lines": [" "]}, EmptyPrompt, "empty"),
        ({"lines": ["{0:uint7}"]}, InvalidPrompt, "'uint7' is not an ABI type"),
        ({"lines": ["{0:(uint8,bool)}"]}, InvalidPrompt, "cannot be given '(uint8,bool)'"),
        ({"lines": ["{100}"]}, InvalidPrompt, "more values than a contract"),
        ({"lines": ["{0} {0:bool}"]}, InvalidPrompt, "two types, string and bool"),
        ({"lines": ["half \ud83d"]}, InvalidPrompt, "half a character"),
        ({"api": "uint8 -> string"}, InvalidCall, "takes no text"),
        ({"api": "string"}, InvalidCall, "a contract cannot be given, or keep, ''"),
        ({"api": "string -> (string,bool)"}, InvalidCall, "cannot be given, or keep"),
        ({"api": "string, uint7 -> bool"}, InvalidCall, "cannot be given, or keep, 'uint7'"),
        ({"api": "string, uint8[0] -> bool"}, InvalidCall, "not valid ABI types"),
        ({"api": "string -> bool", "lines": ["a", "b"]}, InvalidCall, "2 lines is no string"),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_what_nobody_could_compile_is_refused(
    changes: dict[str, object], error: type[DtnError], said: str
) -> None:
    asked: dict[str, object] = {
        "name": "AgeCheck",
        "model": MODEL,
        "api": TEXT_SPECS,
        "lines": ["{0} {1}"],
        "names": [],
        **changes,
    }
    asked["api"] = Api("", str(asked["api"]), "")

    with pytest.raises(error, match=re.escape(said)):
        consumer(**asked)  # type: ignore[arg-type]  # each is what it is called for
