"""Quotes equal the actual cost in bytes, tokens and gas, and send nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

import pytest
from eth_abi import encode

from ape_dtn import Callback, CallType, DtnAi, DtnError, DtnSession, Prompt, Status
from ape_dtn._cli.json_fields import quote_fields
from ape_dtn.chain import reads, rpc, transactions
from ape_dtn.deployment.assemble import NODE, NODE_MODELS, LocalNetwork, Variant
from ape_dtn.errors import (
    CannotComplete,
    EmptyPrompt,
    FeeTooHigh,
    InvalidAmount,
    InvalidCall,
    InvalidName,
    ModelNotFound,
    NobodyTrusted,
    NodeNotFound,
    NodeUnavailable,
    NoMoneyForGas,
    NotSessionOwner,
    SessionAlreadyClosed,
    SessionNotFound,
)
from ape_dtn.network import reverts
from ape_dtn.network.abi import NodeManager, SessionManager
from ape_dtn.requests.gas import ROLLUP_FEES
from ape_dtn.requests.quote import DEFAULT_ANSWER_BYTES, Basis, Quote
from ape_dtn.types.abi import Event
from ape_dtn.types.ids import id_of
from ape_dtn.types.rpc import as_int
from ape_dtn.types.serialization import to_json
from ape_dtn.types.transactions import contract_call
from benchmarks.chain import connected_to
from benchmarks.rpc_counter import TRACES, RpcCounter
from tests.conftest import Cast

from .conftest import Respond

PROMPT = "What is two and two?"
TEXT, MINI, NANO = NODE_MODELS
IMAGE = "model.system.openai-gpt-image-1"
UNKNOWN = "model.system.nothing"
DIRECT, IPFS = CallType.DIRECT, CallType.IPFS
TRANSFERRED = Event("Transfer(address indexed from, address indexed to, uint256 value)")

BASE_FEE = 7 * 10**9

# Code that returns the size of its call data.
CALLDATA_SIZE = "0x365f5260205ff3"

IN_PROCESS = """
import json
import ape
from ape_dtn import CallType, DtnSession
from ape_dtn._cli.json_fields import quote_fields
from ape_dtn.deployment.assemble import deploy, fund
from ape_dtn.types.serialization import to_json

with ape.networks.ethereum.local.use_provider("test") as provider:
    owner, worker, customer = ape.accounts.test_accounts[:3]
    network = deploy(owner, worker)
    fund(provider, owner, network.token, str(customer.address), 10_000_000)
    session = DtnSession.start("5", customer, network.ai)
    (on_session,) = network.ai.quote("Hello?", session=session, call_types=CallType.DIRECT)
    (without,) = network.ai.quote("Hello?", account=customer, call_types=CallType.DIRECT)
    used = session.request("Hello?").receipt.gas_used

print(json.dumps([to_json(quote_fields(on_session)), used, to_json(quote_fields(without))]))
"""


@pytest.fixture
def ai(network: LocalNetwork) -> DtnAi:
    return network.ai


@pytest.fixture
def serves_images(network: LocalNetwork, cast: Cast) -> None:
    """Registers the image model for the node."""
    models = [id_of(name, "model") for name in (*NODE_MODELS, IMAGE)]
    manager = network.ai.contracts().node_manager
    serve = contract_call(manager, NodeManager.set_node_models, network.node.id, models)
    transactions.send(network.ai.provider, cast.owner, serve, reverts.NO_CONTEXT)


@pytest.fixture
def base_fee(network: LocalNetwork, funded: DtnSession) -> Iterator[None]:
    """Sets a base fee for the latest block. Ape's Anvil has none."""
    provider = network.ai.provider

    def next_is(wei: int) -> None:
        rpc.result(provider, "anvil_setNextBlockBaseFeePerGas", [hex(wei)])

    before = provider.base_fee
    next_is(BASE_FEE)
    rpc.result(provider, "evm_mine", [])
    yield
    next_is(before)  # Ape's isolation does not restore it


@pytest.fixture
def refusing(network: LocalNetwork) -> Iterator[Callable[..., DtnAi]]:
    """The network through an endpoint that does not serve some methods."""
    with ExitStack() as open_ones:

        def refusing(*methods: str) -> DtnAi:
            url = str(network.ai.provider.http_uri)
            proxy = open_ones.enter_context(RpcCounter(url, refuse=methods))
            provider = open_ones.enter_context(connected_to(proxy.url))
            return DtnAi(network.ai.router, provider)

        yield refusing


def only(quotes: Sequence[Quote]) -> Quote:
    (found,) = quotes
    return found


def problem(quotes: Sequence[Quote]) -> Any:
    """The problem of the only quote, which has no other values."""
    found = only(quotes)
    known = (found.bytes_asked, found.bytes_answered, found.expected, found.gas)
    assert known == (None, None, None, None)
    return found.problem


def balance_of(provider: Any, address: str) -> int:
    """The balance of an account, in wei."""
    return as_int(rpc.result(provider, "eth_getBalance", [address, "latest"]))


def is_close(estimated: int, used: int) -> bool:
    """Whether an estimate is within 5 percent of the gas used."""
    return abs(estimated - used) * 20 <= used


# Bytes and tokens.


def test_the_expected_cost_is_the_charge_of_a_fair_node(
    network: LocalNetwork, funded: DtnSession
) -> None:
    funded.request(PROMPT)
    network.node.answer_pending()

    found = only(funded.ai.quote(PROMPT, session=funded, call_types=DIRECT))

    again = funded.request(PROMPT)
    network.node.answer_pending()
    assert found.expected == again.cost()
    assert (found.basis, found.answers_seen) == (Basis.ANSWERS, 1)


def test_the_median_size_of_the_answers_is_expected(funded: DtnSession, respond: Respond) -> None:
    for size in (400, 100, 200):
        respond(funded.request(PROMPT), b"\1" * size)
    # None of these counts as an answer of this model by this call type.
    respond(funded.request(PROMPT, model=MINI), b"\1" * 1000)
    respond(funded.request(PROMPT, call_type=IPFS), b"\1" * 1000)
    respond(funded.request(PROMPT), b"\1" * 1000, Status.FAILURE)

    found = only(funded.ai.quote(PROMPT, session=funded, call_types=DIRECT))

    assert (found.bytes_answered, found.basis, found.answers_seen) == (200, Basis.ANSWERS, 3)


def test_the_latest_answers_count(
    funded: DtnSession, respond: Respond, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (900, 800, 7, 5, 6):
        respond(funded.request(PROMPT), b"\1" * size)
    monkeypatch.setattr("ape_dtn.requests.quote.MOST_ANSWERS", 3)

    found = only(funded.ai.quote(PROMPT, session=funded, call_types=DIRECT))

    assert (found.bytes_answered, found.answers_seen) == (6, 3)


def test_the_number_of_answers_read_is_limited(
    funded: DtnSession, respond: Respond, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (900, 800, 7):
        respond(funded.request(PROMPT), b"\1" * size)
    monkeypatch.setattr("ape_dtn.requests.quote.ANSWERS_LOOKED_AT", 1)

    found = only(funded.ai.quote(PROMPT, session=funded, call_types=DIRECT))

    assert (found.bytes_answered, found.answers_seen) == (7, 1)


def test_a_quote_uses_the_given_answer_size(funded: DtnSession, respond: Respond) -> None:
    respond(funded.request(PROMPT), b"\1" * 100)

    direct, ipfs = funded.ai.quote(PROMPT, session=funded, answer_bytes=3_000)

    for found in (direct, ipfs):
        assert (found.bytes_answered, found.basis, found.answers_seen) == (3_000, Basis.GIVEN, 0)
    assert str(direct.expected) == "0.0316 USDT"  # 160 bytes and 3,000 at 0.00001


def test_answers_over_ipfs_have_the_default_size(funded: DtnSession, respond: Respond) -> None:
    respond(funded.request(PROMPT, call_type=IPFS), encode(["string"], ["bafy"]))

    found = only(funded.ai.quote(PROMPT, session=funded, call_types=IPFS))

    assert (found.bytes_answered, found.basis) == (DEFAULT_ANSWER_BYTES["string"], Basis.DEFAULT)


@pytest.mark.usefixtures("serves_images")
def test_an_image_is_larger_than_a_text(ai: DtnAi) -> None:
    inputs = {"width": 64, "height": 64}

    text = only(ai.quote(PROMPT, models=TEXT, call_types=IPFS))
    image = only(ai.quote(PROMPT, models=IMAGE, call_types=IPFS, inputs=inputs))

    assert text.bytes_answered
    assert image.bytes_answered
    assert text.bytes_answered < image.bytes_answered == DEFAULT_ANSWER_BYTES["bytes"]
    assert image.expected == image.max_cost, "more than the maximum cost is never charged"


def test_the_bytes_asked_are_those_of_the_request(funded: DtnSession) -> None:
    prompt = Prompt("Is {0} older than {1:uint8}?", "Ada", 26)

    found = only(funded.ai.quote(prompt, session=funded, call_types=DIRECT))

    assert found.bytes_asked == funded.draft(prompt).bytes_asked > 160


def test_the_max_cost_is_the_cap(funded: DtnSession) -> None:
    found = funded.ai.quote(PROMPT, session=funded, max_cost="0.07", fee_per_byte="0.00002")

    assert {str(quote.max_cost) for quote in found} == {"0.07 USDT"}
    assert {str(quote.fee_per_byte) for quote in found} == {"0.00002 USDT"}


# Gas.


@pytest.mark.parametrize("call_type", [DIRECT, IPFS])
def test_the_gas_with_a_session_is_that_of_the_request(
    funded: DtnSession, call_type: CallType
) -> None:
    found = only(funded.ai.quote(PROMPT, session=funded, call_types=call_type))

    sent = funded.request(PROMPT, call_type=call_type).receipt
    assert found.gas
    assert sent
    assert found.gas.used.keys() == {"request"}
    assert is_close(found.gas.used["request"], sent.gas_used)


def test_the_gas_without_a_session_includes_its_start(network: LocalNetwork, cast: Cast) -> None:
    found = only(network.ai.quote(PROMPT, account=cast.customer, call_types=DIRECT))

    sent = network.ai.request(PROMPT, account=cast.customer).receipt
    assert found.gas
    assert sent
    used = [*_gas_of_start(network, cast), sent.gas_used]
    assert list(found.gas.used) == ["transfer", "start", "request"]
    for estimated, spent in zip(found.gas.used.values(), used, strict=True):
        assert is_close(estimated, spent)


@pytest.mark.usefixtures("base_fee")
def test_the_gas_cost_is_what_the_account_pays(funded: DtnSession, cast: Cast) -> None:
    found = only(funded.ai.quote(PROMPT, session=funded, call_types=DIRECT)).gas
    before = cast.customer.balance

    sent = funded.request(PROMPT).receipt

    assert found
    assert sent
    spent = before - cast.customer.balance
    # The base fee changes by at most one eighth per block.
    assert abs(found.expected.units - spent) * 100 <= spent * 18
    assert spent < found.max_cost.units
    assert found.prices.now >= BASE_FEE
    assert found.expected.units == sum(found.used.values()) * found.prices.now
    assert found.max_cost.units == found.limit * found.prices.max_fee
    assert (found.currency.symbol, found.currency.decimals) == ("ETH", 18)


@pytest.mark.usefixtures("base_fee")
def test_the_max_cost_of_gas_is_the_balance_that_is_needed(funded: DtnSession, cast: Cast) -> None:
    user, provider = str(cast.stranger.address), funded.ai.provider
    found = only(funded.ai.quote(PROMPT, session=funded, call_types=DIRECT, user=user)).gas
    assert found

    rpc.result(provider, "anvil_setBalance", [cast.customer.address, hex(found.max_cost.units - 1)])
    with pytest.raises(NoMoneyForGas) as raised:
        funded.request(PROMPT, user=user)
    rpc.result(provider, "anvil_setBalance", [cast.customer.address, hex(found.max_cost.units)])
    sent = funded.request(PROMPT, user=user)

    assert raised.value.required.units == found.max_cost.units
    assert sent.id


def test_the_quote_includes_the_gas_of_the_callback(funded: DtnSession, cast: Cast) -> None:
    callback = Callback(str(cast.stranger.address), "good(bytes32)", "bad(bytes32)", gas=70_000)
    router, provider = funded.ai.router, funded.ai.provider
    before = balance_of(provider, router)

    found = only(funded.ai.quote(PROMPT, session=funded, call_types=DIRECT, callback=callback)).gas

    sent = funded.request(PROMPT, callback=callback).receipt
    assert found
    assert sent
    assert is_close(found.used["request"], sent.gas_used)
    assert found.value == 70_000 == balance_of(provider, router) - before
    gas_alone = found.used["request"] * found.prices.now
    assert found.expected.units == gas_alone + 70_000


def test_a_rollup_charges_a_data_fee_per_transaction(ai: DtnAi, cast: Cast) -> None:
    rpc.result(ai.provider, "anvil_setCode", [ROLLUP_FEES, CALLDATA_SIZE])

    short, long = (
        only(ai.quote(text, account=cast.customer, call_types=DIRECT)).gas
        for text in (PROMPT, PROMPT * 100)
    )

    assert short
    assert long
    assert 1_000 < short.data_fee < long.data_fee - 99 * len(PROMPT)
    gas_fee = sum(short.used.values()) * short.prices.now
    assert short.expected.units == gas_fee + short.data_fee


def test_a_quote_without_an_account_has_no_gas(ai: DtnAi) -> None:
    found = only(ai.quote(PROMPT, call_types=DIRECT))

    assert (found.gas, found.why_no_gas) == (None, "There is no account to sign it.")
    assert found.expected


def test_the_account_of_the_network_is_quoted(network: LocalNetwork, cast: Cast) -> None:
    ai = DtnAi(network.ai.router, network.ai.provider, cast.customer)

    assert only(ai.quote(PROMPT, call_types=DIRECT)).gas


def test_the_owner_of_the_session_is_quoted(funded: DtnSession) -> None:
    assert only(funded.ai.quote(PROMPT, session=funded.id, call_types=DIRECT)).gas


def test_an_account_that_cannot_pay_the_deposit_has_no_gas(ai: DtnAi, cast: Cast) -> None:
    found = only(ai.quote(PROMPT, account=cast.worker, call_types=DIRECT, max_cost="9"))

    assert found.gas is None
    assert found.why_no_gas
    assert "is needed" in found.why_no_gas
    assert "9.00 USDT" in found.why_no_gas


def test_an_endpoint_without_simulation_cannot_quote_the_gas_of_a_start(
    refusing: Callable[..., DtnAi], funded: DtnSession, cast: Cast
) -> None:
    ai = refusing("eth_simulateV1")

    without = only(ai.quote(PROMPT, account=cast.customer, call_types=DIRECT))
    on_session = only(ai.quote(PROMPT, session=funded.id, call_types=DIRECT))

    assert without.gas is None
    assert without.why_no_gas
    assert "eth_simulateV1" in without.why_no_gas
    assert without.expected == on_session.expected
    assert on_session.gas


def test_an_endpoint_without_gas_estimates_cannot_quote_gas(
    refusing: Callable[..., DtnAi], funded: DtnSession
) -> None:
    ai = refusing("eth_estimateGas")

    found = only(ai.quote(PROMPT, session=funded.id, call_types=DIRECT))

    assert found.gas is None
    assert found.why_no_gas
    assert "eth_estimateGas" in found.why_no_gas


def test_the_in_process_chain_estimates_and_does_not_simulate() -> None:
    """Runs in a separate process, because the tests are connected to Anvil."""
    ran = subprocess.run([sys.executable, "-c", IN_PROCESS], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    on_session, used, without = json.loads(ran.stdout.splitlines()[-1])

    # That chain searches for the gas limit in steps of 21,000.
    assert 0 < on_session["gas"]["used"]["request"] - used < 21_000 + used // 20
    assert without["gas"] is None
    assert "eth_simulateV1" in without["why_no_gas"]


# The session.


def test_a_quote_says_how_many_requests_the_balance_covers(funded: DtnSession) -> None:
    enough = only(funded.ai.quote(PROMPT, session=funded, call_types=DIRECT))
    short = only(funded.ai.quote(PROMPT, session=funded, call_types=DIRECT, max_cost="25.000001"))

    assert (str(enough.balance), enough.suffices, enough.requests_at_max_cost) == (
        "25.00 USDT",
        True,
        100,
    )
    assert (short.suffices, short.requests_at_max_cost) == (False, 0)


def test_a_quote_without_a_session_has_no_balance(ai: DtnAi) -> None:
    found = only(ai.quote(PROMPT, call_types=DIRECT, session=0))

    of_session = (found.session_id, found.balance, found.suffices, found.requests_at_max_cost)
    assert of_session == (None, None, None, None)


def test_a_request_that_the_router_would_refuse_has_no_gas(
    funded: DtnSession, variant: Variant
) -> None:
    found = only(funded.ai.quote(PROMPT, session=funded, call_types=DIRECT, max_cost="26"))

    if variant is Variant.LIVE:  # the session cannot pay it
        assert found.gas
    else:
        assert found.why_no_gas
        assert "Insufficient funds" in found.why_no_gas


def test_a_session_that_cannot_be_used_is_refused(
    funded: DtnSession, closed: DtnSession, cast: Cast
) -> None:
    def attempt(session: Any, account: Any = None) -> Callable[[], Any]:
        return lambda: funded.ai.quote(PROMPT, session=session, account=account)

    attempts: dict[type[DtnError], Callable[[], Any]] = {
        NotSessionOwner: attempt(funded, cast.stranger),
        SessionAlreadyClosed: attempt(closed),
        SessionNotFound: attempt(2**64),
    }
    for kind, fails in attempts.items():
        with pytest.raises(kind) as raised:
            fails()
        assert type(raised.value) is kind


# Limits.


def test_an_exceeded_limit_is_reported_by_the_quote(funded: DtnSession) -> None:
    limited = only(funded.ai.quote(PROMPT, session=funded, call_types=DIRECT, request_limit="0.2"))
    free = only(funded.ai.quote(PROMPT, session=funded, call_types=DIRECT, request_limit="0.25"))

    assert free.over_limit is None
    assert limited.over_limit
    assert str(limited.over_limit.limit) == "0.20 USDT"
    assert limited.expected == free.expected
    assert limited.gas


def test_a_limit_of_the_session_counts_from_its_start(ai: DtnAi) -> None:
    limited, free = (
        only(ai.quote(PROMPT, call_types=DIRECT, session_limit=limit)) for limit in ("0.2", "0.25")
    )

    assert free.over_limit is None
    assert limited.over_limit
    assert str(limited.over_limit.required) == "0.25 USDT"


# Many models.


def test_every_model_is_quoted_by_every_call_type(ai: DtnAi) -> None:
    found = ai.quote(PROMPT, models=[MINI, TEXT, MINI])

    assert [(quote.model, quote.call_type) for quote in found] == [
        (MINI, DIRECT),
        (MINI, IPFS),
        (TEXT, DIRECT),
        (TEXT, IPFS),
    ]


def test_the_configured_model_is_quoted_by_default(ai: DtnAi) -> None:
    assert {quote.model for quote in ai.quote(PROMPT)} == {ai.config.model}


def test_the_options_of_a_request_can_be_quoted(ai: DtnAi) -> None:
    found = only(ai.quote(PROMPT, model=MINI, call_type=IPFS))

    assert (found.model, found.call_type) == (MINI, IPFS)


@pytest.mark.usefixtures("serves_images")
def test_a_model_with_a_problem_does_not_spoil_other_quotes(ai: DtnAi, cast: Cast) -> None:
    found = ai.quote(
        PROMPT, models=[IMAGE, TEXT, UNKNOWN], call_types=DIRECT, account=cast.customer
    )

    unfit, fit, unknown = found
    assert type(unfit.problem) is InvalidCall
    assert type(unknown.problem) is ModelNotFound
    assert fit.problem is None
    assert fit.gas
    assert fit.expected


@pytest.mark.usefixtures("serves_images")
def test_a_model_with_other_inputs_can_be_quoted(ai: DtnAi, funded: DtnSession) -> None:
    inputs: dict[str, Any] = {"width": 64, "height": 32}

    found = only(ai.quote(PROMPT, models=IMAGE, call_types=DIRECT, inputs=inputs, session=funded))

    sent = funded.request(PROMPT, model=IMAGE, inputs=inputs).receipt
    assert found.gas
    assert sent
    assert is_close(found.gas.used["request"], sent.gas_used)


@pytest.mark.parametrize(
    ("values", "options", "kind"),
    [
        ((PROMPT,), {"models": IMAGE, "inputs": {"width": 1, "height": 1}}, NodeNotFound),
        ((PROMPT,), {"inputs": {"width": 1}}, InvalidCall),
        ((" ",), {}, EmptyPrompt),
        ((PROMPT,), {"fee_per_byte": "1"}, FeeTooHigh),
        ((PROMPT,), {"redundancy": 2}, CannotComplete),
        ((PROMPT,), {"namespaces": ["namespace.nobody.here"]}, CannotComplete),
        (
            (PROMPT,),
            {"models": IMAGE, "inputs": {"width": 1, "height": 1}, "nodes": [NODE]},
            NodeUnavailable,
        ),
        ((PROMPT,), {"nodes": ["node.local.other"]}, NodeNotFound),
    ],
)
def test_problems_of_a_model_are_reported(
    ai: DtnAi, values: tuple[Any, ...], options: dict[str, Any], kind: type[DtnError]
) -> None:
    assert type(problem(ai.quote(*values, call_types=DIRECT, **options))) is kind


def test_a_request_that_cannot_complete_can_be_quoted(funded: DtnSession) -> None:
    found = only(
        funded.ai.quote(
            PROMPT,
            session=funded,
            call_types=DIRECT,
            nodes=["node.no.body"],
            may_never_complete=True,
        )
    )

    assert found.gas


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"models": "gpt-5"}, InvalidName),
        ({"max_cost": "0"}, InvalidAmount),
        ({"fee_per_byte": 1}, InvalidAmount),
        ({"request_limits": "1"}, TypeError),
        ({"answer_bytes": -1}, ValueError),
    ],
)
def test_invalid_options_of_a_quote_are_refused(
    ai: DtnAi, options: dict[str, Any], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        ai.quote(PROMPT, **options)


def test_a_quote_on_a_public_network_requires_nodes(
    ai: DtnAi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ape_dtn.requests.preflight.is_local", lambda _: False)

    with pytest.raises(NobodyTrusted):
        ai.quote(PROMPT)

    assert only(ai.quote(PROMPT, nodes=[NODE], call_types=DIRECT)).expected


# HTTP requests.


@pytest.mark.parametrize("paid", ["by a session", "by a session with a limit", "by an account"])
def test_many_models_take_as_many_http_requests_as_one(
    network: LocalNetwork, funded: DtnSession, cast: Cast, paid: str
) -> None:
    """The network through an endpoint that serves no traces."""
    funded.request(PROMPT)
    network.node.answer_pending()
    payers: dict[str, dict[str, Any]] = {
        "by a session": {"session": funded.id},
        "by a session with a limit": {"session": funded.id, "session_limit": "5"},
        "by an account": {"account": cast.customer},
    }
    payer = payers[paid]
    many = [TEXT, MINI, NANO, IMAGE, UNKNOWN]

    counter = RpcCounter(str(network.ai.provider.http_uri), refuse=TRACES)
    with counter, connected_to(counter.url) as provider:
        ai = DtnAi(network.ai.router, provider)
        with counter.counting() as for_one:
            ai.quote(PROMPT, models=TEXT, call_types=DIRECT, **payer)
        with counter.counting() as for_many:
            found = ai.quote(PROMPT, models=many, **payer)

    assert [bool(quote.gas) for quote in found] == [True] * 6 + [False] * 4
    assert for_one.http == for_many.http
    # A session limit also reads the session's history.
    assert for_many.http in (8, 9) or "limit" in paid
    assert for_many.traces == 0


@pytest.mark.usefixtures("nothing_moves")
def test_quotes_send_no_transactions(network: LocalNetwork, funded: DtnSession, cast: Cast) -> None:
    block = network.ai.provider.get_block("latest").number

    network.ai.quote(PROMPT, account=cast.customer)
    network.ai.quote(PROMPT, session=funded)

    assert network.ai.provider.get_block("latest").number == block


def test_a_quote_is_exact_in_json(funded: DtnSession) -> None:
    found = only(funded.ai.quote(PROMPT, session=funded, call_types=DIRECT, answer_bytes=10))

    read = json.loads(json.dumps(to_json(quote_fields(found))))

    assert found.gas
    assert read["expected"]["units"] == "1700"
    assert read["max_cost"] == {"units": "250000", "value": "0.25", "token": "USDT"}
    assert int(read["gas"]["max_cost"]["units"]) == found.gas.max_cost.units
    assert Decimal(read["gas"]["expected"]["value"]) == found.gas.expected.decimal
    assert (read["call_type"], read["basis"], read["session"]) == ("direct", "given", funded.id)
    assert (read["suffices"], read["requests_at_max_cost"]) == (True, "100")


def test_a_problem_is_in_the_json(ai: DtnAi) -> None:
    read = to_json(quote_fields(only(ai.quote(PROMPT, models=UNKNOWN, call_types=DIRECT))))

    assert json.loads(json.dumps(read))["problem"]["code"] == "model_not_found"
    assert read["expected"] is read["gas"] is read["bytes_asked"] is None


def _gas_of_start(network: LocalNetwork, cast: Cast) -> list[int]:
    """The gas of the customer's last deposit and of their last start of a session."""
    provider = network.ai.provider
    customer = reads.topic(bytes.fromhex(str(cast.customer.address)[2:]).rjust(32, b"\0"))
    return [
        as_int(rpc.result(provider, "eth_getTransactionReceipt", [hash_])["gasUsed"])
        for hash_ in (
            reads.logs(provider, network.token, [TRANSFERRED.topic, customer])[-1].transaction,
            reads.logs(provider, None, [SessionManager.session_started.topic, None, customer])[
                -1
            ].transaction,
        )
    ]
