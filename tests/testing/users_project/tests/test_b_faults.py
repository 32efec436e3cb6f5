"""Each thing that a node can do wrong, on whatever chain these tests run."""

import pytest


def test_it_never_answers(dtn_node, oracle, ask, chain):
    dtn_node.ignore()
    ask("What is the weather?")
    for _ in range(2):
        assert [each.outcome.value for each in dtn_node.answer()] == ["ignored"]
        chain.mine(10)
    assert (oracle.answer(), oracle.failure()) == ("", "")


def test_it_fails(dtn_node, oracle, ask):
    dtn_node.fail("no model")
    ask("What is the weather?")
    dtn_node.answer()
    assert (oracle.answer(), oracle.failure()) == ("", "no model")


def test_it_answers_with_another_type(dtn_node, oracle, ask):
    dtn_node.reply_wrong_type(2**255)
    ask("What is the weather?")
    dtn_node.answer()
    dtn_node.assert_callback_failed(oracle.last())
    assert oracle.answer() == ""


@pytest.mark.parametrize("response", [b"", b"\xff" * 40])
def test_it_answers_with_bytes_that_do_not_decode(dtn_node, oracle, ask, response):
    dtn_node.reply_bytes(response)
    ask("What is the weather?")
    dtn_node.answer()
    dtn_node.assert_callback_failed(oracle.last())
    assert oracle.answer() == ""


def test_it_takes_all_that_it_may(dtn_node, oracle, ask, dtn):
    dtn_node.reply("dear").overcharge()
    ask("What is the weather?")
    (done,) = dtn_node.answer()
    assert str(done.charged) == "0.01 USDT"
    assert str(dtn.session(oracle).balance) == "4.99 USDT"
    assert oracle.answer() == "dear"


def test_another_node_answers_that_is_not_trusted(dtn_node, oracle, ask):
    dtn_node.answer_untrusted(times=1)
    dtn_node.reply("trusted")
    ask("What is the weather?")
    assert [each.outcome.value for each in dtn_node.answer()] == ["refused"]
    assert oracle.answer() == ""
    dtn_node.answer()
    assert oracle.answer() == "trusted"


def test_it_answers_twice(dtn_node, oracle, ask, dtn):
    dtn_node.reply_in_order("one", "two").answer_twice()
    ask("What is the weather?")
    first, second = dtn_node.answer()
    assert (first.outcome.value, second.outcome.value) == ("responded", "refused")
    assert oracle.answer() == "one"
    assert dtn.session(oracle).balance == dtn.amount("5.00") - first.charged
