"""What a model takes and gives, by the specs of its API."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st

from ape_dtn.errors import InvalidCall, UndecodableAnswer
from ape_dtn.model import TEXT_SPECS, Api

ID = "0x" + "5e" * 32
TEXT = Api("llm-simpletext", TEXT_SPECS, "")
IMAGE = Api("llm-simpleimage", "string[], uint64, uint64 -> bytes", "")
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
def test_specs_say_what_goes_in_and_out(specs: str, inputs: list[str], output: str | None) -> None:
    api = Api("any", specs, "")

    assert api.inputs == inputs
    assert api.output == (output or "(string,bytes)")


@pytest.mark.parametrize("specs", ["string[ -> string", ",, -> string", "string string -> string"])
def test_specs_that_cannot_be_read_are_refused(specs: str) -> None:
    with pytest.raises(InvalidCall, match="types cannot be read") as raised:
        _ = Api("any", specs, "").inputs

    assert raised.value.specs == specs


@given(LINES)
def test_a_prompt_is_encoded_as_solidity_would(lines: list[str]) -> None:
    prompt = [*lines, "?"]

    assert TEXT.encode_prompt(prompt) == encode(["string[]"], [prompt])


def test_empty_lines_among_others_are_kept() -> None:
    assert TEXT.encode_prompt(["", "Hello?", ""]) == encode(["string[]"], [["", "Hello?", ""]])


def test_a_prompt_alone_is_not_enough_for_an_image() -> None:
    with pytest.raises(InvalidCall, match="a prompt alone"):
        IMAGE.encode_prompt(["A cat"])


def test_all_inputs_of_an_image_are_encoded() -> None:
    encoded = IMAGE.encode(["A cat"], 64, 32)

    assert encoded == encode(["string[]", "uint64", "uint64"], [["A cat"], 64, 32])


@pytest.mark.parametrize(
    "values",
    [(), (["A cat"],), (["A cat"], 64, 32, 1)],
)
def test_the_number_of_inputs_must_fit(values: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidCall, match=f"3 are needed, and {len(values)} are given"):
        IMAGE.encode(*values)


@pytest.mark.parametrize(
    "values",
    [
        ("A cat", 64, 32),
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
def test_types_that_do_not_exist_cannot_be_called(specs: str) -> None:
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
def test_an_api_without_a_readable_output_gives_undecodable_answers(output: str) -> None:
    with pytest.raises(UndecodableAnswer):
        Api("any", f"string[] -> {output}", "").decode(encode(["string"], ["Hello"]), ID)
