"""``ZeroPacking`` restores all ABI-encoded data."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import encode
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ape_dtn.chain import transactions
from ape_dtn.types.abi import Function
from audit import sources
from tests.conftest import Cast

from .conftest import Net

HARNESS = """
pragma solidity ^0.8.24;
import {ZeroPacking} from "contracts/network/reference/ZeroPacking.sol";

contract Harness {
    function pack(bytes memory data) external pure returns (bytes memory) {
        return ZeroPacking.pack(data);
    }

    function thereAndBack(
        bytes memory data,
        bytes memory before,
        bytes memory behind
    ) external pure returns (bytes memory found, bytes memory otherFound) {
        bytes memory packed = ZeroPacking.pack(data);
        bytes memory other = bytes.concat(data);
        bytes memory all = bytes.concat(before, packed, behind);
        found = ZeroPacking.unpack(all, before.length, before.length + packed.length);
        otherFound = ZeroPacking.unpack(ZeroPacking.pack(other), 0, packed.length);
        require(keccak256(other) == keccak256(data), "What is beside it has changed");
    }
}
"""
PACK = Function("pack(bytes)", "bytes")
THERE_AND_BACK = Function("thereAndBack(bytes,bytes,bytes)", "bytes,bytes")

# Words with numbers, the ends of texts, or any bytes, with zero bytes at any place.
numbers = st.integers(0, 32).flatmap(lambda n: st.binary(min_size=n, max_size=n))
words = st.one_of(
    numbers.map(lambda some: some.rjust(32, b"\0")),
    numbers.map(lambda some: some.ljust(32, b"\0")),
    st.integers(0, 255).map(lambda bit: (1 << bit).to_bytes(32, "big")),
    st.lists(st.sampled_from((b"\0", b"\1", b"\x80", b"\xff")), min_size=32, max_size=32).map(
        b"".join
    ),
)
every_bit = b"".join((1 << bit).to_bytes(32, "big") for bit in range(256))
every_end = b"".join((b"\xff" * n).ljust(32, b"\0") for n in range(33))


@pytest.fixture(scope="module")
def creation_code() -> bytes:
    output = {"Harness.sol": {"Harness": ["evm.bytecode.object"]}}
    made = sources.compiled({"Harness.sol": HARNESS}, output)["contracts"]["Harness.sol"]
    return bytes.fromhex(made["Harness"]["evm"]["bytecode"]["object"])


@pytest.fixture
def harness(reference: Net, cast: Cast, creation_code: bytes) -> str:
    return transactions.create(reference.provider, cast.owner, creation_code)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@example([every_bit], b"", b"")
@example([every_end], b"\1", b"\xff" * 40)
@given(st.lists(words, max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_unpacking_restores_packed_data(
    reference: Net, harness: str, some: list[bytes], before: bytes, behind: bytes
) -> None:
    data = b"".join(some)

    assert reference.read(harness, THERE_AND_BACK, data, before, behind) == (data, data)


@pytest.mark.parametrize(
    ("word", "packed"),
    [
        (bytes(32), b"\0"),
        (bytes(31) + b"\5", b"\1\5"),
        (bytes(30) + b"\5\0", b"\2\5\0"),
        (b"\xff" * 32, b"\x20" + b"\xff" * 32),
        (b"Hi." + bytes(29), b"\x23Hi."),
        (b"\xff" * 31 + b"\0", b"\x3f" + b"\xff" * 31),
        (b"\0" + b"\xff" * 30 + b"\0", b"\x1f" + b"\xff" * 30 + b"\0"),
    ],
    ids=["zero", "digit", "number", "full", "text", "long text", "neither"],
)
def test_only_padding_is_left_out_of_a_word(
    reference: Net, harness: str, word: bytes, packed: bytes
) -> None:
    assert reference.read(harness, PACK, word) == packed


def test_a_prompt_of_64_bytes_loses_most_of_its_padding(reference: Net, harness: str) -> None:
    data = encode(["bytes", "bytes"], [encode(["string[]"], [["Hello? " * 9]]), b""])
    packed: Any = reference.read(harness, PACK, data)

    assert len(packed) < len(data) / 3
