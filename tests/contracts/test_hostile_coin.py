"""Native currency forced on the contracts: nothing depends on their balances."""

from __future__ import annotations

from itertools import product

from ape_dtn.chain import rpc, transactions
from ape_dtn.network.abi import Client
from ape_dtn.types.transactions import Transaction
from tests.conftest import Cast

from .client import DELEGATE_CODE, Owned, create, set_delegate
from .conftest import Net

UNITS = 1_000_000
FORCED = 10**18


def by_destruction(net: Net, at: str) -> None:
    """A contract destroys itself during creation and leaves its balance to an address."""
    code = bytes.fromhex(f"73{at[2:]}ff")  # selfdestruct(at)
    transactions.send(net.provider, net.cast.stranger, Transaction(None, code, FORCED))


def by_block_rewards(net: Net, at: str) -> None:
    """Rewards of proposers and withdrawals of staking run no code."""
    rpc.result(net.provider, "anvil_setBalance", [at, hex(net.coin(at) + FORCED)])


WAYS = (by_destruction, by_block_rewards)
ALL = len(WAYS) * FORCED


def test_native_currency_forced_on_the_network_changes_nothing(net: Net, cast: Cast) -> None:
    """The value of callbacks stays in the router, out of reach."""
    session = net.open(cast.customer, 1_000)
    asked = net.ask(cast.customer, session, callback_gas=100_000)
    contracts = net.contracts
    at = {net.router, contracts.session_manager, contracts.node_manager, contracts.model_manager}
    before = {address: net.coin(address) for address in at}
    for contract, force in product(at, WAYS):
        force(net, contract)

    net.reply(asked)
    net.reply(net.ask(cast.customer, session, most=300, callback_gas=50_000, value=50_007))
    net.close(cast.customer, session)

    assert net.held(cast.customer) == 1_000_000_000 - 400
    assert before[net.router] >= 100_000
    kept = {contract: coin + ALL for contract, coin in before.items()}
    kept[net.router] += 50_007
    assert {address: net.coin(address) for address in at} == kept
    assert net.balance(net.open(cast.customer, 7)) == 7


def test_native_currency_forced_on_a_client_can_be_swept(
    net: Net, cast: Cast, client: Owned
) -> None:
    session = client.start(UNITS)
    for force in WAYS:
        force(net, client.address)

    asked = client.ask(session, callback_gas=100_000)
    assert net.coin(client.address) == ALL
    net.reply(asked)
    client.close(session)
    client.call(Client.sweep_to, "0x" + "00" * 20, "0x" + "12" * 20, ALL)

    assert (net.coin(client.address), net.coin("0x" + "12" * 20)) == (0, ALL)
    assert net.held(cast.customer) == 1_000_000_000 - 200


def test_native_currency_forced_on_a_delegated_account_belongs_to_it(net: Net, cast: Cast) -> None:
    create(net, cast.owner, DELEGATE_CODE)
    set_delegate(net, cast.customer)
    account = Owned(net, str(cast.customer.address), cast.customer)
    session = account.start(UNITS)
    before = net.coin(cast.customer)
    for force in WAYS:
        force(net, account.address)
    assert net.coin(cast.customer) == before + ALL

    net.reply(account.ask(session, callback_gas=100_000))
    account.close(session)

    assert net.held(cast.customer) == 1_000_000_000 - 200
