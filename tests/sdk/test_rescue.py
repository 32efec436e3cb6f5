"""What an account has anywhere is found from the chain alone, and comes home to the unit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from eth_abi import encode

from ape_dtn import Answer, Callback, DtnAi, DtnRescue, DtnSession, Status
from ape_dtn.billing import session_index
from ape_dtn.chain import rpc, transactions
from ape_dtn.chain.reads import topic
from ape_dtn.deployment.assemble import (
    NODE,
    NODE_MODELS,
    FeeToken,
    LocalNetwork,
    Variant,
    create_token,
    fund,
)
from ape_dtn.errors import (
    ConsentMissing,
    InvalidAddress,
    NoAccount,
    NoContractAtAddress,
    NoRemedy,
    NothingDeposited,
    RequestsPending,
    SessionAlreadyClosed,
    SessionNotFound,
)
from ape_dtn.network import reverts
from ape_dtn.network.abi import ERC20, NodeManager
from ape_dtn.network.client_contract import client_of
from ape_dtn.rescue.finding import Finding, Kind, Remedy
from ape_dtn.types.abi import Function
from ape_dtn.types.amount import Token
from ape_dtn.types.ids import id_of
from ape_dtn.types.rpc import as_int
from ape_dtn.types.transactions import Transaction, contract_call
from benchmarks.chain import connected_to, open_sessions
from benchmarks.rpc_counter import TRACES, RpcCounter
from tests.conftest import Balances, Cast, on_live, replace_manager, use_manager

from . import bytecode
from .conftest import Respond, Through
from .test_history import (
    forge,
    forgetful,
    mine_blocks,
    mine_together,
    session_of_id,
)
from .test_logs import blocks_at_most
from .test_session import deposit

PROMPT = "Hello?"
YES = encode(["string"], ["Yes."])

# A revert with a reason that everybody knows.
NOT_NOW = Function("Error(string)").encode("not now")


@pytest.fixture
def rescuing(network: LocalNetwork, cast: Cast) -> DtnRescue:
    """For the customer."""
    return DtnRescue(cast.customer, network.ai)


@pytest.fixture
def of_client(network: LocalNetwork, cast: Cast) -> DtnSession:
    """An open session of the customer's client."""
    return DtnSession.start("7.00", cast.customer, network.ai, method="allowance")


def only(found: Sequence[Finding], kind: Kind) -> Finding:
    """The only finding of a kind."""
    (finding,) = [each for each in found if each.kind is kind]
    return finding


def kinds(found: Sequence[Finding]) -> list[Kind]:
    return [each.kind for each in found]


def send(network: LocalNetwork, account: Any, *call: Any, value: int = 0) -> None:
    transactions.send(
        network.ai.provider, account, contract_call(*call, value=value), reverts.NO_CONTEXT
    )


def give(network: LocalNetwork, account: Any, to: str, wei: int) -> None:
    """Sends coin."""
    transactions.send(network.ai.provider, account, Transaction(to, b"", wei), reverts.NO_CONTEXT)


def coin_of(network: LocalNetwork, address: str) -> int:
    return as_int(rpc.result(network.ai.provider, "eth_getBalance", [address, "latest"]))


# Nothing, and who is asked for.


def test_who_has_nothing_has_nothing(network: LocalNetwork, cast: Cast) -> None:
    assert DtnRescue(str(cast.worker.address), network.ai).findings() == []


def test_closed_sessions_without_requests_are_nothing(
    closed: DtnSession, rescuing: DtnRescue
) -> None:
    assert rescuing.findings() == []


def test_what_others_have_is_not_told(
    network: LocalNetwork, cast: Cast, funded: DtnSession
) -> None:
    funded.request(PROMPT)

    assert DtnRescue(cast.stranger, network.ai).findings() == []


def test_an_address_is_looked_at_and_signs_nothing(
    funded: DtnSession, network: LocalNetwork, cast: Cast, nothing_moves: None
) -> None:
    rescuing = DtnRescue(str(cast.customer.address).lower(), network.ai)
    (finding,) = rescuing.findings()

    assert rescuing.owner == cast.customer.address
    with pytest.raises(NoAccount):
        rescuing.apply(finding)


def test_no_address(network: LocalNetwork) -> None:
    with pytest.raises(InvalidAddress):
        DtnRescue("0x12", network.ai)


# Open sessions.


def test_an_open_session_comes_home(
    funded: DtnSession, rescuing: DtnRescue, cast: Cast, balances: Balances, token: Token
) -> None:
    before = balances.of(cast.customer)

    (finding,) = rescuing.findings()
    assert finding.kind is Kind.OPEN_SESSION
    assert (finding.about, finding.session_id) == (f"session {funded.id}", funded.id)
    assert (finding.holder, finding.requests) == (cast.customer.address, ())
    assert finding.remedy is Remedy.CLOSE

    assert rescuing.apply(finding) == finding.amount == token.amount("25")
    assert balances.of(cast.customer) == before + token.amount("25")
    assert rescuing.findings() == []
    with pytest.raises(SessionAlreadyClosed):
        rescuing.apply(finding)


def test_a_session_of_the_client_comes_home(
    of_client: DtnSession, rescuing: DtnRescue, cast: Cast, balances: Balances, token: Token
) -> None:
    before = balances.of(cast.customer)

    finding = only(rescuing.findings(), Kind.OPEN_SESSION)
    assert (finding.session_id, finding.holder) == (of_client.id, rescuing.client)
    assert f"your client contract {rescuing.client}" in finding.explanation

    assert rescuing.apply(finding) == token.amount("7")
    assert balances.of(cast.customer) == before + token.amount("7")
    assert balances.of(rescuing.client).units == 0


def test_a_session_with_a_request_pending_is_closed_by_force_alone(
    funded: DtnSession, rescuing: DtnRescue, cast: Cast, balances: Balances, token: Token
) -> None:
    request = funded.request(PROMPT)
    found = rescuing.findings()

    finding, pending = only(found, Kind.OPEN_SESSION), only(found, Kind.PENDING_REQUEST)
    assert finding.requests == (request.id,)
    assert (pending.request_id, pending.session_id) == (request.id, funded.id)
    assert f"`ape dtn answer {request.id}`" in pending.explanation
    with pytest.raises(RequestsPending) as raised:
        rescuing.apply(finding)
    assert raised.value.requests == [request.id]
    with pytest.raises(NoRemedy):
        rescuing.apply(pending)

    before = balances.of(cast.customer)
    assert rescuing.apply(finding, force=True) == token.amount("25")
    assert balances.of(cast.customer) == before + token.amount("25")
    (stranded,) = rescuing.findings()
    assert (stranded.kind, stranded.request_id) == (Kind.HOPELESS_REQUEST, request.id)
    assert f"session {funded.id}, which was to pay for it, was closed" in stranded.explanation


# Deposits.


def test_a_deposit_that_no_start_followed_is_claimed_with_consent(
    network: LocalNetwork, rescuing: DtnRescue, cast: Cast, balances: Balances, token: Token
) -> None:
    before = balances.of(cast.customer)
    deposit(network, cast.customer, 3_000_000)

    (finding,) = rescuing.findings()
    assert (finding.kind, finding.remedy) == (Kind.WAITING_DEPOSIT, Remedy.CLAIM)
    assert (finding.amount, finding.holder) == (token.amount("3"), cast.customer.address)
    assert "You sent 3.00 USDT." in finding.explanation
    with pytest.raises(ConsentMissing):
        rescuing.apply(finding)

    session = rescuing.apply(finding, claim=True)
    assert isinstance(session, DtnSession)
    assert session.opened_with == token.amount("3")
    assert rescuing.apply(only(rescuing.findings(), Kind.OPEN_SESSION)) == token.amount("3")
    assert balances.of(cast.customer) == before
    with pytest.raises(NothingDeposited):
        rescuing.apply(finding, claim=True)


def test_what_somebody_else_sent_besides_is_told(
    network: LocalNetwork, rescuing: DtnRescue, cast: Cast, token: Token
) -> None:
    deposit(network, cast.customer, 3)
    deposit(network, cast.stranger, 4)

    (finding,) = rescuing.findings()

    assert finding.amount == token.units(7)
    assert "0.000007 USDT waits" in finding.explanation
    assert "You sent 0.000003 USDT." in finding.explanation
    assert "What is there besides is somebody else's" in finding.explanation


def test_what_somebody_else_sent_is_not_taken(
    network: LocalNetwork, rescuing: DtnRescue, cast: Cast, token: Token
) -> None:
    deposit(network, cast.stranger, 4)

    (finding,) = rescuing.findings()

    assert (finding.kind, finding.amount, finding.remedy) == (
        Kind.WAITING_DEPOSIT,
        token.units(4),
        None,
    )
    assert "None of it was sent by your account" in finding.explanation
    with pytest.raises(NoRemedy):
        rescuing.apply(finding, claim=True)


def test_a_deposit_that_was_taken_is_told_with_the_thief(
    network: LocalNetwork, rescuing: DtnRescue, cast: Cast, token: Token
) -> None:
    deposit(network, cast.customer, 3_000_000)
    taken = DtnSession.claim(cast.stranger, network.ai)
    assert taken.receipt is not None

    (finding,) = rescuing.findings()

    assert (finding.kind, finding.remedy) == (Kind.TAKEN_DEPOSIT, None)
    assert finding.amount == token.amount("3")
    assert f"{cast.stranger.address} started session {taken.id}" in finding.explanation
    assert taken.receipt.transaction in finding.explanation
    assert DtnRescue(cast.stranger, network.ai).findings()[0].session_id == taken.id


def test_what_was_taken_before_is_not_told(
    network: LocalNetwork, rescuing: DtnRescue, cast: Cast
) -> None:
    deposit(network, cast.customer, 3)
    DtnSession.claim(cast.stranger, network.ai)
    head = as_int(rpc.result(network.ai.provider, "eth_blockNumber", []))

    assert rescuing.findings(since=head + 1) == []
    assert kinds(rescuing.findings(since=0)) == [Kind.TAKEN_DEPOSIT]


def test_a_deposit_is_found_where_nothing_can_be_simulated(
    network: LocalNetwork, cast: Cast
) -> None:
    deposit(network, cast.customer, 3)

    counter = RpcCounter(str(network.ai.provider.http_uri), refuse=("eth_simulateV1",))
    with counter, connected_to(counter.url) as provider:
        (finding,) = DtnRescue(cast.customer, DtnAi(network.ai.router, provider)).findings()

    assert (finding.kind, finding.amount) == (Kind.WAITING_DEPOSIT, None)
    assert "An unknown amount waits" in finding.explanation
    assert "You sent 0.000003 USDT." in finding.explanation


# Requests and answers.


@pytest.fixture
def reverting(network: LocalNetwork, cast: Cast) -> Callback:
    """A callback to a contract that reverts, whatever is called."""
    code = bytecode.deploying(bytecode.reverting(NOT_NOW))
    target = transactions.create(network.ai.provider, cast.customer, code)
    return Callback(target, "onAnswer(bytes32)", "onFailure(bytes32)", 100_000)


def test_answers_are_fetched(
    funded: DtnSession, of_client: DtnSession, rescuing: DtnRescue, network: LocalNetwork
) -> None:
    asked = [session.request(PROMPT) for session in (funded, of_client)]
    network.node.answer_pending()
    of_client.close()

    found = [each for each in rescuing.findings() if each.kind is Kind.ANSWER]

    assert [each.request_id for each in found] == [each.id for each in asked]
    assert {each.remedy for each in found} == {Remedy.READ}
    by_address = DtnRescue(rescuing.owner, network.ai)  # reading takes no account
    answers = [by_address.apply(each) for each in found]
    assert [str(each) for each in answers] == ["You asked: Hello?"] * 2


def test_answers_of_sessions_that_were_closed_before_are_not_told(
    funded: DtnSession, rescuing: DtnRescue, network: LocalNetwork
) -> None:
    funded.request(PROMPT)
    network.node.answer_pending()
    funded.close()
    assert funded.receipt is not None

    assert rescuing.findings(since=funded.receipt.block_number + 1) == []
    assert kinds(rescuing.findings(since=funded.receipt.block_number)) == [Kind.ANSWER]


def test_a_failure_of_the_node_is_an_answer(
    funded: DtnSession, rescuing: DtnRescue, respond: Respond
) -> None:
    respond(funded.request(PROMPT), status=Status.FAILURE, message="out of paper")

    finding = only(rescuing.findings(), Kind.ANSWER)

    assert (finding.explanation, finding.remedy) == (
        "The node answered that it failed: out of paper.",
        None,
    )


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILURE])
def test_a_failed_callback_is_explained_and_the_answer_fetched(
    funded: DtnSession,
    rescuing: DtnRescue,
    respond: Respond,
    reverting: Callback,
    status: Status,
) -> None:
    fine = funded.request(PROMPT)
    request = funded.request(PROMPT, callback=reverting)
    for each in (fine, request):
        respond(each, YES, status)

    found = rescuing.findings()

    assert only(found, Kind.ANSWER).request_id == fine.id
    finding = only(found, Kind.FAILED_CALLBACK)
    assert finding.request_id == request.id
    assert f"callback to {reverting.target} reverted: not now." in finding.explanation
    if status is Status.SUCCESS:
        answer = rescuing.apply(finding)
        assert isinstance(answer, Answer)
        assert answer.text == "Yes."
    else:
        assert finding.remedy is None


# What the live router takes, and never completes.
NEVER = [
    ({"redundancy": 2}, "the router completes a redundancy of 1, not of 2"),
    ({"redundancy": 0}, "the router completes a redundancy of 1, not of 0"),
    ({"aggregation": 3}, "the router has no aggregation VOTE, only ANY"),
]
# What both take, and nobody can answer.
BY_NOBODY = [
    ({"nodes": ["node.no.body"]}, "is not registered"),
    ({"namespaces": ["namespace.no.body"]}, "no node that serves the model is trusted"),
]


@pytest.mark.parametrize(
    ("variant", "options", "why"),
    [
        *((Variant.LIVE, *each) for each in NEVER),
        *((variant, *each) for variant in Variant for each in BY_NOBODY),
    ],
    indirect=["variant"],
)
def test_a_request_that_cannot_complete_is_hopeless(
    funded: DtnSession, rescuing: DtnRescue, options: Any, why: str
) -> None:
    request = funded.request(PROMPT, may_never_complete=True, **options)

    finding = only(rescuing.findings(), Kind.HOPELESS_REQUEST)

    assert (finding.request_id, finding.remedy) == (request.id, None)
    assert why in finding.explanation


@pytest.mark.parametrize(
    ("function", "argument", "why"),
    [
        (NodeManager.set_node_status, False, f"{NODE} is switched off"),
        (
            NodeManager.remove_models_from_node,
            [id_of(model, "model") for model in NODE_MODELS],
            f"{NODE} does not serve the model",
        ),
    ],
)
def test_a_request_that_nobody_can_answer_any_more_is_hopeless(
    funded: DtnSession,
    rescuing: DtnRescue,
    network: LocalNetwork,
    cast: Cast,
    function: Function,
    argument: Any,
    why: str,
) -> None:
    funded.request(PROMPT)
    assert only(rescuing.findings(), Kind.PENDING_REQUEST)
    manager = network.ai.contracts().node_manager
    send(network, cast.owner, manager, function, id_of(NODE, "node"), argument)

    assert why in only(rescuing.findings(), Kind.HOPELESS_REQUEST).explanation


@pytest.mark.usefixtures("crowded")
def test_where_nodes_are_too_many_to_be_listed_a_request_is_not_hopeless(
    funded: DtnSession, rescuing: DtnRescue, token: Token
) -> None:
    """Anybody can register nodes, and so has no say in what others get back."""
    namespaces = ["namespace.nobody.in"]
    request = funded.request(PROMPT, namespaces=namespaces, may_never_complete=True)

    found = rescuing.findings()

    assert only(found, Kind.PENDING_REQUEST).request_id == request.id
    assert rescuing.apply(only(found, Kind.OPEN_SESSION), force=True) == token.amount("25")


def test_a_request_whose_id_another_took_is_hopeless(
    local_networks: dict[Variant, LocalNetwork], cast: Cast
) -> None:
    network = local_networks[Variant.LIVE]
    session = DtnSession.start("1", cast.customer, network.ai)
    checked = session.draft(PROMPT, user=str(cast.customer.address))
    mine_together(network.ai.provider, [(cast.customer, checked.transaction())] * 2)

    found = DtnRescue(cast.customer, network.ai).findings()

    hopeless, pending = only(found, Kind.HOPELESS_REQUEST), only(found, Kind.PENDING_REQUEST)
    assert hopeless.request_id == pending.request_id
    assert hopeless.transaction != pending.transaction
    assert "a later request of the same block has taken its id" in hopeless.explanation
    assert only(found, Kind.OPEN_SESSION).requests == (pending.request_id,)


# Session managers that came and went.


@on_live
def test_sessions_on_a_replaced_manager_are_found_and_told(
    funded: DtnSession,
    of_client: DtnSession,
    rescuing: DtnRescue,
    network: LocalNetwork,
    cast: Cast,
    token: Token,
) -> None:
    before = network.ai.contracts().session_manager
    request = of_client.request(PROMPT)
    deposit(network, cast.customer, 5)
    replace_manager(network, cast)
    DtnSession.start("1", cast.customer, network.ai)  # which is no start of that deposit

    found = rescuing.findings()

    stranded = [each for each in found if each.kind is Kind.STRANDED_SESSION]
    assert [(each.session_id, each.holder, str(each.amount)) for each in stranded] == [
        (funded.id, cast.customer.address, "25.00 USDT"),
        (of_client.id, client_of(str(cast.customer.address)), "7.00 USDT"),
    ]
    assert {(each.contract, each.remedy) for each in stranded} == {(before, None)}
    assert all(
        f"owner of the network, {cast.owner.address}," in each.explanation for each in stranded
    )
    hopeless = only(found, Kind.HOPELESS_REQUEST)
    assert hopeless.request_id == request.id
    assert "is on a session manager that the router does not have any more" in hopeless.explanation
    left = only(found, Kind.WAITING_DEPOSIT)
    assert (left.amount, left.contract, left.remedy) == (token.units(5), before, None)


@on_live
def test_what_is_told_of_a_replaced_manager_is_true(
    funded: DtnSession,
    rescuing: DtnRescue,
    network: LocalNetwork,
    cast: Cast,
    balances: Balances,
    token: Token,
) -> None:
    """Nobody but the router closes there, and putting the manager back mends it."""
    before = network.ai.contracts().session_manager
    held = balances.of(cast.customer)
    replace_manager(network, cast)
    close = Function("closeUserSession(uint256,address)")
    for anybody in (cast.customer, cast.stranger, cast.owner):
        with pytest.raises(SessionNotFound) as raised:
            send(network, anybody, before, close, funded.id, str(cast.customer.address))
        assert raised.value.revert is not None
        assert raised.value.revert.fields == {
            "caller": anybody.address,
            "owner": network.ai.router,
        }

    use_manager(network, cast, before)

    assert rescuing.apply(only(rescuing.findings(), Kind.OPEN_SESSION)) == token.amount("25")
    assert balances.of(cast.customer) == held + token.amount("25")


@on_live
def test_requests_of_somebody_who_has_the_id_now_are_not_told(
    funded: DtnSession, rescuing: DtnRescue, network: LocalNetwork, cast: Cast
) -> None:
    own = funded.request(PROMPT)
    replace_manager(network, cast)
    other = session_of_id(funded.id, cast, network.ai).request(PROMPT)

    found = rescuing.findings()
    theirs = DtnRescue(cast.stranger, network.ai).findings()

    # The session that has the id now would pay for it.
    assert only(found, Kind.PENDING_REQUEST).request_id == own.id
    assert only(found, Kind.STRANDED_SESSION).session_id == funded.id
    assert only(theirs, Kind.PENDING_REQUEST).request_id == other.id


def test_a_forged_session_is_none(funded: DtnSession, network: LocalNetwork, cast: Cast) -> None:
    forge(network, cast, 998)

    assert DtnRescue(cast.stranger, network.ai).findings() == []


@on_live
def test_without_old_state_what_cannot_be_told_is_uncertain(
    funded: DtnSession, network: LocalNetwork, cast: Cast, through: Through
) -> None:
    before = network.ai.contracts().session_manager
    replace_manager(network, cast)
    mine_blocks(network, 3)

    with through(forgetful) as ai:
        (finding,) = DtnRescue(cast.customer, ai).findings()
        ai.deployment = replace(ai.deployment, session_managers=(before,))
        (known,) = DtnRescue(cast.customer, ai).findings()

    assert (finding.kind, finding.session_id) == (Kind.UNCERTAIN_SESSION, funded.id)
    assert (finding.contract, finding.amount, finding.remedy) == (before, None, None)
    assert (known.kind, str(known.amount)) == (Kind.STRANDED_SESSION, "25.00 USDT")


# The client.


@pytest.mark.parametrize("is_there", [True, False])
def test_what_is_in_the_client_comes_home(
    rescuing: DtnRescue,
    network: LocalNetwork,
    cast: Cast,
    balances: Balances,
    token: Token,
    is_there: bool,
) -> None:
    if is_there:
        DtnSession.start("1", cast.customer, network.ai, method="allowance").close()
    provider, before = network.ai.provider, balances.of(cast.customer)
    send(network, cast.customer, token.address, ERC20.transfer, rescuing.client, 12)
    give(network, cast.stranger, rescuing.client, 10**18 + 1)
    other = create_token(provider, cast.owner, FeeToken.USDC)
    fund(provider, cast.owner, other, rescuing.client, 5)

    found = rescuing.findings(tokens=[other.lower()])

    assert kinds(found) == [Kind.CLIENT_TOKENS, Kind.CLIENT_TOKENS, Kind.CLIENT_COIN]
    assert {each.remedy for each in found} == {Remedy.SWEEP}
    assert [str(each.amount) for each in found] == [
        "0.000012 USDT",
        "0.000005 USDC",
        "1.000000000000000001 ETH",
    ]
    unnamed = rescuing.findings()
    assert kinds(unnamed) == [Kind.CLIENT_TOKENS, Kind.CLIENT_COIN, Kind.UNKNOWN_TOKENS]
    stray = unnamed[-1]
    assert (stray.contract, stray.amount, stray.remedy) == (other, None, None)
    assert f"--token {other}" in stray.explanation
    coin_before = coin_of(network, rescuing.owner)
    assert [rescuing.apply(each) for each in found] == [each.amount for each in found]
    assert balances.of(cast.customer) == before
    assert coin_before + 10**18 - coin_of(network, rescuing.owner) < 10**17  # less gas
    assert coin_of(network, rescuing.client) == 0
    assert rescuing.findings(tokens=[other]) == []


def test_what_others_made_to_look_like_tokens_hinders_nothing(
    rescuing: DtnRescue, network: LocalNetwork, cast: Cast, funded: DtnSession
) -> None:
    """A transfer to the client that no token has made, and a token that is no ERC-20."""
    endless = Function("Error(string)").selector + encode(["uint256"] * 2, [32, 2**255])
    parties = (bytes(12) + bytes.fromhex(each[2:]) for each in (rescuing.owner, rescuing.client))
    topics = [ERC20.transferred.topic, *(topic(each) for each in parties)]
    for forged in (
        bytecode.emitting(topics, encode(["uint256"], [7])),
        bytecode.emitting([*topics, topic(7)], b""),
        # Reverts with a reason that is said to be longer than anything can be; uses up all gas.
        *(
            bytecode.emitting(topics, encode(["uint256"], [1]), leaving=code)
            for code in (bytecode.reverting(endless), bytes.fromhex("5b5f56"))
        ),
    ):
        transactions.create(network.ai.provider, cast.stranger, forged)

    (finding,) = rescuing.findings()

    assert (finding.kind, finding.session_id) == (Kind.OPEN_SESSION, funded.id)


def test_what_is_no_token_is_refused(rescuing: DtnRescue, cast: Cast) -> None:
    with pytest.raises(NoContractAtAddress):
        rescuing.findings(tokens=[str(cast.worker.address)])


def test_an_allowance_is_told_and_is_no_loss(
    rescuing: DtnRescue, network: LocalNetwork, cast: Cast, token: Token
) -> None:
    send(network, cast.customer, token.address, ERC20.approve, rescuing.client, 9)

    (finding,) = rescuing.findings()

    assert (finding.kind, finding.amount) == (Kind.ALLOWANCE, token.units(9))
    assert "Nothing is lost." in finding.explanation
    assert finding.remedy is None


# All of it.


def test_all_of_it_comes_home_to_the_unit(
    rescuing: DtnRescue,
    network: LocalNetwork,
    cast: Cast,
    balances: Balances,
    token: Token,
) -> None:
    before = balances.of(cast.customer)
    own = DtnSession.start("25", cast.customer, network.ai)
    by_client = DtnSession.start("7", cast.customer, network.ai, method="allowance")
    asked = [own.request(PROMPT), by_client.request(PROMPT)]
    network.node.answer_pending()
    spent = asked[0].cost() + asked[1].cost()
    own.request(PROMPT, nodes=["node.no.body"], may_never_complete=True)
    send(network, cast.customer, token.address, ERC20.transfer, rescuing.client, 12)
    deposit(network, cast.customer, 3_000_000)

    for finding in rescuing.findings():
        if finding.remedy:
            rescuing.apply(finding, force=True, claim=True)
    (claimed,) = [each for each in rescuing.findings() if each.remedy is Remedy.CLOSE]
    rescuing.apply(claimed)

    assert balances.of(cast.customer) == before - spent
    assert balances.of(rescuing.client).units == 0
    assert {each.kind for each in rescuing.findings()} == {Kind.ANSWER, Kind.HOPELESS_REQUEST}


def test_findings_are_plain_data(
    funded: DtnSession, rescuing: DtnRescue, network: LocalNetwork, cast: Cast
) -> None:
    request = funded.request(PROMPT)

    session, pending = json.loads(json.dumps([each.as_dict() for each in rescuing.findings()]))

    assert session["kind"] == "open_session"
    assert session["amount"]["text"] == "25.00 USDT"
    assert (session["remedy"], session["session"]) == ("close", funded.id)
    assert session["requests"] == [request.id]
    assert (pending["kind"], pending["request"]) == ("pending_request", request.id)
    assert (pending["amount"], pending["remedy"]) == (None, None)


def test_where_endpoints_take_little_at_once_it_is_the_same(
    rescuing: DtnRescue,
    network: LocalNetwork,
    cast: Cast,
    through: Through,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(3):
        DtnSession.start("1", cast.customer, network.ai).request(PROMPT)
    deposit(network, cast.customer, 5)
    at_once = rescuing.findings()

    monkeypatch.setattr(session_index, "MOST_ALTERNATIVES", 2)
    with through(blocks_at_most(5)) as ai:
        ai.deployment = network.ai.deployment  # which knows where to begin
        assert DtnRescue(cast.customer, ai).findings() == at_once
    assert len(at_once) == 3 + 1 + 3


@pytest.mark.parametrize("how_many", [1, 100])
def test_a_hundred_sessions_take_as_many_http_requests_as_one(
    network: LocalNetwork, cast: Cast, how_many: int
) -> None:
    provider = network.ai.provider
    open_sessions(network.ai, cast.customer, how_many, units=300_000)
    sessions = DtnSession.list(cast.customer, network.ai)
    asking = [session.draft(PROMPT, account=cast.customer) for session, _ in sessions]
    mine_together(provider, [(cast.customer, each.transaction()) for each in asking])
    give(network, cast.stranger, client_of(str(cast.customer.address)), 1)

    counter = RpcCounter(str(provider.http_uri), refuse=TRACES)
    with counter, connected_to(counter.url) as counted:
        rescuing = DtnRescue(str(cast.customer.address), DtnAi(network.ai.router, counted))
        with counter.counting() as count:
            found = rescuing.findings()

    assert count.http == 12
    assert count.methods["eth_getLogs"] == 6
    open_ones = [each for each in found if each.kind is Kind.OPEN_SESSION]
    assert [each.session_id for each in open_ones] == [session.id for session, _ in sessions]
    assert {len(each.requests) for each in open_ones} == {1}
    assert kinds(found).count(Kind.PENDING_REQUEST) == how_many
    assert len(found) == 2 * how_many + 1
