"""Responses and their charges, read from the logs of transactions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.types.abi import Log


@dataclass(frozen=True)
class ChargedResponse:
    """A response as the logs of its transaction tell it.

    Attributes:
        response: ``ResponseReceived``.
        charge: ``SessionCharged``, of whichever session paid.
        is_last: Whether it completed its request.
        callback_failure: What the callback reverted with; None where it did not.
    """

    response: Log
    charge: Log | None
    is_last: bool = False
    callback_failure: bytes | None = None

    @property
    def request_id(self) -> bytes:
        """The request that was responded to."""
        return self.response.topics[1]


def charged_responses(logs: Iterable[Log], router: str) -> list[ChargedResponse]:
    """The responses among a transaction's logs, each with what it was charged.

    A transaction may answer several requests: each one's charge stands before its response. What a
    callback emits stands after it, and cannot pass for a charge: the next response's own follows.
    """
    found: list[ChargedResponse] = []
    charge = None
    for log in logs:
        if SessionManager.session_charged.matches(log):
            charge = log
        elif Router.response_received.matches(log, router):
            found.append(ChargedResponse(log, charge))
            charge = None
        elif found and log.topics[1:2] == (found[-1].request_id,):
            if Router.request_completed.matches(log, router):
                found[-1] = replace(found[-1], is_last=True)
            for failed in (Router.success_callback_failed, Router.failure_callback_failed):
                if failed.matches(log, router):
                    found[-1] = replace(found[-1], callback_failure=failed.decode(log)["data"])
    return found
