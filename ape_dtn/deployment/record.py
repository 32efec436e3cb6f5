"""The deployment file: the parameters, the contracts and the transactions of a deployment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eth_utils import keccak

from ape_dtn.chain import rpc
from ape_dtn.chain.networks import data_folder
from ape_dtn.chain.networks import name as network_name
from ape_dtn.deployment.assemble import Variant
from ape_dtn.deployment.errors import DeploymentDiffers, DeploymentUnusable
from ape_dtn.deployment.plan import Plan, Terms, plan
from ape_dtn.types.files import write_whole
from ape_dtn.types.rpc import as_int
from ape_dtn.types.transactions import Receipt, Signed

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI


@dataclass(frozen=True)
class Sent:
    """A transaction of the deployment. It may not have been sent yet.

    Attributes:
        step: The name of its step.
        block: The block that it is in; None until it is known to be mined.
    """

    step: str
    signed: Signed
    block: int | None = None
    gas_used: int | None = None


@dataclass
class Record:
    """The record of a deployment, written before each transaction is sent.

    Attributes:
        network: The name of the network in Ape.
        plan: The parameters, and the plan that follows from them.
        first_block: The block at which the deployment began.
        sent: The transactions, in order.
    """

    path: Path
    network: str
    plan: Plan
    first_block: int
    sent: list[Sent] = field(default_factory=list)

    def sign(self, step: str, signed: Signed) -> None:
        """Record a signed transaction, in place of an earlier one with its nonce."""
        self.sent = [
            sent
            for sent in self.sent
            if (sent.signed.sender, sent.signed.nonce) != (signed.sender, signed.nonce)
        ]
        self.sent.append(Sent(step, signed))
        self.write()

    def mine(self, receipt: Receipt) -> None:
        """Record that a transaction was mined. It needs no rebroadcast: drop its raw bytes."""
        block, gas_used = receipt.block_number, receipt.gas_used
        for index, sent in enumerate(self.sent):
            if sent.signed.hash == receipt.transaction:
                signed = replace(sent.signed, raw="")
                self.sent[index] = Sent(sent.step, signed, block, gas_used)
        self.write()

    def drop(self, transaction: str) -> None:
        """Remove a transaction that reverted, or that can no longer be mined."""
        self.sent = [sent for sent in self.sent if sent.signed.hash != transaction]
        self.write()

    @property
    def open(self) -> list[Signed]:
        """The signed transactions that are not known to be mined."""
        return [sent.signed for sent in self.sent if sent.block is None]

    def write(self) -> None:
        """Write the file atomically."""
        try:
            write_whole(self.path, json.dumps(_contents(self), indent=2) + "\n")
        except OSError as err:
            raise DeploymentUnusable(self.path, str(err)) from err


def read(path: Path) -> Record:
    """Read a deployment file.

    Raises:
        DeploymentUnusable: The file is missing or malformed.
        DeploymentDiffers: The deployment began with other contracts than this version has.
    """
    try:
        saved = json.loads(path.read_text())
        terms = Terms(
            chain_id=saved["chain_id"],
            deployer=saved["deployer"],
            owner=saved["owner"],
            fee_token=saved["fee_token"],
            variant=Variant[saved["variant"].upper()],
            salt=saved["salt"],
            with_models=saved["with_models"],
        )
        sent = [
            Sent(entry["step"], Signed(**entry["signed"]), entry["block"], entry["gas_used"])
            for entry in saved["transactions"]
        ]
        record = Record(path, saved["network"], plan(terms), saved["first_block"], sent)
        contracts = saved["contracts"]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as err:
        raise DeploymentUnusable(path, str(err) or type(err).__name__) from err
    if contracts != _contracts(record.plan):
        raise DeploymentDiffers(path, "contracts")
    return record


def open_for(path: Path, provider: ProviderAPI, terms: Terms) -> Record:
    """Return the record of a deployment to begin or to resume.

    A new record is not written to the file yet.

    Raises:
        DeploymentUnusable: See :func:`read`.
        DeploymentDiffers: The file belongs to another deployment.
    """
    if not path.exists():
        first_block = as_int(rpc.result(provider, "eth_blockNumber", []))
        return Record(path, network_name(provider), plan(terms), first_block)
    record = read(path)
    wanted, saved = asdict(terms), asdict(record.plan.terms)
    if differs := [name.replace("_", " ") for name in wanted if wanted[name] != saved[name]]:
        raise DeploymentDiffers(path, *differs)
    return record


@contextmanager
def locked(provider: ProviderAPI, path: Path) -> Iterator[None]:
    """Wait until no other process of this user works on a deployment file."""
    from filelock import FileLock

    folder = data_folder(provider) / "turns"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{keccak(text=str(path.resolve())).hex()}.lock"):
        yield


def _contents(record: Record) -> dict[str, Any]:
    terms = record.plan.terms
    return {
        "network": record.network,
        **asdict(terms),
        "variant": terms.variant.name.lower(),
        "first_block": record.first_block,
        "router": record.plan.router,
        "contracts": _contracts(record.plan),
        "transactions": [asdict(sent) for sent in record.sent],
    }


def _contracts(planned: Plan) -> list[dict[str, Any]]:
    return [
        {
            "name": contract.name,
            "is_proxy": contract.is_proxy,
            "address": contract.address,
            "artifact": contract.artifact,
            "arguments": "0x" + contract.arguments.hex(),
        }
        for contract in planned.contracts
    ]
