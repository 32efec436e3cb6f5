"""Amounts: parsing, formatting and arithmetic are exact, or rejected."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ape_dtn import Amount, Token
from ape_dtn.errors import BadInput, InvalidAmount, TooManyDecimals, WrongToken
from ape_dtn.types.serialization import to_json

ADDRESS = "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913"
USDC = Token(ADDRESS, "USDC", 6)
FOREIGN = Token(ADDRESS.replace("833", "834"), "USDC", 6)
WHOLE = Token(ADDRESS, "POINT", 0)
MOST = 2**256 - 1

tokens = st.builds(Token, st.just(ADDRESS), st.just("USDC"), st.integers(0, 24))
units = st.integers(1, MOST)
digits = st.text("0123456789", min_size=1, max_size=40)


@given(tokens, units)
def test_an_amount_can_be_parsed_from_its_text(token: Token, count: int) -> None:
    amount = token.units(count)

    assert token.amount(str(amount)) == amount
    assert token.amount(str(amount).removesuffix(" USDC")) == amount


@given(tokens, units)
def test_the_decimal_of_an_amount_is_exact(token: Token, count: int) -> None:
    amount = token.units(count)

    assert token.amount(amount.decimal) == amount


@given(tokens, digits, digits)
def test_amounts_are_not_rounded(token: Token, whole: str, fraction: str) -> None:
    fraction = fraction[: token.decimals]
    exact = int(whole + fraction.ljust(token.decimals, "0"))
    assume(exact > 0)
    text = f"{whole}.{fraction}" if fraction else whole

    assert token.amount(text).units == exact
    assert token.amount(Decimal(text)).units == exact


@given(tokens, digits, digits, st.sampled_from("123456789"))
def test_too_many_decimals_are_rejected(token: Token, whole: str, more: str, last: str) -> None:
    text = f"{whole}.{more.ljust(token.decimals, '0')}{last}"

    for value in (text, f"{text} USDC", Decimal(text)):
        with pytest.raises(TooManyDecimals) as raised:
            token.amount(value)
        assert f"USDC has {token.decimals} digits" in raised.value.message


@given(tokens, units, units)
def test_amounts_add_and_compare_as_their_units(token: Token, some: int, others: int) -> None:
    one, other = token.units(some), token.units(others)

    assert (one + other).units == some + others
    assert (one - other).units == some - others
    assert (one + other) - other == one
    assert (one < other, one <= other) == (some < others, some <= others)
    assert (one > other, one >= other) == (some > others, some >= others)
    assert (one == other) is (some == others)


@given(tokens, units)
def test_plain_data_keeps_every_unit(token: Token, count: int) -> None:
    amount = token.units(count)

    data = to_json(amount)

    assert int(data["units"]) == count
    assert Decimal(data["value"]) == amount.decimal
    assert data["token"] == "USDC"


@given(st.text(max_size=12))
def test_any_text_is_an_amount_or_rejected(text: str) -> None:
    with suppress(InvalidAmount):
        amount = USDC.amount(text)
        assert USDC.amount(str(amount)) == amount


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("25", 25_000_000),
        ("25.00 USDC", 25_000_000),
        ("25.00USDC", 25_000_000),
        (" 25.00  usdc ", 25_000_000),
        ("0.000001", 1),
        (".5", 500_000),
        ("1_000.5", 1_000_500_000),
        ("007", 7_000_000),
        ("1.0000000", 1_000_000),
        (Decimal("2.50"), 2_500_000),
        (Decimal("1E+3"), 1_000_000_000),
        (USDC.units(7), 7),
    ],
)
def test_valid_amounts(value: Any, count: int) -> None:
    assert USDC.amount(value) == USDC.units(count)


@pytest.mark.parametrize(
    "value",
    ["0", "0.00 USDC", "-0", "-1", "-0.000001 USDC", Decimal(0), Decimal("-0"), Decimal(-1)],
)
def test_zero_and_negative_amounts_are_rejected(value: Any) -> None:
    with pytest.raises(InvalidAmount, match="more than zero"):
        USDC.amount(value)


def test_zero_is_allowed_on_request() -> None:
    assert USDC.amount("0", zero=True).units == 0
    assert not USDC.amount("0", zero=True)
    with pytest.raises(InvalidAmount):
        USDC.amount("-1", zero=True)


@pytest.mark.parametrize("value", [2.5, 25, True, None, b"25", ("25",)])
def test_ambiguous_types_are_rejected(value: Any) -> None:
    with pytest.raises(InvalidAmount, match='write "25 USDC"'):
        USDC.amount(value)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "USDC", "nan", "inf", "-", ".", "5.", "1e-7", "1E3", "0x10", "+5", "--5", "1,0"),
        *("1.5.5", "25 USDC USDC", "25\n26", "$25", "_5"),
        *("\u0662\u0665", "\uff12\uff15", "1\u066b5", "\u00bd"),
    ],
)
def test_malformed_texts_are_rejected(text: str) -> None:
    with pytest.raises(InvalidAmount) as raised:
        USDC.amount(text)

    assert isinstance(raised.value, BadInput)
    assert raised.value.value == text
    assert repr(text)[1:-1] in repr(raised.value.message)


@pytest.mark.parametrize("value", ["NaN", "-NaN", "sNaN", "Infinity", "-Infinity"])
def test_decimals_that_are_not_numbers_are_rejected(value: str) -> None:
    with pytest.raises(InvalidAmount, match="not a number"):
        USDC.amount(Decimal(value))


def test_digits_beyond_the_precision_of_decimals_are_kept() -> None:
    text = "123456789012345678901234567890123456789012345678901234567890.123456"

    assert USDC.amount(text).units == int(text.replace(".", ""))
    assert USDC.amount(Decimal(text)).units == int(text.replace(".", ""))
    assert str(USDC.amount(text)) == f"{text} USDC"


@pytest.mark.parametrize(
    "value", ["9" * 5000, "1" + "0" * 72, Decimal("1E+80"), Decimal("1E+999999")]
)
def test_amounts_above_uint256_are_rejected(value: Any) -> None:
    with pytest.raises(InvalidAmount, match="exceeds the range"):
        USDC.amount(value)


def test_the_largest_uint256_is_an_amount() -> None:
    assert WHOLE.amount(str(MOST)).units == MOST
    with pytest.raises(InvalidAmount):
        WHOLE.amount(str(MOST + 1))


@pytest.mark.parametrize("exponent", [-7, -5000, -999_999_999])
def test_less_than_a_unit_is_rejected(exponent: int) -> None:
    with pytest.raises(TooManyDecimals):
        USDC.amount(Decimal((0, (1,), exponent)))


@pytest.mark.parametrize("value", ["25 DAI", "25 USDCX", FOREIGN.units(5), WHOLE.units(5)])
def test_amounts_of_other_tokens_are_rejected(value: Any) -> None:
    with pytest.raises(WrongToken) as raised:
        USDC.amount(value)

    assert isinstance(raised.value, InvalidAmount)
    assert raised.value.message.endswith("this network is paid in USDC.")


def test_amounts_of_different_tokens_cannot_be_combined() -> None:
    for operation in (Amount.__add__, Amount.__sub__, Amount.__lt__, Amount.__ge__):
        with pytest.raises(WrongToken):
            operation(USDC.units(1), FOREIGN.units(1))
    assert USDC.units(1) != FOREIGN.units(1)


@pytest.mark.parametrize("other", [1, 1.0, Decimal(1), "1"])
def test_amounts_and_numbers_cannot_be_combined(other: Any) -> None:
    with pytest.raises(TypeError, match="cannot be combined with"):
        _ = USDC.units(1) + other


def test_amounts_have_at_least_two_decimals() -> None:
    assert str(USDC.units(25_000_000)) == "25.00 USDC"
    assert str(USDC.units(1)) == "0.000001 USDC"
    assert str(USDC.units(-1_500_000)) == "-1.50 USDC"
    assert str(WHOLE.units(25)) == "25 POINT"


UNTYPED = [
    "USD₮0",
    "💵",
    "",
    " ",
    "USD C",
    "USD\nC",
    "US\x1b[31mD",
    "\u202eCDSU",
    " USD",
    "USD\x00",
]


@pytest.mark.parametrize("symbol", UNTYPED)
def test_amounts_of_a_symbol_that_cannot_be_typed(symbol: str) -> None:
    token = Token(ADDRESS, symbol, 6)
    amount = token.units(2_500_000)

    for text in ("2.50", f"2.50 {ADDRESS}", f"2.5 {ADDRESS.lower()}", str(amount)):
        assert token.amount(text) == amount
    assert str(amount).isprintable()
    assert to_json(amount) == {"units": "2500000", "value": "2.50", "token": symbol}
    with pytest.raises(WrongToken, match=ADDRESS):
        token.amount("2.50 USDC")
    with pytest.raises(InvalidAmount, match=f"25.00 {ADDRESS}"):
        token.amount("much")


@given(st.text(), units)
def test_an_amount_of_any_symbol_can_be_parsed_from_its_text(symbol: str, count: int) -> None:
    amount = Token(ADDRESS, symbol, 6).units(count)

    assert amount.token.amount(str(amount)) == amount


def test_the_address_of_another_token_is_rejected() -> None:
    with pytest.raises(WrongToken):
        USDC.amount(f"1 {FOREIGN.address}")
