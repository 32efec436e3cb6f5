"""Limits on what may be spent: more is refused before anything is signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ape_dtn.errors import OverLimit

if TYPE_CHECKING:
    from ape_dtn.ai import DtnAi
    from ape_dtn.amount import Amount, AmountLike
    from ape_dtn.config import DtnConfig


def check_request(config: DtnConfig, given: AmountLike | None, most: Amount) -> None:
    """Checks what one request may cost against the limit that is given, and the configured one.

    Raises:
        OverLimit: It may cost more.
    """
    allowed = _lowest(most, given, config.request_limit)
    if allowed is not None and most > allowed:
        raise OverLimit("The request", allowed, most, "request_limit")


def check_session(
    ai: DtnAi, given: AmountLike | None, session_id: int | None, most: Amount
) -> None:
    """Checks what a session has cost, and may still cost, against its limits.

    What it has cost is read from the chain, and so includes what other processes have asked on it.
    Requests that are drafted at the same moment are not seen by each other.

    Args:
        ai: The network.
        given: The limit that is given; the configured one holds besides.
        session_id: The session; None when it is yet to be started.
        most: What the new requests may cost together.

    Raises:
        OverLimit: The session could cost more.
    """
    from ape_dtn.billing.history import history

    allowed = _lowest(most, given, ai.config.session_limit)
    if allowed is None:
        return
    if session_id is not None and most <= allowed:
        so_far = history(ai, session_id)
        most = most + so_far.charged + so_far.may_still_cost
    if most > allowed:
        raise OverLimit("The session", allowed, most, "session_limit")


def _lowest(most: Amount, *limits: AmountLike | None) -> Amount | None:
    """The limit that holds: nobody can raise another's."""
    amounts = [most.token.amount(limit) for limit in limits if limit is not None]
    return min(amounts, key=lambda amount: amount.units, default=None)
