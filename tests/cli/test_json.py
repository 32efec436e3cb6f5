"""Every command prints JSON by the same rules; see `json_rules.py`."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ape_dtn.errors import InvalidAmount, NodeFailure
from ape_dtn.types.amount import Token
from ape_dtn.types.answer import Status
from ape_dtn.types.serialization import to_json

from .conftest import Network
from .json_rules import check_document
from .processes import ELSEWHERE, TRIED
from .shell import CUSTOMER, STRANGER, document

BY_CUSTOMER = ("--account", CUSTOMER, "-y")
USDT = Token("0x" + "5e" * 20, "USDT", 6)

# The arguments and exit codes of the commands that are not in the table of processes.
# Other tests check the rest of their output: `Done.json` checks each document.
ARGUMENTS: dict[tuple[str, ...], tuple[tuple[str, ...], int]] = {
    ("session", "start"): (("1", *BY_CUSTOMER), 0),
    ("ask",): (("Hello?", "--session", "SESSION", *BY_CUSTOMER), 0),
    ("watch",): (("--session", "SESSION", "--timeout", "0"), 0),
    ("node", "serve"): (("node.local.echo", "--worker", STRANGER), 2),
    ("deploy",): (("--network", "ethereum:local:test"), 2),
    ("demo",): ((), 0),
    ("devnet",): (("--fund", "nobody"), 2),
    ("rehearse",): (("Unknown", "ask", "--account", CUSTOMER), 2),
    ("deployment", "status"): (("missing.json",), 2),
    ("deployment", "accept"): (("missing.json",), 2),
    ("deployment", "sources"): (("missing.json", "--to", "sources"), 2),
    ("init",): (("oracle",), 0),
    ("generate",): (("Asking", "--api", "string[] -> string"), 0),
}


@pytest.mark.parametrize("command", [*TRIED, *ELSEWHERE], ids=" ".join)
def test_every_document_follows_the_rules(
    live: Network, command: tuple[str, ...], tmp_path: Path
) -> None:
    given, code = {**TRIED, **ARGUMENTS}[command]
    known = {"PROMPTS": str(tmp_path / "prompts.txt")}
    (tmp_path / "prompts.txt").write_text("Hello?\n")
    with live.answering():
        if "SESSION" in given or "REQUEST" in given:
            started = live.dtn("session", "start", "5", *BY_CUSTOMER, "--json")
            session = known["SESSION"] = str(started.json["session"])
            asked = live.dtn("ask", "Hi?", "--session", session, *BY_CUSTOMER, "--json")
            known["REQUEST"] = asked.json["request"]
        done = live.dtn(*command, *(known.get(word, word) for word in given), "--json")

    assert done.code == code or "PROMPTS" in given, done.err
    lines = done.out.splitlines() if command == ("watch",) else [done.out]
    assert [document(line) for line in lines]


@pytest.mark.parametrize("command", [*TRIED, *ELSEWHERE], ids=" ".join)
def test_a_usage_error_is_a_document_too(live: Network, command: tuple[str, ...]) -> None:
    done = live.dtn(*command, "--no-such-option", "--json")

    assert (done.code, done.error["code"]) == (2, "bad_input")


def test_an_unknown_command_is_a_document_too(live: Network) -> None:
    done = live.dtn("session", "closse", "--json")

    assert (done.code, done.error["code"]) == (2, "bad_input")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (USDT.units(2_500_000), {"units": "2500000", "value": "2.50", "token": "USDT"}),
        (USDT.units(-1), {"units": "-1", "value": "-0.000001", "token": "USDT"}),
        (2**53, 2**53),
        (2**53 + 1, "9007199254740993"),
        (-(2**53) - 1, "-9007199254740993"),
        (True, True),
        (Decimal("1E+3"), "1000"),
        (b"\x00\xff", "0x00ff"),
        (Status.SUCCESS, "success"),
        (Path("a") / "b", "a/b"),
        ((1, [None]), [1, [None]]),
        (datetime(2026, 12, 1, 11, 54, 37, tzinfo=timezone.utc), "2026-12-01T11:54:37Z"),
        (
            datetime(2026, 12, 1, 1, 0, tzinfo=timezone(timedelta(hours=2))),
            "2026-11-30T23:00:00Z",
        ),
        (USDT, {"address": USDT.address, "symbol": "USDT", "decimals": 6}),
    ],
)
def test_values_become_json_by_their_type(value: Any, expected: Any) -> None:
    assert to_json(value) == expected
    assert type(to_json(value)) is type(expected)


def test_an_error_contains_its_fields_and_nested_errors() -> None:
    inner = NodeFailure("0x01", "out of paper")
    inner.fields["callback_error"] = InvalidAmount("x", "no number")

    found = to_json({"error": inner})["error"]

    assert (found["code"], found["reason"], found["revert"]) == (
        "node_failure",
        "out of paper",
        None,
    )
    assert found["callback_error"]["code"] == "invalid_amount"


def test_a_value_without_a_rule_is_an_error() -> None:
    with pytest.raises(TypeError, match="of a object"):
        to_json({"value": object()})


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"schema_version": 2},
        {"block": 2**53 + 1},
        {"cost": 0.25},
        {"cost": "0.25 USDT"},
        {"cost": 250000},
        {"cost": {"units": "250000", "token": "USDT"}},
        {"cost": {"units": 250000, "value": "0.25", "token": "USDT"}},
        {"cost": {"units": "250000", "value": "0.26", "token": "USDT"}},
        {"time": "2026-12-01T11:54:37+00:00"},
        {"node_id": "0x01"},
        {"models": [{"id": "0x01"}]},
    ],
    ids=str,
)
def test_the_check_finds_what_breaks_a_rule(broken: dict[str, Any]) -> None:
    with pytest.raises((AssertionError, KeyError)):
        check_document(
            broken if "schema_version" in broken or not broken else {"schema_version": 1, **broken}
        )
