"""Rescue: findings from the chain alone, and their remedies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from eth_abi import encode

from ape_dtn import Answer, Callback, DtnAi, DtnRescue, DtnSession, Status
from ape_dtn._cli.json_fields import finding_fields
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
from ape_dtn.types.serialization import to_json
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

# Revert data that anyone can decode.
NOT_NOW = Function("Error(string)").encode("not now")


@pytest.fixture
def rescuing(network: LocalNetwork, cast: Cast) -> DtnRescue:
    """The rescue of the customer."""
    return DtnRescue(cast.customer, network.ai)


@pytest.fixture
def of_client(network: LocalNetwork, cast: Cast) -> DtnSession:
    """An open session that the customer's client owns."""
    return DtnSession.start("7.00", cast.customer, network.ai, method="allowance")


def only(findings: Sequence[Finding], kind: Kind) -> Finding:
    """Return the only finding of a kind."""
    (finding,) = [finding for finding in findings if finding.kind is kind]
    return finding


def kinds(findings: Sequence[Finding]) -> list[Kind]:
    return [finding.kind for finding in findings]


def send(network: LocalNetwork, account: Any, *call: Any, value: int = 0) -> None:
    transactions.send(
        network.ai.provider, account, contract_call(*call, value=value), reverts.NO_CONTEXT
    )


def give(network: LocalNetwork, account: Any, to: str, wei: int) -> None:
    transactions.send(network.ai.provider, account, Transaction(to, b"", wei), reverts.NO_CONTEXT)


def wei_of(network: LocalNetwork, address: str) -> int:
    return as_int(rpc.result(network.ai.provider, "eth_getBalance", [address, "latest"]))


# Accounts without findings.


def test_an_account_without_anything_has_no_findings(network: LocalNetwork, cast: Cast) -> None:
    assert DtnRescue(str(cast.worker.address), network.ai).findings() == []


def test_closed_sessions_without_requests_are_not_reported(
    closed: DtnSession, rescuing: DtnRescue
) -> None:
    assert rescuing.findings() == []


def test_sessions_of_others_are_not_reported(
    network: LocalNetwork, cast: Cast, funded: DtnSession
) -> None:
    funded.request(PROMPT)

    assert DtnRescue(cast.stranger, network.ai).findings() == []


def test_an_address_without_account_can_find_but_not_sign(
    funded: DtnSession, network: LocalNetwork, cast: Cast, nothing_moves: None
) -> None:
    rescuing = DtnRescue(str(cast.customer.address).lower(), network.ai)
    (finding,) = rescuing.findings()

    assert rescuing.owner == cast.customer.address
    with pytest.raises(NoAccount):
        rescuing.apply(finding)


def test_a_malformed_address_is_rejected(network: LocalNetwork) -> None:
    with pytest.raises(InvalidAddress):
        DtnRescue("0x12", network.ai)


# Open sessions.


def test_an_open_session_is_closed_for_a_refund(
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


def test_a_session_of_the_client_is_refunded_to_the_account(
    of_client: DtnSession, rescuing: DtnRescue, cast: Cast, balances: Balances, token: Token
) -> None:
    before = balances.of(cast.customer)

    finding = only(rescuing.findings(), Kind.OPEN_SESSION)
    assert (finding.session_id, finding.holder) == (of_client.id, rescuing.client)
    assert f"your client contract {rescuing.client}" in finding.explanation

    assert rescuing.apply(finding) == token.amount("7")
    assert balances.of(cast.customer) == before + token.amount("7")
    assert balances.of(rescuing.client).units == 0


def test_a_session_with_a_pending_request_is_closed_by_force_only(
    funded: DtnSession, rescuing: DtnRescue, cast: Cast, balances: Balances, token: Token
) -> None:
    request = funded.request(PROMPT)
    found = rescuing.findings()

    finding, pending = only(found, Kind.OPEN_SESSION), only(found, Kind.PENDING_REQUEST)
    assert finding.requests == (request.id,)
    assert (pending.request_id, pending.session_id) == (request.id, funded.id)
    assert pending.request_id == request.id
    with pytest.raises(RequestsPending) as raised:
        rescuing.apply(finding)
    assert raised.value.requests == [request.id]
    with pytest.raises(NoRemedy):
        rescuing.apply(pending)

    before = balances.of(cast.customer)
    assert rescuing.apply(finding, force=True) == token.amount("25")
    assert balances.of(cast.customer) == before + token.amount("25")
    (stranded,) = rescuing.findings()
    assert (stranded.kind, stranded.request_id) == (Kind.UNANSWERABLE_REQUEST, request.id)
    assert f"session {funded.id}, which would pay for it, was closed" in stranded.explanation


# Deposits.


def test_a_waiting_deposit_is_claimed_with_consent(
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


def test_deposits_of_others_beside_ones_own_are_reported(
    network: LocalNetwork, rescuing: DtnRescue, cast: Cast, token: Token
) -> None:
    deposit(network, cast.customer, 3)
    deposit(network, cast.stranger, 4)

    (finding,) = rescuing.findings()

    assert finding.amount == token.units(7)
    assert "0.000007 USDT is at the fee target" in finding.explanation
    assert "You sent 0.000003 USDT." in finding.explanation
    assert "would also take what others have sent" in finding.explanation


def test_a_deposit_of_others_is_not_claimed(
    network: LocalNetwork, rescuing: DtnRescue, cast: Cast, token: Token
) -> None:
    deposit(network, cast.stranger, 4)

    (finding,) = rescuing.findings()

    assert (finding.kind, finding.amount, finding.remedy) == (
        Kind.WAITING_DEPOSIT,
        token.units(4),
        None,
    )
    assert "Neither your account nor your client sent any of it" in finding.explanation
    with pytest.raises(NoRemedy):
        rescuing.apply(finding, claim=True)


def test_a_taken_deposit_is_reported_with_the_thief(
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


def test_a_deposit_taken_long_ago_is_not_reported(
    network: LocalNetwork, rescuing: DtnRescue, cast: Cast
) -> None:
    deposit(network, cast.customer, 3)
    DtnSession.claim(cast.stranger, network.ai)
    head = as_int(rpc.result(network.ai.provider, "eth_blockNumber", []))

    assert rescuing.findings(since=head + 1) == []
    assert kinds(rescuing.findings(since=0)) == [Kind.TAKEN_DEPOSIT]


def test_a_waiting_deposit_is_found_without_simulation(network: LocalNetwork, cast: Cast) -> None:
    deposit(network, cast.customer, 3)

    counter = RpcCounter(str(network.ai.provider.http_uri), refuse=("eth_simulateV1",))
    with counter, connected_to(counter.url) as provider:
        (finding,) = DtnRescue(cast.customer, DtnAi(network.ai.router, provider)).findings()

    assert (finding.kind, finding.amount) == (Kind.WAITING_DEPOSIT, None)
    assert "An unknown amount is at the fee target" in finding.explanation
    assert "You sent 0.000003 USDT." in finding.explanation


# Requests and answers.


@pytest.fixture
def reverting(network: LocalNetwork, cast: Cast) -> Callback:
    """A callback to a contract that always reverts."""
    code = bytecode.deploying(bytecode.reverting(NOT_NOW))
    target = transactions.create(network.ai.provider, cast.customer, code)
    return Callback(target, "onAnswer(bytes32)", "onFailure(bytes32)", 100_000)


def test_answers_are_found_and_read(
    funded: DtnSession, of_client: DtnSession, rescuing: DtnRescue, network: LocalNetwork
) -> None:
    requests = [session.request(PROMPT) for session in (funded, of_client)]
    network.node.answer_pending()
    of_client.close()

    findings = [finding for finding in rescuing.findings() if finding.kind is Kind.ANSWER]

    assert [finding.request_id for finding in findings] == [request.id for request in requests]
    assert {finding.remedy for finding in findings} == {Remedy.READ}
    by_address = DtnRescue(rescuing.owner, network.ai)  # reading needs no account
    answers = [by_address.apply(finding) for finding in findings]
    assert [str(answer) for answer in answers] == ["You asked: Hello?"] * 2


def test_answers_of_sessions_closed_long_ago_are_not_reported(
    funded: DtnSession, rescuing: DtnRescue, network: LocalNetwork
) -> None:
    funded.request(PROMPT)
    network.node.answer_pending()
    funded.close()
    assert funded.receipt is not None

    assert rescuing.findings(since=funded.receipt.block_number + 1) == []
    assert kinds(rescuing.findings(since=funded.receipt.block_number)) == [Kind.ANSWER]


def test_a_failure_of_the_node_is_reported_as_an_answer(
    funded: DtnSession, rescuing: DtnRescue, respond: Respond
) -> None:
    respond(funded.request(PROMPT), status=Status.FAILURE, message="out of paper")

    finding = only(rescuing.findings(), Kind.ANSWER)

    assert (finding.explanation, finding.remedy) == (
        "The node answered with a failure: out of paper.",
        None,
    )


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILURE])
def test_a_failed_callback_is_explained_and_its_answer_can_be_read(
    funded: DtnSession,
    rescuing: DtnRescue,
    respond: Respond,
    reverting: Callback,
    status: Status,
) -> None:
    without_callback = funded.request(PROMPT)
    request = funded.request(PROMPT, callback=reverting)
    for pending in (without_callback, request):
        respond(pending, YES, status)

    found = rescuing.findings()

    assert only(found, Kind.ANSWER).request_id == without_callback.id
    finding = only(found, Kind.FAILED_CALLBACK)
    assert finding.request_id == request.id
    assert f"callback to {reverting.target} reverted: not now." in finding.explanation
    if status is Status.SUCCESS:
        answer = rescuing.apply(finding)
        assert isinstance(answer, Answer)
        assert answer.text == "Yes."
    else:
        assert finding.remedy is None


# Options that the live router accepts and never completes.
NEVER_COMPLETED = [
    ({"redundancy": 2}, "the router supports only redundancy 1, not 2"),
    ({"redundancy": 0}, "the router supports only redundancy 1, not 0"),
    ({"aggregation": 3}, "the router supports only aggregation ANY, not VOTE"),
]
# Options that both routers accept, and that no node can fulfil.
WITHOUT_NODE = [
    ({"nodes": ["node.no.body"]}, "is not registered"),
    ({"namespaces": ["namespace.no.body"]}, "no node that serves the model is trusted"),
]


@pytest.mark.parametrize(
    ("variant", "options", "why"),
    [
        *((Variant.LIVE, *case) for case in NEVER_COMPLETED),
        *((variant, *case) for variant in Variant for case in WITHOUT_NODE),
    ],
    indirect=["variant"],
)
def test_a_request_that_cannot_complete_is_unanswerable(
    funded: DtnSession, rescuing: DtnRescue, options: Any, why: str
) -> None:
    request = funded.request(PROMPT, may_never_complete=True, **options)

    finding = only(rescuing.findings(), Kind.UNANSWERABLE_REQUEST)

    assert (finding.request_id, finding.remedy) == (request.id, None)
    assert why in finding.explanation


@pytest.mark.parametrize(
    ("function", "argument", "why"),
    [
        (NodeManager.set_node_status, False, f"{NODE} is inactive"),
        (
            NodeManager.remove_models_from_node,
            [id_of(model, "model") for model in NODE_MODELS],
            f"{NODE} does not serve the model",
        ),
    ],
)
def test_a_request_becomes_unanswerable_when_its_nodes_cannot_answer(
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

    assert why in only(rescuing.findings(), Kind.UNANSWERABLE_REQUEST).explanation


@pytest.mark.usefixtures("crowded")
def test_a_request_is_pending_if_there_are_too_many_nodes_to_check(
    funded: DtnSession, rescuing: DtnRescue, token: Token
) -> None:
    """An attacker who registers many nodes cannot prevent a rescue."""
    namespaces = ["namespace.nobody.in"]
    request = funded.request(PROMPT, namespaces=namespaces, may_never_complete=True)

    found = rescuing.findings()

    assert only(found, Kind.PENDING_REQUEST).request_id == request.id
    assert rescuing.apply(only(found, Kind.OPEN_SESSION), force=True) == token.amount("25")


def test_a_request_with_a_reused_id_is_unanswerable(
    local_networks: dict[Variant, LocalNetwork], cast: Cast
) -> None:
    network = local_networks[Variant.LIVE]
    session = DtnSession.start("1", cast.customer, network.ai)
    checked = session.draft(PROMPT, user=str(cast.customer.address))
    mine_together(network.ai.provider, [(cast.customer, checked.transaction())] * 2)

    found = DtnRescue(cast.customer, network.ai).findings()

    unanswerable = only(found, Kind.UNANSWERABLE_REQUEST)
    pending = only(found, Kind.PENDING_REQUEST)
    assert unanswerable.request_id == pending.request_id
    assert unanswerable.transaction != pending.transaction
    assert "a later request in the same block took over its id" in unanswerable.explanation
    assert only(found, Kind.OPEN_SESSION).requests == (pending.request_id,)


# Former session managers.


@on_live
def test_sessions_on_a_former_manager_are_reported(
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
    DtnSession.start("1", cast.customer, network.ai)  # does not take that deposit

    found = rescuing.findings()

    stranded = [finding for finding in found if finding.kind is Kind.STRANDED_SESSION]
    assert [(finding.session_id, finding.holder, str(finding.amount)) for finding in stranded] == [
        (funded.id, cast.customer.address, "25.00 USDT"),
        (of_client.id, client_of(str(cast.customer.address)), "7.00 USDT"),
    ]
    assert {(finding.contract, finding.remedy) for finding in stranded} == {(before, None)}
    assert all(
        f"owner of the network, {cast.owner.address}," in finding.explanation
        for finding in stranded
    )
    unanswerable = only(found, Kind.UNANSWERABLE_REQUEST)
    assert unanswerable.request_id == request.id
    assert "is on a session manager that the router no longer uses" in unanswerable.explanation
    left = only(found, Kind.WAITING_DEPOSIT)
    assert (left.amount, left.contract, left.remedy) == (token.units(5), before, None)


@on_live
def test_a_session_on_a_former_manager_can_be_closed_once_the_manager_is_back(
    funded: DtnSession,
    rescuing: DtnRescue,
    network: LocalNetwork,
    cast: Cast,
    balances: Balances,
    token: Token,
) -> None:
    """Until then only the router can close it, and the router does not."""
    before = network.ai.contracts().session_manager
    held = balances.of(cast.customer)
    replace_manager(network, cast)
    close = Function("closeUserSession(uint256,address)")
    for sender in (cast.customer, cast.stranger, cast.owner):
        with pytest.raises(SessionNotFound) as raised:
            send(network, sender, before, close, funded.id, str(cast.customer.address))
        assert raised.value.revert is not None
        assert raised.value.revert.fields == {
            "caller": sender.address,
            "owner": network.ai.router,
        }

    use_manager(network, cast, before)

    assert rescuing.apply(only(rescuing.findings(), Kind.OPEN_SESSION)) == token.amount("25")
    assert balances.of(cast.customer) == held + token.amount("25")


@on_live
def test_requests_of_another_session_with_the_same_id_are_not_reported(
    funded: DtnSession, rescuing: DtnRescue, network: LocalNetwork, cast: Cast
) -> None:
    own = funded.request(PROMPT)
    replace_manager(network, cast)
    other = session_of_id(funded.id, cast, network.ai).request(PROMPT)

    found = rescuing.findings()
    theirs = DtnRescue(cast.stranger, network.ai).findings()

    # The current session with this id would pay for the request.
    assert only(found, Kind.PENDING_REQUEST).request_id == own.id
    assert only(found, Kind.STRANDED_SESSION).session_id == funded.id
    assert only(theirs, Kind.PENDING_REQUEST).request_id == other.id


def test_a_forged_session_is_ignored(funded: DtnSession, network: LocalNetwork, cast: Cast) -> None:
    forge(network, cast, 998)

    assert DtnRescue(cast.stranger, network.ai).findings() == []


@on_live
def test_without_old_state_a_session_on_a_former_manager_is_uncertain(
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


# Client contracts.


@pytest.mark.parametrize("is_created", [True, False])
def test_balances_of_the_client_are_swept(
    rescuing: DtnRescue,
    network: LocalNetwork,
    cast: Cast,
    balances: Balances,
    token: Token,
    is_created: bool,
) -> None:
    if is_created:
        DtnSession.start("1", cast.customer, network.ai, method="allowance").close()
    provider, before = network.ai.provider, balances.of(cast.customer)
    send(network, cast.customer, token.address, ERC20.transfer, rescuing.client, 12)
    give(network, cast.stranger, rescuing.client, 10**18 + 1)
    other = create_token(provider, cast.owner, FeeToken.USDC)
    fund(provider, cast.owner, other, rescuing.client, 5)

    found = rescuing.findings(tokens=[other.lower()])

    assert kinds(found) == [Kind.CLIENT_TOKENS, Kind.CLIENT_TOKENS, Kind.CLIENT_NATIVE]
    assert {finding.remedy for finding in found} == {Remedy.SWEEP}
    assert [str(finding.amount) for finding in found] == [
        "0.000012 USDT",
        "0.000005 USDC",
        "1.000000000000000001 ETH",
    ]
    without_token = rescuing.findings()
    assert kinds(without_token) == [Kind.CLIENT_TOKENS, Kind.CLIENT_NATIVE, Kind.UNKNOWN_TOKENS]
    unknown = without_token[-1]
    assert (unknown.contract, unknown.amount, unknown.remedy) == (other, None, None)
    assert f"holds the token {other}" in unknown.explanation
    wei_before = wei_of(network, rescuing.owner)
    assert [rescuing.apply(finding) for finding in found] == [finding.amount for finding in found]
    assert balances.of(cast.customer) == before
    assert wei_before + 10**18 - wei_of(network, rescuing.owner) < 10**17  # less gas
    assert wei_of(network, rescuing.client) == 0
    assert rescuing.findings(tokens=[other]) == []


def test_forged_transfers_and_hostile_tokens_are_ignored(
    rescuing: DtnRescue, network: LocalNetwork, cast: Cast, funded: DtnSession
) -> None:
    endless = Function("Error(string)").selector + encode(["uint256"] * 2, [32, 2**255])
    parties = (
        bytes(12) + bytes.fromhex(address[2:]) for address in (rescuing.owner, rescuing.client)
    )
    topics = [ERC20.transferred.topic, *(topic(address) for address in parties)]
    for forged in (
        bytecode.emitting(topics, encode(["uint256"], [7])),
        bytecode.emitting([*topics, topic(7)], b""),
        # One reverts with a reason of impossible length, the other uses all its gas.
        *(
            bytecode.emitting(topics, encode(["uint256"], [1]), leaving=code)
            for code in (bytecode.reverting(endless), bytes.fromhex("5b5f56"))
        ),
    ):
        transactions.create(network.ai.provider, cast.stranger, forged)

    (finding,) = rescuing.findings()

    assert (finding.kind, finding.session_id) == (Kind.OPEN_SESSION, funded.id)


def test_an_address_without_token_is_rejected(rescuing: DtnRescue, cast: Cast) -> None:
    with pytest.raises(NoContractAtAddress):
        rescuing.findings(tokens=[str(cast.worker.address)])


def test_an_allowance_is_reported(
    rescuing: DtnRescue, network: LocalNetwork, cast: Cast, token: Token
) -> None:
    send(network, cast.customer, token.address, ERC20.approve, rescuing.client, 9)

    (finding,) = rescuing.findings()

    assert (finding.kind, finding.amount) == (Kind.ALLOWANCE, token.units(9))
    assert "Nothing is lost." in finding.explanation
    assert finding.remedy is None


# Everything together.


def test_everything_is_recovered_to_the_unit(
    rescuing: DtnRescue,
    network: LocalNetwork,
    cast: Cast,
    balances: Balances,
    token: Token,
) -> None:
    before = balances.of(cast.customer)
    own = DtnSession.start("25", cast.customer, network.ai)
    by_client = DtnSession.start("7", cast.customer, network.ai, method="allowance")
    requests = [own.request(PROMPT), by_client.request(PROMPT)]
    network.node.answer_pending()
    spent = requests[0].cost() + requests[1].cost()
    own.request(PROMPT, nodes=["node.no.body"], may_never_complete=True)
    send(network, cast.customer, token.address, ERC20.transfer, rescuing.client, 12)
    deposit(network, cast.customer, 3_000_000)

    for finding in rescuing.findings():
        if finding.remedy:
            rescuing.apply(finding, force=True, claim=True)
    (claimed,) = [finding for finding in rescuing.findings() if finding.remedy is Remedy.CLOSE]
    rescuing.apply(claimed)

    assert balances.of(cast.customer) == before - spent
    assert balances.of(rescuing.client).units == 0
    found = {finding.kind for finding in rescuing.findings()}
    assert found == {Kind.ANSWER, Kind.UNANSWERABLE_REQUEST}


def test_findings_convert_to_plain_data(
    funded: DtnSession, rescuing: DtnRescue, network: LocalNetwork, cast: Cast
) -> None:
    request = funded.request(PROMPT)

    session, pending = to_json([finding_fields(finding) for finding in rescuing.findings()])

    assert session["kind"] == "open_session"
    assert session["amount"]["value"] == "25.00"
    assert (session["remedy"], session["session"]) == ("close", funded.id)
    assert session["requests"] == [request.id]
    assert (pending["kind"], pending["request"]) == ("pending_request", request.id)
    assert (pending["amount"], pending["remedy"]) == (None, None)


def test_findings_are_the_same_with_endpoint_limits(
    rescuing: DtnRescue,
    network: LocalNetwork,
    cast: Cast,
    through: Through,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(3):
        DtnSession.start("1", cast.customer, network.ai).request(PROMPT)
    deposit(network, cast.customer, 5)
    expected = rescuing.findings()

    monkeypatch.setattr(session_index, "MOST_ALTERNATIVES", 2)
    with through(blocks_at_most(5)) as ai:
        ai.deployment = network.ai.deployment  # the scan begins at its first block
        assert DtnRescue(cast.customer, ai).findings() == expected
    assert len(expected) == 3 + 1 + 3


@pytest.mark.parametrize("sessions_open", [1, 100])
def test_the_number_of_http_requests_does_not_depend_on_the_number_of_sessions(
    network: LocalNetwork, cast: Cast, sessions_open: int
) -> None:
    provider = network.ai.provider
    open_sessions(network.ai, cast.customer, sessions_open, units=300_000)
    sessions = DtnSession.list(cast.customer, network.ai)
    drafts = [session.draft(PROMPT, account=cast.customer) for session, _ in sessions]
    mine_together(provider, [(cast.customer, draft.transaction()) for draft in drafts])
    give(network, cast.stranger, client_of(str(cast.customer.address)), 1)

    counter = RpcCounter(str(provider.http_uri), refuse=TRACES)
    with counter, connected_to(counter.url) as counted:
        rescuing = DtnRescue(str(cast.customer.address), DtnAi(network.ai.router, counted))
        with counter.counting() as count:
            found = rescuing.findings()

    assert count.http == 12
    assert count.methods["eth_getLogs"] == 6
    open_found = [finding for finding in found if finding.kind is Kind.OPEN_SESSION]
    assert [finding.session_id for finding in open_found] == [session.id for session, _ in sessions]
    assert {len(finding.requests) for finding in open_found} == {1}
    assert kinds(found).count(Kind.PENDING_REQUEST) == sessions_open
    assert len(found) == 2 * sessions_open + 1
