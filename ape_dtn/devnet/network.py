"""The network on a devnet's chain: deployed, found again, or forked, with funds and a node."""

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


# What each account gets, in whole tokens, and in wei, as Anvil gives it to its own.
FUNDS = "1000"
COIN = 10_000 * 10**18

# On a fork, beside the nodes that are registered there and do not know of it.
FORK_NODE = "node.devnet.local"


@dataclass(frozen=True)
class Cast:
    """Who is who on a devnet.

    Attributes:
        owner: Who deploys the network, and owns the node.
        worker: The account that the node answers from.
        addresses: The accounts of Ape's tests, by their aliases. Everybody has their keys.
        own: Others that get funds, by what they are called: accounts of the user's.
    """

    owner: AccountAPI
    worker: AccountAPI
    addresses: dict[str, str]
    own: dict[str, str]

    @property
    def funded(self) -> dict[str, str]:
        """All that get funds."""
        return {**self.addresses, **self.own}


def of(
    provider: ProviderAPI,
    cast: Cast,
    variant: assemble.Variant | None,
    fee_token: assemble.FeeToken | None,
    say: Callable[[str], None],
) -> DtnAi:
    """The network that was deployed on this chain before, or a new one.

    Args:
        provider: The connection.
        cast: Who deploys it.
        variant: How its contracts behave; by default as they do already, or the reference one.
        fee_token: What it is paid in; by default what it is already, or USDT.
        say: Told what is being done.

    Raises:
        InvalidOption: The one that is there behaves otherwise, or is paid in another token.
    """
    found = deployments.recall(provider)
    if found is None:
        chosen = variant or assemble.Variant.REFERENCE
        token = fee_token or assemble.FeeToken.USDT
        return assemble.deploy(cast.owner, cast.worker, chosen, token, say).ai
    say("Taking up the network that is there")
    ai = DtnAi(found.router, provider)
    for option, asked, there in (
        ("variant", variant and variant.name, (found.variant or "").upper()),
        ("token", fee_token and fee_token.name, ai.token().symbol),
    ):
        if asked and there and asked != there:
            raise InvalidOption(
                f"--{option}", f"the network that this chain has kept is {there.lower()} already"
            )
    return ai


def of_fork(provider: ProviderAPI, cast: Cast) -> DtnAi:
    """The network that is on the chain that was forked.

    Accounts that everybody has the keys of run code on public chains (EIP-7702), which hands on
    what they get. Here they run none.

    Raises:
        UnknownChain: No router of it is known.
        NoContractAtAddress: There is none at the address.
    """
    ai = DtnAi(None, provider)
    ai.contracts()
    addresses = cast.addresses.values()
    plain = rpc.ask(provider, [("anvil_setCode", [address, "0x"]) for address in addresses])
    for answer in plain:
        rpc.expect(answer)
    return ai


def fund(ai: DtnAi, cast: Cast, *, forked: bool) -> Token:
    """Gives coin and tokens to each account that has none, or on a fork less than it is to get.

    Tokens are minted, or on a fork written into the token.
    """
    token, provider = ai.token(), ai.provider
    units = token.amount(FUNDS).units
    least_coin, least_units = (COIN, units) if forked else (1, 1)
    addresses = list(cast.funded.values())
    coins = rpc.ask(provider, [("eth_getBalance", [each, "latest"]) for each in addresses])
    given: list[Request] = [
        ("anvil_setBalance", [address, hex(COIN)])
        for address, coin in zip(addresses, coins, strict=True)
        if as_int(rpc.expect(coin)) < least_coin
    ]
    held = balances(ai, token, cast)
    poor = [cast.funded[name] for name, amount in held.items() if amount.units < least_units]
    if forked:
        given += [("anvil_dealERC20", [each, token.address, hex(units)]) for each in poor]
    for answer in rpc.ask(provider, given):
        rpc.expect(answer)
    if forked:
        return token

    def told(_: int, outcome: Receipt | DtnError) -> None:
        if isinstance(outcome, DtnError):
            raise outcome

    mint = Function("mint(address,uint256)")
    minted = [contract_call(token.address, mint, address, units) for address in poor]
    transactions.send_each(provider, cast.owner, minted, reverts.NO_CONTEXT, told)
    return token


def balances(ai: DtnAi, token: Token, cast: Cast) -> dict[str, Amount]:
    """What the accounts hold of the fee token, by what they are called."""
    calls = [Call(token.address, ERC20.balance_of, (each,)) for each in cast.funded.values()]
    held = ai.read(*calls)
    return {alias: token.units(units) for alias, units in zip(cast.funded, held, strict=True)}


def remember(ai: DtnAi, name: str, models: Sequence[str], gateways: Sequence[str]) -> DtnAi:
    """Lets commands elsewhere find node and models by their names, and what is on IPFS."""
    known = ai.deployment
    known = replace(
        known,
        nodes=tuple(dict.fromkeys((*known.nodes, name))),
        models=tuple(dict.fromkeys((*known.models, *models))),
        gateways=tuple(gateways),
    )
    deployments.remember(ai.provider, known)
    return DtnAi(known.router, ai.provider)
