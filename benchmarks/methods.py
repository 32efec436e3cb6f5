"""Measure the gas and RPC calls of each funding method, the first time and later.

``python benchmarks/methods.py`` prints them as JSON, for both variants of the network, with a token
like USDC on Base. It needs Anvil on the PATH, ape-safe and, from npm, the Safe contracts, and
starts a private Anvil. ``before`` is the gas of the transactions before the start, an approval say.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from ape_dtn import DtnAi, DtnSession
from ape_dtn.chain import rpc
from ape_dtn.deployment.assemble import FeeToken, Variant, deploy, fund
from ape_dtn.funding.methods import Method
from ape_dtn.journal.executor import journal_of
from ape_dtn.journal.store import State
from ape_dtn.types.rpc import as_int
from benchmarks.chain import connected_to, own_anvil
from benchmarks.rpc_counter import TRACES, RpcCounter
from tests.sdk import safe

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI

DEPOSIT = "25.00"
FUNDS = 1_000_000_000


def measure(variant: Variant) -> dict[str, Any]:
    """All methods on a new chain, each used by a different account."""
    from ape.utils.basemodel import ManagerAccessMixin as access

    with ExitStack() as stack:
        chain = stack.enter_context(own_anvil())
        counter = stack.enter_context(RpcCounter(chain, refuse=TRACES, hold_receipts=True))
        provider = stack.enter_context(connected_to(counter.url))
        owner, worker, other, *customers = access.account_manager.test_accounts[:9]
        network = deploy(owner, worker, variant, FeeToken.USDC)
        accounts: dict[Method, AccountAPI] = dict(zip(_PLAIN, customers, strict=False))
        safe.create_canonical(provider, owner, "libraries/MultiSendCallOnly")
        at = safe.create_safe(provider, owner, [customers[-1]], 1)
        accounts[Method.BATCH] = stack.enter_context(safe.loaded(at))
        for account in (other, *accounts.values()):
            fund(provider, owner, network.token, str(account.address), FUNDS)
        for method in (
            Method.ALLOWANCE,
            Method.DELEGATE,
        ):  # create the contracts that all accounts share
            DtnSession.start(DEPOSIT, other, network.ai, method=method)
        return {
            method.value: {
                when: _start(provider, counter, network.ai, account, method)
                for when in ("first", "later")
            }
            for method, account in accounts.items()
        }


_PLAIN = (
    Method.DELEGATE,
    Method.AUTHORIZATION,
    Method.PERMIT,
    Method.ALLOWANCE,
    Method.TWO_STEP,
)


def _start(
    provider: ProviderAPI, counter: RpcCounter, ai: DtnAi, account: AccountAPI, method: Method
) -> dict[str, Any]:
    with counter.counting() as count:
        DtnSession.start(DEPOSIT, account, ai, method=method)
    entry = journal_of(ai, account).entries(State.DONE)[-1]
    used = [
        as_int(rpc.result(provider, "eth_getTransactionReceipt", [signed.hash])["gasUsed"])
        for signed in entry.signed
    ]
    *before, start = used
    return {"before": before, "start": start, "calls": count.as_dict()}


def main() -> None:
    """Print the figures of both variants."""
    print(json.dumps({variant.name.lower(): measure(variant) for variant in Variant}, indent=2))


if __name__ == "__main__":
    main()
