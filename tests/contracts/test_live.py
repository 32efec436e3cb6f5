"""Behaviour of the live contracts that costs users money or time.

The line numbers in names of tests, up to 15, are those of the list in docs/threat-model.md.
"""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import decode, encode
from eth_abi.packed import encode_packed
from eth_utils import keccak

from ape_dtn import artifacts
from ape_dtn.chain import rpc
from ape_dtn.deployment.assemble import NODE
from ape_dtn.errors import (
    CallbackGasMissing,
    ContractReverted,
    DtnError,
    ModelNotFound,
    NothingDeposited,
    RequestPending,
    SessionNotFound,
)
from ape_dtn.network.abi import NodeManager, Router, SessionManager
from ape_dtn.node.answering import NOT_PARSABLE
from ape_dtn.types.abi import Function
from tests.conftest import Cast

from .conftest import (
    ALL,
    ANY,
    DIRECT,
    FAILURE,
    IPFS,
    MODEL,
    NA,
    NOBODY,
    NODE_ID,
    RANK,
    SELECT_BEST,
    SUCCESS,
    VOTE,
    Ask,
    Net,
    Reply,
    raw,
    refused,
    storage_at,
)

NOT_RELATED = "Session not related to the user"
NOT_TRUSTED = "Node does not have required trust namespace"
YEAR = 365 * 24 * 60 * 60
TRUST = "trust.system.authored"


# 1. A deposit is anonymous.


def test_line_1_a_stranger_takes_a_deposit(deployed: Net, cast: Cast) -> None:
    deployed.deposit(cast.customer, 500)

    taken = deployed.start(cast.stranger)

    assert deployed.session(taken) == (cast.stranger.address, 500)
    with refused(NothingDeposited, "InvalidAmount()"):
        deployed.start(cast.customer)


def test_line_1_two_deposits_go_to_the_first_caller(deployed: Net, cast: Cast) -> None:
    deployed.deposit(cast.customer, 500)
    deployed.deposit(cast.stranger, 300)

    first = deployed.start(cast.stranger)

    assert deployed.session(first) == (cast.stranger.address, 800)
    with refused(NothingDeposited, "InvalidAmount()"):
        deployed.start(cast.customer)


def test_line_1_balances_of_sessions_are_not_deposits(deployed: Net, cast: Cast) -> None:
    theirs = deployed.open(cast.customer, 500)

    mine = deployed.open(cast.stranger, 300)

    assert deployed.balance(theirs) == 500
    assert deployed.balance(mine) == 300


def test_line_1_a_transfer_and_a_start_in_one_transaction_are_safe(
    deployed: Net, cast: Cast, project: Any
) -> None:
    arguments = (deployed.router, "model.system.openai-gpt-5-nano", NODE, 1, 1_000)
    consumer = project.StartSession.deploy(*arguments, sender=cast.customer)
    deployed.fund(consumer, 500)

    consumer.start(sender=cast.customer)

    assert deployed.session(consumer.sessionId()) == (consumer.address, 500)


# 2. Nothing deposited.


def test_line_2_a_start_with_nothing_deposited_reverts(deployed: Net, cast: Cast) -> None:
    with refused(NothingDeposited, "InvalidAmount()"):
        deployed.start(cast.customer)


# 3. Request ids collide.


def test_line_3_a_request_id_is_made_of_time_session_user_and_caller(
    deployed: Net, cast: Cast
) -> None:
    session = deployed.open(cast.customer)

    request = deployed.ask(cast.customer, session, user=cast.stranger.address)

    kinds = ["uint256", "uint256", "address", "address"]
    values = [deployed.time, session, cast.stranger.address, cast.customer.address]
    assert request == keccak(encode_packed(kinds, values))


def test_line_3_the_second_of_two_requests_in_a_block_overwrites_the_first(
    deployed: Net, cast: Cast
) -> None:
    session = deployed.open(cast.customer)
    before = deployed.read(deployed.router, Router.get_pending_requests_length)

    first, second = deployed.ask_in_one_block(
        (cast.customer, session, Ask(call=b"first", most=1)),
        (cast.customer, session, Ask(call=b"second", most=2)),
    )

    assert first == second
    after = deployed.read(deployed.router, Router.get_pending_requests_length)
    assert after == before + 2
    page = deployed.read(deployed.router, Router.get_pending_requests, before, after)
    assert page == (second, second)
    asked = deployed.record(second)[5]
    assert (asked[0], asked[-1]) == (b"second", 2)


def test_line_3_of_two_requests_of_one_id_only_one_is_answered(deployed: Net, cast: Cast) -> None:
    session = deployed.open(cast.customer)
    request, _ = deployed.ask_in_one_block(
        (cast.customer, session, Ask(call=b"first")),
        (cast.customer, session, Ask(call=b"second")),
    )

    deployed.reply(request)

    with refused(ContractReverted, "Request already completed"):
        deployed.reply(request)


def test_line_3_a_request_that_was_answered_in_its_block_is_overwritten_too(
    deployed: Net, cast: Cast
) -> None:
    session, at = deployed.open(cast.customer), deployed.time + 60
    kinds = ["uint256", "uint256", "address", "address"]
    request = keccak(encode_packed(kinds, [at, session, NOBODY, cast.customer.address]))
    asking = (cast.customer, deployed.router, Router.request, Ask().arguments(session))
    reply = Reply().arguments(request)
    rpc.result(deployed.provider, "evm_setNextBlockTimestamp", [at])

    asked, answered, again = deployed.send_in_one_block(
        asking, (cast.worker, deployed.router, Router.respond_to_request, reply), asking
    )

    assert [int(receipt["status"], 16) for receipt in (asked, answered, again)] == [1, 1, 1]
    record = deployed.record(request)
    nothing_of_it = (NA, "", b"", b"\0" * 32, 0)
    assert (record[2], record[-2:]) == (False, (0, nothing_of_it))
    with refused(ContractReverted, "Node already responded"):  # which is still remembered
        deployed.reply(request)


@pytest.mark.parametrize("other", ["session", "user", "caller"])
def test_line_3_requests_that_differ_do_not_collide(deployed: Net, cast: Cast, other: str) -> None:
    session = deployed.open(cast.customer)
    mine = (cast.customer, session, Ask())
    another = {
        "session": lambda: (cast.customer, deployed.open(cast.customer), Ask()),
        "user": lambda: (cast.customer, session, Ask(user=cast.stranger.address)),
        "caller": lambda: (cast.stranger, deployed.open(cast.stranger), Ask()),
    }[other]()

    first, second = deployed.ask_in_one_block(mine, another)

    assert first != second


def test_line_3_requests_a_second_apart_do_not_collide(deployed: Net, cast: Cast) -> None:
    session = deployed.open(cast.customer)

    assert deployed.ask(cast.customer, session) != deployed.ask(cast.customer, session)


# 4. Session 0.


def test_line_4_session_0_does_not_open_a_session(deployed: Net, cast: Cast) -> None:
    with refused(SessionNotFound, NOT_RELATED):
        deployed.ask(cast.customer, 0)


def test_line_4_session_0_leaves_a_deposit_alone(deployed: Net, cast: Cast) -> None:
    deployed.deposit(cast.customer, 500)

    with refused(SessionNotFound, NOT_RELATED):
        deployed.ask(cast.customer, 0)

    assert deployed.balance(deployed.start(cast.customer)) == 500


# 5. The errors of sessions that one cannot use.


@pytest.fixture(params=["another's", "unknown", "closed"])
def unusable(deployed: Net, cast: Cast, request: pytest.FixtureRequest) -> tuple[int, str]:
    """A session that the customer cannot use, and its owner."""
    if request.param == "another's":
        return deployed.open(cast.stranger), cast.stranger.address
    if request.param == "unknown":
        return 2**200, NOBODY
    session = deployed.open(cast.customer)
    deployed.close(cast.customer, session)
    return session, NOBODY


def test_line_5_a_request_on_an_unusable_session(
    deployed: Net, cast: Cast, unusable: tuple[int, str]
) -> None:
    with refused(SessionNotFound, NOT_RELATED):
        deployed.ask(cast.customer, unusable[0])


def test_line_5_closing_an_unusable_session_names_the_router_and_the_owner(
    deployed: Net, cast: Cast, unusable: tuple[int, str]
) -> None:
    session, owner = unusable

    with refused(SessionNotFound, f"Unauthorized(caller={deployed.router}, owner={owner})"):
        deployed.close(cast.customer, session)


def test_line_5_the_router_alone_cannot_decode_it() -> None:
    def errors(artifact: str) -> set[str]:
        abi = artifacts.load(artifact)["abi"]
        return {entry["name"] for entry in abi if entry["type"] == "error"}

    assert "Unauthorized" in errors("LiveSessionManager")
    assert "Unauthorized" not in errors("LiveRouter")


# 6. The node states the sizes.


def cost(net: Net, cast: Cast, asked: dict[str, Any], replied: dict[str, Any]) -> int:
    """Cost of a request to a session of 1,000,000 units, all paid to the worker."""
    session = net.open(cast.customer, 1_000_000)
    worker = net.held(cast.worker)
    receipt = net.reply(net.ask(cast.customer, session, **asked), **replied)
    (charged,) = SessionManager.session_charged.find(receipt.logs)
    left = {"sessionId": session, "amount": 1_000_000 - net.balance(session)}
    assert charged == {**left, "to": cast.worker.address}
    assert net.held(cast.worker) - worker == charged["amount"]
    return int(charged["amount"])


def test_line_6_the_fee_is_sizes_times_rates(deployed: Net, cast: Cast) -> None:
    asked = {"fee_asked": 2, "fee_answered": 3, "most": 10_000}

    assert cost(deployed, cast, asked, {"asked": 10, "answered": 100}) == 10 * 2 + 100 * 3


def test_line_6_the_node_states_the_sizes(deployed: Net, cast: Cast) -> None:
    asked = {"call": b"3 B", "most": 10_000}

    assert cost(deployed, cast, asked, {"response": b"", "asked": 4_000, "answered": 5}) == 4_005


def test_line_6_the_worst_case_is_the_cap(deployed: Net, cast: Cast) -> None:
    assert cost(deployed, cast, {"most": 777}, {"asked": 10**30}) == 777


@pytest.mark.parametrize("status", [SUCCESS, FAILURE])
def test_line_6_a_short_balance_pays_the_rest(deployed: Net, cast: Cast, status: int) -> None:
    session = deployed.open(cast.customer, 50)
    request = deployed.ask(cast.customer, session, most=1_000)

    deployed.reply(request, status=status)

    assert deployed.balance(session) == 0
    assert deployed.held(cast.worker) == 50
    assert deployed.is_completed(request)


def test_line_6_a_short_balance_is_not_an_error(deployed: Net, cast: Cast) -> None:
    session = deployed.open(cast.customer, 50)
    first = deployed.ask(cast.customer, session, most=10**18)
    second = deployed.ask(cast.customer, session, most=10**18)

    deployed.reply(first)
    deployed.reply(second)

    assert deployed.fetch(second)[0] == SUCCESS
    assert deployed.held(cast.worker) == 50


def test_line_6_a_failure_costs_one_unit_a_byte(deployed: Net, cast: Cast) -> None:
    asked = {"fee_asked": 7, "fee_answered": 9, "most": 10_000}
    failed = {"status": FAILURE, "asked": 30, "answered": 4}

    assert cost(deployed, cast, asked, failed) == 34


def test_line_6_a_failure_costs_it_even_where_bytes_are_free(deployed: Net, cast: Cast) -> None:
    free = {"fee_asked": 0, "fee_answered": 0}

    assert cost(deployed, cast, free, {"status": FAILURE, "asked": 30, "answered": 4}) == 34


def test_line_6_a_failure_is_capped_as_well(deployed: Net, cast: Cast) -> None:
    assert cost(deployed, cast, {"most": 20}, {"status": FAILURE, "asked": 30}) == 20


# 7. Fees are in token units.


def test_line_7_an_18_decimal_fee_is_a_billion_dollars_a_byte(deployed: Net) -> None:
    assert str(deployed.ai.token().units(10**18 // 1000)) == "1000000000.00 USDT"


def test_line_7_one_byte_at_that_fee_takes_a_whole_session(deployed: Net, cast: Cast) -> None:
    session = deployed.open(cast.customer, 1_000_000_000)
    fee = 10**18 // 1000
    request = deployed.ask(cast.customer, session, fee_asked=fee, fee_answered=fee, most=2 * fee)

    deployed.reply(request, asked=1, answered=0)

    assert deployed.balance(session) == 0


# 8. Only ANY with redundancy 1 completes.


@pytest.mark.parametrize("aggregation", [ALL, SELECT_BEST, VOTE, RANK])
def test_line_8_no_other_aggregation_completes(deployed: Net, cast: Cast, aggregation: int) -> None:
    session = deployed.open(cast.customer)
    request = deployed.ask(cast.customer, session, aggregation=aggregation)

    with refused(ContractReverted, "Response strategy not implemented"):
        deployed.reply(request)

    assert not deployed.is_completed(request)
    assert deployed.balance(session) == 1_000_000


@pytest.mark.parametrize("aggregation", [ANY, ALL])
def test_line_8_no_other_redundancy_completes(deployed: Net, cast: Cast, aggregation: int) -> None:
    session = deployed.open(cast.customer)
    second = deployed.add_node("second", cast.stranger)
    asked = {"nodes": [NODE_ID, second], "redundancy": 2, "aggregation": aggregation}
    request = deployed.ask(cast.customer, session, **asked)

    deployed.reply(request)
    with refused(ContractReverted, "Response strategy not implemented"):
        deployed.reply(request, node=second, worker=cast.stranger)

    assert not deployed.is_completed(request)
    assert deployed.balance(session) == 1_000_000 - 200  # the first answer, which nobody can read


def test_line_8_any_with_redundancy_1_completes(deployed: Net, cast: Cast) -> None:
    request = deployed.ask(cast.customer, deployed.open(cast.customer))

    deployed.reply(request)

    assert deployed.is_completed(request)


# 9. Routing by trust namespace does not reach nodes.


def test_line_9_a_namespace_owners_signature_of_the_expiration_is_refused(
    deployed: Net, cast: Cast
) -> None:
    deployed.add_namespace(TRUST, cast.stranger)
    expiration = deployed.time + YEAR
    signature = deployed.sign_assignment(cast.stranger, TRUST, expiration)

    with refused(ContractReverted, "Invalid signature"):
        deployed.join(TRUST, expiration, signature)


@pytest.fixture
def trusted(deployed: Net, cast: Cast) -> bytes:
    """A namespace that the node has joined with a foreseen block timestamp."""
    namespace = deployed.add_namespace(TRUST, cast.stranger)
    block_time = deployed.time + 1
    signature = deployed.sign_assignment(cast.stranger, TRUST, block_time + YEAR)
    deployed.join(TRUST, block_time + YEAR, signature)
    assert deployed.time == block_time
    return namespace


def test_line_9_the_signature_covers_the_time_of_the_block_that_it_lands_in(
    deployed: Net, trusted: bytes
) -> None:
    manager = deployed.contracts.node_manager

    assert deployed.read(manager, NodeManager.node_has_trust_namespace, NODE_ID, trusted)


def test_line_9_the_librarys_hash_of_a_namespace_is_not_the_registrys(
    deployed: Net, cast: Cast, trusted: bytes
) -> None:
    of_library = keccak(encode(["string"], [TRUST]))
    session = deployed.open(cast.customer)
    asked = {"nodes": [], "namespaces": [of_library]}
    request = deployed.ask(cast.customer, session, **asked)

    assert trusted == keccak(encode_packed(["string"], [TRUST]))
    with refused(ContractReverted, NOT_TRUSTED):
        deployed.reply(request)


def test_line_9_the_registrys_hash_would_reach_a_member(
    deployed: Net, cast: Cast, trusted: bytes
) -> None:
    session = deployed.open(cast.customer)
    request = deployed.ask(cast.customer, session, nodes=[], namespaces=[trusted])

    deployed.reply(request)

    assert deployed.is_completed(request)


def test_line_9_an_id_that_no_node_has_is_accepted_and_waits(deployed: Net, cast: Cast) -> None:
    session = deployed.open(cast.customer)

    request = deployed.ask(cast.customer, session, nodes=[keccak(text="node.nobody.nothing")])

    with refused(ContractReverted, NOT_TRUSTED):
        deployed.reply(request)
    assert not deployed.is_completed(request)


# 10. Who may answer, and until when.


@pytest.fixture
def asked(deployed: Net, cast: Cast) -> bytes:
    return deployed.ask(cast.customer, deployed.open(cast.customer))


def test_line_10_a_node_that_is_switched_off_cannot_answer(
    deployed: Net, cast: Cast, asked: bytes
) -> None:
    manager = deployed.contracts.node_manager
    deployed.send(cast.owner, manager, NodeManager.set_node_status, NODE_ID, False)

    with refused(ContractReverted, "Node not active"):
        deployed.reply(asked)


def test_line_10_a_node_that_does_not_serve_the_model_cannot_answer(
    deployed: Net, cast: Cast, asked: bytes
) -> None:
    manager = deployed.contracts.node_manager
    deployed.send(cast.owner, manager, NodeManager.remove_models_from_node, NODE_ID, [MODEL])

    with refused(ContractReverted, "Node does not serve requested model"):
        deployed.reply(asked)


def test_line_10_a_node_that_is_not_trusted_cannot_answer(
    deployed: Net, cast: Cast, asked: bytes
) -> None:
    second = deployed.add_node("second", cast.stranger)

    with refused(ContractReverted, NOT_TRUSTED):
        deployed.reply(asked, node=second, worker=cast.stranger)


def test_line_10_only_the_worker_can_answer_for_a_node(
    deployed: Net, cast: Cast, asked: bytes
) -> None:
    with refused(ContractReverted, "Not the node worker"):
        deployed.reply(asked, worker=cast.stranger)


def test_line_10_a_model_that_is_not_registered_is_refused_at_once(
    deployed: Net, cast: Cast
) -> None:
    session = deployed.open(cast.customer)

    with refused(ModelNotFound, "Model does not exist"):
        deployed.ask(cast.customer, session, model=keccak(text="model.nobody.nothing"))


def test_line_10_there_is_no_timeout(deployed: Net, asked: bytes) -> None:
    deployed.wait(10 * YEAR)

    assert not deployed.is_completed(asked)
    deployed.reply(asked)
    assert deployed.is_completed(asked)


def test_line_10_there_is_no_cancel() -> None:
    changing = {
        entry["name"]
        for entry in artifacts.load("LiveRouter")["abi"]
        if entry["type"] == "function" and entry["stateMutability"] in ("nonpayable", "payable")
    }

    of_owner = {"initialize", "setManagers", "upgradeToAndCall", "acceptOwnership"}
    of_owner |= {"transferOwnership", "renounceOwnership"}
    assert changing - of_owner == {
        "startUserSession",
        "closeUserSession",
        "request",
        "respondToRequest",
    }


# 11. Callbacks and their gas.

ON_SUCCESS, ON_FAILURE = b"\x01\x02\x03\x04", b"\x05\x06\x07\x08"

# sstore(0, gas()); sstore(1, caller()); sstore(2, calldataload(0)); sstore(3, calldataload(4))
RECORDS = "5a5f55" + "33600155" + "5f35600255" + "600435600355" + "00"
# mstore(0, 0xdeadbeef); revert(28, 4)
REVERTS = "63deadbeef5f526004601cfd"

GAS_OF_THE_GAS_INSTRUCTION = 2


def test_line_11_a_request_must_carry_as_many_wei_as_callback_gas(
    deployed: Net, cast: Cast
) -> None:
    session = deployed.open(cast.customer)

    with refused(CallbackGasMissing, "Insufficient callback gas"):
        deployed.ask(cast.customer, session, callback_gas=100_000, value=99_999)


def test_line_11_the_router_keeps_the_value(deployed: Net, cast: Cast) -> None:
    session = deployed.open(cast.customer)
    before = deployed.coin(deployed.router)

    request = deployed.ask(cast.customer, session, callback_gas=100_000, value=100_007)
    deployed.reply(request)
    deployed.close(cast.customer, session)

    assert deployed.coin(deployed.router) - before == 100_007


@pytest.mark.parametrize(("status", "selector"), [(SUCCESS, ON_SUCCESS), (FAILURE, ON_FAILURE)])
def test_line_11_the_callback_gets_the_request_and_that_much_gas(
    deployed: Net, cast: Cast, status: int, selector: bytes
) -> None:
    target = deployed.create_raw(RECORDS)
    request = deployed.ask(
        cast.customer,
        deployed.open(cast.customer),
        callback=(ON_SUCCESS, ON_FAILURE, target),
        callback_gas=123_456,
    )

    deployed.reply(request, status=status, gas_limit=1_000_000)

    gas, caller, start, argument = (storage_at(deployed.provider, target, n) for n in range(4))
    assert gas == 123_456 - GAS_OF_THE_GAS_INSTRUCTION
    assert caller == int(deployed.router, 16)
    assert start.to_bytes(32, "big")[:4] == selector
    assert argument.to_bytes(32, "big") == request


@pytest.mark.parametrize(
    ("status", "event"),
    [(SUCCESS, Router.success_callback_failed), (FAILURE, Router.failure_callback_failed)],
    ids=["success", "failure"],
)
@pytest.mark.parametrize(
    ("code", "gas", "data"),
    [(REVERTS, 100_000, b"\xde\xad\xbe\xef"), (RECORDS, 5_000, b"")],
    ids=["reverts", "runs out of gas"],
)
def test_line_11_a_failing_callback_leaves_an_event_and_the_answer(
    deployed: Net, cast: Cast, status: int, event: Any, code: str, gas: int, data: bytes
) -> None:
    request = deployed.ask(
        cast.customer,
        deployed.open(cast.customer),
        callback=(ON_SUCCESS, ON_FAILURE, deployed.create_raw(code)),
        callback_gas=gas,
    )

    receipt = deployed.reply(request, status=status, response=b"answer")

    assert event.find(receipt.logs) == [{"requestId": request, "data": data}]
    assert deployed.fetch(request) == (status, "", b"answer")


@pytest.mark.parametrize("target", ["zero", "account"])
@pytest.mark.parametrize("status", [SUCCESS, FAILURE])
def test_line_11_a_target_without_code_succeeds(
    deployed: Net, cast: Cast, target: str, status: int
) -> None:
    address = NOBODY if target == "zero" else cast.stranger.address
    callback = (ON_SUCCESS, ON_FAILURE, address)
    request = deployed.ask(cast.customer, deployed.open(cast.customer), callback=callback)

    receipt = deployed.reply(request, status=status)

    assert not Router.success_callback_failed.find(receipt.logs)
    assert not Router.failure_callback_failed.find(receipt.logs)
    assert deployed.fetch(request)[0] == status


# 12. Reading the answer.


def test_line_12_a_pending_request_has_no_response(deployed: Net, asked: bytes) -> None:
    with refused(RequestPending, "Request not completed"):
        deployed.fetch(asked)


def test_line_12_an_unknown_request_has_no_response(deployed: Net) -> None:
    with refused(RequestPending, "Request not completed"):
        deployed.fetch(b"\x01" * 32)


def test_line_12_a_direct_answer_is_encoded_by_the_apis_output_type(
    deployed: Net, cast: Cast
) -> None:
    session = deployed.open(cast.customer)
    call = encode(["string[]"], [["Hello?"]])
    request = deployed.ask(cast.customer, session, call=call, call_type=DIRECT)

    deployed.node.answer_pending()

    status, message, response = deployed.fetch(request)
    assert (status, message) == (SUCCESS, "")
    assert decode(["string"], response) == ("You asked: Hello?",)


def test_line_12_an_ipfs_answer_is_handed_on_as_the_node_encoded_it(
    deployed: Net, cast: Cast
) -> None:
    cid = encode(["string"], ["bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"])
    request = deployed.ask(cast.customer, deployed.open(cast.customer), call_type=IPFS)

    deployed.reply(request, response=cid)

    assert deployed.fetch(request) == (SUCCESS, "", cid)


# 13. Closing strands pending requests.


def test_line_13_closing_deletes_the_session_and_refunds_the_owner(
    deployed: Net, cast: Cast
) -> None:
    before = deployed.held(cast.customer)
    session = deployed.open(cast.customer)
    deployed.ask(cast.customer, session)

    deployed.close(cast.customer, session)

    assert deployed.session(session) == (NOBODY, 0)
    assert deployed.held(cast.customer) == before


def test_line_13_the_answer_to_a_closed_session_is_never_recorded(
    deployed: Net, cast: Cast
) -> None:
    session = deployed.open(cast.customer)
    request = deployed.ask(cast.customer, session)
    deployed.close(cast.customer, session)

    with refused(SessionNotFound, f"InvalidSession(sessionId={session})"):
        deployed.reply(request)

    assert not deployed.is_completed(request)
    assert deployed.held(cast.worker) == 0


# 14. No top up, no expiry.


def test_line_14_another_deposit_is_another_session(deployed: Net, cast: Cast) -> None:
    first = deployed.open(cast.customer, 500)

    second = deployed.open(cast.customer, 300)

    assert first != second
    assert (deployed.balance(first), deployed.balance(second)) == (500, 300)


def test_line_14_the_session_manager_has_nothing_to_top_up_with() -> None:
    changing = {
        entry["name"]
        for entry in artifacts.load("LiveSessionManager")["abi"]
        if entry["type"] == "function" and entry["stateMutability"] in ("nonpayable", "payable")
    }

    of_owner = {"initialize", "sweep", "upgradeToAndCall", "acceptOwnership"}
    of_owner |= {"transferOwnership", "renounceOwnership"}
    assert changing - of_owner == {
        "startUserSession",
        "closeUserSession",
        "chargeUserSession",
    }


def test_line_14_a_session_does_not_expire(deployed: Net, cast: Cast) -> None:
    session = deployed.open(cast.customer, 500)

    deployed.wait(10 * YEAR)

    request = deployed.ask(cast.customer, session, most=100)
    deployed.reply(request)
    assert deployed.balance(session) == 400


# 15. Calls that a node cannot decode.


def test_line_15_a_call_that_cannot_be_decoded_fails(deployed: Net, cast: Cast) -> None:
    request = deployed.ask(cast.customer, deployed.open(cast.customer), call=b"gibberish")

    deployed.node.answer_pending()

    assert NOT_PARSABLE == "P0011: Call not parsable"
    assert deployed.fetch(request) == (FAILURE, NOT_PARSABLE, b"")


# Not in the list: the events of a whole session.


def test_every_step_leaves_its_event(deployed: Net, cast: Cast) -> None:
    deployed.deposit(cast.customer, 1_000)
    started = deployed.send(cast.customer, deployed.router, Router.start_user_session)
    (opened,) = SessionManager.session_started.find(started.logs)
    session = opened["sessionId"]
    arguments = Ask(user=cast.stranger.address).arguments(session)
    created = deployed.send(cast.customer, deployed.router, Router.request, *arguments)
    (asked,) = Router.request_created.find(created.logs, deployed.router)
    request = asked["requestId"]
    replied = deployed.reply(request, status=FAILURE)
    closed = deployed.close(cast.customer, session)

    assert opened == {"sessionId": session, "owner": cast.customer.address, "balance": 1_000}
    assert asked == {"requestId": request, "sessionId": session, "user": cast.stranger.address}
    assert Router.response_received.find(replied.logs) == [
        {"requestId": request, "nodeId": NODE_ID, "status": FAILURE}
    ]
    assert Router.request_completed.find(replied.logs) == [
        {"requestId": request, "status": FAILURE}
    ]
    assert SessionManager.session_closed.find(closed.logs) == [
        {"sessionId": session, "remainingBalance": 800}
    ]


def test_a_models_id_is_the_hash_of_its_name(deployed: Net) -> None:
    name = "model.system.openai-gpt-5-nano"

    assert deployed.read(deployed.router, Function("modelId(string)", "bytes32"), name) == MODEL


# 16 and 17. What the contracts contribute to requests that a node never answers.


def test_line_16_the_list_has_everybodys_requests_also_completed_ones(
    deployed: Net, cast: Cast
) -> None:
    sessions = {account: deployed.open(account) for account in (cast.customer, cast.stranger)}
    before = deployed.read(deployed.router, Router.get_pending_requests_length)

    requests = [deployed.ask(account, session) for account, session in sessions.items()] + [
        deployed.ask(cast.customer, sessions[cast.customer])
    ]
    deployed.reply(requests[1])

    after = deployed.read(deployed.router, Router.get_pending_requests_length)
    assert after == before + 3
    page = deployed.read(deployed.router, Router.get_pending_requests, before, after)
    assert page == tuple(requests)


def test_line_16_a_later_request_can_be_answered_first(deployed: Net, cast: Cast) -> None:
    session = deployed.open(cast.customer)
    earlier, later = (deployed.ask(cast.customer, session) for _ in range(2))

    deployed.reply(later)

    assert deployed.is_completed(later)
    assert not deployed.is_completed(earlier)


@pytest.fixture(params=["another node", "default namespace", "closed session", "aggregation", "id"])
def unanswerable(deployed: Net, cast: Cast, request: pytest.FixtureRequest) -> tuple[bytes, str]:
    """A request whose response reverts, and the reason. Such a revert ends a live node's round."""
    session = deployed.open(cast.customer)
    if request.param == "another node":
        other = keccak(text="node.nobody.nothing")
        return deployed.ask(cast.customer, session, nodes=[other]), NOT_TRUSTED
    if request.param == "default namespace":
        default = keccak(encode(["string"], [TRUST]))
        asked = {"nodes": [], "namespaces": [default]}
        return deployed.ask(cast.customer, session, **asked), NOT_TRUSTED
    if request.param == "aggregation":
        unanswered = deployed.ask(cast.customer, session, aggregation=VOTE)
        return unanswered, "Response strategy not implemented"
    if request.param == "id":
        twice = (cast.customer, session, Ask())
        first, _ = deployed.ask_in_one_block(twice, twice)
        deployed.reply(first)
        return first, "Request already completed"
    unanswered = deployed.ask(cast.customer, session)
    deployed.close(cast.customer, session)
    return unanswered, f"InvalidSession(sessionId={session})"


def test_line_17_a_response_reverts(deployed: Net, unanswerable: tuple[bytes, str]) -> None:
    request, reason = unanswerable

    with pytest.raises(DtnError) as raised:
        deployed.reply(request)

    assert str(raised.value.revert) == reason


# 18. Answers of type bytes.


def test_line_18_the_contracts_take_an_image_directly_or_as_a_cid(
    deployed: Net, cast: Cast
) -> None:
    """Only the node software never sends one directly."""
    session = deployed.open(cast.customer)
    image = encode(["bytes"], [b"\x89PNG" * 100])

    for call_type in (DIRECT, IPFS):
        request = deployed.ask(cast.customer, session, call_type=call_type)
        deployed.reply(request, response=image)
        assert deployed.fetch(request) == (SUCCESS, "", image)


# 19. Closed sessions stay in the lists.


def test_line_19_a_closed_session_stays_in_the_lists_without_owner_and_balance(
    deployed: Net, cast: Cast
) -> None:
    first, closed, last = (deployed.open(cast.customer, units) for units in (1, 2, 3))

    deployed.close(cast.customer, closed)

    manager, owner = deployed.contracts.session_manager, cast.customer.address
    ids = deployed.read(manager, SessionManager.get_user_session_ids, owner)
    assert ids == (first, closed, last)
    listed = deployed.read(manager, SessionManager.get_user_sessions, owner)
    assert listed == ((owner, 1), (NOBODY, 0), (owner, 3))


def test_line_19_the_lists_never_shrink(deployed: Net, cast: Cast) -> None:
    manager, owner = deployed.contracts.session_manager, cast.customer.address
    opened = []
    for _ in range(3):
        opened.append(deployed.open(cast.customer))
        deployed.close(cast.customer, opened[-1])

    ids = deployed.read(manager, SessionManager.get_user_session_ids, owner)
    assert ids == tuple(opened)


# 20. What the contracts charge of what the node bills.


def test_line_20_redundancy_0_with_any_completes_too(deployed: Net, cast: Cast) -> None:
    request = deployed.ask(cast.customer, deployed.open(cast.customer), redundancy=0)

    deployed.reply(request)

    assert deployed.is_completed(request)


@pytest.mark.parametrize("aggregation", [ALL, SELECT_BEST, VOTE, RANK])
def test_line_20_redundancy_0_completes_with_no_other_aggregation(
    deployed: Net, cast: Cast, aggregation: int
) -> None:
    asked = {"redundancy": 0, "aggregation": aggregation}
    request = deployed.ask(cast.customer, deployed.open(cast.customer), **asked)

    with refused(ContractReverted, "Response strategy not implemented"):
        deployed.reply(request)


def test_line_20_a_response_size_of_0_is_charged_by_the_request_alone(
    deployed: Net, cast: Cast
) -> None:
    asked = {"fee_asked": 3, "fee_answered": 5, "most": 10_000}

    assert cost(deployed, cast, asked, {"asked": 101, "answered": 0}) == 303


def test_line_20_a_long_answer_can_cost_nothing(deployed: Net, cast: Cast) -> None:
    stated = {"response": b"a" * 1_000, "asked": 0, "answered": 0}

    assert cost(deployed, cast, {"most": 10_000}, stated) == 0


def test_line_20_a_failure_with_size_0_costs_nothing(deployed: Net, cast: Cast) -> None:
    assert cost(deployed, cast, {}, {"status": FAILURE, "asked": 0, "answered": 0}) == 0


# 21. The owner can take everything.

SWEEP = Function("sweep(address,address)")


def test_line_21_the_owner_sweeps_what_sessions_hold(deployed: Net, cast: Cast) -> None:
    session = deployed.open(cast.customer, 500)
    deployed.deposit(cast.customer, 70)
    manager, token = deployed.contracts.session_manager, deployed.contracts.fee_token
    total, before = deployed.held_by_network, deployed.held(cast.stranger)

    deployed.send(cast.owner, manager, SWEEP, token, cast.stranger.address)

    assert deployed.held(cast.stranger) - before == total >= 570
    assert deployed.held_by_network == 0
    assert deployed.balance(session) == 500
    with pytest.raises(DtnError):  # the token has nothing to refund
        deployed.close(cast.customer, session)


def test_line_21_nobody_else_sweeps(deployed: Net, cast: Cast) -> None:
    manager, token = deployed.contracts.session_manager, deployed.contracts.fee_token
    stranger = cast.stranger.address

    with refused(ContractReverted, raw("OwnableUnauthorizedAccount(address)", stranger)):
        deployed.send(cast.stranger, manager, SWEEP, token, stranger)
