"""Refused commands: exit code, error code, message; and nothing is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from .conftest import Network
from .shell import CUSTOMER, CUSTOMER_ADDRESS, FOUNDRY, OWNER_ADDRESS, STRANGER, STRANGER_ADDRESS

BAD_INPUT, NO_NETWORK, REFUSED = 2, 3, 4
NOTHING = "0x000000000000000000000000000000000000dEaD"
NOWHERE = "http://127.0.0.1:1"
UNKNOWN_REQUEST = "0x" + "5e" * 32
BY_CUSTOMER = ("--account", CUSTOMER, "-y")
BY_STRANGER = ("--account", STRANGER, "-y")


@dataclass(frozen=True)
class Case:
    """A command that has to be refused. ``OPEN`` is a session of the customer with 25 USDT."""

    name: str
    command: tuple[str, ...]
    exit_code: int
    code: str
    says: str


def start(*given: str) -> tuple[str, ...]:
    return ("session", "start", *BY_CUSTOMER, *given)


def ask(*given: str) -> tuple[str, ...]:
    return ("ask", "Hello?", *BY_CUSTOMER, *given)


CASES = [
    Case("zero", start("0"), BAD_INPUT, "invalid_amount", "'0' is not an amount"),
    Case("negative", start("--", "-1"), BAD_INPUT, "invalid_amount", "'-1' is not an amount"),
    Case(
        "too-many-decimals",
        start("1.0000001"),
        BAD_INPUT,
        "too_many_decimals",
        "USDT has 6 digits after the point",
    ),
    Case("foreign-token", start("25 USDC"), BAD_INPUT, "wrong_token", "is paid in USDT"),
    Case(
        "more-than-there-is",
        start("5000"),
        REFUSED,
        "insufficient_funds",
        "and 5000.00 USDT is needed",
    ),
    Case("empty-key", start("1", "--idempotency-key", ""), BAD_INPUT, "bad_input", "It is empty"),
    Case(
        "two-methods",
        start("1", "--method", "permit", "--unsafe-two-step"),
        BAD_INPUT,
        "invalid_option",
        "contradicts method permit",
    ),
    Case(
        "no-permits",
        start("1", "--method", "permit"),
        REFUSED,
        "method_unavailable",
        "USDT does not support it",
    ),
    Case("neither-amount-nor-claim", start(), BAD_INPUT, "bad_input", "AMOUNT or --claim"),
    Case(
        "nothing-to-claim", start("--claim"), REFUSED, "nothing_deposited", "Nothing is deposited"
    ),
    Case(
        "unknown-session", ("session", "show", "999"), REFUSED, "session_not_found", "Session 999"
    ),
    Case(
        "close-a-session-of-another-account",
        ("session", "close", "OPEN", *BY_STRANGER),
        REFUSED,
        "not_session_owner",
        f"belongs to {CUSTOMER_ADDRESS}, not to {STRANGER_ADDRESS}",
    ),
    Case("empty-prompt", ("ask", "", *BY_CUSTOMER), BAD_INPUT, "empty_prompt", "prompt is empty"),
    Case(
        "no-full-name-of-a-model",
        ask("--model", "gpt-5"),
        BAD_INPUT,
        "invalid_name",
        "'gpt-5' is not a valid model name",
    ),
    Case(
        "unknown-model",
        ask("--model", "model.nobody.nothing"),
        REFUSED,
        "model_not_found",
        "model.nobody.nothing is not registered",
    ),
    Case(
        "unknown-node",
        ask("--node", "node.nobody.nothing"),
        REFUSED,
        "node_not_found",
        "node.nobody.nothing is not registered",
    ),
    Case(
        "no-node-serves-the-model",
        ask(
            *("--model", "model.system.openai-gpt-image-1"),
            *("--input", "width=64", "--input", "height=64"),
        ),
        REFUSED,
        "node_not_found",
        "No active node serves model.system.openai-gpt-image-1",
    ),
    Case(
        "max-cost-above-the-session",
        ask("--session", "OPEN", "--max-cost", "25.000001"),
        REFUSED,
        "insufficient_funds",
        "has 25.00 USDT, and 25.000001 USDT is needed",
    ),
    Case("no-account", ("ask", "Hello?", "-y"), BAD_INPUT, "no_account", "--account ALIAS"),
    Case(
        "unknown-account",
        ("session", "start", "1", "--account", "nobody", "-y"),
        BAD_INPUT,
        "bad_input",
        "'nobody' not found",
    ),
    Case("no-address", ("session", "list", "--owner", "me"), BAD_INPUT, "invalid_address", "'me'"),
    Case(
        "unknown-request",
        ("answer", UNKNOWN_REQUEST),
        REFUSED,
        "request_not_found",
        f"Request {UNKNOWN_REQUEST} not found",
    ),
    Case("unknown-network", ("info", "--network", "mars"), BAD_INPUT, "bad_input", "'mars'"),
    Case(
        "router-without-code",
        ("info", "--router", NOTHING),
        NO_NETWORK,
        "no_contract_at_address",
        f"no router at {NOTHING}",
    ),
    Case(
        "router-of-another-chain",
        ("info", "--router", "0x1BC1062B3cCDe51b7727098B0488Fd71c9f784B2"),
        NO_NETWORK,
        "wrong_chain",
        "not to chain 11155111",
    ),
    Case(
        "unknown-chain",
        ("info", "--network", "ethereum:local:test"),
        NO_NETWORK,
        "unknown_chain",
        "`ape dtn devnet`",
    ),
    Case(
        "nothing-listens",
        ("info", "--network", f"ethereum:sepolia:{NOWHERE}"),
        NO_NETWORK,
        "no_network",
        NOWHERE,
    ),
    Case(
        "nothing-listens-here",
        ("info", "--network", f"ethereum:local:{NOWHERE}"),
        NO_NETWORK,
        "no_network",
        "Could not connect",
    ),
    Case(
        "deploy-on-a-chain-that-ends",
        ("deploy", "--network", "ethereum:local:test"),
        BAD_INPUT,
        "bad_input",
        f"--network {FOUNDRY}",
    ),
]


def state(network: Network) -> Any:
    accounts = (OWNER_ADDRESS, CUSTOMER_ADDRESS, STRANGER_ADDRESS, network.worker)
    return (
        [network.held_by(address) for address in accounts],
        [network.chain.nonce(address) for address in accounts],
        network.dtn("session", "list", "--account", CUSTOMER, "--json").json,
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_refusal_names_its_cause_and_nothing_is_sent(reference: Network, case: Case) -> None:
    words = case.command
    if "OPEN" in words:
        started = reference.dtn("session", "start", "25", *BY_CUSTOMER, "--json")
        words = tuple(str(started.json["session"]) if word == "OPEN" else word for word in words)
    options = next((at for at, word in enumerate(words) if word[:1] == "-"), len(words))
    before = state(reference)

    done = reference.dtn(*words[:options], "--json", *words[options:])

    assert done.code == case.exit_code
    assert done.error["code"] == case.code
    assert case.says in f"{done.error['message']} {done.error['hint']}"
    assert case.says in done.err
    assert "Traceback" not in done.err
    assert state(reference) == before


def test_an_invalid_configuration_is_refused(reference: Network) -> None:
    here = reference.shell.having(APE_DTN_METHOD="foo")

    done = here.dtn(*start("1"), "--json")

    assert (done.code, done.error["code"]) == (BAD_INPUT, "invalid_option")
    assert "Invalid method: " in done.error["message"]
