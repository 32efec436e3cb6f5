"""Takes the steps of a deployment: each once, whatever interrupts it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eth_utils import to_checksum_address

from ape_dtn.chain import reads, rebroadcast, rpc, safe
from ape_dtn.chain.broadcast import Outbox
from ape_dtn.chain.errors import NoContractAtAddress, RpcRefused, TransactionRefused, WrongChain
from ape_dtn.chain.reads import Call
from ape_dtn.chain.transactions import send, send_together
from ape_dtn.deployment.plan import OWNER, PENDING_OWNER, Plan, Step
from ape_dtn.network import reverts
from ape_dtn.network.client_contract import DEPLOYER
from ape_dtn.requests import gas
from ape_dtn.types.errors import DtnError
from ape_dtn.types.rpc import Failure, as_bytes, as_int
from ape_dtn.types.transactions import Receipt, Signed

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI

    from ape_dtn.deployment.record import Record


# keccak256("eip1967.proxy.implementation") - 1, as ERC-1967 has it.
IMPLEMENTATION_SLOT = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"
NOBODY = "0x" + "00" * 20

# Called with each step that is done, and its receipt.
Told = Callable[[Step, Receipt], None]


def check_chain(provider: ProviderAPI, record: Record) -> None:
    """Checks that it is the chain of the deployment, with what contracts are created by.

    Raises:
        WrongChain: It is another one.
        NoContractAtAddress: It lacks the deployment proxy.
    """
    expected = record.plan.terms.chain_id
    if provider.chain_id != expected:
        raise WrongChain(expected, provider.chain_id, f"{record.path} is of that one")
    if not as_bytes(rpc.result(provider, "eth_getCode", [DEPLOYER, "latest"])):
        raise NoContractAtAddress(DEPLOYER, "deterministic deployment proxy")


def look(provider: ProviderAPI, planned: Plan) -> list[dict[str, Any]]:
    """Each contract that is used, as it is now: who owns it, and what it runs."""
    found = []
    for each in planned.contracts:
        if not each.is_proxy:
            continue
        views = [Call(each.address, OWNER), Call(each.address, PENDING_OWNER)]
        slot, *answers = rpc.ask(
            provider,
            [
                ("eth_getStorageAt", [each.address, IMPLEMENTATION_SLOT, "latest"]),
                *(view.request for view in views),
            ],
        )
        runs = to_checksum_address(as_bytes(rpc.expect(slot)).rjust(32, b"\0")[12:])
        owner, offered = (
            None if isinstance(owner, DtnError) or owner == NOBODY else str(owner)
            for owner in reads.decode_all(views, answers, reverts.NO_CONTEXT)
        )
        found.append(
            {
                "name": each.name,
                "address": each.address,
                "owner": owner,
                "offered_to": offered,
                "runs": None if runs == NOBODY else runs,
                "was_upgraded": runs not in (NOBODY, planned.behind(each)),
            }
        )
    return found


def missing(provider: ProviderAPI, record: Record, steps: Sequence[Step]) -> list[Step]:
    """The steps that are not done, as the chain shows it, asked in one HTTP request.

    What a step has done can be undone by the owner later. So it is done, too, if the transaction
    that took it is on the chain.
    """
    receipts = {
        each.step: [("eth_getTransactionReceipt", [each.signed.hash])]
        for each in record.sent
        if each.block is not None
    }
    asked = [(step, receipts.get(step.what, []), step.questions) for step in steps]
    answers = iter(
        rpc.ask(provider, [each for _, *parts in asked for part in parts for each in part])
    )
    found = []
    for step, taken, questions in asked:
        was_taken = [_succeeded(next(answers)) for _ in taken]
        is_done = step.is_done([next(answers) for _ in questions])
        if not (any(was_taken) or is_done):
            found.append(step)
    return found


def _succeeded(receipt: Any) -> bool:
    if receipt is None or isinstance(receipt, Failure):
        return False
    return as_int(receipt["status"]) == 1


def cost(provider: ProviderAPI, sender: str, steps: Sequence[Step]) -> gas.Gas | None:
    """What steps would cost, one after the other; None where the endpoint does not tell.

    Raises:
        DtnError: One of them would revert.
    """
    prices = gas.to_prices(*rpc.ask(provider, gas.PRICES))
    transactions = {step.what: step.transaction for step in steps}
    (found,) = gas.estimate(provider, sender, [transactions], prices)
    if isinstance(found, RpcRefused):
        return None
    if isinstance(found, DtnError):
        raise found
    return found


def follow(provider: ProviderAPI, account: AccountAPI, record: Record) -> Signed | None:
    """Follows to its end what was signed before, when the process that did so has ended.

    Returns:
        What the endpoint does not take, and what is to be signed anew with the same nonce.

    Raises:
        TransactionPending: Something is not mined in time.
    """
    refused = None
    for transaction, outcome in rebroadcast.follow(
        provider, account, record.open, reverts.NO_CONTEXT
    ).items():
        if isinstance(outcome, Receipt):
            record.mine(outcome)
        elif isinstance(outcome, TransactionRefused):
            refused = next(each for each in record.open if each.hash == transaction)
        else:
            record.drop(transaction)
    return refused


def take(
    provider: ProviderAPI,
    account: AccountAPI,
    record: Record,
    steps: Sequence[Step],
    told: Told,
    instead_of: Signed | None = None,
) -> None:
    """Takes steps, each when the one before is mined, and writes down each before it is sent.

    Args:
        provider: The connection.
        account: Who signs.
        record: Where it is written down.
        steps: What is missing.
        told: Told of each step that is done.
        instead_of: What was signed for the first of them before, and is not taken.

    Raises:
        DtnError: See :func:`ape_dtn.chain.transactions.send`.
    """
    for step in steps:

        def on_signed(signed: Mapping[int, Signed], what: str = step.what) -> None:
            record.sign(what, signed[0])

        (receipt,) = send_together(
            provider,
            account,
            [step.transaction],
            reverts.NO_CONTEXT,
            Outbox(on_signed),
            instead_of,
        )
        instead_of = None
        record.mine(receipt)
        told(step, receipt)


def take_for_owner(provider: ProviderAPI, owner: AccountAPI, record: Record) -> list[str]:
    """Takes what is left to the owner; a Safe makes all of it in one transaction, or none.

    Returns:
        The hashes of the transactions.
    """
    planned = record.plan.owners_steps
    if safe.is_safe(owner):
        calls = [step.transaction for step in missing(provider, record, planned)]
        made = calls[0] if len(calls) == 1 else safe.together(provider, calls)
        return [send(provider, owner, made).transaction]
    instead_of = follow(provider, owner, record)
    taken: list[str] = []
    left = missing(provider, record, planned)
    take(provider, owner, record, left, lambda _, got: taken.append(got.transaction), instead_of)
    return taken
