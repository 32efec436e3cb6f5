"""Limits on what may be spent: more is refused before anything is signed.

One request is compared with its limit by itself. All others add up, over all processes of this
user: what the chain has is read there, and what it has not yet is in the journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ape_dtn.journal.errors import OverLimit

if TYPE_CHECKING:
    from ape_dtn.network.config import DtnConfig
    from ape_dtn.network.context import Network
    from ape_dtn.requests.options import Options
    from ape_dtn.types.amount import Amount, AmountLike


@dataclass(frozen=True)
class Limits:
    """What may be spent; None where nothing limits it.

    Attributes:
        request: On one request.
        session: On all requests of its session.
        day: On all requests of a day (UTC), of all accounts that this user sends from.
        account: On all requests of the account.
    """

    request: Amount | None
    session: Amount | None
    day: Amount | None
    account: Amount | None


NO_LIMITS = Limits(None, None, None, None)


@dataclass(frozen=True)
class Spent:
    """What a session has cost, and may still cost, as the chain has it.

    Attributes:
        amount: How much.
        as_of: The block that has it so.
    """

    amount: Amount
    as_of: int


def limits_of(config: DtnConfig, options: Options, like: Amount) -> Limits:
    """The limits that hold: of a given one and the configured one, the lower.

    Args:
        config: The configuration.
        options: What is said of the request.
        like: An amount of the token.

    Raises:
        InvalidAmount: One is no amount.
    """

    def lowest(*limits: AmountLike | None) -> Amount | None:
        amounts = [like.token.amount(limit) for limit in limits if limit is not None]
        return min(amounts, key=lambda amount: amount.units, default=None)

    return Limits(
        request=lowest(options.get("request_limit"), config.request_limit),
        session=lowest(options.get("session_limit"), config.session_limit),
        day=lowest(options.get("day_limit"), config.day_limit),
        account=lowest(options.get("account_limit"), config.account_limit),
    )


def check(
    ai: Network, limits: Limits, session_id: int | None, most: Amount, how_many: int = 1
) -> Spent:
    """Checks requests against the limits of one request and of their session, by the chain.

    What other processes send at this moment is in the journal, which is looked at again when the
    requests are written down.

    Args:
        ai: The network.
        limits: The limits.
        session_id: The session; None when it is yet to be started.
        most: What each may cost.
        how_many: How many they are.

    Returns:
        What the session has cost; nothing where no limit asks for it.

    Raises:
        OverLimit: They could cost more.
    """
    if limits.request is not None and most > limits.request:
        raise OverLimit("The request", limits.request, most, "request_limit")
    in_all, spent = most.token.units(most.units * how_many), Spent(most.token.units(0), 0)
    if limits.session is None:
        return spent
    if session_id is not None and in_all <= limits.session:
        spent = _spent(ai, session_id)
    if (total := in_all + spent.amount) > limits.session:
        raise OverLimit("The session", limits.session, total, "session_limit")
    return spent


def _spent(ai: Network, session_id: int) -> Spent:
    from ape_dtn.billing.history import history

    so_far = history(ai, session_id)
    return Spent(so_far.charged + so_far.may_still_cost, so_far.as_of.block or 0)
