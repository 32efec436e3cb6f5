"""``ape dtn deployment …``, and ``ape dtn deploy`` on public chains."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ape_dtn._cli.command import (
    SIGNER_HELP,
    DtnGroup,
    Interrupted,
    account_choice,
    choose_signer,
    confirm,
    dtn_command,
    unlock,
    yes_option,
)
from ape_dtn._cli.hints import CommandHint
from ape_dtn._cli.inputs import address_of
from ape_dtn._cli.screen import note, say, table, working
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


@click.group(cls=DtnGroup, short_help="Inspect, hand over and verify a deployed network")
def deployment() -> None:
    """Inspect, hand over and verify a network that `ape dtn deploy` deployed on a public chain.

    FILE is the record that `ape dtn deploy` wrote.

    \b
      ape dtn deployment status dtn-11155111.json
      ape dtn deployment accept dtn-11155111.json --to batch.json
      ape dtn deployment sources dtn-11155111.json --to sources
    """  # noqa: D301 (click wants the character)


@dtn_command("status", deploys=True)
@file_argument
def status(path: Path) -> dict[str, Any]:
    """Show the contracts, their owners and what is missing."""
    from ape_dtn.chain.networks import connected
    from ape_dtn.deployment import record, runner

    provider = connected()
    found = record.read(path)
    runner.check_chain(provider, found)
    terms = found.plan.terms
    left = runner.missing(provider, found, found.plan.steps)
    owners = runner.missing(provider, found, found.plan.owner_steps)
    contracts = runner.contract_states(provider, found.plan)
    rows = [
        [contract["name"], contract["address"], contract["owner"] or "", _remark(contract)]
        for contract in contracts
    ]
    table(f"Network of {path} on {found.network}", ["contract", "address", "owner", ""], rows)
    for sender, steps in ((terms.deployer, left), (terms.owner, owners)):
        if steps:
            say(f"{sender} still has to send: {', '.join(step.what for step in steps)}")
    if not left and not owners:
        say(f"The deployment is complete. The router is {found.plan.router}.")
    return {
        "router": found.plan.router,
        "contracts": contracts,
        "deployer_has_to": [step.what for step in left],
        "owner_has_to": [step.what for step in owners],
    }


@dtn_command("accept", deploys=True)
@account_choice(help="The new owner, to send the transactions: an alias of `ape accounts list`.")
@yes_option
@file_argument
@click.option(
    "--to",
    "batch",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the transactions to this file, for the Transaction Builder of a Safe.",
)
def accept(
    path: Path, batch: Path | None, account: AccountAPI | None, skip_confirmation: bool
) -> dict[str, Any]:
    """Show, export or send the new owner's transactions.

    The first one accepts the ownership. With --account, which has to be the owner, sends them. A
    Safe sends them as one batch.
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
            f"The deployment is not complete: {offered[0].what} is missing. Run `ape dtn deploy "
            f"--file {path}` again."
        )
    left = runner.missing(provider, found, found.plan.owner_steps)
    sent: list[str] = []
    if batch and left:
        title = f"Own the network {found.plan.router}"
        content = batch_file(terms.chain_id, terms.owner, title, left)
        batch.write_text(json.dumps(content, indent=2) + "\n")
        say(f"Written: {batch}. Load it in the Transaction Builder of {terms.owner}.")
    for step in left:
        call = step.transaction
        say(f"{step.what}\n   to {call.to}\n   data 0x{call.data.hex()}")
    if not left:
        say(f"{terms.owner} has nothing left to send.")
    if account and left:
        if str(account.address) != terms.owner:
            raise click.UsageError(f"The owner is {terms.owner}, not {account.address}.")
        confirm(f"Send them from {terms.owner}?", account, skip_confirmation)
        with record.locked(provider, path), working("Accepting"), _resumable():
            sent = runner.send_owner_steps(provider, account, found)
        left = runner.missing(provider, found, found.plan.owner_steps)
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
    help="The folder to write the files to. It is created if it does not exist.",
)
def sources(path: Path, folder: Path) -> dict[str, Any]:
    """Write the sources that verify each contract.

    Explorers and Sourcify take them. For each contract, the compiler's input (standard JSON); and
    in contracts.json its address, full name, compiler version and constructor arguments.
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
    say(f"Written to {folder}: the sources of {len(listed)} contracts, and contracts.json.")
    return {"chain_id": found.plan.terms.chain_id, "contracts": listed}


for command in (status, accept, sources):
    deployment.add_command(command)


@dataclass(frozen=True)
class ForOthers:
    """The options of ``ape dtn deploy`` for a public chain.

    Attributes:
        account: The deployer; None to ask.
        skip_confirmation: Whether to skip confirmation prompts.
        fee_token: The token that pays for sessions.
        owner: The owner of the network; None for the deployer.
        salt: Distinguishes networks that are otherwise the same.
        with_models: Whether to register models.
        path: The record of the deployment; None for ``dtn-<chain id>.json``.
    """

    account: AccountAPI | None
    skip_confirmation: bool
    fee_token: str
    owner: str | None
    salt: int
    with_models: bool
    path: Path | None

    def deploy(self, variant: str) -> dict[str, Any]:
        """Shows the contracts and the cost, then deploys. Resumes an interrupted deployment."""
        from ape_dtn.chain.networks import connected
        from ape_dtn.deployment import record, runner
        from ape_dtn.deployment.assemble import Variant
        from ape_dtn.deployment.plan import Terms
        from ape_dtn.deployment.runner import NOBODY

        provider = connected()
        account = choose_signer(self.account, "the account that deploys")
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
        with record.locked(provider, path):
            found = record.open_for(path, provider, terms)
            runner.check_chain(provider, found)
            token = _token(provider, terms.fee_token)
            instead_of = None
            if found.open:
                say("Following the transactions that were sent before")
                if self.skip_confirmation:
                    unlock(account)
                with _resumable():
                    instead_of = runner.follow(provider, account, found)
            steps = runner.missing(provider, found, found.plan.steps)
            if steps:
                _show(found, token, _describe_owner(provider, terms.owner), steps)
                _ask(provider, account, steps, self.skip_confirmation)
                found.write()
                with _resumable():
                    _take(provider, account, found, steps, instead_of)
            left = runner.missing(provider, found, found.plan.owner_steps)
        say(f"The router is {found.plan.router}. The other addresses are in {path}.")
        if left:
            say(
                f"{terms.owner} has {len(left)} transactions left to send: "
                f"`ape dtn deployment accept {path}` shows them."
            )
        return {
            "router": found.plan.router,
            "file": str(path),
            "sent": [step.what for step in steps],
            "owner_has_to": [step.what for step in left],
            "gas_used": sum(sent.gas_used or 0 for sent in found.sent),
        }


def for_others(function: _Function) -> Any:
    """Adds the options for a public chain, and passes them as one argument, ``for_others``."""

    @functools.wraps(function)
    def with_options(**params: Any) -> Any:
        given = {name: params.pop(name) for name in ForOthers.__dataclass_fields__}
        if given["fee_token"] is None:
            names = [f"--{name}" for name in ("owner", "salt") if given[name]]
            names += ["--models"] * given["with_models"] + ["--file"] * (given["path"] is not None)
            if names:
                raise click.UsageError(f"{', '.join(names)}: only with --fee-token.")
        chosen = ForOthers(**given) if given["fee_token"] else None
        return function(for_others=chosen, **params)

    path = click.Path(path_type=Path, dir_okay=False)
    decorated: Any = with_options
    for option in (
        click.option(
            "--file",
            "path",
            type=path,
            help="Record of the deployment. By default dtn-<chain id>.json.",
        ),
        click.option("--models", "with_models", is_flag=True, help="Register models too."),
        click.option(
            "--salt",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="Another number for another network with the same options.",
        ),
        click.option(
            "--owner",
            metavar="ADDRESS",
            help="The owner of the network, such as a Safe. By default the deployer.",
        ),
        click.option(
            "--fee-token",
            "fee_token",
            metavar="ADDRESS",
            help="Deploy on a public chain, where this token pays for sessions.",
        ),
        yes_option,
        account_choice(help=SIGNER_HELP),
    ):
        decorated = option(decorated)
    return decorated


def _show(found: Record, token: str, owner: str, steps: Sequence[Step]) -> None:
    """Shows the network, and which transactions are missing."""
    terms, missing = found.plan.terms, {step.what for step in steps}
    for line in (
        f"A network with {terms.variant.name.lower()} variant on {found.network}, "
        f"chain {terms.chain_id}",
        f"   deployer   {terms.deployer}",
        f"   owner      {terms.owner} ({owner})",
        f"   fee token  {terms.fee_token} ({token})",
        f"   router     {found.plan.router}",
    ):
        note(line)
    for step in found.plan.steps:
        mark = "send" if step.what in missing else "done"
        at = f"  {step.creates}" if step.creates else ""
        note(f"   {mark}  {step.what}{at}")


def _ask(
    provider: ProviderAPI, account: AccountAPI, steps: Sequence[Step], skip_confirmation: bool
) -> None:
    """Shows the gas, and asks for a confirmation."""
    from ape_dtn.chain import rpc
    from ape_dtn.chain.errors import NoMoneyForGas
    from ape_dtn.deployment import runner
    from ape_dtn.types.rpc import as_int

    sender = str(account.address)
    gas = runner.cost(provider, sender, steps)
    note(f"   gas        {_describe_gas(gas)}")
    if gas:
        held = as_int(rpc.result(provider, "eth_getBalance", [sender, "latest"]))
        if held < gas.expected.units:  # do not start what cannot be paid for
            raise NoMoneyForGas(sender, gas.expected.units, held)
    confirm(f"Send {len(steps)} transactions from {sender}?", account, skip_confirmation)


def _describe_gas(gas: Gas | None) -> str:
    if gas is None:
        return "not known: this endpoint cannot simulate transactions (eth_simulateV1)"
    used = sum(gas.used.values())
    return f"{used:,}, now {gas.expected}, at most {gas.max_cost}"


@contextlib.contextmanager
def _resumable() -> Iterator[None]:
    """Adds to errors and interruptions that the same command resumes."""
    hint = CommandHint("Run the same command again: it resumes, and sends nothing twice.")
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

    def on_step(step: Step, receipt: Receipt) -> None:
        nonlocal count
        count += 1
        note(f"   {count}/{len(steps)}  {step.what}  {receipt.transaction}")

    runner.send_steps(provider, account, found, steps, on_step, instead_of)


def _remark(contract: dict[str, Any]) -> str:
    """The state of a contract, if it differs from the deployment."""
    if contract["runs"] is None:
        return "not deployed"
    notes = [f"upgraded, runs {contract['runs']}"] if contract["was_upgraded"] else []
    notes += [f"offered to {contract['offered_to']}"] if contract["offered_to"] else []
    return ", ".join(notes)


def _describe_owner(provider: ProviderAPI, owner: str) -> str:
    """The kind of an owner. A Safe of one chain need not exist on another one."""
    from ape_dtn.chain import reads, rpc, safe
    from ape_dtn.types.rpc import as_bytes

    views = (safe.GET_OWNERS, safe.GET_THRESHOLD)
    owners, threshold = reads.try_read(provider, *(reads.Call(owner, view) for view in views))
    if not isinstance(owners, DtnError) and not isinstance(threshold, DtnError):
        return f"a Safe, {threshold} of {len(owners)} owners"
    code = as_bytes(rpc.result(provider, "eth_getCode", [owner, "latest"]))
    return "a contract" if code else "an account without code on this chain"


def _token(provider: ProviderAPI, address: str) -> str:
    """The fee token's symbol and decimals, as text.

    Raises:
        NoContractAtAddress: There is no token.
    """
    from ape_dtn.chain import reads
    from ape_dtn.network.abi import ERC20

    views = (ERC20.symbol, ERC20.decimals)
    calls = [reads.Call(address, view, contract="token") for view in views]
    symbol, decimals = reads.read(provider, *calls)
    return f"{symbol}, {decimals} decimals"
