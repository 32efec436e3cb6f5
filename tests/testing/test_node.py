"""The mock node: its answers, its faults, and its assertions."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from ape_dtn import CallType, DtnAi, DtnSession, Status
from ape_dtn.chain import transactions
from ape_dtn.deployment.assemble import Variant
from ape_dtn.errors import (
    BackendFailed,
    ContractReverted,
    InvalidOption,
    NotLocal,
    SessionAlreadyClosed,
    SessionNotFound,
    StateFixed,
    UndecodableAnswer,
)
from ape_dtn.network.abi import Router
from ape_dtn.node.answering import NOT_PARSABLE, Question
from ape_dtn.testing import DtnTestNetwork, DtnTestNode, Outcome, network
from ape_dtn.types.abi import Function
from ape_dtn.types.transactions import contract_call
from benchmarks.chain import connected_to
from benchmarks.rpc_counter import RpcCounter
from tests.contracts.conftest import Ask

from .conftest import FEE, MAX_COST, MODEL, Consumer

pytestmark = pytest.mark.dtn_variant("both")


@pytest.fixture
def consumer(reuse_session_consumer: Consumer) -> Consumer:
    return reuse_session_consumer


# Answers.


def test_a_reply_is_delivered(consumer: Consumer, dtn_node: DtnTestNode) -> None:
    dtn_node.reply("yes")
    request = consumer.ask("Is it?")

    (response,) = dtn_node.answer()

    assert consumer.answer(request) == "yes"
    assert response.outcome is Outcome.RESPONDED
    assert response.question == Question(
        "0x" + request.hex(), MODEL, ("string[]",), (("Is it?",),), "string"
    )
    assert dtn_node.assert_answered(request) is response
    assert response.charged is not None
    assert response.charged.units < MAX_COST
    assert dtn_node.answer() == []


def test_without_rules_the_node_echoes(consumer: Consumer, dtn_node: DtnTestNode) -> None:
    first, second = consumer.ask("One?"), consumer.ask("Two?")

    assert len(dtn_node.answer()) == 2

    assert (consumer.answer(first), consumer.answer(second)) == (
        "You asked: One?",
        "You asked: Two?",
    )


def test_the_first_matching_rule_applies(consumer: Consumer, dtn_node: DtnTestNode) -> None:
    dtn_node.reply("rain", when="weather", times=1)
    dtn_node.reply("sun", when=re.compile("weather|sky"))
    dtn_node.reply(lambda question: f"{len(question.text)} letters", when=lambda q: len(q.text) > 9)
    dtn_node.reply("three", model=MODEL)

    prompts = ("The weather?", "The weather?", "The sky?", "How many letters?", "1 + 2?")
    requests = [consumer.ask(prompt) for prompt in prompts]
    dtn_node.answer()

    answers = [consumer.answer(request) for request in requests]
    assert answers == ["rain", "sun", "sun", "17 letters", "three"]
    dtn_node.assert_all_used()


def test_replies_are_given_in_order(consumer: Consumer, dtn_node: DtnTestNode) -> None:
    dtn_node.reply_in_order("one", "two", when="count")
    requests = [consumer.ask("count"), consumer.ask("count")]

    dtn_node.answer()

    assert [consumer.answer(request) for request in requests] == ["one", "two"]
    consumer.ask("count")
    with pytest.raises(AssertionError, match=r"reply_in_order\('one', 'two'\), used 2 times"):
        dtn_node.answer()


def test_a_question_without_a_rule_fails_the_test(
    consumer: Consumer, dtn_node: DtnTestNode
) -> None:
    dtn_node.reply("sunny", when="weather")
    first, _ = consumer.ask("The weather?"), consumer.ask("The time?")

    with pytest.raises(AssertionError) as caught:
        dtn_node.answer()

    assert "was asked 'The time?', which matches no rule" in str(caught.value)
    assert "[when 'weather'] reply('sunny'), used 0 times" in str(caught.value)
    assert consumer.answer(first) == ""


def test_a_rule_that_would_never_match_is_refused(
    consumer: Consumer, dtn_node: DtnTestNode
) -> None:
    dtn_node.reply("no", when="rain")
    dtn_node.reply("yes")

    with pytest.raises(InvalidOption, match=r"dtn_node\.reply\('yes'\)\.delay\(blocks=3\)"):
        dtn_node.delay(blocks=3)

    dtn_node.rules.clear()
    dtn_node.delay(blocks=3).reply("yes")
    request = consumer.ask("Is it?")
    dtn_node.answer()
    assert consumer.answer(request) == ""


def test_a_reply_of_the_wrong_type_is_an_error(consumer: Consumer, dtn_node: DtnTestNode) -> None:
    dtn_node.reply(b"yes")
    consumer.ask("Is it?")

    with pytest.raises(InvalidOption, match=r"b'yes' is not a string.*reply_wrong_type"):
        dtn_node.answer()


def test_image_models_answer_bytes(
    dtn: DtnTestNetwork, dtn_session: DtnSession, dtn_node: DtnTestNode
) -> None:
    dtn_node.reply(b"\x89PNG", model=dtn.models[-1])
    inputs = {"prompt": ["A cat"], "width": 8, "height": 8}
    request = dtn_session.request(inputs=inputs, model=dtn.models[-1])

    dtn_node.answer()

    assert request.answer().value == b"\x89PNG"
    assert dtn_node.questions[0].inputs == (("A cat",), 8, 8)


def test_answers_travel_over_ipfs(dtn_session: DtnSession, dtn_node: DtnTestNode) -> None:
    dtn_node.reply("stored")
    request = dtn_session.request("Hello?", call_type=CallType.IPFS)

    dtn_node.answer()

    answer = request.answer()
    assert (answer.text, str(answer.cid)[:3]) == ("stored", "baf")


def test_an_undecodable_call_gets_a_failure(
    dtn: DtnTestNetwork, dtn_session: DtnSession, dtn_account: Any, dtn_node: DtnTestNode
) -> None:
    ask = Ask(call=b"\1", nodes=(dtn.node_id,)).arguments(dtn_session.id)
    transactions.send(dtn.ai.provider, dtn_account, contract_call(dtn.router, Router.request, *ask))

    (response,) = dtn_node.answer()

    assert response.question is None
    assert response.result is not None
    assert (response.result.status, response.result.message) == (Status.FAILURE, NOT_PARSABLE)


# Faults.


def test_failures_reach_the_contract(consumer: Consumer, dtn_node: DtnTestNode) -> None:
    dtn_node.fail("Too hot.", times=1)
    dtn_node.reply(fail)
    first, second = consumer.ask("One?"), consumer.ask("Two?")

    dtn_node.answer()

    assert (consumer.failure(first), consumer.failure(second)) == ("Too hot.", "No backend.")
    with pytest.raises(AssertionError, match=r"got a FAILURE: Too hot\."):
        dtn_node.assert_answered(first)


def fail(question: Question) -> str:
    raise BackendFailed("No backend.")


def test_an_answer_can_be_delayed_by_blocks(
    consumer: Consumer, dtn_node: DtnTestNode, chain: Any
) -> None:
    dtn_node.reply("late").delay(blocks=3)
    request = consumer.ask("When?")

    chain.mine(2)
    assert [response.outcome for response in dtn_node.answer()] == [Outcome.DELAYED]
    with pytest.raises(AssertionError, match="Rules not used"):
        dtn_node.assert_all_used()
    chain.mine(1)
    dtn_node.answer()

    assert consumer.answer(request) == "late"


def test_a_delayed_answer_reserves_its_rule(consumer: Consumer, dtn_node: DtnTestNode) -> None:
    dtn_node.reply("late", times=1).delay(blocks=2)
    dtn_node.reply("now")
    first, second = consumer.ask("One?"), consumer.ask("Two?")

    assert [response.outcome for response in dtn_node.answer()] == [
        Outcome.DELAYED,
        Outcome.RESPONDED,
    ]
    assert (consumer.answer(first), consumer.answer(second)) == ("", "now")

    third = consumer.ask("Three?")
    dtn_node.answer()
    assert (consumer.answer(first), consumer.answer(third)) == ("late", "now")
    dtn_node.assert_all_used()


def test_ignored_requests_stay_open(consumer: Consumer, dtn_node: DtnTestNode, chain: Any) -> None:
    dtn_node.ignore()
    request = consumer.ask("Hello?")

    for _ in range(2):
        assert [response.outcome for response in dtn_node.answer()] == [Outcome.IGNORED]
        chain.mine(10)

    assert consumer.answer(request) == ""
    with pytest.raises(AssertionError, match=r"to be answered\. The node did:\n  - ignored"):
        dtn_node.assert_answered(request)


def test_an_answer_of_the_wrong_type_fails_the_callback(
    consumer: Consumer, dtn: DtnTestNetwork, dtn_node: DtnTestNode
) -> None:
    dtn_node.reply_wrong_type(2**255)
    request = consumer.ask("How many?")

    dtn_node.answer()

    dtn_node.assert_callback_failed(request)
    assert consumer.answer(request) == ""


@pytest.mark.parametrize("response", [b"", b"\xff" * 40], ids=["empty", "garbage"])
def test_undecodable_bytes_fail_callbacks_and_clients(
    consumer: Consumer, dtn_session: DtnSession, dtn_node: DtnTestNode, response: bytes
) -> None:
    dtn_node.reply_bytes(response)
    by_contract, by_program = consumer.ask("Hello?"), dtn_session.request("Hello?")

    dtn_node.answer()

    dtn_node.assert_callback_failed(by_contract)
    with pytest.raises(UndecodableAnswer):
        by_program.answer()


def test_overcharging_is_limited_by_the_max_cost(
    consumer: Consumer, dtn: DtnTestNetwork, dtn_node: DtnTestNode
) -> None:
    dtn_node.reply("expensive", times=1).overcharge()
    dtn_node.reply("exact").overcharge(asked=100, answered=20)
    consumer.ask("How much?")
    consumer.ask("How much?")
    before = dtn.session(consumer.contract).balance

    first, second = dtn_node.answer()

    assert (str(first.charged), str(second.charged)) == ("0.005 USDT", "0.00024 USDT")
    assert (MAX_COST, 120 * FEE) == (5_000, 240)
    assert before - dtn.session(consumer.contract).balance == first.charged + second.charged


def test_an_untrusted_node_is_rejected(consumer: Consumer, dtn_node: DtnTestNode) -> None:
    dtn_node.answer_untrusted(times=1)
    dtn_node.reply("trusted")
    request = consumer.ask("Who?")

    (response,) = dtn_node.answer()

    assert response.outcome is Outcome.REFUSED
    assert isinstance(response.error, ContractReverted)
    assert "Node does not have required trust namespace" in str(response.error)
    assert consumer.answer(request) == ""
    dtn_node.answer()
    assert consumer.answer(request) == "trusted"


def test_a_second_answer_is_rejected_and_not_paid(
    consumer: Consumer, dtn: DtnTestNetwork, dtn_node: DtnTestNode
) -> None:
    dtn_node.reply_in_order("one", "two").answer_twice()
    request = consumer.ask("Which?")
    before = dtn.session(consumer.contract).balance

    first, second = dtn_node.answer()

    assert (first.outcome, second.outcome) == (Outcome.RESPONDED, Outcome.REFUSED)
    assert "Request already completed" in str(second.error)
    assert consumer.answer(request) == "one"
    assert before - dtn.session(consumer.contract).balance == first.charged


def test_a_starved_callback_fails(consumer: Consumer, dtn_node: DtnTestNode) -> None:
    dtn_node.reply("starved", times=1).starve_callback(gas=20_000)
    dtn_node.reply("fed")
    request = consumer.ask("Hungry?")

    dtn_node.answer()

    dtn_node.assert_callback_failed(request, reason="may have run out of gas")
    assert (consumer.answer(request), consumer.contract.answer()) == ("", "starved")
    with pytest.raises(AssertionError, match="The callback of request"):
        dtn_node.assert_answered(request)
    second = consumer.ask("And now?")
    dtn_node.answer()
    assert consumer.answer(second) == "fed"


def test_a_low_gas_limit_starves_the_callback_or_is_rejected(
    consumer: Consumer, dtn: DtnTestNetwork, dtn_node: DtnTestNode, chain: Any
) -> None:
    """Only the reference router checks the gas left for the callback."""
    dtn_node.reply("a" * 1_000)
    request = consumer.ask("Long?", gas=900_000)
    snapshot = chain.snapshot()
    (normal,) = dtn_node.answer()
    assert consumer.answer(request) == "a" * 1_000
    assert normal.receipt is not None
    chain.restore(snapshot)

    dtn_node.rules[0].limit_gas(normal.receipt.gas_used - 300_000)
    (response,) = dtn_node.answer()

    if dtn.variant is Variant.REFERENCE:
        assert response.outcome is Outcome.REFUSED
        assert "InsufficientGasForCallback" in str(response.error)
        return
    dtn_node.assert_callback_failed(request)
    assert (consumer.answer(request), consumer.contract.answer()) == ("", "a" * 1_000)


def test_a_response_out_of_gas_changes_nothing(
    consumer: Consumer, dtn: DtnTestNetwork, dtn_node: DtnTestNode
) -> None:
    dtn_node.limit_gas(100_000)
    request = consumer.ask("Hello?")

    (response,) = dtn_node.answer()

    assert response.outcome is Outcome.REFUSED
    assert str(dtn.session(consumer.contract).balance) == "5.00 USDT"
    with pytest.raises(AssertionError, match="refused 0x"):
        dtn_node.assert_answered(request)


def test_a_broken_callback_reverts(
    consumer: Consumer, dtn: DtnTestNetwork, dtn_node: DtnTestNode
) -> None:
    dtn_node.reply("not stored", times=1).break_callback()
    custom_error = Function("SessionOpen(uint256)").encode(7)
    dtn_node.reply("not stored", times=1).break_callback(custom_error)
    dtn_node.reply("stored")
    requests = [consumer.ask(f"{number}?") for number in range(3)]

    dtn_node.answer()

    error = dtn_node.assert_callback_failed(requests[0], reason="broken by the test")
    assert error.revert is not None
    assert error.revert.name == "Error"
    custom = dtn_node.assert_callback_failed(requests[1], reason="SessionOpen(sessionId=7)")
    assert custom.target == consumer.contract.address
    assert [consumer.answer(request) for request in requests] == ["", "", "stored"]
    with pytest.raises(AssertionError, match="to revert, but it did not"):
        dtn_node.assert_callback_failed(requests[2])


class NoStateChanges(RpcCounter):
    """An endpoint without methods to change the state."""

    def answer(self, body: bytes) -> bytes:
        if b"anvil_set" not in body:
            return super().answer(body)
        error = {"code": -32601, "message": "method not found"}
        return json.dumps({"jsonrpc": "2.0", "id": json.loads(body)["id"], "error": error}).encode()


def test_callbacks_cannot_be_broken_on_other_chains(
    consumer: Consumer, dtn: DtnTestNetwork
) -> None:
    with (
        NoStateChanges(str(dtn.ai.provider.http_uri)) as endpoint,
        connected_to(endpoint.url) as provider,
    ):
        node = DtnTestNode(replace(dtn, ai=DtnAi(dtn.router, provider)))
        node.break_callback()
        request = consumer.ask("Hello?")
        with pytest.raises(StateFixed, match="method not found"):
            node.answer()

    assert consumer.answer(request) == ""


def test_nothing_is_deployed_on_public_networks(
    dtn: DtnTestNetwork, accounts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "is_local", lambda _: False)

    with pytest.raises(NotLocal, match="is not a local chain"):
        network.Networks(accounts, dtn.store).of(dtn.variant)


def test_breaking_a_missing_callback_fails_the_test(
    dtn_session: DtnSession, dtn_node: DtnTestNode
) -> None:
    dtn_node.break_callback()
    dtn_session.request("Hello?")

    with pytest.raises(AssertionError, match="without a callback"):
        dtn_node.answer()


def test_a_closed_session_pays_nothing(
    consumer: Consumer, dtn: DtnTestNetwork, dtn_node: DtnTestNode
) -> None:
    request = consumer.ask("Hello?")
    consumer.contract.close(sender=consumer.owner)

    (response,) = dtn_node.answer()

    errors = {Variant.REFERENCE: SessionAlreadyClosed, Variant.LIVE: SessionNotFound}
    assert response.outcome is Outcome.REFUSED
    assert type(response.error) is errors[dtn.variant]
    assert consumer.answer(request) == ""


# Assertions.


def test_a_failed_assertion_lists_the_questions(consumer: Consumer, dtn_node: DtnTestNode) -> None:
    consumer.ask("The weather?")

    (question,) = dtn_node.assert_asked("weather", model=MODEL, times=1)
    assert question.text == "The weather?"
    dtn_node.assert_not_asked("time")
    for assertion in (
        lambda: dtn_node.assert_asked("time"),
        lambda: dtn_node.assert_asked(times=2),
        lambda: dtn_node.assert_asked(model="model.system.openai-gpt-5"),
        lambda: dtn_node.assert_asked(when=lambda question: False),
        lambda: dtn_node.assert_not_asked(),
    ):
        with pytest.raises(
            AssertionError, match=r"The node was asked:\n  - .* asked 'The weather\?'$"
        ):
            assertion()


def test_a_failed_assertion_mentions_untrusting_requests(
    dtn: DtnTestNetwork, dtn_session: DtnSession, dtn_node: DtnTestNode
) -> None:
    dtn_session.request("Hello?", nodes=[dtn.untrusted_node])

    assert dtn_node.questions == []
    assert dtn_node.answer() == []
    with pytest.raises(
        AssertionError, match=r"was not asked\.\nRequests that do not trust it.*: 1"
    ):
        dtn_node.assert_asked()


def test_one_of_several_requests_must_be_passed(consumer: Consumer, dtn_node: DtnTestNode) -> None:
    first = consumer.ask("One?")
    dtn_node.answer()
    assert dtn_node.assert_answered().request_id == "0x" + first.hex()
    consumer.ask("Two?")
    dtn_node.answer()

    with pytest.raises(AssertionError, match="2 requests were answered"):
        dtn_node.assert_answered()


@pytest.mark.parametrize("times", [0, -1])
def test_a_rule_applies_at_least_once(dtn_node: DtnTestNode, times: int) -> None:
    with pytest.raises(InvalidOption, match="times"):
        dtn_node.reply("never", times=times)


def test_an_unknown_condition_is_an_error(dtn_node: DtnTestNode) -> None:
    with pytest.raises(TypeError, match="no condition 'wenn'"):
        dtn_node.reply("never", wenn="weather")  # type: ignore[call-arg]  # the typo under test
