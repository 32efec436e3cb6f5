"""The rules that hold for every JSON document of the commands, checked mechanically."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

AMOUNTS = {
    "amount",
    "available",
    "balance",
    "callback",
    "charged",
    "cost",
    "data_fee",
    "deposit",
    "earned",
    "expected",
    "fee_per_byte",
    "fee_per_byte_answered",
    "fee_per_byte_asked",
    "funds",
    "gas_cost",
    "max_cost",
    "max_price",
    "opened_with",
    "overcharged",
    "price",
    "refund",
    "required",
    "worker_balance",
}
# Fields that have such a name and are no amounts: the address of a callback.
NOT_AMOUNTS = {("asked", "callback"), ("requests", "callback")}
SECONDS = {"waited", "retry_after"}

_DECIMAL = re.compile(r"-?\d+(\.\d+)?")
_MONEY = re.compile(r"-?\d+(\.\d+)? [A-Za-z]{3,6}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d.*")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def check_document(document: Any) -> None:
    """Fails where a document breaks a rule; names the place."""
    assert isinstance(document, dict), document
    assert document["schema_version"] == 1, document
    for place, value in _values(document):
        _check(place, value)


def text_of(amount: dict[str, str]) -> str:
    """An amount as commands print it for people."""
    return f"{amount['value']} {amount['token']}"


def _check(place: tuple[str, ...], value: Any) -> None:
    where = ".".join(place), value
    name = place[-1] if place else ""
    if isinstance(value, float):
        assert name in SECONDS, where
    if isinstance(value, int):
        assert abs(value) <= 2**53, where
    if isinstance(value, str):
        assert name == "value" or not _MONEY.fullmatch(value), where  # what a user typed
        if _DATE.fullmatch(value):
            assert _TIME.fullmatch(value), where
    if isinstance(value, dict):
        if "units" in value:
            _check_amount(where, value)
        for kind in ("node", "model"):
            if f"{kind}_id" in value:
                assert kind in value, where
        if place and name in ("nodes", "models") and "id" in value:
            assert "name" in value, where
    # In errors and in the ABI fields of events, these names can have other meanings, such as the
    # required chain.
    is_amount = name in AMOUNTS and tuple(place[-2:]) not in NOT_AMOUNTS
    is_amount = is_amount and not {"error", "failures", "fields", "problem"} & set(place)
    if is_amount and value is not None:
        assert _is_amount(value), where


def _check_amount(where: Any, amount: dict[str, Any]) -> None:
    assert amount.keys() == {"units", "value", "token"}, where
    assert isinstance(amount["units"], str), where
    assert re.fullmatch(r"-?\d+", amount["units"]), where
    assert _DECIMAL.fullmatch(amount["value"]), where
    assert amount["token"], where
    digits = [
        Decimal(text).normalize().as_tuple().digits for text in (amount["units"], amount["value"])
    ]
    assert digits[0] == digits[1], where


def _is_amount(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"units", "value", "token"}


def _values(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of a document, with the names of the fields that lead to it."""
    yield place, value
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _values(item, (*place, name))
    if isinstance(value, list):
        for item in value:
            yield from _values(item, place)
