"""``ape dtn deploy`` and ``demo``: a network of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ape_dtn._cli.command import dtn_command

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI

    from ape_dtn.amount import Token
    from ape_dtn.local import LocalNetwork

FUNDS = "1000"

behaviour_option = click.option(
    "--behaviour",
    type=click.Choice(["documented", "deployed"]),
    default="documented",
    show_default=True,
    help="As the product documentation describes the network, or as it is on public networks.",
)


@dtn_command("deploy")
@behaviour_option
@click.option(
    "--token",
    "fee_token",
    type=click.Choice(["usdt", "usdc"]),
    default="usdt",
    show_default=True,
    help="The test token that sessions are paid with; usdt returns nothing from transfers.",
)
@click.option("--serve", is_flag=True, help="Stay, and let the node answer until Ctrl-C.")
def deploy(behaviour: str, fee_token: str, serve: bool, router: str | None) -> dict[str, Any]:
    r"""Deploy a whole network on a local chain: contracts, models, a node, a funded account.

    It is then found by all commands on that chain. The node answers with what it was asked, as long
    as `--serve` runs.

    \b
      anvil                                                     a chain, in a terminal of its own
      ape dtn deploy --serve --network ethereum:local:foundry   a network, in another
      ape dtn ask "Hello?" --network ethereum:local:foundry --account TEST::2
    """
    if router is not None:
        raise click.UsageError("--ai names a network that is there; this deploys a new one.")
    network, customer, token = _deployed(behaviour, fee_token)
    funds = token.amount(FUNDS)
    shown = {
        "router": network.ai.router,
        "token": network.token,
        "account": str(customer.address),
        "alias": customer.alias,
        "funds": funds.as_dict(),
        "node": network.node.name,
        "worker": str(network.node.worker.address),
    }
    click.echo(f"The router is {network.ai.router}.")
    click.echo(f"{customer.alias} ({customer.address}) has {funds}.")
    if serve:
        click.echo(f"{network.node.name} answers. Press Ctrl-C to stop it.")
        network.node.serve()
    else:
        click.echo(f"{network.node.name} is registered; with --serve, it answers.")
    return shown


@dtn_command("demo", network="ethereum:local:test")
@behaviour_option
@click.option("--prompt", default="What is a deep trust network?", show_default=True)
def demo(behaviour: str, prompt: str, router: str | None) -> dict[str, Any]:
    """Watch the whole of it: a network, a session, a question, an answer, the bill, the refund.

    It runs on a chain inside this process, and on Anvil with --network ethereum:local:foundry.
    """
    from ape_dtn.session import DtnSession

    if router is not None:
        raise click.UsageError("--ai names a network that is there; the demo deploys its own.")
    network, customer, token = _deployed(behaviour, "usdt")
    before = _held(network, customer)
    click.echo(f"   router {network.ai.router}, behind its proxy\n   node   {network.node.name}")

    deposit = token.amount("25.00")
    click.echo(f"\nOpening a session with {deposit}")
    session = DtnSession.start(deposit, customer, network.ai)
    click.echo(f"   session {session.id} has {session.balance}")

    click.echo(f"\nAsking: {prompt}")
    draft = session.draft(prompt)
    click.echo(f"   model {draft.model.name}\n   worst case {draft.most_it_may_cost}")
    request = draft.send()
    click.echo(f"   request {request.id}")

    click.echo(f"\n{network.node.name} answers")
    network.node.answer_pending()
    answer = request.wait(timeout=30)
    click.echo(f"   {answer}")

    cost = request.cost()
    asked, answered = draft.bytes_asked, len(answer.data)
    click.echo("\nThe bill")
    click.echo(f"   {asked} bytes asked + {answered} answered, {draft.fee_per_byte} each")
    click.echo(f"   charged {cost}, which is {cost.units} units")
    refund = session.close()
    click.echo(f"   closed, refunded {refund}")
    after = _held(network, customer)
    reconciled = after == before - cost.units and refund == deposit - cost
    click.echo(f"   {deposit} deposited = {cost} charged + {refund} refunded")
    if not reconciled:
        raise click.ClickException(f"It does not add up: {before} units before, {after} after.")
    return {
        "router": network.ai.router,
        "session": session.id,
        "request": request.id,
        "answer": answer.text,
        "deposit": deposit.as_dict(),
        "cost": cost.as_dict(),
        "refund": refund.as_dict(),
    }


def _deployed(behaviour: str, fee_token: str) -> tuple[LocalNetwork, AccountAPI, Token]:
    """A new network, and a customer with test tokens."""
    from ape.utils.basemodel import ManagerAccessMixin as access

    from ape_dtn import local
    from ape_dtn.chain.networks import connected, is_local

    provider = connected()
    if not is_local(provider):
        raise click.UsageError(
            f"This deploys test contracts, and {provider.network_choice} is a public network. "
            "Choose a local one: --network ethereum:local:foundry"
        )
    owner, worker, customer = access.account_manager.test_accounts[:3]
    network = local.deploy(
        owner,
        worker,
        local.Behaviour[behaviour.upper()],
        local.FeeToken[fee_token.upper()],
        say=click.echo,
    )
    token = network.ai.token()
    local.fund(provider, owner, token.address, str(customer.address), token.amount(FUNDS).units)
    return network, customer, token


def _held(network: LocalNetwork, account: AccountAPI) -> int:
    from ape_dtn.chain import reads
    from ape_dtn.chain.abi import ERC20

    call = reads.Call(network.token, ERC20.balance_of, (str(account.address),), "fee token")
    return int(reads.read_one(network.ai.provider, call))
