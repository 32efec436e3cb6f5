"""Outcomes of transactions: receipts, failures, used nonces."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from eth_utils import to_checksum_address

from ape_dtn.chain import reads, rpc, views
from ape_dtn.chain.errors import ContractReverted, TransactionPending
from ape_dtn.chain.finality import Evidence, final_block, is_used
from ape_dtn.chain.reverts import untranslated
from ape_dtn.types.errors import DtnError, NoNetwork
from ape_dtn.types.polling import POLICY, Deadline
from ape_dtn.types.revert_translator import Translate
from ape_dtn.types.reverts import Revert
from ape_dtn.types.rpc import Failure, Request, as_bytes, as_int
from ape_dtn.types.transactions import Receipt, Transaction

if TYPE_CHECKING:
    from ape.api.providers import ProviderAPI

    from ape_dtn.types.transactions import Signed


# Sender and nonce. Only one of the transactions that share both can be mined.
NonceKey: TypeAlias = "tuple[str, int]"


def by_nonce(signed: Iterable[Signed]) -> dict[NonceKey, list[Signed]]:
    """Group signed transactions by sender and nonce, in order."""
    found: dict[NonceKey, list[Signed]] = defaultdict(list)
    for txn in signed:
        found[txn.sender, txn.nonce].append(txn)
    return dict(found)


def succeeded(
    provider: ProviderAPI,
    signed: Sequence[Signed],
    translate: Translate = untranslated,
) -> list[Receipt]:
    """The receipts of the transactions that are mined and succeeded."""
    found = []
    for transaction_hash, raw in raw_receipts(provider, [txn.hash for txn in signed]).items():
        if transaction := as_sent(provider, transaction_hash):
            outcome = outcome_of(provider, signed[0].sender, raw, transaction, translate)
            if isinstance(outcome, Receipt):
                found.append(outcome)
    return found


def may_still_change(provider: ProviderAPI, signed: Sequence[Signed], evidence: Evidence) -> bool:
    """Whether the outcome of signed transactions is not final yet, or not known.

    It is final once each nonce was used in a final block, by one of these transactions or another.
    """
    try:
        block = final_block(provider, evidence)
        payments = by_nonce(signed)
        final = {
            key
            for key, same in payments.items()
            for raw in raw_receipts(provider, [txn.hash for txn in same]).values()
            if as_int(raw["blockNumber"]) <= block
        }
        left = {key: same for key, same in payments.items() if key not in final}
        return len(used_by_others(provider, left, evidence)) < len(left)
    except NoNetwork:
        return True


def is_final(provider: ProviderAPI, transaction: str, evidence: Evidence) -> bool:
    """Whether a transaction is known to be in a final block."""
    with suppress(NoNetwork):
        block = final_block(provider, evidence)
        mined = raw_receipts(provider, [transaction]).values()
        return any(as_int(raw["blockNumber"]) <= block for raw in mined)
    return False


def overtaken(provider: ProviderAPI, signed: Sequence[Signed], evidence: Evidence) -> list[str]:
    """The hashes of the transactions whose nonces another transaction used for good."""
    used = used_by_others(provider, by_nonce(signed), evidence)
    return [txn.hash for txn in signed if (txn.sender, txn.nonce) in used]


def used_by_others(
    provider: ProviderAPI, payments: Mapping[NonceKey, Sequence[Signed]], evidence: Evidence
) -> list[NonceKey]:
    """The payments whose nonces another transaction used for good.

    Asks twice, so that one lagging node behind the endpoint is not believed.
    """
    if not payments:
        return []
    block = final_block(provider, evidence)
    return [
        key
        for key, same in payments.items()
        if _is_used_by_another(provider, same, block, evidence)
        and _is_used_by_another(provider, same, block, evidence)
    ]


def _is_used_by_another(
    provider: ProviderAPI, same: Sequence[Signed], block: int, evidence: Evidence
) -> bool:
    """Whether another transaction with the nonce of a payment was mined by a final block.

    One HTTP request asks for the receipts and for the nonce, since answers of two different nodes
    would prove nothing together. The batch is small, so that hardly any endpoint splits it. The
    nonce is read at an earlier block, since a block can be mined between the two calls. The
    transactions are read, too: an endpoint that has lost a receipt may still have them.
    """
    payments = [txn for txn in same if not txn.is_empty]
    questions: list[Request] = [
        *(("eth_getTransactionReceipt", [txn.hash]) for txn in payments),
        ("eth_getTransactionCount", [same[0].sender, hex(block)]),
        ("eth_blockNumber", []),
        *(("eth_getTransactionByHash", [txn.hash]) for txn in payments),
    ]
    answers = rpc.ask(provider, questions, as_one=True)
    count, head = answers[len(payments) : len(payments) + 2]
    shown = answers[: len(payments)] + answers[len(payments) + 2 :]
    if any(rpc.expect(answer) is not None for answer in shown):
        return False
    if as_int(rpc.expect(head)) < evidence.known_block:
        return False  # the node lags
    return is_used(provider, same[0].sender, same[0].nonce, count, block, evidence)


def remembers(provider: ProviderAPI, blocks: Iterable[int]) -> bool:
    """Whether the endpoint still has the receipt of the first transaction in some old blocks.

    True if these blocks are empty.
    """
    found = rpc.ask(provider, [("eth_getBlockByNumber", [hex(number), False]) for number in blocks])
    for answer in found:
        block = rpc.expect(answer)
        if block is None:
            return False
        if block["transactions"]:
            first = block["transactions"][0]
            return rpc.result(provider, "eth_getTransactionReceipt", [first]) is not None
    return True


def as_sent(provider: ProviderAPI, transaction_hash: str) -> Transaction | None:
    """Read a transaction from the chain."""
    raw = rpc.result(provider, "eth_getTransactionByHash", [transaction_hash])
    if raw is None:
        return None
    return Transaction(raw["to"], as_bytes(raw["input"]), as_int(raw["value"]))


def are_known(provider: ProviderAPI, hashes: Sequence[str]) -> list[bool | None]:
    """Whether the endpoint knows transactions; None for no answer."""
    try:
        answers = rpc.ask(
            provider,
            [("eth_getTransactionByHash", [transaction_hash]) for transaction_hash in hashes],
        )
    except NoNetwork:
        return [None] * len(hashes)
    return [None if isinstance(answer, Failure) else answer is not None for answer in answers]


def transaction_count(provider: ProviderAPI, sender: str, block: str) -> int:
    """The account's nonce as of a block."""
    return as_int(rpc.result(provider, "eth_getTransactionCount", [sender, block]))


def wait_for_receipts(
    provider: ProviderAPI,
    sender: str,
    hashes: Sequence[str],
    transactions: Sequence[Transaction],
    translate: Translate,
) -> list[Receipt]:
    """Wait for all receipts, or raise the first error, with the receipts before it."""
    receipts: list[Receipt] = []
    deadline = deadline_of(provider)
    while len(receipts) < len(hashes):
        missing = hashes[len(receipts) :]
        landed = raw_receipts(provider, missing)
        for transaction_hash in missing:
            if transaction_hash not in landed:
                break
            transaction = transactions[len(receipts)]
            outcome = outcome_of(provider, sender, landed[transaction_hash], transaction, translate)
            if isinstance(outcome, DtnError):
                outcome.before = tuple(receipts)
                raise outcome
            receipts.append(outcome)
        else:
            break
        if deadline.is_over:
            pending = TransactionPending(*hashes[len(receipts) :])
            pending.before = tuple(receipts)
            raise pending
        deadline.sleep(poll_interval(provider))
    return receipts


def outcome_of(
    provider: ProviderAPI,
    sender: str,
    raw: Any,
    transaction: Transaction,
    translate: Translate,
) -> Receipt | DtnError:
    """The receipt of a mined transaction, or the error it failed with."""
    receipt = Receipt(
        transaction="0x" + as_bytes(raw["transactionHash"]).hex(),
        block_number=as_int(raw["blockNumber"]),
        gas_used=as_int(raw["gasUsed"]),
        gas_price=as_int(raw.get("effectiveGasPrice") or 0),
        logs=tuple(reads.to_log(log) for log in raw["logs"]),
        contract=to_checksum_address(created) if (created := raw.get("contractAddress")) else None,
    )
    views.note(provider, receipt.block_number)
    if as_int(raw["status"]) == 1:
        return receipt
    return _why_it_failed(provider, sender, receipt, transaction, translate)


def _why_it_failed(
    provider: ProviderAPI,
    sender: str,
    receipt: Receipt,
    transaction: Transaction,
    translate: Translate,
) -> DtnError:
    """Find the revert of a mined transaction by calling it again: no receipt has it."""
    call = transaction.as_call(sender)
    if transaction.gas_limit is not None:  # it may have been too low
        call["gas"] = hex(transaction.gas_limit)
    block = hex(receipt.block_number - 1)
    for at in (block, "latest"):
        try:
            (answer,) = rpc.ask(provider, [("eth_call", [call, at])])
        except NoNetwork:  # the failure itself is known
            break
        if isinstance(answer, Failure) and answer.data:
            return translate(answer.data, answer.message, receipt.transaction)
    error = ContractReverted(f"transaction {receipt.transaction} failed")
    error.revert = Revert("", {}, b"", transaction=receipt.transaction)
    return error


def raw_receipts(provider: ProviderAPI, hashes: Sequence[str]) -> dict[str, Any]:
    """The raw receipts that have the confirmations that the network's configuration requires.

    Never cached: a reorganisation can move or remove a transaction.
    """
    if not hashes:
        return {}
    wanted = provider.network.required_confirmations
    questions: list[Request] = [
        ("eth_getTransactionReceipt", [transaction_hash]) for transaction_hash in hashes
    ]
    head_question: list[Request] = [("eth_blockNumber", [])] if wanted else []
    try:
        answers, heads = rpc.in_parts(
            rpc.ask(provider, questions + head_question, as_one=True), len(hashes)
        )
        head = as_int(rpc.expect(heads[0])) if wanted else 0
    except NoNetwork:
        return {}  # unknown for now
    return {
        transaction_hash: receipt
        for transaction_hash, receipt in zip(hashes, answers, strict=True)
        if receipt
        and not isinstance(receipt, Failure)
        and receipt.get("blockNumber") is not None
        and (not wanted or head - as_int(receipt["blockNumber"]) >= wanted)
    }


def poll_interval(provider: ProviderAPI) -> float:
    """The time between two polls for a receipt, in seconds."""
    return POLICY.receipts.interval(provider.network.block_time)


def deadline_of(provider: ProviderAPI) -> Deadline:
    """When to stop waiting for a transaction, as Ape configures it for the network."""
    return Deadline(provider.network.transaction_acceptance_timeout)
