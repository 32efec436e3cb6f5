"""A token that is paused, or whose issuer has blocked an account, and unusual symbols."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from eth_abi import encode

from ape_dtn import DtnAi, DtnSession, Token
from ape_dtn.chain import transactions
from ape_dtn.deployment.assemble import FeeToken, LocalNetwork, Variant, deploy, fund
from ape_dtn.errors import AccountBlocked, ContractReverted, PaymentRefused, TokenPaused
from ape_dtn.network import reverts
from ape_dtn.network.abi import ERC20
from ape_dtn.types.abi import Error, Function
from ape_dtn.types.transactions import contract_call
from tests.conftest import Cast

from .conftest import Through

BLACKLIST = Function("blacklist(address)")
ACCOUNT = "0x" + "11" * 20


def reason(text: str) -> bytes:
    return bytes.fromhex("08c379a0") + encode(["string"], [text])


@pytest.mark.parametrize(
    "data",
    [
        reason("Pausable: paused"),
        reason("ERC20Pausable: token transfer while paused"),
        reason("Transfers are suspended"),
        Error("EnforcedPause()").selector,
        Error("ContractPaused()").selector,
    ],
)
def test_a_paused_token_is_named(data: bytes) -> None:
    err = reverts.to_error(reverts.decode(data))

    assert isinstance(err, TokenPaused)
    assert isinstance(err, PaymentRefused)
    assert (err.code, err.exit_code) == ("token_paused", 4)
    assert err.revert is not None
    assert "Wait" in (err.hint or "")


@pytest.mark.parametrize(
    ("data", "account"),
    [
        (reason("Blacklistable: account is blacklisted"), None),
        (reason("ERC20: sender is on the block list"), None),
        (reason("address frozen"), None),
        (Error("AddressFrozen()").selector, None),
        (Error("ERC20Blocked(address)").selector + bytes(12) + b"\x11" * 20, ACCOUNT),
        (Error("UserRestricted(address)").selector + bytes(12) + b"\x11" * 20, ACCOUNT),
    ],
)
def test_a_blocked_account_is_named(data: bytes, account: str | None) -> None:
    err = reverts.to_error(reverts.decode(data))

    assert isinstance(err, AccountBlocked)
    assert (err.code, err.account) == ("account_blocked", account)
    assert (account or "sender") in (err.hint or "")


@pytest.mark.parametrize("text", ["ERC20: insufficient allowance", "Not the node worker", ""])
def test_other_reasons_are_not(text: str) -> None:
    assert type(reverts.to_error(reverts.decode(reason(text)))) is ContractReverted


@pytest.fixture
def usdc(cast: Cast, variant: Variant, network: LocalNetwork) -> LocalNetwork:
    """A network that is paid in USDC, of which the customer has 1,000."""
    paid = deploy(cast.owner, cast.worker, variant, FeeToken.USDC)
    fund(paid.ai.provider, cast.owner, paid.token, str(cast.customer.address), 1_000_000_000)
    return paid


def block(network: LocalNetwork, cast: Cast, account: str) -> None:
    call = contract_call(network.token, BLACKLIST, account)
    transactions.send(network.ai.provider, cast.owner, call, reverts.NO_CONTEXT)


def without_reasons(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
    """An endpoint that says of a revert only that there was one."""
    answers = json.loads(ask(body))
    for answer in answers if isinstance(answers, list) else [answers]:
        if "error" in answer:
            answer["error"] = {"code": 3, "message": "execution reverted"}
    return json.dumps(answers).encode()


@pytest.mark.parametrize("method", ["two-step", "allowance", "authorization", "permit"])
def test_a_blocked_account_cannot_pay(
    usdc: LocalNetwork, cast: Cast, through: Through, method: Any
) -> None:
    account = str(cast.customer.address)
    block(usdc, cast, account)

    with pytest.raises(AccountBlocked) as raised:
        DtnSession.start("5", cast.customer, usdc.ai, method=method)
    assert raised.value.account == account

    with through(without_reasons) as ai, pytest.raises(AccountBlocked) as raised:
        DtnSession.start("5", cast.customer, DtnAi(usdc.ai.router, ai.provider), method=method)
    assert raised.value.account == account


def test_a_blocked_account_gets_no_refund(usdc: LocalNetwork, cast: Cast) -> None:
    session = DtnSession.start("5", cast.customer, usdc.ai, method="two-step")
    block(usdc, cast, str(cast.customer.address))

    with pytest.raises(AccountBlocked) as raised:
        session.close()

    assert raised.value.account == str(cast.customer.address)
    assert session.is_open


def test_a_symbol_in_bytes32_is_read(network: LocalNetwork, through: Through) -> None:
    symbol = "0x" + ERC20.symbol.selector.hex()

    def answer(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        calls, answers = json.loads(body), json.loads(ask(body))
        for call in calls if isinstance(calls, list) else [calls]:
            if call["method"] == "eth_call" and call["params"][0]["data"] == symbol:
                found = answers if isinstance(answers, list) else [answers]
                (own,) = (one for one in found if one["id"] == call["id"])
                own["result"] = "0x" + b"MKR".ljust(32, b"\0").hex()
        return json.dumps(answers).encode()

    with through(answer) as ai:
        token = ai.token()

    assert token == Token(network.token, "MKR", 6)


def test_a_symbol_of_32_bytes_that_is_no_text_can_be_shown() -> None:
    assert Token(ACCOUNT, ERC20.symbol.decode(b"\xff" + bytes(31)), 6).units(1)
