"""A private Anvil, and Ape connected to an Anvil at a given URL."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ape_dtn.chain import rpc
from ape_dtn.devnet import anvil
from ape_dtn.funding.methods import START_GAS
from ape_dtn.network.abi import ERC20, Router
from ape_dtn.types.rpc import as_int

if TYPE_CHECKING:
    from ape.api.accounts import AccountAPI
    from ape.api.providers import ProviderAPI

    from ape_dtn.client.ai import DtnAi

TRANSFER_GAS = 100_000

# Seconds that a busy machine may take to answer.
PATIENCE = 120

# Wei. The base fee rises while many transactions fill the blocks, but never above this.
HIGH_GAS_PRICE = 1000 * 10**9


@contextmanager
def own_anvil(*options: str) -> Iterator[str]:
    """Start an Anvil with Ape's test accounts on a free port, and yield its URL."""
    with anvil.running(anvil.free_port(), *options) as chain:
        yield chain.url


@contextmanager
def connected_to(url: str) -> Iterator[ProviderAPI]:
    """Connect Ape to the Anvil at a URL."""
    import ape
    import pytest

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("APE_FOUNDRY_HOST", raising=False)  # ape-foundry would prefer it
        settings = {"host": url, "manage_process": False, "request_timeout": PATIENCE}
        connection = ape.networks.ethereum.local.use_provider(
            "foundry", provider_settings=settings, disconnect_after=True
        )
        with connection as provider:
            patch.setattr(type(provider.network), "transaction_acceptance_timeout", PATIENCE)
            yield provider


def open_sessions(ai: DtnAi, account: AccountAPI, how_many: int, units: int = 1) -> None:
    """Open many sessions of `units` token units each, from an account whose key Anvil has.

    Takes two HTTP requests and a few blocks in all; the SDK takes several requests a session.
    """
    contracts, sender = ai.contracts(), str(account.address)
    deposit = ERC20.transfer.encode(contracts.fee_target, units)
    start = Router.start_user_session.encode()
    pair = [(contracts.fee_token, deposit, TRANSFER_GAS), (ai.router, start, START_GAS)]
    first = as_int(rpc.result(ai.provider, "eth_getTransactionCount", [sender, "latest"]))
    transactions = [
        {
            "from": sender,
            "to": to,
            "data": "0x" + data.hex(),
            "gas": hex(gas),
            "gasPrice": hex(HIGH_GAS_PRICE),
            "nonce": hex(nonce),
        }
        for nonce, (to, data, gas) in enumerate(pair * how_many, first)
    ]
    # Transactions that arrive while Anvil mines automatically can stay in its queue for ever.
    with _mining_paused(ai.provider):
        sent = rpc.ask(
            ai.provider, [("eth_sendTransaction", [transaction]) for transaction in transactions]
        )
        _mine_until_included(ai.provider, [rpc.expect(answer) for answer in sent])


@contextmanager
def _mining_paused(provider: ProviderAPI) -> Iterator[None]:
    rpc.result(provider, "evm_setAutomine", [False])
    try:
        yield
    finally:
        rpc.result(provider, "evm_setAutomine", [True])


def _mine_until_included(provider: ProviderAPI, hashes: Sequence[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    receipts: list[Any] = []
    while not receipts or not all(receipts):
        assert time.monotonic() < deadline, "the transactions are not mined"
        rpc.result(provider, "evm_mine", [])
        asked = rpc.ask(provider, [("eth_getTransactionReceipt", [tx_hash]) for tx_hash in hashes])
        receipts = [rpc.expect(answer) for answer in asked]
    assert all(as_int(receipt["status"]) == 1 for receipt in receipts)
