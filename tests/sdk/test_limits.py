"""A request over a limit is refused before anything is signed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ape_dtn import CallType, DtnAi, DtnSession
from ape_dtn._cli.ask import ask
from ape_dtn.deployment.assemble import LocalNetwork
from ape_dtn.errors import InvalidAmount, OverLimit, WrongToken
from ape_dtn.network.config import DtnConfig
from ape_dtn.requests.budget_check import limits_of
from ape_dtn.requests.options import Options
from ape_dtn.types.budgets import BUDGETS, Limits
from ape_dtn.types.serialization import to_json
from tests.conftest import Balances, Cast

from .conftest import Respond

PROMPT = "What is two and two?"
MAX_COST = "0.25"  # as configured by default

Refused = Callable[[Callable[[], Any]], OverLimit]

pytestmark = pytest.mark.usefixtures("own_journal")


@pytest.fixture
def refused(
    network: LocalNetwork, cast: Cast, balances: Balances, monkeypatch: pytest.MonkeyPatch
) -> Refused:
    """Checks that an attempt is over a limit, and that nothing was signed or sent for it."""

    def signed(*_: Any, **__: Any) -> Any:
        pytest.fail("it was signed")

    def refused(attempt: Callable[[], Any]) -> OverLimit:
        before = cast.customer.nonce, balances.of(cast.customer), balances.of_network
        with monkeypatch.context() as patch:
            patch.setattr(type(cast.customer), "sign_transaction", signed)
            with pytest.raises(OverLimit) as raised:
                attempt()
        assert (cast.customer.nonce, balances.of(cast.customer), balances.of_network) == before
        return raised.value

    return refused


# One request.


def test_a_request_over_its_limit_is_refused(funded: DtnSession, refused: Refused) -> None:
    err = refused(lambda: funded.request(PROMPT, request_limit="0.249999"))

    assert err.message == "The request could cost 0.25 USDT, and its limit is 0.249999 USDT."
    assert (str(err.limit), str(err.required)) == ("0.249999 USDT", "0.25 USDT")
    assert err.hint == "Ask for less, or raise `request_limit`."


def test_a_request_at_its_limit_is_sent(funded: DtnSession) -> None:
    assert funded.request(PROMPT, request_limit=MAX_COST).id


def test_a_request_over_the_configured_limit_is_refused(
    funded: DtnSession, refused: Refused, project: Any
) -> None:
    with project.temp_config(dtn={"request_limit": "0.10"}):
        err = refused(lambda: funded.request(PROMPT))
        assert str(err.limit) == "0.10 USDT"
        assert funded.request(PROMPT, max_cost="0.10").id


@pytest.mark.parametrize("name", ["request_limit", "session_limit"])
def test_no_session_is_opened_for_a_request_over_a_limit(
    network: LocalNetwork, cast: Cast, refused: Refused, name: str
) -> None:
    options: Any = {name: "0.1"}

    refused(lambda: network.ai.request(PROMPT, account=cast.customer, **options))

    assert DtnSession.list(cast.customer, network.ai) == []


def test_each_of_many_requests_is_limited(funded: DtnSession, refused: Refused) -> None:
    refused(lambda: funded.request_many([PROMPT, PROMPT], request_limit="0.1"))

    assert len(funded.request_many([PROMPT, PROMPT], request_limit=MAX_COST)) == 2


@pytest.mark.parametrize("name", ["request_limit", "session_limit"])
@pytest.mark.parametrize(
    ("limit", "kind"), [("0", InvalidAmount), ("1 DAI", WrongToken), ("much", InvalidAmount)]
)
@pytest.mark.usefixtures("nothing_moves")
def test_an_invalid_limit_is_refused(
    funded: DtnSession, name: str, limit: str, kind: type[InvalidAmount]
) -> None:
    options: Any = {name: limit}

    with pytest.raises(kind):
        funded.request(PROMPT, **options)


@pytest.mark.usefixtures("nothing_moves")
def test_a_misspelled_limit_is_refused(funded: DtnSession) -> None:
    options: Any = {"request_limits": "0.1"}

    with pytest.raises(TypeError, match="'request_limits'"):
        funded.request(PROMPT, **options)


# All requests of a session.


def test_charges_and_open_requests_count(
    network: LocalNetwork, funded: DtnSession, refused: Refused
) -> None:
    answered = funded.request(PROMPT)
    network.node.answer_pending()
    charged = answered.cost()
    funded.request(PROMPT)  # stays open

    limit = charged + charged.token.amount("0.75")  # and two more requests
    funded.request(PROMPT, session_limit=limit)
    funded.request(PROMPT, session_limit=limit)
    err = refused(lambda: funded.request(PROMPT, session_limit=limit))

    assert 0 < charged.units < 10_000
    assert err.required == charged + charged.token.amount("1.00")
    assert err.message == f"The session could cost {err.required}, and its limit is {limit}."
    assert err.hint == "Ask for less, or raise `session_limit`."


def test_an_excessive_charge_counts(funded: DtnSession, respond: Respond, refused: Refused) -> None:
    respond(funded.request(PROMPT), b"\0" * 32, sizes=(10**6, 10**6))

    err = refused(lambda: funded.request(PROMPT, session_limit="0.499999"))

    assert str(err.required) == "0.50 USDT"
    assert funded.request(PROMPT, session_limit="0.50").id


def test_requests_of_other_objects_of_the_owner_count(
    network: LocalNetwork, funded: DtnSession, cast: Cast, refused: Refused
) -> None:
    """The budget is read from the chain, so it includes requests of other processes."""
    funded.request(PROMPT)

    elsewhere = DtnSession(DtnAi(network.ai.router), funded.id, cast.customer)

    refused(lambda: elsewhere.request(PROMPT, session_limit="0.49"))


def test_other_sessions_do_not_count(
    network: LocalNetwork, funded: DtnSession, cast: Cast, refused: Refused
) -> None:
    funded.request(PROMPT)
    fresh = DtnSession.start("1", cast.customer, network.ai)

    assert fresh.request(PROMPT, session_limit=MAX_COST).id


def test_many_requests_count_together(funded: DtnSession, refused: Refused) -> None:
    err = refused(lambda: funded.request_many([PROMPT] * 3, session_limit="0.74"))

    assert str(err.required) == "0.75 USDT"
    assert len(funded.request_many([PROMPT] * 3, session_limit="0.75")) == 3


def test_a_request_over_the_configured_limit_of_its_session_is_refused(
    funded: DtnSession, refused: Refused, project: Any
) -> None:
    with project.temp_config(dtn={"session_limit": "0.30"}):
        funded.request(PROMPT)
        err = refused(lambda: funded.request(PROMPT))

    assert (str(err.limit), str(err.required)) == ("0.30 USDT", "0.50 USDT")


# Quotes.


def test_a_quote_has_the_error_of_the_limit(funded: DtnSession, refused: Refused) -> None:
    funded.request(PROMPT)

    (over,) = funded.ai.quote(
        PROMPT, session=funded, call_types=CallType.DIRECT, session_limit="0.49"
    )

    err = refused(lambda: funded.request(PROMPT, session_limit="0.49"))
    assert over.over_limit
    assert to_json(over.over_limit) == to_json(err)
    assert over.expected


# The table of budgets.


def test_a_budget_is_an_option_a_setting_and_an_option_of_the_command_line() -> None:
    names = {budget.name for budget in BUDGETS}

    assert names == Limits.__annotations__.keys()
    assert names <= Options.__annotations__.keys()
    assert names <= DtnConfig.model_fields.keys()
    assert names <= {parameter.name for parameter in ask.params}


@pytest.mark.parametrize("name", [budget.name for budget in BUDGETS])
def test_the_lower_of_given_and_configured_limit_applies(
    funded: DtnSession, project: Any, name: str
) -> None:
    token = funded.ai.token()

    def limits(given: str | None, configured: str | None) -> list[tuple[str, str]]:
        with project.temp_config(dtn={name: configured}):
            found = limits_of(funded.ai.config, {name: given}, token)
        return [(limit.budget.name, str(limit.amount)) for limit in found]

    assert limits(None, None) == []
    assert limits("2", None) == limits(None, "2") == limits("2", "3") == [(name, "2.00 USDT")]
    assert limits("3", "2") == [(name, "2.00 USDT")]
