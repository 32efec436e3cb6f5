"""Asks a token why it refused a transfer, where its revert gave no reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ape_dtn.chain.errors import ContractReverted
from ape_dtn.chain.reads import Call
from ape_dtn.network.abi import TokenRefusals, members
from ape_dtn.network.errors import AccountBlocked, PaymentRefused, TokenPaused
from ape_dtn.types.abi import Function
from ape_dtn.types.errors import DtnError, NoNetwork

if TYPE_CHECKING:
    from ape_dtn.network.context import Network


def explain(ai: Network, failed: DtnError, token: str | None, accounts: Sequence[str]) -> DtnError:
    """The error by the token's views, where its revert gave no reason; else the failure itself.

    Args:
        ai: The network.
        failed: The failure.
        token: The token; None for the fee token.
        accounts: The accounts that send or receive the token.
    """
    is_open = isinstance(failed, AccountBlocked) and failed.account is None
    if not is_open and type(failed) not in (ContractReverted, PaymentRefused):
        return failed
    views = members(TokenRefusals, Function).values()
    try:
        token = token or ai.contracts().fee_token
        calls = [
            Call(token, view, (account,) if view.inputs else (), "token")
            for view in views
            for account in (accounts if view.inputs else accounts[:1])
        ]
        results = ai.try_read(*calls)
    except NoNetwork:  # the failure is certain without them
        return failed
    # The views of blocked accounts come first: they name the account.
    refusals = [call for call, result in zip(calls, results, strict=True) if result is True]
    if not refusals:
        return failed
    explained: PaymentRefused = TokenPaused("it is paused")
    if refusals[0].args:
        (account,) = refusals[0].args
        explained = AccountBlocked(f"{account} is blocked", account)
    explained.revert, explained.before = failed.revert, failed.before
    return explained
