"""`ape dtn quote`, as a table and as JSON. Nothing is sent for it."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Network
from .json_rules import text_of
from .shell import CUSTOMER, CUSTOMER_ADDRESS, STRANGER

TEXT, NANO = "model.system.openai-gpt-5", "model.system.openai-gpt-5-nano"
IMAGE = "model.system.openai-gpt-image-1"


@pytest.fixture
def opened(network: Network) -> str:
    """An open session of the customer with 1 USDT."""
    done = network.dtn("session", "start", "1", "--account", CUSTOMER, "-y", "--json")
    return str(done.json["session"])


def quoted(network: Network, *command: str) -> list[dict[str, Any]]:
    done = network.dtn("quote", *command, "--json")
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = done.json["quotes"]
    return found


def test_a_quote_for_an_account(network: Network) -> None:
    before = network.chain.nonce(CUSTOMER_ADDRESS), network.chain.rpc("eth_blockNumber")

    direct, ipfs = quoted(network, "What is it?", "--account", CUSTOMER)

    assert (direct["call_type"], ipfs["call_type"]) == ("direct", "ipfs")
    for found in (direct, ipfs):
        assert (found["model"], found["problem"], found["session"]) == (NANO, None, None)
        assert found["bytes_asked"] == 160
        assert text_of(found["max_cost"]) == "0.25 USDT"
        assert list(found["gas"]["used"]) == ["transfer", "start", "request"]
        assert found["gas"]["expected"]["token"] == "ETH"
        assert int(found["gas"]["expected"]["units"]) < int(found["gas"]["max_cost"]["units"])
    after = network.chain.nonce(CUSTOMER_ADDRESS), network.chain.rpc("eth_blockNumber")
    assert after == before


def test_a_quote_for_a_session(network: Network, opened: str) -> None:
    """No account is named: the owner is read from the chain."""
    (found,) = quoted(network, "What is it?", "--session", opened, "--direct", "--max-cost", "0.3")

    assert list(found["gas"]["used"]) == ["request"]
    assert found["session"] == int(opened)
    assert text_of(found["balance"]) == "1.00 USDT"
    assert (found["suffices"], found["requests_at_max_cost"]) == (True, "3")


def test_a_quote_without_an_account_has_no_gas(reference: Network) -> None:
    (found,) = quoted(reference, "What is it?", "--ipfs")

    assert (found["call_type"], found["gas"]) == ("ipfs", None)
    assert found["why_no_gas"] == "There is no account to sign it."
    assert found["expected"]["token"] == "USDT"


def test_the_expected_cost_follows_from_the_sizes(reference: Network) -> None:
    size = ("--answer-bytes", "1000", "--fee-per-byte", "0.00002")

    (found,) = quoted(reference, "What is it?", "--direct", *size)

    assert (found["bytes_answered"], found["basis"]) == (1000, "given")
    assert text_of(found["expected"]) == "0.0232 USDT"  # 160 bytes and 1,000 at 0.00002


def test_a_table_for_people(network: Network, opened: str) -> None:
    done = network.dtn("quote", "What", "is it?", "--model", TEXT, "--session", opened)

    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "Cost"
    (direct,) = (line for line in lines if " direct " in line)
    (ipfs,) = (line for line in lines if " ipfs " in line)
    for row in (direct, ipfs):
        assert TEXT in row.split()
        assert "256 asked, " in row
        assert "0.25 USDT" in row
    assert sum("ETH" in line for line in lines) == 2
    assert lines[-1] == f"Session {opened} has 1.00 USDT, which covers at least 4 such requests."


def test_a_session_with_less_than_the_max_cost(network: Network, opened: str) -> None:
    done = network.dtn("quote", "What is it?", "--session", opened, "--max-cost", "2")

    assert done.code == 0
    assert f"Session {opened} has 1.00 USDT, less than the max cost." in done.out


def test_a_new_session_adds_its_gas(reference: Network) -> None:
    done = reference.dtn("quote", "What is it?", "--account", CUSTOMER)

    assert done.out.endswith("The gas is that of starting a session and of the request.\n")


def test_a_model_with_other_inputs_is_a_note(reference: Network) -> None:
    both = ("--model", TEXT, "--model", IMAGE)

    done = reference.dtn("quote", "What is it?", *both)
    in_json = quoted(reference, "What is it?", "--direct", *both)

    assert done.code == 0
    assert f"{IMAGE} cannot be asked this: The inputs do not fit" in done.out
    assert [found["problem"] and found["problem"]["code"] for found in in_json] == [
        None,
        "invalid_call",
    ]


def test_without_a_model_that_fits_it_fails(reference: Network) -> None:
    done = reference.dtn("quote", "What is it?", "--model", IMAGE, "--json")

    assert done.code == 2
    assert done.error["code"] == "invalid_call"


def test_inputs_are_parsed_by_their_types(reference: Network) -> None:
    def attempt(width: str) -> Any:
        size = ("--input", f"width={width}", "--input", "height=64")
        return reference.dtn("quote", "A cat", "--model", IMAGE, *size, "--json").error

    assert "width is not of type uint64: 'wide'" in attempt("wide")["message"]
    assert attempt("64")["code"] == "node_not_found", "the inputs fit, and no node serves the model"


def test_placeholders_are_filled_by_their_types(reference: Network) -> None:
    (plain,) = quoted(reference, "Is it {it}?", "--direct")
    (filled,) = quoted(reference, "Is it {0:uint8}?", "--value", "7", "--direct")

    assert filled["bytes_asked"] == plain["bytes_asked"] + 32
    done = reference.dtn("quote", "Is it {0:uint8}?", "--value", "much", "--json")
    assert (done.code, done.error["code"]) == (2, "invalid_prompt")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ((), "Give a PROMPT, or the inputs of the model with --input."),
        (("Hello?", "--input", "width"), "'width' is not of the form NAME=VALUE."),
        (("Hello?", "--input", "a=1", "--input", "a=2"), "'a' is given twice."),
        (("Hello?", "--answer-bytes", "-1"), "-1 is not in the range x>=0."),
    ],
)
def test_invalid_arguments_are_refused(
    reference: Network, command: tuple[str, ...], message: str
) -> None:
    done = reference.dtn("quote", *command, "--json")

    assert done.code == 2
    assert message in done.error["message"]


def test_a_session_of_another_account_is_refused(network: Network, opened: str) -> None:
    done = network.dtn("quote", "Hello?", "--session", opened, "--account", STRANGER, "--json")

    assert (done.code, done.error["code"]) == (4, "not_session_owner")


def test_a_configured_limit_is_reported(reference: Network) -> None:
    limited = reference.shell.having(APE_DTN_REQUEST_LIMIT="0.1")

    done = limited.dtn("quote", "What is it?", "--direct")
    in_json = limited.dtn("quote", "What is it?", "--direct", "--json")

    refusal = "The request could cost 0.25 USDT, and its limit is 0.10 USDT."
    assert f"The request would be refused: {refusal}" in done.out
    assert in_json.json["quotes"][0]["over_limit"]["message"] == refusal
