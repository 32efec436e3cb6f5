"""Amounts of tokens: exact integers, read from and written as decimal text with a unit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

from ape_dtn.types.errors import InvalidAmount, TooManyDecimals, WrongToken

_TEXT = re.compile(
    r"(?P<number>-?[0-9][0-9_]*(\.[0-9]+)?|-?\.[0-9]+)"
    r"(?![eE][+-]?[0-9])"  # "1e3" is not read as 1 of a token "e3"
    r"(\s*(?P<unit>\S.*?))?\s*",
    re.DOTALL,
)

MOST_UNITS = 2**256 - 1


@dataclass(frozen=True)
class Token:
    """An ERC-20 token.

    Attributes:
        address: Its checksummed address.
        symbol: Its symbol, which is the unit of its amounts.
        decimals: How many digits follow the decimal point.
    """

    address: str
    symbol: str
    decimals: int

    @property
    def unit(self) -> str:
        """The unit of amounts: the symbol, or the address if the symbol cannot be printed."""
        is_printable = self.symbol.strip() == self.symbol != "" and self.symbol.isprintable()
        return self.symbol if is_printable else self.address

    @property
    def typed_unit(self) -> str:
        """The unit as any keyboard can type it: the symbol if it is ASCII, or else the address."""
        is_typed = self.symbol.isascii() and not re.search(r"\s", self.symbol)
        return self.unit if is_typed else self.address

    def amount(self, value: AmountLike, *, zero: bool = False) -> Amount:
        """Converts a value to an amount of this token.

        Args:
            value: ``"2.50 USDC"``, ``"2.50"``, ``Decimal("2.50")`` or an :class:`Amount`. In text,
                the unit can also be the token's address.
            zero: Whether zero is allowed.

        Raises:
            InvalidAmount: The value is not a number, zero, negative, or a ``float`` or ``int``.
            TooManyDecimals: It has more decimals than the token.
            WrongToken: It is in another token.
        """
        if isinstance(value, Amount):
            if value.token != self:
                raise WrongToken(value, self.typed_unit)
            units = value.units
        else:
            units = self._units(value)
        if units < 0 or (units == 0 and not zero):
            raise InvalidAmount(value, "it must be more than zero")
        return Amount(units, self)

    def units(self, units: int) -> Amount:
        """An amount, given in the token's smallest units."""
        return Amount(units, self)

    def _units(self, value: Decimal | str) -> int:
        if isinstance(value, Decimal):
            number = value
        elif isinstance(value, str):
            number = self._number(value)
        else:
            # An int could mean tokens or units, and a float is not exact.
            raise InvalidAmount(value, f'write "25 {self.typed_unit}" or Decimal("25")')
        if not number.is_finite():
            raise InvalidAmount(value, "it is not a number")
        sign, digits, exponent = number.as_tuple()
        assert isinstance(exponent, int)
        if not any(digits):
            return 0
        if number.adjusted() + self.decimals > len(str(MOST_UNITS)):
            raise InvalidAmount(value, "it exceeds the range of uint256")
        # By its digits: the precision of a Decimal context would round large amounts.
        text, shift = "".join(map(str, digits)), exponent + self.decimals
        if shift < 0:
            text, rest = text[:shift], text[shift:]
            if rest.strip("0"):
                raise TooManyDecimals(value, self.typed_unit, self.decimals)
        units = int(text + "0" * shift)
        if units > MOST_UNITS:
            raise InvalidAmount(value, "it exceeds the range of uint256")
        return -units if sign else units

    def _number(self, text: str) -> Decimal:
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            raise InvalidAmount(text, f'write it as "25.00 {self.typed_unit}"')
        unit = match["unit"]
        units = (self.symbol.strip().casefold(), self.address.casefold())
        if unit is not None and unit.casefold() not in units:
            raise WrongToken(text, self.typed_unit)
        return Decimal(match["number"].replace("_", ""))


@dataclass(frozen=True, order=False)
class Amount:
    """An exact amount of a token.

    Attributes:
        units: The amount in the token's smallest units, as contracts take it.
        token: The token.
    """

    units: int
    token: Token

    @property
    def decimal(self) -> Decimal:
        """The amount in whole tokens, exactly."""
        digits = tuple(int(digit) for digit in str(abs(self.units)))
        return Decimal((int(self.units < 0), digits, -self.token.decimals))

    def __str__(self) -> str:
        sign = "-" if self.units < 0 else ""
        whole, fraction = divmod(abs(self.units), 10**self.token.decimals)
        digits = f"{fraction:0{self.token.decimals}d}" if self.token.decimals else ""
        # Drops trailing zeros, down to two decimals.
        digits = digits.rstrip("0").ljust(min(2, self.token.decimals), "0")
        return f"{sign}{whole}{'.' if digits else ''}{digits} {self.token.unit}"

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.units + self._of_same_token(other), self.token)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.units - self._of_same_token(other), self.token)

    def __lt__(self, other: Amount) -> bool:
        return self.units < self._of_same_token(other)

    def __le__(self, other: Amount) -> bool:
        return self.units <= self._of_same_token(other)

    def __gt__(self, other: Amount) -> bool:
        return self.units > self._of_same_token(other)

    def __ge__(self, other: Amount) -> bool:
        return self.units >= self._of_same_token(other)

    def __bool__(self) -> bool:
        return self.units != 0

    def _of_same_token(self, other: Amount) -> int:
        if not isinstance(other, Amount):
            raise TypeError(f"An Amount of {self.token.symbol} cannot be combined with {other!r}")
        if other.token != self.token:
            raise WrongToken(other, self.token.typed_unit)
        return other.units


AmountLike: TypeAlias = "Amount | Decimal | str"
