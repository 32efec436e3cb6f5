"""Inputs and outputs of a model, by the specs of its API."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import pytest
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st

from ape_dtn.errors import InvalidCall, UndecodableAnswer
from ape_dtn.types.model import TEXT_SPECS, Api

ID = "0x" + "5e" * 32
TEXT = Api("llm-simpletext", TEXT_SPECS, "")
IMAGE = Api("llm-simpleimage", "string[], uint64, uint64 -> bytes", "")
NAMED = Api("llm-simpleimage", IMAGE.specs, "prompt: the lines; width, height: in pixels")
LINES = st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("specs", "inputs", "output"),
    [
        (TEXT_SPECS, ["string[]"], "string"),
        (IMAGE.specs, ["string[]", "uint64", "uint64"], "bytes"),
        ("string[],uint64->bytes", ["string[]", "uint64"], "bytes"),
        ("(string,uint8)[2],bool -> (string,bytes)", ["(string,uint8)[2]", "bool"], None),
        ("-> string", [], "string"),
    ],
)
def test_specs_have_inputs_and_output(specs: str, inputs: list[str], output: str | None) -> None:
    api = Api("any", specs, "")

    assert api.inputs == inputs
    assert api.output == (output or "(string,bytes)")


def test_a_text_becomes_a_list_of_one() -> None:
    assert IMAGE.encode("A cat", 64, 32) == IMAGE.encode(["A cat"], 64, 32)


@pytest.mark.parametrize(
    "docs",
    [
        NAMED.docs,
        "prompt, width, height",
        "prompt; width; height",
        "prompt: what to paint\nwidth: in pixels\nheight: in pixels",
        "@param prompt what to paint\n@param width in pixels, even\n@param height too",
    ],
)
def test_docs_name_the_inputs(docs: str) -> None:
    assert Api("any", IMAGE.specs, docs).names == ["prompt", "width", "height"]


@pytest.mark.parametrize(
    "docs",
    ["", "Paints a cat.", "prompt, width", "prompt, width, width", "prompt: a; width: b; c d: e"],
)
def test_docs_that_do_not_name_every_input_name_none(docs: str) -> None:
    assert Api("any", IMAGE.specs, docs).names == []


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((), {"prompt": ["A cat"], "height": 32, "width": 64}),
        ((["A cat"],), {"height": 32, "width": 64}),
        (("A cat", 64), {"height": 32}),
        (("A cat", 64, 32), {}),
    ],
)
def test_inputs_by_position_and_by_name(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    assert NAMED.bind(values, named) == [["A cat"], 64, 32]


@pytest.mark.parametrize(
    ("api", "values", "named", "says"),
    [
        (NAMED, ("A cat",), {"widht": 64}, "there is no 'widht' among prompt, width, height"),
        (NAMED, ("A cat", 64), {"width": 64, "height": 32}, "'width' is given twice"),
        (NAMED, ("A cat",), {"width": 64}, "missing height"),
        (NAMED, (), {"width": 64}, "missing prompt, height"),
        (NAMED, ("A cat", 1, 2, 3), {}, "it takes 3 (prompt, width, height), and 4 are given"),
        (IMAGE, ("A cat",), {"width": 64}, "its inputs have no names, so pass them in their order"),
    ],
)
def test_invalid_inputs_are_rejected(
    api: Api, values: tuple[Any, ...], named: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidCall, match=re.escape(says)):
        api.bind(values, named)


def test_the_input_of_the_wrong_type_is_named() -> None:
    with pytest.raises(InvalidCall, match="width is not of type uint64"):
        NAMED.encode("A cat", "64", 32)


@pytest.mark.parametrize("specs", ["string[ -> string", ",, -> string", "string string -> string"])
def test_malformed_specs_are_rejected(specs: str) -> None:
    with pytest.raises(InvalidCall, match="not valid ABI types") as raised:
        _ = Api("any", specs, "").inputs

    assert raised.value.specs == specs


@given(LINES)
def test_a_prompt_is_encoded_as_solidity_would(lines: list[str]) -> None:
    prompt = [*lines, "?"]

    assert TEXT.encode(prompt) == encode(["string[]"], [prompt])


def test_empty_lines_among_others_are_kept() -> None:
    assert TEXT.encode(["", "Hello?", ""]) == encode(["string[]"], [["", "Hello?", ""]])


def test_an_image_model_needs_more_than_a_prompt() -> None:
    with pytest.raises(InvalidCall, match="it takes 3, and 1 are given"):
        IMAGE.encode(["A cat"])


def test_all_inputs_of_an_image_are_encoded() -> None:
    encoded = IMAGE.encode(["A cat"], 64, 32)

    assert encoded == encode(["string[]", "uint64", "uint64"], [["A cat"], 64, 32])


@pytest.mark.parametrize(
    "values",
    [(), (["A cat"],), (["A cat"], 64, 32, 1)],
)
def test_the_number_of_inputs_must_fit(values: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidCall, match=f"it takes 3, and {len(values)} are given"):
        IMAGE.encode(*values)


@pytest.mark.parametrize(
    "values",
    [
        (5, 64, 32),
        (None, 64, 32),
        ([5], 64, 32),
        (["\ud800"], 64, 32),
        (["A cat"], -1, 32),
        (["A cat"], 2**64, 32),
        (["A cat"], "64", 32),
    ],
)
def test_the_types_of_inputs_must_fit(values: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidCall) as raised:
        IMAGE.encode(*values)

    assert raised.value.specs == IMAGE.specs


@pytest.mark.parametrize("specs", ["strin -> string", "uint7 -> string"])
def test_unknown_types_cannot_be_encoded(specs: str) -> None:
    with pytest.raises(InvalidCall):
        Api("any", specs, "").encode("Hello?")


@given(st.text(st.characters(codec="utf-8")))
def test_an_answer_of_text_is_text(text: str) -> None:
    assert TEXT.decode(encode(["string"], [text]), ID) == text


@given(st.binary())
def test_an_answer_of_bytes_is_bytes(data: bytes) -> None:
    assert IMAGE.decode(encode(["bytes"], [data]), ID) == data


@given(st.binary(max_size=200))
def test_any_data_is_text_or_undecodable(data: bytes) -> None:
    with suppress(UndecodableAnswer):
        assert isinstance(TEXT.decode(data, ID), str)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain text",
        encode(["uint256"], [5]),
        encode(["string"], ["cut"])[:64],
        encode(["uint256", "uint256"], [32, 2**255]),
        encode(["bytes"], [b"\xff\xfe"]),
    ],
    ids=["nothing", "unencoded", "a number", "cut off", "too long", "not UTF-8"],
)
def test_an_answer_of_another_type_is_undecodable(data: bytes) -> None:
    with pytest.raises(UndecodableAnswer, match=f"request {ID} is not a 'string'") as raised:
        TEXT.decode(data, ID)

    assert raised.value.fields == {
        "request_id": ID,
        "output": "string",
        "data": "0x" + data.hex(),
    }


@pytest.mark.parametrize("output", ["", "strin", "string,bytes", "(string", "uint7"])
def test_an_api_without_a_valid_output_type_gives_undecodable_answers(output: str) -> None:
    with pytest.raises(UndecodableAnswer):
        Api("any", f"string[] -> {output}", "").decode(encode(["string"], ["Hello"]), ID)
