"""Checks requests against their budgets before anything is signed.

Spending is counted over all processes of this user: the chain has what was answered or sent to it,
the journal has the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ape_dtn.journal.errors import OverLimit
from ape_dtn.types.budgets import BUDGETS, Limit

if TYPE_CHECKING:
    from ape_dtn.network.config import DtnConfig
    from ape_dtn.network.context import Network
    from ape_dtn.types.amount import Amount, Token


def limits_of(config: DtnConfig, options: Mapping[str, Any], token: Token) -> tuple[Limit, ...]:
    """The limits of a request: for each budget the lower of the given and the configured one.

    Raises:
        InvalidAmount: A limit is not an amount of the token.
    """
    limits = []
    for budget in BUDGETS:
        given = options.get(budget.name), getattr(config, budget.name)
        amounts = [token.amount(value) for value in given if value is not None]
        if amounts:
            limits.append(Limit(budget, min(amounts, key=lambda amount: amount.units)))
    return tuple(limits)


def check_request(limits: Sequence[Limit], max_cost: Amount) -> None:
    """Check one request against the limits that concern it alone.

    Raises:
        OverLimit: Its ``max_cost`` exceeds one.
    """
    for limit in limits:
        if not limit.budget.scope and max_cost > limit.amount:
            raise OverLimit(limit.budget.subject, limit.amount, max_cost, limit.budget.name)


def check_session(
    ai: Network, limits: Sequence[Limit], session_id: int | None, max_cost: Amount
) -> tuple[Limit, ...]:
    """Check requests that cost ``max_cost`` together against the limits of their session.

    Returns:
        The limits that the journal checks as well, with what the session has spent.

    Raises:
        OverLimit: With the requests, the session could cost more than its limit.
    """
    shared = [limit for limit in limits if limit.budget.scope]
    return tuple(
        _check_on_chain(ai, limit, session_id, max_cost) if counts_on_chain(limit) else limit
        for limit in shared
    )


def counts_on_chain(limit: Limit) -> bool:
    """Whether the chain shows the spending under a limit, as it does for a single session."""
    return "session" in limit.budget.scope


def _check_on_chain(ai: Network, limit: Limit, session_id: int | None, max_cost: Amount) -> Limit:
    from ape_dtn.billing.history import history

    limit = replace(limit, spent=max_cost.token.units(0))
    if session_id is not None and max_cost <= limit.amount:
        past = history(ai, session_id)
        spent = past.charged + past.may_still_cost
        limit = replace(limit, spent=spent, as_of=past.as_of.block or 0)
    assert limit.spent is not None
    if (total := max_cost + limit.spent) > limit.amount:
        raise OverLimit(limit.budget.subject, limit.amount, total, limit.budget.name)
    return limit
