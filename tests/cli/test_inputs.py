"""Typed inputs become values of their types, or errors that name them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from eth_abi import decode, encode

from ape_dtn import Prompt
from ape_dtn._cli.inputs import parse, to_inputs, to_prompts
from ape_dtn.deployment.assemble import SPECS
from ape_dtn.errors import EmptyPrompt, InvalidCall, InvalidPrompt
from ape_dtn.types.model import Api

ADDRESS = "0x45B80f551646fDaC777A4991FbdA748Fc5A72194"
TEXT = Api("llm-simpletext", *SPECS["llm-simpletext"])
IMAGE = Api("llm-simpleimage", *SPECS["llm-simpleimage"])
NAMELESS = Api("sum", "uint8, uint8[] -> uint256", "The first, and all the others, added up.")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", " as it is ", " as it is "),
        ("string", "5", "5"),
        ("uint64", "18446744073709551615", 2**64 - 1),
        ("uint256", "0xff", 255),
        ("int8", "-5", -5),
        ("bool", "true", True),
        ("bool", "False", False),
        ("address", ADDRESS, ADDRESS),
        ("address", ADDRESS.lower(), ADDRESS.lower()),
        ("bytes", "0x", b""),
        ("bytes", "0x00ff", b"\x00\xff"),
        ("bytes4", "0xdeadbeef", b"\xde\xad\xbe\xef"),
        ("fixed128x18", "-1.5", Decimal("-1.5")),
        ("uint8[]", "[1, 2, 3]", [1, 2, 3]),
        ("uint8[]", "[]", []),
        ("uint256[2]", f'["{2**255}", {2**255}]', [2**255, 2**255]),
        ("bool[]", '[true, "false"]', [True, False]),
        ("string[]", "one line", ["one line"]),
        ("string[]", "[not JSON", ["[not JSON"]),
        ("string[]", "[1]", ["[1]"]),
        ("string[]", '["two", "lines"]', ["two", "lines"]),
        ("(uint8,string)", '[1, "a, b"]', (1, "a, b")),
        ("(address,(bool,bytes)[])[]", f'[["{ADDRESS}", [[true, "0x01"]]]]', None),
        ("fixed128x18[]", "[0.1, 2]", [Decimal("0.1"), Decimal(2)]),
    ],
)
def test_a_typed_value_is_parsed(kind: str, text: str, value: Any) -> None:
    read = parse(kind, text)

    expected = [(ADDRESS, [(True, b"\x01")])] if value is None else value
    assert read == expected
    assert encode([kind], [read]) == encode([kind], [expected])


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("uint64", ""),
        ("uint64", "five"),
        ("uint64", "1.5"),
        ("uint64", "0xgg"),
        ("bool", "1"),
        ("address", ADDRESS[:-1]),
        ("address", ADDRESS.replace("B80", "b80")),
        ("bytes", "00ff"),
        ("bytes", "0x0"),
        ("bytes", "0x 00"),
        ("fixed128x18", "much"),
        ("uint8[]", "1, 2"),
        ("uint8[]", "5"),
        ("uint8[]", "[true]"),
        ("uint8[]", "[1.5]"),
        ("uint8[]", "[null]"),
        ("uint8[]", "null"),
        ("bool[]", "[1]"),
        ("string[][]", "[[5]]"),
        ("(uint8,string)", "[1]"),
        ("(uint8,string)", '{"0": 1}'),
    ],
)
def test_a_value_of_another_type_is_refused(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(kind, text)


def test_inputs_by_their_names() -> None:
    prompts = to_prompts(["A cat"], [])

    assert to_inputs(IMAGE, prompts, {"height": "32", "width": "64"}) == [*prompts, 64, 32]


def test_all_inputs_by_their_names() -> None:
    given = {"prompt": '["A cat", "in a hat"]', "width": "64", "height": "32"}

    assert to_inputs(IMAGE, [], given) == [["A cat", "in a hat"], 64, 32]


def test_inputs_without_names_are_numbered() -> None:
    assert to_inputs(NAMELESS, [], {"1": "[2, 3]", "0": "1"}) == [1, [2, 3]]


@pytest.mark.parametrize(
    ("api", "given", "message"),
    [
        (IMAGE, {"width": "wide", "height": "1"}, "width is not of type uint64: 'wide'."),
        (IMAGE, {"width": "1", "depth": "1"}, "there is no 'depth' among prompt, width, height."),
        (IMAGE, {"width": "1"}, "missing height."),
        (IMAGE, {"prompt": "A dog", "width": "1", "height": "1"}, "'prompt' is given twice."),
        (TEXT, {"width": "1"}, "there is no 'width' among prompt."),
        (NAMELESS, {"2": "1"}, "there is no '2' among 0, 1."),
    ],
)
def test_an_invalid_input_is_named(api: Api, given: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidCall) as raised:
        to_inputs(api, to_prompts(["A cat"], []), given)

    assert raised.value.message == f"The inputs do not fit '{api.specs}': {message}"


def test_values_have_the_types_of_the_placeholders() -> None:
    (prompt,) = to_prompts(["Is {0:address} older", "than {1:uint8}?"], [ADDRESS, "26"])

    assert prompt == Prompt(["Is {0:address} older", "than {1:uint8}?"], ADDRESS, 26)
    assert decode(["address", "uint8"], prompt.extra_params) == (ADDRESS.lower(), 26)


def test_values_follow_the_order_of_the_indices() -> None:
    (prompt,) = to_prompts(["{3} and {1:bool}"], ["true", "it"])

    assert prompt.values == (None, True, None, "it")
    assert prompt.render() == ["it and true"]


def test_no_lines_make_no_prompt() -> None:
    assert to_prompts([], []) == []


@pytest.mark.parametrize(
    ("lines", "values", "message"),
    [
        (["{0:uint8}"], ["many"], "value 0 is not of type uint8: 'many'"),
        (["{0:uint8}"], ["256"], "256 is not of type uint8"),
        (["{0} {1}"], ["one"], r"placeholder \{1\} has no value"),
        (["Hello"], ["one"], "it has 0 placeholders, and 1 values are given"),
        (["{0:number}"], ["1"], "'number' is not an ABI type"),
        ([], ["1"], "it has 0 placeholders"),
    ],
)
def test_an_invalid_value_is_named(lines: list[str], values: list[str], message: str) -> None:
    with pytest.raises(InvalidPrompt, match=message):
        to_prompts(lines, values)


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(EmptyPrompt):
        to_prompts([" ", ""], [])
