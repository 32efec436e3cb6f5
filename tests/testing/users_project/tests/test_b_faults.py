"""Faults of a node, on each kind of local chain."""

import pytest


def test_ignored_requests_stay_open(dtn_node, oracle, ask, chain):
    dtn_node.ignore()
    ask("What is the weather?")
    for _ in range(2):
        assert [response.outcome.value for response in dtn_node.answer()] == ["ignored"]
        chain.mine(10)
    assert (oracle.answer(), oracle.failure()) == ("", "")


def test_a_failure_reaches_the_contract(dtn_node, oracle, ask):
    dtn_node.fail("no model")
    ask("What is the weather?")
    dtn_node.answer()
    assert (oracle.answer(), oracle.failure()) == ("", "no model")


def test_an_answer_of_the_wrong_type_fails_the_callback(dtn_node, oracle, ask):
    dtn_node.reply_wrong_type(2**255)
    ask("What is the weather?")
    dtn_node.answer()
    dtn_node.assert_callback_failed(oracle.last())
    assert oracle.answer() == ""


@pytest.mark.parametrize("response", [b"", b"\xff" * 40])
def test_undecodable_bytes_fail_the_callback(dtn_node, oracle, ask, response):
    dtn_node.reply_bytes(response)
    ask("What is the weather?")
    dtn_node.answer()
    dtn_node.assert_callback_failed(oracle.last())
    assert oracle.answer() == ""


def test_overcharging_is_limited_by_the_max_cost(dtn_node, oracle, ask, dtn):
    dtn_node.reply("expensive").overcharge()
    ask("What is the weather?")
    (response,) = dtn_node.answer()
    assert str(response.charged) == "0.01 USDT"
    assert str(dtn.session(oracle).balance) == "4.99 USDT"
    assert oracle.answer() == "expensive"


def test_an_untrusted_node_is_rejected(dtn_node, oracle, ask):
    dtn_node.answer_untrusted(times=1)
    dtn_node.reply("trusted")
    ask("What is the weather?")
    assert [response.outcome.value for response in dtn_node.answer()] == ["refused"]
    assert oracle.answer() == ""
    dtn_node.answer()
    assert oracle.answer() == "trusted"


def test_a_second_answer_is_rejected(dtn_node, oracle, ask, dtn):
    dtn_node.reply_in_order("one", "two").answer_twice()
    ask("What is the weather?")
    first, second = dtn_node.answer()
    assert (first.outcome.value, second.outcome.value) == ("responded", "refused")
    assert oracle.answer() == "one"
    assert dtn.session(oracle).balance == dtn.amount("5.00") - first.charged
