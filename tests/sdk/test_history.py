"""The history and the audit of a session, also with dishonest nodes, contracts and endpoints."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rlp  # type: ignore[import-untyped]
from eth_abi import encode
from eth_utils import keccak, to_checksum_address

from ape_dtn import Callback, CallType, DtnAi, DtnSession, Status
from ape_dtn.billing.audit import LEFT_OUT, Audit, Verdict, audits, remarks
from ape_dtn.billing.history import history
from ape_dtn.billing.report import rows
from ape_dtn.billing.statement import State
from ape_dtn.chain import rpc
from ape_dtn.chain.reads import topic
from ape_dtn.chain.transactions import create, send
from ape_dtn.deployment.assemble import NODE, NODE_MODELS, NODE_USER, LocalNetwork, Variant
from ape_dtn.errors import SessionNotFound
from ape_dtn.network import deployments
from ape_dtn.network.abi import NodeManager, Router, SessionManager
from ape_dtn.types.abi import Function
from ape_dtn.types.amount import Token
from ape_dtn.types.ids import id_of
from ape_dtn.types.rpc import as_bytes, as_int
from ape_dtn.types.transactions import Transaction, contract_call
from benchmarks.chain import connected_to
from benchmarks.rpc_counter import TRACES, RpcCounter
from tests.conftest import Cast, on_live, replace_manager, use_manager

from .bytecode import calling, deploying, emitting, reverting
from .conftest import Respond, Through
from .test_logs import blocks_at_most

PROMPT = "Hello?"
MOST = "0.25"


def audited(session: DtnSession) -> Audit:
    """The only audit in the history of a session."""
    (found,) = audits(history(session.ai, session.id))
    return found


def mine_together(provider: Any, transactions: Sequence[tuple[Any, Transaction]]) -> None:
    """Mines transactions of unlocked accounts together, in as few blocks as possible."""
    rpc.result(provider, "evm_setAutomine", [False])
    try:
        sent = rpc.ask(
            provider,
            [
                (
                    "eth_sendTransaction",
                    [
                        {
                            "from": str(account.address),
                            "to": transaction.to,
                            "data": "0x" + transaction.data.hex(),
                            "value": hex(transaction.value),
                            "gas": hex(900_000),
                            "gasPrice": hex(10**12),
                        }
                    ],
                )
                for account, transaction in transactions
            ],
        )
        asked = [("eth_getTransactionReceipt", [rpc.expect(answer)]) for answer in sent]
        for _ in range(50):
            rpc.result(provider, "evm_mine", [])
            receipts = rpc.ask(provider, asked)
            if all(receipts):
                break
        assert {as_int(receipt["status"]) for receipt in receipts} == {1}
    finally:
        rpc.result(provider, "evm_setAutomine", [True])


def response(
    network: LocalNetwork, request_id: str, text: str = "Yes.", node: str = NODE
) -> Transaction:
    """An honest response of a node."""
    data, asked = encode(["string"], [text]), 160  # the size of the encoded PROMPT
    return contract_call(
        network.ai.router,
        Router.respond_to_request,
        *(id_of(request_id, "request"), Status.SUCCESS, "", data),
        *(id_of(node, "node"), asked, len(data)),
    )


# Courses of a session.


def test_an_honest_session(funded: DtnSession, network: LocalNetwork, cast: Cast) -> None:
    request = funded.request(PROMPT)
    network.node.answer_pending()
    cost = request.cost()
    refund = funded.close()

    found = audited(funded)
    session = found.session
    (asked,), (charge,) = session.requests, session.charges
    (answer,) = asked.responses

    assert (session.owner, str(session.opened_with)) == (cast.customer.address, "25.00 USDT")
    assert (session.charged, session.refund, session.balance.units) == (cost, refund, 0)
    assert session.closed is not None
    assert (asked.id, asked.state, asked.user) == (request.id, State.ANSWERED, request.record.user)
    assert asked.model == "model.system.openai-gpt-5-nano"
    assert (answer.node, answer.status, answer.message) == (NODE, Status.SUCCESS, "")
    assert answer.bytes_answered == len(request.record.response)
    assert answer.charge == charge
    assert (charge.amount, charge.to, charge.left) == (cost, cast.worker.address, refund)
    assert charge.request_id == request.id
    moments = [session.opened, asked.at, charge.at, answer.at, session.closed]
    assert moments == sorted(moments, key=lambda moment: moment.order)
    (finding,) = found.findings
    assert (finding.verdict, finding.fair) == (Verdict.FAIR, cost)
    assert (found.overcharged.units, found.difference.units) == (0, 0)


def test_times_are_block_timestamps(funded: DtnSession) -> None:
    request = funded.request(PROMPT)
    found = history(funded.ai, funded.id)

    (asked,) = found.session.requests
    block = rpc.result(funded.ai.provider, "eth_getBlockByNumber", [hex(asked.at.block), False])  # type: ignore[arg-type]
    assert asked.id == request.id
    assert asked.at.time.timestamp() == as_int(block["timestamp"])
    assert asked.at.transaction == "0x" + as_bytes(block["transactions"][0]).hex()
    assert found.as_of.block == asked.at.block


def test_a_node_that_overcharges_is_named(
    funded: DtnSession, respond: Respond, token: Token
) -> None:
    request = funded.request(PROMPT)
    data = encode(["string"], ["short"])
    respond(request, data, sizes=(10**12, 10**12))
    fair = token.units((request.record.bytes_asked + len(data)) * 10)

    found = audited(funded)

    (finding,) = found.findings
    assert (finding.verdict, finding.fair) == (Verdict.OVERCHARGED, fair)
    assert finding.overcharge == token.amount(MOST) - fair
    (node,) = found.nodes
    assert (node.node, node.responses, node.not_judged) == (NODE, 1, 0)
    assert (node.charged, node.overcharged) == (token.amount(MOST), finding.overcharge)
    assert found.overcharged == finding.overcharge
    assert found.difference.units == 0


@pytest.mark.parametrize(
    ("more", "verdict"),
    [(0, Verdict.FAIR), (1, Verdict.OVERCHARGED), (-1, Verdict.CHARGED_LESS)],
)
def test_an_overcharge_of_one_byte_is_detected(
    funded: DtnSession, respond: Respond, more: int, verdict: Verdict
) -> None:
    request = funded.request(PROMPT)
    data = encode(["string"], ["short"])
    respond(request, data, sizes=(request.record.bytes_asked, len(data) + more))

    (finding,) = audited(funded).findings

    assert finding.verdict is verdict
    assert finding.overcharge is not None
    assert finding.overcharge.units == max(more, 0) * 10


@pytest.mark.parametrize(("more", "verdict"), [(0, Verdict.FAIR), (5, Verdict.OVERCHARGED)])
def test_a_failure_costs_one_unit_per_byte(
    funded: DtnSession, respond: Respond, more: int, verdict: Verdict
) -> None:
    request = funded.request(PROMPT)
    asked = request.record.bytes_asked
    respond(request, b"why", Status.FAILURE, "P0011: Call not parsable", (asked + more, 3))

    found = audited(funded)

    (asked_for,), (finding,) = found.session.requests, found.findings
    assert (asked_for.state, finding.response.status) == (State.FAILED, Status.FAILURE)
    assert finding.response.message == "P0011: Call not parsable"
    assert finding.fair is not None
    assert (finding.fair.units, finding.verdict) == (asked + 3, verdict)
    assert found.overcharged.units == more


def test_an_unknown_status_is_a_failure(funded: DtnSession, respond: Respond) -> None:
    respond(funded.request(PROMPT), status=Status.PENDING)

    (asked,) = audited(funded).session.requests

    assert asked.state is State.FAILED
    assert asked.responses[0].status is Status.FAILURE


def test_no_charge_above_max_cost_is_fair(funded: DtnSession, respond: Respond) -> None:
    request = funded.request(PROMPT, max_cost="0.0002", fee_per_byte="0.000001")
    data = encode(["string"], ["x" * 2000])
    respond(request, data, sizes=(0, 10**9))

    (finding,) = audited(funded).findings

    assert finding.fair is not None
    assert (finding.fair.units, finding.verdict) == (200, Verdict.FAIR)


def test_a_charge_above_the_balance_is_balance_short(
    local_networks: dict[Variant, LocalNetwork], cast: Cast
) -> None:
    network = local_networks[Variant.LIVE]
    network.node.forget()
    session = DtnSession.start("0.30", cast.customer, network.ai)
    checked = session.draft(PROMPT, fee_per_byte="0.001")
    mine_together(network.ai.provider, [(cast.customer, checked.transaction()) for _ in range(2)])
    network.node.answer_pending()

    found = audited(session)

    charged = [str(charge.amount) for charge in found.session.charges]
    verdicts = [finding.verdict for finding in found.findings]
    assert charged == ["0.25 USDT", "0.05 USDT"]
    assert verdicts == [Verdict.FAIR, Verdict.BALANCE_SHORT]
    assert (found.session.balance.units, found.difference.units) == (0, 0)


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILURE])
def test_a_reverted_callback_is_reported(
    funded: DtnSession, respond: Respond, cast: Cast, status: Status
) -> None:
    code = deploying(reverting(Function("Error(string)").encode("not now")))
    target = create(funded.ai.provider, cast.customer, code)
    request = funded.request(PROMPT, callback=Callback(target, "a(bytes32)", "b(bytes32)", 100_000))
    respond(request, encode(["string"], ["Yes."]), status)

    (asked,) = audited(funded).session.requests

    (answer,) = asked.responses
    assert answer.status is status
    assert answer.callback_error == "not now"


def test_a_successful_callback_has_no_error(funded: DtnSession, network: LocalNetwork) -> None:
    manager, read = funded.ai.contracts().model_manager, "modelExists(bytes32)"
    funded.request(PROMPT, callback=Callback(manager, read, read, 100_000))
    network.node.answer_pending()

    (asked,) = audited(funded).session.requests

    assert asked.responses[0].callback_error is None


def test_open_requests_and_what_they_may_still_cost(
    funded: DtnSession, network: LocalNetwork, token: Token
) -> None:
    funded.request(PROMPT)
    network.node.answer_pending()
    waiting = [funded.request(PROMPT, max_cost=max_cost) for max_cost in ("0.03", "0.04")]

    found = history(funded.ai, funded.id)

    states = [request.state for request in found.session.requests]
    assert states == [State.ANSWERED, State.PENDING, State.PENDING]
    assert [request.id for request in found.session.requests if request.is_open] == [
        request.id for request in waiting
    ]
    assert found.may_still_cost == token.amount("0.07")
    assert found.charged + found.session.balance == token.amount("25")


def test_closing_strands_open_requests(funded: DtnSession) -> None:
    request = funded.request(PROMPT)
    funded.close(force=True)

    found = history(funded.ai, funded.id)

    (asked,) = found.session.requests
    assert (asked.id, asked.state, asked.responses) == (request.id, State.STRANDED, ())
    assert found.may_still_cost.units == 0


def test_a_session_without_requests(funded: DtnSession) -> None:
    found = audited(funded)

    assert (found.session.requests, found.session.charges, found.nodes) == ((), (), ())
    assert found.session.balance == found.session.opened_with


@pytest.mark.parametrize("session_id", [999, 2**256 - 1, 2**256, -1])
def test_an_unknown_session_is_not_found(network: LocalNetwork, session_id: int) -> None:
    with pytest.raises(SessionNotFound):
        history(network.ai, session_id)


def test_an_answer_over_ipfs_is_judged_by_its_content(funded: DtnSession, respond: Respond) -> None:
    request = funded.request(PROMPT, call_type=CallType.IPFS)
    cid = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
    respond(request, encode(["string"], [cid]), sizes=(request.record.bytes_asked, 1000))

    (alone,) = audited(funded).findings
    with_content = history(funded.ai, funded.id, {request.id: b"x" * 900})
    (judged,) = audits(with_content)[0].findings

    assert (alone.verdict, alone.fair, alone.overcharge) == (Verdict.NOT_JUDGED, None, None)
    assert "on IPFS" in alone.why_not
    assert (judged.verdict, judged.response.bytes_answered) == (Verdict.OVERCHARGED, 900)
    assert judged.overcharge is not None
    assert judged.overcharge.units == 100 * 10


def test_a_failure_over_ipfs_has_no_content(funded: DtnSession, network: LocalNetwork) -> None:
    funded.request(PROMPT, call_type=CallType.IPFS)
    network.node.answer_pending()

    (finding,) = audited(funded).findings

    assert finding.verdict is Verdict.FAIR


@on_live
def test_responses_before_the_last_are_charged_and_not_judged(
    funded: DtnSession, network: LocalNetwork, token: Token
) -> None:
    funded.request(PROMPT, redundancy=2, may_never_complete=True)
    network.node.answer_pending()

    found = history(funded.ai, funded.id)

    (asked,) = found.session.requests
    (finding,) = audits(found)[0].findings
    assert (asked.state, len(asked.responses)) == (State.PENDING, 1)
    assert finding.verdict is Verdict.NOT_JUDGED
    assert finding.why_not == "the router did not keep the response"
    assert found.charged.units > 0
    assert found.may_still_cost == token.amount(MOST)


# Several requests in one block or transaction.


def test_requests_of_one_block_with_the_same_id(
    funded: DtnSession, network: LocalNetwork, cast: Cast, variant: Variant
) -> None:
    checked = funded.draft(PROMPT, user=str(cast.customer.address))
    mine_together(network.ai.provider, [(cast.customer, checked.transaction())] * 2)
    network.node.answer_pending()

    first, second = audited(funded).session.requests

    assert first.at.block == second.at.block
    assert second.state is State.ANSWERED
    if variant is Variant.REFERENCE:
        assert (first.state, first.id == second.id) == (State.ANSWERED, False)
    else:
        assert (first.state, first.id == second.id) == (State.REPLACED, True)
        assert (first.responses, first.record, len(second.responses)) == ((), None, 1)


def test_answers_of_one_block_have_their_own_charges(
    funded: DtnSession, network: LocalNetwork, cast: Cast
) -> None:
    ids = [funded.request(PROMPT).id for _ in range(3)]
    texts = ["Yes.", "Yes, and " * 20, "No."]
    answers = [response(network, *pair) for pair in zip(ids, texts, strict=True)]
    mine_together(network.ai.provider, [(cast.worker, answer) for answer in answers])

    found = audited(funded)

    assert len({charge.at.block for charge in found.session.charges}) == 1
    assert [finding.request.id for finding in found.findings] == ids
    assert {finding.verdict for finding in found.findings} == {Verdict.FAIR}
    assert len({finding.fair for finding in found.findings}) == 2


@pytest.fixture
def batch_node(network: LocalNetwork, cast: Cast) -> str:
    """A node whose worker is the next contract that the worker's account creates."""
    name, sender = f"node.{NODE_USER}.batch", bytes.fromhex(cast.worker.address[2:])
    worker = to_checksum_address(keccak(rlp.encode([sender, cast.worker.nonce]))[12:])
    manager = network.ai.contracts().node_manager
    models = [id_of(model, "model") for model in NODE_MODELS]
    for transaction in (
        contract_call(manager, NodeManager.register_node, NODE_USER, "batch", worker),
        contract_call(manager, NodeManager.set_node_models, id_of(name, "node"), models),
    ):
        send(network.ai.provider, cast.owner, transaction)
    return name


def test_answers_of_one_transaction_have_their_own_charges(
    funded: DtnSession, network: LocalNetwork, cast: Cast, batch_node: str
) -> None:
    provider = network.ai.provider
    # Their callbacks emit false charges.
    topics = [SessionManager.session_charged.topic, topic(funded.id), topic(7)]
    code = deploying(emitting(topics, (10**9).to_bytes(32, "big")))
    liar = Callback(create(provider, cast.stranger, code), "x()", "x()", gas=100_000)
    options: Any = {"nodes": [batch_node], "callback": liar}
    ids = [funded.request(PROMPT, **options).id for _ in range(2)]
    answers = [
        response(network, request_id, text, batch_node)
        for request_id, text in zip(ids, ["Yes.", "Yes, and " * 20], strict=True)
    ]
    batch = calling(*((network.ai.router, answer.data) for answer in answers))
    send(provider, cast.worker, Transaction(None, batch, gas_limit=3_000_000))

    found = audited(funded)

    assert len({charge.at.transaction for charge in found.session.charges}) == 1
    assert [charge.request_id for charge in found.session.charges] == ids
    assert {request.state for request in found.session.requests} == {State.ANSWERED}
    assert {finding.verdict for finding in found.findings} == {Verdict.FAIR}
    assert len({finding.fair for finding in found.findings}) == 2
    assert found.difference.units == 0


@pytest.mark.parametrize("how_many", [1, 100])
def test_a_history_takes_seven_http_requests(
    funded: DtnSession, network: LocalNetwork, cast: Cast, how_many: int
) -> None:
    provider = network.ai.provider
    checked = funded.draft(PROMPT, max_cost="0.01")
    mine_together(provider, [(cast.customer, checked.transaction()) for _ in range(how_many)])
    ids = [request.id for request in history(network.ai, funded.id).session.requests]
    mine_together(provider, [(cast.worker, response(network, request_id)) for request_id in ids])

    counter = RpcCounter(str(provider.http_uri), refuse=TRACES)
    with counter, connected_to(counter.url) as counted:
        ai = DtnAi(network.ai.router, counted)
        with counter.counting() as count:
            (found,) = audits(history(ai, funded.id))

    assert count.http == 7
    assert count.methods["eth_getLogs"] == 2
    assert len({request.id for request in found.session.requests}) == how_many
    assert [finding.verdict for finding in found.findings] == [Verdict.FAIR] * how_many
    assert found.difference.units == 0


# Replaced session managers.


def session_of_id(session_id: int, cast: Cast, ai: DtnAi) -> DtnSession:
    """Starts a session of the stranger with an id, under the present session manager."""
    while (found := DtnSession.start("3", cast.stranger, ai)).id < session_id:
        pass
    assert found.id == session_id
    return found


@on_live
def test_an_id_under_two_session_managers_is_two_sessions(
    funded: DtnSession, network: LocalNetwork, cast: Cast
) -> None:
    before = network.ai.contracts().session_manager
    asked = [funded.request(PROMPT)]
    network.node.answer_pending()
    asked.append(funded.request(PROMPT))
    manager = replace_manager(network, cast)
    alone = history(network.ai, funded.id)
    again = session_of_id(funded.id, cast, network.ai)
    asked_again = again.request(PROMPT)

    (old,) = alone.sessions
    assert (old.manager, old.is_current, old.is_usable) == (before, False, False)
    assert [request.state for request in old.requests] == [State.ANSWERED, State.STRANDED]

    found = history(network.ai, funded.id)
    assert found.left_out == ()
    assert [session.manager for session in found.sessions] == [before, manager]
    assert [session.is_current for session in found.sessions] == [False, True]
    assert [session.owner for session in found.sessions] == [
        cast.customer.address,
        cast.stranger.address,
    ]
    assert [str(session.opened_with) for session in found.sessions] == ["25.00 USDT", "3.00 USDT"]
    ids = [[request.id for request in session.requests] for session in found.sessions]
    assert ids == [[request.id for request in asked], [asked_again.id]]
    assert found.session.manager == manager
    assert [audit.difference.units for audit in audits(found)] == [0, 0]
    assert all(session.manager in found.html() for session in found.sessions)


def test_an_old_request_is_paid_by_the_session_with_its_id_now(
    local_networks: dict[Variant, LocalNetwork], cast: Cast
) -> None:
    network = local_networks[Variant.LIVE]
    network.node.forget()
    victim = DtnSession.start("25", cast.customer, network.ai)
    request = victim.request(PROMPT)
    replace_manager(network, cast)
    again = session_of_id(victim.id, cast, network.ai)
    open_before = history(network.ai, again.id)
    network.node.answer_pending()

    old, new = audits(history(network.ai, again.id))

    assert open_before.sessions[0].requests[0].state is State.PENDING
    assert str(open_before.may_still_cost) == "0.25 USDT"
    assert any("requests of other sessions" in remark.text for remark in remarks(new))
    ((asked,), (charge,)) = old.session.requests, new.session.charges
    assert (asked.id, asked.state) == (request.id, State.ANSWERED)
    assert (asked.responses[0].charge, charge.request_id) == (charge, request.id)
    assert (old.session.charges, new.session.other_charges) == ((), [charge])
    assert (old.findings, [finding.verdict for finding in new.findings]) == ((), [Verdict.FAIR])
    assert [old.difference.units, new.difference.units] == [0, 0]


@on_live
def test_a_session_manager_that_is_restored(
    funded: DtnSession, network: LocalNetwork, cast: Cast
) -> None:
    before = network.ai.contracts().session_manager
    replace_manager(network, cast)
    other = session_of_id(funded.id, cast, network.ai).request(PROMPT)
    use_manager(network, cast, before)
    own = funded.request(PROMPT)

    first, second = history(network.ai, funded.id).sessions

    assert [request.id for request in first.requests] == [own.id]
    assert [request.id for request in second.requests] == [other.id]
    assert (first.is_current, second.is_current) == (True, False)
    assert history(network.ai, funded.id).session == first


def forge(network: LocalNetwork, cast: Cast, session_id: int) -> str:
    """Deploys a contract that emits the start of a session, and returns its address."""
    owner = bytes(12) + bytes.fromhex(cast.stranger.address[2:])
    topics = [SessionManager.session_started.topic, topic(session_id), topic(owner)]
    code = emitting(topics, (10**12).to_bytes(32, "big"))
    return create(network.ai.provider, cast.stranger, code)


def test_a_forged_session_is_ignored(funded: DtnSession, network: LocalNetwork, cast: Cast) -> None:
    request = funded.request(PROMPT)
    forge(network, cast, funded.id)

    found = history(network.ai, funded.id)

    assert [session.owner for session in found.sessions] == [cast.customer.address]
    assert [request.id for request in found.session.requests] == [request.id]
    assert (found.left_out, found.unplaced) == ((), ())
    forge(network, cast, 998)
    with pytest.raises(SessionNotFound):
        history(network.ai, 998)


def forgetful(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
    """An endpoint that has the state of the latest two blocks only."""
    asked = json.loads(body)
    calls = asked if isinstance(asked, list) else [asked]
    head = int(json.loads(ask(_body("eth_blockNumber")))["result"], 16)
    answers = []
    for call in calls:
        block = call["params"][-1] if call["method"] == "eth_call" else "latest"
        if block != "latest" and int(block, 16) < head - 1:
            error = {"code": -32000, "message": "missing trie node 5e5e (path ) state is pruned"}
            answers.append({"jsonrpc": "2.0", "id": call["id"], "error": error})
        else:
            answers.append(json.loads(ask(json.dumps(call).encode())))
    return json.dumps(answers if isinstance(asked, list) else answers[0]).encode()


def _body(method: str, *params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


@on_live
def test_without_old_state_doubtful_contracts_are_left_out(
    funded: DtnSession, network: LocalNetwork, cast: Cast, through: Through
) -> None:
    before = network.ai.contracts().session_manager
    old = funded.request(PROMPT)
    replace_manager(network, cast)
    forged = forge(network, cast, funded.id)
    new = session_of_id(funded.id, cast, network.ai).request(PROMPT)
    mine_blocks(network, 3)

    with through(forgetful) as ai:
        found = history(ai, funded.id)
        ai.deployment = replace(ai.deployment, session_managers=(before,))
        known = history(ai, funded.id)

    assert [session.is_current for session in found.sessions] == [True]
    assert [request.id for request in found.session.requests] == [new.id]
    assert found.left_out == (before, forged)
    assert found.unplaced == ()  # it is older than the only listed session
    assert known.sessions[0].manager == before
    assert [request.id for request in known.sessions[0].requests] == [old.id]
    assert known.left_out == (forged,)
    assert LEFT_OUT in found.html()
    assert forged in found.html()


def mine_blocks(network: LocalNetwork, how_many: int) -> None:
    for _ in range(how_many):
        rpc.result(network.ai.provider, "evm_mine", [])


@on_live
def test_requests_of_left_out_sessions_are_listed(
    funded: DtnSession, network: LocalNetwork, cast: Cast, through: Through
) -> None:
    request = funded.request(PROMPT)
    replace_manager(network, cast)
    mine_blocks(network, 3)

    with through(forgetful) as ai:
        found = history(ai, funded.id)

    assert (found.sessions, len(found.left_out)) == ((), 1)
    assert [(request.id, request.state) for request in found.unplaced] == [
        (request.id, State.STRANDED)
    ]
    assert [row["request"] for row in rows(found)] == [request.id]
    assert "Requests of sessions that are left out" in found.html()
    with pytest.raises(SessionNotFound):
        _ = found.session


def test_an_old_deployment_record_has_no_session_managers(
    network: LocalNetwork, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("APE_DTN_LOCAL_FOLDER", str(tmp_path))
    provider, known = network.ai.provider, (network.ai.router,)
    deployment = replace(network.ai.deployment, session_managers=known)
    monkeypatch.setattr(deployments, "_in_this_process", {})
    deployments.remember(provider, deployment)
    monkeypatch.setattr(deployments, "_in_this_process", {})

    assert deployments.find(provider, deployment.router) == deployment
    (kept,) = (tmp_path / "dtn" / "deployments").iterdir()
    written = json.loads(kept.read_text())
    del written["session_managers"]
    kept.write_text(json.dumps(written))
    old = replace(deployment, session_managers=())
    assert deployments.find(provider, deployment.router) == old


# Endpoints that withhold events.


def test_withheld_charges_are_detected(
    funded: DtnSession, network: LocalNetwork, through: Through
) -> None:
    request = funded.request(PROMPT)
    network.node.answer_pending()
    cost = request.cost()
    charged = SessionManager.session_charged.topic

    def withholding(body: bytes, ask: Callable[[bytes], bytes]) -> bytes:
        answer = json.loads(ask(body))
        if b"eth_getLogs" in body:
            answer["result"] = [log for log in answer["result"] if log["topics"][0] != charged]
        return json.dumps(answer).encode()

    with through(withholding) as ai:
        (found,) = audits(history(ai, funded.id))

    (finding,) = found.findings
    assert found.difference == cost
    assert remarks(found)[0].text.startswith(f"{cost} is not accounted for: opened with 25.00 USDT")
    assert found.session.requests[0].state is State.ANSWERED
    assert (finding.response.charge, finding.verdict) == (None, Verdict.NOT_JUDGED)
    assert finding.response.at.time.timestamp() == request.record.answered_at
    assert finding.response.at.transaction is None


def test_small_block_ranges_give_the_same_history(
    funded: DtnSession, network: LocalNetwork, through: Through
) -> None:
    for _ in range(3):
        funded.request(PROMPT)
        network.node.answer_pending()
    funded.close()

    with through(blocks_at_most(5)) as ai:
        ai.deployment = network.ai.deployment  # with the names of models and nodes
        assert history(ai, funded.id) == history(network.ai, funded.id)


SCRIPT = """
import json
import ape
from ape_dtn import DtnSession
from ape_dtn.billing.history import history
from ape_dtn.deployment.assemble import Variant, deploy, fund

found = {}
with ape.networks.ethereum.local.use_provider("test"):
    owner, worker, customer = ape.accounts.test_accounts[:3]
    for variant in Variant:
        network = deploy(owner, worker, variant)
        fund(network.ai.provider, owner, network.token, str(customer.address), 10_000_000)
        with DtnSession.start("1.00", customer, network.ai) as session:
            session.request("Hello?")
            network.node.answer_pending()
        found[variant.name] = history(network.ai, session.id).as_dict()
print(json.dumps(found))
"""


def test_the_in_process_chain_gives_the_same_history() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])

    for variant in Variant:
        (session,) = found[variant.name]["sessions"]
        (request,) = session["requests"]
        (answer,) = request["responses"]
        assert (answer["node"], answer["verdict"]) == (NODE, "fair")
        assert session["difference"]["units"] == "0"
        assert session["charged"] == answer["charged"] != session["refund"]
