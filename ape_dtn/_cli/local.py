"""``ape dtn deploy`` and ``demo``: a network of your own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ape_dtn._cli.command import dtn_command
from ape_dtn._cli.deployment import ForOthers, for_others
from ape_dtn._cli.json_fields import token_fields
from ape_dtn._cli.json_output import print_json
from ape_dtn._cli.screen import note, say

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI

    from ape_dtn.deployment.assemble import LocalNetwork
    from ape_dtn.types.amount import Token


_Function = TypeVar("_Function", bound=Callable[..., Any])

FUNDS = "1000"


def variant_choice(default: str | None, note: str = "") -> Callable[[_Function], _Function]:
    """The option ``--variant``; a note is appended to its help."""
    return click.option(
        "--variant",
        type=click.Choice(["reference", "live"]),
        default=default,
        show_default=True,
        help="The contracts: `reference` follows the product documentation, `live` is on public "
        "networks." + note,
    )


def token_choice(default: str | None, note: str = "") -> Callable[[_Function], _Function]:
    """The option ``--token``; a note is appended to its help."""
    return click.option(
        "--token",
        "test_token",
        type=click.Choice(["usdt", "usdc"]),
        default=default,
        show_default=True,
        help="The test token that pays for sessions. Like the original, usdt returns nothing from "
        "transfers." + note,
    )


variant_option = variant_choice("reference")


@dtn_command("deploy", deploys=True)
@variant_option
@token_choice("usdt")
@click.option("--serve", is_flag=True, help="Run the node until Ctrl-C.")
@for_others
def deploy(
    variant: str, test_token: str, serve: bool, for_others: ForOthers | None
) -> dict[str, Any] | None:
    """Deploy a whole network.

    On a local chain, deploys contracts, models, a node and a funded account, which all commands on
    that chain then find. With --serve, the node echoes each prompt.

    \b
      anvil                                                     a chain, in a terminal of its own
      ape dtn deploy --serve --network ethereum:local:foundry   a network, in another
      ape dtn ask "Hello?" --network ethereum:local:foundry --account TEST::2

    On a public chain, with --fee-token, deploys the contracts alone. Their addresses and the cost
    are shown before anything is sent. After an interruption, the same command resumes and sends
    nothing twice.

    \b
      ape dtn deploy --network ethereum:sepolia --account alice --fee-token 0x… --owner 0x…
    """  # noqa: D301 (click wants the character)
    if for_others:
        return for_others.deploy(variant)
    _check_lifetime(_local_chain(), serve)
    network, customer, token = _deployed(variant, test_token)
    funds = token.amount(FUNDS)
    shown = {
        "router": network.ai.router,
        "fee_token": token_fields(token),
        "account": str(customer.address),
        "alias": customer.alias,
        "funds": funds,
        "node": network.node.name,
        "worker": str(network.node.worker.address),
    }
    say(f"The router is {network.ai.router}.")
    say(f"{customer.alias} ({customer.address}) has {funds}.")
    if not serve:
        say(f"{network.node.name} is registered. With --serve, it answers.")
        return shown
    say(f"{network.node.name} answers. Press Ctrl-C to stop it.")
    print_json(shown)
    # Ape turns Ctrl-C into SystemExit.
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        network.node.serve()
    note(f"{network.node.name} is stopped.")
    return None


# Not the network of the user's other commands: the demo must not deploy there.
@dtn_command("demo", network="ethereum:local:test", deploys=True, envvar=None)
@variant_option
@click.option(
    "--prompt",
    default="What is a deep trust network?",
    show_default=True,
    help="The prompt to send.",
)
def demo(variant: str, prompt: str) -> dict[str, Any]:
    """Run a whole session on a chain in this process.

    Deploys a network, opens a session, sends a prompt, answers it, shows the bill and closes the
    session for a refund. With --network ethereum:local:foundry, it runs on Anvil.
    """
    from ape_dtn.client.session import DtnSession

    network, customer, token = _deployed(variant, "usdt")
    before = _held(network, customer)
    say(f"   router {network.ai.router}, behind its proxy\n   node   {network.node.name}")

    deposit = token.amount("25.00")
    say(f"\nOpening a session with {deposit}")
    session = DtnSession.start(deposit, customer, network.ai)
    say(f"   session {session.id} has {session.balance}")

    say(f"\nAsking: {prompt}")
    draft = session.draft(prompt)
    say(f"   model {draft.model.name}\n   max cost {draft.max_cost}")
    request = session.send(draft)
    say(f"   request {request.id}")

    say(f"\n{network.node.name} answers")
    network.node.answer_pending()
    answer = request.wait(timeout=30)
    say(f"   {answer}")

    cost = request.cost()
    request_size, answer_size = draft.bytes_asked, len(answer.data)
    say("\nThe bill")
    say(f"   {request_size} bytes asked + {answer_size} answered, {draft.fee_per_byte} each")
    say(f"   charged {cost}, which is {cost.units} units")
    refund = session.close()
    say(f"   closed, refunded {refund}")
    after = _held(network, customer)
    reconciled = after == before - cost.units and refund == deposit - cost
    say(f"   {deposit} deposited = {cost} charged + {refund} refunded")
    if not reconciled:
        raise click.ClickException(
            f"The bill does not add up: {before} units before, {after} after."
        )
    return {
        "router": network.ai.router,
        "session": session.id,
        "request": request.id,
        "answer": answer.text,
        "deposit": deposit,
        "cost": cost,
        "refund": refund,
    }


def _deployed(variant: str, fee_token: str) -> tuple[LocalNetwork, AccountAPI, Token]:
    """A new network, and an account with test tokens of it."""
    from ape.utils.basemodel import ManagerAccessMixin as access

    from ape_dtn.deployment import assemble

    provider = _local_chain()
    owner, worker, customer = access.account_manager.test_accounts[:3]
    network = assemble.deploy(
        owner,
        worker,
        assemble.Variant[variant.upper()],
        assemble.FeeToken[fee_token.upper()],
        say=say,
    )
    token = network.ai.token()
    assemble.fund(provider, owner, token.address, str(customer.address), token.amount(FUNDS).units)
    return network, customer, token


def _local_chain() -> ProviderAPI:
    """The connected chain.

    Raises:
        UsageError: It is a public one.
    """
    from ape_dtn.chain.networks import connected, is_local, name

    provider = connected()
    if not is_local(provider):
        raise click.UsageError(
            f"{name(provider)} is a public network. Name the token that pays for sessions "
            "(--fee-token ADDRESS), or choose a local chain: --network ethereum:local:foundry"
        )
    return provider


def _check_lifetime(provider: ProviderAPI, serve: bool) -> None:
    """Refuses a chain that ends with this command, and its network with it."""
    if provider.http_uri is None:
        raise click.UsageError(
            "The in-process chain ends with this command, and its network with it. Start `anvil`, "
            "then choose it: --network ethereum:local:foundry"
        )
    if getattr(provider, "process", None) and not serve:
        raise click.UsageError(
            "Ape started Anvil for this command only: it ends with the command, and its network "
            "with it. Start `anvil` yourself first, or add --serve."
        )


def _held(network: LocalNetwork, account: AccountAPI) -> int:
    from ape_dtn.chain import reads
    from ape_dtn.network.abi import ERC20

    call = reads.Call(network.token, ERC20.balance_of, (str(account.address),), "fee token")
    return int(network.ai.read_one(call))
