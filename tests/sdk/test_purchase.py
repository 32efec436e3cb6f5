"""Purchases: what is prepared, shown, executed, waited for and closed, and under which keys."""

from __future__ import annotations

from typing import Any

import pytest

from ape_dtn import CallType, DtnSession, Prompt
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.errors import InsufficientFunds, InvalidOption
from ape_dtn.network.requests import read_records
from ape_dtn.requests.draft import fingerprint
from ape_dtn.requests.purchase import Keys, NewSession, Purchase, prepare
from ape_dtn.requests.routing import Aggregation
from ape_dtn.requests.sending import SentRequest
from ape_dtn.types.budgets import BUDGETS
from tests.conftest import Cast

PROMPT = "What is two and two?"

pytestmark = pytest.mark.usefixtures("own_journal")


def prepared(
    network: LocalNetwork, cast: Cast, session: NewSession, key: str | None = None
) -> Purchase:
    keys = Keys.of_steps(key)
    return prepare(network.ai, cast.customer, [[PROMPT]], {}, session, keys)


# Keys. Those of earlier versions have to match.


def test_the_keys_of_the_steps() -> None:
    assert Keys.of_steps("k") == Keys("k/start", ("k/request",), "k/close")
    assert Keys.of_request("k") == Keys(None, ("k",), None)
    assert Keys.of_requests("k", 2) == Keys(None, ("k#0", "k#1"), None)


def test_without_a_key_no_step_has_one() -> None:
    assert Keys.of_steps(None) == Keys.of_request(None) == Keys(None, (None,), None)
    assert Keys.of_requests(None, 2) == Keys(None, (None, None), None)


@pytest.mark.parametrize("keys", [Keys.of_steps, lambda key: Keys.of_requests(key, 2)])
def test_an_empty_key_is_refused(keys: Any) -> None:
    with pytest.raises(InvalidOption, match="it is empty"):
        keys(" ")


def test_fingerprints_are_those_of_earlier_versions() -> None:
    options: Any = {
        "model": "model.system.text",
        "nodes": ("node.a.b",),
        "max_cost": "0.1",
        "call_type": CallType.IPFS,
        "redundancy": 1,
        "aggregation": Aggregation.ANY,
        "user": None,
        "namespaces": (),
    }
    prompt = Prompt("Is it {0}?", "blue")

    assert (
        fingerprint([PROMPT], {})
        == "0x2d5ee52c61ac5b83f826b1a6f752ccf71831c6aed2d480fc5da56c4272d7bad9"
    )
    assert (
        fingerprint((prompt,), options)
        == "0x03d2a9bcdfaed1d26e895a13dd12972e08f480797c55e4eeade84e162195c71f"
    )


@pytest.mark.parametrize("name", [budget.name for budget in BUDGETS])
def test_limits_are_not_part_of_a_fingerprint(name: str) -> None:
    assert fingerprint([PROMPT], {name: "5"}) == fingerprint([PROMPT], {})


# Steps.


@pytest.mark.usefixtures("nothing_moves")
def test_preparing_signs_nothing_and_shows_the_cost(network: LocalNetwork, cast: Cast) -> None:
    purchase = prepared(network, cast, NewSession(deposit="2"))

    assert (str(purchase.max_cost), str(purchase.funds)) == ("0.25 USDT", "2.00 USDT")
    assert purchase.plan is not None
    assert (purchase.session_id, purchase.opened, purchase.sent) == (None, None, {})


@pytest.mark.usefixtures("nothing_moves")
def test_a_deposit_below_max_cost_is_refused(network: LocalNetwork, cast: Cast) -> None:
    with pytest.raises(InsufficientFunds, match="the new session"):
        prepared(network, cast, NewSession(deposit="0.249999"))


@pytest.mark.usefixtures("nothing_moves")
def test_the_cost_shown_is_that_of_all_answers_wanted(funded: DtnSession, cast: Cast) -> None:
    purchase = prepare(
        funded.ai,
        cast.customer,
        [["One?"], ["Two?"]],
        {"redundancy": 3, "may_never_complete": True},
        funded.id,
        Keys.of_requests(None, 2),
    )

    assert (str(purchase.max_cost), str(purchase.funds)) == ("1.50 USDT", "25.00 USDT")


def test_a_purchase_from_preparation_to_refund(network: LocalNetwork, cast: Cast) -> None:
    purchase = prepared(network, cast, NewSession(deposit="2"))

    request = purchase.execute()
    assert not purchase.is_answered()
    network.node.answer_pending()
    (answer,) = purchase.wait(timeout=30)

    assert str(answer) == f"You asked: {PROMPT}"
    assert purchase.is_answered()
    (record,) = read_records(network.ai, [request.request_id])
    assert record.session_id == purchase.session_id
    assert 0 < purchase.close().units < 2_000_000
    assert DtnSession.list(cast.customer, network.ai) == []


def test_a_purchase_under_a_key_is_made_once(network: LocalNetwork, cast: Cast) -> None:
    first = prepared(network, cast, NewSession(), "k")
    request = first.execute()
    network.node.answer_pending()
    refund = first.close()
    nonce = cast.customer.nonce

    again = prepared(network, cast, NewSession(), "k")

    assert again.drafts == {}
    assert again.plan is None
    assert again.execute().request_id == request.request_id
    assert (again.session_id, again.close()) == (first.session_id, refund)
    assert cast.customer.nonce == nonce


def test_a_purchase_continues_after_its_session_was_opened(
    network: LocalNetwork, cast: Cast
) -> None:
    prepared(network, cast, NewSession(), "k").open()

    purchase = prepared(network, cast, NewSession(), "k")

    assert (purchase.plan, list(purchase.drafts)) == (None, [0])
    purchase.execute()
    ((session, _),) = DtnSession.list(cast.customer, network.ai)
    assert session.id == purchase.session_id


def test_requests_sent_before_are_reported_and_not_repeated(funded: DtnSession, cast: Cast) -> None:
    def purchase(*prompts: str) -> Purchase:
        keys = Keys.of_requests("k", len(prompts))
        inputs = [[prompt] for prompt in prompts]
        return prepare(funded.ai, cast.customer, inputs, {}, funded.id, keys)

    (first,) = purchase("One?").send_each()
    reported: dict[int, Any] = {}

    sent = purchase("One?", "Two?").send_each(reported.__setitem__)

    assert isinstance(first, SentRequest)
    assert isinstance(sent[0], SentRequest)
    assert sent[0].request_id == first.request_id
    assert reported == dict(enumerate(sent))
    assert len(funded.history().requests) == 2
