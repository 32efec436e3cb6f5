"""Responses and their charges, decoded from the logs of a transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ape_dtn.network.abi import Router, SessionManager
from ape_dtn.types.abi import Log


@dataclass(frozen=True)
class ChargedResponse:
    """A response and its charge.

    Attributes:
        response: The ``ResponseReceived`` log.
        charge: The ``SessionCharged`` log of the session that paid.
        is_last: Whether the response completed its request.
        callback_failure: Revert data of the callback; None if the callback did not revert.
    """

    response: Log
    charge: Log | None
    is_last: bool = False
    callback_failure: bytes | None = None

    @property
    def request_id(self) -> bytes:
        """Id of the request."""
        return self.response.topics[1]


def charged_responses(logs: Iterable[Log], router: str) -> list[ChargedResponse]:
    """Finds the responses in the logs of a transaction, with their charges.

    A transaction can answer several requests. The router charges a session directly before it emits
    the response, so the last ``SessionCharged`` before a response is its charge. A callback runs
    after its response: a forged ``SessionCharged`` of a callback precedes the real charge of the
    next response, and is replaced by it.
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
