"""Prompts with placeholders: validation, encoding and rendering."""

from __future__ import annotations

import re
from typing import Any

import pytest
from eth_abi import decode
from hypothesis import given
from hypothesis import strategies as st

from ape_dtn import DtnSession, Prompt
from ape_dtn.errors import EmptyPrompt, InvalidPrompt
from ape_dtn.types.prompt import as_text, fill_in, placeholder_types

OWNER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"

PLAIN = st.text(st.characters(exclude_characters="{}", exclude_categories=["Cs"]), max_size=20)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": PLAIN,
    "uint8": st.integers(0, 255),
    "int256": st.integers(-(2**255), 2**255 - 1),
    "bool": st.booleans(),
    "address": st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex()),
    "bytes": st.binary(max_size=40),
    "bytes32": st.binary(min_size=32, max_size=32),
    "uint64[]": st.lists(st.integers(0, 2**64 - 1), max_size=4),
    "(uint8,string)": st.tuples(st.integers(0, 255), PLAIN),
}


@st.composite
def prompts(draw: st.DrawFn) -> tuple[list[str], list[Any], list[str]]:
    """Lines with placeholders, their values, and the expected lines."""
    types = draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=4))
    values = [draw(VALUES[kind]) for kind in types]
    # Every index is used at least once, the first ones twice.
    indices = [*range(len(types)), *range(min(2, len(types)))]
    template, rendered = "", ""
    for index in draw(st.permutations(indices)):
        text = draw(PLAIN)
        kind = types[index]
        template += f"{text}{{{index}{'' if kind == 'string' else ':' + kind}}}"
        rendered += text + as_text(kind, values[index])
    tail = draw(PLAIN) + "?"
    return ["First.", template + tail], values, ["First.", rendered + tail]


@given(prompts())
def test_a_node_reads_what_is_rendered(prompt: tuple[list[str], list[Any], list[str]]) -> None:
    lines, values, expected = prompt
    built = Prompt(lines, *values)

    assert fill_in(list(built.lines), built.extra_params) == expected
    assert built.render() == expected


@given(prompts())
def test_values_are_encoded_by_index(prompt: tuple[list[str], list[Any], list[str]]) -> None:
    lines, values, _ = prompt
    built = Prompt(lines, *values)

    types = placeholder_types(lines)
    decoded = decode(types, built.extra_params) if types else ()

    assert [as_text(*pair) for pair in zip(types, decoded, strict=True)] == [
        as_text(*pair) for pair in zip(types, values, strict=True)
    ]


def test_the_example_of_the_documentation() -> None:
    prompt = Prompt("Is {0:address} older than {1:uint8}?", OWNER.lower(), 26)

    assert prompt.render() == [f"Is {OWNER} older than 26?"]


def test_an_index_that_is_not_used_is_sent_as_text() -> None:
    prompt = Prompt("{2:uint8} and {0}", "one", None, 2)

    assert prompt.render() == ["2 and one"]
    assert decode(["string", "string", "uint8"], prompt.extra_params) == ("one", "", 2)


def test_other_braces_are_kept() -> None:
    assert Prompt('{"json": {}} {x}').render() == ['{"json": {}} {x}']


@pytest.mark.parametrize(
    ("text", "values", "complaint"),
    [
        ("Hello {0}", (), "placeholder {0} has no value"),
        ("Hello {0}", (None,), "placeholder {0} has no value"),
        ("Hello {1}", ("Ann",), "placeholder {1} has no value"),
        ("Hello", ("Ann",), "value 0 has no placeholder {0}"),
        ("Hello {0:uint8}", (256,), "256 is not of type uint8"),
        ("Hello {0:uint8}", ("a",), "'a' is not of type uint8"),
        ("Hello {0:address}", ("0x12",), "'0x12' is not of type address"),
        ("Hello {0:name}", ("Ann",), "'name' is not an ABI type"),
        ("Hello {0:uint9}", (1,), "'uint9' is not an ABI type"),
        ("Hello {0:}", ("Ann",), "'' is not an ABI type"),
        ("{0} is {0:uint8}", ("1",), "placeholder {0} has two types, string and uint8"),
        ("Hello {1000}", ("Ann",), "placeholder {1000} is above {999}"),
        ("Hello {" + "9" * 5000 + "}", ("Ann",), "is above {999}"),
        ("Hello {0}", ("{1}",), "value 0 contains a placeholder"),
    ],
)
def test_invalid_prompts_are_rejected(text: str, values: tuple[Any, ...], complaint: str) -> None:
    with pytest.raises(InvalidPrompt, match=re.escape(complaint)):
        Prompt(text, *values)


@pytest.mark.parametrize("text", ["", " \n", ["", "\t"], []])
def test_an_empty_prompt_is_rejected(text: Any) -> None:
    with pytest.raises(EmptyPrompt):
        Prompt(text)


def test_a_node_answers_the_rendered_prompt(network: Any, cast: Any) -> None:
    session = DtnSession.start("1", cast.customer, network.ai)
    prompt = Prompt("Is {0:address} older than {1:uint8}?", OWNER, 26)

    request = session.request(prompt)
    network.node.answer_pending()

    assert request.answer().text == f"You asked: {prompt.render()[0]}"


def test_a_placeholder_in_plain_text_is_found_before_paying(network: Any, cast: Any) -> None:
    session = DtnSession.start("1", cast.customer, network.ai)

    with pytest.raises(InvalidPrompt) as raised:
        session.request("Who is {0}?")

    assert "Prompt(" in (raised.value.hint or "")
    assert session.balance == session.ai.token().amount("1")
