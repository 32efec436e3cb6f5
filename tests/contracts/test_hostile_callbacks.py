"""Attacks with callbacks: a requester chooses what the router calls.

The requester chooses the target, the selector and the gas; the argument is the request's id. The
node pays for the gas, and the caller is the router.
"""

from __future__ import annotations

from typing import Any

import pytest

from ape_dtn import artifacts
from ape_dtn.chain import rpc
from ape_dtn.deployment.assemble import Variant
from ape_dtn.errors import ContractReverted, DtnError
from ape_dtn.network.abi import ERC20, Client, Router, SessionManager
from ape_dtn.types.abi import Function, decode
from ape_dtn.types.rpc import Failure
from tests.conftest import Cast

from .client import BEHAVE, FAITHFUL, ScriptedContract, error_data, played, set_delegate
from .conftest import NODE_ID, SUCCESS, Ask, Net, Reply, refused, storage_at
from .unchecked import logs_of, send_unchecked, succeeded

ANY = b"\1\2\3\4"
FREE = {"asked": 0, "answered": 0}
GAS = 2**24  # the gas limit of a transaction since Fusaka, on Ethereum and Base
BLOCK = 30_000_000

# Contracts by hand.
BURNS = "fe"  # invalid: all of its gas is gone
DESTROYS = "33ff"  # selfdestruct(caller())
RECORDS = "5a5f5500"  # sstore(0, gas())


def returns(size: int) -> str:
    return f"63{size:08x}5ff3"  # return(0, size)


def reverts(size: int) -> str:
    return f"63{size:08x}5ffd"  # revert(0, size)


MEGABYTE = 1_000_000
MEGABYTES_GAS = 2_300_000  # the cost of returning or reverting with a megabyte

BURN_ALL = Function("burnAll()")
AUTHORIZE = Function("authorizeOperator(bytes32)")
EXPECTED = (
    SessionManager.session_charged,
    Router.response_received,
    Router.request_completed,
    Router.success_callback_failed,
    ERC20.transferred,
)


def callback_to(target: str, selector: bytes = ANY) -> tuple[bytes, bytes, str]:
    return (selector, selector, target)


# What a callback does with its gas.


@pytest.mark.parametrize(
    ("code", "gas", "fails"),
    [
        (BURNS, 5_000_000, True),
        (DESTROYS, 100_000, False),
        (returns(MEGABYTE), MEGABYTES_GAS, False),
        (reverts(MEGABYTE // 2), MEGABYTES_GAS, True),
    ],
    ids=["burns all its gas", "destroys itself", "returns a megabyte", "reverts with half of one"],
)
def test_an_answer_lands_and_is_paid_whatever_its_callback_does(
    net: Net, cast: Cast, code: str, gas: int, fails: bool
) -> None:
    """Also within the gas limit of a transaction, which is below that of a block."""
    session = net.open(cast.customer, 1_000)
    callback = callback_to(net.create_raw(code))
    request = net.ask(cast.customer, session, callback=callback, callback_gas=gas)

    receipt = net.reply(request, response=b"answer", gas_limit=GAS)

    assert bool(Router.success_callback_failed.find(receipt.logs)) is fails
    assert net.fetch(request) == (SUCCESS, "", b"answer")
    assert net.held(cast.worker) == 200
    net.close(cast.customer, session)
    assert net.held(cast.customer) == 1_000_000_000 - 200


@pytest.mark.parametrize("code", [returns, reverts])
def test_the_node_pays_for_the_callbacks_gas_and_not_for_what_it_returns(
    net: Net, cast: Cast, variant: Variant, code: Any
) -> None:
    """The live router copies return data and logs revert data. A megabyte costs the node as much
    again as the callback when returned, and several times as much when logged."""
    session = net.open(cast.customer, 2_000)
    costs = []
    for target in (net.create_raw(BURNS), net.create_raw(code(MEGABYTE))):
        options = {"callback": callback_to(target), "callback_gas": MEGABYTES_GAS}
        request = net.ask(cast.customer, session, **options)
        costs.append(net.reply(request, gas_limit=BLOCK).gas_used)

    burnt, returned = costs
    if variant is Variant.LIVE:
        assert returned - burnt > (1_500_000 if code is returns else 15_000_000)
    else:
        assert returned - burnt < 50_000


def least_gas(net: Net, request: bytes) -> int:
    """Minimum gas of a response."""
    call = {
        "from": net.cast.worker.address,
        "to": net.router,
        "data": "0x" + Router.respond_to_request.encode(*Reply().arguments(request)).hex(),
    }
    too_little, enough = 21_000, 3_000_000
    while enough - too_little > 200:
        gas = (too_little + enough) // 2
        (answer,) = rpc.ask(net.provider, [("eth_call", [{**call, "gas": hex(gas)}, "latest"])])
        if isinstance(answer, Failure):
            too_little = gas
        else:
            enough = gas
    return enough


def test_a_node_cannot_starve_a_callback(net: Net, cast: Cast, variant: Variant) -> None:
    """A known weakness of the live network: a call gets at most 63/64 of the remaining gas, so
    that a response succeeds with a gas limit that leaves almost nothing for its callback."""
    session, gas = net.open(cast.customer), 500_000
    account = str(cast.owner.address)  # to call one that runs a contract's code costs more
    set_delegate(net, cast.owner, net.create_raw(RECORDS))
    for more in (0, 3_000, 10_000, 60_000):
        for target in (net.create_raw(RECORDS), account):
            options = {"callback": callback_to(target), "callback_gas": gas, "most": 200}
            request = net.ask(cast.customer, session, **options)

            receipt = net.reply(request, gas_limit=least_gas(net, request) + more)

            got = storage_at(net.provider, target, 0)
            if variant is Variant.LIVE:
                assert got < gas // 2
            else:
                assert got == gas - 2  # the cost of the GAS instruction
                assert not Router.success_callback_failed.find(receipt.logs)
            rpc.result(net.provider, "anvil_setStorageAt", [target, "0x0", "0x" + "00" * 32])


def test_callback_gas_above_the_block_limit_harms_only_the_requester(
    net: Net, cast: Cast, variant: Variant
) -> None:
    """The live router starves it, the reference router refuses the response. Either way the
    session can be closed, and other requests are answered."""
    session = net.open(cast.customer, 1_000)
    callback = callback_to(net.create_raw(RECORDS))
    request = net.ask(cast.customer, session, callback=callback, callback_gas=10**18)
    others = net.ask(cast.stranger, net.open(cast.stranger, 1_000))

    if variant is Variant.LIVE:
        net.reply(request, gas_limit=GAS)
    else:
        with refused(ContractReverted, f"InsufficientGasForCallback(callbackGas={10**18})"):
            net.reply(request, gas_limit=GAS)

    net.reply(others)
    left = net.balance(session)
    net.close(cast.customer, session)
    assert net.held(cast.customer) == 1_000_000_000 - 1_000 + left


# What a callback may call: a requester has the router call anything, as itself.


def functions(name: str) -> list[Function]:
    """Functions of a contract that are not views."""
    found = []
    for entry in artifacts.load(name)["abi"]:
        if entry["type"] == "function" and entry["stateMutability"] in ("nonpayable", "payable"):
            kinds = ",".join(_kind(parameter) for parameter in entry["inputs"])
            found.append(Function(f"{entry['name']}({kinds})"))
    return found


def _kind(field: Any) -> str:
    if not field["type"].startswith("tuple"):
        return str(field["type"])
    inner = ",".join(_kind(parameter) for parameter in field["components"])
    return f"({inner})" + field["type"].removeprefix("tuple")


def test_no_function_of_the_network_or_its_token_serves_a_requester_as_a_callback(
    net: Net, cast: Cast, variant: Variant, usdc: str
) -> None:
    """All functions that change state are tried, while somebody's deposit is waiting.

    One succeeds on the live network, a known weakness: if the router calls ``startUserSession``
    itself, it owns the session, and nobody can close it. Anybody could claim the waiting deposit
    anyway, but this destroys it.
    """
    contracts, closed = net.contracts, {net.router, usdc}
    targets = {
        net.router: f"{variant.value}Router",
        contracts.node_manager: f"{variant.value}NodeManager",
        contracts.model_manager: "ModelManager",
        net.namespace_manager: "NamespaceManager",
        usdc: "TestUSDC",
    }
    if variant is Variant.LIVE:
        targets[contracts.session_manager], closed = "LiveSessionManager", set()
    tried = [(to, function) for to, name in targets.items() for function in functions(name)]
    session = net.open(cast.customer)
    net.deposit(cast.stranger, 77)
    options = {"most": 0, "callback_gas": 400_000}
    asks = [Ask(callback=callback_to(to, function.selector), **options) for to, function in tried]
    calls = [(Router.request.encode(*ask.arguments(session)), ask.callback_gas) for ask in asks]
    asked = send_unchecked(net, cast.customer, *calls)
    ids = {
        created["requestId"]: function.signature
        for receipt, (_, function) in zip(asked, tried, strict=True)
        for created in Router.request_created.find(logs_of(receipt))
    }
    replies = [
        Router.respond_to_request.encode(*Reply(**FREE).arguments(request)) for request in ids
    ]
    answered = send_unchecked(net, cast.worker, *((reply, 0) for reply in replies))

    assert len(tried) > 40
    assert len(ids) == sum(to not in closed for to, _ in tried)
    of_use = []
    for receipt, signature in zip(answered, ids.values(), strict=True):
        assert succeeded(receipt), signature
        logs = logs_of(receipt)
        moved = [transfer["value"] for transfer in ERC20.transferred.find(logs)]
        expected = all(any(event.matches(log) for event in EXPECTED) for log in logs)
        if any(moved) or not expected:
            of_use.append(signature)
    if variant is Variant.LIVE:
        assert of_use == ["startUserSession()"]
    else:
        assert of_use == []
        assert net.balance(net.start(cast.stranger)) == 77
    net.close(cast.customer, session)
    assert net.held(cast.customer) == 1_000_000_000


@pytest.mark.parametrize("function", [BURN_ALL, AUTHORIZE], ids=["burns", "authorizes"])
def test_a_callback_cannot_act_on_the_token_in_the_routers_name(
    net: Net, cast: Cast, hostile: str, function: Function
) -> None:
    """A token may have functions for its holders that take one word, or no argument."""
    session = net.open(cast.customer, 1_000)
    net.open(cast.stranger, 5_000)
    callback = callback_to(hostile, function.selector)
    if net.contracts.fee_target == net.router:
        with refused(ContractReverted, f"CallbackTargetNotAllowed(target={hostile})"):
            net.ask(cast.customer, session, callback=callback, callback_gas=200_000)
    else:  # who calls is not who has the tokens
        request = net.ask(cast.customer, session, callback=callback, callback_gas=200_000)
        assert not Router.success_callback_failed.find(net.reply(request, **FREE).logs)
        operator = "0x" + request[12:].hex()
        assert net.read(hostile, ERC20.allowance, net.contracts.fee_target, operator) == 0

    assert net.held_by_network == 6_000
    net.close(cast.customer, session)


def test_precompiled_contracts_are_called_without_harm(net: Net, cast: Cast) -> None:
    session = net.open(cast.customer)
    for number in (1, 2, 4, 5, 6, 10):
        callback = callback_to(f"0x{number:040x}")
        request = net.ask(cast.customer, session, callback=callback, callback_gas=100_000)

        net.reply(request)

        assert net.fetch(request)[0] == SUCCESS, number


# What a callback does with the network.


def test_a_reentrant_callback_gets_only_its_own_tokens(
    net: Net, cast: Cast, puppet: ScriptedContract
) -> None:
    """The scripted contract owns the session, is called back, and is a node that can respond."""
    node = net.add_node("puppet", puppet.address)
    net.fund(puppet.address, 2_000)
    pay = (net.contracts.fee_token, ERC20.transfer, (net.contracts.fee_target, 1_000))
    opened = puppet.act(pay, (net.router, Router.start_user_session, ()))
    (own,) = (e["sessionId"] for e in SessionManager.session_started.find(opened.logs))
    others = net.open(cast.stranger, 5_000)
    options = {"nodes": (NODE_ID, node), "most": 300, "callback": callback_to(puppet.address)}
    gas = 5_000_000
    asks = [Ask(callback_gas=gas, **options), Ask(user=puppet.address, **options)]
    calls = [(net.router, gas, Router.request.encode(*ask.arguments(own))) for ask in asks]
    act = Function("act((address,uint256,bytes)[])")
    sent = net.send(cast.stranger, puppet.address, act, calls, value=2 * gas)
    request, other = (event["requestId"] for event in Router.request_created.find(sent.logs))
    again = Reply(node=node, asked=10)
    puppet.rehearse(
        (net.router, Router.fetch_response, (request,)),
        (net.router, Router.respond_to_request, again.arguments(request)),
        (net.router, Router.respond_to_request, again.arguments(other)),
        (net.router, Router.start_user_session, ()),
        (net.router, Router.request, Ask(user=cast.owner.address, most=300).arguments(own)),
        (net.router, Router.close_user_session, (others,)),
        (net.router, Router.close_user_session, (own,)),
        (net.router, Router.close_user_session, (own,)),
        pay,
        (net.router, Router.start_user_session, ()),
    )

    receipt = net.reply(request, response=b"answer", gas_limit=GAS)

    results = played(receipt)
    done = [ok for _, ok, _ in results]
    assert done == [True, False, False, False, True, False, True, False, True, True]
    assert decode(["uint8", "string", "bytes"], bytes.fromhex(results[0][2]))[2] == b"answer"
    reentrant = error_data(Client.reentrant_call).hex()
    assert [data for _, _, data in results[1:3]] == [reentrant, reentrant]
    paid = SessionManager.session_charged.find(receipt.logs)
    assert [charge["amount"] for charge in paid] == [200]
    assert net.held(cast.worker) == 200
    assert net.balance(others) == 5_000
    (fresh,) = (e["sessionId"] for e in SessionManager.session_started.find(receipt.logs))
    assert net.session(fresh) == (puppet.address, 1_000)
    assert net.held_by_network == 6_000
    with pytest.raises(DtnError):
        net.reply(other)


def test_a_token_that_calls_back_while_a_callback_closes_finds_nothing_to_take(
    net: Net, cast: Cast, hostile: str, puppet: ScriptedContract
) -> None:
    """A response, its callback, a refund and the token's hook, nested."""
    thief = net.create_raw(_starts_a_session(net.router))
    net.fund(puppet.address, 1_000)
    pay = (hostile, ERC20.transfer, (net.contracts.fee_target, 1_000))
    opened = puppet.act(pay, (net.router, Router.start_user_session, ()))
    (own,) = (e["sessionId"] for e in SessionManager.session_started.find(opened.logs))
    net.open(cast.stranger, 5_000)
    ask = Ask(callback=callback_to(puppet.address), callback_gas=3_000_000)
    act = Function("act((address,uint256,bytes)[])")
    call = (net.router, ask.callback_gas, Router.request.encode(*ask.arguments(own)))
    sent = net.send(cast.stranger, puppet.address, act, [call], value=ask.callback_gas)
    (created,) = Router.request_created.find(sent.logs)
    puppet.rehearse((net.router, Router.close_user_session, (own,)))
    net.send(cast.owner, hostile, BEHAVE, FAITHFUL, thief)

    receipt = net.reply(created["requestId"], gas_limit=GAS)

    assert played(receipt)[0][:2] == (net.router, True)
    assert not SessionManager.session_started.find(receipt.logs)
    assert (net.held(puppet.address), net.held_by_network) == (800, 5_000)


def _starts_a_session(router: str) -> str:
    """A contract that starts a session whenever it is called, and never reverts."""
    selector = Router.start_user_session.selector.hex()
    # mstore(0, selector); call(gas(), router, 0, 28, 4, 0, 0)
    return f"63{selector}5f525f5f6004601c5f73{router[2:].lower()}5af100"
