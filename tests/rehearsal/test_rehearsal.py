"""What a rehearsal shows is what then happens, and nothing happens by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak

from ape_dtn import DtnRehearsal, Status
from ape_dtn._cli.shapes import rehearsal_fields
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
from ape_dtn.rehearsal.report import Rehearsed
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

# What an endpoint is asked by those who only read.
READS = ("eth_get", "eth_call", "eth_chainId", "eth_blockNumber", "eth_gasPrice", "net_version")

SWITCHED_OFF = "is switched off"

Changed = Callable[[Rehearsed, str], dict[str, tuple[Any, Any]]]


def changed(shown: Rehearsed, kind: str) -> dict[str, tuple[Any, Any]]:
    """What has changed over all steps, by what it is."""
    return {
        f"{each.label}.{each.what}": (each.before, each.after)
        for step in shown.steps
        for each in step.changes
        if each.kind == kind
    }


@pytest.fixture
def rehearsal(network: LocalNetwork, cast: Cast) -> DtnRehearsal:
    return DtnRehearsal(cast.customer, network.ai, answers=["four"])


@pytest.mark.usefixtures("untouched")
def test_a_request_its_answer_and_its_callback(rehearsal: DtnRehearsal, consumer: Any) -> None:
    shown = rehearsal.run(consumer.ask, "Two and two?", value=ENOUGH).check()

    assert [step.what for step in shown.steps] == ["ask(string)", "respondToRequest"]
    assert all(step.gas_used and step.gas_cost for step in shown.steps)
    (asked,) = shown.requests
    assert (asked.text, asked.answer, asked.node) == ("Two and two?", "four", NODE)
    assert (asked.depth, asked.status) == (0, Status.SUCCESS)
    assert asked.max_cost.units == MOST
    assert asked.charged is not None
    sizes = len(encode(["string[]"], [["Two and two?"]])) + len(encode(["string"], ["four"]))
    assert asked.charged.units == sizes * FEE
    assert asked.callback is not None
    assert (asked.callback.what, asked.callback.gas_limit) == ("onAnswer", ENOUGH)
    assert asked.callback.gas_used is not None
    assert 20_000 < asked.callback.gas_used < ENOUGH

    token = rehearsal.ai.token()
    views = changed(shown, "view")
    assert views["ReuseSession.requestId"][1] == asked.id
    assert views["ReuseSession.answer"] == (None, "four")
    balances = changed(shown, "balance")
    before, after = (token.amount(each, zero=True) for each in balances["the node.USDT"])
    assert after - before == asked.charged
    coin = gas.native_currency(rehearsal.ai.provider)
    before, after = (coin.amount(each, zero=True) for each in balances["router.ETH"])
    assert (after - before).units == ENOUGH
    assert any(name.startswith("ReuseSession.0x") for name in changed(shown, "storage"))
    told = {each.name: each for each in shown.events}
    assert told["Answered"].fields == {"requestId": asked.id}
    assert told["SessionCharged"].fields["amount"] == str(asked.charged.units)
    assert json.loads(json.dumps(to_json(rehearsal_fields(shown))))["failures"] == []


def test_it_is_what_happens_then(
    rehearsal: DtnRehearsal, network: LocalNetwork, consumer: Any, cast: Cast
) -> None:
    rehearsal.answers, rehearsal.backend = (), network.node.backend
    shown = rehearsal.run(consumer.ask, "Two and two?", value=ENOUGH).check()

    receipt = consumer.ask("Two and two?", value=ENOUGH, sender=cast.customer)
    before = rehearsal.ai.token().units(0)
    network.node.answer_pending()

    assert receipt.gas_used == shown.transaction.gas_used
    assert changed(shown, "view")["ReuseSession.answer"][1] == consumer.answer()
    assert shown.charged is not None
    assert shown.charged > before


@pytest.mark.usefixtures("untouched")
def test_how_much_gas_a_callback_lacks_is_found_to_the_unit(
    rehearsal: DtnRehearsal, consumer: Any
) -> None:
    def tried(limit: int) -> list[DtnError]:
        return rehearsal.run(consumer.ask, "Two and two?", value=limit).failures

    (failure,) = tried(TOO_LITTLE)
    assert isinstance(failure, CallbackOutOfGas)
    assert failure.gas == TOO_LITTLE
    assert str(failure.needed) in str(failure.hint)
    assert "ape dtn answer" not in str(failure.hint)  # on the chain itself there is none
    assert tried(failure.needed) == []
    (still,) = tried(failure.needed - 1)
    assert isinstance(still, CallbackOutOfGas)
    assert still.needed == failure.needed


def test_a_callback_that_reverts_is_explained(
    rehearsal: DtnRehearsal, consumer: Any, puppet: ScriptedContract
) -> None:
    puppet.plays((str(consumer.address), 0, consumer.ask.encode_input("Hello?")))
    shown = rehearsal.run(puppet.contract.act, [puppet.asking()], value=ENOUGH)

    (failure,) = shown.failures
    assert type(failure) is CallbackFailed
    assert failure.revert is not None
    assert failure.revert.name == "OwnableUnauthorizedAccount"
    assert failure.revert.fields == {"account": puppet.address}
    assert shown.requests[0].status is Status.SUCCESS
    with pytest.raises(CallbackFailed):
        shown.check()


def test_what_callbacks_ask_is_followed(rehearsal: DtnRehearsal, puppet: ScriptedContract) -> None:
    puppet.plays(puppet.asking(gas=0))
    rehearsal.answers, rehearsal.depth = ("one", "two"), 2
    calls = [puppet.asking(gas=2_000_000)]
    shown = rehearsal.run(puppet.contract.act, calls, value=2_000_000)

    assert [(each.depth, each.answer) for each in shown.requests] == [(0, "one"), (1, "two")]
    assert isinstance(shown.failures[0], CallbackFailed)  # a callback of no gas cannot run
    rehearsal.depth = 0
    shallow = rehearsal.run(puppet.contract.act, calls, value=2_000_000)
    assert [each.status for each in shallow.requests] == [Status.SUCCESS, Status.PENDING]
    assert shallow.is_good


@pytest.mark.usefixtures("untouched")
def test_a_transaction_that_reverts_is_explained(
    network: LocalNetwork, consumer: Any, cast: Cast
) -> None:
    stranger = DtnRehearsal(str(cast.stranger.address), network.ai)
    for gas_limit in (None, 500_000):  # refused by its estimate, and mined
        shown = stranger.run(consumer.ask, "Hello?", gas_limit=gas_limit)
        (failure,) = shown.failures
        assert isinstance(failure, ContractReverted)
        assert failure.revert is not None
        assert failure.revert.name == "OwnableUnauthorizedAccount"
        assert (shown.transaction.gas_used is None) == (gas_limit is None)
        assert shown.requests == ()
    poor = DtnRehearsal("0x" + "5e" * 20, network.ai).run(consumer.ask, "Hello?", value=1)
    assert isinstance(poor.failures[0], NoMoneyForGas)


def test_a_node_that_cannot_answer_is_named_and_can_be_played(
    rehearsal: DtnRehearsal, network: LocalNetwork, consumer: Any, cast: Cast
) -> None:
    manager = network.ai.contracts().node_manager
    off = contract_call(manager, NodeManager.set_node_status, id_of(NODE, "node"), False)
    transactions.send(network.ai.provider, cast.owner, off)

    def tried() -> Rehearsed:
        return rehearsal.run(consumer.ask, "Hello?", value=ENOUGH)

    (failure,) = tried().failures
    assert isinstance(failure, NobodyCanAnswer)
    assert failure.nodes == {NODE: SWITCHED_OFF}
    rehearsal.as_node = NODE
    assert tried().check().requests[0].node == NODE
    rehearsal.as_node = "node.alice.first"
    (failure,) = tried().failures
    assert isinstance(failure, NobodyCanAnswer)
    assert list(failure.nodes) == ["node.alice.first"]


def test_a_node_that_is_not_there_can_be_played(
    rehearsal: DtnRehearsal, puppet: ScriptedContract
) -> None:
    calls = [puppet.asking(node="node.alice.first")]
    (failure,) = rehearsal.run(puppet.contract.act, calls, value=ENOUGH).failures
    assert isinstance(failure, NobodyCanAnswer)
    rehearsal.as_node = "node.alice.first"
    shown = rehearsal.run(puppet.contract.act, calls, value=ENOUGH).check()
    assert shown.requests[0].answer == "four"


def test_where_nodes_are_too_many_to_be_listed_one_can_be_played(
    rehearsal: DtnRehearsal, network: LocalNetwork, puppet: ScriptedContract
) -> None:
    crowded = crowd(network)
    calls = [puppet.asking(node="node.alice.first", namespaces=[keccak(text="namespace.any")])]
    (failure,) = rehearsal.run(puppet.contract.act, calls, value=ENOUGH).failures
    assert isinstance(failure, NodesNotListed)
    assert crowded in failure.message
    assert "as_node" in (failure.hint or "")
    rehearsal.as_node = "node.alice.first"
    assert rehearsal.run(puppet.contract.act, calls, value=ENOUGH).check().requests


def test_failures_are_answered_as_told(network: LocalNetwork, consumer: Any, cast: Cast) -> None:
    told = DtnRehearsal(cast.customer, network.ai, failures=["no model"])
    shown = told.run(consumer.ask, "Hello?", value=ENOUGH).check()
    (asked,) = shown.requests
    assert (asked.status, asked.answer) == (Status.FAILURE, "no model")
    assert asked.callback is not None
    assert asked.callback.what == "onFailure"
    with pytest.raises(InvalidOption):
        DtnRehearsal(cast.customer, network.ai, failures=["no"], answers=["yes"])
    with pytest.raises(InvalidOption, match="gives a string"):
        DtnRehearsal(cast.customer, network.ai, answers=[5]).run(consumer.ask, "Hello?")


def test_a_call_that_nobody_can_decode_fails(
    rehearsal: DtnRehearsal, puppet: ScriptedContract
) -> None:
    calls = [puppet.asking(call=b"\x01")]
    shown = rehearsal.run(puppet.contract.act, calls, value=ENOUGH)
    (failure,) = shown.failures
    assert isinstance(failure, NodeFailure)
    assert NOT_PARSABLE in failure.message
    assert (shown.requests[0].text, shown.requests[0].answer) == (None, NOT_PARSABLE)


def test_an_answer_over_ipfs_is_its_identifier(
    rehearsal: DtnRehearsal, puppet: ScriptedContract
) -> None:
    calls = [puppet.asking(call_type=IPFS)]
    shown = rehearsal.run(puppet.contract.act, calls, value=ENOUGH).check()
    # As `ipfs add --cid-version=1` says of a file that holds "four".
    assert shown.requests[0].answer is not None
    assert shown.requests[0].answer.startswith("bafkrei")


@pytest.mark.parametrize("variant", [Variant.LIVE])
@pytest.mark.usefixtures("untouched")
def test_the_chain_is_only_read(
    through: Through, network: LocalNetwork, consumer: Any, cast: Cast
) -> None:
    asked: list[str] = []

    def recorded(body: bytes, pass_on: Callable[[bytes], bytes]) -> bytes:
        given = json.loads(body)
        asked.extend(each["method"] for each in (given if isinstance(given, list) else [given]))
        return pass_on(body)

    with through(recorded) as ai:
        shown = DtnRehearsal(cast.customer, ai).run(consumer.ask, "Hello?", value=ENOUGH)
    assert shown.check().requests[0].answer == "You asked: Hello?"
    assert [each for each in asked if not each.startswith(READS)] == []


@dataclass(frozen=True)
class Keyed:
    """A connection as that to a public endpoint, as far as a copy has a use for it."""

    http_uri: str
    network: Any
    name: str = "keyed"


def test_what_comes_after_the_host_is_told_to_nobody(network: LocalNetwork) -> None:
    provider, secret = network.ai.provider, "0123456789abcdef-key"

    def keyed(url: str) -> Any:
        return Keyed(f"{url}/v2/{secret}", provider.network)

    nobody = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(AnvilFailed) as caught, forked(keyed(nobody)):
        pass
    told = json.dumps(to_json(caught.value)) + repr(caught.value)
    assert nobody in told
    assert secret not in told

    with RpcCounter(str(provider.http_uri)) as endpoint, forked(keyed(endpoint.url)) as fork:
        endpoint.stop()
        balance: Request = ("eth_getBalance", ["0x" + "5e" * 20, "latest"])
        failures = rpc.ask(fork.provider, [balance]) + rpc.ask(fork.provider, [balance, balance])
    told = "".join(each.message for each in failures)
    assert endpoint.url in told
    assert secret not in told
