"""The network on a devnet's chain: deployed, reused or forked, then funded and recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ape_dtn.chain import rpc, transactions
from ape_dtn.chain.reads import Call
from ape_dtn.client.ai import DtnAi
from ape_dtn.deployment import assemble
from ape_dtn.network import deployments, reverts
from ape_dtn.network.abi import ERC20
from ape_dtn.types.abi import Function
from ape_dtn.types.errors import DtnError, InvalidOption
from ape_dtn.types.rpc import Request, as_int
from ape_dtn.types.transactions import Receipt, contract_call

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI

    from ape_dtn.types.amount import Amount, Token


# The funds of each account: whole fee tokens, and wei (as Anvil gives its own accounts).
FUNDS = "1000"
WEI = 10_000 * 10**18

# The node on a fork. The nodes that are registered there do not see the fork.
FORK_NODE = "node.devnet.local"


@dataclass(frozen=True)
class Accounts:
    """The accounts of a devnet.

    Attributes:
        owner: Deploys the network, and owns the node.
        worker: Sends the node's responses.
        addresses: Ape's test accounts, by alias. Their keys are public.
        own: The user's accounts that get funds, by name.
    """

    owner: AccountAPI
    worker: AccountAPI
    addresses: dict[str, str]
    own: dict[str, str]

    @property
    def funded(self) -> dict[str, str]:
        """All accounts that get funds."""
        return {**self.addresses, **self.own}


def of(
    provider: ProviderAPI,
    accounts: Accounts,
    variant: assemble.Variant | None,
    fee_token: assemble.FeeToken | None,
    say: Callable[[str], None],
) -> DtnAi:
    """Return the network deployed on this chain before, or deploy one.

    A new network has the reference variant and USDT unless others are given. ``say`` is called with
    each step before it begins.

    Raises:
        InvalidOption: The existing network has another variant or fee token.
    """
    found = deployments.recall(provider)
    if found is None:
        chosen = variant or assemble.Variant.REFERENCE
        token = fee_token or assemble.FeeToken.USDT
        return assemble.deploy(accounts.owner, accounts.worker, chosen, token, say).ai
    say("Reusing the network on this chain")
    ai = DtnAi(found.router, provider)
    for option, wanted, existing in (
        ("variant", variant and variant.name, (found.variant or "").upper()),
        ("token", fee_token and fee_token.name, ai.token().symbol),
    ):
        if wanted and existing and wanted != existing:
            raise InvalidOption(
                f"--{option}", f"the network on this chain already uses {existing.lower()}"
            )
    return ai


def of_fork(provider: ProviderAPI, accounts: Accounts) -> DtnAi:
    """Return the network on a forked chain, and remove code from the test accounts.

    On public chains, these accounts are delegated (EIP-7702) to contracts that forward what they
    receive, since their keys are public.

    Raises:
        UnknownChain: No router is known for the forked chain.
        NoContractAtAddress: The forked chain has no contract at the router's address.
    """
    ai = DtnAi(None, provider)
    ai.contracts()
    addresses = accounts.addresses.values()
    results = rpc.ask(provider, [("anvil_setCode", [address, "0x"]) for address in addresses])
    for result in results:
        rpc.expect(result)
    return ai


def fund(ai: DtnAi, accounts: Accounts, *, forked: bool) -> Token:
    """Give native currency and fee tokens to accounts without any.

    On a fork, accounts are filled up to the full amount. Tokens are minted, or on a fork written
    into the token's storage.
    """
    token, provider = ai.token(), ai.provider
    units = token.amount(FUNDS).units
    least_wei, least_units = (WEI, units) if forked else (1, 1)
    addresses = list(accounts.funded.values())
    native = rpc.ask(provider, [("eth_getBalance", [address, "latest"]) for address in addresses])
    changes: list[Request] = [
        ("anvil_setBalance", [address, hex(WEI)])
        for address, balance in zip(addresses, native, strict=True)
        if as_int(rpc.expect(balance)) < least_wei
    ]
    held = balances(ai, token, accounts)
    unfunded = [
        accounts.funded[name] for name, amount in held.items() if amount.units < least_units
    ]
    if forked:
        deal = "anvil_dealERC20"
        changes += [(deal, [address, token.address, hex(units)]) for address in unfunded]
    for answer in rpc.ask(provider, changes):
        rpc.expect(answer)
    if forked:
        return token

    def on_result(_: int, outcome: Receipt | DtnError) -> None:
        if isinstance(outcome, DtnError):
            raise outcome

    mint = Function("mint(address,uint256)")
    mints = [contract_call(token.address, mint, address, units) for address in unfunded]
    transactions.send_each(provider, accounts.owner, mints, reverts.NO_CONTEXT, on_result)
    return token


def balances(ai: DtnAi, token: Token, accounts: Accounts) -> dict[str, Amount]:
    """Return the fee token balances of the funded accounts, by name."""
    funded = accounts.funded
    held = ai.read(
        *(Call(token.address, ERC20.balance_of, (address,)) for address in funded.values())
    )
    return {name: token.units(units) for name, units in zip(funded, held, strict=True)}


def remember(ai: DtnAi, name: str, models: Sequence[str], gateways: Sequence[str]) -> DtnAi:
    """Record the node, its models and the IPFS gateways, so that other commands find them."""
    deployment = ai.deployment
    deployment = replace(
        deployment,
        nodes=tuple(dict.fromkeys((*deployment.nodes, name))),
        models=tuple(dict.fromkeys((*deployment.models, *models))),
        gateways=tuple(gateways),
    )
    deployments.remember(ai.provider, deployment)
    return DtnAi(deployment.router, ai.provider)
