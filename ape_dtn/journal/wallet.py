"""Finds out what an account's wallet did with a transaction that it was asked to send."""

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


# First bytes of the code of an account with a key that delegates to a contract (EIP-7702).
DELEGATION = bytes.fromhex("ef0100")


class Nonce(Enum):
    """State of the nonce that a transaction was handed over with."""

    FREE = "free"
    """Unused: a new transaction gets the same nonce, so that only one of the two can be mined."""
    USED = "used"
    """Used in a final block: the effect is on the chain, or never will be."""


def nonce_state(ai: Network, entry: Entry, evidence: Evidence) -> Nonce | WalletPending:
    """The state of a handed-over nonce, or why the chain does not show it.

    At most one transaction uses a nonce of an account with a key. A contract's nonce shows nothing,
    since other accounts send its transactions.
    """
    nonce, account = int(entry.details["handed_over"]), entry.account
    block = final_block(ai.provider, evidence)
    requests: list[Request] = [
        ("eth_getTransactionCount", [account, hex(block)]),
        ("eth_getCode", [account, "latest"]),
        *(("eth_getTransactionCount", [account, at]) for at in ("latest", "pending")),
        ("eth_blockNumber", []),
    ]
    final_count, *answers = rpc.ask(ai.provider, requests, as_one=True)
    code, *counts = (rpc.expect(answer) for answer in answers)
    latest, pending, head = (as_int(count) for count in counts)
    if as_bytes(code) and not as_bytes(code).startswith(DELEGATION):
        return WalletPending(account, nonce, "it is a contract, and other accounts send for it")
    if head < evidence.known_block:
        return WalletPending(account, nonce, f"the endpoint lags, at block {head}")
    if is_used(ai.provider, account, nonce, final_count, block, evidence):
        return Nonce.USED
    if latest > nonce:
        return WalletPending(account, nonce, "a transaction with that nonce is not final yet")
    if pending > nonce:
        return WalletPending(account, nonce, "a transaction with that nonce waits to be mined")
    if pending < nonce:  # a transaction that is sent now would not compete with it
        return WalletPending(account, nonce, f"the account's next nonce is {pending}")
    return Nonce.FREE
