"""Recognises the refusals of a token that is paused, or whose issuer has blocked an account."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ape_dtn.network.errors import AccountBlocked, PaymentRefused, TokenPaused

if TYPE_CHECKING:
    from ape_dtn.types.reverts import Revert

_PAUSED = re.compile(r"paused|Pause$|halted|suspended", re.IGNORECASE)
_BLOCKED = re.compile(
    r"(black|block|deny|denied)[ _-]?list|sanction|frozen|freez|blocked|banned|restricted",
    re.IGNORECASE,
)


def token_refusal(revert: Revert) -> PaymentRefused | None:
    """The error of a revert whose reason or name says so; None for other reverts."""
    text = str(revert.fields["reason"]) if revert.name == "Error" else revert.name
    if _BLOCKED.search(text):
        return AccountBlocked(str(revert), revert.fields.get("account"))
    return TokenPaused(str(revert)) if _PAUSED.search(text) else None
