"""Rehearsals show what then happens, and change nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak

from ape_dtn import DtnRehearsal, Status
from ape_dtn._cli.json_fields import rehearsal_fields
from ape_dtn.chain import rpc, transactions
from ape_dtn.deployment.assemble import NODE, LocalNetwork, Variant
from ape_dtn.devnet.anvil import free_port
from ape_dtn.errors import (
    AnvilFailed,
    CallbackFailed,
    CallbackOutOfGas,
    ContractReverted,
    DtnError,
    InvalidOption,
    NobodyCanAnswer,
    NodeFailure,
    NodesNotListed,
    NoMoneyForGas,
)
from ape_dtn.network.abi import NodeManager
from ape_dtn.node.answering import NOT_PARSABLE
from ape_dtn.rehearsal.fork import forked
from ape_dtn.rehearsal.report import RehearsalResult
from ape_dtn.requests import gas
from ape_dtn.types.ids import id_of
from ape_dtn.types.rpc import Request
from ape_dtn.types.serialization import to_json
from ape_dtn.types.transactions import contract_call
from benchmarks.rpc_counter import RpcCounter
from tests.conftest import Cast
from tests.sdk.conftest import Through, crowd, through

from .conftest import ENOUGH, FEE, IPFS, MOST, TOO_LITTLE, ScriptedContract

__all__ = ["through"]  # a fixture

# The methods of an endpoint that only read.
READS = ("eth_get", "eth_call", "eth_chainId", "eth_blockNumber", "eth_gasPrice", "net_version")

INACTIVE = "is inactive"


def changed(result: RehearsalResult, kind: str) -> dict[str, tuple[Any, Any]]:
    """Return the changes of a kind in all steps, by label and name."""
    return {
        f"{change.label}.{change.what}": (change.before, change.after)
        for step in result.steps
        for change in step.changes
        if change.kind == kind
    }


@pytest.fixture
def rehearsal(network: LocalNetwork, cast: Cast) -> DtnRehearsal:
    return DtnRehearsal(cast.customer, network.ai, answers=["four"])


@pytest.mark.usefixtures("unchanged_chain")
def test_a_request_with_its_answer_and_callback(rehearsal: DtnRehearsal, consumer: Any) -> None:
    result = rehearsal.run(consumer.ask, "Two and two?", value=ENOUGH).check()

    assert [step.what for step in result.steps] == ["ask(string)", "respondToRequest"]
    assert all(step.gas_used and step.gas_cost for step in result.steps)
    (request,) = result.requests
    assert (request.text, request.answer, request.node) == ("Two and two?", "four", NODE)
    assert (request.depth, request.status) == (0, Status.SUCCESS)
    assert request.max_cost.units == MOST
    assert request.charged is not None
    sizes = len(encode(["string[]"], [["Two and two?"]])) + len(encode(["string"], ["four"]))
    assert request.charged.units == sizes * FEE
    assert request.callback is not None
    assert (request.callback.what, request.callback.gas_limit) == ("onAnswer", ENOUGH)
    assert request.callback.gas_used is not None
    assert 20_000 < request.callback.gas_used < ENOUGH

    views = changed(result, "view")
    assert views["ReuseSession.requestId"][1] == request.id
    assert views["ReuseSession.answer"] == (None, "four")
    balances = changed(result, "balance")
    before, after = balances["the node.USDT"]
    assert after - before == request.charged
    before, after = balances["router.ETH"]
    assert after - before == gas.native_currency(rehearsal.ai.provider).units(ENOUGH)
    assert any(name.startswith("ReuseSession.0x") for name in changed(result, "storage"))
    events = {event.name: event for event in result.events}
    assert events["Answered"].fields == {"requestId": request.id}
    assert events["SessionCharged"].fields["amount"] == str(request.charged.units)
    assert json.loads(json.dumps(to_json(rehearsal_fields(result))))["failures"] == []


def test_the_transaction_then_does_what_the_rehearsal_showed(
    rehearsal: DtnRehearsal, network: LocalNetwork, consumer: Any, cast: Cast
) -> None:
    rehearsal.answers, rehearsal.backend = (), network.node.backend
    result = rehearsal.run(consumer.ask, "Two and two?", value=ENOUGH).check()

    receipt = consumer.ask("Two and two?", value=ENOUGH, sender=cast.customer)
    before = rehearsal.ai.token().units(0)
    network.node.answer_pending()

    assert receipt.gas_used == result.transaction.gas_used
    assert changed(result, "view")["ReuseSession.answer"][1] == consumer.answer()
    assert result.charged is not None
    assert result.charged > before


@pytest.mark.usefixtures("unchanged_chain")
def test_the_gas_that_a_callback_needs_is_exact(rehearsal: DtnRehearsal, consumer: Any) -> None:
    def failures(limit: int) -> list[DtnError]:
        return rehearsal.run(consumer.ask, "Two and two?", value=limit).failures

    (failure,) = failures(TOO_LITTLE)
    assert isinstance(failure, CallbackOutOfGas)
    assert failure.gas == TOO_LITTLE
    assert str(failure.needed) in str(failure.hint)
    assert "ape dtn answer" not in str(failure.hint)  # the answer is on the fork only
    assert failures(failure.needed) == []
    (still_failing,) = failures(failure.needed - 1)
    assert isinstance(still_failing, CallbackOutOfGas)
    assert still_failing.needed == failure.needed


def test_a_callback_that_reverts_is_explained(
    rehearsal: DtnRehearsal, consumer: Any, scripted: ScriptedContract
) -> None:
    scripted.set_callback((str(consumer.address), 0, consumer.ask.encode_input("Hello?")))
    result = rehearsal.run(scripted.contract.act, [scripted.request_call()], value=ENOUGH)

    (failure,) = result.failures
    assert type(failure) is CallbackFailed
    assert failure.revert is not None
    assert failure.revert.name == "OwnableUnauthorizedAccount"
    assert failure.revert.fields == {"account": scripted.address}
    assert result.requests[0].status is Status.SUCCESS
    with pytest.raises(CallbackFailed):
        result.check()


def test_requests_of_callbacks_are_answered_up_to_the_depth(
    rehearsal: DtnRehearsal, scripted: ScriptedContract
) -> None:
    scripted.set_callback(scripted.request_call(gas=0))
    rehearsal.answers, rehearsal.depth = ("one", "two"), 2
    calls = [scripted.request_call(gas=2_000_000)]
    result = rehearsal.run(scripted.contract.act, calls, value=2_000_000)

    outcomes = [(request.depth, request.answer) for request in result.requests]
    assert outcomes == [(0, "one"), (1, "two")]
    assert isinstance(result.failures[0], CallbackFailed)  # a callback without gas cannot run
    rehearsal.depth = 0
    shallow = rehearsal.run(scripted.contract.act, calls, value=2_000_000)
    assert [request.status for request in shallow.requests] == [Status.SUCCESS, Status.PENDING]
    assert shallow.is_good


@pytest.mark.usefixtures("unchanged_chain")
def test_a_transaction_that_reverts_is_explained(
    network: LocalNetwork, consumer: Any, cast: Cast
) -> None:
    stranger = DtnRehearsal(str(cast.stranger.address), network.ai)
    for gas_limit in (None, 500_000):  # refused by its estimate, and mined with a gas limit
        result = stranger.run(consumer.ask, "Hello?", gas_limit=gas_limit)
        (failure,) = result.failures
        assert isinstance(failure, ContractReverted)
        assert failure.revert is not None
        assert failure.revert.name == "OwnableUnauthorizedAccount"
        assert (result.transaction.gas_used is None) == (gas_limit is None)
        assert result.requests == ()
    unfunded = DtnRehearsal("0x" + "5e" * 20, network.ai).run(consumer.ask, "Hello?", value=1)
    assert isinstance(unfunded.failures[0], NoMoneyForGas)


def test_an_inactive_node_is_named_and_can_be_activated_on_the_fork(
    rehearsal: DtnRehearsal, network: LocalNetwork, consumer: Any, cast: Cast
) -> None:
    manager = network.ai.contracts().node_manager
    off = contract_call(manager, NodeManager.set_node_status, id_of(NODE, "node"), False)
    transactions.send(network.ai.provider, cast.owner, off)

    def rehearse() -> RehearsalResult:
        return rehearsal.run(consumer.ask, "Hello?", value=ENOUGH)

    (failure,) = rehearse().failures
    assert isinstance(failure, NobodyCanAnswer)
    assert failure.nodes == {NODE: INACTIVE}
    rehearsal.as_node = NODE
    assert rehearse().check().requests[0].node == NODE
    rehearsal.as_node = "node.alice.first"
    (failure,) = rehearse().failures
    assert isinstance(failure, NobodyCanAnswer)
    assert list(failure.nodes) == ["node.alice.first"]


def test_an_unregistered_node_can_be_registered_on_the_fork(
    rehearsal: DtnRehearsal, scripted: ScriptedContract
) -> None:
    calls = [scripted.request_call(node="node.alice.first")]
    (failure,) = rehearsal.run(scripted.contract.act, calls, value=ENOUGH).failures
    assert isinstance(failure, NobodyCanAnswer)
    rehearsal.as_node = "node.alice.first"
    result = rehearsal.run(scripted.contract.act, calls, value=ENOUGH).check()
    assert result.requests[0].answer == "four"


def test_with_too_many_nodes_to_list_one_can_be_named(
    rehearsal: DtnRehearsal, network: LocalNetwork, scripted: ScriptedContract
) -> None:
    crowded = crowd(network)
    namespaces = [keccak(text="namespace.any")]
    calls = [scripted.request_call(node="node.alice.first", namespaces=namespaces)]
    (failure,) = rehearsal.run(scripted.contract.act, calls, value=ENOUGH).failures
    assert isinstance(failure, NodesNotListed)
    assert crowded in failure.message
    assert "as_node" in (failure.hint or "")
    rehearsal.as_node = "node.alice.first"
    assert rehearsal.run(scripted.contract.act, calls, value=ENOUGH).check().requests


def test_a_given_failure_is_the_answer(network: LocalNetwork, consumer: Any, cast: Cast) -> None:
    failing = DtnRehearsal(cast.customer, network.ai, failures=["no model"])
    result = failing.run(consumer.ask, "Hello?", value=ENOUGH).check()
    (request,) = result.requests
    assert (request.status, request.answer) == (Status.FAILURE, "no model")
    assert request.callback is not None
    assert request.callback.what == "onFailure"
    with pytest.raises(InvalidOption):
        DtnRehearsal(cast.customer, network.ai, failures=["no"], answers=["yes"])
    with pytest.raises(InvalidOption, match="must be a string"):
        DtnRehearsal(cast.customer, network.ai, answers=[5]).run(consumer.ask, "Hello?")


def test_a_malformed_call_fails(rehearsal: DtnRehearsal, scripted: ScriptedContract) -> None:
    calls = [scripted.request_call(call=b"\x01")]
    result = rehearsal.run(scripted.contract.act, calls, value=ENOUGH)
    (failure,) = result.failures
    assert isinstance(failure, NodeFailure)
    assert NOT_PARSABLE in failure.message
    assert (result.requests[0].text, result.requests[0].answer) == (None, NOT_PARSABLE)


def test_an_answer_over_ipfs_is_a_cid(rehearsal: DtnRehearsal, scripted: ScriptedContract) -> None:
    calls = [scripted.request_call(call_type=IPFS)]
    result = rehearsal.run(scripted.contract.act, calls, value=ENOUGH).check()
    # As `ipfs add --cid-version=1` prints for a file that contains "four".
    assert result.requests[0].answer is not None
    assert result.requests[0].answer.startswith("bafkrei")


@pytest.mark.parametrize("variant", [Variant.LIVE])
@pytest.mark.usefixtures("unchanged_chain")
def test_a_rehearsal_only_reads_from_the_endpoint(
    through: Through, network: LocalNetwork, consumer: Any, cast: Cast
) -> None:
    methods: list[str] = []

    def recorded(body: bytes, pass_on: Callable[[bytes], bytes]) -> bytes:
        document = json.loads(body)
        requests = document if isinstance(document, list) else [document]
        methods.extend(request["method"] for request in requests)
        return pass_on(body)

    with through(recorded) as ai:
        result = DtnRehearsal(cast.customer, ai).run(consumer.ask, "Hello?", value=ENOUGH)
    assert result.check().requests[0].answer == "You asked: Hello?"
    assert [method for method in methods if not method.startswith(READS)] == []


@dataclass(frozen=True)
class Keyed:
    """A connection to an endpoint with a key in its URL, with the attributes that a fork needs."""

    http_uri: str
    network: Any
    name: str = "keyed"


def test_errors_do_not_show_keys_in_the_url_of_an_endpoint(network: LocalNetwork) -> None:
    provider, secret = network.ai.provider, "0123456789abcdef-key"

    def keyed(url: str) -> Any:
        return Keyed(f"{url}/v2/{secret}", provider.network)

    unreachable = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(AnvilFailed) as caught, forked(keyed(unreachable)):
        pass
    shown = json.dumps(to_json(caught.value)) + repr(caught.value)
    assert unreachable in shown
    assert secret not in shown

    with RpcCounter(str(provider.http_uri)) as endpoint, forked(keyed(endpoint.url)) as fork:
        endpoint.stop()
        balance: Request = ("eth_getBalance", ["0x" + "5e" * 20, "latest"])
        failures = rpc.ask(fork.provider, [balance]) + rpc.ask(fork.provider, [balance, balance])
    shown = "".join(failure.message for failure in failures)
    assert endpoint.url in shown
    assert secret not in shown
