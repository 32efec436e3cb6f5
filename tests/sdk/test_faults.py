"""Faults between signing and the receipt, and unusual data of others on the chain."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ape
import pytest
from eth_abi import encode

from ape_dtn import DtnAi, DtnSession, Status
from ape_dtn.chain import transactions
from ape_dtn.chain.networks import name as network_name
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.errors import DepositWaiting, NodeFailure, TransactionPending
from ape_dtn.funding import methods
from ape_dtn.network import reverts
from ape_dtn.network.abi import ModelManager, NodeManager, Router
from ape_dtn.types.ids import id_of
from ape_dtn.types.redact import hide_secrets
from ape_dtn.types.transactions import Transaction, contract_call
from benchmarks.chain import connected_to, own_anvil
from benchmarks.rpc_counter import RpcCounter
from tests.conftest import Balances, Cast, on_live

from .conftest import Answer, Endpoint, Through

ROOT = Path(__file__).resolve().parent.parent.parent

SEND = "eth_sendRawTransaction"
RECEIPT = "eth_getTransactionReceipt"


def lost(method: str, times: int = 1) -> Answer:
    """The chain accepts it, and the response is lost this many times."""
    left = [times]

    def fault(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        answer = ask(body)
        if method.encode() in body and left[0]:
            left[0] -= 1
            raise OSError("gone")
        return answer

    return fault


@pytest.mark.parametrize("times", [1, 2, 1000])
def test_a_transaction_whose_response_is_lost_is_followed(
    network: LocalNetwork, through: Through, cast: Cast, balances: Balances, times: int
) -> None:
    before = balances.of(cast.customer)

    with through(lost(SEND, times)) as ai:
        session = DtnSession.start("3", cast.customer, ai)

    assert session.opened_with == balances.token.amount("3")
    (listed,) = DtnSession.list(cast.customer, network.ai)
    assert listed[0].id == session.id
    assert balances.of(cast.customer) == before - balances.token.amount("3")


def test_a_missing_receipt_leaves_the_outcome_open(
    network: LocalNetwork, through: Through, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    with through(lost(RECEIPT, 1_000_000)) as ai:
        kind = type(ai.provider.network)
        monkeypatch.setattr(kind, "transaction_acceptance_timeout", 0.5)
        with pytest.raises(TransactionPending) as raised:
            DtnSession.start("3", cast.customer, ai)

    assert raised.value.exit_code == 7
    assert len(raised.value.transactions) == 2
    assert all(hash_ in str(raised.value) for hash_ in raised.value.transactions)
    assert len(DtnSession.list(cast.customer, network.ai)) == 1


STARTS_A_SESSION = """
import sys, threading
from ape import accounts
from ape_dtn import DtnSession
from ape_dtn.deployment.assemble import deploy, fund
from benchmarks.chain import connected_to, own_anvil

with connected_to(sys.argv[1]) as provider:
    owner, worker, customer = accounts.test_accounts[:3]
    network = deploy(owner, worker)
    fund(provider, owner, network.token, customer.address, 10_000_000)
    threading.Thread(target=threading.Event().wait, daemon=True).start()  # as a spinner is one
    print(network.ai.router, flush=True)
    DtnSession.start("3", customer, network.ai)
"""


def test_an_interrupt_does_not_separate_deposit_and_start(cast: Cast) -> None:
    with own_anvil() as chain, Endpoint(chain) as endpoint:
        child = subprocess.Popen(
            [sys.executable, "-c", STARTS_A_SESSION, endpoint.url],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        router = child.stdout.readline().strip()

        def interrupting(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
            if SEND.encode() in body:
                child.send_signal(signal.SIGINT)
            return ask(body)

        endpoint.script = interrupting
        output = "".join(child.communicate(timeout=60))
        with connected_to(chain) as provider:
            ((_, balance),) = DtnSession.list(cast.customer, DtnAi(router, provider))

    assert child.returncode != 0
    assert balance.units == 3_000_000
    assert "do not send again" in output
    assert "Traceback" not in output


def test_a_start_that_fails_leaves_a_deposit_to_claim(
    network: LocalNetwork, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "START_GAS", 40_000)

    with pytest.raises(DepositWaiting) as raised:
        DtnSession.start("3", cast.customer, network.ai)

    assert "DtnSession.claim" in (raised.value.hint or "")
    assert DtnSession.claim(cast.customer, network.ai).opened_with == network.ai.token().amount("3")


def test_a_plain_connection_batches_too(network: LocalNetwork) -> None:
    with RpcCounter(str(network.ai.provider.http_uri)) as counter:
        choice = f"ethereum:local:{counter.url}/v2/SECRETKEY"
        with ape.networks.parse_network_choice(choice) as provider:
            ai = DtnAi(network.ai.router, provider)
            with counter.counting() as count:
                assert ai.contracts() == network.ai.contracts()

            assert (count.http, count.rpc) == (1, 5)
            assert "SECRETKEY" not in repr(ai) + network_name(provider)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://eth.example/v2/SECRET?key=SECRET is down", "https://eth.example is down"),
        ("502 for url: https://eth.example/v2/SECRET", "502 for https://eth.example"),
        ("wss://me:SECRET@eth.example:8546/x", "wss://eth.example:8546"),
        ("http://127.0.0.1:1?apikey=SECRET/[hidden]", "http://127.0.0.1:1"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_keys_in_addresses_are_hidden(text: str, shown: str) -> None:
    hidden = hide_secrets(text)

    assert "SECRET" not in hidden
    assert hidden in (shown, shown.removesuffix(" for https://eth.example") + " for ")


def test_a_failure_message_that_is_not_utf8(network: LocalNetwork, cast: Cast) -> None:
    session = DtnSession.start("3", cast.customer, network.ai)
    request = session.request("Hello?")
    kinds = ["bytes32", "uint8", "bytes", "bytes", "bytes32", "uint256", "uint256"]
    values = [
        id_of(request.id, "request"),
        Status.FAILURE,
        b"cut at \xe2\x82",
        b"",
        network.node.id,
        0,
        0,
    ]
    data = Router.respond_to_request.selector + encode(kinds, values)
    transactions.send(
        network.ai.provider, cast.worker, Transaction(network.ai.router, data), reverts.NO_CONTEXT
    )

    with pytest.raises(NodeFailure, match="cut at"):
        request.answer()


def test_anybody_may_register_a_model_of_any_name(network: LocalNetwork, cast: Cast) -> None:
    provider, contracts = network.ai.provider, network.ai.contracts()
    known = {model.name for model in network.ai.models()}
    models = contracts.model_manager
    for transaction in (
        contract_call(
            contracts.node_manager, NodeManager.register_user, "eve", str(cast.stranger.address)
        ),
        contract_call(
            models,
            ModelManager.register_model_api,
            "api.node.eve",
            "x",
            "string[] -> string",
            "[/b]",
        ),
        contract_call(
            models, ModelManager.register_model, "model.node.eve", "a b", "api.node.eve.x"
        ),
        contract_call(models, ModelManager.register_model, "model.node.eve", "c", "api.node.eve.x"),
    ):
        transactions.send(provider, cast.stranger, transaction, reverts.NO_CONTEXT)

    assert {model.name for model in network.ai.models()} == known | {"model.node.eve.c"}


@on_live  # where that is accepted
def test_the_local_node_continues_after_an_invalid_request(
    network: LocalNetwork, cast: Cast
) -> None:
    session = DtnSession.start("3", cast.customer, network.ai)
    draft = session.draft("Hello?")
    all_of_them: Any = (
        session.id,
        draft.model.id,
        ((), [network.node.id], 1, 8, 1),  # ALL: accepted and never completed
        (draft.call, b"", 1, 0, 0, 1),
        (b"\0" * 4, b"\0" * 4, "0x" + "00" * 20),
        str(cast.stranger.address),
        0,
    )
    odd = contract_call(network.ai.router, Router.request, *all_of_them)
    transactions.send(network.ai.provider, cast.customer, odd, reverts.NO_CONTEXT)
    request = session.request("Hello?")

    assert network.node.answer_pending() == [request.id]
    assert request.answer().text == "You asked: Hello?"


def test_a_backend_that_fails_is_a_failure_of_the_node(
    network: LocalNetwork, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(lines: Any) -> str:
        raise ZeroDivisionError(lines)

    monkeypatch.setattr(network.node, "backend", broken)
    request = DtnSession.start("3", cast.customer, network.ai).request("Hello?")
    network.node.answer_pending()

    with pytest.raises(NodeFailure, match="The backend failed"):
        request.answer()
