"""Sessions as in the product documentation, in its order, on the reference network.

The documentation calls a closed session both "not found" and "already closed". The contracts revert
with the latter, whose Python class derives from the former.
"""

from __future__ import annotations

import pytest
from eth_utils import keccak

from ape_dtn.errors import (
    ContractReverted,
    InsufficientFunds,
    NothingDeposited,
    SessionAlreadyClosed,
    SessionNotFound,
)
from ape_dtn.network.abi import NodeManager, Router, SessionManager
from ape_dtn.types.abi import Function
from tests.conftest import Cast

from .conftest import FAILURE, NOBODY, NODE_ID, SUCCESS, Ask, Net, refused

RESERVED = Function("getReserved(uint256)", "uint256")
TRUST = "trust.system.authored"
DAY = 24 * 60 * 60


def not_found(session: int) -> str:
    return f"SessionNotFound(sessionId={session})"


def already_closed(session: int) -> str:
    return f"SessionAlreadyClosed(sessionId={session})"


def insufficient(session: int, required: int, available: int) -> str:
    return f"InsufficientFunds(sessionId={session}, required={required}, available={available})"


def reserved(net: Net, session: int) -> int:
    return int(net.read(net.contracts.session_manager, RESERVED, session))


@pytest.fixture
def closed(reference: Net, cast: Cast) -> int:
    """A closed session of the customer."""
    session = reference.open(cast.customer)
    reference.close(cast.customer, session)
    return session


# "What are AI Sessions?"


def test_one_session_funds_several_requests(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer, 1_000)

    requests = [reference.ask(cast.customer, session, most=300) for _ in range(3)]
    for request in requests:
        reference.reply(request, asked=10, answered=10)

    assert [reference.fetch(request)[0] for request in requests] == [SUCCESS] * 3
    assert reference.balance(session) == 1_000 - 3 * 20


def test_spending_is_tracked_to_the_unit(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer, 1_000)
    charged = []
    for size in (1, 20, 300):
        receipt = reference.reply(reference.ask(cast.customer, session, most=400), asked=size)
        charged += SessionManager.session_charged.find(receipt.logs)

    amounts = [charge["amount"] for charge in charged]
    assert amounts == [101, 120, 400]
    assert reference.balance(session) == 1_000 - sum(amounts)
    assert reference.held(cast.worker) == sum(amounts)


# "Session Creation"


def test_tokens_are_sent_to_the_fee_target_and_then_a_session_is_started(
    reference: Net, cast: Cast
) -> None:
    before = reference.held(cast.customer)

    reference.deposit(cast.customer, 500)
    session = reference.start(cast.customer)

    assert reference.session(session) == (cast.customer.address, 500)
    assert reference.held(cast.customer) == before - 500


def test_a_sessions_id_is_never_0(reference: Net, cast: Cast) -> None:
    assert reference.open(cast.customer) > 0


def test_a_session_needs_a_deposit(reference: Net, cast: Cast) -> None:
    with refused(NothingDeposited, "InvalidAmount()"):
        reference.start(cast.customer)


# "Automatic Session Creation"


def test_session_0_creates_a_session_from_the_deposit(reference: Net, cast: Cast) -> None:
    reference.deposit(cast.customer, 5_000)

    request = reference.ask(cast.customer, 0, most=1_000)

    session = reference.record(request)[0]
    assert session != 0
    assert reference.session(session) == (cast.customer.address, 5_000)


def test_an_automatic_session_pays_for_its_request_and_is_closed(
    reference: Net, cast: Cast
) -> None:
    before = reference.held(cast.customer)
    reference.deposit(cast.customer, 5_000)
    request = reference.ask(cast.customer, 0)
    session = reference.record(request)[0]

    reference.reply(request)
    reference.close(cast.customer, session)

    assert reference.fetch(request)[0] == SUCCESS
    assert reference.held(cast.customer) == before - 200


def test_an_automatic_session_is_used_again_by_its_id(reference: Net, cast: Cast) -> None:
    reference.deposit(cast.customer, 5_000)
    session = reference.record(reference.ask(cast.customer, 0))[0]

    again = reference.ask(cast.customer, session)

    assert reference.record(again)[0] == session


def test_session_0_needs_a_deposit(reference: Net, cast: Cast) -> None:
    with refused(NothingDeposited, "InvalidAmount()"):
        reference.ask(cast.customer, 0)


def test_session_0_with_too_small_a_deposit_leaves_it_where_it_was(
    reference: Net, cast: Cast
) -> None:
    session = reference.open(cast.stranger)
    reference.deposit(cast.customer, 500)

    with refused(InsufficientFunds, insufficient(session + 1, 501, 500)):
        reference.ask(cast.customer, 0, most=501)

    assert reference.balance(reference.start(cast.customer)) == 500


def test_session_0_can_be_neither_owned_nor_closed(reference: Net, cast: Cast) -> None:
    with refused(SessionNotFound, not_found(0)):
        reference.close(cast.customer, 0)


# "Session Ownership"


def test_only_the_owner_can_use_a_session(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer)

    with refused(SessionNotFound, not_found(session)):
        reference.ask(cast.stranger, session, user=cast.customer.address)


def test_only_the_owner_can_close_a_session(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer, 500)

    with refused(SessionNotFound, not_found(session)):
        reference.close(cast.stranger, session)

    assert reference.session(session) == (cast.customer.address, 500)


def test_only_the_owner_receives_the_refund(reference: Net, cast: Cast) -> None:
    before = reference.held(cast.customer)
    session = reference.open(cast.customer, 500)
    reference.ask(cast.customer, session, most=500, user=cast.stranger.address)
    others = reference.held(cast.stranger)

    reference.close(cast.customer, session)

    assert reference.held(cast.customer) == before
    assert reference.held(cast.stranger) == others


# "Closing Sessions"


def test_closing_refunds_the_balance(reference: Net, cast: Cast) -> None:
    before = reference.held(cast.customer)
    session = reference.open(cast.customer, 1_000)
    reference.reply(reference.ask(cast.customer, session), asked=150, answered=100)

    receipt = reference.close(cast.customer, session)

    assert reference.held(cast.customer) == before - 250
    assert SessionManager.session_closed.find(receipt.logs) == [
        {"sessionId": session, "remainingBalance": 750}
    ]


def test_a_session_that_is_used_up_is_closed_too(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer, 100)
    reference.reply(reference.ask(cast.customer, session, most=100))

    reference.close(cast.customer, session)

    assert reference.session(session) == (NOBODY, 0)


def test_a_session_can_be_restarted_with_its_refund(reference: Net, cast: Cast) -> None:
    first = reference.open(cast.customer, 700)
    reference.close(cast.customer, first)

    second = reference.open(cast.customer, 700)

    assert second != first
    assert reference.balance(second) == 700


def test_closing_with_a_request_pending_refunds_all_of_it(reference: Net, cast: Cast) -> None:
    before = reference.held(cast.customer)
    session = reference.open(cast.customer, 1_000)
    reference.ask(cast.customer, session, most=1_000)

    reference.close(cast.customer, session)

    assert reference.held(cast.customer) == before
    assert reserved(reference, session) == 0


def test_a_request_of_a_closed_session_is_never_answered(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer)
    request = reference.ask(cast.customer, session)
    reference.close(cast.customer, session)

    with refused(SessionAlreadyClosed, already_closed(session)):
        reference.reply(request)

    assert not reference.is_completed(request)
    assert reference.held(cast.worker) == 0


# "Fee Structure"


def test_a_request_costs_by_its_data_size(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer, 1_000)
    request = reference.ask(cast.customer, session, fee_asked=2, fee_answered=3)

    reference.reply(request, asked=10, answered=100)

    assert reference.balance(session) == 1_000 - (10 * 2 + 100 * 3)


def test_a_request_costs_its_cap_at_most(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer, 1_000)
    request = reference.ask(cast.customer, session, most=400)

    reference.reply(request, asked=10**30)

    assert reference.balance(session) == 600


def test_a_failure_costs_one_unit_a_byte(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer, 1_000)
    request = reference.ask(cast.customer, session, fee_asked=5, fee_answered=5)

    reference.reply(request, status=FAILURE, asked=30, answered=4)

    assert reference.balance(session) == 1_000 - 34


# "Session not found"


@pytest.mark.parametrize("session", [2**64, 2**256 - 1])
def test_an_invalid_session_id_is_not_found(reference: Net, cast: Cast, session: int) -> None:
    with refused(SessionNotFound, not_found(session)):
        reference.ask(cast.customer, session)
    with refused(SessionNotFound, not_found(session)):
        reference.close(cast.customer, session)


def test_the_id_of_the_next_session_is_not_found_yet(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer)

    with refused(SessionNotFound, not_found(session + 1)):
        reference.ask(cast.customer, session + 1)


def test_a_session_of_another_account_is_not_found(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.stranger)

    with refused(SessionNotFound, not_found(session)):
        reference.ask(cast.customer, session)
    with refused(SessionNotFound, not_found(session)):
        reference.close(cast.customer, session)


# "Insufficient funds"


@pytest.mark.parametrize("most", [501, 2**256 - 1])
def test_a_session_must_cover_the_maximum_fee_of_a_request(
    reference: Net, cast: Cast, most: int
) -> None:
    session = reference.open(cast.customer, 500)

    with refused(InsufficientFunds, insufficient(session, most, 500)):
        reference.ask(cast.customer, session, most=most)


def test_a_request_may_cost_all_that_a_session_has(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer, 500)

    request = reference.ask(cast.customer, session, most=500)

    reference.reply(request, asked=500)
    assert reference.fetch(request)[0] == SUCCESS


def test_maximum_fees_of_pending_requests_are_reserved(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer, 500)
    reference.ask(cast.customer, session, most=300)

    with refused(InsufficientFunds, insufficient(session, 201, 200)):
        reference.ask(cast.customer, session, most=201)


# "Session already closed"


def test_a_closed_session_cannot_be_used(reference: Net, cast: Cast, closed: int) -> None:
    with refused(SessionAlreadyClosed, already_closed(closed)):
        reference.ask(cast.customer, closed)


def test_a_closed_session_cannot_be_closed(reference: Net, cast: Cast, closed: int) -> None:
    held = reference.held(cast.customer)

    with refused(SessionAlreadyClosed, already_closed(closed)):
        reference.close(cast.customer, closed)

    assert reference.held(cast.customer) == held


def test_strangers_get_the_error_for_a_closed_session_too(
    reference: Net, cast: Cast, closed: int
) -> None:
    with refused(SessionAlreadyClosed, already_closed(closed)):
        reference.ask(cast.stranger, closed)


def test_a_closed_session_is_not_found_either(reference: Net, cast: Cast, closed: int) -> None:
    with pytest.raises(SessionNotFound):
        reference.ask(cast.customer, closed)


# Reservations: a session can pay for all that it has asked.


def test_a_request_reserves_its_cap(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer, 1_000)

    reference.ask(cast.customer, session, most=300)
    reference.ask(cast.customer, session, most=200)

    assert reserved(reference, session) == 500
    assert reference.balance(session) == 1_000


@pytest.mark.parametrize("status", [SUCCESS, FAILURE])
def test_a_response_releases_the_rest_of_the_reserve(
    reference: Net, cast: Cast, status: int
) -> None:
    session = reference.open(cast.customer, 1_000)
    request = reference.ask(cast.customer, session, most=1_000)

    reference.reply(request, status=status, asked=1, answered=0)

    assert reserved(reference, session) == 0
    reference.ask(cast.customer, session, most=999)


def test_every_request_of_a_full_session_is_paid_up_to_its_cap(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer, 1_000)
    caps = (400, 300, 200, 100)
    requests = [reference.ask(cast.customer, session, most=most) for most in caps]

    for request in (requests[2], requests[0], requests[3], requests[1]):
        reference.reply(request, asked=10**6)

    assert reference.held(cast.worker) == 1_000
    assert reference.session(session) == (cast.customer.address, 0)


def test_one_session_does_not_reserve_from_another(reference: Net, cast: Cast) -> None:
    first = reference.open(cast.customer, 500)
    second = reference.open(cast.customer, 500)
    reference.ask(cast.customer, first, most=500)

    reference.ask(cast.customer, second, most=500)

    assert (reserved(reference, first), reserved(reference, second)) == (500, 500)


def test_a_refused_request_reserves_nothing(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer, 500)

    with pytest.raises(InsufficientFunds):
        reference.ask(cast.customer, session, most=501)

    assert reserved(reference, session) == 0


# Ids of requests.


def test_equal_requests_in_one_block_have_ids_of_their_own(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer)

    ids = reference.ask_in_one_block(*[(cast.customer, session, Ask())] * 4)

    assert len(ids) == len(set(ids)) == 4


def test_all_requests_of_one_block_are_answered(reference: Net, cast: Cast) -> None:
    session = reference.open(cast.customer)
    first, second = reference.ask_in_one_block(
        (cast.customer, session, Ask(call=b"first")),
        (cast.customer, session, Ask(call=b"second")),
    )

    reference.reply(first, response=b"one")
    reference.reply(second, response=b"two")

    assert [reference.record(request)[5][0] for request in (first, second)] == [b"first", b"second"]
    assert [reference.fetch(request)[2] for request in (first, second)] == [b"one", b"two"]


# Names.


@pytest.mark.parametrize("name", ["", ".", "alice.llama-3", "alice.", ".a"])
def test_a_username_is_not_empty_and_has_no_dot(reference: Net, cast: Cast, name: str) -> None:
    """Otherwise `node.alice.llama-3.1` could belong to `alice` or to a user `alice.llama-3`."""
    manager = reference.contracts.node_manager

    with refused(ContractReverted, f"InvalidUsername(username={name})"):
        reference.send(
            cast.stranger, manager, NodeManager.register_user, name, cast.stranger.address
        )


def test_a_nodes_name_may_have_dots(reference: Net, cast: Cast) -> None:
    manager, alice = reference.contracts.node_manager, cast.customer
    reference.send(alice, manager, NodeManager.register_user, "alice", alice.address)
    reference.send(
        alice, manager, NodeManager.register_node, "alice", "llama-3.1", cast.worker.address
    )

    node = reference.read(manager, NodeManager.get_node, keccak(text="node.alice.llama-3.1"))
    assert node[0] == alice.address


# Routing by namespace.


@pytest.fixture
def trusted(reference: Net, cast: Cast) -> bytes:
    """A namespace of the stranger that the node has joined for a day."""
    namespace = reference.add_namespace(TRUST, cast.stranger)
    expiration = reference.time + DAY
    signature = reference.sign_assignment(cast.stranger, TRUST, expiration)
    reference.join(TRUST, expiration, signature)
    return namespace


def test_a_node_joins_with_the_namespace_owners_signature(reference: Net, trusted: bytes) -> None:
    manager = reference.contracts.node_manager
    node = reference.read(manager, NodeManager.get_node, NODE_ID)
    expiration = reference.read(
        manager, NodeManager.node_trust_namespace_expiration, NODE_ID, trusted
    )

    assert reference.read(manager, NodeManager.node_has_trust_namespace, NODE_ID, trusted)
    assert node[3] == (trusted,)
    assert node[4] == (expiration,)
    assert 0 < expiration - reference.time < DAY


def test_routing_by_namespace_reaches_its_members(
    reference: Net, cast: Cast, trusted: bytes
) -> None:
    session = reference.open(cast.customer)
    request = reference.ask(cast.customer, session, nodes=[], namespaces=[trusted])

    reference.reply(request)

    assert reference.fetch(request)[0] == SUCCESS


def test_one_of_several_namespaces_is_enough(reference: Net, cast: Cast, trusted: bytes) -> None:
    namespaces = [keccak(text="trust.nobody.nothing"), trusted]
    session = reference.open(cast.customer)
    request = reference.ask(cast.customer, session, nodes=[], namespaces=namespaces)

    reference.reply(request)

    assert reference.is_completed(request)


def test_a_membership_ends(reference: Net, cast: Cast, trusted: bytes) -> None:
    session = reference.open(cast.customer)
    request = reference.ask(cast.customer, session, nodes=[], namespaces=[trusted])

    reference.wait(DAY + 1)

    with refused(ContractReverted, "Node does not have required trust namespace"):
        reference.reply(request)


def test_a_node_that_leaves_is_trusted_no_more(reference: Net, cast: Cast, trusted: bytes) -> None:
    session = reference.open(cast.customer)
    request = reference.ask(cast.customer, session, nodes=[], namespaces=[trusted])

    update = "updateNodeNamespaces(bytes32,string[],uint256[],bytes[])"
    reference.send(cast.owner, reference.contracts.node_manager, update, NODE_ID, [], [], [])

    with refused(ContractReverted, "Node does not have required trust namespace"):
        reference.reply(request)


def test_only_the_namespaces_owner_can_let_a_node_in(reference: Net, cast: Cast) -> None:
    reference.add_namespace(TRUST, cast.stranger)
    expiration = reference.time + DAY
    signature = reference.sign_assignment(cast.customer, TRUST, expiration)

    with refused(ContractReverted, "Invalid signature"):
        reference.join(TRUST, expiration, signature)


def test_a_signature_is_good_for_its_own_expiration_alone(reference: Net, cast: Cast) -> None:
    reference.add_namespace(TRUST, cast.stranger)
    expiration = reference.time + DAY
    signature = reference.sign_assignment(cast.stranger, TRUST, expiration)

    with refused(ContractReverted, "Invalid signature"):
        reference.join(TRUST, expiration + 1, signature)


def test_no_node_can_join_a_namespace_without_owner(reference: Net, cast: Cast) -> None:
    expiration = reference.time + DAY
    signature = reference.sign_assignment(cast.stranger, TRUST, expiration)

    with refused(ContractReverted, "Invalid signature"):
        reference.join(TRUST, expiration, signature)


# The lifecycle of a session, as in the documentation's diagram.


def test_the_lifecycle_of_a_session(reference: Net, cast: Cast) -> None:
    before = reference.held(cast.customer)
    reference.deposit(cast.customer, 10_000)
    session = reference.start(cast.customer)
    for lines in ("More?", "No."):
        request = reference.ask(cast.customer, session, call=lines.encode())
        reference.reply(request)
        assert reference.fetch(request)[0] == SUCCESS

    reference.close(cast.customer, session)

    assert reference.held(cast.customer) == before - 2 * 200
    assert reference.held_by_network == 0
    assert not reference.read(
        reference.contracts.session_manager,
        SessionManager.get_user_session_ids,
        cast.customer.address,
    )
    assert reference.read(reference.router, Router.get_completed_requests_length) == 2


@pytest.mark.parametrize(
    ("redundancy", "aggregation"), [(0, 0), (2, 0), (3, 0), (1, 1), (1, 2), (1, 3), (1, 4)]
)
def test_requests_that_could_never_complete_are_refused(
    reference: Net, cast: Cast, redundancy: int, aggregation: int
) -> None:
    session = reference.open(cast.customer)

    with refused(ContractReverted, "Response strategy not implemented"):
        reference.ask(cast.customer, session, redundancy=redundancy, aggregation=aggregation)

    assert reserved(reference, session) == 0


@pytest.mark.parametrize("count", [5, 6, 7, 8, 200])
def test_a_request_that_trusts_many_nodes_is_answered_by_the_last(
    reference: Net, cast: Cast, count: int
) -> None:
    nodes = [keccak(text=f"node.nobody.{number}") for number in range(count - 1)]
    session = reference.open(cast.customer)

    request = reference.ask(cast.customer, session, nodes=[*nodes, NODE_ID], namespaces=nodes)
    reference.reply(request)

    record = reference.record(request)
    assert (list(record[4][0]), list(record[4][1])) == (nodes, [*nodes, NODE_ID])
    assert record[-1][3] == NODE_ID


@pytest.mark.parametrize("target", ["router", "fee_token"])
def test_a_callback_cannot_target_the_token_or_the_router(
    reference: Net, cast: Cast, target: str
) -> None:
    session = reference.open(cast.customer)
    called = reference.router if target == "router" else reference.contracts.fee_token
    callback = (Router.start_user_session.selector, b"\0" * 4, called)

    with refused(ContractReverted, f"CallbackTargetNotAllowed(target={called})"):
        reference.ask(cast.customer, session, callback=callback)
