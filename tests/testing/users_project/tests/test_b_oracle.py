def test_an_answer_is_stored(dtn_node, oracle, ask):
    dtn_node.reply("sunny", when="weather")
    ask("What is the weather?")
    dtn_node.answer()
    assert oracle.answer() == "sunny"
    dtn_node.assert_asked("weather", times=1)
    dtn_node.assert_answered(oracle.last())


def test_tests_are_isolated(dtn_node, oracle, dtn):
    assert oracle.answer() == ""
    dtn_node.assert_not_asked()
    assert str(dtn.session(oracle).balance) == "5.00 USDT"


def test_a_starved_callback_fails(dtn_node, oracle, ask):
    dtn_node.starve_callback(gas=20_000)
    ask("What is the weather?")
    dtn_node.answer()
    dtn_node.assert_callback_failed(oracle.last())
    assert oracle.answer() == ""


def test_a_broken_callback_reverts(dtn_node, oracle, ask, chain):
    dtn_node.break_callback(times=1)
    dtn_node.reply("sunny").delay(blocks=3)
    ask("What is the weather?")
    dtn_node.answer()
    dtn_node.assert_callback_failed(reason="broken by the test")
    ask("And now?")
    assert [response.outcome.value for response in dtn_node.answer()] == ["delayed"]
    chain.mine(3)
    dtn_node.answer()
    assert oracle.answer() == "sunny"


def test_the_sdk_uses_the_same_network(
    dtn_session, dtn_node, dtn_client, dtn_account, dtn_token, dtn
):
    from ape_dtn import DtnAi

    request = dtn_session.request("Hello?")
    dtn_node.answer()
    assert request.answer().text == "You asked: Hello?"
    assert dtn_client.owner() == dtn_account
    assert dtn_token.balanceOf(dtn_account) == dtn.amount("975.00").units
    assert DtnAi().router == dtn.router
