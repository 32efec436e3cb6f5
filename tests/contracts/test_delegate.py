"""The EIP-7702 delegate: sessions in one transaction, and an account that stays an account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from eth_account.messages import encode_defunct
from eth_utils import keccak

from ape_dtn.chain import reads, rpc, transactions
from ape_dtn.deployment.assemble import Variant
from ape_dtn.errors import DtnError
from ape_dtn.network.abi import ERC20, Delegate, Router, SessionManager
from ape_dtn.types.abi import Function
from ape_dtn.types.rpc import as_int
from ape_dtn.types.transactions import Transaction
from tests.conftest import Cast

from .client import (
    ALLOWANCE,
    BEHAVE,
    DELEGATE,
    DELEGATE_CODE,
    FAITHFUL,
    FOREVER,
    PERMIT,
    TAXED,
    Owned,
    ScriptedContract,
    code_at,
    create,
    error_data,
    nonce_of,
    played,
    requested,
    reverted,
    send_with_delegations,
    sign,
    sign_delegation,
    sign_permit,
    started,
)
from .conftest import (
    NOBODY,
    SUCCESS,
    Ask,
    Net,
    address,
    erc7201,
    pay_in,
    storage_at,
)

UNITS = 1_000_000

# Where the code of version 0.1.0 is, on every chain.
PINNED = "0x75e9c3487fDFb323E55Bd04d0CE0CC7F3267F289"

MAGIC = bytes.fromhex("1626ba7e")  # the magic value of ERC-1271
NOT_SIGNED = b"\xff" * 4

CHANGES = ["start", "request", "requestMany", "close", "closeMany"]
each_change = pytest.mark.parametrize("change", CHANGES)


@pytest.fixture
def delegate(net: Net, cast: Cast) -> str:
    """The delegate's code, created by the owner of the network."""
    create(net, cast.owner, DELEGATE_CODE)
    return DELEGATE


@pytest.fixture
def account(net: Net, cast: Cast, delegate: str) -> Owned:
    """The customer's account with the delegate."""
    cast.customer.set_delegate(delegate)
    return Owned(net, cast.customer.address, cast.customer)


def every_change(account: Owned) -> dict[str, tuple[Function, tuple[Any, ...]]]:
    """A call of each function that is not a view."""
    ask = Ask()
    return {
        "start": (Delegate.start, (account.net.router, 1)),
        "request": (Delegate.request, account.one(1, ask)),
        "requestMany": (Delegate.request_many, account.many(1, ask, ask)),
        "close": (Delegate.close, (account.net.router, 1)),
        "closeMany": (Delegate.close_many, (account.net.router, [1])),
    }


def runs(net: Net, account: Any) -> str | None:
    """Code that an account delegates to (EIP-7702)."""
    code = code_at(net, address(account))
    return None if not code else "0x" + code.removeprefix(bytes.fromhex("ef0100")).hex()


# Where it is.


def test_the_delegates_address_is_pinned(net: Net, delegate: str) -> None:
    assert delegate == PINNED
    assert code_at(net, delegate)


# One transaction.


def test_one_transaction_delegates_pays_and_starts(net: Net, cast: Cast, delegate: str) -> None:
    """A raw transaction of type 4, as any EIP-7702 signer creates it."""
    customer, before = cast.customer, net.held(cast.customer)
    delegation = sign_delegation(net, customer, nonce_of(net, customer) + 1)
    data = Delegate.start.encode(net.router, UNITS)

    receipt = send_with_delegations(net, customer, customer.address, data, delegation)

    (opened,) = SessionManager.session_started.find(map(reads.to_log, receipt["logs"]))
    assert (opened["owner"], opened["balance"]) == (customer.address, UNITS)
    assert net.held(customer) == before - UNITS
    assert runs(net, customer) == delegate.lower()


def test_ape_delegates_pays_and_starts_in_one_transaction(
    net: Net, cast: Cast, delegate: str
) -> None:
    customer = cast.customer

    receipt = customer.set_delegate(delegate, data=Delegate.start.encode(net.router, UNITS))

    raw = rpc.result(net.provider, "eth_getTransactionReceipt", [receipt.txn_hash])
    (opened,) = SessionManager.session_started.find(map(reads.to_log, raw["logs"]))
    assert net.session(opened["sessionId"]) == (customer.address, UNITS)


def test_ape_delegates_for_a_while(net: Net, cast: Cast, delegate: str, project: Any) -> None:
    customer = cast.customer
    with customer.delegate_to(project.DtnDelegate.at(delegate)) as account:
        receipt = account.start(net.router, UNITS)
        assert runs(net, customer) == delegate.lower()

    raw = rpc.result(net.provider, "eth_getTransactionReceipt", [receipt.txn_hash])
    (opened,) = SessionManager.session_started.find(map(reads.to_log, raw["logs"]))
    assert runs(net, customer) is None
    net.close(customer, opened["sessionId"])
    assert net.held(customer) == 1_000_000_000


def test_a_delegation_to_code_that_is_not_there_yet_moves_nothing(net: Net, cast: Cast) -> None:
    customer = cast.customer
    delegation = sign_delegation(net, customer, nonce_of(net, customer) + 1)
    data = Delegate.start.encode(net.router, UNITS)

    receipt = send_with_delegations(net, customer, customer.address, data, delegation)

    assert receipt["logs"] == []
    assert net.held(customer) == 1_000_000_000


def test_a_delegation_that_stays_starts_again(net: Net, cast: Cast, account: Owned) -> None:
    sessions = [account.start(units) for units in (100, 200)]

    assert [net.session(session) for session in sessions] == [
        (cast.customer.address, 100),
        (cast.customer.address, 200),
    ]


def test_a_session_is_used_closed_and_refunded_to_the_account(
    net: Net, cast: Cast, account: Owned
) -> None:
    session = account.start(UNITS)
    request = account.ask(session)
    net.reply(request)

    account.close(session)

    assert net.fetch(request)[0] == SUCCESS
    assert net.held(cast.customer) == 1_000_000_000 - 200
    assert net.held_by_network == 0


def test_a_session_can_be_closed_without_the_delegate(net: Net, cast: Cast, account: Owned) -> None:
    """The account owns it, and sends and closes by itself."""
    session = account.start(UNITS)
    cast.customer.remove_delegate()

    net.reply(net.ask(cast.customer, session))
    net.close(cast.customer, session)

    assert runs(net, cast.customer) is None
    assert net.held(cast.customer) == 1_000_000_000 - 200


def test_a_delegated_account_does_all_it_did_before(net: Net, cast: Cast, account: Owned) -> None:
    session = net.open(cast.customer, UNITS)
    net.reply(net.ask(cast.customer, session))
    net.close(cast.customer, session)

    assert net.held(cast.customer) == 1_000_000_000 - 200


def test_a_session_is_started_in_each_token(any_net: Net, cast: Cast) -> None:
    create(any_net, cast.owner, DELEGATE_CODE)
    cast.customer.set_delegate(DELEGATE)
    account = Owned(any_net, cast.customer.address, cast.customer)
    before = any_net.held(cast.customer)

    account.close(account.start(UNITS))

    assert any_net.held(cast.customer) == before


def test_several_sessions_are_closed_at_once(net: Net, cast: Cast, account: Owned) -> None:
    sessions = [account.start(units) for units in (100, 200, 300)]

    account.call(Delegate.close_many, net.router, sessions)

    assert net.held_by_network == 0
    assert net.held(cast.customer) == 1_000_000_000


# Asking.


def test_ids_are_apart_within_one_block_and_across_its_batches(
    net: Net, cast: Cast, account: Owned
) -> None:
    session = account.start(UNITS)
    batch = (Delegate.request_many, account.many(session, Ask(), Ask(), Ask()))
    one = (Delegate.request, account.one(session, Ask()))

    receipts = net.send_in_one_block(
        *((cast.customer, account.address, *call) for call in (batch, one, batch, one)),
        gas=3_000_000,
    )

    ids = [
        event["requestId"]
        for receipt in receipts
        for event in requested([reads.to_log(log) for log in receipt["logs"]])
    ]
    assert len(ids) == len(set(ids)) == 8
    for request in ids:
        net.reply(request)
    assert net.balance(session) == UNITS - 8 * 200


def test_requests_are_numbered_behind_the_accounts_first_bytes(
    net: Net, cast: Cast, account: Owned
) -> None:
    session = account.start(UNITS)
    requests = [account.ask(session), *account.ask_many(session, Ask(), Ask())]

    users = [bytes.fromhex(net.record(request)[1][2:]) for request in requests]

    assert [user[:12] for user in users] == [bytes.fromhex(cast.customer.address[2:])[:12]] * 3
    assert [int.from_bytes(user[12:], "big") for user in users] == [0, 1, 2]
    assert account.read(Delegate.request_count) == 3


def test_numbers_go_on_after_the_delegation_has_ended_and_begun_again(
    net: Net, cast: Cast, account: Owned, delegate: str
) -> None:
    session = account.start(UNITS)
    account.ask(session)
    cast.customer.remove_delegate()
    cast.customer.set_delegate(delegate)

    request = account.ask(session)

    assert int(net.record(request)[1][26:], 16) == 1


def test_the_delegate_stores_only_the_count_at_its_erc7201_location(
    net: Net, cast: Cast, account: Owned
) -> None:
    slot = erc7201("ape-dtn.DtnDelegate")
    account.ask_many(account.start(UNITS), Ask(), Ask())

    assert storage_at(net.provider, account.address, slot) == 2
    assert [storage_at(net.provider, account.address, slot) for slot in range(10)] == [0] * 10


def test_a_callbacks_gas_is_paid_from_the_account(net: Net, cast: Cast, account: Owned) -> None:
    session = account.start(UNITS)
    before = net.coin(net.router)

    requests = account.ask_many(session, Ask(callback_gas=7), Ask(callback_gas=7))

    assert [net.record(request)[7] for request in requests] == [7, 7]
    assert net.coin(net.router) == before + 14
    with reverted(Delegate.wrong_value, 7, 6):
        account.ask(session, callback_gas=7, value=6)


# Strangers.


@each_change
@pytest.mark.parametrize("who", ["owner", "worker", "stranger"])
def test_only_the_account_itself_can_use_the_delegate(
    cast: Cast, account: Owned, who: str, change: str
) -> None:
    stranger = getattr(cast, who)
    function, arguments = every_change(account)[change]

    with reverted(Delegate.not_owner, stranger.address):
        account.call(function, *arguments, by=stranger)


@each_change
def test_the_delegate_itself_has_no_owner(net: Net, cast: Cast, delegate: str, change: str) -> None:
    itself = Owned(net, delegate, cast.customer)
    function, arguments = every_change(itself)[change]

    with reverted(Delegate.not_owner, cast.customer.address):
        itself.call(function, *arguments)


def test_a_stranger_who_delivers_the_delegation_gets_nothing_by_it(
    net: Net, cast: Cast, delegate: str
) -> None:
    """Anybody who sees an authorization can send it, with any call."""
    customer, stranger = cast.customer, cast.stranger
    delegation = sign_delegation(net, customer, nonce_of(net, customer))
    data = Delegate.start.encode(stranger.address, UNITS)

    receipt = send_with_delegations(net, stranger, customer.address, data, delegation)

    assert as_int(receipt["status"]) == 0
    assert runs(net, customer) == delegate.lower()
    assert net.held(customer) == 1_000_000_000


@each_change
def test_a_contract_that_the_account_calls_is_a_stranger(
    net: Net, cast: Cast, account: Owned, puppet: ScriptedContract, change: str
) -> None:
    function, arguments = every_change(account)[change]
    puppet.rehearse((account.address, function, arguments))

    receipt = transactions.send(
        net.provider,
        cast.customer,
        Transaction(puppet.address, b"anything", gas_limit=1_000_000),
    )

    refusal = error_data(Delegate.not_owner, puppet.address).hex()
    assert played(receipt) == [(cast.customer.address, False, refusal)]


@each_change
def test_a_token_that_calls_the_account_is_a_stranger(
    net: Net, cast: Cast, account: Owned, hostile: str, puppet: ScriptedContract, change: str
) -> None:
    function, arguments = every_change(account)[change]
    puppet.rehearse((account.address, function, arguments))
    net.send(cast.owner, hostile, BEHAVE, FAITHFUL, puppet.address)

    receipt = account.call(Delegate.start, net.router, UNITS, gas_limit=2_000_000)

    refusal = error_data(Delegate.not_owner, puppet.address).hex()
    assert played(receipt) == [(hostile, False, refusal)]
    assert net.session(started(receipt)) == (cast.customer.address, UNITS)


def test_a_callback_to_the_account_is_taken_as_by_an_account_without_code(
    net: Net, cast: Cast, account: Owned
) -> None:
    """Unless its selector is one of the delegate, which reverts."""
    session = account.start(UNITS)
    known, unknown = Delegate.close.selector, b"\1\2\3\4"
    options = {"callback_gas": 100_000}
    taken = account.ask(session, callback=(unknown, unknown, account.address), **options)
    refused = account.ask(session, callback=(known, known, account.address), **options)

    assert not Router.success_callback_failed.find(net.reply(taken).logs)
    assert Router.success_callback_failed.find(net.reply(refused).logs)

    assert net.balance(session) == UNITS - 2 * 200


# Hostile tokens.


def test_a_token_that_takes_a_fee_is_refused(
    net: Net, cast: Cast, account: Owned, hostile: str
) -> None:
    net.send(cast.owner, hostile, BEHAVE, TAXED, NOBODY)

    with pytest.raises(DtnError) as raised:
        account.start(1_000)

    assert raised.value.revert is not None
    data = raised.value.revert.data
    assert data[:4] == Delegate.session_short.selector
    assert list(Delegate.session_short.decode(data[4:]).values())[1:] == [1_000, 900]
    assert net.held(cast.customer) == 1_000_000_000


@pytest.mark.parametrize("pays", [False, True])
def test_a_thief_whom_the_token_lets_in_between_gets_nothing(
    net: Net, cast: Cast, account: Owned, hostile: str, puppet: ScriptedContract, pays: bool
) -> None:
    net.fund(puppet.address, 1)
    unit = (hostile, ERC20.transfer, (net.contracts.fee_target, 1))
    steal = (net.router, Router.start_user_session, ())
    puppet.rehearse(*([steal, unit] if pays else [steal]))
    net.send(cast.owner, hostile, BEHAVE, FAITHFUL, puppet.address)

    with pytest.raises(DtnError) as raised:
        account.start(UNITS)

    assert raised.value.revert is not None
    error = Delegate.session_short if pays else SessionManager.invalid_amount
    assert raised.value.revert.data[:4] == error.selector
    assert (net.held(cast.customer), net.held_by_network) == (1_000_000_000, 0)


# Other abilities of an account.


def test_native_currency_is_accepted_in_every_way(
    net: Net, cast: Cast, account: Owned, puppet: ScriptedContract
) -> None:
    """Without data, with data, and with 2300 gas."""
    before = net.coin(account.address)
    provider = net.provider

    for data in (b"", b"for lunch", Function("anything(uint256)").encode(1)):
        transactions.send(provider, cast.stranger, Transaction(account.address, data, 10))
    net.send(cast.stranger, puppet.address, "give(address)", account.address, value=10)

    assert net.coin(account.address) == before + 40


def test_collectibles_come_in(net: Net, cast: Cast, account: Owned, project: Any) -> None:
    single = project.TestERC721.deploy(sender=cast.owner)
    many = project.TestERC1155.deploy(sender=cast.owner)
    sender, customer = cast.stranger, account.address
    for number in (1, 2):
        single.mint(sender, number, sender=sender)
        many.mint(sender, number, 10, sender=sender)

    single.safeTransferFrom(sender, customer, 1, sender=sender)
    many.safeTransferFrom(sender, customer, 1, 4, b"", sender=sender)
    many.safeBatchTransferFrom(sender, customer, [1, 2], [1, 2], b"", sender=sender)

    assert single.ownerOf(1) == customer
    assert [many.balanceOf(customer, number) for number in (1, 2)] == [5, 2]


@pytest.mark.parametrize(
    ("interface", "supported"), [("01ffc9a7", True), ("4e2312e0", True), ("ffffffff", False)]
)
def test_the_supported_interfaces_are_reported(
    account: Owned, interface: str, supported: bool
) -> None:
    """ERC-165, and ERC-1155 receivers."""
    supports = Function("supportsInterface(bytes4)", "bool")

    assert account.read(supports, bytes.fromhex(interface)) is supported


# Signatures.


def test_the_accounts_own_signature_is_good(cast: Cast, account: Owned) -> None:
    message = encode_defunct(text="It is me.")
    signature = sign(cast.customer, message)
    hash_ = keccak(b"\x19" + message.version + message.header + message.body)

    assert account.read(Delegate.is_valid_signature, hash_, signature.packed) == MAGIC


def _of_another_key(account: Owned, message: Any) -> bytes:
    return sign(account.net.cast.stranger, message).packed


def _of_another_message(account: Owned, message: Any) -> bytes:
    return sign(account.owner, encode_defunct(text="It is not me.")).packed


def _cut_short(account: Owned, message: Any) -> bytes:
    return sign(account.owner, message).packed[:-1]


def _the_other_s(account: Owned, message: Any) -> bytes:
    """The malleable counterpart of a signature, which must be refused."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    signature = sign(account.owner, message)
    s = order - int.from_bytes(signature.s, "big")
    return signature.r + s.to_bytes(32, "big") + bytes([55 - signature.v])


def _empty(account: Owned, message: Any) -> bytes:
    return b""


def _zero(account: Owned, message: Any) -> bytes:
    """A signature that recovers to the zero address."""
    return b"\0" * 65


@pytest.mark.parametrize(
    "forge", [_of_another_key, _of_another_message, _cut_short, _the_other_s, _empty, _zero]
)
def test_no_other_signature_is(account: Owned, forge: Callable[[Owned, Any], bytes]) -> None:
    message = encode_defunct(text="It is me.")
    hash_ = keccak(b"\x19" + message.version + message.header + message.body)

    forged = forge(account, message)

    assert account.read(Delegate.is_valid_signature, hash_, forged) == NOT_SIGNED


def test_a_token_like_usdc_takes_the_permits_of_a_delegated_account(
    net: Net, cast: Cast, account: Owned, variant: Variant
) -> None:
    """It checks signatures of accounts with code by ERC-1271."""
    token = net.create("TestUSDC")
    pay_in(net, variant, token)
    owner, spender = cast.customer.address, cast.stranger.address
    forged = sign_permit(net, cast.stranger, spender, UNITS, owner=cast.customer)
    signature = sign_permit(net, cast.customer, spender, UNITS)
    given = (owner, spender, UNITS, FOREVER)

    with reverted("EIP2612: invalid signature"):
        net.send(cast.stranger, token, PERMIT, *given, *forged.arguments)
    net.send(cast.stranger, token, PERMIT, *given, *signature.arguments)

    assert net.read(token, ALLOWANCE, owner, spender) == UNITS
