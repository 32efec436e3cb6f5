"""The table of budgets: the limits on what requests may cost.

A row is an option of requests, a field of the ``dtn:`` configuration and an option of the command
line. To add one, add its name to :class:`Limits` and its row to :data:`BUDGETS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from ape_dtn.types.amount import Amount, AmountLike


class Limits(TypedDict, total=False):
    """The limits of a request; if an option and the configuration both set one, the lower applies.

    Attributes:
        request_limit: Refuse a request whose ``max_cost`` exceeds this.
        session_limit: Refuse a request with which its session could cost more than this.
        day_limit: Refuse a request with which all requests of the day (UTC), of all accounts of
            this user, could cost more than this.
        account_limit: Refuse a request with which all requests of its account could cost more than
            this.
    """

    request_limit: AmountLike | None
    session_limit: AmountLike | None
    day_limit: AmountLike | None
    account_limit: AmountLike | None


@dataclass(frozen=True)
class Budget:
    """A row of the table.

    Attributes:
        name: The name of its limit.
        subject: What is limited, as the beginning of error messages.
        scope: The fields that requests counted together share: any of ``account``, ``day``,
            ``model``, ``router`` and ``session``. Empty where each request counts alone.
        help: The help text of its option on the command line.
    """

    name: str
    subject: str
    scope: tuple[str, ...]
    help: str


BUDGETS = (
    Budget("request_limit", "The request", (), "Refuse a request that may cost more."),
    Budget(
        "session_limit",
        "The session",
        ("router", "session"),
        "Refuse a request with which its session could cost more in all.",
    ),
    Budget(
        "day_limit",
        "All requests of this day",
        ("day",),
        "Refuse a request with which this day's could cost more in all.",
    ),
    Budget(
        "account_limit",
        "All requests of {account}",
        ("account",),
        "Refuse a request with which the account's could cost more in all.",
    ),
)


@dataclass(frozen=True)
class Limit:
    """The limit of a budget.

    Attributes:
        budget: The budget.
        amount: The limit.
        spent: What the chain shows to be spent; None if the journal alone counts.
        as_of: The block in which ``spent`` was read. The journal counts what came later.
    """

    budget: Budget
    amount: Amount
    spent: Amount | None = None
    as_of: int = 0
