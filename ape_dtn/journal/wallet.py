"""What an account that signs and sends in its own way did with what it was given."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from ape_dtn.chain import rpc
from ape_dtn.chain.finality import Evidence, final_block, is_used
from ape_dtn.journal.errors import WalletPending
from ape_dtn.types.rpc import Request, as_bytes, as_int

if TYPE_CHECKING:
    from ape_dtn.journal.store import Entry
    from ape_dtn.network.context import Network


# How the code of an account begins that runs another's, and still has a key (EIP-7702).
DELEGATION = bytes.fromhex("ef0100")


class Nonce(Enum):
    """What became of the nonce that a transaction was handed over with."""

    FREE = "free"
    """What is sent next has it: of the two, one can be mined."""
    USED = "used"
    """Its effect is on the chain, or never comes."""


def became_of(ai: Network, entry: Entry, evidence: Evidence) -> Nonce | WalletPending:
    """What became of a nonce, or why nothing tells whether the account has sent with it.

    The nonce of an account with a key is used by one transaction at most. That of a contract says
    nothing: somebody else sends for it.
    """
    nonce, account = int(entry.details["handed_over"]), entry.account
    block = final_block(ai.provider, evidence)
    asked: list[Request] = [
        ("eth_getTransactionCount", [account, hex(block)]),
        ("eth_getCode", [account, "latest"]),
        *(("eth_getTransactionCount", [account, at]) for at in ("latest", "pending")),
        ("eth_blockNumber", []),
    ]
    final, *answers = rpc.ask(ai.provider, asked)
    code, *counts = (rpc.expect(each) for each in answers)
    latest, pending, head = (as_int(each) for each in counts)
    if as_bytes(code) and not as_bytes(code).startswith(DELEGATION):
        return WalletPending(account, nonce, "it is a contract, and somebody else sends for it")
    if head < evidence.known_block:
        return WalletPending(account, nonce, f"the endpoint is behind, at block {head}")
    if is_used(ai.provider, account, nonce, final, block, evidence):
        return Nonce.USED
    if latest > nonce:
        return WalletPending(account, nonce, "a transaction with that nonce is not final yet")
    if pending > nonce:
        return WalletPending(account, nonce, "a transaction with that nonce waits to be mined")
    if pending < nonce:  # what is sent now would not compete with it
        return WalletPending(account, nonce, f"its next nonce is {pending}")
    return Nonce.FREE
