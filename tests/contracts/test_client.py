"""The client of one account: address, starts, closes, sweeps and access."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import encode

from ape_dtn.chain import reads
from ape_dtn.deployment.assemble import Variant
from ape_dtn.errors import DtnError, SessionNotFound
from ape_dtn.network.abi import ERC20, Client, Router, SessionManager
from ape_dtn.types.abi import Error, Event, Function
from ape_dtn.types.rpc import as_int
from tests.conftest import Cast

from .client import (
    ALLOWANCE,
    DELEGATE_CODE,
    DEPLOYER,
    FOREVER,
    IMPLEMENTATION,
    IMPLEMENTATION_CODE,
    NO_SIGNATURE,
    NONCE,
    PERMIT,
    RECEIVE_AUTHORIZED,
    Owned,
    ScriptedContract,
    client_address,
    client_code,
    code_at,
    create,
    created_at,
    each_change,
    error_data,
    every_change,
    give,
    new_client,
    reverted,
    runtime_code,
    sign_authorization,
    sign_permit,
    started,
)
from .conftest import NOBODY, SET_MANAGERS, Net, replace_sessions

UNITS = 1_000_000

CANCEL = Function("cancelAuthorization(address,bytes32,uint8,bytes32,bytes32)")

# The implementation of version 0.1.0, on every chain. If the address changes, existing clients keep
# their funds, and the SDK must still find them.
PINNED = "0xEEcE3Fb68b54B6d89289C150f47636fbAA98F8E4"

# Its address, and its code.


def test_the_implementations_address_is_pinned() -> None:
    assert IMPLEMENTATION == PINNED


def test_the_deployment_proxy_is_there(net: Net) -> None:
    assert len(code_at(net, DEPLOYER)) == 69


def test_the_address_follows_from_the_owner_alone(net: Net, cast: Cast, client: Owned) -> None:
    owner = cast.customer.address

    assert client.address == client_address(owner)
    assert code_at(net, client.address) == runtime_code(owner)
    assert client.read(Client.owner) == owner
    assert client.read(Client.implementation) == IMPLEMENTATION
    assert client.read(Client.deployer) == DEPLOYER


@pytest.mark.parametrize("who", ["owner", "worker", "customer", "stranger"])
def test_the_contracts_compute_the_same_address(
    net: Net, cast: Cast, implementation: str, who: str
) -> None:
    account = getattr(cast, who).address

    assert net.read(implementation, Client.client_of, account) == client_address(account)


def test_every_client_computes_the_address_of_any_client(cast: Cast, client: Owned) -> None:
    account = cast.stranger.address

    assert client.read(Client.client_of, account) == client_address(account)


def test_a_stranger_may_create_somebodys_client(net: Net, cast: Cast, implementation: str) -> None:
    client = new_client(net, cast.customer, creator=cast.stranger)

    assert client.read(Client.owner) == cast.customer.address
    client.approve(UNITS)
    session = client.start(UNITS)
    assert net.session(session) == (client.address, UNITS)


def test_a_client_is_created_once(net: Net, cast: Cast, client: Owned) -> None:
    before = code_at(net, client.address)

    with pytest.raises(DtnError):
        create(net, cast.stranger, client_code(cast.customer.address))

    assert code_at(net, client.address) == before


def test_a_copy_of_the_clone_elsewhere_belongs_to_its_owner_too(
    net: Net, cast: Cast, client: Owned
) -> None:
    """A clone with an owner is a client of that owner, at any address."""
    copy = Owned(net, net.create_raw(runtime_code(cast.customer.address).hex()), cast.customer)

    assert copy.read(Client.owner) == cast.customer.address
    with reverted(Client.not_owner, cast.owner.address):
        copy.call(Client.sweep, NOBODY, by=cast.owner)


@each_change
def test_the_implementation_has_no_owner(
    net: Net, cast: Cast, implementation: str, change: str
) -> None:
    nobodys = Owned(net, implementation, cast.customer)
    function, arguments = every_change(nobodys)[change]

    assert nobodys.read(Client.owner) == NOBODY
    for account in (cast.owner, cast.customer, cast.stranger):
        with reverted(Client.not_owner, account.address):
            nobodys.call(function, *arguments, by=account)


def test_a_client_created_before_its_implementation_keeps_its_tokens(net: Net, cast: Cast) -> None:
    client = new_client(net, cast.customer)
    net.fund(client.address, UNITS)

    client.call(Client.start, net.router, UNITS)  # there is no code: nothing happens
    assert net.held(client.address) == UNITS

    create(net, cast.stranger, IMPLEMENTATION_CODE)
    client.call(Client.sweep, net.contracts.fee_token)
    assert net.held(client.address) == 0


def opcodes(code: bytes) -> set[int]:
    """Opcodes of runtime code. After the first INVALID there is only data."""
    found, at = set(), 0
    while code[at] != 0xFE:
        found.add(code[at])
        pushed = code[at] - 0x5F if 0x60 <= code[at] <= 0x7F else 0
        at += 1 + pushed
    assert at > 0.9 * len(code)
    return found


@pytest.mark.parametrize(
    "creation", [IMPLEMENTATION_CODE, DELEGATE_CODE], ids=["client", "delegate"]
)
def test_the_implementation_cannot_be_changed_or_destroyed(
    reference: Net, cast: Cast, creation: bytes
) -> None:
    create(reference, cast.owner, creation)
    callcode, delegatecall, selfdestruct = 0xF2, 0xF4, 0xFF

    found = opcodes(code_at(reference, created_at(creation)))

    assert 0xF1 in found  # what calls is seen
    assert not found & {callcode, delegatecall, selfdestruct}


# Starting, by allowance.


def test_a_session_is_paid_and_started_in_one_transaction(
    net: Net, cast: Cast, client: Owned
) -> None:
    before = net.held(cast.customer)

    session = client.start(UNITS)

    assert net.session(session) == (client.address, UNITS)
    assert net.held(cast.customer) == before - UNITS
    assert net.held(client.address) == 0
    assert net.held_by_network == UNITS


def test_a_session_is_started_in_each_token(any_net: Net, cast: Cast) -> None:
    create(any_net, cast.owner, IMPLEMENTATION_CODE)
    client = new_client(any_net, cast.customer)
    client.approve(UNITS)
    before = any_net.held(cast.customer)

    session = client.start(UNITS)
    client.close(session)

    assert any_net.held(cast.customer) == before
    assert any_net.held(client.address) == any_net.held_by_network == 0


def test_the_owners_tokens_never_stop_at_the_client(net: Net, cast: Cast, client: Owned) -> None:
    transferred = Event("Transfer(address indexed from, address indexed to, uint256 value)")

    receipt = client.call(Client.start, net.router, UNITS)

    (moved,) = transferred.find(receipt.logs)
    assert moved == {"from": cast.customer.address, "to": net.contracts.fee_target, "value": UNITS}


def test_a_thief_in_the_same_block_gets_nothing(net: Net, cast: Cast, client: Owned) -> None:
    """The thief has a transaction before the owner's, and one after it."""
    attempt = (cast.stranger, net.router, Router.start_user_session, ())
    start = (cast.customer, client.address, Client.start, (net.router, UNITS))

    first, paid, last = net.send_in_one_block(attempt, start, attempt)

    assert [as_int(receipt["status"]) for receipt in (first, paid, last)] == [0, 1, 0]
    (opened,) = SessionManager.session_started.find(map(reads.to_log, paid["logs"]))
    assert (opened["owner"], opened["balance"]) == (client.address, UNITS)


def test_unclaimed_deposits_become_part_of_the_session(net: Net, cast: Cast, client: Owned) -> None:
    net.deposit(cast.stranger, 5)

    session = client.start(UNITS)

    assert net.balance(session) == UNITS + 5


def test_starting_with_nothing_claims_a_deposit_that_waits(
    net: Net, cast: Cast, client: Owned
) -> None:
    with reverted(SessionManager.invalid_amount):
        client.start(0)
    net.deposit(cast.customer, UNITS)

    session = client.start(0)

    assert net.session(session) == (client.address, UNITS)


def test_without_an_allowance_nothing_moves(net: Net, cast: Cast, client: Owned) -> None:
    client.approve(0)
    before = net.held(cast.customer)

    with pytest.raises(DtnError) as raised:
        client.start(1)

    assert raised.value.revert is not None
    assert (net.held(cast.customer), net.held_by_network) == (before, 0)


def test_more_than_the_owner_has_is_not_started(net: Net, cast: Cast, client: Owned) -> None:
    client.approve(0)
    client.approve(2**255)

    with pytest.raises(DtnError) as raised:
        client.start(net.held(cast.customer) + 1)

    assert raised.value.revert is not None
    assert net.held_by_network == 0


def test_a_router_without_code_is_refused(net: Net, cast: Cast, client: Owned) -> None:
    before = net.held(cast.customer)

    with pytest.raises(DtnError):
        client.call(Client.start, cast.stranger.address, UNITS)

    assert net.held(cast.customer) == before


def test_two_networks_are_used_side_by_side(deployed: Net, reference: Net, cast: Cast) -> None:
    create(deployed, cast.owner, IMPLEMENTATION_CODE)
    both = [new_client(deployed, cast.customer), Owned(reference, "", cast.customer)]
    both[1].address = both[0].address
    sessions = []
    for client in both:
        client.approve(UNITS)
        sessions.append(client.start(UNITS))

    requests = [client.ask(session) for client, session in zip(both, sessions, strict=True)]

    for net, client, session, request in zip(
        (deployed, reference), both, sessions, requests, strict=True
    ):
        net.reply(request)
        client.close(session)
        assert net.held_by_network == 0


# Starting, by permit.


def permit(client: Owned, units: int = UNITS, deadline: int = FOREVER) -> tuple[Any, ...]:
    signature = sign_permit(client.net, client.owner, client.address, units, deadline)
    return (client.net.router, units, deadline, *signature.arguments)


def test_a_permit_takes_the_place_of_an_allowance(
    net: Net, cast: Cast, client: Owned, usdc: str
) -> None:
    before = net.held(cast.customer)

    session = started(client.call(Client.start_with_permit, *permit(client)))

    assert net.session(session) == (client.address, UNITS)
    assert net.held(cast.customer) == before - UNITS
    assert net.read(usdc, ALLOWANCE, cast.customer.address, client.address) == 0


def test_a_permit_that_somebody_else_used_first_does_no_harm(
    net: Net, cast: Cast, client: Owned, usdc: str
) -> None:
    router, units, deadline, *signature = permit(client)
    net.send(
        cast.stranger,
        usdc,
        PERMIT,
        cast.customer.address,
        client.address,
        units,
        deadline,
        *signature,
    )

    receipt = client.call(Client.start_with_permit, router, units, deadline, *signature)

    assert net.session(started(receipt)) == (client.address, UNITS)


def test_a_permit_is_of_no_use_to_a_stranger(
    net: Net, cast: Cast, client: Owned, usdc: str
) -> None:
    arguments = permit(client)

    with reverted(Client.not_owner, cast.stranger.address):
        client.call(Client.start_with_permit, *arguments, by=cast.stranger)


def test_a_permit_that_somebody_else_signed_is_refused(
    net: Net, cast: Cast, client: Owned, usdc: str
) -> None:
    forged = sign_permit(net, cast.stranger, client.address, UNITS, owner=cast.customer)
    reason = error_data("EIP2612: invalid signature")

    with reverted(Client.permit_failed, reason):
        arguments = (net.router, UNITS, FOREVER, *forged.arguments)
        client.call(Client.start_with_permit, *arguments)


def test_a_permit_that_has_expired_is_refused(net: Net, client: Owned, usdc: str) -> None:
    reason = error_data("FiatTokenV2: permit is expired")

    with reverted(Client.permit_failed, reason):
        client.call(Client.start_with_permit, *permit(client, deadline=net.time - 1))


def test_a_permit_for_less_is_refused(net: Net, client: Owned, usdc: str) -> None:
    """It is refused also after somebody has submitted it: the allowance is too small."""
    _, _, _, *signature = permit(client, UNITS - 1)
    reason = error_data("EIP2612: invalid signature")

    with reverted(Client.permit_failed, reason):
        client.call(Client.start_with_permit, net.router, UNITS, FOREVER, *signature)


@pytest.mark.parametrize("allowance", [UNITS, 2 * UNITS])
def test_an_allowance_makes_up_for_a_permit_that_is_refused(
    net: Net, client: Owned, usdc: str, allowance: int
) -> None:
    _, _, _, *signature = permit(client, UNITS - 1)
    client.approve(allowance)

    receipt = client.call(Client.start_with_permit, net.router, UNITS, FOREVER, *signature)

    assert net.balance(started(receipt)) == UNITS


def test_a_token_without_permits_says_so(net: Net, client: Owned) -> None:
    client.approve(0)

    with reverted(Client.permit_failed, b""):
        arguments = (net.router, UNITS, FOREVER, *NO_SIGNATURE)
        client.call(Client.start_with_permit, *arguments)


def test_a_permit_that_did_nothing_is_found_out(
    net: Net, cast: Cast, client: Owned, hostile: str
) -> None:
    """Some tokens accept every call."""
    client.approve(0)
    insufficient = Error("ERC20InsufficientAllowance(address spender, uint256 had, uint256 needed)")

    with reverted(insufficient, client.address, 0, UNITS):
        arguments = (net.router, UNITS, FOREVER, *NO_SIGNATURE)
        client.call(Client.start_with_permit, *arguments)


# Starting, by authorization.


def authorization(client: Owned, units: int = UNITS, before: int = FOREVER) -> tuple[Any, ...]:
    signature = sign_authorization(client.net, client.owner, client.address, units, NONCE, before)
    return (client.net.router, units, 0, before, NONCE, *signature.arguments)


def test_an_authorization_takes_the_place_of_an_allowance(
    net: Net, cast: Cast, client: Owned, usdc: str
) -> None:
    before = net.held(cast.customer)

    session = started(client.call(Client.start_with_authorization, *authorization(client)))

    assert net.session(session) == (client.address, UNITS)
    assert net.held(cast.customer) == before - UNITS
    assert net.held(client.address) == 0


def test_an_authorization_cannot_be_front_run(
    net: Net, cast: Cast, client: Owned, usdc: str
) -> None:
    """A stranger can use it neither at the token nor at the client, for any router."""
    router, units, *rest = authorization(client)
    given = (cast.customer.address, client.address, units, *rest)

    with reverted("FiatTokenV2: caller must be the payee"):
        net.send(cast.stranger, usdc, RECEIVE_AUTHORIZED, *given)
    as_transfer = RECEIVE_AUTHORIZED.signature.replace("receive", "transfer")
    with reverted("FiatTokenV2: invalid signature"):
        net.send(cast.stranger, usdc, as_transfer, *given)
    for target in (router, cast.stranger.address):
        with reverted(Client.not_owner, cast.stranger.address):
            client.call(Client.start_with_authorization, target, units, *rest, by=cast.stranger)

    receipt = client.call(Client.start_with_authorization, router, units, *rest)
    assert net.session(started(receipt)) == (client.address, UNITS)


def test_an_authorization_is_good_once(net: Net, client: Owned, usdc: str) -> None:
    client.call(Client.start_with_authorization, *authorization(client))

    with reverted("FiatTokenV2: authorization is used or canceled"):
        client.call(Client.start_with_authorization, *authorization(client))

    assert net.held_by_network == UNITS


def test_an_authorization_that_has_expired_is_refused(net: Net, client: Owned, usdc: str) -> None:
    with reverted("FiatTokenV2: authorization is expired"):
        client.call(Client.start_with_authorization, *authorization(client, before=net.time))


def test_an_authorization_for_less_is_refused(net: Net, client: Owned, usdc: str) -> None:
    router, units, *rest = authorization(client)

    with reverted("FiatTokenV2: invalid signature"):
        client.call(Client.start_with_authorization, router, units + 1, *rest)


# Starting a session with tokens that the client holds.


def test_tokens_that_were_sent_to_the_client_start_a_session(
    net: Net, cast: Cast, client: Owned
) -> None:
    net.fund(client.address, UNITS)
    before = net.held(cast.customer)

    session = started(client.call(Client.start_from_here, net.router, UNITS - 1))

    assert net.session(session) == (client.address, UNITS - 1)
    assert net.held(client.address) == 1
    assert net.held(cast.customer) == before


def test_a_client_may_be_paid_before_it_is_created(
    net: Net, cast: Cast, implementation: str
) -> None:
    net.fund(client_address(cast.customer.address), UNITS)
    client = new_client(net, cast.customer)

    session = started(client.call(Client.start_from_here, net.router, UNITS))

    assert net.session(session) == (client.address, UNITS)


# Closing.


def test_the_refund_goes_to_the_owner_in_the_same_transaction(
    net: Net, cast: Cast, client: Owned
) -> None:
    before = net.held(cast.customer)
    session = client.start(UNITS)
    net.reply(client.ask(session))

    client.close(session)

    assert net.held(cast.customer) == before - 200
    assert net.held(client.address) == net.held_by_network == 0


def test_several_sessions_are_closed_at_once(net: Net, cast: Cast, client: Owned) -> None:
    before = net.held(cast.customer)
    sessions = [client.start(units) for units in (100, 200, 300)]

    client.call(Client.close_many, net.router, sessions[:2])

    assert net.held(cast.customer) == before - 300
    assert [net.session(session)[1] for session in sessions] == [0, 0, 300]


def test_several_sessions_are_closed_all_or_none(net: Net, cast: Cast, client: Owned) -> None:
    mine, others = client.start(100), net.open(cast.stranger, 200)

    with pytest.raises(DtnError):
        client.call(Client.close_many, net.router, [mine, others])

    assert [net.balance(session) for session in (mine, others)] == [100, 200]


def test_no_sessions_are_closed_without_harm(net: Net, client: Owned) -> None:
    receipt = client.call(Client.close_many, net.router, [])

    assert receipt.logs == ()


def test_a_session_without_anything_left_is_closed(net: Net, cast: Cast, client: Owned) -> None:
    session = client.start(200)
    net.reply(client.ask(session, most=200))
    before = net.held(cast.customer)

    client.close(session)

    assert net.session(session) == (NOBODY, 0)
    assert net.held(cast.customer) == before


def test_a_session_is_closed_once(net: Net, client: Owned) -> None:
    session = client.start(UNITS)
    client.close(session)

    with pytest.raises(SessionNotFound):
        client.close(session)


def test_tokens_that_lie_in_the_client_are_not_part_of_a_refund(
    net: Net, cast: Cast, client: Owned
) -> None:
    net.fund(client.address, 55)
    session = client.start(UNITS)
    before = net.held(cast.customer)

    client.close(session)

    assert net.held(cast.customer) == before + UNITS
    assert net.held(client.address) == 55


@pytest.mark.parametrize("variant", [Variant.LIVE], indirect=True)
def test_a_session_of_a_replaced_manager_waits_for_its_manager(
    net: Net, cast: Cast, client: Owned
) -> None:
    """Other sessions work meanwhile, also with another token."""
    old = client.start(UNITS)
    before = replace_sessions(net)
    net.fund(cast.customer, UNITS)
    client.approve(UNITS)

    with pytest.raises(DtnError):
        client.close(old)
    new = client.start(UNITS)
    client.close(new)
    assert net.held(cast.customer) == UNITS

    managers = (before.node_manager, before.session_manager, before.model_manager)
    net.send(cast.owner, net.router, SET_MANAGERS, *managers)
    client.close(old)
    assert net.held(cast.customer) == 1_000_000_000


# Sweeping.


def test_a_token_is_swept_to_the_owner(net: Net, cast: Cast, client: Owned) -> None:
    net.fund(client.address, UNITS)
    before = net.held(cast.customer)

    client.call(Client.sweep, net.contracts.fee_token)

    assert (net.held(client.address), net.held(cast.customer)) == (0, before + UNITS)


def test_coin_is_taken_and_swept_to_the_owner(net: Net, cast: Cast, client: Owned) -> None:
    give(net, cast.stranger, client.address, 10**18)
    before = net.coin(cast.customer)

    receipt = client.call(Client.sweep, NOBODY)

    assert net.coin(client.address) == 0
    assert net.coin(cast.customer) == before + 10**18 - receipt.gas_used * receipt.gas_price


def test_parts_are_swept_to_anybody(net: Net, cast: Cast, client: Owned) -> None:
    token, recipient = net.contracts.fee_token, cast.worker.address
    net.fund(client.address, UNITS)
    give(net, cast.stranger, client.address, 100)
    held, coin = net.held(recipient), net.coin(recipient)

    client.call(Client.sweep_to, token, recipient, UNITS - 1)
    client.call(Client.sweep_to, NOBODY, recipient, 99)

    assert (net.held(recipient) - held, net.coin(recipient) - coin) == (UNITS - 1, 99)
    assert (net.held(client.address), net.coin(client.address)) == (1, 1)


def test_sweeping_more_than_the_balance_reverts(net: Net, cast: Cast, client: Owned) -> None:
    net.fund(client.address, UNITS)
    recipient = cast.worker.address

    for token, amount in ((net.contracts.fee_token, UNITS + 1), (NOBODY, 1)):
        with pytest.raises(DtnError) as raised:
            client.call(Client.sweep_to, token, recipient, amount)
        assert raised.value.revert is not None


def test_sweeping_to_the_zero_address_reverts(net: Net, client: Owned) -> None:
    net.fund(client.address, UNITS)

    for token in (net.contracts.fee_token, NOBODY):
        with reverted(Client.no_recipient):
            client.call(Client.sweep_to, token, NOBODY, 0)


# Everything else.


def test_a_collectible_sent_by_mistake_is_sent_on(
    net: Net, cast: Cast, client: Owned, project: Any
) -> None:
    """A safe transfer is refused, another one is accepted and can be forwarded."""
    token = str(project.TestERC721.deploy(sender=cast.owner).address)
    net.send(cast.stranger, token, "mint(address,uint256)", cast.stranger.address, 1)
    sender, owner = cast.stranger.address, cast.customer.address
    transfer = Function("transferFrom(address,address,uint256)")
    safely = "safeTransferFrom(address,address,uint256)"
    owner_of = Function("ownerOf(uint256)", "address")

    with pytest.raises(DtnError) as raised:
        net.send(cast.stranger, token, safely, sender, client.address, 1)
    assert raised.value.revert is not None
    net.send(cast.stranger, token, transfer, sender, client.address, 1)
    assert net.read(token, owner_of, 1) == client.address

    client.call(Client.execute, token, 0, transfer.encode(client.address, owner, 1))

    assert net.read(token, owner_of, 1) == owner


def test_the_owner_can_call_any_contract_from_the_client(
    net: Net, cast: Cast, client: Owned, puppet: ScriptedContract
) -> None:
    """With value from its balance and from the call. Return data is returned."""
    puppet.rehearse()
    give(net, cast.stranger, client.address, 3)

    client.call(Client.execute, puppet.address, 5, b"anything", value=2)

    assert (net.coin(client.address), net.coin(puppet.address)) == (0, 5)
    balance = ERC20.balance_of.encode(cast.customer.address)
    arguments = (net.contracts.fee_token, 0, balance)
    sender = cast.customer.address
    returned = net.read(client.address, Client.execute, *arguments, sender=sender)
    assert returned == encode(["uint256"], [net.held(cast.customer)])


def test_revert_data_of_a_called_contract_is_forwarded(
    net: Net, cast: Cast, client: Owned, puppet: ScriptedContract
) -> None:
    puppet.rehearse((client.address, Client.sweep, (NOBODY,)), insists=True)

    with reverted(Client.not_owner, puppet.address):
        client.call(Client.execute, puppet.address, 0, b"anything")


def test_the_client_does_not_call_itself(client: Owned) -> None:
    for function, arguments in every_change(client).values():
        with reverted(Client.not_owner, client.address):
            data = function.encode(*arguments)
            client.call(Client.execute, client.address, 0, data)


def test_a_session_survives_a_change_of_the_networks_interface(
    net: Net, cast: Cast, client: Owned
) -> None:
    """The client can make any call that the router requires of an owner."""
    session = client.start(UNITS)
    before = net.held(cast.customer)

    data = Router.close_user_session.encode(session)
    client.call(Client.execute, net.router, 0, data)
    client.call(Client.sweep, net.contracts.fee_token)

    assert net.held(cast.customer) == before + UNITS
