"""Gas of all operations, as measured by ``benchmarks/gas.py``.

The figures are exact, because the chains are deterministic. Record changes with ``make gas``; an
increase needs a reason.
"""

from __future__ import annotations

import re

import pytest

from ape_dtn.deployment.assemble import Variant
from benchmarks.gas import (
    AIMS,
    DOCUMENT,
    SEVERAL,
    TRANSACTION_CAP,
    Gas,
    changes,
    measure,
    recorded,
    with_tables,
)

CLOSE = ("close", "directly, the only one")
VARIANTS = [variant.value.lower() for variant in Variant]

IN_ONE = {
    "start": [
        "client, by allowance",
        "client, from its own",
        "delegate",
        "delegate, with its delegation",
    ],
    "start in USDC": ["client, by permit", "client, by authorization"],
}


@pytest.mark.parametrize("variant", Variant, ids=VARIANTS)
def test_the_measurement_equals_the_recorded_one(variant: Variant) -> None:
    name = variant.value.lower()

    changed = changes({name: recorded()[name]}, {name: measure(variant)})

    assert not changed, "\n".join(["gas has changed; `make gas` records it:", *changed])


def test_each_figure_that_has_changed_is_named() -> None:
    before = {"live": {"close": {"directly": 71_000, "client": 102_000}}}
    after = {"live": {"close": {"directly": 71_000, "client": 1_000, "delegate": 75_000}}}

    assert changes(before, before) == []
    assert changes(before, after) == [
        "live, close: client: 102,000 -> 1,000 (-101,000)",
        "live, close: delegate: none -> 75,000",
    ]


def test_both_variants_are_recorded_alike() -> None:
    live, reference = (recorded()[variant] for variant in ("live", "reference"))
    created = {"SessionManager"}  # the reference router is its own session manager

    assert list(recorded()) == ["live", "reference"]
    assert live.keys() == reference.keys()
    for what, gas in live.items():
        assert gas.keys() - reference[what].keys() == (created if what == "create" else set())
        assert reference[what].keys() <= gas.keys()


@pytest.mark.parametrize(("what", "how"), sorted(AIMS.keys() - {CLOSE}))
def test_the_reference_network_costs_less_than_was_aimed_at(what: str, how: str) -> None:
    _, aim = AIMS[what, how]

    assert recorded()["reference"][what][how] < aim


def test_closing_costs_less_than_it_does_on_the_deployed_contracts() -> None:
    """It misses the target, for reasons given in `docs/gas.md`."""
    known, aim = AIMS[CLOSE]

    assert aim <= recorded()["reference"]["close"]["directly, the only one"] < known


def test_the_document_has_the_figures_that_were_recorded() -> None:
    text = DOCUMENT.read_text()

    assert with_tables(text, recorded()) == text


def test_the_parts_of_a_close_add_up_to_its_gas() -> None:
    """The table is written by hand from a trace. Trace again if this changes."""
    _, _, rows = DOCUMENT.read_text().partition("## Why a close costs")
    found = re.findall(r"^\| .* \| (-?)([\d,]+) \|$", rows, flags=re.MULTILINE)
    *parts, together = [
        int(f"{'-' * len(sign)}{digits}".replace(",", "")) for sign, digits in found
    ]

    assert len(parts) == 6
    assert sum(parts) == together == recorded()["reference"]["close"]["directly, the only one"]


@pytest.fixture(params=VARIANTS)
def gas(request: pytest.FixtureRequest) -> dict[str, Gas]:
    return recorded()[request.param]


@pytest.mark.parametrize("section", IN_ONE)
def test_a_safe_start_costs_less_than_its_parts(gas: dict[str, Gas], section: str) -> None:
    found = gas[section]
    parts = found["approve"] + found["transfer, later"] + found["directly, later"]

    assert [how for how in IN_ONE[section] if found[f"{how}, later"] >= parts] == []


@pytest.mark.parametrize("who", ["client", "delegate"])
def test_a_batch_costs_less_than_its_parts(gas: dict[str, Gas], who: str) -> None:
    batch, close = gas["batch"], gas["close"]

    assert batch[f"{who}, 10"] < batch["directly, 10"] < 10 * batch[f"{who}, 1"]
    assert batch[f"{who}, 100"] < batch["directly, 100"]
    assert close[f"{who}, {SEVERAL} together"] < SEVERAL * close["directly, the only one"]


def test_a_hundred_requests_are_one_transaction_on_the_reference_network() -> None:
    batch = recorded()["reference"]["batch"]

    assert batch["client, 100, transactions"] == batch["delegate, 100, transactions"] == 1
    assert batch["client, 100"] < TRANSACTION_CAP


def test_a_client_is_created_for_a_twentieth_of_its_code(gas: dict[str, Gas]) -> None:
    client = gas["client"]

    assert client["client of an account"] * 20 < client["implementation of all clients"]
