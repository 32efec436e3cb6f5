"""``ape dtn deployment …``, and ``deploy`` where it is for others: on public chains."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from ape.cli import account_option, skip_confirmation_option

from ape_dtn._cli.command import (
    Interrupted,
    choose_account,
    confirm,
    dtn_command,
    say,
    table,
    unlock,
    working,
)
from ape_dtn._cli.inputs import address_of
from ape_dtn.chain.errors import NoMoneyForGas
from ape_dtn.types.errors import DtnError, InvalidAddress

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI

    from ape_dtn.deployment.plan import Step
    from ape_dtn.deployment.record import Record
    from ape_dtn.requests.gas import Gas
    from ape_dtn.types.transactions import Receipt


_Function = TypeVar("_Function", bound=Callable[..., Any])

file_argument = click.argument(
    "path", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False)
)


@click.group(short_help="Hand over, look at and verify a network that you have deployed")
def deployment() -> None:
    """Hand over, look at and verify a network that `ape dtn deploy` has put on a public chain.

    FILE is what `ape dtn deploy` wrote.

    \b
      ape dtn deployment status dtn-11155111.json
      ape dtn deployment accept dtn-11155111.json --to batch.json
      ape dtn deployment sources dtn-11155111.json --to sources
    """  # noqa: D301 (for click, it has to be the character)


@dtn_command("status", deploys=True)
@file_argument
def status(path: Path) -> dict[str, Any]:
    """Show what is deployed, who owns it, and what is still to be done by whom."""
    from ape_dtn.chain.networks import connected
    from ape_dtn.deployment import record, runner

    provider = connected()
    found = record.read(path)
    runner.check_chain(provider, found)
    terms = found.plan.terms
    left = runner.missing(provider, found, found.plan.steps)
    owners = runner.missing(provider, found, found.plan.owners_steps)
    contracts = runner.look(provider, found.plan)
    rows = [[each["name"], each["address"], each["owner"] or "", _note(each)] for each in contracts]
    table(f"Network of {path} on {found.network}", ["contract", "address", "owner", ""], rows)
    for who, steps in ((terms.deployer, left), (terms.owner, owners)):
        if steps:
            say(f"{who} still has to send: {', '.join(step.what for step in steps)}")
    if not left and not owners:
        say(f"All is done. The router is {found.plan.router}.")
    return {
        "router": found.plan.router,
        "contracts": contracts,
        "deployer_has_to": [step.what for step in left],
        "owner_has_to": [step.what for step in owners],
    }


@dtn_command("accept", deploys=True)
@account_option(prompt=None)
@skip_confirmation_option(help="Ask nothing: not before sending, nor before signing.")
@file_argument
@click.option(
    "--to",
    "batch",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a file for the Transaction Builder of a Safe's app.",
)
def accept(
    path: Path, batch: Path | None, account: AccountAPI | None, skip_confirmation: bool
) -> dict[str, Any]:
    """Show, write or send what is left to the new owner, first of all to accept the ownership.

    With --account, that account sends it; it has to be the owner. A Safe of Ape's makes all calls
    in one transaction.
    """
    from ape_dtn.chain.networks import connected
    from ape_dtn.deployment import record, runner
    from ape_dtn.deployment.batch_file import batch_file

    provider = connected()
    found = record.read(path)
    runner.check_chain(provider, found)
    terms = found.plan.terms
    if offered := runner.missing(provider, found, found.plan.steps):
        raise click.UsageError(
            f"The deployment is not finished, {offered[0].what} is missing: run `ape dtn deploy` "
            f"with --file {path} again."
        )
    left = runner.missing(provider, found, found.plan.owners_steps)
    sent: list[str] = []
    if batch and left:
        made = batch_file(terms.chain_id, terms.owner, f"Own the network {found.plan.router}", left)
        batch.write_text(json.dumps(made, indent=2) + "\n")
        say(f"{batch} is written: load it in the Transaction Builder of {terms.owner}.")
    for step in left:
        call = step.transaction
        say(f"{step.what}\n   to {call.to}\n   data 0x{call.data.hex()}")
    if not left:
        say(f"Nothing is left to {terms.owner}.")
    if account and left:
        if str(account.address) != terms.owner:
            raise click.UsageError(f"{account.address} is not the owner, {terms.owner} is.")
        confirm(f"Send it from {terms.owner}?", account, skip_confirmation)
        with record.alone(provider, path), working("Accepting"), _to_be_gone_on_with():
            sent = runner.take_for_owner(provider, account, found)
        left = runner.missing(provider, found, found.plan.owners_steps)
        say(f"{terms.owner} owns the network.")
    calls = [
        {"what": step.what, "to": step.transaction.to, "data": "0x" + step.transaction.data.hex()}
        for step in left
    ]
    return {"owner": terms.owner, "calls": calls, "transactions": sent}


@dtn_command("sources", network=None, deploys=True)
@file_argument
@click.option(
    "--to",
    "folder",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Where the files are written; it is made where it is not there.",
)
def sources(path: Path, folder: Path) -> dict[str, Any]:
    """Write what explorers and Sourcify verify each contract with.

    For each contract the compiler's whole input (standard JSON), and in contracts.json its address,
    full name, compiler and constructor arguments.
    """
    from ape_dtn.deployment import record, verification

    found = record.read(path)
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for contract in found.plan.contracts:
        file = f"{contract.artifact}.json"
        text = json.dumps(verification.standard_json(contract.artifact), indent=2)
        (folder / file).write_text(text + "\n")
        listed.append(
            {
                "name": contract.name,
                "is_proxy": contract.is_proxy,
                "address": contract.address,
                "contract": verification.full_name(contract.artifact),
                "compiler": verification.compiler(),
                "constructor_arguments": contract.arguments.hex(),
                "standard_json": file,
            }
        )
    (folder / "contracts.json").write_text(json.dumps(listed, indent=2) + "\n")
    say(f"{folder} has what {len(listed)} contracts were compiled from, and contracts.json.")
    return {"chain_id": found.plan.terms.chain_id, "contracts": listed}


for command in (status, accept, sources):
    deployment.add_command(command)


@dataclass(frozen=True)
class ForOthers:
    """What ``deploy`` is given for a public chain.

    Attributes:
        account: Who deploys; None to ask.
        skip_confirmation: Whether nothing is asked.
        fee_token: What sessions are paid with.
        owner: Who is to own the network; None for the deployer.
        salt: Which of several networks that are otherwise the same.
        with_models: Whether models are registered.
        path: The file of the deployment; None for the one that is named by the chain.
    """

    account: AccountAPI | None
    skip_confirmation: bool
    fee_token: str
    owner: str | None
    salt: int
    with_models: bool
    path: Path | None

    def deploy(self, variant: str) -> dict[str, Any]:
        """Deploys once: shows all of it and its cost first, and goes on where it stopped."""
        from ape_dtn.chain.networks import connected
        from ape_dtn.deployment import record, runner
        from ape_dtn.deployment.assemble import Variant
        from ape_dtn.deployment.plan import Terms
        from ape_dtn.deployment.runner import NOBODY

        provider = connected()
        account = self.account or choose_account("the account that deploys")
        deployer = str(account.address)
        terms = Terms(
            chain_id=provider.chain_id,
            deployer=deployer,
            owner=address_of(self.owner) if self.owner else deployer,
            fee_token=address_of(self.fee_token),
            variant=Variant[variant.upper()],
            salt=self.salt,
            with_models=self.with_models,
        )
        if terms.owner == NOBODY:
            raise InvalidAddress(terms.owner)
        suffix = f"-{self.salt}" if self.salt else ""
        path = self.path or Path(f"dtn-{terms.chain_id}{suffix}.json")
        with record.alone(provider, path):
            found = record.open_for(path, provider, terms)
            runner.check_chain(provider, found)
            token = _token(provider, terms.fee_token)
            instead_of = None
            if found.open:
                say("Looking after what was sent before")
                if self.skip_confirmation:
                    unlock(account)
                with _to_be_gone_on_with():
                    instead_of = runner.follow(provider, account, found)
            steps = runner.missing(provider, found, found.plan.steps)
            if steps:
                _show(found, token, _who(provider, terms.owner), steps)
                _ask(provider, account, steps, self.skip_confirmation)
                found.write()
                with _to_be_gone_on_with():
                    _take(provider, account, found, steps, instead_of)
            left = runner.missing(provider, found, found.plan.owners_steps)
        say(f"The router is {found.plan.router}. {path} tells the rest.")
        if left:
            say(
                f"{len(left)} calls are left to {terms.owner}: "
                f"`ape dtn deployment accept {path}` shows them."
            )
        return {
            "router": found.plan.router,
            "file": str(path),
            "sent": [step.what for step in steps],
            "owner_has_to": [step.what for step in left],
            "gas_used": sum(each.gas_used or 0 for each in found.sent),
        }


def for_others(function: _Function) -> Any:
    """Adds the options of a deployment for others, and passes them on as one: ``for_others``."""

    @functools.wraps(function)
    def with_options(**params: Any) -> Any:
        given = {each: params.pop(each) for each in ForOthers.__dataclass_fields__}
        if given["fee_token"] is None:
            asked = [f"--{name}" for name in ("owner", "salt") if given[name]]
            asked += ["--models"] * given["with_models"] + ["--file"] * (given["path"] is not None)
            if asked:
                raise click.UsageError(f"{', '.join(asked)}: only with --fee-token.")
        chosen = ForOthers(**given) if given["fee_token"] else None
        return function(for_others=chosen, **params)

    path = click.Path(path_type=Path, dir_okay=False)
    decorated: Any = with_options
    for option in (
        click.option("--file", "path", type=path, help="Where it is written down."),
        click.option("--models", "with_models", is_flag=True, help="Register models, too."),
        click.option(
            "--salt", type=click.IntRange(min=0), default=0, help="For one more network like it."
        ),
        click.option("--owner", metavar="ADDRESS", help="Who is to own it, as a Safe."),
        click.option(
            "--fee-token", "fee_token", metavar="ADDRESS", help="The token on a public chain."
        ),
        skip_confirmation_option(help="Ask nothing: not before sending, nor before signing."),
        account_option(prompt=None),
    ):
        decorated = option(decorated)
    return decorated


def _show(found: Record, token: str, owner: str, steps: Sequence[Step]) -> None:
    """What will be there, and what of it is there already."""
    terms, missing = found.plan.terms, {step.what for step in steps}
    for line in (
        f"A network with {terms.variant.name.lower()} variant on {found.network}, "
        f"chain {terms.chain_id}",
        f"   deployer   {terms.deployer}",
        f"   owner      {terms.owner} ({owner})",
        f"   fee token  {terms.fee_token} ({token})",
        f"   router     {found.plan.router}",
    ):
        click.echo(line, err=True)
    for step in found.plan.steps:
        mark = "send" if step.what in missing else "done"
        at = f"  {step.creates}" if step.creates else ""
        click.echo(f"   {mark}  {step.what}{at}", err=True)


def _ask(
    provider: ProviderAPI, account: AccountAPI, steps: Sequence[Step], skip_confirmation: bool
) -> None:
    """Shows what it costs, and asks."""
    from ape_dtn.chain import rpc
    from ape_dtn.deployment import runner
    from ape_dtn.types.rpc import as_int

    sender = str(account.address)
    gas = runner.cost(provider, sender, steps)
    click.echo(f"   gas        {_told(gas)}", err=True)
    if gas:
        held = as_int(rpc.result(provider, "eth_getBalance", [sender, "latest"]))
        if held < gas.expected.units:  # nothing is begun that could not be finished
            raise NoMoneyForGas(sender, gas.expected.units, held)
    confirm(f"Send {len(steps)} transactions from {sender}?", account, skip_confirmation)


def _told(gas: Gas | None) -> str:
    if gas is None:
        return "not known: this endpoint cannot simulate transactions (eth_simulateV1)"
    used = sum(gas.used.values())
    return f"{used:,}, now {gas.expected}, at most {gas.max_cost}"


@contextlib.contextmanager
def _to_be_gone_on_with() -> Iterator[None]:
    """Tells whoever is stopped in the middle that nothing is lost."""
    hint = "The same command again goes on where it stopped, and sends nothing twice."
    try:
        yield
    except DtnError as err:
        err.hint = hint
        raise
    except (KeyboardInterrupt, SystemExit) as err:
        raise Interrupted(err, hint) from err


def _take(
    provider: ProviderAPI,
    account: AccountAPI,
    found: Record,
    steps: Sequence[Step],
    instead_of: Any,
) -> None:
    from ape_dtn.deployment import runner

    count = 0

    def told(step: Step, receipt: Receipt) -> None:
        nonlocal count
        count += 1
        click.echo(f"   {count}/{len(steps)}  {step.what}  {receipt.transaction}", err=True)

    runner.take(provider, account, found, steps, told, instead_of)


def _note(contract: dict[str, Any]) -> str:
    """What is to be noticed about a contract."""
    if contract["runs"] is None:
        return "not there yet"
    notes = [f"upgraded, runs {contract['runs']}"] if contract["was_upgraded"] else []
    notes += [f"offered to {contract['offered_to']}"] if contract["offered_to"] else []
    return ", ".join(notes)


def _who(provider: ProviderAPI, owner: str) -> str:
    """What the owner is: a Safe need not be on every chain at its address."""
    from ape_dtn.chain import reads, rpc, safe
    from ape_dtn.types.rpc import as_bytes

    views = (safe.GET_OWNERS, safe.GET_THRESHOLD)
    owners, threshold = reads.try_read(provider, *(reads.Call(owner, view) for view in views))
    if not isinstance(owners, DtnError) and not isinstance(threshold, DtnError):
        return f"a Safe, {threshold} of {len(owners)} owners"
    code = as_bytes(rpc.result(provider, "eth_getCode", [owner, "latest"]))
    return "a contract" if code else "an account without code on this chain"


def _token(provider: ProviderAPI, address: str) -> str:
    """The fee token's symbol and decimals.

    Raises:
        NoContractAtAddress: There is no token.
    """
    from ape_dtn.chain import reads
    from ape_dtn.network.abi import ERC20

    views = (ERC20.symbol, ERC20.decimals)
    calls = [reads.Call(address, view, contract="token") for view in views]
    symbol, decimals = reads.read(provider, *calls)
    return f"{symbol}, {decimals} decimals"
