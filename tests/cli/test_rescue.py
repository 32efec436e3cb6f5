"""`ape dtn rescue`: findings, confirmations and remedies."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ape_dtn.network.abi import ERC20
from ape_dtn.network.client_contract import client_of

from .conftest import Network
from .json_rules import text_of
from .shell import CUSTOMER_ADDRESS

# An account of these tests only, which has nothing that other tests left open.
ACCOUNT, ADDRESS = "TEST::6", "0x976EA74026E726554dB657fA54763abd0C3a0aa9"
CLIENT = client_of(ADDRESS)
BY_US = ("--account", ACCOUNT, "-y", "--json")
DO = ("rescue", "--account", ACCOUNT, "--do")


def rich(network: Network) -> Network:
    """The network, after minting tokens for the account."""
    network.mint(ADDRESS, 10_000_000)
    return network


def start(network: Network, amount: str, *more: str) -> int:
    done = network.dtn("session", "start", amount, *more, *BY_US)
    assert done.code == 0, done.err
    session: int = done.json["session"]
    return session


def deposit(network: Network, units: int) -> None:
    """Transfers tokens to the fee target without a start."""
    target = network.local.ai.contracts().fee_target
    transfer = ERC20.transfer.encode(target, units)
    network.chain.send(ADDRESS, network.token, "0x" + transfer.hex())


def by_remedy(done: Any, remedy: str) -> Any:
    """The result of the only remedy of a kind."""
    (found,) = [result for result in done["done"] if result["remedy"] == remedy]
    return found


def test_everything_is_found_and_recovered(network: Network) -> None:
    before = rich(network).held_by(ADDRESS)
    session = start(network, "2.5", "--method", "allowance")
    network.mint(CLIENT, 7)
    deposit(network, 1_500_000)
    nonce = network.chain.nonce(ADDRESS)

    shown = network.dtn("rescue", "--owner", ADDRESS.lower())
    refused = network.dtn("rescue", "--account", ACCOUNT, "--json")

    assert (shown.code, refused.code) == (0, 0)
    assert shown.out.startswith(f"What {ADDRESS} has, with its client {CLIENT}\n")
    words = " ".join(shown.out.replace("│", " ").split())
    assert f"open session session {session} 2.50 USDT It belongs to your client" in words
    assert "To execute the remedies: --account ALIAS --do." in shown.err
    assert (refused.json["account"], refused.json["client"]) == (ADDRESS, CLIENT)
    assert [
        (finding["kind"], text_of(finding["amount"])) for finding in refused.json["findings"]
    ] == [
        ("open_session", "2.50 USDT"),
        ("waiting_deposit", "1.50 USDT"),
        ("client_tokens", "0.000007 USDT"),
    ]
    assert network.chain.nonce(ADDRESS) == nonce

    without_consent = network.dtn(*DO, "-y", "--json")
    assert without_consent.code == 4
    done = without_consent.json
    assert text_of(by_remedy(done, "close")["result"]) == "2.50 USDT"
    assert by_remedy(done, "claim")["error"]["code"] == "consent_missing"
    assert text_of(by_remedy(done, "sweep")["result"]) == "0.000007 USDT"
    assert "exit_code" not in by_remedy(done, "claim")

    claimed = network.dtn(*DO, "-y", "--claim")
    assert claimed.code == 0
    assert "is open with 1.50 USDT." in claimed.out
    assert "Use it, or close it for a refund: ape dtn session close " in claimed.out

    last = network.dtn(*DO, "-y")
    assert last.code == 0
    assert "Refunded: 1.50 USDT (session " in last.out
    assert network.held_by(ADDRESS) == before + 7


def test_it_asks_before_each_remedy_and_goes_on_after_a_no(reference: Network) -> None:
    before = rich(reference).held_by(ADDRESS)
    kept, closed = start(reference, "2.5"), start(reference, "1.5")

    done = reference.dtn(*DO, answers="n\ny\ny\n")
    assert done.code == 0, done.err
    assert f"Close session {kept}, which has 2.50 USDT?" in done.err
    assert f"Refunded: 1.50 USDT (session {closed})." in done.out
    assert f"(session {kept})" not in done.out
    assert reference.held_by(ADDRESS) == before - 2_500_000

    nobody = reference.dtn(*DO, "--json")
    assert (nobody.code, nobody.error["code"]) == (2, "not_confirmed")
    assert reference.held_by(ADDRESS) == before - 2_500_000
    assert reference.dtn(*DO, "-y").code == 0
    assert reference.held_by(ADDRESS) == before


def test_a_session_with_pending_requests_is_closed_by_force_only(live: Network) -> None:
    before = rich(live).held_by(ADDRESS)
    session = start(live, "2.5")
    never = ("--redundancy", "2", "--may-never-complete", "--timeout", "0")
    asked = live.dtn("ask", "Hello?", "--session", str(session), *never, *BY_US)
    request = asked.error["request_id"]
    refused = live.dtn(*DO, "-y", "--json")
    forced = live.dtn(*DO, "-y", "--force", "--json")

    assert refused.code == 4
    error = by_remedy(refused.json, "close")["error"]
    assert (error["code"], error["requests"]) == ("requests_pending", [request])
    assert forced.code == 0
    assert by_remedy(forced.json, "close") == {
        "remedy": "close",
        "about": f"session {session}",
        "result": {"units": "2500000", "value": "2.50", "token": "USDT"},
    }
    assert live.held_by(ADDRESS) == before


def test_answers_are_printed(reference: Network) -> None:
    session = start(rich(reference), "2.5")
    with reference.answering():
        asked = reference.dtn("ask", "Anybody here?", "--session", str(session), *BY_US)
    request = asked.json["request"]

    shown = reference.dtn("rescue", "--account", ACCOUNT)
    done = reference.dtn(*DO, "-y")

    assert done.code == 0
    assert f"{request}\n  You asked: Anybody here?\n" in done.out
    assert f"`apedtnanswer{request}`" in "".join(shown.out.replace("│", "").split())


def test_an_account_without_findings(reference: Network) -> None:
    done = reference.dtn("rescue", "--owner", "0x" + os.urandom(20).hex())

    assert done.code == 0
    assert done.out.rstrip().endswith(": none")
    assert "--do" not in done.err


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        (("--owner", ADDRESS, "--do"), 2, "--do needs an --account that signs"),
        (("--owner", "0x12"), 2, "0x12"),
        (("--owner", ADDRESS, "--token", CUSTOMER_ADDRESS), 3, "There is no token at"),
    ],
)
def test_invalid_arguments_are_refused(
    reference: Network, given: tuple[str, ...], code: int, says: str
) -> None:
    done = reference.dtn("rescue", *given)

    assert done.code == code
    assert says in done.err
