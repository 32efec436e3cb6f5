"""The file of a deployment: what it was asked to be, where its contracts are, what was sent."""

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
    """A transaction of the deployment.

    Attributes:
        step: The step that it takes.
        signed: What was signed, and perhaps sent.
        block: The block that has it; None as long as that is not known.
        gas_used: The gas that it used.
    """

    step: str
    signed: Signed
    block: int | None = None
    gas_used: int | None = None


@dataclass
class Record:
    """What is written down of a deployment, before anything of it is sent.

    Attributes:
        path: The file.
        network: The chain's name, as Ape has it.
        plan: What was asked for, and what follows from it.
        first_block: The block that its history begins in.
        sent: The transactions, in their order.
    """

    path: Path
    network: str
    plan: Plan
    first_block: int
    sent: list[Sent] = field(default_factory=list)

    def sign(self, step: str, signed: Signed) -> None:
        """Writes down what was signed for a step, in place of what had its nonce before."""
        same = signed.sender, signed.nonce
        self.sent = [each for each in self.sent if (each.signed.sender, each.signed.nonce) != same]
        self.sent.append(Sent(step, signed))
        self.write()

    def mine(self, receipt: Receipt) -> None:
        """Writes down that a transaction was mined. Then nobody has to send it again."""
        block, gas_used = receipt.block_number, receipt.gas_used
        for place, each in enumerate(self.sent):
            if each.signed.hash == receipt.transaction:
                sent = replace(each.signed, raw="")
                self.sent[place] = Sent(each.step, sent, block, gas_used)
        self.write()

    def drop(self, transaction: str) -> None:
        """Strikes out what was not mined and never will be, or has failed."""
        self.sent = [each for each in self.sent if each.signed.hash != transaction]
        self.write()

    @property
    def open(self) -> list[Signed]:
        """What was signed, and is not known to be mined."""
        return [each.signed for each in self.sent if each.block is None]

    def write(self) -> None:
        """Writes the file, whole or not at all."""
        try:
            write_whole(self.path, json.dumps(_contents(self), indent=2) + "\n")
        except OSError as err:
            raise DeploymentUnusable(self.path, str(err)) from err


def read(path: Path) -> Record:
    """Reads the file of a deployment.

    Raises:
        DeploymentUnusable: It is not there, or no such file.
        DeploymentDiffers: It was begun with other contracts than this version has.
    """
    try:
        kept = json.loads(path.read_text())
        terms = Terms(
            chain_id=kept["chain_id"],
            deployer=kept["deployer"],
            owner=kept["owner"],
            fee_token=kept["fee_token"],
            variant=Variant[kept["variant"].upper()],
            salt=kept["salt"],
            with_models=kept["with_models"],
        )
        sent = [
            Sent(each["step"], Signed(**each["signed"]), each["block"], each["gas_used"])
            for each in kept["transactions"]
        ]
        found = Record(path, kept["network"], plan(terms), kept["first_block"], sent)
        contracts = kept["contracts"]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as err:
        raise DeploymentUnusable(path, str(err) or type(err).__name__) from err
    if contracts != _contracts(found.plan):
        raise DeploymentDiffers(path, "contracts")
    return found


def open_for(path: Path, provider: ProviderAPI, terms: Terms) -> Record:
    """The record of a deployment that is to be begun, or gone on with. It is not written yet.

    Raises:
        DeploymentUnusable: See :func:`read`.
        DeploymentDiffers: The file is of another deployment.
    """
    if not path.exists():
        first_block = as_int(rpc.result(provider, "eth_blockNumber", []))
        return Record(path, network_name(provider), plan(terms), first_block)
    found = read(path)
    asked, kept = asdict(terms), asdict(found.plan.terms)
    if differs := [name.replace("_", " ") for name in asked if asked[name] != kept[name]]:
        raise DeploymentDiffers(path, *differs)
    return found


@contextmanager
def alone(provider: ProviderAPI, path: Path) -> Iterator[None]:
    """Waits until no other process of this user works on the deployment of a file."""
    from filelock import FileLock

    folder = data_folder(provider) / "turns"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{keccak(text=str(path.resolve())).hex()}.lock"):
        yield


def _contents(record: Record) -> dict[str, Any]:
    """What the file holds. :func:`read` reads it, also that of an earlier version."""
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
            "name": each.name,
            "is_proxy": each.is_proxy,
            "address": each.address,
            "artifact": each.artifact,
            "arguments": "0x" + each.arguments.hex(),
        }
        for each in planned.contracts
    ]
