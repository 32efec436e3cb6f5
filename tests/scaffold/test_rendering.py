"""Rendering prompts with any characters, and whole consumers, as source code."""

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

# Quotes, backslashes, all kinds of line ends, right-to-left text, and invisible characters.
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


def parse_solidity_literal(literal: str) -> str:
    """Evaluate a string literal by the rules of the Solidity documentation."""
    prefix, body = re.fullmatch(r'(unicode)?"(.*)"', literal).groups()  # type: ignore[union-attr]
    assert prefix or body.isascii()
    assert body.isprintable()
    assert '"' not in _ESCAPE.sub("", body)
    assert "\\" not in _ESCAPE.sub("", body)

    def character(escape: re.Match[str]) -> bytes:
        code, byte, plain = escape.groups()
        if byte:
            return bytes.fromhex(byte)
        return (chr(int(code, 16)) if code else _PLAIN[plain]).encode()

    text, position = b"", 0
    for escape in _ESCAPE.finditer(body):
        text += body[position : escape.start()].encode() + character(escape)
        position = escape.end()
    return (text + body[position:].encode()).decode()


@given(TEXTS)
def test_solidity_literals_evaluate_to_the_text(text: str) -> None:
    assert parse_solidity_literal(solidity.literal(text)) == text


@given(TEXTS)
def test_python_literals_evaluate_to_the_text(text: str) -> None:
    assert ast.literal_eval(python.literal(text)) == text


@given(st.lists(TEXTS, min_size=1, max_size=3).filter(lambda lines: "".join(lines).strip()))
def test_a_client_contains_exactly_the_prompt(lines: list[str]) -> None:
    fixed_consumer = fixed(lines)
    if fixed_consumer is None:
        return
    module = ast.parse(python.client(fixed_consumer))

    (prompt,) = (
        node.value
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PROMPT"
    )
    assert ast.literal_eval(prompt) == (lines[0] if len(lines) == 1 else tuple(lines))


@given(st.lists(TEXTS, min_size=1, max_size=3).filter(lambda lines: "".join(lines).strip()))
def test_a_contract_contains_exactly_the_prompt(lines: list[str]) -> None:
    fixed_consumer = fixed(lines)
    if fixed_consumer is None:
        return
    source = solidity.contract(fixed_consumer)

    body = source.partition("returns (bytes32 requestId) {\n")[2].partition("return _ask(")[0]
    assignments = re.findall(r"lines\[\d\] =\s((?:.|\n)*?\");\n", body)
    rendered = [
        "".join(
            map(parse_solidity_literal, re.findall(r'(?:unicode)?"(?:\\.|[^"\\])*"', assignment))
        )
        for assignment in assignments
    ]
    assert rendered == lines
    assert all(line.isprintable() for line in source.split("\n"))


def fixed(lines: list[str]) -> Consumer | None:
    """A consumer with this prompt; None if the prompt has invalid placeholders."""
    try:
        return consumer("Fixed", MODEL, TEXT, lines)
    except InvalidPrompt:
        return None


def test_compiled_literals_return_the_text(network: LocalNetwork, cast: Cast) -> None:
    functions = "\n".join(
        f"function f{index}() external pure returns (string memory) {{"
        f" return {solidity.literal(text)}; }}"
        for index, text in enumerate(NASTY)
    )
    source = (
        f"// SPDX-License-Identifier: MIT\npragma solidity ^0.8.20;\ncontract N {{{functions}}}"
    )
    code = creation_codes({"N.sol": source})["N"]
    provider = network.ai.provider
    contract = transactions.create(provider, cast.owner, code)

    calls = [Call(contract, Function(f"f{index}()", "string")) for index in range(len(NASTY))]
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
    # The registry accepts names that are not valid identifiers.
    consumer("Named", MODEL, Api("", "string, uint8, bool -> int8", "prompt, contract, Ünï: x")),
    consumer("Sums", MODEL, Api("", "uint256, int64[2][] -> uint256[][]", "")),
    consumer(
        "Everything",
        MODEL,
        Api("", "bool, string, bytes32[2][], string[] -> string[]", ""),
        ["{0:bytes} {1:uint256[3]} {5:bool} {2:address[]} {6}"],
    ),
    consumer(
        "Many", MODEL, TEXT, [" ".join(f"{{{index}}}" for index in range(solidity.MAX_PARAMETERS))]
    ),
    consumer("Truth", MODEL, Api("", "string -> bool", ""), ["Is it {0}?"]),
)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clients")
    for item in CONSUMERS:
        (folder / f"{item.name.lower()}.py").write_text(python.client(item))
    return folder


def run_module(*command: str | Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_clients_are_formatted_and_linted(clients: Path) -> None:
    run_module("ruff", "format", "--isolated", "--check", clients)
    run_module(
        *("ruff", "check", "--isolated", clients),
        *("--select", "E,W,F,I,UP,B,SIM,RUF,C4,PIE,RET,PTH,D"),
        *("--ignore", "RUF001"),  # ambiguous characters are part of the prompts
        *("--config", "lint.pydocstyle.convention='google'"),
        *("--config", "lint.isort.known-third-party=['ape_dtn']"),  # as in a user's project
    )


def test_clients_pass_mypy(clients: Path) -> None:
    run_module("mypy", clients)  # with this project's strict configuration


def test_contracts_compile_without_warnings() -> None:
    codes = creation_codes({f"{item.name}.sol": solidity.contract(item) for item in CONSUMERS})

    assert codes.keys() == {item.name for item in CONSUMERS}
    assert not any(map(solidity.needs_ir, CONSUMERS))


def test_more_parameters_need_via_ir() -> None:
    prompt = " ".join(f"{{{index}}}" for index in range(solidity.MAX_PARAMETERS + 1))
    many = consumer("Many", MODEL, TEXT, [prompt])
    sources = {"Many.sol": solidity.contract(many)}

    assert solidity.needs_ir(many)
    with pytest.raises(SolcError, match="Stack too deep"):
        creation_codes(sources)
    assert creation_codes(sources, via_ir=True)


def test_contract_lines_are_not_too_long() -> None:
    lines = [line for item in CONSUMERS for line in solidity.contract(item).split("\n")]

    assert max(map(width, lines)) <= solidity.LINE


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"name": "ageCheck"}, InvalidOption, "'ageCheck' is not a valid name for a contract"),
        ({"name": "DtnSession"}, InvalidOption, "'DtnSession' is not a valid name for a contract"),
        ({"name": "A/../B"}, InvalidOption, "is not a valid name for a contract"),
        ({"model": "gpt-5"}, InvalidName, "'gpt-5' is not a valid model name"),
        ({"model": 'model.system.a"b'}, InvalidOption, "characters that are unsafe in source code"),
        ({"names": ["a", "b", "c"]}, InvalidOption, "3 names for 2 values"),
        ({"names": ["a", "a"]}, InvalidOption, "the names must differ"),
        ({"names": ["someName", "some_name"]}, InvalidOption, "the names must differ"),
        ({"names": ["contract"]}, InvalidOption, "'contract' is reserved"),
        ({"names": ["lambda"]}, InvalidOption, "'lambda' is reserved"),
        ({"names": ["uint8"]}, InvalidOption, "'uint8' is reserved"),
        ({"names": ["sessionId"]}, InvalidOption, "'sessionId' is reserved"),
        ({"names": ["timeout"]}, InvalidOption, "'timeout' is reserved"),
        ({"names": ["o; }"]}, InvalidOption, "is not a valid parameter name"),
        ({"lines": [" "]}, EmptyPrompt, "empty"),
        ({"lines": ["{0:uint7}"]}, InvalidPrompt, "'uint7' is not an ABI type"),
        ({"lines": ["{0:(uint8,bool)}"]}, InvalidPrompt, "cannot use the type '(uint8,bool)'"),
        ({"lines": ["{100}"]}, InvalidPrompt, "the index of {100} is too high"),
        ({"lines": ["{0} {0:bool}"]}, InvalidPrompt, "two types, string and bool"),
        ({"lines": ["half \ud83d"]}, InvalidPrompt, "an unpaired surrogate"),
        ({"api": "uint8 -> string"}, InvalidCall, "has no text input"),
        ({"api": "string"}, InvalidCall, "contracts cannot use the type ''"),
        ({"api": "string -> (string,bool)"}, InvalidCall, "contracts cannot use the type"),
        ({"api": "string, uint7 -> bool"}, InvalidCall, "'uint7' is not an ABI type"),
        ({"api": "string, uint8[0] -> bool"}, InvalidCall, "not valid ABI types"),
        (
            {"api": "string -> bool", "lines": ["a", "b"]},
            InvalidCall,
            "must be one line, but has 2",
        ),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_input_that_could_not_compile_is_refused(
    changes: dict[str, object], error: type[DtnError], message: str
) -> None:
    arguments: dict[str, object] = {
        "name": "AgeCheck",
        "model": MODEL,
        "api": TEXT_SPECS,
        "lines": ["{0} {1}"],
        "names": [],
        **changes,
    }
    arguments["api"] = Api("", str(arguments["api"]), "")

    with pytest.raises(error, match=re.escape(message)):
        consumer(**arguments)  # type: ignore[arg-type]  # values of several types
