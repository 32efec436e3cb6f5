"""The network on a devnet's chain: deployed, found again, or forked, with funds and a node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ape_dtn import deployments, local
from ape_dtn.ai import DtnAi
from ape_dtn.chain import reads, reverts, rpc, sends
from ape_dtn.chain.abi import ERC20, Function
from ape_dtn.chain.reads import Call
from ape_dtn.errors import DtnError, InvalidOption

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI

    from ape_dtn.amount import Amount, Token

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
    behaviour: local.Behaviour | None,
    fee_token: local.FeeToken | None,
    say: Callable[[str], None],
) -> DtnAi:
    """The network that was deployed on this chain before, or a new one.

    Args:
        provider: The connection.
        cast: Who deploys it.
        behaviour: How its contracts behave; by default as they do already, or as documented.
        fee_token: What it is paid in; by default what it is already, or USDT.
        say: Told what is being done.

    Raises:
        InvalidOption: The one that is there behaves otherwise, or is paid in another token.
    """
    found = deployments.recall(provider)
    if found is None:
        chosen = behaviour or local.Behaviour.DOCUMENTED
        token = fee_token or local.FeeToken.USDT
        return local.deploy(cast.owner, cast.worker, chosen, token, say).ai
    say("Taking up the network that is there")
    ai = DtnAi(found.router, provider)
    for option, asked, there in (
        ("behaviour", behaviour and behaviour.name, (found.behaviour or "").upper()),
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
    given: list[rpc.Request] = [
        ("anvil_setBalance", [address, hex(COIN)])
        for address, coin in zip(addresses, coins, strict=True)
        if rpc.as_int(rpc.expect(coin)) < least_coin
    ]
    held = balances(ai, token, cast)
    poor = [cast.funded[name] for name, amount in held.items() if amount.units < least_units]
    if forked:
        given += [("anvil_dealERC20", [each, token.address, hex(units)]) for each in poor]
    for answer in rpc.ask(provider, given):
        rpc.expect(answer)
    if forked:
        return token

    def told(_: int, outcome: sends.Receipt | DtnError) -> None:
        if isinstance(outcome, DtnError):
            raise outcome

    mint = Function("mint(address,uint256)")
    minted = [sends.call(token.address, mint, address, units) for address in poor]
    sends.send_each(provider, cast.owner, minted, reverts.NOTHING, told)
    return token


def balances(ai: DtnAi, token: Token, cast: Cast) -> dict[str, Amount]:
    """What the accounts hold of the fee token, by what they are called."""
    calls = [Call(token.address, ERC20.balance_of, (each,)) for each in cast.funded.values()]
    held = reads.read(ai.provider, *calls)
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
