"""Gas, fees and signatures with lying endpoints, chain limits, and signers that change the
transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import ape
import pytest

from ape_dtn import DtnSession
from ape_dtn.chain import ceilings, rpc, transactions
from ape_dtn.chain.ceilings import TRANSACTION_GAS
from ape_dtn.chain.signatures import signature_parts
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.errors import (
    GasTooExpensive,
    SigningDeclined,
    TransactionRefused,
    TransactionTooLarge,
)
from ape_dtn.funding import signatures
from ape_dtn.types.payload import payload_of
from ape_dtn.types.rpc import as_int
from ape_dtn.types.transactions import Transaction
from benchmarks.chain import connected_to, own_anvil
from tests.conftest import Cast

from .conftest import Answer, Through

Ask = Callable[[bytes], bytes]

SEND = "eth_sendRawTransaction"
GWEI = 10**9


class Liar:
    """An endpoint that returns false figures, and records the transactions that it receives."""

    def __init__(self, **lies: Callable[[Any], Any]) -> None:
        self.lies = lies
        self.sent: list[str] = []

    def __call__(self, body: bytes, ask: Ask) -> bytes:
        calls, found = json.loads(body), json.loads(ask(body))
        if not isinstance(calls, list):
            calls, found = [calls], [found]
        for call, item in zip(calls, found, strict=True):
            if call["method"] == SEND:
                self.sent.append(call["params"][0])
            if call["method"] in self.lies and "result" in item:
                item["result"] = self.lies[call["method"]](item["result"])
        return json.dumps(found if len(found) > 1 else found[0]).encode()


def absurd(_: Any) -> str:
    return hex(10**15)  # a million gwei


def absurd_history(history: Any) -> Any:
    return {**history, "reward": [[absurd(None)]] * 5, "baseFeePerGas": [absurd(None)] * 6}


def absurd_block(block: Any) -> Any:
    return block and {**block, "baseFeePerGas": absurd(None)}


def test_a_lie_about_the_tip_is_not_paid(through: Through, funded: DtnSession) -> None:
    liar = Liar(eth_maxPriorityFeePerGas=absurd, eth_feeHistory=absurd_history)

    with through(liar) as ai:
        DtnSession(ai, funded.id, funded.account).request("Hello?")

    assert {payload_of(raw).fees.tip for raw in liar.sent} == {ceilings.UNKNOWN.tip}


def test_a_lie_about_everything_together_is_refused(
    through: Through, funded: DtnSession, nothing_moves: None
) -> None:
    liar = Liar(
        eth_maxPriorityFeePerGas=absurd,
        eth_feeHistory=absurd_history,
        eth_getBlockByNumber=absurd_block,
    )

    with through(liar) as ai, pytest.raises(GasTooExpensive) as raised:
        DtnSession(ai, funded.id, funded.account).request("Hello?")

    assert raised.value.exit_code == 4
    assert raised.value.ceiling == ceilings.UNKNOWN.fee
    assert liar.sent == []


@pytest.fixture
def configured(network: LocalNetwork) -> Iterator[Callable[..., None]]:
    """Configures the fee ceilings of the local chain."""

    def configure(tip: Any = None, fee: Any = None, cost: Any = None) -> None:
        ceilings.configure(network.ai.provider.chain_id, tip, fee, cost)

    yield configure
    configure()


def test_an_operation_does_not_cost_more_than_is_configured(
    funded: DtnSession, configured: Callable[..., None], nothing_moves: None
) -> None:
    from decimal import Decimal

    configured(cost=Decimal("0.000001"))

    with pytest.raises(GasTooExpensive) as raised:
        funded.request("Hello?")

    assert raised.value.ceiling == 10**12
    assert "gas_cost_limit" in str(raised.value.hint)


def test_what_others_pay_bounds_what_is_said_to_be_wanted(
    through: Through, funded: DtnSession
) -> None:
    def usual(history: Any) -> Any:
        return {**history, "reward": [[hex(7)], [hex(5)], [hex(0)], [hex(6)], []]}

    liar = Liar(eth_maxPriorityFeePerGas=absurd, eth_feeHistory=usual)

    with through(liar) as ai:
        DtnSession(ai, funded.id, funded.account).request("Hello?")

    assert [payload_of(raw).fees.tip for raw in liar.sent] == [18]  # three times the median


@pytest.mark.parametrize("how", ["zero", "not served"])
def test_a_tip_is_at_least_a_wei(through: Through, funded: DtnSession, how: str) -> None:
    liar = Liar(
        eth_maxPriorityFeePerGas=lambda _: "0x0",
        eth_feeHistory=lambda history: {**history, "reward": None},
    )

    def without(body: bytes, ask: Ask) -> bytes:
        calls, found = json.loads(body), json.loads(liar(body, ask))
        if how == "not served" and isinstance(calls, list):
            for place, call in enumerate(calls):
                if call["method"] in liar.lies:
                    error = {"code": -32601, "message": "the method does not exist"}
                    found[place] = {"jsonrpc": "2.0", "id": call["id"], "error": error}
        return json.dumps(found).encode()

    answer: Answer = without
    with through(answer) as ai:
        DtnSession(ai, funded.id, funded.account).request("Hello?")

    assert [payload_of(raw).fees.tip for raw in liar.sent] == [1]


def test_what_does_not_fit_is_refused_before_money_moves(
    through: Through, funded: DtnSession, nothing_moves: None
) -> None:
    liar = Liar(eth_getBlockByNumber=lambda block: block and {**block, "gasLimit": hex(90_000)})

    with through(liar) as ai, pytest.raises(TransactionTooLarge) as raised:
        DtnSession(ai, funded.id, funded.account).request("Hello?")

    assert raised.value.ceiling == 90_000
    assert raised.value.gas > 90_000
    assert raised.value.fitting_bytes > 0
    assert "IPFS" in str(raised.value.hint)
    assert liar.sent == []


def test_the_margin_does_not_exceed_what_a_block_holds(
    through: Through, funded: DtnSession
) -> None:
    estimates: list[int] = []

    def noted(estimate: Any) -> Any:
        estimates.append(as_int(estimate))
        return estimate

    def tight(block: Any) -> Any:
        return block and {
            **block,
            "gasLimit": hex(estimates[-1] * 105 // 100 if estimates else 10**7),
        }

    liar = Liar(eth_estimateGas=noted, eth_getBlockByNumber=tight)

    with through(liar) as ai:
        session = DtnSession(ai, funded.id, funded.account)
        session.request("Hello?")
        session.request("Hello?")

    first, second = (payload_of(raw).gas_limit for raw in liar.sent)
    assert first == estimates[0] * 120 // 100
    assert second == estimates[0] * 105 // 100


def test_a_transaction_keeps_to_the_ceiling_of_eip_7825() -> None:
    sender = ape.accounts.test_accounts[0]
    with own_anvil("--enable-tx-gas-limit") as url, connected_to(url) as provider:

        def send(size: int) -> Any:
            return transactions.send(
                provider, sender, Transaction(str(sender.address), b"\1" * size)
            )

        fits = (TRANSACTION_GAS - 21_000) // 40
        receipt = send(fits)
        raw = rpc.result(provider, "eth_getTransactionByHash", [receipt.transaction])
        with pytest.raises(TransactionRefused):
            send(fits + 100)
        with pytest.raises(TransactionTooLarge) as raised:
            send(fits + 100)
        again = send(fits)

    assert as_int(raw["gas"]) == TRANSACTION_GAS
    assert raised.value.ceiling == TRANSACTION_GAS
    assert fits - 100 < raised.value.fitting_bytes <= fits
    assert again.gas_used == receipt.gas_used


def with_v_from_zero(sign: Callable[..., Any]) -> Callable[..., Any]:
    def signed(self: Any, message: Any, **options: Any) -> Any:
        found = sign(self, message, **options)
        return type(found)(found.v - 27, found.r, found.s)

    return signed


@pytest.mark.parametrize("method", ["permit", "authorization"])
def test_signatures_of_hardware_wallets_are_taken(
    usdc_network: LocalNetwork, cast: Cast, method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(cast.customer)
    monkeypatch.setattr(kind, "sign_message", with_v_from_zero(kind.sign_message))

    session = DtnSession.start("1", cast.customer, usdc_network.ai, method=method)

    assert session.balance == session.opened_with


def test_a_device_that_raises_has_declined(
    usdc_network: LocalNetwork, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(self: Any, message: Any, **options: Any) -> Any:
        raise RuntimeError("0x6a80: blind signing is off")

    monkeypatch.setattr(type(cast.customer), "sign_message", locked)

    with pytest.raises(SigningDeclined, match="blind signing is off") as raised:
        DtnSession.start("1", cast.customer, usdc_network.ai, method="permit")

    assert "allowance" in str(raised.value.hint)


def test_a_device_that_raises_at_a_transaction_has_declined(
    funded: DtnSession, monkeypatch: pytest.MonkeyPatch, nothing_moves: None
) -> None:
    def locked(self: Any, transaction: Any, **options: Any) -> Any:
        raise ConnectionError("the device is locked")

    monkeypatch.setattr(type(funded.account), "sign_transaction", locked)

    with pytest.raises(SigningDeclined, match="the device is locked"):
        funded.request("Hello?")


def test_the_two_forms_of_v_are_one() -> None:
    class Signed:
        r, s = b"\1" * 31, b"\2" * 32

        def __init__(self, v: int) -> None:
            self.v = v

    assert signature_parts(Signed(0)) == signature_parts(Signed(27))
    assert signature_parts(Signed(1)) == signature_parts(Signed(28))
    assert signature_parts(Signed(0))[1] == b"\0" + b"\1" * 31


def test_a_payment_that_is_signed_on_an_idle_chain_is_not_over_before_it_is_sent(
    usdc_network: LocalNetwork, cast: Cast
) -> None:
    ai, account = usdc_network.ai, cast.customer
    holder = str(account.address)
    answers = ai.try_read(*signatures.calls(usdc_network.token, holder))
    domain = signatures.to_signable(usdc_network.token, ai.provider.chain_id, answers)
    assert domain is not None
    two_hours_ago, ahead = int(time.time()) - 7200, int(time.time()) + 7200

    for now in (two_hours_ago, ahead):
        deadline = signatures.permit(account, domain, holder, 1, now)[0]
        _, until, *_ = signatures.authorization(account, domain, holder, 1, now)
        assert min(deadline, until) >= max(now, time.time()) + 3500
