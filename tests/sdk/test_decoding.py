"""Whatever others send is decoded in time and memory in proportion to its bytes."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ape.utils.abi  # it replaces the decoder of numbers that eth_abi has
import pytest
from eth_abi import encode, is_encodable_type
from eth_abi.codec import ABIDecoder
from eth_abi.decoding import UnsignedIntegerDecoder
from eth_abi.exceptions import DecodingError
from eth_abi.registry import BaseEquals, registry
from hypothesis import given
from hypothesis import strategies as st

from ape_dtn.errors import InvalidCall, InvalidPrompt, UndecodableAnswer
from ape_dtn.network import reverts
from ape_dtn.types import abi, decoding
from ape_dtn.types.abi import Error, Event, Function, Log
from ape_dtn.types.abi_types import (
    MAX_TYPE_DEPTH,
    MAX_TYPE_LENGTH,
    InvalidAbiType,
    is_abi_type,
    parse,
)
from ape_dtn.types.model import Api
from ape_dtn.types.prompt import fill_in, placeholder_types
from tests.fuzzing import fuzzed

assert ape.utils.abi

ID = "0x" + "11" * 32

# The time limit: several times that of the slowest case, for busy machines.
SECONDS = 3.0

# The peak memory as a multiple of the data, because decoded values are Python objects.
MEMORY = 64


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def shared(levels: int, items: int) -> bytes:
    """Nested lists whose items all point to the same list; the innermost ones are empty."""
    encoded = word(0)
    for _ in range(levels):
        encoded = word(items) + word(32 * items) * items + encoded
    return word(32) + encoded


def one_text(size: int) -> bytes:
    """A list whose items all point to one text of half the size."""
    items = size // 64
    return word(32) + word(items) + word(32 * items) * items + word(size // 2) + b"a" * (size // 2)


NUMBERS_BEYOND_THE_END = word(32) + word(10**6)
BOMBS = [
    ("string[][][][]", shared(3, 50), "5 KB of lists with shared items"),
    ("string[]", one_text(2**20), "1 MB of items that point to one text"),
    ("uint64[]", NUMBERS_BEYOND_THE_END, "numbers beyond the end"),
    ("uint64[1000000]", b"", "numbers of nothing"),
    ("bytes", word(32) + word(2**255), "an impossible length"),
    ("string[]", word(2**256 - 32) + word(1), "an impossible offset"),
]


def answer_on_chain(kind: str, data: bytes) -> None:
    with pytest.raises(UndecodableAnswer):
        Api("any", f"string[] -> {kind}", "").decode(data, ID)


def answer_over_ipfs(kind: str, data: bytes) -> None:
    with pytest.raises(UndecodableAnswer):
        Api("any", f"string[] -> ({kind},bool)", "").decode_content(word(32) + data, ID)


def view_of_a_contract(kind: str, data: bytes) -> None:
    with pytest.raises(DecodingError):
        Function("view()", kind).decode(data)


def event_of_a_contract(kind: str, data: bytes) -> None:
    event = Event(f"Happened({kind} values)")
    log = Log("0x" + "00" * 20, (bytes.fromhex(event.topic[2:]),), data, 1, ID, 0)
    with pytest.raises(DecodingError):
        event.decode(log)


def error_of_a_contract(kind: str, data: bytes) -> None:
    error = Error(f"Failed({kind} values)")
    known = {error.selector: error}
    found = reverts.reverts.decode(error.selector + data, known=known)
    assert (found.name, found.data) == ("", error.selector + data)


def placeholder(kind: str, data: bytes) -> None:
    with pytest.raises(DecodingError):
        fill_in([f"What of {{0:{kind}}}?"], data)


@pytest.mark.parametrize(("kind", "data"), [bomb[:2] for bomb in BOMBS], ids=[b[2] for b in BOMBS])
@pytest.mark.parametrize(
    "decode",
    [
        answer_on_chain,
        answer_over_ipfs,
        view_of_a_contract,
        event_of_a_contract,
        error_of_a_contract,
        placeholder,
    ],
)
def test_small_data_is_never_expanded(
    decode: Callable[[str, bytes], None], kind: str, data: bytes
) -> None:
    tracemalloc.start()
    try:
        start = time.process_time()
        decode(kind, data)
        seconds, (_, peak) = time.process_time() - start, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert seconds < SECONDS
    assert peak < 2**20 + MEMORY * len(data)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("((((((uint8,string))))))", ((((((5, "a"),),),),),)),
        (
            "(uint8,(bool[2],(address,bytes)))[2]",
            [(1, ([True, False], ("0x" + "ab" * 20, b"x")))] * 2,
        ),
        ("string[][]", [["a", "b"], [], ["c" * 100]]),
        ("fixed8x1,ufixed128x18", None),
    ],
)
def test_honest_data_is_within_the_limit(kind: str, value: Any) -> None:
    kinds, values = ([kind], [value]) if value is not None else (kind.split(","), [0, 1])
    data = encode(kinds, values)

    assert decoding.decode(kinds, data) == ABIDecoder(registry).decode(kinds, data)


NESTED = "(" * 80 + "uint8" + ")" * 80


@pytest.mark.parametrize(
    "kind",
    [
        NESTED,
        "uint8" + "[]" * (MAX_TYPE_DEPTH + 1),
        "(" * MAX_TYPE_DEPTH + "uint8[]" + ")" * MAX_TYPE_DEPTH,
        "(" + ",".join(["uint8"] * MAX_TYPE_LENGTH) + ")",
        "(" + ",".join(["int"] * (MAX_TYPE_LENGTH // 5)) + ")",  # too long as int256
        "(" * 100_000,
    ],
    ids=["tuples", "arrays", "both", "long", "long when complete", "unclosed"],
)
def test_types_are_limited_in_depth_and_length(kind: str) -> None:
    start = time.process_time()

    assert not is_abi_type(kind)
    with pytest.raises(InvalidCall, match="not valid ABI types"):
        _ = Api("any", f"{kind} -> string", "").inputs
    with pytest.raises(UndecodableAnswer):
        Api("any", f"string[] -> {kind}", "").decode(b"", ID)
    with pytest.raises(ValueError, match=r"longer than|nested"):
        Api("any", f"string[] -> {kind}", "").encode_answer([])
    with pytest.raises(InvalidPrompt, match=r"longer than|nested"):
        placeholder_types([f"What of {{0:{kind}}}?"])
    assert time.process_time() - start < 0.5


def test_a_request_of_many_types_is_read_at_once() -> None:
    prompt = "".join(f"{{{index}:{'(' * (index % 70)}{NESTED}}}" for index in range(500))
    honest = "".join(
        f"{{{index}:{'(' * 14}uint8,{NESTED[80:85]}{')' * 14}}}" for index in range(999)
    )
    start = time.process_time()

    with pytest.raises(InvalidPrompt):
        placeholder_types([prompt])
    assert len(placeholder_types([honest])) == 999
    assert time.process_time() - start < SECONDS


def test_spaces_in_specs_take_time_in_proportion() -> None:
    start = time.process_time()

    with pytest.raises(InvalidCall):
        _ = Api("any", "string" + " " * 200_000 + "x -> string", "").inputs
    assert time.process_time() - start < SECONDS


BASIC = st.sampled_from(
    [
        *("uint8", "uint256", "int", "int64", "address", "bool", "bytes", "bytes1", "bytes32"),
        *("string", "fixed", "ufixed8x1", "function"),
        *("uint7", "bytes33", "bool8", "name", "fixed8", "uint08"),  # no types
    ]
)
TYPES = st.recursive(
    BASIC,
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, st.sampled_from(["[]", "[1]", "[3]", "[0]", "[01]", "["])),
        st.lists(inner, max_size=4).map(lambda kinds: f"({','.join(kinds)})"),
    ),
    max_leaves=6,
)
VALID = TYPES.filter(is_abi_type).map(lambda kind: parse(kind).text)
# Words that are lengths and offsets more often than chance has it.
DATA = st.lists(
    st.one_of(
        st.integers(0, 8).map(lambda n: word(32 * n)),
        st.integers(0, 5).map(word),
        st.binary(max_size=33),
    ),
    max_size=24,
).map(b"".join)


@fuzzed
@given(st.one_of(TYPES, st.text(max_size=12), st.text("(),[]uint8 ", max_size=40)))
def test_fuzz_types(kind: str) -> None:
    try:
        found = parse(kind)
    except InvalidAbiType:
        return
    assert is_encodable_type(found.text)
    assert parse(found.text) == found


@fuzzed
@given(st.lists(VALID, min_size=1, max_size=3), DATA)
def test_fuzz_decoding(kinds: list[str], data: bytes) -> None:
    """What is decoded is what eth_abi decodes, where that does not read beyond the end."""
    try:
        found = decoding.decode(kinds, data)
    except (DecodingError, UnicodeDecodeError):
        with suppress(DecodingError, UnicodeDecodeError):
            abi.decode(kinds, data)
        return
    assert found == strict_decoder().decode(kinds, data)
    assert abi.decode(kinds, data) == found
    json.dumps(abi.decode(kinds, data), default=str)


@fuzzed
@given(VALID, DATA)
def test_fuzz_answers(kind: str, data: bytes) -> None:
    api = Api("any", f"string[] -> {kind}", "")
    for decode in (api.decode, api.decode_content):
        with suppress(UndecodableAnswer):
            decode(data, ID)


@fuzzed
@given(st.lists(st.one_of(st.text(max_size=10), TYPES.map("{{0:{}}}".format)), max_size=4), DATA)
def test_fuzz_prompts(lines: list[str], data: bytes) -> None:
    with suppress(InvalidPrompt, DecodingError, UnicodeDecodeError):
        fill_in(lines, data)


def strict_decoder() -> ABIDecoder:
    """The decoder of eth_abi, without the one of Ape in it."""
    strict = registry.copy()
    strict.unregister_decoder("uint")
    strict.register_decoder(BaseEquals("uint"), UnsignedIntegerDecoder, label="uint")
    return ABIDecoder(strict)
