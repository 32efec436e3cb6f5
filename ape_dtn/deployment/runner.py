"""Sending the transactions of a deployment, each exactly once, across interruptions."""

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


# keccak256("eip1967.proxy.implementation") - 1 (ERC-1967).
IMPLEMENTATION_SLOT = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"
NOBODY = "0x" + "00" * 20

# Called with each completed step and its receipt.
OnStep = Callable[[Step, Receipt], None]


def check_chain(provider: ProviderAPI, record: Record) -> None:
    """Check that the connection is to the deployment's chain, and the deployment proxy exists.

    Raises:
        WrongChain: The connection is to another chain.
        NoContractAtAddress: The chain has no deployment proxy.
    """
    expected = record.plan.terms.chain_id
    if provider.chain_id != expected:
        reason = f"the deployment in {record.path} is on that chain"
        raise WrongChain(expected, provider.chain_id, reason)
    if not as_bytes(rpc.result(provider, "eth_getCode", [DEPLOYER, "latest"])):
        raise NoContractAtAddress(DEPLOYER, "deterministic deployment proxy")


def contract_states(provider: ProviderAPI, planned: Plan) -> list[dict[str, Any]]:
    """Return the owner and the implementation of each proxy, as they are now."""
    states = []
    for contract in planned.contracts:
        if not contract.is_proxy:
            continue
        views = [Call(contract.address, OWNER), Call(contract.address, PENDING_OWNER)]
        slot, *answers = rpc.ask(
            provider,
            [
                ("eth_getStorageAt", [contract.address, IMPLEMENTATION_SLOT, "latest"]),
                *(view.request for view in views),
            ],
        )
        runs = to_checksum_address(as_bytes(rpc.expect(slot)).rjust(32, b"\0")[12:])
        owner, offered = (
            None if isinstance(account, DtnError) or account == NOBODY else str(account)
            for account in reads.decode_all(views, answers, reverts.NO_CONTEXT)
        )
        states.append(
            {
                "name": contract.name,
                "address": contract.address,
                "owner": owner,
                "offered_to": offered,
                "runs": None if runs == NOBODY else runs,
                "was_upgraded": runs not in (NOBODY, planned.implementation(contract)),
            }
        )
    return states


def missing(provider: ProviderAPI, record: Record, steps: Sequence[Step]) -> list[Step]:
    """Return the steps that are not done yet. One HTTP request.

    A step is done if its effects show, or if its recorded transaction succeeded: the owner may have
    undone the effects since.
    """
    receipts = {
        sent.step: [("eth_getTransactionReceipt", [sent.signed.hash])]
        for sent in record.sent
        if sent.block is not None
    }
    queries = [(step, receipts.get(step.what, []), step.queries) for step in steps]
    requests = [request for _, *parts in queries for part in parts for request in part]
    answers = iter(rpc.ask(provider, requests))
    not_done = []
    for step, receipt_queries, effect_queries in queries:
        succeeded = [_succeeded(next(answers)) for _ in receipt_queries]
        has_effects = step.is_done([next(answers) for _ in effect_queries])
        if not (any(succeeded) or has_effects):
            not_done.append(step)
    return not_done


def _succeeded(receipt: Any) -> bool:
    if receipt is None or isinstance(receipt, Failure):
        return False
    return as_int(receipt["status"]) == 1


def cost(provider: ProviderAPI, sender: str, steps: Sequence[Step]) -> gas.Gas | None:
    """Estimate the cost of consecutive steps; None if the endpoint cannot simulate them.

    Raises:
        DtnError: A step would revert.
    """
    prices = gas.to_prices(provider.chain_id, *rpc.ask(provider, gas.PRICES))
    transactions = {step.what: step.transaction for step in steps}
    (estimate,) = gas.estimate(provider, sender, [transactions], prices)
    if isinstance(estimate, RpcRefused):
        return None
    if isinstance(estimate, DtnError):
        raise estimate
    return estimate


def follow(provider: ProviderAPI, account: AccountAPI, record: Record) -> Signed | None:
    """Follow the open transactions of an interrupted process until they are mined.

    Returns:
        The transaction that the endpoint refuses, if any. Sign another with its nonce.

    Raises:
        TransactionPending: A transaction is not mined in time.
    """
    refused = None
    for transaction, outcome in rebroadcast.follow(
        provider, account, record.open, reverts.NO_CONTEXT
    ).items():
        if isinstance(outcome, Receipt):
            record.mine(outcome)
        elif isinstance(outcome, TransactionRefused):
            refused = next(signed for signed in record.open if signed.hash == transaction)
        else:
            record.drop(transaction)
    return refused


def send_steps(
    provider: ProviderAPI,
    account: AccountAPI,
    record: Record,
    steps: Sequence[Step],
    on_step: OnStep,
    replaces: Signed | None = None,
) -> None:
    """Send steps one after another, and record each before it is sent.

    ``on_step`` is called with each completed step. ``replaces`` is a refused transaction, whose
    nonce the first step uses.

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
            replaces,
        )
        replaces = None
        record.mine(receipt)
        on_step(step, receipt)


def send_owner_steps(provider: ProviderAPI, owner: AccountAPI, record: Record) -> list[str]:
    """Send the steps left to the owner. A Safe sends all of them in one transaction.

    Returns:
        The transaction hashes.
    """
    planned = record.plan.owner_steps
    if safe.is_safe(owner):
        calls = [step.transaction for step in missing(provider, record, planned)]
        batch = calls[0] if len(calls) == 1 else safe.together(provider, calls)
        return [send(provider, owner, batch).transaction]
    replaces = follow(provider, owner, record)
    hashes: list[str] = []
    steps = missing(provider, record, planned)
    send_steps(
        provider,
        owner,
        record,
        steps,
        lambda _, receipt: hashes.append(receipt.transaction),
        replaces,
    )
    return hashes
